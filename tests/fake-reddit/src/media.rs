//! Leases and the store of files.

use std::collections::VecDeque;

use fake_http::{Answer, Canned, Cut};
use serde_json::json;

use crate::answers::{answer, errors, from_canned, page, plain};
use crate::faults::MediaFault;

/// A file that was leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Its asset.
    pub asset: String,
    /// Where it is, or will be.
    pub url: String,
    /// Whose it is.
    pub user: String,
    /// What it was said to be called.
    pub filepath: String,
    /// What it was said to be.
    pub mimetype: String,
    /// What was sent; none so far.
    pub content: Option<Vec<u8>>,
    /// What came before the file, in order.
    pub fields: Vec<(String, String)>,
    signature: String,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uploads(Vec<Uploaded>);

impl Uploads {
    pub(crate) fn all(&self) -> Vec<Uploaded> {
        self.0.clone()
    }

    /// A file of this user that was sent, by its asset or address.
    pub(crate) fn usable(&self, user: &str, name: &str) -> Option<&Uploaded> {
        let is = |file: &&Uploaded| file.asset == name || file.url == name;
        self.0.iter().find(is).filter(|file| file.user == user && file.content.is_some())
    }

    /// Answers `POST /api/media/asset.json`.
    pub(crate) fn lease(
        &mut self,
        user: &str,
        form: &[(String, String)],
        host: &str,
        faults: &mut VecDeque<MediaFault>,
    ) -> Answer {
        if take(faults, &[MediaFault::NoLease]).is_some() {
            return page(503);
        }
        let names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
        let [(_, api_type), (_, filepath), (_, mimetype)] = form else {
            return plain(400, "Bad Request");
        };
        if names != ["api_type", "filepath", "mimetype"] || api_type != "json" {
            return plain(400, "Bad Request");
        }
        let video = mimetype.starts_with("video/");
        if !video && !mimetype.starts_with("image/") {
            return errors("INVALID_OPTION", "that option is not valid", "mimetype");
        }
        let asset = format!("asset{}", self.0.len());
        let bucket = if video { "reddit-video" } else { "reddit-media" };
        let (key, signature) = (format!("rte/{asset}"), format!("signed-{asset}"));
        self.0.push(Uploaded {
            asset: asset.clone(),
            url: format!("http://{host}/_store/{bucket}/{key}"),
            user: user.to_owned(),
            filepath: filepath.clone(),
            mimetype: mimetype.clone(),
            content: None,
            fields: Vec::new(),
            signature: signature.clone(),
        });
        let field = |name: &str, value: &str| json!({ "name": name, "value": value });
        let fields = [
            field("acl", "private"),
            field("key", &key),
            field("X-Amz-Signature", &signature),
            field("success_action_status", "201"),
            field("content-type", mimetype),
        ];
        answer(
            200,
            &json!({
                "args": { "action": format!("//{host}/_store/{bucket}"), "fields": fields },
                "asset": {
                    "asset_id": asset, "processing_state": "incomplete",
                    "payload": { "filepath": filepath },
                    "websocket_url": "wss://ws.example.com/asset",
                },
            }),
        )
    }

    /// Answers a `POST` to the store.
    pub(crate) fn store(
        &mut self,
        (content_type, body): (&str, &[u8]),
        has_length: bool,
        faults: &mut VecDeque<MediaFault>,
    ) -> Result<Answer, Cut> {
        use MediaFault::{CutFile, LeaseEnded, StoreUnavailable, TooLarge};
        match take(faults, &[CutFile, StoreUnavailable, LeaseEnded, TooLarge]) {
            Some(CutFile) => return Err(Cut),
            Some(StoreUnavailable) => return Ok(xml(503, "SlowDown", "")),
            Some(LeaseEnded) => return Ok(xml(403, "AccessDenied", "")),
            Some(TooLarge) => {
                let sizes = "<ProposedSize>9</ProposedSize><MaxSizeAllowed>8</MaxSizeAllowed>";
                return Ok(xml(400, "EntityTooLarge", sizes));
            }
            _ => {}
        }
        if !has_length {
            return Ok(xml(411, "MissingContentLength", ""));
        }
        let Some((fields, content)) = parts(content_type, body) else {
            return Ok(xml(400, "MalformedPOSTRequest", ""));
        };
        let field =
            |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, v)| v.as_str());
        let Some(file) = self.0.iter_mut().find(|file| {
            Some(file.signature.as_str()) == field("X-Amz-Signature")
                && field("key").is_some_and(|key| file.url.ends_with(key))
        }) else {
            return Ok(xml(403, "AccessDenied", ""));
        };
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        let told = ["acl", "key", "X-Amz-Signature", "success_action_status", "content-type"];
        if names != told || field("content-type") != Some(&file.mimetype) {
            return Ok(xml(403, "PolicyConditionFailed", ""));
        }
        (file.content, file.fields) = (Some(content), fields.clone());
        let body = format!("<PostResponse><Location>{}</Location></PostResponse>", file.url);
        Ok(from_canned(&Canned::new(201, body)))
    }
}

fn xml(status: u16, code: &str, more: &str) -> Answer {
    from_canned(&Canned::new(status, format!("<Error><Code>{code}</Code>{more}</Error>")))
}

fn take(faults: &mut VecDeque<MediaFault>, can: &[MediaFault]) -> Option<MediaFault> {
    let next = faults.front().copied().filter(|fault| can.contains(fault))?;
    faults.pop_front();
    Some(next)
}

/// Names and values, in order.
type Fields = Vec<(String, String)>;

/// The fields of a multipart body in their order, and its file, which is the last part.
fn parts(content_type: &str, body: &[u8]) -> Option<(Fields, Vec<u8>)> {
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=")?;
    let line = format!("--{boundary}\r\n");
    let mut rest = body.strip_prefix(line.as_bytes())?;
    let mut fields = Vec::new();
    loop {
        let head_end = find(rest, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&rest[..head_end]).ok()?;
        let name = head.split("name=\"").nth(1)?.split('"').next()?.to_owned();
        rest = &rest[head_end + 4..];
        if name == "file" {
            let content = rest.strip_suffix(format!("\r\n--{boundary}--\r\n").as_bytes())?;
            return Some((fields, content.to_vec()));
        }
        let end = find(rest, format!("\r\n--{boundary}").as_bytes())?;
        fields.push((name, String::from_utf8(rest[..end].to_vec()).ok()?));
        rest = rest[end + 2..].strip_prefix(line.as_bytes())?;
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
