//! [`Reconcile`] for Pinterest: finds a Pin again on its board.
//!
//! Pinterest has no idempotency key, so the witness is the list of the board's Pins, or of the section's. A Pin is
//! the one that was sent if all of this holds:
//!
//! - it was created between 10 s before the intent and 10 s after the settle time's end, by Pinterest's own
//!   clock: where the `Date` of its answer differs from ours, the window moves with it;
//! - no other publication has claimed it, and it is the account's own;
//! - its description, title and link are the same after what may be changed in every text is undone;
//! - it shows what was sent, a video or as many pictures; and where it says nothing at all, one picture of the same
//!   shape.
//!
//! An unclaimed Pin in the window that says nearly the same, leads elsewhere on the same page, says more than was
//! sent, says the same and shows something else, or was saved from another Pin is a near match: nobody can tell,
//! and a person decides.
//!
//! Pinterest does not document the list's order, and people may arrange a board by hand. So at least two pages are
//! read; the rest is left out only where all that was read is newest first and reaches back behind the window.
//! A board that is in no order is read to its end or up to 1,000 Pins; what is beyond cannot be told.

use std::cmp::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::failure::{Failure, Outcome};
use postq_core::intent::{Intent, Receipt};
use postq_core::platform::{Identity, Look, Lookup, Reconcile};
use postq_http::server_time;
use serde::Deserialize;
use serde_json::Value;

use crate::boards::{Place, Unplaced};
use crate::client::{Caller, Pinterest, is_id};
use crate::pin::{ShownPin, pin_url};
use crate::sent::Sent;
use crate::text::Sameness;

/// What two clocks may differ by without anybody knowing, and what whole seconds cut off.
const SKEW: TimeDelta = TimeDelta::seconds(10);
/// Below this a difference to the server's `Date` is its whole seconds and the way of the answer.
const NOTICEABLE: TimeDelta = TimeDelta::seconds(3);
/// With a clock that is further off than this nothing can be told.
const MOST_SKEW: TimeDelta = TimeDelta::minutes(15);
/// Pins asked for at once. Pinterest allows 250, which are about a megabyte.
const PAGE: &str = "100";
/// Pages that are read before an order is believed.
const LEAST_PAGES: usize = 2;
/// Pages read in one look.
const MOST_PAGES: usize = 10;
/// The longest page.
const MOST_OF_PAGE: usize = 4 * 1_024 * 1_024;

#[async_trait]
impl Reconcile for Pinterest {
    fn settle_time(&self) -> Duration {
        self.config.settle_time
    }

    /// Ends within `send_timeout`.
    async fn look<'a>(&self, who: &Identity, lookup: Lookup<'a>) -> Result<Look, Failure> {
        // A failed look must not be taken for a refused call: it says nothing about what is out.
        self.search(who, lookup).await.map_err(|failure| Failure {
            outcome: Outcome::Unknown,
            limits: Vec::new(),
            ..failure
        })
    }
}

impl Pinterest {
    async fn search(&self, who: &Identity, lookup: Lookup<'_>) -> Result<Look, Failure> {
        let Intent { text, options, .. } = lookup.intent;
        let [title, link] = ["title", "link"].map(|name| options.text(name).unwrap_or_default());
        let caller = self.caller(who, [text, title, link, ""])?;
        let place = match self.place(&caller, who.account, &lookup.intent.options).await {
            Ok(place) => place,
            Err(Unplaced::Wrong(why)) => return Ok(Look::CannotTell(why)),
            Err(Unplaced::Failed(failure)) => return Err(failure),
        };
        let mut search = Search::new(self, lookup, place.board.clone());
        let mut bookmark = None;
        for number in 1..=MOST_PAGES {
            let page = match caller.page(&place, bookmark.as_deref()).await? {
                Shown::Page(page, server_now) => {
                    if let Some(look) = search.take(&page, server_now) {
                        return Ok(look);
                    }
                    page
                }
                Shown::TooLarge => {
                    return Ok(
                        search.inconclusive("the list of the board's Pins is larger than 4 MiB")
                    );
                }
                Shown::Gone => {
                    return Ok(search.inconclusive("pinterest does not show the board any more"));
                }
            };
            bookmark = page.bookmark.filter(|mark| !mark.is_empty());
            if bookmark.is_none() || (number >= LEAST_PAGES && search.reaches_back()) {
                return Ok(search.conclude());
            }
        }
        Ok(search
            .inconclusive("the list of the board's Pins does not reach back to when it was sent"))
    }
}

/// One page of `GET /boards/{id}/pins`.
#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Value>,
    bookmark: Option<String>,
}

enum Shown {
    /// A page, and the time by Pinterest's clock.
    Page(Page, Option<DateTime<Utc>>),
    TooLarge,
    /// The board is not there, or not for us.
    Gone,
}

