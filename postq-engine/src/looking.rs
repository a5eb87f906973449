//! Looking: what is done when nobody knows whether something is out.
//!
//! ```text
//! sent ..2s..10s..30s..1m.... settled ........ +spacing
//!        early looks:         a look that      the second one that
//!        can only find        finds nothing    finds nothing:
//!                             counts           absent
//! ```
//!
//! `settled` is the intent's time, plus the request's time-out, plus the platform's settle time: what is
//! not visible then will not become visible. All decisions here are pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::failure::Failure;
use postq_core::intent::PartEvidence;

/// Early looks, since the intent: they can only find. The account's next posts wait for the first that does,
/// so there are some late ones too, where a platform has a long settle time.
pub(crate) const EARLY: [Duration; 7] = {
    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }
    [at(2), at(10), at(30), at(60), at(120), at(240), at(480)]
};

/// Looks after the settle time that must find nothing before absence is believed.
const ABSENT_LOOKS: u32 = 2;

/// Looks that there must have been before one that cannot be made is the last.
const FAILED_LOOKS: u32 = 5;

/// A longer wait before the next look is a mistake in a clock or unit.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// When looks are made for one part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookPlan {
    pub(crate) sent_at: DateTime<Utc>,
    pub(crate) send_timeout: Duration,
    pub(crate) settle_time: Duration,
    /// How long after the settle time looks that cannot be made are tried again.
    pub(crate) bound: Duration,
}

/// What a look that found nothing means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is not out, and will not be.
    Absent,
    /// Look again at this time; whether this look counts as one that found nothing.
    LookAgain { at: DateTime<Utc>, absent: bool },
    /// Nobody can tell.
    CannotTell(String),
    /// It is out, and nobody can tell which it is.
    OutSomewhere(String),
}

impl LookPlan {
    /// When the first look is due.
    pub(crate) fn first(&self) -> DateTime<Utc> {
        self.sent_at + EARLY[0]
    }

    /// When absence begins to count.
    pub(crate) fn settled(&self) -> DateTime<Utc> {
        self.sent_at + self.send_timeout + self.settle_time
    }

    /// The distance of the two looks that count: a fifth of the settle time, 1 s to 60 s.
    fn spacing(&self) -> Duration {
        (self.settle_time / 5).clamp(Duration::from_secs(1), Duration::from_secs(60))
    }

    /// The look found nothing.
    pub(crate) fn after_nothing(&self, known: &PartEvidence, now: DateTime<Utc>) -> Next {
        if let Some(at) = self.before_settled(now) {
            return Next::LookAgain { at, absent: false };
        }
        if known.absent_looks + 1 >= ABSENT_LOOKS {
            return Next::Absent;
        }
        Next::LookAgain { at: now + self.spacing(), absent: true }
    }

    /// The platform cannot tell; before the settle time it may still.
    pub(crate) fn after_cannot_tell(&self, why: String, now: DateTime<Utc>) -> Next {
        match self.before_settled(now) {
            Some(at) => Next::LookAgain { at, absent: false },
            None => Next::CannotTell(why),
        }
    }

    /// It is out, and the platform does not tell which it is; before the settle time it may still.
    pub(crate) fn after_out_somewhere(&self, why: String, now: DateTime<Utc>) -> Next {
        match self.before_settled(now) {
            Some(at) => Next::LookAgain { at, absent: false },
            None => Next::OutSomewhere(why),
        }
    }

    /// The look could not be made; the platform may ask to wait. `looks` is how many there were, of
    /// an open intent: it is not given up after an outage of ours, before it was looked for a few
    /// times.
    pub(crate) fn after_failed_look(
        &self,
        failure: &Failure,
        looks: Option<u32>,
        now: DateTime<Utc>,
    ) -> Next {
        let wait = failure.wait.map(|wait| wait.for_);
        let wait = wait.unwrap_or_else(|| self.spacing() * (1 << looks.unwrap_or(0).min(5)));
        let at = now + wait.min(LONGEST_WAIT);
        if at > self.settled() + self.bound && looks.is_none_or(|looks| looks >= FAILED_LOOKS) {
            return Next::CannotTell(format!("the platform could not be asked: {failure}"));
        }
        Next::LookAgain { at, absent: false }
    }

