//! `GET /2/tweets?ids=`: posts with their counts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fake_http::{Answer, form};
use serde_json::{Value, json};

use crate::answers::{answer, refuse, with_limits};
use crate::faults::Dialect;
use crate::listing::is_fields;
use crate::server::World;
use crate::shapes::kind_of_problem;

/// Ids in one request: more are refused.
const MOST: usize = 100;

/// How a post stands to those who ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is shown.
    #[default]
    Shown,
    /// It is there, and not shown.
    Hidden,
    /// It is gone.
    Deleted,
}

/// What the server shows of a post beside its text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) standing: Standing,
    pub(crate) public: BTreeMap<String, u64>,
    pub(crate) private: BTreeMap<String, u64>,
}

pub(crate) fn read(query: &str, world: &World, now: DateTime<Utc>) -> Answer {
    let (mut ids, mut fields) = (String::new(), String::new());
    for (name, value) in form(query) {
        match name.as_str() {
            "ids" => ids = value,
            name if is_fields(name, &value, world.faults.dialect) => fields = value,
            name => return invalid(name),
        }
    }
    let ids: Vec<&str> = ids.split(',').filter(|id| !id.is_empty()).collect();
    if ids.is_empty() || ids.len() > MOST {
        return invalid("ids");
    }
    let fields: Vec<&str> = fields.split(',').collect();
    let (mut data, mut errors) = (Vec::new(), Vec::new());
    for id in ids {
        match show(id, &fields, world) {
            Ok(post) => data.push(post),
            Err(problem) => errors.push(problem),
        }
    }
    // X leaves out what is empty.
    let mut body = json!({});
    for (name, list) in [("data", data), ("errors", errors)] {
        if !list.is_empty() {
            body[name] = Value::Array(list);
        }
    }
    with_limits(answer(200, &body), now)
}

fn show(id: &str, fields: &[&str], world: &World) -> Result<Value, Value> {
    let unknown = Counted::default();
    let counted = world.counted.get(id).unwrap_or(&unknown);
    let kind = match counted.standing {
        _ if !world.book.has(id) => "resource-not-found",
        Standing::Deleted => "resource-not-found",
        Standing::Hidden => "not-authorized-for-resource",
        Standing::Shown => return Ok(shown(id, fields, counted, world.faults.dialect)),
    };
    Err(json!({
        "type": kind_of_problem(kind, world.faults.dialect),
        "title": "Not Found Error",
        "detail": format!("Could not find tweet with ids: [{id}]."),
        "parameter": "ids",
        "resource_type": "tweet",
        "resource_id": id,
        "value": id,
    }))
}

fn shown(id: &str, fields: &[&str], counted: &Counted, dialect: Dialect) -> Value {
    let mut post = json!({ "id": id });
    for (field, counts) in
        [("public_metrics", &counted.public), ("non_public_metrics", &counted.private)]
    {
        if fields.contains(&field) {
            post[field] = counts
                .iter()
                .map(|(name, count)| (in_dialect(name, dialect).to_owned(), json!(count)))
                .collect();
        }
    }
    post
}

fn in_dialect(name: &str, dialect: Dialect) -> &str {
    match (name, dialect) {
        ("retweet_count", Dialect::Post) => "repost_count",
        _ => name,
    }
}

fn invalid(parameter: &str) -> Answer {
    let detail = format!("The query parameter [{parameter}] is not valid.");
    refuse(400, "invalid-request", "Invalid Request", &detail)
}
