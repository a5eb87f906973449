//! Changes: what wakes those who wait for work, and the server's time between two answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::feed::Mark;
use postq_core::job::Topic;
use tokio::sync::watch;
use tokio::time::Instant;

/// The server's time is asked for again when the last answer is older than this.
const FRESH: Duration = Duration::from_secs(60);

/// The longest sleep without looking at the time again.
const LONGEST_NAP: Duration = Duration::from_secs(30);

/// What a change is about, and so whom it wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// A job may be claimable that was not: wakes workers.
    Jobs,
    /// There may be something to plan that there was not: wakes planners.
    Schedules,
}

impl About {
    /// What those who wait on a topic want to know of.
    pub(crate) fn topic(topic: &Topic) -> Self {
        if *topic == Topic::plan() { Self::Schedules } else { Self::Jobs }
    }
}

/// Counts the changes. A clone counts the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    jobs: watch::Sender<u64>,
    schedules: watch::Sender<u64>,
    /// Somebody tells us of other nodes' changes.
    is_told: AtomicBool,
}

impl Changes {
    /// One more.
    pub(crate) fn bump(&self, about: About) {
        self.count(about).send_modify(|count| *count += 1);
    }

    /// Perhaps one of each.
    pub(crate) fn bump_all(&self) {
        self.bump(About::Jobs);
        self.bump(About::Schedules);
    }

    /// How many so far.
    pub(crate) fn mark(&self, about: About) -> Mark {
        Mark(*self.count(about).borrow())
    }

    /// Notes whether other nodes' changes are told to us.
    pub(crate) fn set_told(&self, is_told: bool) {
        self.0.is_told.store(is_told, Ordering::SeqCst);
    }

    /// Waits for a change later than `mark`, at most until the clock shows `until`; where nobody tells of
    /// other nodes' changes, no longer than `check`.
    pub(crate) async fn wait(
        &self,
        about: About,
        mark: Mark,
        until: DateTime<Utc>,
        clock: &Clock,
        check: Duration,
    ) {
        let mut changes = self.count(about).subscribe();
        let begun = Instant::now();
        while *changes.borrow_and_update() <= mark.0 {
            let Ok(left) = (until - clock.now()).to_std() else { return };
            if left.is_zero() {
                return;
            }
            let mut nap = left.min(LONGEST_NAP);
            if !self.0.is_told.load(Ordering::SeqCst) {
                let rest = check.saturating_sub(begun.elapsed());
                if rest.is_zero() {
                    return;
                }
                nap = nap.min(rest);
            }
            tokio::select! {
                // An error is not possible: `self` holds the sender.
                _ = changes.changed() => {}
                () = tokio::time::sleep(nap) => {}
            }
        }
    }

    fn count(&self, about: About) -> &watch::Sender<u64> {
        match about {
            About::Jobs => &self.0.jobs,
            About::Schedules => &self.0.schedules,
        }
    }
}

/// The server's time, as it goes on since an answer told it.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<Option<(DateTime<Utc>, Instant)>>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// An answer that was asked for at `asked` tells the time.
    pub(crate) fn told(&self, now: DateTime<Utc>, asked: Instant) {
        // The answer is at most as old as the question: a wait may end early by that much, never late.
        *self.told_last() = Some((now, asked));
    }

    /// Whether the last answer is fresh.
    pub(crate) fn is_fresh(&self) -> bool {
        self.told_last().is_some_and(|(_, at)| at.elapsed() < FRESH)
    }

    /// The time now; if nobody ever told, long ago.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.told_last().map_or(DateTime::UNIX_EPOCH, |(told, at)| told + at.elapsed())
    }

    fn told_last(&self) -> std::sync::MutexGuard<'_, Option<(DateTime<Utc>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_a_change_at_its_time_or_for_a_look() {
        let (changes, clock) = (Changes::default(), Clock::new());
        clock.told(DateTime::UNIX_EPOCH + TimeDelta::days(1), Instant::now());
        let check = Duration::from_secs(1);
        let far = clock.now() + TimeDelta::days(1);
        let wait = async |mark, until| {
            let begun = Instant::now();
            changes.wait(About::Jobs, mark, until, &clock, check).await;
            begun.elapsed()
        };

        let mark = changes.mark(About::Jobs);
        assert_eq!(wait(mark, far).await, check, "nobody tells");
        changes.set_told(true);
        let soon = clock.now() + TimeDelta::seconds(90);
        assert_eq!(wait(mark, soon).await.as_secs(), 90);
        changes.bump(About::Schedules);
        assert_eq!(changes.mark(About::Jobs), mark, "planners and workers wait apart");
        changes.bump(About::Jobs);
        assert_eq!(wait(mark, far).await, Duration::ZERO, "it came before the wait");
    }
}
