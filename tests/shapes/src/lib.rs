//! What an adapter may send to its platform, as a table, and whether it sends just that.
//!
//! A table is JSON. `operations` has, by method and path, the headers of note with what their values begin with (after
//! a `?` in those that not every request has), the parameters of the query, the shape of the body and, where they are looked at, those of the answers by their status;
//! `shapes` has the shapes by name. A shape is a type with its
//! limits, in the words of OpenAPI (`type`, `properties`, `required`, `items`, `enum`, `minimum`, `maxLength`, ...),
//! or `{"shape": NAME}`, or `{"by": FIELD, "one": {VALUE: SHAPE}}` where the value of a field tells which it is.
//! Forms are objects of texts; a body that is `"bytes"` is not looked into.
//!
//! A test server asks [`Shapes::unlisted`] and refuses what its platform's documentation does not list. The test of
//! an adapter asks [`Shapes::assert_sent`] once it has done everything that the adapter can.

mod body;
mod form;
mod paths;
mod problem;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub use form::form;

/// A request, as a server saw it.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path, and its query as it was sent.
    pub target: &'a str,
    /// Its headers, by name in lower case.
    pub headers: &'a [(String, String)],
    /// Its body; of what is no text, something like it.
    pub body: &'a str,
}

/// Headers that say nothing to a platform that others would not.
const NOT_OF_NOTE: [&str; 7] = [
    "host",
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "transfer-encoding",
    "user-agent",
];

impl Sent<'_> {
    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    fn query(&self) -> Vec<(String, String)> {
        form(self.target.split_once('?').map_or("", |(_, query)| query))
    }

    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value.as_str())
    }
}

/// A table of what may be sent.
#[derive(Clone, Debug)]
pub struct Shapes {
    operations: Map<String, Value>,
    shapes: Map<String, Value>,
}

