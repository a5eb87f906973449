//! [`Reconcile`] for Facebook Pages: finds a post again among the Page's own.
//!
//! Facebook has no idempotency key, so the witness is the list `published_posts`, and for videos, which have
//! an id of their own, the list `videos`. A post is the one that was sent if it came out between 10 s before
//! the intent and 10 s after the settle time's end (by Facebook's clock, where its `Date` differs from ours),
//! no other publication has claimed it, and its text is the same but for spaces.
//!
//! Nobody can tell, and a person decides, where there is an unclaimed post in the window
//!
//! - without a text, as there is if photos were sent without one;
//! - whose text is the same only without letter case, spaces and punctuation;
//! - with a video that the list of videos does not have, or has several times. A video's own time is when its
//!   upload began: up to a day before it came out.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::failure::{Failure, Outcome};
use postq_core::intent::Receipt;
use postq_core::platform::{Identity, Look, Lookup, Reconcile};
use postq_http::{Hidden, server_time};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Facebook, address};
use crate::client::{Id, MOST_OF_LIST, Token};
use crate::error::unread;
use crate::text::{Sameness, compare};
use crate::window::{MOST_SKEW, Window, time};

/// Entries asked for at once.
const PAGE: &str = "25";
/// Pages read of one list in one look: far more than a Page may post between an intent and the last look.
const MOST_PAGES: usize = 8;
/// An upload begins at most so long before its video comes out.
const UPLOADED_AHEAD: TimeDelta = TimeDelta::hours(25);

#[async_trait]
impl Reconcile for Facebook {
    fn settle_time(&self) -> Duration {
        self.config.settle_time
    }

    /// Ends within `send_timeout`.
    async fn look<'a>(&self, who: &Identity, lookup: Lookup<'a>) -> Result<Look, Failure> {
        let looked = self.search(who, lookup).await;
        // A failed look says nothing about what is out, and its limits are those of reading.
        looked.map_err(|failure| Failure {
            outcome: Outcome::Unknown,
            limits: Vec::new(),
            ..failure
        })
    }
}

impl Facebook {
    async fn search(&self, who: &Identity, lookup: Lookup<'_>) -> Result<Look, Failure> {
        let until = self.graph.deadline();
        let token = self.graph.token(who)?;
        let page = self.page(who, &token, until).await?;
        let list = Listing { facebook: self, token: &token, page: &page, lookup: &lookup, until };
        let mut search = Search::new(&lookup);

        let since = (lookup.intent.made_at - MOST_SKEW - TimeDelta::minutes(1)).timestamp();
        let query = [("fields", POST_FIELDS), ("since", &since.to_string())];
        let window =
            match list.read("published_posts", &query, |p: &Post, w| search.post(p, w)).await? {
                Ok(window) => window,
                Err(why) => return Ok(search.inconclusive(why)),
            };
        // What was sent with a link is no video; but what shows one may be a video of the Page's.
        let is_no_video = lookup.intent.options.text("link").is_some();
        let is_told = is_no_video && search.posts_with_video.is_empty();
        if search.found.is_none() && !is_told {
            let query = [("fields", "id,description,created_time")];
            let read = list.read("videos", &query, |video: &Video, _| search.video(video, window));
            if let Err(why) = read.await? {
                return Ok(search.inconclusive(why));
            }
        }
        Ok(search.conclude())
    }
}

const POST_FIELDS: &str =
    "id,message,created_time,permalink_url,status_type,attachments{media_type,url,unshimmed_url}";

/// A list of a Page's own, newest first.
struct Listing<'a> {
    facebook: &'a Facebook,
    token: &'a Token,
    page: &'a str,
    lookup: &'a Lookup<'a>,
    until: Instant,
}

impl Listing<'_> {
    /// Shows every entry until the list ends, or a page does with what is past; why not, if it cannot be read
    /// to there.
    async fn read<T: DeserializeOwned>(
        &self,
        edge: &str,
        query: &[(&str, &str)],
        mut see: impl FnMut(&T, Window) -> Seen,
    ) -> Result<Result<Window, String>, Failure> {
        let graph = &self.facebook.graph;
        let hidden = Hidden::secret(self.token.expose()).with_texts([&self.lookup.intent.text]);
        let path = format!("/{}/{edge}", self.page);
        let mut after: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut query = query.to_vec();
            query.push(("limit", PAGE));
            query.extend(after.as_deref().map(|after| ("after", after)));
            let answer = graph.get(&path, &query, self.token, (MOST_OF_LIST, self.until)).await;
            let answer = answer.map_err(|lost| lost.into_failure(hidden))?;
            if answer.status.is_success() && answer.body.is_empty() {
                return Ok(Err(format!("the list \"{edge}\" is larger than 1 MiB")));
            }
            let list: Option<List<T>> = answer.read().filter(|_| answer.status.is_success());
            let list = list.ok_or_else(|| unread(&answer, (graph.name, hidden)))?;
            let times = (self.facebook.config.send_timeout, self.facebook.config.settle_time);
            let window = match Window::of(self.lookup, times, server_time(&answer.headers)) {
                Ok(window) => window,
                Err(why) => return Ok(Err(why)),
            };
            let last = list.data.iter().map(|entry| see(entry, window)).last();
            if last == Some(Seen::Past) || list.paging.is_last() {
                return Ok(Ok(window));
            }
            after = list.paging.cursors.and_then(|cursors| cursors.after);
            if after.is_none() {
                break;
            }
        }
        Ok(Err(format!("the list \"{edge}\" does not reach back to when it was sent")))
    }
}

/// Whether what follows in a list may matter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    GoOn,
    /// It is older than anything that can be the one.
    Past,
}

