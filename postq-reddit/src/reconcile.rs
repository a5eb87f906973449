//! [`Reconcile`] for Reddit: finds a post again among the account's own.
//!
//! Reddit has no idempotency key, so the witness is the list of what the account has submitted. A post is the
//! one that was sent if all of this holds:
//!
//! - it was created between 5 s before the intent and 5 s after the settle time's end, by Reddit's own clock:
//!   where the `Date` of an answer differs from ours, the window moves with it;
//! - no other publication has claimed it, and it is no crosspost;
//! - it is in the same community, and has the same title: a title cannot be changed;
//! - a link leads to the same address; the text is the same, or not shown under a link or picture, or nothing
//!   is left of it because it was removed: what a moderator or a bot removed was published.
//!
//! An unclaimed post in the window, or up to an hour after it, in the same community and with the same title, that differs otherwise, or
//! whose title is the same only without letter case, spaces and punctuation, is a near match: nobody can
//! tell, and a person decides. Reddit may show its lists from a cache of some 30 s, far less than the
//! settle time.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::failure::{Failure, FailureClass, Outcome};
use postq_core::intent::Receipt;
use postq_core::platform::{Identity, Look, Lookup, Reconcile};
use postq_http::{Answer, Hidden, Token, server_time};

use crate::client::{Reddit, is_name, token_of};
use crate::error::unread;
use crate::listing::{Listing, ShownPost};
use crate::options::{Kind, Wanted};
use crate::publish::post_url;
use crate::same::{Sameness, compare, is_blotted_out};

/// What two clocks may differ by without anybody knowing, and what whole seconds cut off.
const SKEW: TimeDelta = TimeDelta::seconds(5);
/// Below this a difference to Reddit's `Date` is its whole seconds and the way of the answer.
const NOTICEABLE: TimeDelta = TimeDelta::seconds(3);
/// A post that is as ours and so much later may be a video that Reddit worked on for long, or another one.
const LATE: TimeDelta = TimeDelta::hours(1);
/// Clocks that are further apart tell nothing.
const MOST_SKEW: TimeDelta = TimeDelta::minutes(15);
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
        self.search(who, lookup).await.map_err(about_the_look)
    }
}

/// A failed look must not be taken for a refused call: it says nothing about what is out, and its
/// limits are those of reading.
fn about_the_look(failure: Failure) -> Failure {
    Failure { outcome: Outcome::Unknown, limits: Vec::new(), ..failure }
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
        let wanted = Wanted::read(&lookup.intent.options);
        let hidden =
            Hidden::secret(token.expose()).with_texts([&wanted.title, &lookup.intent.text]);
        let list = Own { reddit: self, token: &token, user: &user, hidden, deadline };
        let mut search = Search::new(self, lookup, &wanted);
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let answer = list.page(next.as_deref()).await?;
            if answer.status.is_success() && answer.body.is_empty() {
                return Ok(search.inconclusive("the list of own posts is larger than 6 MiB"));
            }
            let page = list.read(&answer)?;
            if let Some(look) = search.take(&page, server_time(&answer.headers)) {
                return Ok(look);
            }
            next = page.after;
            if next.is_none() || search.is_past {
                return Ok(search.conclude());
            }
        }
        Ok(search.inconclusive("the list of own posts does not reach back to when it was sent"))
    }
}

fn no_user() -> Failure {
    let message = "the account's remote id is no name of a Reddit user; add the account again";
    Failure::unknown(FailureClass::Auth, message)
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
    wanted: &'a Wanted<'a>,
    /// From the intent to the last moment at which its post can have come out.
    lasts: TimeDelta,
    /// The list was read back to before the intent.
    is_past: bool,
    /// The oldest post that is the one.
    found: Option<Receipt>,
    /// Why absence would not be sure.
    doubt: Option<String>,
}

impl<'a> Search<'a> {
    fn new(reddit: &Reddit, lookup: Lookup<'a>, wanted: &'a Wanted<'a>) -> Self {
        let lasts = reddit.config.send_timeout + reddit.config.settle_time;
        let lasts = TimeDelta::from_std(lasts).expect("both are at most an hour");
        Self { lookup, wanted, lasts, is_past: false, found: None, doubt: None }
    }

