//! [`Reconcile`] for Facebook Pages: finds a post again among the Page's own, and asks how a video stands.
//!
//! Facebook has no idempotency key. A video has an id before it is published, so its own status is the witness:
//! see `facebook::video`. For everything else it is the list `published_posts`: a post is the one that was sent if
//! no other publication has claimed it and
//!
//! - it shows the very photos, for a photo is attached to one post alone; or
//! - it came out between 10 s before the intent and 10 s after the settle time's end (by Facebook's clock, where
//!   its `Date` differs from ours), its text is the same but for spaces, and what is attached does not tell
//!   otherwise. Where neither has a text, its link is the same.
//!
//! A list that is empty although posts of the Page are known is no list, as where the right to read has lapsed: the
//! look fails, and is made again.
//!
//! Nobody can tell, and a person decides, where there is an unclaimed post
//!
//! - that has no text, as there is if photos were sent without one and the list does not tell their ids;
//! - whose text is the same only without letter case, spaces and punctuation, or whose photos or video are
//!   others;
//! - that would be in the window by the other of two clocks that do not agree.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::failure::{Failure, FailureClass};
use postq_core::intent::Receipt;
use postq_core::platform::{Identity, Look, Lookup, Reconcile};
use postq_core::witness::{Findings, Place, Window, failed_look};
use postq_http::{Answer, Hidden, server_time};

use super::listing::{FIELDS, List, Post};
use super::media::Uploaded;
use super::sent::Sent;
use super::{Facebook, address};
use crate::client::{MOST_OF_LIST, Token};
use crate::error::unread;
use crate::time::lasts;

/// Entries asked for at once.
const PAGE: &str = "25";
/// How long before the intent the list is asked for: what other publications have of it must be there.
const BEFORE: TimeDelta = TimeDelta::days(2);
/// Pages read of the list in one look: far more than a Page may post between an intent and the last look.
const MOST_PAGES: usize = 8;

#[async_trait]
impl Reconcile for Facebook {
    fn settle_time(&self) -> Duration {
        self.config.settle_time
    }

    /// Ends within `send_timeout`.
    async fn look<'a>(&self, who: &Identity, lookup: Lookup<'a>) -> Result<Look, Failure> {
        self.search(who, lookup).await.map_err(failed_look)
    }
}

impl Facebook {
    async fn search(&self, who: &Identity, lookup: Lookup<'_>) -> Result<Look, Failure> {
        let until = self.graph.deadline();
        let token = self.graph.token(who)?;
        let names = lookup.intent.media.iter().map(String::as_str);
        let Some(uploaded) = Uploaded::of(names) else {
            let why = "what was uploaded is not known by its name here: look at the Page";
            return Ok(Look::CannotTell(why.to_owned()));
        };
        if let [Uploaded::Video { id, .. }] = uploaded.as_slice() {
            return match lookup.claimed.contains(id) {
                true => Ok(Look::Absent),
                false => self.look_at_video(id, &lookup, (&token, until)).await,
            };
        }
        let page = self.page(who, &token, until).await?;
        let sent = Sent::of(lookup.intent, &uploaded);
        let list = Listing { facebook: self, token: &token, page: &page, lookup: &lookup, until };
        list.search(&sent).await
    }
}

/// The list of a Page's own posts, newest first.
struct Listing<'a> {
    facebook: &'a Facebook,
    token: &'a Token,
    page: &'a str,
    lookup: &'a Lookup<'a>,
    until: Instant,
}

impl Listing<'_> {
    /// Weighs every post until the list ends, or a page does with what is past.
    async fn search(&self, sent: &Sent<'_>) -> Result<Look, Failure> {
        let mut search = Search { lookup: self.lookup, sent, findings: Findings::default() };
        let mut after: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let answer = self.page(after.as_deref()).await?;
            if answer.status.is_success() && answer.body.is_empty() {
                return Ok(search
                    .findings
                    .inconclusive("the list of its posts is larger than 1 MiB"));
            }
            let list: List = answer.success().ok_or_else(|| self.unread(&answer))?;
            let window = match self.window(server_time(&answer.headers)) {
                Ok(window) => window,
                Err(why) => return Ok(Look::CannotTell(why)),
            };
            if after.is_none() && list.data.is_empty() && !self.lookup.claimed.is_empty() {
                return Err(self.is_no_list());
            }
            let last = list.data.iter().map(|post| search.weigh(post, window)).last();
            if last == Some(Place::Before) || list.is_last() {
                return Ok(search.findings.conclude());
            }
            after = list.after();
            if after.is_none() {
                break;
            }
        }
        let why = "the list of its posts does not reach back to when it was sent";
        Ok(search.findings.inconclusive(why))
    }

    async fn page(&self, after: Option<&str>) -> Result<Answer, Failure> {
        let since = (self.lookup.intent.made_at - BEFORE).timestamp();
        let since = since.to_string();
        let mut query = vec![("fields", FIELDS), ("since", since.as_str()), ("limit", PAGE)];
        query.extend(after.map(|after| ("after", after)));
        let path = format!("/{}/published_posts", self.page);
        let graph = &self.facebook.graph;
        let answer = graph.get(&path, &query, self.token, (MOST_OF_LIST, self.until)).await;
        answer.map_err(|lost| lost.into_failure(self.hidden()))
    }

    fn window(&self, server_now: Option<DateTime<Utc>>) -> Result<Window, String> {
        let config = &self.facebook.config;
        Window::of(self.lookup, lasts(config.send_timeout, config.settle_time), server_now)
    }

    fn unread(&self, answer: &Answer) -> Failure {
        unread(answer, (self.facebook.graph.name, self.hidden()))
    }

    /// As it is where the right to read has lapsed, or Facebook has trouble: absence is not believed then.
    fn is_no_list(&self) -> Failure {
        let message = "facebook shows no posts of the Page, although there are some";
        Failure::unknown(FailureClass::Platform, message)
    }

    fn hidden(&self) -> Hidden<'_> {
        Hidden::secret(self.token.expose()).with_texts([&self.lookup.intent.text])
    }
}

/// What the list has shown so far.
struct Search<'a> {
    lookup: &'a Lookup<'a>,
    sent: &'a Sent<'a>,
    findings: Findings,
}

impl Search<'_> {
    /// Weighs a post; where it is in time.
    fn weigh(&mut self, post: &Post, window: Window) -> Place {
        let place = window.place(post.created_time);
        let Some(id) = post.id.clone().checked() else {
            self.findings.doubt("the list of its posts has one whose id cannot be read");
            return place;
        };
        let claimed = &self.lookup.claimed;
        // A video's publication is known by the video, and its post shows that.
        if claimed.contains(&id) || post.targets().iter().any(|target| claimed.contains(target)) {
            return place;
        }
        let receipt = Receipt {
            part: self.lookup.intent.part,
            url: Some(address(&id)),
            remote_id: id,
            published_at: post.created_time.unwrap_or(self.lookup.now),
            dry_run: false,
        };
        self.findings.weigh(self.sent.likeness(post), place, receipt);
        place
    }
}
