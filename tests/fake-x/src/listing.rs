//! Lists of a user's posts: what is asked for, and the page that answers it.

use chrono::{DateTime, Utc};
use fake_http::{Answer, form};
use serde_json::{Value, json};

use crate::answers::{answer, with_limits};
use crate::faults::Dialect;
use crate::server::World;
use crate::shapes;

/// What shows, by the newer names, which post another one answers. By the older ones that is a field.
const PARENT: &str = "referenced_posts";

/// What posts can be asked for with, as X lists it.
const FIELDS: [&str; 26] = [
    "article",
    "attachments",
    "card_uri",
    "community_id",
    "context_annotations",
    "conversation_id",
    "created_at",
    "display_text_range",
    "edit_controls",
    "entities",
    "geo",
    "id",
    "lang",
    "matched_media_notes",
    "media_metadata",
    "non_public_metrics",
    "organic_metrics",
    "paid_partnership",
    "possibly_sensitive",
    "promoted_metrics",
    "public_metrics",
    "reply_settings",
    "scopes",
    "source",
    "text",
    "withheld",
];
/// By the older names alone.
const TWEET_FIELDS: [&str; 5] = [
    "author_id",
    "edit_history_tweet_ids",
    "in_reply_to_user_id",
    "note_tweet",
    "referenced_tweets",
];
/// By the newer names alone.
const POST_FIELDS: [&str; 2] = ["article_title", "note_post"];

/// Whether a parameter asks for fields by the names of a dialect, and X lists each of them.
pub(crate) fn is_fields(name: &str, value: &str, dialect: Dialect) -> bool {
    let (own, more) = match dialect {
        Dialect::Tweet => ("tweet.fields", &TWEET_FIELDS[..]),
        Dialect::Post => ("post.fields", &POST_FIELDS[..]),
    };
    name == own && are_listed(value, &[&FIELDS[..], more].concat())
}

fn are_listed(value: &str, listed: &[&str]) -> bool {
    value.split(',').all(|one| listed.contains(&one))
}

/// What a list is asked for with.
pub(crate) struct Query {
    most: usize,
    from: Option<DateTime<Utc>>,
    skip: usize,
    fields: String,
    expansions: String,
    dialect: Dialect,
}

impl Query {
    /// The query, or the name of the parameter that X would refuse.
    pub(crate) fn read(query: &str, dialect: Dialect) -> Result<Self, String> {
        let mut read = Self {
            most: 10,
            from: None,
            skip: 0,
            fields: String::new(),
            expansions: String::new(),
            dialect,
        };
        for (name, value) in form(query) {
            let refused = || name.clone();
            match name.as_str() {
                "max_results" => {
                    read.most =
                        value.parse().ok().filter(|n| (5..=100).contains(n)).ok_or_else(refused)?;
                }
                "start_time" => read.from = Some(value.parse().map_err(|_| refused())?),
                "pagination_token" => read.skip = value.parse().map_err(|_| refused())?,
                "exclude" if value == "retweets" => {}
                "expansions" if are_listed(&value, &[PARENT]) && dialect == Dialect::Post => {
                    read.expansions = value;
                }
                name if is_fields(name, &value, dialect) => read.fields = value,
                _ => return Err(refused()),
            }
        }
        Ok(read)
    }

    pub(crate) fn answer(&self, user: &str, world: &World, now: DateTime<Utc>) -> Answer {
        let fields: Vec<&str> = self.fields.split(',').collect();
        let with_parent = match self.dialect {
            Dialect::Tweet => fields.contains(&"referenced_tweets"),
            Dialect::Post => self.expansions.split(',').any(|one| one == PARENT),
        };
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
            .map(|post| shapes::shown(post, &fields, with_parent, self.dialect))
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
