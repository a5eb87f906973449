//! Uploads, as X takes them: initialize, append, finalize, status, metadata.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use fake_http::{Answer, Cut};
use serde_json::{Value, json};

use crate::answers::{answer, refuse, unavailable};
use crate::faults::{Dialect, Faults, MediaFault};

/// The largest piece.
const MOST_OF_PIECE: usize = 5 * 1_000 * 1_000;
/// Uploads that are kept, and bytes of one: this is a server for tests.
const MOST_UPLOADS: usize = 10_000;
const MOST_BYTES: u64 = 64 * 1_024 * 1_024;

/// An upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// What it was said to be.
    pub media_type: String,
    /// How it is counted.
    pub category: String,
    /// How large it was said to be.
    pub total: u64,
    /// Its pieces, by their number.
    pub pieces: BTreeMap<u32, Vec<u8>>,
    /// Whether it is finished.
    pub finalized: bool,
    /// Questions that are still answered with "in progress".
    pub working: u32,
    /// Whether working on it fails.
    pub fails: bool,
    /// What it shows.
    pub alt: Option<String>,
    /// When it is forgotten.
    pub expires_at: DateTime<Utc>,
}

impl Uploaded {
    /// All pieces, one after the other.
    pub fn content(&self) -> Vec<u8> {
        self.pieces.values().flatten().copied().collect()
    }

    fn told(&self, dialect: Dialect, now: DateTime<Utc>) -> Value {
        let left = (self.expires_at - now).num_seconds().max(0);
        let mut data = json!({
            "id": self.id,
            "media_key": format!("13_{}", self.id),
            "size": self.content().len(),
            "expires_after_secs": left,
        });
        let works = self.category == "tweet_video" || self.fails;
        if self.finalized && works {
            data["processing_info"] = match (self.working, self.fails) {
                // Why is told with the older names alone.
                (0, true) if dialect == Dialect::Post => json!({ "state": "failed" }),
                (0, true) => json!({
                    "state": "failed",
                    "error": { "code": 1, "name": "InvalidMedia", "message": "file is unsupported" },
                }),
                (0, false) => json!({ "state": "succeeded", "progress_percent": 100 }),
                _ => json!({ "state": "in_progress", "check_after_secs": 0 }),
            };
        }
        json!({ "data": data })
    }
}

/// All uploads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uploads {
    by_id: BTreeMap<String, Uploaded>,
    last: u64,
}

impl Uploads {
    pub(crate) fn all(&self) -> Vec<Uploaded> {
        self.by_id.values().cloned().collect()
    }

    /// Whether a post of this user can have these.
    pub(crate) fn can_be_used(&self, user: &str, ids: &[String], now: DateTime<Utc>) -> bool {
        ids.iter().all(|id| {
            let found = self.by_id.get(id).filter(|it| it.user == user && it.expires_at > now);
            found.is_some_and(|it| it.finalized && it.working == 0 && !it.fails)
        })
    }

    /// Answers `POST /2/media/upload/initialize`.
    pub(crate) fn initialize(
        &mut self,
        user: &str,
        body: &Value,
        faults: &mut Faults,
        now: DateTime<Utc>,
    ) -> Result<Answer, Cut> {
        if let Some(fault) = faults.next_media(&[MediaFault::Unavailable, MediaFault::CutBefore]) {
            return stopped(fault);
        }
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let total = body.get("total_bytes").and_then(Value::as_u64);
        let (Some(media_type), Some(category), Some(total)) =
            (text("media_type"), text("media_category"), total.filter(|it| *it <= MOST_BYTES))
        else {
            return Ok(invalid("One or more parameters was invalid."));
        };
        if self.by_id.len() >= MOST_UPLOADS {
            return Ok(unavailable());
        }
        self.last += 1;
        let id = (1_880_000_000_000_000_000 + self.last).to_string();
        let uploaded = Uploaded {
            id: id.clone(),
            user: user.to_owned(),
            media_type,
            category,
            total,
            pieces: BTreeMap::new(),
            finalized: false,
            working: 0,
            fails: false,
            alt: None,
            expires_at: now + TimeDelta::days(15),
        };
        let told = uploaded.told(faults.dialect, now);
        self.by_id.insert(id, uploaded);
        Ok(answer(200, &told))
    }

