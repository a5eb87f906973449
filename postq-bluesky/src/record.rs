//! The record of a post: what is written to the account's repository.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use postq_core::failure::{Failure, FailureClass};
use postq_core::platform::Outgoing;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::facets::{What, spans};
use crate::media::Taken;
use crate::session::is_did;

/// Where posts are in a repository.
pub(crate) const COLLECTION: &str = "app.bsky.feed.post";
/// The longest id of a record's content.
const MOST_OF_CID: usize = 128;

/// What a record has that its post does not say: the same for every attempt, since it is written down with the
/// intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frozen {
    /// When the post says that it was made.
    pub(crate) at: String,
    /// Who has the handles that its text mentions; those that nobody has are missing.
    #[serde(default)]
    pub(crate) dids: BTreeMap<String, String>,
}

impl Frozen {
    pub(crate) fn new(now: DateTime<Utc>, dids: BTreeMap<String, String>) -> Self {
        Self { at: now.to_rfc3339_opts(SecondsFormat::Millis, true), dids }
    }

    pub(crate) fn write(&self) -> String {
        serde_json::to_string(self).expect("texts are JSON")
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        let frozen: Self = serde_json::from_str(text).ok()?;
        let is_whole = frozen.made_at().is_some() && frozen.dids.values().all(|did| is_did(did));
        is_whole.then_some(frozen)
    }

    pub(crate) fn made_at(&self) -> Option<DateTime<Utc>> {
        time(&self.at)
    }
}

pub(crate) fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

/// A post that is out, as replies name it: its address and the id of its content.
///
/// Written `at://DID/app.bsky.feed.post/KEY#CID`: what a receipt has as its remote id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StrongRef {
    pub(crate) uri: String,
    pub(crate) cid: String,
}

impl StrongRef {
    pub(crate) fn parse(remote_id: &str) -> Option<Self> {
        let (uri, cid) = remote_id.rsplit_once('#')?;
        let fits = (1..=MOST_OF_CID).contains(&cid.len())
            && cid.bytes().all(|c| c.is_ascii_alphanumeric());
        (fits && is_post(uri)).then(|| Self { uri: uri.to_owned(), cid: cid.to_owned() })
    }

    pub(crate) fn remote_id(&self) -> String {
        format!("{}#{}", self.uri, self.cid)
    }

    fn json(&self) -> Value {
        json!({ "uri": self.uri, "cid": self.cid })
    }
}

/// The address of a post.
pub(crate) fn uri(did: &str, rkey: &str) -> String {
    format!("at://{did}/{COLLECTION}/{rkey}")
}

fn is_post(uri: &str) -> bool {
    let mut pieces = uri.strip_prefix("at://").unwrap_or_default().split('/');
    let (did, collection, rkey) = (pieces.next(), pieces.next(), pieces.next());
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b':' | b'~');
    did.is_some_and(is_did)
        && collection == Some(COLLECTION)
        && rkey.is_some_and(|rkey| !rkey.is_empty() && rkey.bytes().all(fits))
        && pieces.next().is_none()
}

/// The record of a part.
pub(crate) fn record(part: &Outgoing<'_>, frozen: &Frozen) -> Result<Value, Failure> {
    let mut record = Map::new();
    let mut set = |name: &str, value: Value| record.insert(name.to_owned(), value);
    set("$type", json!(COLLECTION));
    set("text", json!(part.text));
    set("createdAt", json!(frozen.at));
    let langs = part.options.list("langs");
    if !langs.is_empty() {
        set("langs", json!(langs));
    }
    let facets = facets(part.text, frozen);
    if !facets.is_empty() {
        set("facets", json!(facets));
    }
    if let Some(parent) = part.reply_to {
        let parent = reference(parent)?;
        let root = part.thread.map(reference).transpose()?.unwrap_or_else(|| parent.clone());
        set("reply", json!({ "root": root.json(), "parent": parent.json() }));
    }
    if let Some(embed) = embed(part)? {
        set("embed", embed);
    }
    let labels = part.options.list("labels");
    if !labels.is_empty() {
        let values: Vec<Value> = labels.iter().map(|label| json!({ "val": label })).collect();
        set("labels", json!({ "$type": "com.atproto.label.defs#selfLabels", "values": values }));
    }
    let tags = part.options.list("tags");
    if !tags.is_empty() && part.part == 0 {
        set("tags", json!(tags));
    }
    Ok(Value::Object(record))
}

fn reference(remote_id: &str) -> Result<StrongRef, Failure> {
    StrongRef::parse(remote_id).ok_or_else(|| {
        let message = "the part before has no remote id of Bluesky: at://…#…";
        Failure::not_published(FailureClass::Internal, message)
    })
}

