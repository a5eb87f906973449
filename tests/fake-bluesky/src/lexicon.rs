//! What may be in a record of a post: `app.bsky.feed.post`, as far as postq writes it, and nothing else.

use chrono::DateTime;
use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;

use crate::ledger::Ledger;

const MOST_OF_IMAGE: u64 = 1_000_000;

/// Why a record is not taken: the error and its message.
pub(crate) type Refusal = (&'static str, String);

/// Checks a record of an account.
pub(crate) fn check(record: &Value, did: &str, ledger: &Ledger) -> Result<(), Refusal> {
    let known =
        ["$type", "text", "createdAt", "langs", "facets", "reply", "embed", "labels", "tags"];
    only(record, &known)?;
    if record["$type"] != "app.bsky.feed.post" {
        return invalid("$type");
    }
    let text = record["text"].as_str().ok_or_else(|| refusal("text"))?;
    let graphemes = text.graphemes(true).count();
    if graphemes > 300 {
        return Err(("InvalidRequest", format!("grapheme too big (maximum 300, got {graphemes})")));
    }
    if text.len() > 3_000 {
        return Err((
            "InvalidRequest",
            format!("string too big (maximum 3000, got {})", text.len()),
        ));
    }
    let at = record["createdAt"].as_str().ok_or_else(|| refusal("createdAt"))?;
    DateTime::parse_from_rfc3339(at).map_err(|_| refusal("createdAt"))?;
    strings(record, "langs", 3)?;
    strings(record, "tags", 8)?;
    for facet in items(record, "facets")? {
        check_facet(facet)?;
    }
    if let Some(reply) = record.get("reply") {
        only(reply, &["root", "parent"])?;
        for end in [&reply["root"], &reply["parent"]] {
            only(end, &["uri", "cid"])?;
            let post = ledger.find(end["uri"].as_str().unwrap_or_default());
            if post.is_none_or(|post| end["cid"] != *post.cid) {
                return invalid("reply");
            }
        }
    }
    if let Some(labels) = record.get("labels") {
        only(labels, &["$type", "values"])?;
        if labels["$type"] != "com.atproto.label.defs#selfLabels" {
            return invalid("labels");
        }
        for label in items(labels, "values")? {
            only(label, &["val"])?;
            text_of(label, "val")?;
        }
    }
    match record.get("embed") {
        Some(embed) => check_embed(embed, did, ledger),
        None => Ok(()),
    }
}

fn check_facet(facet: &Value) -> Result<(), Refusal> {
    only(facet, &["index", "features"])?;
    only(&facet["index"], &["byteStart", "byteEnd"])?;
    if !(facet["index"]["byteStart"].is_u64() && facet["index"]["byteEnd"].is_u64()) {
        return invalid("facets");
    }
    for feature in items(facet, "features")? {
        let (kind, name) = match text_of(feature, "$type")? {
            "app.bsky.richtext.facet#link" => ("uri", "uri"),
            "app.bsky.richtext.facet#mention" => ("did", "did"),
            "app.bsky.richtext.facet#tag" => ("tag", "tag"),
            _ => return invalid("features"),
        };
        only(feature, &["$type", kind])?;
        text_of(feature, name)?;
    }
    Ok(())
}

fn check_embed(embed: &Value, did: &str, ledger: &Ledger) -> Result<(), Refusal> {
    match text_of(embed, "$type")? {
        "app.bsky.embed.images" => {
            only(embed, &["$type", "images"])?;
            let images = items(embed, "images")?;
            if !(1..=4).contains(&images.len()) {
                return invalid("images");
            }
            for image in images {
                only(image, &["image", "alt", "aspectRatio"])?;
                if !image["alt"].is_string() {
                    return invalid("alt");
                }
                check_ratio(image)?;
                check_blob(&image["image"], "image/", Some(MOST_OF_IMAGE), did, ledger)?;
            }
            Ok(())
        }
        "app.bsky.embed.video" => {
            only(embed, &["$type", "video", "alt", "aspectRatio"])?;
            check_ratio(embed)?;
            check_blob(&embed["video"], "video/mp4", None, did, ledger)
        }
        "app.bsky.embed.external" => {
            only(embed, &["$type", "external"])?;
            let external = &embed["external"];
            only(external, &["uri", "title", "description", "thumb"])?;
            for name in ["uri", "title", "description"] {
                external[name].as_str().ok_or_else(|| refusal(name))?;
            }
            match external.get("thumb") {
                Some(thumb) => check_blob(thumb, "image/", Some(MOST_OF_IMAGE), did, ledger),
                None => Ok(()),
            }
        }
        _ => invalid("embed"),
    }
}

fn check_ratio(of: &Value) -> Result<(), Refusal> {
    let ratio = &of["aspectRatio"];
    only(ratio, &["width", "height"])?;
    let is_side = |side: &Value| side.as_u64().is_some_and(|side| side > 0);
    if is_side(&ratio["width"]) && is_side(&ratio["height"]) {
        Ok(())
    } else {
        invalid("aspectRatio")
    }
}

fn check_blob(
    blob: &Value,
    kind: &str,
    most: Option<u64>,
    did: &str,
    ledger: &Ledger,
) -> Result<(), Refusal> {
    only(blob, &["$type", "ref", "mimeType", "size"])?;
    if !text_of(blob, "mimeType")?.starts_with(kind) {
        return invalid("mimeType");
    }
    let size = blob["size"].as_u64().unwrap_or_default();
    if let Some(most) = most.filter(|most| size > *most) {
        return Err(("InvalidRequest", format!("blob too big (maximum {most}, got {size})")));
    }
    if ledger.has(did, blob) {
        return Ok(());
    }
    Err(("BlobNotFound", "Could not find blob".to_owned()))
}

fn items<'a>(of: &'a Value, name: &str) -> Result<Vec<&'a Value>, Refusal> {
    match of.get(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) if !items.is_empty() => Ok(items.iter().collect()),
        Some(_) => Err(refusal(name)),
    }
}

fn strings(of: &Value, name: &str, most: usize) -> Result<(), Refusal> {
    let items = items(of, name)?;
    if items.len() <= most && items.iter().all(|item| item.is_string()) {
        Ok(())
    } else {
        invalid(name)
    }
}

fn text_of<'a>(of: &'a Value, name: &str) -> Result<&'a str, Refusal> {
    of[name].as_str().filter(|text| !text.is_empty()).ok_or_else(|| refusal(name))
}

fn only(of: &Value, known: &[&str]) -> Result<(), Refusal> {
    let fields = of.as_object().ok_or_else(|| refusal(known[0]))?;
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        Some(unknown) => Err(("InvalidRequest", format!("the lexicon has no field {unknown}"))),
        None => Ok(()),
    }
}

fn refusal(what: &str) -> Refusal {
    ("InvalidRequest", format!("Invalid app.bsky.feed.post record: {what}"))
}

fn invalid<T>(what: &str) -> Result<T, Refusal> {
    Err(refusal(what))
}
