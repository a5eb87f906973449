//! Looking through an account's own posts for one that a call without an answer may have made: what adapters of
//! platforms without an idempotency key have in common.
//!
//! The list of own posts is the witness. [`Window`] says which of them can be the one by when they were made,
//! an adapter says how alike each is, and [`Findings`] draws the conclusion, so that nothing is sent again because
//! of a clock, a list that ends too early, or a post that is nearly the same.
//!
//! ```
//! use chrono::{TimeDelta, Utc};
//! use postq_core::platform::{Look, Lookup};
//! use postq_core::witness::{Findings, Likeness, Window};
//! # use postq_core::{id::JobId, intent::{Intent, PlatformKey, Receipt}, job::Fence};
//! # let intent = Intent { job: JobId::new(), fence: Fence::default(), part: 0, key: PlatformKey::from_raw("k"), text: "t".into(),
//! #     options: Default::default(), media: vec![], reply_to: None, container: None, revision: 1, made_at: Utc::now() };
//! # let (claimed, now) = (Default::default(), intent.made_at);
//! # let lookup = Lookup { intent: &intent, claimed: &claimed, now };
//! let window = Window::of(&lookup, TimeDelta::minutes(5), Some(lookup.now))?;
//! let mut findings = Findings::default();
//! // For each own post that no other publication has claimed:
//! let made_at = intent.made_at + TimeDelta::seconds(1);
//! let post = Receipt {
//!     part: intent.part, remote_id: "42".to_owned(), url: None, published_at: made_at, dry_run: false,
//! };
//! findings.weigh(Likeness::Same, window.place(Some(made_at)), post);
//! assert!(matches!(findings.conclude(), Look::Found(_)));
//! # Ok::<(), String>(())
//! ```

use chrono::{DateTime, TimeDelta, Utc};

use crate::failure::{Failure, Outcome};
use crate::intent::{Intent, Receipt};
use crate::platform::{Look, Lookup};

/// What two clocks may differ by without anybody knowing, and what whole seconds cut off.
const SKEW: TimeDelta = TimeDelta::seconds(10);
/// Below this a difference to the `Date` of an answer is its whole seconds and the answer's way.
const NOTICEABLE: TimeDelta = TimeDelta::seconds(3);

/// Clocks that are further apart tell nothing.
const MOST_SKEW: TimeDelta = TimeDelta::minutes(15);

/// From the intent to the last moment at which its post can have come out, by the platform's clock; and around it
/// what would be in it if that clock were wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    earliest: DateTime<Utc>,
    latest: DateTime<Utc>,
}

/// How alike a post is to what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// It has what no other can have: the very files that were taken in for it.
    Exact,
    /// All that was sent is the same.
    Same,
    /// It may be the one, changed or only partly shown.
    Near,
    /// It is another one.
    Other,
}

/// Where a post is, by when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Made before: it is another one. What is older in a list is too.
    Before,
    /// It can be the one.
    Within,
    /// Outside, and yet not surely; or it is not told when it was made.
    Doubtful,
    /// Made too late to be the one.
    After,
}

impl Window {
    /// The window of an intent whose post comes out within `lasts`: the call's time-out and the settle time.
    /// `server_now` is the time by the platform's clock, if an answer told it.
    ///
    /// # Errors
    ///
    /// Why nobody can tell, for a person: the clocks are more than 15 minutes apart.
    pub fn of(
        lookup: &Lookup<'_>,
        lasts: TimeDelta,
        server_now: Option<DateTime<Utc>>,
    ) -> Result<Self, String> {
        let told = server_now.map(|theirs| theirs - lookup.now);
        let told = told.map(|by| if by.abs() < NOTICEABLE { TimeDelta::zero() } else { by });
        if let Some(by) = told.filter(|by| by.abs() > MOST_SKEW) {
            let seconds = by.num_seconds();
            return Err(format!(
                "the platform's clock is {seconds} s ahead of this host's: set the clock, or decide by hand"
            ));
        }
        // The clock that answers need not be the one that dates posts. Where none is told, this host's may be as
        // wrong as is bearable.
        let by = told.unwrap_or_default();
        let (least, most) = match told {
            Some(by) => (by.min(TimeDelta::zero()), by.max(TimeDelta::zero())),
            None => (-MOST_SKEW, MOST_SKEW),
        };
        let sent = lookup.intent.made_at;
        Ok(Self {
            from: sent + by - SKEW,
            until: sent + by + lasts + SKEW,
            earliest: sent + least - SKEW,
            latest: sent + most + lasts + SKEW,
        })
    }

    /// From when on posts matter, whatever the platform's clock: a list that takes a start is asked for from here.
    pub fn opens(intent: &Intent) -> DateTime<Utc> {
        intent.made_at - MOST_SKEW - SKEW
    }