    /// Answers `POST /2/media/upload/{id}/append`.
    pub(crate) fn append(
        &mut self,
        (user, id): (&str, &str),
        body: &Value,
        faults: &mut Faults,
        now: DateTime<Utc>,
    ) -> Result<Answer, Cut> {
        use MediaFault::{CutAfter, CutBefore, Forget, Unavailable};
        let fault = faults.next_media(&[CutBefore, CutAfter, Unavailable, Forget]);
        match fault {
            Some(Forget) => drop(self.by_id.remove(id)),
            Some(fault @ (CutBefore | Unavailable)) => return stopped(fault),
            _ => {}
        }
        let Some(uploaded) = self.own(user, id, now) else { return Ok(unknown()) };
        let place = body.get("segment_index").and_then(Value::as_u64);
        let place = place.and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= 999);
        let piece = body.get("media").and_then(Value::as_str).and_then(|t| STANDARD.decode(t).ok());
        let (Some(place), Some(piece)) = (place, piece) else {
            return Ok(invalid("One or more parameters was invalid."));
        };
        if piece.len() > MOST_OF_PIECE || uploaded.finalized {
            return Ok(invalid("The segment is not valid."));
        }
        uploaded.pieces.insert(place, piece);
        match fault {
            Some(CutAfter) => Err(Cut),
            _ => Ok(answer(
                200,
                &json!({ "data": { "expires_at": uploaded.expires_at.timestamp() } }),
            )),
        }
    }

    /// Answers `POST /2/media/upload/{id}/finalize`.
    pub(crate) fn finalize(
        &mut self,
        (user, id): (&str, &str),
        faults: &mut Faults,
        now: DateTime<Utc>,
    ) -> Result<Answer, Cut> {
        let fault = faults.next_media(&[MediaFault::ProcessingFails]);
        let (polls, life) = (faults.media_polls, faults.media_life);
        let Some(uploaded) = self.own(user, id, now) else { return Ok(unknown()) };
        if uploaded.content().len() as u64 != uploaded.total {
            return Ok(invalid("Segments do not add up to provided total file size."));
        }
        if !uploaded.finalized {
            uploaded.finalized = true;
            uploaded.fails = fault.is_some();
            uploaded.working = if uploaded.category == "tweet_video" { polls } else { 0 };
            uploaded.expires_at = now + TimeDelta::from_std(life).unwrap_or(TimeDelta::days(1));
        }
        Ok(answer(200, &uploaded.told(faults.dialect, now)))
    }

    /// Answers `GET /2/media/upload?command=STATUS&media_id=ID`.
    pub(crate) fn status(
        &mut self,
        user: &str,
        query: &str,
        dialect: Dialect,
        now: DateTime<Utc>,
    ) -> Answer {
        let id = query.split('&').find_map(|pair| pair.strip_prefix("media_id="));
        let Some(uploaded) = self.own(user, id.unwrap_or_default(), now) else { return unknown() };
        uploaded.working = uploaded.working.saturating_sub(1);
        answer(200, &uploaded.told(dialect, now))
    }

    /// Answers `POST /2/media/metadata`.
    pub(crate) fn describe(&mut self, user: &str, body: &Value, now: DateTime<Utc>) -> Answer {
        let id = body.get("id").and_then(Value::as_str).unwrap_or_default();
        let text = body.pointer("/metadata/alt_text/text").and_then(Value::as_str);
        let Some(text) = text.filter(|text| text.chars().count() <= 1_000) else {
            return invalid("The alt text is missing or too long.");
        };
        let Some(uploaded) = self.own(user, id, now) else { return unknown() };
        uploaded.alt = Some(text.to_owned());
        answer(200, &json!({ "data": { "id": id } }))
    }

    fn own(&mut self, user: &str, id: &str, now: DateTime<Utc>) -> Option<&mut Uploaded> {
        self.by_id.get_mut(id).filter(|it| it.user == user && it.expires_at > now)
    }
}

fn stopped(fault: MediaFault) -> Result<Answer, Cut> {
    match fault {
        MediaFault::Unavailable => Ok(unavailable()),
        _ => Err(Cut),
    }
}

fn invalid(detail: &str) -> Answer {
    refuse(400, "invalid-request", "Invalid Request", detail)
}

fn unknown() -> Answer {
    refuse(404, "resource-not-found", "Not Found Error", "Could not find media with this id.")
}
