//! [`Reconcile`] for X: finds a post again among the account's own.
//!
//! X has no idempotency key, so the witness is the list of the account's posts. A post is the one
//! that was sent if all of this holds:
//!
//! - it was created between 10 s before the intent and 10 s after the settle time's end, by X's own
//!   clock: where the `Date` of X's answer differs from ours, the window moves with it;
//! - no other publication has claimed it;
//! - it answers the same post, or none as the intent does;
//! - its text is the same after what X does to every text is undone: NFC, `https://t.co/…` opened,
//!   `&amp; &lt; &gt;` unescaped, links to its own media left out, links compared without scheme and
//!   final slash, trimmed.
//!
//! An unclaimed post in the window whose text is the same only without letter case, spaces,
//! punctuation, links and leading `@names`, or is the beginning of ours, is a near match: nobody can
//! tell, and a person decides.

use std::cmp::Ordering as Order;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use postq_core::failure::{Failure, FailureClass, Outcome};
use postq_core::intent::{Intent, Receipt};
use postq_core::platform::{Identity, Look, Lookup, Reconcile};
use postq_http::{Answer, Hidden, Token, server_time};
use reqwest::StatusCode;

use crate::client::{X, is_id};
use crate::config::Fields;
use crate::error::unread;
use crate::publish::{id_time, post_url};
use crate::text::{Sameness, compare};
use crate::timeline::{ShownPost, Timeline};

/// What two clocks may differ by without anybody knowing, and what X's whole seconds cut off.
const SKEW: TimeDelta = TimeDelta::seconds(10);
/// Below this a difference to X's `Date` is its whole seconds and the way of the answer.
const NOTICEABLE: TimeDelta = TimeDelta::seconds(3);
/// The list is asked for from so long before the intent, since X's clock is known only afterwards.
const MOST_SKEW: TimeDelta = TimeDelta::minutes(15);
/// Posts asked for at once: X's most.
const PAGE: &str = "100";
/// Pages read in one look: far more than one user may post between an intent and the last look.
const MOST_PAGES: usize = 5;
/// The longest page.
const MOST_OF_LIST: usize = 1_024 * 1_024;

#[async_trait]
impl Reconcile for X {
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

impl X {
    async fn search(&self, who: &Identity, lookup: Lookup<'_>) -> Result<Look, Failure> {
        let token = Token::read(who.secret.as_ref())?;
        let deadline = Instant::now() + self.config.send_timeout;
        let user = match &who.remote_id {
            Some(id) if is_id(id) => id.clone(),
            Some(_) => return Err(no_user_id()),
            None => self.ask_whoami(&token, self.config.send_timeout).await?.id,
        };
        let list = Listing { x: self, token: &token, user: &user, intent: lookup.intent, deadline };
        let mut search = Search::new(self, lookup);
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let answer = list.page(next.as_deref()).await?;
            if answer.status.is_success() && answer.body.is_empty() {
                return Ok(search.inconclusive("the list of own posts is larger than 1 MiB"));
            }
            let page = list.read(&answer)?;
            if let Some(look) = search.take(&page, server_time(&answer.headers)) {
                return Ok(look);
            }
            next = page.next_token().map(str::to_owned);
            if next.is_none() {
                return Ok(search.conclude());
            }
        }
        Ok(search.inconclusive("the list of own posts does not reach back to when it was sent"))
    }
}

fn no_user_id() -> Failure {
    let message = "the account's remote id is no id of an X user; add the account again";
    Failure::unknown(FailureClass::Auth, message)
}

/// The list of an account's own posts, newest first.
struct Listing<'a> {
    x: &'a X,
    token: &'a Token,
    user: &'a str,
    intent: &'a Intent,
    deadline: Instant,
}