    /// Takes in a page; a look if nothing can be told at all.
    fn take(&mut self, page: &Listing, server_now: Option<DateTime<Utc>>) -> Option<Look> {
        let ahead = server_now.map_or(TimeDelta::zero(), |theirs| theirs - self.lookup.now);
        let ahead = if ahead.abs() < NOTICEABLE { TimeDelta::zero() } else { ahead };
        if ahead.abs() > MOST_SKEW {
            let seconds = ahead.num_seconds();
            return Some(Look::CannotTell(format!(
                "reddit's clock is {seconds} s ahead of this host's: set the clock, or decide by hand"
            )));
        }
        if page.is_partial {
            self.doubt("reddit's list of own posts has something in it that is no post".to_owned());
        }
        let sent = self.lookup.intent.made_at + ahead;
        let end = sent + self.lasts + SKEW;
        for post in &page.posts {
            let at = post.created_at();
            let is_older = at.is_some_and(|at| at < sent - SKEW);
            let is_newer = at.is_some_and(|at| at > end + LATE);
            if !is_older && !is_newer && !self.lookup.claimed.contains(post.id()) {
                self.weigh(post, at.filter(|at| *at <= end));
            }
        }
        let last = page.posts.last().and_then(ShownPost::created_at);
        self.is_past = last.is_some_and(|at| at < sent - SKEW);
        None
    }

    /// Weighs a post that was made at that time; none where it is not told, or late.
    fn weigh(&mut self, post: &ShownPost, at: Option<DateTime<Utc>>) {
        let elsewhere = |name: &String| !name.eq_ignore_ascii_case(&self.wanted.community);
        if post.subreddit.as_ref().is_some_and(elsewhere) || post.crosspost_parent.is_some() {
            return;
        }
        let title = compare(&self.wanted.title, post.title.as_deref().unwrap_or_default());
        match (title, self.is_ours_within(post)) {
            (Sameness::Different, _) => {}
            (Sameness::Same, true) if post.subreddit.is_some() && at.is_some() => {
                self.keep_oldest(post, at);
            }
            _ => self.doubt(format!(
                "post {} is much like it and belongs to no other publication",
                post.id()
            )),
        }
    }

    /// Whether what is under the title is the same.
    fn is_ours_within(&self, post: &ShownPost) -> bool {
        let text = post.selftext.as_deref().unwrap_or_default();
        let same_text = is_blotted_out(text)
            || compare(&self.lookup.intent.text, text) == Sameness::Same
            // Under a link or picture, the text may not be shown.
            || (post.is_self == Some(false) && text.trim().is_empty());
        let same_kind = match (self.wanted.url, self.wanted.kind, post.is_self) {
            (Some(_), _, Some(true)) => false,
            (Some(url), ..) => {
                let ours = with_path(url);
                let same = |target: &str| compare(&ours, &with_path(target)) == Sameness::Same;
                post.targets().any(same)
            }
            (None, Some(Kind::Own), Some(false)) => false,
            (None, Some(Kind::Image | Kind::Gallery | Kind::Video), Some(true)) => false,
            // Nothing tells which of the two it was.
            (None, ..) => true,
        };
        same_kind && same_text
    }

    /// Of several that are the same, the oldest was the first to come out.
    fn keep_oldest(&mut self, post: &ShownPost, at: Option<DateTime<Utc>>) {
        let receipt = Receipt {
            part: self.lookup.intent.part,
            remote_id: post.id().to_owned(),
            url: post.address().or_else(|| Some(post_url(&self.wanted.community, post.id()))),
            published_at: at.unwrap_or(self.lookup.now),
            dry_run: false,
        };
        let order = |one: &Receipt| (one.published_at, one.remote_id.len(), one.remote_id.clone());
        if self.found.as_ref().is_none_or(|known| order(&receipt) < order(known)) {
            self.found = Some(receipt);
        }
    }

    fn doubt(&mut self, why: String) {
        self.doubt.get_or_insert(why);
    }

    fn conclude(self) -> Look {
        match (self.found, self.doubt) {
            (Some(receipt), _) => Look::Found(receipt),
            (None, Some(why)) => Look::CannotTell(why),
            (None, None) => Look::Absent,
        }
    }

    fn inconclusive(mut self, why: &str) -> Look {
        self.doubt(why.to_owned());
        self.conclude()
    }
}

/// An address as it is compared: a host without a path has the path `/`.
fn with_path(url: &str) -> String {
    reqwest::Url::parse(url).map_or_else(|_| url.to_owned(), String::from)
}
