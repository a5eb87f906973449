//! What a request carries, however it is written: a query, a form, JSON, or a form with a file.

use std::collections::BTreeMap;

use fake_http::form;
use serde_json::Value;

/// The fields of a request, and its file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    values: BTreeMap<String, Value>,
    pub(crate) file: Option<(String, Vec<u8>)>,
}

impl Fields {
    /// Reads a query or a form.
    pub(crate) fn of_form(text: &str) -> Self {
        let fields = form(text).into_iter();
        let values = fields.map(|(name, value)| (name, Value::String(value)));
        Self { values: values.collect(), file: None }
    }

    /// Reads a body by its content type; none if it cannot be read.
    pub(crate) fn of_body(kind: &str, body: &[u8]) -> Option<Self> {
        if body.is_empty() {
            return Some(Self::default());
        }
        if kind.starts_with("application/json") {
            let values = serde_json::from_slice(body).ok()?;
            return Some(Self { values, file: None });
        }
        if kind.starts_with("application/x-www-form-urlencoded") {
            return Some(Self::of_form(std::str::from_utf8(body).ok()?));
        }
        let boundary = kind.strip_prefix("multipart/form-data; boundary=")?;
        Self::of_parts(format!("--{boundary}").as_bytes(), body)
    }

    fn of_parts(boundary: &[u8], body: &[u8]) -> Option<Self> {
        let mut fields = Self::default();
        let mut rest = body.strip_prefix(boundary)?;
        while let Some(part) = rest.strip_prefix(b"\r\n") {
            let end = find(part, &[b"\r\n", boundary].concat())?;
            let (part, after) = (&part[..end], &part[end + 2 + boundary.len()..]);
            let head = find(part, b"\r\n\r\n")?;
            let (head, content) = (std::str::from_utf8(&part[..head]).ok()?, &part[head + 4..]);
            let name = head.split("name=\"").nth(1)?.split('"').next()?.to_owned();
            if head.contains("filename=\"") {
                fields.file = Some((name, content.to_vec()));
            } else {
                let text = std::str::from_utf8(content).ok()?.to_owned();
                fields.values.insert(name, Value::String(text));
            }
            rest = after;
        }
        (rest == b"--\r\n").then_some(fields)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_str()
    }

    /// A whole number, as a number or as text.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let value = self.values.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    /// Yes or no, as JSON or as text.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        let value = self.values.get(name)?;
        value.as_bool().or_else(|| value.as_str()?.parse().ok())
    }

    /// A field that is none of these; the file counts by its name.
    pub(crate) fn unlisted(&self, listed: &[&str]) -> Option<&str> {
        let file = self.file.as_ref().map(|(name, _)| name);
        let mut names = self.values.keys().chain(file).map(String::as_str);
        names.find(|name| !listed.contains(name))
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_fields_is_read() {
        let form = Fields::of_body("application/x-www-form-urlencoded", b"a=b%20c&d=1").unwrap();
        let json = Fields::of_body("application/json", br#"{"a":"b c","d":1}"#).unwrap();
        let parts = b"--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nb c\r\n--x\r\n\
            content-disposition: form-data; name=\"d\"\r\n\r\n1\r\n--x\r\n\
            content-disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n\r\n\xff\r\n--x--\r\n";
        let parts = Fields::of_body("multipart/form-data; boundary=x", parts).unwrap();

        for fields in [&form, &json, &parts] {
            assert_eq!((fields.text("a"), fields.number("d")), (Some("b c"), Some(1)));
        }
        assert_eq!(parts.file, Some(("f".to_owned(), b"\r\n\xff".to_vec())));
        assert_eq!(parts.unlisted(&["a", "d"]), Some("f"));
        assert!(Fields::of_body("multipart/form-data; boundary=y", b"--x--\r\n").is_none());
        assert!(Fields::of_body("text/plain", b"a=b").is_none());
    }
}
