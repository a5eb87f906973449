//! A request, taken apart.

use chrono::{DateTime, Utc};
use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use postq_core::clock::{Clock, SystemClock};
use test_shapes::form;

/// A request with its whole body.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its query, as it was sent; empty if it has none.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// When its head was there.
    pub received_at: DateTime<Utc>,
}

impl Call {
    /// Waits for the whole body; none if it is larger than `most_of_body`, or does not come.
    pub(crate) async fn read(request: Request<Incoming>, most_of_body: usize) -> Option<Self> {
        let received_at = SystemClock.now();
        let (head, body) = request.into_parts();
        let body = Limited::new(body, most_of_body).collect().await.ok()?;
        Some(Self {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body: body.to_bytes(),
            received_at,
        })
    }

    /// Its path, and its query as it was sent.
    pub fn target(&self) -> String {
        match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    /// Its method and the last part of its path: `POST feed`.
    pub fn what(&self) -> String {
        format!("{} {}", self.method, self.path.rsplit('/').next().unwrap_or_default())
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The token of its `Authorization: Bearer`.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// Whether its content type is this and nothing more.
    pub fn is(&self, content_type: &str) -> bool {
        self.header("content-type") == Some(content_type)
    }

    /// Its body as a form that is not read yet; empty if it is no form.
    pub fn form_text(&self) -> String {
        match self.is("application/x-www-form-urlencoded") {
            true => String::from_utf8_lossy(&self.body).into_owned(),
            false => String::new(),
        }
    }

    /// The fields of its form, in order; none if it is no form.
    pub fn form(&self) -> Vec<(String, String)> {
        form(&self.form_text())
    }

    /// The fields of its query, in order.
    pub fn fields(&self) -> Vec<(String, String)> {
        form(&self.query)
    }
}

#[cfg(test)]
impl Call {
    /// A request for tests of what is done with one.
    pub(crate) fn of(method: &str, target: &str, body: &[u8]) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body),
            received_at: DateTime::UNIX_EPOCH,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_what_says_so() {
        let mut call = Call::of("POST", "/a?b=%2F&c", b"d=e+f");
        assert!(call.form().is_empty());
        call.headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        assert_eq!(call.form(), [("d".to_owned(), "e f".to_owned())]);
        assert_eq!(
            call.fields(),
            [("b".to_owned(), "/".to_owned()), ("c".to_owned(), String::new())]
        );
        assert_eq!(call.target(), "/a?b=%2F&c");
    }

    #[test]
    fn a_token_is_the_bearer_s() {
        let mut call = Call::of("GET", "/", b"");
        assert_eq!(call.bearer(), None);
        call.headers.insert("authorization", "Basic YTpi".parse().unwrap());
        assert_eq!(call.bearer(), None);
        call.headers.insert("authorization", "Bearer tok-1".parse().unwrap());
        assert_eq!(call.bearer(), Some("tok-1"));
    }
}