impl Shapes {
    /// Reads a table.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub fn read(text: &str) -> Self {
        let table: Value = serde_json::from_str(text).expect("a table is JSON");
        let part = |name: &str| table[name].as_object().cloned().unwrap_or_default();
        Self { operations: part("operations"), shapes: part("shapes") }
    }

    /// Whether the table has the operation of a request.
    pub fn lists(&self, sent: Sent<'_>) -> bool {
        self.operation(sent).is_some()
    }

    /// What of a request is not in the table, by its name: a path, a parameter, or a field of the body.
    pub fn unlisted(&self, sent: Sent<'_>) -> Option<String> {
        let Some((name, operation)) = self.operation(sent) else {
            return Some(format!("{} {} is not listed", sent.method, sent.path()));
        };
        let listed = operation["query"].as_object();
        let known = |name: &str| listed.is_some_and(|listed| listed.contains_key(name));
        let query = sent.query().into_iter().map(|(name, _)| name).find(|name| !known(name));
        let unlisted = match query {
            Some(parameter) => Some(format!("the parameter {parameter}")),
            None => self.unlisted_of_body(sent, &operation["body"]),
        };
        unlisted.map(|what| format!("{name}: {what} is not listed"))
    }

    fn unlisted_of_body(&self, sent: Sent<'_>, listed: &Value) -> Option<String> {
        match listed {
            Value::Null => (!sent.body.is_empty()).then(|| "a body".to_owned()),
            Value::String(shape) if shape != "bytes" => {
                self.unlisted_field(&body::read(sent)?, &self.shapes[shape.as_str()], "body")
            }
            _ => None,
        }
    }

    /// Checks that what was sent is what is listed: nothing else, and all of it.
    ///
    /// # Panics
    ///
    /// If it is not, with what is wrong.
    pub fn assert_sent<'a>(&self, all: impl IntoIterator<Item = Sent<'a>>) {
        let mut used = BTreeSet::new();
        for sent in all {
            let found = self.operation(sent);
            let (name, operation) = found.unwrap_or_else(|| panic!("not listed: {sent:?}"));
            if let Some(problem) = self.wrong(sent, operation) {
                panic!("{name}: {problem}");
            }
            used.extend(self.used(name, operation, sent));
        }
        let unused: Vec<String> = self.listed().difference(&used).cloned().collect();
        assert!(unused.is_empty(), "listed, and never sent: {unused:#?}");
    }

    /// What is wrong with the answer to a request, by the shape that `answers` of its operation lists for the status.
    pub fn wrong_answer(&self, sent: Sent<'_>, status: u16, answer: &str) -> Option<String> {
        let Some((name, operation)) = self.operation(sent) else {
            return Some(format!("{} {} is not listed", sent.method, sent.path()));
        };
        let Some(shape) = operation["answers"][status.to_string()].as_str() else {
            return Some(format!("{name}: the answer {status} is not listed"));
        };
        let Ok(answer) = serde_json::from_str::<Value>(answer) else {
            return Some(format!("{name}: the answer is not JSON"));
        };
        let problem = self.problem(&answer, &self.shapes[shape], "answer");
        problem.map(|problem| format!("{name}: {problem}"))
    }

    /// The operation of a request, with its name.
    fn operation(&self, sent: Sent<'_>) -> Option<(&str, &Value)> {
        let found = self.operations.iter().find(|(name, _)| {
            let (method, template) = name.split_once(' ').unwrap_or_default();
            method == sent.method && leads_to(sent.path(), template)
        });
        found.map(|(name, operation)| (name.as_str(), operation))
    }

    fn wrong(&self, sent: Sent<'_>, operation: &Value) -> Option<String> {
        let of_header = self.wrong_header(sent, operation);
        let of_query = || {
            sent.query().into_iter().find_map(|(name, value)| {
                let Some(shape) = operation["query"].get(&name) else {
                    return Some(format!("the parameter {name} is not listed"));
                };
                self.problem(&body::typed(&value, shape), shape, &name)
            })
        };
        let of_body = || match (&operation["body"], body::read(sent)) {
            (Value::Null, None) => None,
            (Value::String(shape), _) if shape == "bytes" => None,
            (Value::String(shape), Some(body)) => {
                self.problem(&body, &self.shapes[shape.as_str()], "body")
            }
            (listed, body) => Some(format!("the body is {body:?}, {listed} is listed")),
        };
        of_header.or_else(of_query).or_else(of_body)
    }

    fn wrong_header(&self, sent: Sent<'_>, operation: &Value) -> Option<String> {
        let none = Map::new();
        let listed = operation["headers"].as_object().unwrap_or(&none);
        let unlisted = sent
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .find(|name| !listed.contains_key(*name) && !NOT_OF_NOTE.contains(name));
        let other = listed.iter().find(|(name, begins)| {
            let (begins, found) = (begins.as_str().unwrap_or_default(), sent.header(name));
            match begins.strip_prefix('?') {
                Some(_) if found.is_empty() => false,
                Some(begins) => !found.starts_with(begins),
                None => found.is_empty() || !found.starts_with(begins),
            }
        });
        let other = other.map(|(name, begins)| {
            format!("the header {name} is {:?}, {begins} is listed", sent.header(name))
        });
        unlisted.map(|name| format!("the header {name} is not listed")).or(other)
    }
}

