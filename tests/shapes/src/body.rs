//! Bodies, whatever they are written as.

use serde_json::{Map, Value, json};

use crate::{Sent, form};

/// The fields of a body; none if it is empty.
pub(crate) fn read(sent: Sent<'_>) -> Option<Value> {
    if sent.body.is_empty() {
        return None;
    }
    let kind = sent.header("content-type");
    if kind.starts_with("application/x-www-form-urlencoded") {
        return Some(object(form(sent.body)));
    }
    match kind.strip_prefix("multipart/form-data; boundary=") {
        Some(boundary) => Some(object(parts(sent.body, boundary))),
        None => Some(serde_json::from_str(sent.body).unwrap_or_else(|_| json!(sent.body))),
    }
}

/// A text as what a shape has it to be.
pub(crate) fn typed(text: &str, shape: &Value) -> Value {
    match shape["type"].as_str() {
        Some("integer" | "boolean") => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        _ => json!(text),
    }
}

fn object(fields: Vec<(String, String)>) -> Value {
    let fields = fields.into_iter().map(|(name, value)| (name, Value::String(value)));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// The parts of a form with a file, whose content may be no text.
fn parts(text: &str, boundary: &str) -> Vec<(String, String)> {
    let divider = format!("--{boundary}");
    let all = text.split(&divider).skip(1);
    all.filter_map(|part| {
        let (head, content) = part.split_once("\r\n\r\n")?;
        let name = head.split("; name=\"").nth(1)?.split('"').next()?;
        Some((name.to_owned(), content.trim_end_matches("\r\n").to_owned()))
    })
    .collect()
}