fn facets(text: &str, frozen: &Frozen) -> Vec<Value> {
    let facet = |span: crate::facets::Span| {
        let feature = match span.what {
            What::Link(uri) => json!({ "$type": "app.bsky.richtext.facet#link", "uri": uri }),
            What::Mention(handle) => {
                // Nobody has the handle: it is text.
                let did = frozen.dids.get(&handle)?;
                json!({ "$type": "app.bsky.richtext.facet#mention", "did": did })
            }
            What::Tag(tag) => json!({ "$type": "app.bsky.richtext.facet#tag", "tag": tag }),
        };
        let index = json!({ "byteStart": span.place.start, "byteEnd": span.place.end });
        Some(json!({ "index": index, "features": [feature] }))
    };
    spans(text).into_iter().filter_map(facet).collect()
}

/// What a part shows below its text: a card, or its media.
fn embed(part: &Outgoing<'_>) -> Result<Option<Value>, Failure> {
    let taken: Vec<Taken> = part
        .prepared
        .iter()
        .map(|media| Taken::read(&media.remote_id))
        .collect::<Option<_>>()
        .ok_or_else(|| {
            let message = "what was uploaded for this part cannot be read; it is uploaded again";
            Failure::not_published(FailureClass::Internal, message).as_media_gone()
        })?;
    let refused = |why: &str| Err(Failure::not_published(FailureClass::Content, why));
    if let (Some(url), 0) = (part.options.text("card_url"), part.part) {
        return match taken.as_slice() {
            [] => Ok(Some(card(part, url, None))),
            [one] if !one.is_video => Ok(Some(card(part, url, Some(one)))),
            _ => refused("a card takes one picture, as its thumbnail, and no other media"),
        };
    }
    let alt = |place: usize| {
        part.media.get(place).and_then(|media| media.alt.as_deref()).unwrap_or_default()
    };
    match taken.as_slice() {
        [] => Ok(None),
        [video] if video.is_video => {
            let mut embed = json!({
                "$type": "app.bsky.embed.video",
                "video": video.blob,
                "aspectRatio": { "width": video.width, "height": video.height },
            });
            if !alt(0).is_empty() {
                embed["alt"] = json!(alt(0));
            }
            Ok(Some(embed))
        }
        all if all.iter().any(|one| one.is_video) => refused("a video stands alone in its part"),
        all => {
            let images: Vec<Value> = all
                .iter()
                .enumerate()
                .map(|(place, image)| {
                    json!({
                        "image": image.blob,
                        "alt": alt(place),
                        "aspectRatio": { "width": image.width, "height": image.height },
                    })
                })
                .collect();
            Ok(Some(json!({ "$type": "app.bsky.embed.images", "images": images })))
        }
    }
}

fn card(part: &Outgoing<'_>, url: &str, thumb: Option<&Taken>) -> Value {
    let host = || reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let title =
        part.options.text("card_title").map(str::to_owned).or_else(host).unwrap_or_default();
    let description = part.options.text("card_description").unwrap_or_default();
    let mut external = json!({ "uri": url, "title": title, "description": description });
    if let Some(thumb) = thumb {
        external["thumb"] = thumb.blob.clone();
    }
    json!({ "$type": "app.bsky.embed.external", "external": external })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_id_is_read_as_it_is_written() {
        let id = "at://did:plc:abc/app.bsky.feed.post/3jzfcijpj2z2a#bafyreib";
        let read = StrongRef::parse(id).expect("a remote id");

        assert_eq!(read.remote_id(), id);
        assert_eq!(read.cid, "bafyreib");
        for bad in [
            "",
            "3jzfcijpj2z2a",
            "at://did:plc:abc/app.bsky.feed.post/3jzfcijpj2z2a",
            "at://did:plc:abc/app.bsky.feed.post/3jzfcijpj2z2a#",
            "at://did:plc:abc/app.bsky.feed.like/3jzfcijpj2z2a#bafy",
            "at://did:plc:abc/app.bsky.feed.post/a/b#bafy",
            "at://alice.test/app.bsky.feed.post/a#bafy",
            "at://did:plc:abc/app.bsky.feed.post/a?b#bafy",
            "at://did:plc:abc/app.bsky.feed.post/a#ba fy",
        ] {
            assert_eq!(StrongRef::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_frozen_is_read_as_it_is_written() {
        let at = DateTime::from_timestamp(1_795_000_000, 5_000_000).expect("a time");
        let dids = BTreeMap::from([("alice.test".to_owned(), "did:plc:abc".to_owned())]);
        let frozen = Frozen::new(at, dids);

        assert_eq!(frozen.at, "2026-11-18T11:06:40.005Z");
        assert_eq!(Frozen::read(&frozen.write()), Some(frozen.clone()));
        assert_eq!(frozen.made_at(), Some(at));
        for bad in
            ["", "{}", r#"{"at":"soon"}"#, r#"{"at":"2026-11-18T11:06:40Z","dids":{"a":"b"}}"#]
        {
            assert_eq!(Frozen::read(bad), None, "{bad}");
        }
    }
}