    /// The same, where a platform that worked on it for long may have made it so much later.
    #[must_use]
    pub fn or_later(self, by: TimeDelta) -> Self {
        Self { latest: self.latest + by, ..self }
    }

    /// Where a post is that was made at this time; none if it is not told.
    pub fn place(&self, made_at: Option<DateTime<Utc>>) -> Place {
        match made_at {
            None => Place::Doubtful,
            Some(at) if at >= self.from && at <= self.until => Place::Within,
            Some(at) if at < self.earliest => Place::Before,
            Some(at) if at > self.latest => Place::After,
            Some(_) => Place::Doubtful,
        }
    }
}

/// What the posts that were seen so far come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The best: the most alike, then the oldest.
    found: Option<(Likeness, Receipt)>,
    doubt: Option<String>,
}

impl Findings {
    /// Weighs an own post that no other publication has claimed; `post` is its receipt, if it is the one.
    pub fn weigh(&mut self, likeness: Likeness, place: Place, post: Receipt) {
        match (likeness, place) {
            (Likeness::Other, _) => {}
            // Nobody else's has that: it does not matter when.
            (Likeness::Exact, _) | (Likeness::Same, Place::Within) => self.keep((likeness, post)),
            (_, Place::Before | Place::After) => {}
            (Likeness::Same, Place::Doubtful) | (Likeness::Near, _) => self.doubt(format!(
                "post {} is much like it and belongs to no other publication",
                post.remote_id
            )),
        }
    }

    /// Of several that are as alike, the oldest was the first to come out.
    fn keep(&mut self, candidate: (Likeness, Receipt)) {
        if self.found.as_ref().is_none_or(|known| order(&candidate) < order(known)) {
            self.found = Some(candidate);
        }
    }

    /// Why absence would not be sure; the first reason is told.
    pub fn doubt(&mut self, why: impl Into<String>) {
        self.doubt.get_or_insert_with(|| why.into());
    }

    /// All was seen: what was found, else the doubt, else nothing.
    pub fn conclude(self) -> Look {
        match (self.found, self.doubt) {
            (Some((_, receipt)), _) => Look::Found(receipt),
            (None, Some(why)) => Look::CannotTell(why),
            (None, None) => Look::Absent,
        }
    }

    /// Not all was seen: absence would not be sure.
    pub fn inconclusive(mut self, why: impl Into<String>) -> Look {
        self.doubt(why);
        self.conclude()
    }
}

/// What a failed look is to whoever asked for it: it says nothing about what is out, and its limits are those of
/// reading.
pub fn failed_look(failure: Failure) -> Failure {
    Failure { outcome: Outcome::Unknown, limits: Vec::new(), ..failure }
}

