//! The list of a user's posts as X shows it, in both of its dialects.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::text::{Shown, ShownLink};

/// One page of `GET /2/users/:id/tweets`.
#[derive(Debug, Deserialize)]
pub(crate) struct Timeline {
    data: Option<Vec<ShownPost>>,
    meta: Option<Meta>,
    errors: Option<Vec<Trouble>>,
}

#[derive(Debug, Deserialize)]
struct Trouble {
    parameter: Option<Value>,
}

impl Trouble {
    /// About a post that one of these answers or quotes, gone or not to be seen: the list is whole without it.
    fn is_of_another_post(&self) -> bool {
        let parameter = self.parameter.as_ref().and_then(Value::as_str);
        parameter.is_some_and(|name| name.starts_with("referenced_"))
    }
}

#[derive(Debug, Deserialize)]
struct Meta {
    next_token: Option<String>,
    result_count: Option<u64>,
}

impl Timeline {
    /// The posts, newest first.
    pub(crate) fn posts(&self) -> &[ShownPost] {
        self.data.as_deref().unwrap_or_default()
    }

    /// Where the next page begins.
    pub(crate) fn next_token(&self) -> Option<&str> {
        self.meta.as_ref()?.next_token.as_deref()
    }

    /// Something may be missing: it has errors in it, or neither posts nor the word that there are
    /// none.
    pub(crate) fn is_partial(&self) -> bool {
        let none_told = self.meta.as_ref().and_then(|meta| meta.result_count) == Some(0);
        self.errors.iter().flatten().any(|trouble| !trouble.is_of_another_post())
            || (self.data.is_none() && !none_told)
    }
}

/// A post as X shows it. Each field that has two names is read under both.
#[derive(Debug, Deserialize)]
pub(crate) struct ShownPost {
    pub(crate) id: String,
    pub(crate) created_at: Option<DateTime<Utc>>,
    #[serde(default)]
    text: String,
    entities: Option<Entities>,
    note_tweet: Option<Note>,
    note_post: Option<Note>,
    referenced_tweets: Option<Vec<Reference>>,
    referenced_posts: Option<Vec<Reference>>,
}

/// The whole of a long post, whose `text` is cut off.
#[derive(Debug, Deserialize)]
struct Note {
    text: String,
    entities: Option<Entities>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    r#type: String,
    id: String,
}

#[derive(Debug, Deserialize)]
struct Entities {
    #[serde(default)]
    urls: Vec<UrlEntity>,
}

#[derive(Debug, Deserialize)]
struct UrlEntity {
    #[serde(default)]
    url: String,
    expanded_url: Option<String>,
    media_key: Option<String>,
}

impl ShownPost {
    /// The post that it answers.
    pub(crate) fn parent(&self) -> Option<&str> {
        let references = self.referenced_tweets.iter().chain(&self.referenced_posts).flatten();
        references
            .into_iter()
            .find(|reference| reference.r#type == "replied_to")
            .map(|reference| reference.id.as_str())
    }

    /// Its links.
    pub(crate) fn links(&self) -> Vec<ShownLink> {
        let of_note = self.note().and_then(|note| note.entities.as_ref());
        let entities = of_note.into_iter().chain(&self.entities);
        entities.flat_map(|entities| &entities.urls).map(UrlEntity::shown).collect()
    }

    /// Its text, with the links that [`ShownPost::links`] gave.
    pub(crate) fn shown<'a>(&'a self, links: &'a [ShownLink]) -> Shown<'a> {
        let text = self.note().map_or(self.text.as_str(), |note| note.text.as_str());
        Shown { text, links, is_reply: self.parent().is_some() }
    }

    fn note(&self) -> Option<&Note> {
        self.note_tweet.as_ref().or(self.note_post.as_ref())
    }
}

impl UrlEntity {
    fn shown(&self) -> ShownLink {
        let target = self.expanded_url.clone().unwrap_or_else(|| self.url.clone());
        ShownLink {
            short: self.url.clone(),
            own_media: self.media_key.is_some() || leads_to_media(&target),
            target,
        }
    }
}

/// X puts such a link behind the text of every post with media: `…/status/1/photo/1`.
fn leads_to_media(target: &str) -> bool {
    let mut from_end = target.rsplit('/');
    let number = from_end.next().unwrap_or_default();
    let kind = from_end.next().unwrap_or_default();
    let of_x = ["https://x.com/", "https://twitter.com/"].iter().any(|at| target.starts_with(at));
    of_x && matches!(kind, "photo" | "video")
        && !number.is_empty()
        && number.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(json: &str) -> Timeline {
        serde_json::from_str(json).expect("a timeline")
    }

    #[test]
    fn an_empty_list_must_say_so() {
        assert!(!timeline(r#"{"meta":{"result_count":0}}"#).is_partial());
        assert!(!timeline(r#"{"data":[{"id":"1"}],"meta":{"result_count":1}}"#).is_partial());
        assert!(timeline("{}").is_partial());
        assert!(timeline(r#"{"meta":{"result_count":2}}"#).is_partial());
        assert!(timeline(r#"{"meta":{"result_count":0},"errors":[{}]}"#).is_partial());
        let parent_gone =
            r#"{"data":[{"id":"1"}],"errors":[{"parameter":"referenced_posts","value":"9"}]}"#;
        assert!(
            !timeline(parent_gone).is_partial(),
            "a list is whole without a post that one of it answers"
        );
    }

    #[test]
    fn both_dialects_are_read_even_together() {
        for name in ["referenced_tweets", "referenced_posts"] {
            let json = format!(
                r#"{{"data":[{{"id":"2","{name}":[{{"type":"quoted","id":"9"}},{{"type":"replied_to","id":"1"}}]}}]}}"#
            );
            assert_eq!(timeline(&json).posts()[0].parent(), Some("1"));
        }
        let both = r#"{"data":[{"id":"2","text":"cut…","note_tweet":{"text":"whole"},"note_post":{"text":"whole"},
            "referenced_tweets":[{"type":"replied_to","id":"1"}],"referenced_posts":[{"type":"replied_to","id":"1"}]}]}"#;
        let both = timeline(both);
        assert_eq!(both.posts()[0].parent(), Some("1"));
        assert_eq!(both.posts()[0].shown(&[]).text, "whole");
    }

    #[test]
    fn only_a_link_to_the_own_media_is_one() {
        for (target, is_one) in [
            ("https://x.com/a/status/1/photo/1", true),
            ("https://twitter.com/a/status/1/video/2", true),
            ("https://x.com/a/status/1", false),
            ("https://example.com/photo/1", false),
            ("https://x.com/a/photo/", false),
        ] {
            assert_eq!(leads_to_media(target), is_one, "{target}");
        }
    }
}
