//! What came in, and what of it nobody lists.

use std::collections::VecDeque;

use test_shapes::{Sent, Shapes};

use crate::{Answer, Call, Seen};

/// Requests that are remembered.
const MOST: usize = 1_000;

/// The last 1,000 requests, and the first 1,000 that had something in them that is not listed.
#[derive(Debug)]
pub struct Record {
    shapes: Shapes,
    most_of_body: usize,
    requests: u64,
    seen: VecDeque<Seen>,
    unlisted: Vec<String>,
}

/// What of a request is not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlisted {
    /// Whether its path is.
    pub is_known: bool,
    /// What is not.
    pub what: String,
}

impl Record {
    /// An empty record with a table of shapes, and with how much of each body is remembered.
    ///
    /// # Panics
    ///
    /// If the table is none.
    pub fn new(table: &str, most_of_body: usize) -> Self {
        let shapes = Shapes::read(table);
        Self { shapes, most_of_body, requests: 0, seen: VecDeque::new(), unlisted: Vec::new() }
    }

    /// Remembers a request; answers its number.
    pub fn remember(&mut self, call: &Call) -> u64 {
        self.requests += 1;
        if self.seen.len() == MOST {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen::of(call, self.requests, self.most_of_body));
        self.requests
    }

    /// What of a request is not listed: the whole of its body is looked at. This is remembered as well.
    pub fn check(&mut self, call: &Call) -> Option<Unlisted> {
        let seen = Seen::of(call, 0, 0);
        let body = String::from_utf8_lossy(&call.body);
        let sent = Sent { body: &body, ..seen.sent() };
        let what = self.shapes.unlisted(sent)?;
        if self.unlisted.len() < MOST {
            self.unlisted.push(what.clone());
        }
        Some(Unlisted { is_known: self.shapes.lists(sent), what })
    }

    /// Remembers the answer to a request.
    pub fn answered(&mut self, number: u64, answer: &Answer) {
        if let Some(seen) = self.seen.iter_mut().find(|seen| seen.number == number) {
            let body = String::from_utf8_lossy(answer.body()).into_owned();
            seen.answer = Some((answer.status().as_u16(), body));
        }
    }

    /// The last 1,000 requests.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.iter().cloned().collect()
    }

    /// What was not listed, in order.
    pub fn unlisted(&self) -> Vec<String> {
        self.unlisted.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Canned;

    const TABLE: &str = r#"{
        "operations": { "POST /posts": { "body": "Post" }, "GET /me": {} },
        "shapes": { "Post": { "type": "object", "properties": { "text": { "type": "string" } } } }
    }"#;

    #[test]
    fn what_is_not_listed_is_found_and_remembered() {
        let mut record = Record::new(TABLE, 4);
        let mut found = |method: &str, target: &str, body: &str| {
            record
                .check(&Call::of(method, target, body.as_bytes()))
                .map(|it| (it.is_known, it.what))
        };

        assert_eq!(found("POST", "/posts", r#"{"text":"longer than is remembered"}"#), None);
        assert_eq!(found("GET", "/me", ""), None);
        let field = found("POST", "/posts", r#"{"text":"longer than is remembered","x":1}"#);
        assert_eq!(field, Some((true, "POST /posts: body.x is not listed".to_owned())));
        let path = found("GET", "/you?x=1", "");
        assert_eq!(path, Some((false, "GET /you is not listed".to_owned())));
        assert_eq!(record.unlisted().len(), 2);
        assert!(record.seen().is_empty());
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut record = Record::new(TABLE, 4);
        for n in 0..=MOST {
            record.remember(&Call::of("GET", &format!("/{n}?a=b"), b"12345"));
            record.check(&Call::of("GET", &format!("/{n}"), b""));
        }
        let seen = record.seen();

        assert_eq!((seen.len(), record.unlisted().len()), (MOST, MOST));
        assert_eq!(
            (seen[0].number, seen[0].target.as_str(), seen[0].body.as_str()),
            (2, "/1?a=b", "1234")
        );
        assert_eq!(
            (seen[0].path(), seen[0].query(), seen[0].what().as_str()),
            ("/1", "a=b", "GET 1")
        );
    }

    #[test]
    fn an_answer_belongs_to_its_request() {
        let mut record = Record::new(TABLE, 4);
        let [_, second] = ["/1", "/2"].map(|target| record.remember(&Call::of("GET", target, b"")));
        record.answered(second, &Canned::new(201, "made").answer("text/plain"));
        let answers: Vec<_> = record.seen().into_iter().map(|seen| seen.answer).collect();

        assert_eq!(answers, [None, Some((201, "made".to_owned()))]);
    }
}
