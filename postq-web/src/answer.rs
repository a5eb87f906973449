//! Answers with an `ETag` or a `Location`.

use axum::Json;
use axum::http::header::{ETAG, HeaderValue, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A thing and the tag of the state that is shown.
#[derive(Debug)]
pub(crate) struct Tagged<T> {
    pub(crate) tag: String,
    pub(crate) body: T,
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut answer = Json(self.body).into_response();
        put_tag(&mut answer, &self.tag);
        answer
    }
}

/// A thing that was made, below the path that it was posted to.
#[derive(Debug)]
pub(crate) struct Created<T> {
    pub(crate) at: String,
    pub(crate) tag: Option<String>,
    pub(crate) body: T,
}

impl<T> Created<T> {
    pub(crate) fn below(list: &Uri, id: impl std::fmt::Display, body: T) -> Self {
        Self { at: format!("{}/{id}", list.path()), tag: None, body }
    }

    pub(crate) fn tagged(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut answer = (StatusCode::CREATED, Json(self.body)).into_response();
        if let Ok(at) = HeaderValue::try_from(self.at) {
            answer.headers_mut().insert(LOCATION, at);
        }
        if let Some(tag) = self.tag {
            put_tag(&mut answer, &tag);
        }
        answer
    }
}

fn put_tag(answer: &mut Response, tag: &str) {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{tag}\"")) {
        answer.headers_mut().insert(ETAG, tag);
    }
}
