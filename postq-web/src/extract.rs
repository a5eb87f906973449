//! What a request says: bodies, queries and ids, refused with a problem that names the field.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::problem::{Code, Problem};

/// Fields of a query; unknown ones are refused where the type says so.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        read.map(|query| Self(query.0)).map_err(|error| {
            let text = error.body_text();
            let why = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, why)| why);
            let problem = Problem::new(Code::Invalid, without_values(why));
            match field(why) {
                Some(field) => problem.in_field(field),
                None => problem,
            }
        })
    }
}

/// The id at the end of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|path| path.0.parse().ok());
        id.map(Self).ok_or_else(|| {
            Problem::new(Code::Malformed, "expected an id, as the lists show them").in_field("id")
        })
    }
}

/// A JSON body. Its size is bounded by the layer that reads it.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        ensure_json(request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()))?;
        parsed(&bytes(request, state).await?).map(Self)
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).cloned();
        let bytes = bytes(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        ensure_json(kind.as_ref().and_then(|value| value.to_str().ok()))?;
        parsed(&bytes).map(Self)
    }
}

/// A body byte for byte, whatever is in it.
#[derive(Debug)]
pub(crate) struct Raw(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        bytes(request, state).await.map(Self)
    }
}

/// A JSON body with a bound of its own.
pub(crate) async fn body_within<T: DeserializeOwned>(
    request: Request,
    most: usize,
) -> Result<T, Problem> {
    ensure_json(request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()))?;
    let bytes = axum::body::to_bytes(request.into_body(), most).await;
    parsed(&bytes.map_err(|_| too_large())?)
}

fn too_large() -> Problem {
    Problem::new(Code::TooLarge, "the body is larger than this server takes")
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|error| {
        if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
            too_large()
        } else {
            Problem::new(Code::Malformed, "the body could not be read to its end")
        }
    })
}

fn ensure_json(kind: Option<&str>) -> Result<(), Problem> {
    let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "expected Content-Type: application/json"))
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let code = if error.is_data() { Code::Invalid } else { Code::Malformed };
        let text = error.to_string();
        let problem = Problem::new(code, without_values(&text));
        match field(&text) {
            Some(field) if error.is_data() => problem.in_field(field),
            _ => problem,
        }
    })
}

/// The field that a message of serde is about, where it names one.
fn field(why: &str) -> Option<&str> {
    let names = ["unknown field `", "missing field `", "duplicate field `"];
    if let Some(rest) = names.iter().find_map(|name| why.split_once(name)) {
        return rest.1.split('`').next();
    }
    // A query names its field first.
    let (name, _) = why.split_once(": ")?;
    name.chars().all(|c| c.is_ascii_lowercase() || c == '_').then_some(name)
}

/// A message of serde without what was sent: that may be a secret or a whole post.
fn without_values(why: &str) -> String {
    let Some((before, rest)) = why.split_once("string \"") else { return why.to_owned() };
    let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
    format!("{before}a text{after}")
}

/// What the sender of a change has seen: the revision or hash in `If-Match`; none without one, or for
/// `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Seen {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get(IF_MATCH) else { return Ok(Self(None)) };
        let text = header.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let bad = || Problem::new(Code::BadIfMatch, "expected one ETag in quotes, or *");
        let tag = text.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(bad)?;
        if tag.is_empty() || tag.contains('"') {
            return Err(bad());
        }
        Ok(Self(Some(tag.to_owned())))
    }
}

impl Seen {
    /// The revision that was seen. A tag that is none is of something else, or older: nothing has it.
    pub(crate) fn revision(&self) -> Option<u32> {
        self.0.as_deref().map(|tag| tag.parse().unwrap_or_default())
    }

    /// Fails if something else was seen than this.
    pub(crate) fn ensure(&self, tag: &str, what: impl std::fmt::Display) -> Result<(), Problem> {
        match &self.0 {
            Some(seen) if seen != tag => {
                let detail = format!("{what} was changed by somebody else meanwhile");
                Err(Problem::new(Code::Changed, detail))
            }
            _ => Ok(()),
        }
    }
}

/// An id for what a request makes: the same one whenever it is made again under its idempotency key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Fresh {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let given = parts.extensions.get::<Self>().copied();
        Ok(given.unwrap_or_else(|| Self(Uuid::now_v7())))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read")]
    struct Small {
        number: u8,
    }

    #[test]
    fn what_was_sent_is_not_told() {
        let sent = br#"{"number": "a \" secret\" text"}"#;

        let problem = parsed::<Small>(sent).unwrap_err();

        let told = format!("{problem:?}");
        assert!(!told.contains("secret"), "{told}");
        assert!(told.contains("invalid type: a text, expected u8"), "{told}");
    }

    #[test]
    fn an_unknown_field_is_named() {
        let problem = parsed::<Small>(br#"{"number": 1, "nmber": 2}"#).unwrap_err();

        let shown = serde_json::to_value(&problem).unwrap();
        assert_eq!((&shown["code"], &shown["field"]), (&"invalid".into(), &"nmber".into()));
        let broken = serde_json::to_value(parsed::<Small>(b"{").unwrap_err()).unwrap();
        assert_eq!((&broken["code"], &broken["status"]), (&"malformed".into(), &400.into()));
    }
}