    /// The next look before the settle time is over; none if it is.
    fn before_settled(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let settled = self.settled();
        let next = EARLY.iter().map(|offset| self.sent_at + *offset).find(|at| *at > now);
        (now < settled).then(|| next.unwrap_or(settled).min(settled))
    }
}

#[cfg(test)]
mod tests {
    use postq_core::failure::{FailureClass, LimitScope};
    use postq_core::intent::IntentState;

    use super::*;

    fn plan() -> LookPlan {
        LookPlan {
            sent_at: DateTime::UNIX_EPOCH,
            send_timeout: Duration::from_secs(30),
            settle_time: Duration::from_secs(300),
            bound: Duration::from_secs(3_600),
        }
    }

    fn at(seconds: u64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn known(absent_looks: u32) -> PartEvidence {
        PartEvidence {
            part: 0,
            intent: None,
            state: IntentState::Open,
            absent_looks,
            looks: absent_looks,
            duplicate: false,
            receipt: None,
        }
    }

    #[test]
    fn early_looks_can_only_find() {
        let again = |seconds| Next::LookAgain { at: at(seconds), absent: false };

        assert_eq!(plan().first(), at(2));
        assert_eq!(plan().after_nothing(&known(0), at(2)), again(10));
        assert_eq!(plan().after_nothing(&known(0), at(10)), again(30));
        assert_eq!(plan().after_nothing(&known(0), at(31)), again(60));
        assert_eq!(plan().after_nothing(&known(0), at(240)), again(330));
        assert_eq!(plan().after_nothing(&known(9), at(329)), again(330));
    }

    #[test]
    fn absence_needs_two_looks_after_the_settle_time() {
        let first = plan().after_nothing(&known(0), at(330));

        assert_eq!(first, Next::LookAgain { at: at(390), absent: true });
        assert_eq!(plan().after_nothing(&known(1), at(390)), Next::Absent);
    }

    #[test]
    fn a_short_settle_time_ends_the_early_looks() {
        let plan = LookPlan {
            send_timeout: Duration::from_secs(1),
            settle_time: Duration::from_secs(2),
            ..plan()
        };

        assert_eq!(
            plan.after_nothing(&known(0), at(2)),
            Next::LookAgain { at: at(3), absent: false }
        );
    }

    #[test]
    fn a_platform_that_cannot_tell_is_believed_after_the_settle_time() {
        let why = || "a near match".to_owned();

        assert!(matches!(plan().after_cannot_tell(why(), at(31)), Next::LookAgain { .. }));
        assert_eq!(plan().after_cannot_tell(why(), at(331)), Next::CannotTell(why()));
    }

    #[test]
    fn what_is_out_somewhere_may_be_shown_until_the_settle_time() {
        let why = || "it is published".to_owned();

        let again = Next::LookAgain { at: at(60), absent: false };
        assert_eq!(plan().after_out_somewhere(why(), at(31)), again);
        assert_eq!(plan().after_out_somewhere(why(), at(331)), Next::OutSomewhere(why()));
    }

    #[test]
    fn a_look_that_fails_is_made_again_within_its_bound() {
        let failed = |wait: Option<Duration>| {
            let failure = Failure::unknown(FailureClass::Platform, "503");
            match wait {
                Some(wait) => failure.with_wait(LimitScope::Account, wait),
                None => failure,
            }
        };
        let fail = |now, wait| plan().after_failed_look(&failed(wait), Some(0), now);
        let last = |now| plan().after_failed_look(&failed(None), Some(9), now);

        assert_eq!(fail(at(2), None), Next::LookAgain { at: at(62), absent: false });
        let wait = Some(Duration::from_secs(900));
        assert_eq!(fail(at(2), wait), Next::LookAgain { at: at(902), absent: false });
        assert!(matches!(last(at(3_900)), Next::CannotTell(_)));
        assert!(matches!(fail(at(3_900), None), Next::LookAgain { .. }), "one look is not enough");
        let absurd = fail(at(2), Some(Duration::MAX));
        assert_eq!(absurd, Next::LookAgain { at: at(86_402), absent: false });
    }
}
