//! [`Reconcile`] for Instagram: the container's status is the witness.
//!
//! | status | what it says |
//! |---|---|
//! | `PUBLISHED` | it is out; its id is looked for in the list |
//! | `FINISHED` | it is not out, and publishing it again is safe: a container comes out at most once |
//! | `EXPIRED` | it was not published within a day; believed if the list does not show it |
//! | `ERROR` | it failed; found if the list shows it, else a person decides |
//! | `IN_PROGRESS` | not yet |
//!
//! In the list it is what came out between 10 s before the intent and 10 s after the settle time's end, that
//! no other publication has claimed, and that has the same caption. A story has none, nor need others have one:
//! of a container that is out, it is the only one without a caption there. Where that does not tell which post a
//! published container has become, a person does: it is never sent again.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::failure::{Failure, FailureClass};
use postq_core::intent::Receipt;
use postq_core::platform::{Identity, Look, Lookup, Reconcile};
use postq_core::witness::{Place, Window, failed_look};
use postq_http::{Hidden, server_time};
use serde::Deserialize;

use super::Instagram;
use super::container::{Kind, Status};
use crate::client::{Id, MOST_OF_LIST, Token, is_address, is_id};
use crate::error::unread;
use crate::text::{Sameness, compare};
use crate::time::{lasts, read};

/// Entries asked for at once.
const PAGE: &str = "25";
/// Pages read in one look: far more than an account may publish in a day.
const MOST_PAGES: usize = 8;

#[async_trait]
impl Reconcile for Instagram {
    fn settle_time(&self) -> Duration {
        self.config.settle_time
    }

    /// Ends within `send_timeout`.
    async fn look<'a>(&self, who: &Identity, lookup: Lookup<'a>) -> Result<Look, Failure> {
        self.ask(who, lookup).await.map_err(failed_look)
    }
}

impl Instagram {
    async fn ask(&self, who: &Identity, lookup: Lookup<'_>) -> Result<Look, Failure> {
        let until = self.graph.deadline();
        let cannot_tell = |why: &str| Ok(Look::CannotTell(why.to_owned()));
        let Some(container) = lookup.intent.container.as_deref().filter(|id| is_id(id)) else {
            return cannot_tell("it is not known which container was published");
        };
        let token = self.graph.token(who)?;
        let status = self.status(container, &token, until).await?;
        match &status {
            Status::Finished => return Ok(Look::Absent),
            Status::InProgress => {
                let message = "instagram still works on the container";
                return Err(Failure::unknown(FailureClass::Platform, message));
            }
            Status::Published | Status::Expired | Status::Error(_) => {}
        }
        let is_story = Kind::asked(&lookup.intent.options) == Some(Kind::Story);
        let has_caption = !is_story && !lookup.intent.text.trim().is_empty();
        let edge = if is_story { "stories" } else { "media" };
        let list = Listing { instagram: self, token: &token, lookup: &lookup, until };
        let mut seen = match (list.read(who, edge).await, &status) {
            (Ok(Ok(seen)), _) => seen,
            (Ok(Err(why)), Status::Published) => return Ok(Look::OutSomewhere(why)),
            (Err(failed), Status::Published) => return Ok(Look::OutUnread(failed_look(failed))),
            (Ok(Err(why)), _) => return Ok(Look::CannotTell(why)),
            (Err(failed), _) => return Err(failed),
        };
        let found = match (&status, has_caption) {
            (_, true) => seen.same.pop(),
            // One container, one post: where there are several, none of them is surely it.
            (Status::Published, false) if seen.unnamed.len() == 1 => seen.unnamed.pop(),
            (_, false) => None,
        };
        let is_near = seen.near || (!has_caption && !seen.unnamed.is_empty());
        match (found, status) {
            (Some(receipt), _) => Ok(Look::Found(receipt)),
            (None, Status::Published) => Ok(Look::OutSomewhere(
                "the container was published, and which post it is cannot be told from the list; take its address \
                 from the account"
                    .to_owned(),
            )),
            (None, Status::Expired) if !is_near => Ok(Look::Absent),
            (None, Status::Expired) => {
                cannot_tell("the container has expired, and there is something much like it")
            }
            (None, _) => {
                cannot_tell("the container failed while it was published; look at the account")
            }
        }
    }
}