impl Caller<'_> {
    async fn page(&self, place: &Place, bookmark: Option<&str>) -> Result<Shown, Failure> {
        let path = match &place.section {
            None => format!("/boards/{}/pins", place.board),
            Some(section) => format!("/boards/{}/sections/{section}/pins", place.board),
        };
        let mut query = vec![("page_size", PAGE)];
        query.extend(bookmark.map(|mark| ("bookmark", mark)));
        let asked = self.get(&path, &query, MOST_OF_PAGE).await;
        let answer = asked.map_err(|lost| lost.into_failure(self.hidden()))?;
        let status = answer.status;
        if status.is_success() && answer.body.is_empty() {
            return Ok(Shown::TooLarge);
        }
        if status.as_u16() == 404 {
            return Ok(Shown::Gone);
        }
        let page = answer.read().filter(|_| status.is_success());
        let page = page.ok_or_else(|| self.unread(&answer))?;
        Ok(Shown::Page(page, server_time(&answer.headers)))
    }
}

/// What the pages read so far have shown.
struct Search<'a> {
    lookup: Lookup<'a>,
    /// The board that it was sent to.
    board: String,
    /// From the intent to the last moment at which its Pin can have come out.
    lasts: TimeDelta,
    /// When it was sent, by Pinterest's clock.
    sent: DateTime<Utc>,
    /// The oldest Pin that is the one.
    found: Option<Receipt>,
    /// Why absence would not be sure.
    doubt: Option<String>,
    /// The Pin that was read last.
    last: Option<DateTime<Utc>>,
    /// Whether each Pin so far was as old as the one before or older.
    newest_first: bool,
}

impl<'a> Search<'a> {
    fn new(pinterest: &Pinterest, lookup: Lookup<'a>, board: String) -> Self {
        let lasts = pinterest.config.send_timeout + pinterest.config.settle_time;
        let lasts = TimeDelta::from_std(lasts).expect("both are at most an hour");
        let sent = lookup.intent.made_at;
        Self {
            lookup,
            board,
            lasts,
            sent,
            found: None,
            doubt: None,
            last: None,
            newest_first: true,
        }
    }

    /// Takes in a page; a look if nothing can be told at all.
    fn take(&mut self, page: &Page, server_now: Option<DateTime<Utc>>) -> Option<Look> {
        let ahead = server_now.map_or(TimeDelta::zero(), |theirs| theirs - self.lookup.now);
        let ahead = if ahead.abs() < NOTICEABLE { TimeDelta::zero() } else { ahead };
        if ahead.abs() > MOST_SKEW {
            let seconds = ahead.num_seconds();
            return Some(Look::CannotTell(format!(
                "pinterest's clock is {seconds} s ahead of this host's: set the clock, or decide by hand"
            )));
        }
        self.sent = self.lookup.intent.made_at + ahead;
        for item in &page.items {
            match ShownPin::deserialize(item) {
                Ok(pin) if is_id(&pin.id) => self.see(&pin),
                _ => {
                    self.doubt("the list of the board's Pins has entries that make no sense".into())
                }
            }
        }
        None
    }

    fn see(&mut self, pin: &ShownPin) {
        let at = pin.created_at();
        match (at, self.last) {
            (None, _) => self.newest_first = false,
            (Some(at), Some(last)) if at > last => self.newest_first = false,
            _ => {}
        }
        self.last = at.or(self.last);
        let (first, end) = (self.sent - SKEW, self.sent + self.lasts + SKEW);
        let in_window = at.is_none_or(|at| at >= first && at <= end);
        if in_window && pin.is_owner != Some(false) && !self.lookup.claimed.contains(&pin.id) {
            self.weigh(pin, at);
        }
    }

    fn weigh(&mut self, pin: &ShownPin, at: Option<DateTime<Utc>>) {
        if pin.board_id.as_ref().is_some_and(|board| *board != self.board) {
            return;
        }
        match Sent::of(self.lookup.intent).compare(pin) {
            Sameness::Different => {}
            Sameness::Same => self.keep_oldest(pin, at),
            Sameness::Near => self.doubt(format!(
                "Pin {} is much like it and belongs to no other publication",
                pin.id
            )),
        }
    }

    /// Of several that are the same, the oldest was the first to come out.
    fn keep_oldest(&mut self, pin: &ShownPin, at: Option<DateTime<Utc>>) {
        let receipt = Receipt {
            part: self.lookup.intent.part,
            remote_id: pin.id.clone(),
            url: Some(pin_url(&pin.id)),
            published_at: at.unwrap_or(self.lookup.now),
            dry_run: false,
        };
        let older = self.found.as_ref().is_none_or(|known| {
            let by_time = receipt.published_at.cmp(&known.published_at);
            by_time.then_with(|| by_id(&receipt, known)) == Ordering::Less
        });
        if older {
            self.found = Some(receipt);
        }
    }

    /// Whether all that is still unread is older than what is looked for.
    fn reaches_back(&self) -> bool {
        self.newest_first && self.last.is_some_and(|last| last < self.sent - SKEW)
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
fn by_id(one: &Receipt, other: &Receipt) -> Ordering {
    let key = |receipt: &Receipt| (receipt.remote_id.len(), receipt.remote_id.clone());
    key(one).cmp(&key(other))
}
