//! Videos: registered, sent to the storage, worked on.

use std::net::SocketAddr;

use fake_http::{Answer, Call, Cut};
use serde_json::{Value, json};

use crate::answers::{answer, invalid, not_found, stored, unavailable};
use crate::faults::{Faults, MediaFault};

/// Uploads that are kept: this is a server for tests.
const MOST_UPLOADS: usize = 1_000;

/// An upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// The names of the form's fields, in the order in which they came.
    pub fields: Vec<String>,
    /// The type that was told of the file.
    pub content_type: String,
    /// The file; none until it came.
    pub content: Option<Vec<u8>>,
    /// Questions that are still answered with "processing".
    pub working: u32,
    /// Whether working on it fails.
    pub fails: bool,
}

/// All uploads.
#[derive(Debug)]
pub(crate) struct Storage {
    address: SocketAddr,
    all: Vec<Uploaded>,
}

impl Storage {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, all: Vec::new() }
    }

    pub(crate) fn all(&self) -> Vec<Uploaded> {
        self.all.clone()
    }

    /// Whether a Pin of this user can have it.
    pub(crate) fn can_be_used(&self, user: &str, id: &str) -> bool {
        let own = self.all.iter().find(|it| it.id == id && it.user == user);
        own.is_some_and(|it| it.content.is_some() && it.working == 0 && !it.fails)
    }

    /// Answers `POST /v5/media`.
    pub(crate) fn register(&mut self, user: &str, body: &[u8], faults: &mut Faults) -> Answer {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if body != json!({ "media_type": "video" }) {
            return invalid("'media_type' is not valid");
        }
        if faults.next_media(&[MediaFault::Unavailable]).is_some() || self.all.len() >= MOST_UPLOADS
        {
            return unavailable();
        }
        let id = (5_000 + self.all.len()).to_string();
        self.all.push(Uploaded {
            id: id.clone(),
            user: user.to_owned(),
            fields: Vec::new(),
            content_type: String::new(),
            content: None,
            working: 0,
            fails: false,
        });
        // Written by hand: the order of the fields is not the alphabet's.
        let text = format!(
            r#"{{"media_id":"{id}","media_type":"video","upload_url":"http://{}/storage",
            "upload_parameters":{{"x-amz-date":"20260122T185143Z","x-amz-signature":"signed-{id}",
            "x-amz-security-token":"token==","x-amz-algorithm":"AWS4-HMAC-SHA256",
            "key":"uploads/{id}","policy":"signed-policy","x-amz-credential":"a/b",
            "Content-Type":"multipart/form-data"}}}}"#,
            self.address
        );
        let mut registered = answer(201, &Value::Null);
        *registered.body_mut() = text.into();
        registered
    }

    /// Answers `POST /storage`, as S3 answers forms.
    pub(crate) fn take(&mut self, call: &Call, faults: &mut Faults) -> Result<Answer, Cut> {
        use MediaFault::{CutSending, Expired, ProcessingFails, TooLarge};
        match faults.next_media(&[CutSending, Expired, TooLarge]) {
            Some(CutSending) => return Err(Cut),
            Some(Expired) => return Ok(stored(403, "AccessDenied")),
            Some(TooLarge) => return Ok(stored(400, "EntityTooLarge")),
            _ => {}
        }
        if call.header("authorization").is_some() {
            return Ok(stored(400, "InvalidArgument"));
        }
        if call.header("content-length").is_none() {
            return Ok(stored(411, "MissingContentLength"));
        }
        let kind = call.header("content-type").unwrap_or_default();
        let Some(form) = Form::read(kind, &call.body) else {
            return Ok(stored(400, "MalformedPOSTRequest"));
        };
        let id = form.value("key").and_then(|key| key.strip_prefix("uploads/")).unwrap_or_default();
        let signed = format!("signed-{id}");
        if form.value("x-amz-signature") != Some(&signed) || form.value("policy").is_none() {
            return Ok(stored(403, "SignatureDoesNotMatch"));
        }
        let Some(own) = self.all.iter_mut().find(|it| it.id == id) else {
            return Ok(stored(403, "AccessDenied"));
        };
        own.fields = form.fields.iter().map(|(name, _)| name.clone()).collect();
        own.content_type = form.content_type;
        own.content = Some(form.file);
        own.working = faults.polls;
        own.fails = faults.next_media(&[ProcessingFails]).is_some();
        Ok(stored(204, ""))
    }

    /// Answers `GET /v5/media/{id}`.
    pub(crate) fn read(&mut self, user: &str, id: &str, faults: &mut Faults) -> Answer {
        if faults.next_media(&[MediaFault::Forget]).is_some() {
            self.all.retain(|it| it.id != id);
        }
        let Some(own) = self.all.iter_mut().find(|it| it.id == id && it.user == user) else {
            return not_found("Media upload not found.");
        };
        let status = match (&own.content, own.working, own.fails) {
            (None, ..) => "registered",
            (Some(_), 1.., _) => "processing",
            (Some(_), 0, true) => "failed",
            (Some(_), 0, false) => "succeeded",
        };
        own.working = own.working.saturating_sub(1);
        answer(200, &json!({ "media_id": id, "media_type": "video", "status": status }))
    }
}

/// A form with one file, which is its last field.
struct Form {
    fields: Vec<(String, String)>,
    content_type: String,
    file: Vec<u8>,
}

impl Form {
    fn read(kind: &str, body: &[u8]) -> Option<Self> {
        let boundary = kind.strip_prefix("multipart/form-data; boundary=")?;
        let (opening, closing) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}--\r\n"));
        let mut rest = body.strip_prefix(opening.as_bytes())?;
        let mut fields = Vec::new();
        loop {
            let (head, content) = split(rest, b"\r\n\r\n")?;
            let head = std::str::from_utf8(head).ok()?;
            let name = head.split("; name=\"").nth(1)?.split('"').next()?.to_owned();
            if name == "file" {
                let content_type = head.split("Content-Type: ").nth(1)?.to_owned();
                let file = content.strip_suffix(closing.as_bytes())?.to_vec();
                fields.push((name, String::new()));
                return Some(Self { fields, content_type, file });
            }
            let (value, after) = split(content, format!("\r\n{opening}").as_bytes())?;
            fields.push((name, String::from_utf8(value.to_vec()).ok()?));
            rest = after;
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

fn split<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = bytes.windows(at.len()).position(|window| window == at)?;
    Some((&bytes[..place], &bytes[place + at.len()..]))
}
