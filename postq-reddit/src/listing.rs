//! Lists of posts, as Reddit shows them.

use chrono::{DateTime, Utc};
use postq_http::Answer;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use crate::client::is_id;
use crate::options::Kind;
use crate::publish::bare;

/// One page of posts.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Those that could be read, in their order.
    pub(crate) posts: Vec<ShownPost>,
    /// Where the next page begins.
    pub(crate) after: Option<String>,
    /// Something in it could not be read.
    pub(crate) is_partial: bool,
}

#[derive(Deserialize)]
struct Written {
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    children: Vec<Child>,
    after: Option<String>,
}

#[derive(Deserialize)]
struct Child {
    kind: String,
    data: Value,
}

impl Listing {
    /// The page of an answer; none if it is no list.
    pub(crate) fn read(answer: &Answer) -> Option<Self> {
        let written: Written = answer.read().filter(|_| answer.status.is_success())?;
        if written.kind != "Listing" {
            return None;
        }
        let children = written.data.children;
        let many = children.len();
        // What is no post, such as a comment, is passed over.
        let others = children.iter().filter(|child| child.kind != "t3").count();
        let posts: Vec<ShownPost> = children
            .into_iter()
            .filter(|child| child.kind == "t3")
            .filter_map(|child| ShownPost::deserialize(child.data).ok())
            .filter(|post| is_id(post.id()))
            .collect();
        let is_partial = posts.len() + others < many;
        Some(Self { posts, after: written.data.after, is_partial })
    }
}

/// A post as Reddit shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct ShownPost {
    id: String,
    pub(crate) title: Option<String>,
    pub(crate) selftext: Option<String>,
    url: Option<String>,
    url_overridden_by_dest: Option<String>,
    pub(crate) subreddit: Option<String>,
    permalink: Option<String>,
    created_utc: Option<f64>,
    pub(crate) is_self: Option<bool>,
    is_gallery: Option<bool>,
    is_video: Option<bool>,
    gallery_data: Option<Value>,
    pub(crate) author: Option<String>,
    pub(crate) removed_by_category: Option<Value>,
    pub(crate) crosspost_parent: Option<String>,
    pub(crate) locked: Option<bool>,
    pub(crate) score: Option<Value>,
    pub(crate) num_comments: Option<Value>,
    pub(crate) num_crossposts: Option<Value>,
}

impl ShownPost {
    /// Its id, without `t3_`.
    pub(crate) fn id(&self) -> &str {
        bare(&self.id)
    }

    /// When it was made, to the second.
    pub(crate) fn created_at(&self) -> Option<DateTime<Utc>> {
        let seconds = self.created_utc.filter(|seconds| (0.0..1e11).contains(seconds))?;
        #[allow(clippy::cast_possible_truncation, reason = "it was just found to fit")]
        let millis = (seconds * 1_000.0) as i64;
        DateTime::from_timestamp_millis(millis)
    }

    /// What it leads to, by each of its names.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &str> {
        self.url_overridden_by_dest.iter().chain(&self.url).map(String::as_str)
    }

    /// What kind of post it is, where that is told. A link may lead to a picture of Reddit's own, and is told as
    /// one.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let leads_to = |host: &str| {
            let urls = self.targets().filter_map(|target| Url::parse(target).ok());
            urls.into_iter().any(|url| url.host_str() == Some(host))
        };
        match (self.is_self, self.is_gallery, self.is_video) {
            (Some(true), ..) => Some(Kind::Own),
            (_, Some(true), _) => Some(Kind::Gallery),
            (.., Some(true)) => Some(Kind::Video),
            _ if leads_to("i.redd.it") => Some(Kind::Image),
            _ if leads_to("v.redd.it") => Some(Kind::Video),
            _ => None,
        }
    }

    /// The assets of a gallery, where they are told.
    pub(crate) fn gallery(&self) -> Vec<&str> {
        let items = self.gallery_data.as_ref().and_then(|data| data.get("items")?.as_array());
        let items = items.into_iter().flatten();
        items.filter_map(|item| item.get("media_id")?.as_str()).collect()
    }

    /// Where people see it.
    pub(crate) fn address(&self) -> Option<String> {
        let path = self.permalink.as_deref()?;
        let fits = path.starts_with("/r/") || path.starts_with("/user/");
        let fits = fits && path.len() <= 500 && !path.chars().any(char::is_whitespace);
        fits.then(|| format!("https://www.reddit.com{path}"))
    }

    /// Who took it away; none while it is shown.
    pub(crate) fn removed_by(&self) -> Option<&str> {
        match self.removed_by_category.as_ref()? {
            Value::Null => None,
            told => Some(told.as_str().unwrap_or("somebody")),
        }
    }
}
