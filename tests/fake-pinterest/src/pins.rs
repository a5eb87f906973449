//! Pins: what is accepted, and how it is shown.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fake_http::{Answer, form};
use serde_json::{Map, Value, json};

use crate::answers::{Refusal, answer, invalid, not_found, refuse};
use crate::boards::{Boards, page};
use crate::faults::{Faults, Order};
use crate::storage::Storage;

/// Pins that are kept: this is a server for tests.
const MOST_PINS: usize = 10_000;
/// The largest picture as it is sent: the stricter way to read the documentation.
const MOST_OF_PICTURE: usize = 10_000_000;

/// A Pin that is out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// What was sent, without the bytes of pictures.
    pub sent: Value,
    /// The pictures that were sent with it, in order.
    pub pictures: Vec<Vec<u8>>,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
}

impl Accepted {
    fn text(&self, name: &str) -> Value {
        self.sent.get(name).cloned().unwrap_or(Value::Null)
    }
}

/// How a Pin stands to those who ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is shown.
    #[default]
    Shown,
    /// It is there, and not shown.
    Hidden,
    /// It is gone.
    Deleted,
}

#[derive(Debug, Default)]
pub(crate) struct Pins {
    all: Vec<Accepted>,
    counted: BTreeMap<String, Value>,
    standing: BTreeMap<String, Standing>,
}

/// A Pin that would be accepted.
pub(crate) struct NewPin {
    user: String,
    sent: Value,
    pictures: Vec<Vec<u8>>,
}

impl NewPin {
    /// Checks a body as the documentation has it.
    pub(crate) fn read(
        user: &str,
        body: &[u8],
        boards: &Boards,
        storage: &Storage,
    ) -> Result<Self, Refusal> {
        let mut sent: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(pin) = sent.as_object_mut() else {
            return Err(Refusal::invalid("The body is no object."));
        };
        ensure_known(
            pin,
            &[
                "board_id",
                "board_section_id",
                "title",
                "description",
                "link",
                "dominant_color",
                "alt_text",
                "media_source",
            ],
        )?;
        for (name, most) in
            [("title", 100), ("description", 800), ("alt_text", 500), ("link", 2_048)]
        {
            let long = pin.get(name).and_then(Value::as_str).map(|text| text.chars().count());
            if long.is_some_and(|long| long > most) {
                return Err(Refusal::invalid(&format!("'{name}' is too long")));
            }
        }
        let text = |name: &str| pin.get(name).and_then(Value::as_str);
        let board = text("board_id").ok_or_else(|| Refusal::invalid("'board_id' is required"))?;
        if !boards.has(board) {
            return Err(Refusal::not_found("Board not found."));
        }
        if text("board_section_id").is_some_and(|id| !boards.has_section(board, id)) {
            return Err(Refusal::not_found("Board section not found."));
        }
        if text("link").is_some_and(|link| link.contains("spam")) {
            return Err(Refusal::invalid(
                "Sorry! We blocked this link because it may lead to spam.",
            ));
        }
        let source = pin.get_mut("media_source").and_then(Value::as_object_mut);
        let source = source.ok_or_else(|| Refusal::invalid("'media_source' is required"))?;
        let pictures = pictures(source, storage, user)?;
        Ok(Self { user: user.to_owned(), sent, pictures })
    }
}

fn ensure_known(object: &Map<String, Value>, known: &[&str]) -> Result<(), Refusal> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(Refusal::invalid(&format!("'{unknown}' is not a known field"))),
        None => Ok(()),
    }
}

/// Takes the pictures out of a source, and checks what else is in it.
fn pictures(
    source: &mut Map<String, Value>,
    storage: &Storage,
    user: &str,
) -> Result<Vec<Vec<u8>>, Refusal> {
    let kind = source.get("source_type").and_then(Value::as_str).unwrap_or_default().to_owned();
    match kind.as_str() {
        "image_base64" => {
            ensure_known(source, &["source_type", "content_type", "data"])?;
            Ok(vec![picture(source, "content_type", "data")?])
        }
        "image_url" => {
            ensure_known(source, &["source_type", "url"])?;
            ensure_address(source).map(|()| Vec::new())
        }
        "multiple_image_base64" | "multiple_image_urls" => {
            ensure_known(source, &["source_type", "items", "index"])?;
            let items = source.get_mut("items").and_then(Value::as_array_mut);
            let items = items.filter(|items| (2..=5).contains(&items.len()));
            let mut pictures = Vec::new();
            for item in items.ok_or_else(|| Refusal::invalid("'items' has 2 to 5 entries"))? {
                let item =
                    item.as_object_mut().ok_or_else(|| Refusal::invalid("an item is no object"))?;
                if kind == "multiple_image_urls" {
                    ensure_known(item, &["url", "title", "description", "link"])?;
                    ensure_address(item)?;
                } else {
                    let known = ["content_type", "data", "title", "description", "link"];
                    ensure_known(item, &known)?;
                    pictures.push(picture(item, "content_type", "data")?);
                }
            }
            Ok(pictures)
        }
        "video_id" => video(source, storage, user),
        _ => Err(Refusal::invalid("'source_type' is not known")),
    }
}

fn video(
    source: &mut Map<String, Value>,
    storage: &Storage,
    user: &str,
) -> Result<Vec<Vec<u8>>, Refusal> {
    ensure_known(
        source,
        &[
            "source_type",
            "media_id",
            "cover_image_url",
            "cover_image_content_type",
            "cover_image_data",
            "cover_image_key_frame_time",
        ],
    )?;
    let id = source.get("media_id").and_then(Value::as_str).unwrap_or_default();
    if !storage.can_be_used(user, id) {
        return Err(Refusal::invalid("The media is not ready or not known."));
    }
    if source.contains_key("cover_image_data") {
        return Ok(vec![picture(source, "cover_image_content_type", "cover_image_data")?]);
    }
    let by_time = source.get("cover_image_key_frame_time").is_some_and(Value::is_u64);
    if by_time || source.contains_key("cover_image_url") {
        return Ok(Vec::new());
    }
    Err(Refusal::invalid("a cover is required"))
}