/// What the lists have shown so far.
struct Search<'a> {
    lookup: &'a Lookup<'a>,
    /// The oldest that is the one.
    found: Option<Receipt>,
    /// Posts with a video whose text is the same.
    posts_with_video: Vec<(String, DateTime<Utc>)>,
    /// Videos whose text is the same, and whose upload began before the window.
    early_videos: Vec<(String, DateTime<Utc>)>,
    /// Another publication has a video whose text is the same: its post is not the one.
    claimed_video: bool,
    /// Why absence would not be sure.
    doubt: Option<String>,
}

impl<'a> Search<'a> {
    fn new(lookup: &'a Lookup<'a>) -> Self {
        Self {
            lookup,
            found: None,
            posts_with_video: Vec::new(),
            early_videos: Vec::new(),
            claimed_video: false,
            doubt: None,
        }
    }

    fn post(&mut self, post: &Post, window: Window) -> Seen {
        let Some(id) = self.unclaimed(&post.id) else { return Seen::GoOn };
        let Some(at) = post.created_time else {
            self.doubt(format!("post {id} has no time that can be read"));
            return Seen::GoOn;
        };
        if !window.has(at) {
            return if window.is_past(at) { Seen::Past } else { Seen::GoOn };
        }
        let sent = &self.lookup.intent.text;
        match compare(sent, post.message.as_deref().unwrap_or_default()) {
            Sameness::Same if post.has_video() => self.posts_with_video.push((id, at)),
            Sameness::Same => self.keep_oldest(id, at),
            Sameness::Near => self.doubt(near("post", &id)),
            Sameness::Different => {}
        }
        Seen::GoOn
    }

    fn video(&mut self, video: &Video, window: Window) -> Seen {
        let wide = window.with_earlier(UPLOADED_AHEAD);
        let shown = video.description.as_deref().unwrap_or_default();
        let sameness = compare(&self.lookup.intent.text, shown);
        let Some(id) = self.unclaimed(&video.id) else {
            self.claimed_video |= sameness == Sameness::Same;
            return Seen::GoOn;
        };
        let Some(at) = video.created_time else {
            self.doubt(format!("video {id} has no time that can be read"));
            return Seen::GoOn;
        };
        if !wide.has(at) {
            return if wide.is_past(at) { Seen::Past } else { Seen::GoOn };
        }
        match sameness {
            Sameness::Same if window.has(at) => self.keep_oldest(id, at),
            Sameness::Same => self.early_videos.push((id, at)),
            Sameness::Near => self.doubt(near("video", &id)),
            Sameness::Different => {}
        }
        Seen::GoOn
    }

    /// The id of an entry that may be the one.
    fn unclaimed(&self, id: &Id) -> Option<String> {
        id.clone().checked().filter(|id| !self.lookup.claimed.contains(id))
    }

    /// Of several that are the same, the oldest was the first to come out.
    fn keep_oldest(&mut self, remote_id: String, at: DateTime<Utc>) {
        if self.found.as_ref().is_none_or(|known| at < known.published_at) {
            self.found = Some(self.receipt(remote_id, at));
        }
    }

    fn receipt(&self, remote_id: String, published_at: DateTime<Utc>) -> Receipt {
        Receipt {
            part: self.lookup.intent.part,
            url: Some(address(&remote_id)),
            remote_id,
            published_at,
            dry_run: false,
        }
    }

    fn doubt(&mut self, why: String) {
        self.doubt.get_or_insert(why);
    }

    fn conclude(mut self) -> Look {
        if let Some(receipt) = self.found {
            return Look::Found(receipt);
        }
        match (self.posts_with_video.as_slice(), self.early_videos.as_slice()) {
            ([], []) => {}
            ([(_, at), ..], [(video, _)]) => {
                return Look::Found(self.receipt(video.clone(), *at));
            }
            ([(post, at), ..], []) if self.leads_elsewhere() && !self.claimed_video => {
                return Look::Found(self.receipt(post.clone(), *at));
            }
            ([], [(video, _), ..]) => self.doubt(near("video", &video.clone())),
            ([(post, _), ..], _) => self.doubt(near("post", &post.clone())),
        }
        match self.doubt {
            Some(why) => Look::CannotTell(why),
            None => Look::Absent,
        }
    }

    /// A post with a link, or with one in its text, may show somebody else's video.
    fn leads_elsewhere(&self) -> bool {
        let intent = self.lookup.intent;
        intent.options.text("link").is_some() || intent.text.contains("://")
    }

    fn inconclusive(mut self, why: String) -> Look {
        self.doubt(why);
        self.conclude()
    }
}

fn near(what: &str, id: &str) -> String {
    format!("{what} {id} is much like it and belongs to no other publication")
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Default, Deserialize)]
struct Paging {
    cursors: Option<Cursors>,
    next: Option<String>,
}

impl Paging {
    fn is_last(&self) -> bool {
        self.next.is_none()
    }
}

#[derive(Deserialize)]
struct Cursors {
    after: Option<String>,
}

#[derive(Deserialize)]
struct Post {
    id: Id,
    message: Option<String>,
    #[serde(default, deserialize_with = "time")]
    created_time: Option<DateTime<Utc>>,
    attachments: Option<Attachments>,
}

#[derive(Deserialize)]
struct Attachments {
    #[serde(default)]
    data: Vec<Attachment>,
}

#[derive(Deserialize)]
struct Attachment {
    media_type: Option<String>,
}

impl Post {
    fn has_video(&self) -> bool {
        let attached = self.attachments.iter().flat_map(|attached| &attached.data);
        attached.filter_map(|one| one.media_type.as_deref()).any(|kind| kind.contains("video"))
    }
}

#[derive(Deserialize)]
struct Video {
    id: Id,
    description: Option<String>,
    #[serde(default, deserialize_with = "time")]
    created_time: Option<DateTime<Utc>>,
}
