//! Lists of a user's posts: what is asked for, and the page that answers it.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::answers::{Answer, answer, with_limits};
use crate::faults::Dialect;
use crate::server::World;
use crate::shapes;

/// What a list is asked for with.
pub(crate) struct Query {
    most: usize,
    from: Option<DateTime<Utc>>,
    skip: usize,
    fields: String,
    dialect: Dialect,
}

impl Query {
    /// The query, or the name of the parameter that X would refuse.
    pub(crate) fn read(query: &str, dialect: Dialect) -> Result<Self, String> {
        let own_fields = match dialect {
            Dialect::Tweet => "tweet.fields",
            Dialect::Post => "post.fields",
        };
        let mut read = Self { most: 10, from: None, skip: 0, fields: String::new(), dialect };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = unquote(value);
            let refused = || name.to_owned();
            match name {
                "max_results" => {
                    read.most =
                        value.parse().ok().filter(|n| (5..=100).contains(n)).ok_or_else(refused)?;
                }
                "start_time" => read.from = Some(value.parse().map_err(|_| refused())?),
                "pagination_token" => read.skip = value.parse().map_err(|_| refused())?,
                "exclude" if value == "retweets" => {}
                _ if name == own_fields => read.fields = value,
                _ => return Err(refused()),
            }
        }
        Ok(read)
    }

    pub(crate) fn answer(&self, user: &str, world: &World, now: DateTime<Utc>) -> Answer {
        let fields: Vec<&str> = self.fields.split(',').collect();
        let visible = |accepted_at: DateTime<Utc>| accepted_at + world.faults.hide <= now;
        let mut posts = world
            .book
            .of(user)
            .filter(|post| {
                visible(post.accepted_at) && self.from.is_none_or(|from| post.accepted_at >= from)
            })
            .skip(self.skip);
        let page: Vec<Value> = posts
            .by_ref()
            .take(self.most)
            .map(|post| shapes::shown(post, &fields, self.dialect))
            .collect();
        let mut body = json!({ "meta": { "result_count": page.len() } });
        if let (Some(newest), Some(oldest)) = (page.first(), page.last()) {
            body["meta"]["newest_id"] = newest["id"].clone();
            body["meta"]["oldest_id"] = oldest["id"].clone();
            if posts.next().is_some() {
                body["meta"]["next_token"] = json!((self.skip + page.len()).to_string());
            }
            // Without posts, X leaves `data` out.
            body["data"] = Value::Array(page);
        }
        with_limits(answer(200, &body), now)
    }
}

/// Undoes the escapes of a query's value.
pub(crate) fn unquote(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None if *first == b'+' => bytes.push(b' '),
            None => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