fn leads_to(path: &str, template: &str) -> bool {
    let (path, template): (Vec<_>, Vec<_>) =
        (path.split('/').collect(), template.split('/').collect());
    path.len() == template.len()
        && path.iter().zip(template).all(|(part, place)| match place.starts_with('{') {
            true => !part.is_empty(),
            false => *part == place,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"{
        "operations": {
            "POST /posts/{id}": {
                "headers": {"authorization": "Bearer ", "content-type": "application/json"},
                "query": {"raw": {"type": "integer", "maximum": 1}},
                "body": "Post"
            },
            "GET /me": {"headers": {"authorization": "Bearer "}, "answers": {"200": "Post"}}
        },
        "shapes": {
            "Post": {"type": "object", "required": ["text"], "properties": {
                "text": {"type": "string", "maxLength": 5},
                "media": {"by": "kind", "one": {
                    "url": {"type": "object", "properties": {
                        "kind": {"type": "string"}, "urls": {"type": "array", "items": {"type": "string"}}
                    }}
                }}
            }}
        }
    }"#;

    fn headers(more: &[(&str, &str)]) -> Vec<(String, String)> {
        let all = [&[("authorization", "Bearer x"), ("host", "y")], more].concat();
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    const JSON: (&str, &str) = ("content-type", "application/json");
    const WHOLE: &str = r#"{"text":"abc","media":{"kind":"url","urls":["a"]}}"#;

    fn check(target: &str, body: &str, more: &[(&str, &str)]) -> Option<String> {
        let (shapes, headers) = (Shapes::read(TABLE), headers(more));
        let sent = Sent { method: "POST", target, headers: &headers, body };
        let (_, operation) = shapes.operation(sent).expect("it is listed");
        shapes.wrong(sent, operation)
    }

    #[test]
    fn what_is_not_listed_is_found() {
        assert_eq!(check("/posts/1?raw=1", WHOLE, &[JSON]), None);
        for (target, body, more, problem) in [
            ("/posts/1?x=1", WHOLE, &[JSON][..], "the parameter x is not listed"),
            ("/posts/1?raw=2", WHOLE, &[JSON], "raw: 2 is not within"),
            ("/posts/1", r#"{"text":"a","x":1}"#, &[JSON], "body: x is not listed"),
            ("/posts/1", r#"{"text":7}"#, &[JSON], "body.text: 7 is no \"string\""),
            ("/posts/1", r#"{"text":"abcdef"}"#, &[JSON], "body.text: \"abcdef\" is not within"),
            ("/posts/1", "{}", &[JSON], "body: text is missing"),
            (
                "/posts/1",
                r#"{"text":"a","media":{"kind":"z"}}"#,
                &[JSON],
                "body.media: kind is \"z\"",
            ),
            ("/posts/1", WHOLE, &[JSON, ("x-own", "1")], "the header x-own is not listed"),
            ("/posts/1", "", &[JSON], "the body is None"),
            (
                "/posts/1",
                "text=a",
                &[("content-type", "application/x-www-form-urlencoded")],
                "the header content-type is",
            ),
        ] {
            let found = check(target, body, more).unwrap_or_default();
            assert!(found.starts_with(problem), "{found} is not {problem}");
        }
    }

    #[test]
    fn a_server_looks_at_names_alone() {
        let shapes = Shapes::read(TABLE);
        let unlisted = |method: &str, target: &str, body: &str| {
            let headers = headers(&[JSON]);
            shapes.unlisted(Sent { method, target, headers: &headers, body })
        };
        assert_eq!(unlisted("POST", "/posts/1?raw=7", r#"{"text":"abcdefgh"}"#), None);
        for (method, target, body) in [
            ("PUT", "/posts/1", WHOLE),
            ("POST", "/posts", WHOLE),
            ("POST", "/posts/1?x=1", WHOLE),
            ("POST", "/posts/1", r#"{"text":"a","y":1}"#),
            ("POST", "/posts/1", r#"{"text":"a","media":{"kind":"url","y":1}}"#),
            ("GET", "/me", "{}"),
        ] {
            let listed = !matches!((method, target), ("PUT", _) | (_, "/posts"));
            assert_eq!(shapes.lists(Sent { method, target, headers: &[], body }), listed);
            assert!(unlisted(method, target, body).is_some(), "{method} {target} {body}");
        }
    }

    #[test]
    fn answers_are_looked_at_where_they_are_listed() {
        let (shapes, headers) = (Shapes::read(TABLE), headers(&[]));
        let me = Sent { method: "GET", target: "/me", headers: &headers, body: "" };
        let wrong = |status, answer| shapes.wrong_answer(me, status, answer).unwrap_or_default();

        assert_eq!(wrong(200, WHOLE), "");
        assert_eq!(wrong(404, WHOLE), "GET /me: the answer 404 is not listed");
        assert_eq!(wrong(200, "no"), "GET /me: the answer is not JSON");
        assert_eq!(wrong(200, r#"{"id":1}"#), "GET /me: answer: text is missing");
        let other = Sent { target: "/you", ..me };
        assert_eq!(shapes.wrong_answer(other, 200, WHOLE).unwrap(), "GET /you is not listed");
    }

    #[test]
    fn all_that_is_listed_must_be_sent() {
        let shapes = Shapes::read(TABLE);
        let (json, bare) = (headers(&[JSON]), headers(&[]));
        let post = Sent { method: "POST", target: "/posts/1?raw=1", headers: &json, body: WHOLE };
        let me = Sent { method: "GET", target: "/me", headers: &bare, body: "" };
        let told = |all: &[Sent<'_>]| {
            let all = all.to_vec();
            let shapes = shapes.clone();
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shapes.assert_sent(all)))
                .err()
                .map(|told| told.downcast_ref::<String>().cloned().unwrap_or_default())
        };

        assert_eq!(told(&[post, me]), None);
        let without = told(&[post]).expect("one is missing");
        assert!(without.contains("GET /me"), "{without}");
        let poor = Sent { body: r#"{"text":"abc"}"#, ..post };
        let without = told(&[poor, me]).expect("a field is missing");
        assert!(without.contains("body.media(url).urls[]"), "{without}");
    }
}
