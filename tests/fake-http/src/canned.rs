//! Answers of a test's own.

use std::collections::VecDeque;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Response, StatusCode};

use crate::Answer;

/// An answer of the test's own.
#[derive(Clone, Debug)]
pub struct Canned {
    /// Its status.
    pub status: u16,
    /// Its headers; `content-type` is there.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
    /// So long after the request it comes, where the server waits for it.
    pub after: Duration,
}

impl Canned {
    /// An answer without headers of its own.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), after: Duration::ZERO }
    }

    /// The same, with one header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, so long after the request.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    /// It as an answer; 500 if it cannot be one, with why.
    pub fn answer(&self, content_type: &str) -> Answer {
        self.build(content_type).unwrap_or_else(|error| {
            let mut answer = Response::new(Bytes::from(format!("not an answer: {error}")));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        })
    }

    fn build(&self, content_type: &str) -> Result<Answer, hyper::http::Error> {
        let mut builder =
            Response::builder().status(self.status).header(CONTENT_TYPE, content_type);
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        builder.body(Bytes::from(self.body.clone()))
    }
}

/// Answers of the test's own, each for the next request of its kind.
#[derive(Debug)]
pub struct Prepared<T>(VecDeque<(T, Canned)>);

impl<T> Default for Prepared<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Prepared<T> {
    /// One more; those of one kind are given in order.
    pub fn push(&mut self, kind: T, answer: Canned) {
        self.0.push_back((kind, answer));
    }

    /// The next one of a kind; it is given once.
    pub fn take<Q: ?Sized>(&mut self, kind: &Q) -> Option<Canned>
    where
        T: PartialEq<Q>,
    {
        let place = self.0.iter().position(|(own, _)| own == kind)?;
        self.0.remove(place).map(|(_, canned)| canned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_given_once_to_its_kind() {
        let mut prepared = Prepared::<String>::default();
        for (kind, status) in [("a", 201), ("b", 202), ("a", 203)] {
            prepared.push(kind.to_owned(), Canned::new(status, ""));
        }
        let mut status = |kind: &str| prepared.take(kind).map(|canned| canned.status);

        assert_eq!(status("c"), None);
        assert_eq!([status("b"), status("b")], [Some(202), None]);
        assert_eq!([status("a"), status("a"), status("a")], [Some(201), Some(203), None]);
    }

    #[test]
    fn what_cannot_be_an_answer_says_why() {
        let answer = Canned::new(418, "{}").with("x-own", "1").answer("text/plain");
        assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (418, &b"{}"[..]));
        assert_eq!(answer.headers()["content-type"], "text/plain");
        assert_eq!(answer.headers()["x-own"], "1");

        for wrong in [Canned::new(9, ""), Canned::new(200, "").with("no name", "1")] {
            let answer = wrong.answer("text/plain");
            assert_eq!(answer.status().as_u16(), 500);
            assert!(answer.body().starts_with(b"not an answer: "), "{answer:?}");
        }
    }
}
