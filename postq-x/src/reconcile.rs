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
//! punctuation, links and leading `@names`, or is the beginning of ours, or one that is in the window
//! only if X's clocks differ, is a near match: nobody can tell, and a person decides.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use postq_core::failure::{Failure, FailureClass};
use postq_core::intent::{Intent, Receipt};
use postq_core::platform::{Identity, Look, Lookup, Reconcile};
use postq_core::witness::{Findings, Likeness, Window, failed_look};
use postq_http::{Answer, Hidden, Token, server_time};
use reqwest::StatusCode;

use crate::client::{X, is_id};
use crate::config::Fields;
use crate::error::unread;
use crate::publish::{id_time, post_url};
use crate::text::{Sameness, compare};
use crate::timeline::{ShownPost, Timeline};

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
        self.search(who, lookup).await.map_err(failed_look)
    }
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
                return Ok(search
                    .findings
                    .inconclusive("the list of own posts is larger than 1 MiB"));
            }
            let page = list.read(&answer)?;
            if let Err(why) = search.take(&page, server_time(&answer.headers)) {
                return Ok(Look::CannotTell(why));
            }
            next = page.next_token().map(str::to_owned);
            if next.is_none() {
                return Ok(search.findings.conclude());
            }
        }
        let why = "the list of own posts does not reach back to when it was sent";
        Ok(search.findings.inconclusive(why))
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
        let from = Window::opens(self.intent).to_rfc3339_opts(SecondsFormat::Secs, true);
        let fields = match newer {
            true => ("post.fields", "created_at,text,conversation_id,entities,note_post"),
            false => (
                "tweet.fields",
                "created_at,text,conversation_id,referenced_tweets,entities,note_tweet",
            ),
        };
        let mut query =
            vec![("max_results", PAGE), ("start_time", &from), ("exclude", "retweets"), fields];
        // What a post answers is no field of it by the newer names: it is shown to who expands it.
        query.extend(newer.then_some(("expansions", "referenced_posts")));
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
    findings: Findings,
}

impl<'a> Search<'a> {
    fn new(x: &X, lookup: Lookup<'a>) -> Self {
        let lasts = x.config.send_timeout + x.config.settle_time;
        let lasts = TimeDelta::from_std(lasts).expect("both are at most an hour");
        Self { lookup, lasts, findings: Findings::default() }
    }

    /// Takes in a page; `Err` if nothing can be told at all.
    fn take(&mut self, page: &Timeline, server_now: Option<DateTime<Utc>>) -> Result<(), String> {
        let window = Window::of(&self.lookup, self.lasts, server_now)?;
        if page.is_partial() {
            self.findings.doubt("x's list of own posts has errors in it");
        }
        for post in page.posts() {
            if !self.lookup.claimed.contains(&post.id) {
                self.weigh(post, window);
            }
        }
        Ok(())
    }

    fn weigh(&mut self, post: &ShownPost, window: Window) {
        let at = post.created_at.or_else(|| id_time(&post.id));
        let intent = self.lookup.intent;
        let same_parent = match (intent.reply_to.as_deref(), post.parent()) {
            (Some(ours), Some(theirs)) if ours == theirs => Some(true),
            (None, None) => Some(true),
            // X may not have told the parent.
            (Some(_), None) => None,
            _ => Some(false),
        };
        let links = post.links();
        let same_text = compare(&intent.text, post.shown(&links));
        let likeness = match (same_parent, same_text) {
            (Some(false), _) | (_, Sameness::Different) => Likeness::Other,
            (Some(true), Sameness::Same) => Likeness::Same,
            _ => Likeness::Near,
        };
        let receipt = Receipt {
            part: intent.part,
            remote_id: post.id.clone(),
            url: Some(post_url(&post.id)),
            published_at: at.unwrap_or(self.lookup.now),
            dry_run: false,
        };
        self.findings.weigh(likeness, window.place(at), receipt);
    }
}
