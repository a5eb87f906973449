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

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::failure::Failure;
use postq_core::intent::{Intent, Receipt};
use postq_core::platform::{Identity, Look, Lookup, Reconcile};
use postq_core::witness::{self, Findings, Likeness, Window, failed_look};
use postq_http::server_time;
use serde::Deserialize;
use serde_json::Value;

use crate::boards::{Place, Unplaced};
use crate::client::{Caller, Pinterest, is_id};
use crate::pin::{ShownPin, pin_url};
use crate::sent::Sent;
use crate::text::Sameness;

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
        self.search(who, lookup).await.map_err(failed_look)
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
                    if let Err(why) = search.take(&page, server_now) {
                        return Ok(Look::CannotTell(why));
                    }
                    page
                }
                Shown::TooLarge => {
                    return Ok(search
                        .findings
                        .inconclusive("the list of the board's Pins is larger than 4 MiB"));
                }
                Shown::Gone => {
                    return Ok(search
                        .findings
                        .inconclusive("pinterest does not show the board any more"));
                }
            };
            bookmark = page.bookmark.filter(|mark| !mark.is_empty());
            if bookmark.is_none() || (number >= LEAST_PAGES && search.reaches_back()) {
                return Ok(search.findings.conclude());
            }
        }
        let why = "the list of the board's Pins does not reach back to when it was sent";
        Ok(search.findings.inconclusive(why))
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
    findings: Findings,
    /// The Pin that was read last.
    last: Option<DateTime<Utc>>,
    /// Where that one is in time.
    place: witness::Place,
    /// Whether each Pin so far was as old as the one before or older.
    newest_first: bool,
}

impl<'a> Search<'a> {
    fn new(pinterest: &Pinterest, lookup: Lookup<'a>, board: String) -> Self {
        let lasts = pinterest.config.send_timeout + pinterest.config.settle_time;
        let lasts = TimeDelta::from_std(lasts).expect("both are at most an hour");
        let (findings, place) = (Findings::default(), witness::Place::After);
        Self { lookup, board, lasts, findings, last: None, place, newest_first: true }
    }

    /// Takes in a page; `Err` if nothing can be told at all.
    fn take(&mut self, page: &Page, server_now: Option<DateTime<Utc>>) -> Result<(), String> {
        let window = Window::of(&self.lookup, self.lasts, server_now)?;
        for item in &page.items {
            match ShownPin::deserialize(item) {
                Ok(pin) if is_id(&pin.id) => self.see(&pin, window),
                _ => self
                    .findings
                    .doubt("the list of the board's Pins has entries that make no sense"),
            }
        }
        Ok(())
    }

    fn see(&mut self, pin: &ShownPin, window: Window) {
        let at = pin.created_at();
        match (at, self.last) {
            (None, _) => self.newest_first = false,
            (Some(at), Some(last)) if at > last => self.newest_first = false,
            _ => {}
        }
        self.last = at.or(self.last);
        self.place = window.place(at);
        let is_elsewhere = pin.board_id.as_ref().is_some_and(|board| *board != self.board);
        if is_elsewhere || pin.is_owner == Some(false) || self.lookup.claimed.contains(&pin.id) {
            return;
        }
        let likeness = match Sent::of(self.lookup.intent).compare(pin) {
            Sameness::Different => Likeness::Other,
            Sameness::Near => Likeness::Near,
            Sameness::Same => Likeness::Same,
        };
        let receipt = Receipt {
            part: self.lookup.intent.part,
            remote_id: pin.id.clone(),
            url: Some(pin_url(&pin.id)),
            published_at: at.unwrap_or(self.lookup.now),
            dry_run: false,
        };
        self.findings.weigh(likeness, self.place, receipt);
    }

    /// Whether all that is still unread is older than what is looked for.
    fn reaches_back(&self) -> bool {
        self.newest_first && self.place == witness::Place::Before
    }
}