fn picture(object: &mut Map<String, Value>, kind: &str, data: &str) -> Result<Vec<u8>, Refusal> {
    let kind = object.get(kind).and_then(Value::as_str).unwrap_or_default();
    if !["image/jpeg", "image/png"].contains(&kind) {
        return Err(Refusal::invalid("'content_type' is not valid"));
    }
    let text = object.remove(data).and_then(|data| Some(data.as_str()?.to_owned()));
    let text = text.filter(|text| (1..=MOST_OF_PICTURE).contains(&text.len()));
    let bytes = text.and_then(|text| STANDARD.decode(text).ok());
    bytes.ok_or_else(|| Refusal::invalid("'data' is not valid"))
}

fn ensure_address(object: &Map<String, Value>) -> Result<(), Refusal> {
    let url = object.get("url").and_then(Value::as_str).unwrap_or_default();
    match url.starts_with("https://") {
        true => Ok(()),
        false => Err(Refusal::new(400, 235, "Sorry we could not fetch the image.")),
    }
}

impl Pins {
    pub(crate) fn all(&self) -> &[Accepted] {
        &self.all
    }

    pub(crate) fn count(&mut self, id: &str, metrics: Value) {
        self.counted.insert(id.to_owned(), metrics);
    }

    pub(crate) fn set_standing(&mut self, id: &str, standing: Standing) {
        self.standing.insert(id.to_owned(), standing);
    }

    /// Accepts a Pin; how it is shown.
    pub(crate) fn accept(
        &mut self,
        new: NewPin,
        faults: &Faults,
        now: DateTime<Utc>,
    ) -> Option<Value> {
        if self.all.len() >= MOST_PINS {
            return None;
        }
        let NewPin { user, sent, pictures } = new;
        let id = (1_090_000_000_000_000_000 + self.all.len() as u64).to_string();
        let pin = Accepted { id, user, sent, pictures, accepted_at: now };
        let shown = self.shown(&pin, faults, false);
        self.all.push(pin);
        Some(shown)
    }

    fn shown(&self, pin: &Accepted, faults: &Faults, with_metrics: bool) -> Value {
        let text = |name: &str| match (pin.text(name), faults.escape) {
            (Value::String(text), true) => {
                json!(text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
            }
            (text, _) => text,
        };
        let created_at = match faults.zone {
            true => pin.accepted_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            false => pin.accepted_at.format("%Y-%m-%dT%H:%M:%S").to_string(),
        };
        let source = &pin.sent["media_source"];
        let is_video = source["source_type"] == "video_id";
        let media = match source["items"].as_array() {
            _ if is_video => {
                json!({ "media_type": "video", "duration": null, "width": null, "height": null })
            }
            None => json!({ "media_type": "image" }),
            Some(items) => {
                let item = json!({ "item_type": "image" });
                json!({ "media_type": "multiple_images", "items": vec![item; items.len()] })
            }
        };
        let mut shown = json!({
            "id": pin.id, "created_at": created_at, "link": pin.text("link"),
            "title": text("title"), "description": text("description"),
            "dominant_color": pin.text("dominant_color"), "alt_text": text("alt_text"),
            "board_id": pin.text("board_id"), "board_section_id": pin.text("board_section_id"),
            "board_owner": { "username": pin.user }, "parent_pin_id": null, "is_owner": true,
            "is_standard": true, "has_been_promoted": false,
            "creative_type": if is_video { "VIDEO" } else { "REGULAR" },
            "media": media,
            "pin_metrics": null,
        });
        if with_metrics {
            shown["pin_metrics"] = self.counted.get(&pin.id).cloned().unwrap_or(Value::Null);
        }
        shown
    }

    /// Answers `GET /v5/pins/{id}`.
    pub(crate) fn read(&self, id: &str, query: &str, faults: &Faults) -> Answer {
        let mut with_metrics = false;
        for (name, value) in form(query) {
            match (name.as_str(), value.as_str()) {
                ("pin_metrics", "true" | "false") => with_metrics = value == "true",
                _ => return invalid(&format!("The query parameter {name} is not valid.")),
            }
        }
        let standing = self.standing.get(id).copied().unwrap_or_default();
        match (self.all.iter().find(|pin| pin.id == id), standing) {
            (Some(pin), Standing::Shown) => answer(200, &self.shown(pin, faults, with_metrics)),
            (Some(_), Standing::Hidden) => {
                refuse(403, 3, "You are not permitted to access that resource.")
            }
            _ => not_found("Pin not found."),
        }
    }

    /// Answers `GET /v5/boards/{id}/pins`, and the same of a section.
    pub(crate) fn list(
        &self,
        (board, section): (&str, Option<&str>),
        query: &str,
        faults: &Faults,
        now: DateTime<Utc>,
    ) -> Answer {
        let hide = TimeDelta::from_std(faults.hide).unwrap_or_default();
        let mut pins: Vec<&Accepted> = self
            .all
            .iter()
            .filter(|pin| pin.accepted_at + hide <= now && pin.sent["board_id"] == board)
            .filter(|pin| section.is_none_or(|id| pin.sent["board_section_id"] == id))
            .collect();
        if faults.order == Order::NewestFirst {
            pins.reverse();
        }
        page(pins.into_iter().map(|pin| self.shown(pin, faults, false)).collect(), query)
    }
}