impl Listing<'_> {
    /// One page, asked for in the dialect that X wants.
    async fn page(&self, after: Option<&str>) -> Result<Answer, Failure> {
        let dialect = self.x.config.fields;
        let newer = match dialect {
            Fields::Auto => self.x.wants_post_fields.load(Ordering::Relaxed),
            Fields::Tweet => false,
            Fields::Post => true,
        };
        let answer = self.ask(after, newer).await?;
        if dialect != Fields::Auto || answer.status != StatusCode::BAD_REQUEST {
            return Ok(answer);
        }
        let other = self.ask(after, !newer).await?;
        if other.status.is_success() {
            self.x.wants_post_fields.store(!newer, Ordering::Relaxed);
        }
        Ok(other)
    }

    async fn ask(&self, after: Option<&str>, newer: bool) -> Result<Answer, Failure> {
        let from = self.intent.made_at - MOST_SKEW - SKEW;
        let from = from.to_rfc3339_opts(SecondsFormat::Secs, true);
        let fields = if newer {
            ("post.fields", "created_at,text,conversation_id,referenced_posts,entities,note_post")
        } else {
            (
                "tweet.fields",
                "created_at,text,conversation_id,referenced_tweets,entities,note_tweet",
            )
        };
        let mut query =
            vec![("max_results", PAGE), ("start_time", &from), ("exclude", "retweets"), fields];
        query.extend(after.map(|token| ("pagination_token", token)));
        let path = format!("/users/{}/tweets", self.user);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let asked = self.x.get(&path, &query, self.token, MOST_OF_LIST, left).await;
        asked.map_err(|lost| lost.into_failure(self.hidden()))
    }

    fn read(&self, answer: &Answer) -> Result<Timeline, Failure> {
        let page = answer.read().filter(|_| answer.status.is_success());
        page.ok_or_else(|| unread(answer, self.hidden(), self.x.server_now(answer)))
    }

    fn hidden(&self) -> Hidden<'_> {
        Hidden::secret(self.token.expose()).with_texts([&self.intent.text])
    }
}

/// What the pages read so far have shown.
struct Search<'a> {
    lookup: Lookup<'a>,
    /// From the intent to the last moment at which its post can have come out.
    lasts: TimeDelta,
    /// The oldest post that is the one.
    found: Option<Receipt>,
    /// Why absence would not be sure.
    doubt: Option<String>,
}

impl<'a> Search<'a> {
    fn new(x: &X, lookup: Lookup<'a>) -> Self {
        let lasts = x.config.send_timeout + x.config.settle_time;
        let lasts = TimeDelta::from_std(lasts).expect("both are at most an hour");
        Self { lookup, lasts, found: None, doubt: None }
    }

    /// Takes in a page; a look if nothing can be told at all.
    fn take(&mut self, page: &Timeline, server_now: Option<DateTime<Utc>>) -> Option<Look> {
        let ahead = server_now.map_or(TimeDelta::zero(), |theirs| theirs - self.lookup.now);
        let ahead = if ahead.abs() < NOTICEABLE { TimeDelta::zero() } else { ahead };
        if ahead.abs() > MOST_SKEW {
            let seconds = ahead.num_seconds();
            return Some(Look::CannotTell(format!(
                "x's clock is {seconds} s ahead of this host's: set the clock, or decide by hand"
            )));
        }
        if page.is_partial() {
            self.doubt("x's list of own posts has errors in it".to_owned());
        }
        let sent = self.lookup.intent.made_at + ahead;
        for post in page.posts() {
            let at = post.created_at.or_else(|| id_time(&post.id));
            let in_window = |at| at >= sent - SKEW && at <= sent + self.lasts + SKEW;
            if at.is_none_or(in_window) && !self.lookup.claimed.contains(&post.id) {
                self.weigh(post, at);
            }
        }
        None
    }

    fn weigh(&mut self, post: &ShownPost, at: Option<DateTime<Utc>>) {
        let intent = self.lookup.intent;
        let same_parent = match (intent.reply_to.as_deref(), post.parent()) {
            (Some(ours), Some(theirs)) if ours == theirs => Some(true),
            (None, None) => Some(true),
            // X may not have told the parent.
            (Some(_), None) => None,
            _ => Some(false),
        };
        let links = post.links();
        match (same_parent, compare(&intent.text, post.shown(&links))) {
            (Some(false), _) | (_, Sameness::Different) => {}
            (Some(true), Sameness::Same) => self.keep_oldest(post, at),
            _ => self.doubt(format!(
                "post {} is much like it and belongs to no other publication",
                post.id
            )),
        }
    }

    /// Of several that are the same, the oldest was the first to come out.
    fn keep_oldest(&mut self, post: &ShownPost, at: Option<DateTime<Utc>>) {
        let receipt = Receipt {
            part: self.lookup.intent.part,
            remote_id: post.id.clone(),
            url: Some(post_url(&post.id)),
            published_at: at.unwrap_or(self.lookup.now),
            dry_run: false,
        };
        let older = self.found.as_ref().is_none_or(|known| {
            receipt.published_at.cmp(&known.published_at).then_with(|| by_id(post, known))
                == Order::Less
        });
        if older {
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

/// Ids rise, and grow longer.
fn by_id(post: &ShownPost, known: &Receipt) -> Order {
    (post.id.len(), post.id.as_str()).cmp(&(known.remote_id.len(), known.remote_id.as_str()))
}
