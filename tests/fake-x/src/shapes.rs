//! X's answers, as it documents and sends them.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::faults::Dialect;
use crate::ledger::Accepted;

/// Longer texts are shown cut off, with the whole in a note.
const SHOWN: usize = 280;

/// What `POST /2/tweets` answers with 201.
pub(crate) fn created(post: &Accepted, dialect: Dialect) -> Value {
    let (text, _) = wrap_links(&post.text);
    let history = match dialect {
        Dialect::Tweet => "edit_history_tweet_ids",
        Dialect::Post => "edit_history_post_ids",
    };
    json!({ "data": { "id": post.id, "text": text, history: [post.id] } })
}

/// A problem object.
pub(crate) fn problem(status: u16, kind: &str, title: &str, detail: &str) -> Value {
    let kind = match kind {
        "" => "about:blank".to_owned(),
        kind => kind_of_problem(kind, Dialect::Tweet),
    };
    json!({ "type": kind, "title": title, "detail": detail, "status": status })
}

/// What names a kind of problem: under another host with each dialect.
pub(crate) fn kind_of_problem(kind: &str, dialect: Dialect) -> String {
    let host = match dialect {
        Dialect::Tweet => "api.twitter.com",
        Dialect::Post => "api.x.com",
    };
    format!("https://{host}/2/problems/{kind}")
}

/// A post in a list, with the fields that were asked for, and what it answers if that is asked for.
pub(crate) fn shown(
    post: &Accepted,
    fields: &[&str],
    with_parent: bool,
    dialect: Dialect,
) -> Value {
    let (whole, links) = wrap_links(&post.text);
    let whole = escape(&whole);
    let is_long = whole.chars().count() > SHOWN;
    let text = if is_long {
        format!("{}…", whole.chars().take(SHOWN - 1).collect::<String>())
    } else {
        whole.clone()
    };
    let entities = json!({ "urls": links });
    let mut object = json!({ "id": post.id, "text": text });
    let (note, references) = match dialect {
        Dialect::Tweet => ("note_tweet", "referenced_tweets"),
        Dialect::Post => ("note_post", "referenced_posts"),
    };
    for &field in fields {
        let value = match field {
            "created_at" => {
                json!(post.accepted_at.to_rfc3339_opts(SecondsFormat::Millis, true))
            }
            "conversation_id" => json!(post.reply_to.as_ref().unwrap_or(&post.id)),
            "entities" if !links.is_empty() => entities.clone(),
            _ if field == note && is_long && links.is_empty() => json!({ "text": whole }),
            _ if field == note && is_long => json!({ "text": whole, "entities": entities }),
            _ => continue,
        };
        object[field] = value;
    }
    if let Some(parent) = post.reply_to.as_ref().filter(|_| with_parent) {
        object[references] = json!([{ "type": "replied_to", "id": parent }]);
    }
    object
}

/// The text with each link replaced by a `t.co` one, and the entities of those.
///
/// Only links with a scheme: what X makes of bare domains is for the tests of who sends them.
fn wrap_links(text: &str) -> (String, Vec<Value>) {
    let mut wrapped = String::new();
    let mut links = Vec::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let link = word.trim_end();
        if link.starts_with("https://") || link.starts_with("http://") {
            let mut hasher = DefaultHasher::new();
            link.hash(&mut hasher);
            let short = format!("https://t.co/{:010x}", hasher.finish() & 0xff_ffff_ffff);
            let start = escape(&wrapped).chars().count();
            let end = start + short.len();
            wrapped.push_str(&short);
            wrapped.push_str(&word[link.len()..]);
            links.push(json!({ "start": start, "end": end, "url": short, "expanded_url": link }));
        } else {
            wrapped.push_str(word);
        }
    }
    (wrapped, links)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