/// Ids rise, and grow longer: of two that were made at the same moment, the lesser was the first.
fn order((likeness, post): &(Likeness, Receipt)) -> (Likeness, DateTime<Utc>, usize, &str) {
    (*likeness, post.published_at, post.remote_id.len(), &post.remote_id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::failure::{FailureClass, LimitReading, LimitScope};
    use crate::id::JobId;
    use crate::intent::PlatformKey;
    use crate::job::Fence;
    use crate::options::PostOptions;

    const LASTS: TimeDelta = TimeDelta::seconds(100);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(100_000 + seconds)
    }

    /// The window of what was sent at 0, looked for at 200, as the platform's clock is so far ahead.
    fn window(ahead: Option<i64>) -> Result<Window, String> {
        let intent = Intent {
            job: JobId::new(),
            fence: Fence::default(),
            part: 0,
            key: PlatformKey::from_raw("key"),
            text: "text".to_owned(),
            options: PostOptions::default(),
            media: Vec::new(),
            reply_to: None,
            container: None,
            revision: 1,
            made_at: at(0),
        };
        let lookup = Lookup { intent: &intent, claimed: &BTreeSet::new(), now: at(200) };
        Window::of(&lookup, LASTS, ahead.map(|ahead| at(200 + ahead)))
    }

    fn places(window: Window, seconds: &[i64]) -> Vec<Place> {
        seconds.iter().map(|seconds| window.place(Some(at(*seconds)))).collect()
    }

    #[test]
    fn a_window_has_room_for_whole_seconds_and_no_more() {
        for same in [0, 2, -2] {
            let window = window(Some(same)).expect("a window");
            let seen = places(window, &[-11, -10, 0, 110, 111]);
            assert_eq!(
                seen,
                [Place::Before, Place::Within, Place::Within, Place::Within, Place::After]
            );
        }
        assert_eq!(window(Some(0)).expect("a window").place(None), Place::Doubtful);
    }

    #[test]
    fn a_clock_that_is_ahead_moves_it_and_leaves_doubt_about_the_rest() {
        let ahead = places(window(Some(60)).expect("a window"), &[-11, 49, 50, 170, 171]);
        assert_eq!(
            ahead,
            [Place::Before, Place::Doubtful, Place::Within, Place::Within, Place::After]
        );
        let behind = places(window(Some(-60)).expect("a window"), &[-71, -70, 50, 51, 110, 111]);
        assert_eq!(
            behind,
            [
                Place::Before,
                Place::Within,
                Place::Within,
                Place::Doubtful,
                Place::Doubtful,
                Place::After
            ]
        );
    }

    #[test]
    fn without_a_clock_much_is_doubtful_and_with_a_wrong_one_all_is() {
        let seen = places(window(None).expect("a window"), &[-911, -910, -10, 110, 1_010, 1_011]);
        assert_eq!(
            seen,
            [
                Place::Before,
                Place::Doubtful,
                Place::Within,
                Place::Within,
                Place::Doubtful,
                Place::After
            ]
        );
        for wrong in [901, -901] {
            let why = window(Some(wrong)).expect_err("nobody can tell");
            assert!(why.contains(&format!("clock is {wrong} s ahead")), "{why}");
        }
    }

    #[test]
    fn what_may_be_made_late_is_doubtful_for_longer() {
        let window = window(Some(0)).expect("a window").or_later(TimeDelta::seconds(50));

        let seen = places(window, &[110, 111, 160, 161]);

        assert_eq!(seen, [Place::Within, Place::Doubtful, Place::Doubtful, Place::After]);
    }

    fn receipt(id: &str, seconds: i64) -> Receipt {
        let published_at = at(seconds);
        Receipt { part: 0, remote_id: id.to_owned(), url: None, published_at, dry_run: false }
    }

    fn found(likeness: Likeness, place: Place) -> Look {
        let mut findings = Findings::default();
        findings.weigh(likeness, place, receipt("7", 0));
        findings.conclude()
    }

    #[test]
    fn likeness_and_time_decide_together() {
        let places = [Place::Before, Place::Within, Place::Doubtful, Place::After];
        let near = "post 7 is much like it and belongs to no other publication";
        let (is, may_be) = (Look::Found(receipt("7", 0)), Look::CannotTell(near.to_owned()));
        let not = Look::Absent;

        for (likeness, expected) in [
            (Likeness::Exact, [&is, &is, &is, &is]),
            (Likeness::Same, [&not, &is, &may_be, &not]),
            (Likeness::Near, [&not, &may_be, &may_be, &not]),
            (Likeness::Other, [&not, &not, &not, &not]),
        ] {
            let looks = places.map(|place| found(likeness, place));
            assert_eq!(looks.each_ref(), expected, "{likeness:?}");
        }
    }

    #[test]
    fn the_most_alike_is_found_and_then_the_oldest() {
        for ids in [["9", "10", "11"], ["11", "9", "10"], ["10", "11", "9"]] {
            let mut findings = Findings::default();
            for id in ids {
                findings.weigh(Likeness::Same, Place::Within, receipt(id, 5));
            }
            findings.weigh(Likeness::Same, Place::Within, receipt("1", 6));
            assert_eq!(findings.clone().conclude(), Look::Found(receipt("9", 5)));

            findings.weigh(Likeness::Exact, Place::Doubtful, receipt("2", 7));
            assert_eq!(findings.conclude(), Look::Found(receipt("2", 7)));
        }
    }

    #[test]
    fn absence_needs_a_whole_list_without_a_doubt() {
        let doubtful = || {
            let mut findings = Findings::default();
            findings.doubt("the first");
            findings.doubt("the second");
            findings
        };
        let told = |look| matches!(look, Look::CannotTell(why) if why == "the first");

        assert_eq!(Findings::default().conclude(), Look::Absent);
        assert!(told(doubtful().conclude()) && told(doubtful().inconclusive("it ends")));
        assert!(matches!(Findings::default().inconclusive("it ends"), Look::CannotTell(_)));
        let mut found = doubtful();
        found.weigh(Likeness::Same, Place::Within, receipt("1", 0));
        assert!(matches!(found.inconclusive("it ends"), Look::Found(_)));
    }

    #[test]
    fn a_failed_look_says_nothing_of_the_call() {
        let limits = vec![LimitReading {
            scope: LimitScope::App,
            remaining: 0,
            resets_in: std::time::Duration::from_secs(1),
        }];
        let refused = Failure::not_published(FailureClass::Content, "no").with_limits(limits);

        let failure = failed_look(refused);

        assert_eq!((failure.outcome, failure.limits.len()), (Outcome::Unknown, 0));
    }
}