/// A list of an account's own, newest first.
struct Listing<'a> {
    instagram: &'a Instagram,
    token: &'a Token,
    lookup: &'a Lookup<'a>,
    until: Instant,
}

/// What a list shows of the window that nobody has claimed, newest first.
#[derive(Default)]
struct Seen {
    /// What has the same caption.
    same: Vec<Receipt>,
    /// What has none.
    unnamed: Vec<Receipt>,
    /// Something may be it.
    near: bool,
}

impl Listing<'_> {
    /// Reads the list back to where the window begins; why not, if it cannot be.
    async fn read(&self, who: &Identity, edge: &str) -> Result<Result<Seen, String>, Failure> {
        let node = self.instagram.node(who, self.token, self.until).await?;
        let path = format!("/{node}/{edge}");
        let graph = &self.instagram.graph;
        let hidden = Hidden::secret(self.token.expose()).with_texts([&self.lookup.intent.text]);
        let mut seen = Seen::default();
        let mut after: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut query = vec![("fields", FIELDS), ("limit", PAGE)];
            query.extend(after.as_deref().map(|after| ("after", after)));
            let answer = graph.get(&path, &query, self.token, (MOST_OF_LIST, self.until)).await;
            let answer = answer.map_err(|lost| lost.into_failure(hidden))?;
            if answer.status.is_success() && answer.body.is_empty() {
                return Ok(Err("the list of own posts is larger than 1 MiB".to_owned()));
            }
            let list: Option<List> = answer.read().filter(|_| answer.status.is_success());
            let list = list.ok_or_else(|| unread(&answer, (graph.name, hidden)))?;
            let config = &self.instagram.config;
            let lasts = lasts(config.send_timeout, config.settle_time);
            let window = match Window::of(self.lookup, lasts, server_time(&answer.headers)) {
                Ok(window) => window,
                Err(why) => return Ok(Err(why)),
            };
            for post in &list.data {
                self.weigh(post, window, &mut seen);
            }
            let ends = list.data.last().and_then(|post| post.timestamp);
            let is_past = window.place(ends) == Place::Before;
            if list.paging.next.is_none() || is_past {
                return Ok(Ok(seen));
            }
            after = list.paging.cursors.and_then(|cursors| cursors.after);
            if after.is_none() {
                break;
            }
        }
        Ok(Err("the list of own posts does not reach back to when it was sent".to_owned()))
    }

    fn weigh(&self, post: &Post, window: Window, seen: &mut Seen) {
        let Some(id) = post.id.clone().checked() else {
            seen.near = true;
            return;
        };
        if self.lookup.claimed.contains(&id) {
            return;
        }
        match window.place(post.timestamp) {
            Place::Within => {}
            // It may be it: whose it is, is not weighed any more.
            Place::Doubtful => {
                seen.near = true;
                return;
            }
            Place::Before | Place::After => return,
        }
        let receipt = Receipt {
            part: self.lookup.intent.part,
            remote_id: id,
            url: post.permalink.clone().filter(|url| is_address(url)),
            published_at: post.timestamp.unwrap_or(self.lookup.now),
            dry_run: false,
        };
        let shown = post.caption.as_deref().unwrap_or_default();
        if shown.trim().is_empty() {
            seen.unnamed.push(receipt);
            return;
        }
        match compare(&self.lookup.intent.text, shown) {
            Sameness::Same => seen.same.push(receipt),
            Sameness::Near => seen.near = true,
            Sameness::Different => {}
        }
    }
}

const FIELDS: &str = "id,caption,media_type,media_product_type,timestamp,permalink";

#[derive(Deserialize)]
struct List {
    data: Vec<Post>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Default, Deserialize)]
struct Paging {
    cursors: Option<Cursors>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Cursors {
    after: Option<String>,
}

#[derive(Deserialize)]
struct Post {
    id: Id,
    caption: Option<String>,
    #[serde(default, deserialize_with = "read")]
    timestamp: Option<DateTime<Utc>>,
    permalink: Option<String>,
}
