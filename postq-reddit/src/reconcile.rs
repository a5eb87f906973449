//! [`Reconcile`] for Reddit: finds a post again among the account's own.
//!
//! Reddit has no idempotency key, so the witness is the list of what the account has submitted. A post is the
//! one that was sent if all of this holds:
//!
//! - it was created between 5 s before the intent and 5 s after the settle time's end, by Reddit's own clock:
//!   where the `Date` of an answer differs from ours, the window moves with it;
//! - no other publication has claimed it, and it is no crosspost;
//! - it is in the same community, and has the same title: a title cannot be changed;
//! - it is of the same kind, where the list tells that; a link leads to the same address; the text is the same,
//!   or not shown under a link or picture, or nothing is left of it because it was removed: what a moderator or
//!   a bot removed was published.
//!
//! A post that shows the very files that were sent is the one, whatever else became of it, and it comes before
//! others that are as alike.
//!
//! An unclaimed post in the same community that is much like it and differs in something is a near match: nobody
//! can tell, and a person decides. So it is where the kind, the text or the address is another; where the title
//! is the same only without letter case, spaces, punctuation and what cannot be seen, or Reddit has blotted it
//! out; where the post came up to an hour after the window, or would be in it by the other of two clocks that do
//! not agree. Reddit may show its lists from a cache of some 30 s, far less than the settle time.
//!
//! A list that is empty although posts of the account are known is no list: the look fails, and is made again.
//!
//! A video that is not found is never absent: Reddit may work on it for longer than anybody waits, and does not
//! say so. A picture is worked on for seconds; its absence is believed after the settle time.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::failure::{Failure, FailureClass};
use postq_core::intent::Receipt;
use postq_core::platform::{Identity, Look, Lookup, Reconcile};
use postq_core::witness::{Findings, Place, Window, failed_look};
use postq_http::{Answer, Hidden, Token, server_time};

use crate::client::{Reddit, is_name, token_of};
use crate::error::unread;
use crate::listing::{Listing, ShownPost};
use crate::publish::post_url;
use crate::sent::Sent;

/// A post that is as ours and so much later is one that Reddit worked on for long, or another one.
const WORKED_ON: TimeDelta = TimeDelta::hours(1);
/// Posts asked for at once: Reddit gives up to 100, which with long texts is a long answer.
const PAGE: &str = "25";
/// Pages read in one look: far more than one account may post between an intent and the last look.
const MOST_PAGES: usize = 8;
/// The longest page: 25 posts with the longest texts, each shown twice.
const MOST_OF_LIST: usize = 6 * 1_024 * 1_024;

#[async_trait]
impl Reconcile for Reddit {
    fn settle_time(&self) -> Duration {
        self.config.settle_time
    }

    /// Ends within `send_timeout`.
    async fn look<'a>(&self, who: &Identity, lookup: Lookup<'a>) -> Result<Look, Failure> {
        self.search(who, lookup).await.map_err(failed_look)
    }
}

impl Reddit {
    async fn search(&self, who: &Identity, lookup: Lookup<'_>) -> Result<Look, Failure> {
        let token = token_of(who.secret.as_ref())?;
        let deadline = Instant::now() + self.patience();
        let user = match &who.remote_id {
            Some(name) if is_name(name) => name.clone(),
            Some(_) => return Err(no_user()),
            None => self.ask_whoami(&token, self.patience()).await?.name,
        };
        let sent = Sent::of(lookup.intent);
        let hidden = Hidden::secret(token.expose()).with_texts([sent.title(), sent.text]);
        let list = Own { reddit: self, token: &token, user: &user, hidden, deadline };
        let mut search = Search::new(self, lookup, &sent);
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let answer = list.page(next.as_deref()).await?;
            if answer.status.is_success() && answer.body.is_empty() {
                return Ok(search
                    .findings
                    .inconclusive("the list of own posts is larger than 6 MiB"));
            }
            let page = list.read(&answer)?;
            if next.is_none() && page.posts.is_empty() && !search.lookup.claimed.is_empty() {
                return Err(no_list());
            }
            if let Err(why) = search.take(&page, server_time(&answer.headers)) {
                return Ok(Look::CannotTell(why));
            }
            next = page.after;
            if next.is_none() || search.is_past {
                return Ok(search.conclude());
            }
        }
        let why = "the list of own posts does not reach back to when it was sent";
        Ok(search.findings.inconclusive(why))
    }
}

fn no_user() -> Failure {
    let message = "the account's remote id is no name of a Reddit user; add the account again";
    Failure::unknown(FailureClass::Auth, message)
}

/// As it is when Reddit has trouble: absence is not believed then.
fn no_list() -> Failure {
    let message = "reddit shows no posts of the account, although there are some";
    Failure::unknown(FailureClass::Platform, message)
}

/// The list of an account's own posts, newest first.
struct Own<'a> {
    reddit: &'a Reddit,
    token: &'a Token,
    user: &'a str,
    hidden: Hidden<'a>,
    deadline: Instant,
}

impl Own<'_> {
    async fn page(&self, after: Option<&str>) -> Result<Answer, Failure> {
        let mut query = vec![("sort", "new"), ("limit", PAGE)];
        query.extend(after.map(|after| ("after", after)));
        let path = format!("/user/{}/submitted", self.user);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let asked = self.reddit.get(&path, &query, self.token, MOST_OF_LIST, left).await;
        asked.map_err(|lost| lost.into_failure(self.hidden))
    }

    fn read(&self, answer: &Answer) -> Result<Listing, Failure> {
        let unread = || unread(answer, self.hidden, self.reddit.server_now(answer));
        Listing::read(answer).ok_or_else(unread)
    }
}

/// What the pages read so far have shown.
struct Search<'a> {
    lookup: Lookup<'a>,
    sent: &'a Sent<'a>,
    /// From the intent to the last moment at which its post can have come out.
    lasts: TimeDelta,
    /// The list was read back to before the intent.
    is_past: bool,
    findings: Findings,
}

impl<'a> Search<'a> {
    fn new(reddit: &Reddit, lookup: Lookup<'a>, sent: &'a Sent<'a>) -> Self {
        let lasts = reddit.config.send_timeout + reddit.config.settle_time;
        let lasts = TimeDelta::from_std(lasts).expect("both are at most an hour");
        Self { lookup, sent, lasts, is_past: false, findings: Findings::default() }
    }

    /// Takes in a page; `Err` if nothing can be told at all.
    fn take(&mut self, page: &Listing, server_now: Option<DateTime<Utc>>) -> Result<(), String> {
        let window = Window::of(&self.lookup, self.lasts, server_now)?.or_later(WORKED_ON);
        if page.is_partial {
            self.findings.doubt("reddit's list of own posts has something in it that is no post");
        }
        for post in &page.posts {
            if !self.lookup.claimed.contains(post.id()) {
                let at = post.created_at();
                let receipt = self.receipt(post, at);
                self.findings.weigh(self.sent.likeness(post), window.place(at), receipt);
            }
        }
        let last = page.posts.last().and_then(ShownPost::created_at);
        self.is_past = window.place(last) == Place::Before;
        Ok(())
    }

    fn receipt(&self, post: &ShownPost, at: Option<DateTime<Utc>>) -> Receipt {
        Receipt {
            part: self.lookup.intent.part,
            remote_id: post.id().to_owned(),
            url: post.address().or_else(|| Some(post_url(self.sent.community(), post.id()))),
            published_at: at.unwrap_or(self.lookup.now),
            dry_run: false,
        }
    }

    /// The whole list was seen.
    fn conclude(mut self) -> Look {
        if self.sent.may_come_late() {
            self.findings.doubt(LATE);
        }
        self.findings.conclude()
    }
}

/// Why a video that is not found may be out all the same.
const LATE: &str = "reddit shows no such video, and may still be working on it: look at the account's posts, and \
                    send it again only if it stays away";
