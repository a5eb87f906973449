//! Changes: what wakes those who wait for work.
//!
//! A commit of this process that makes a job claimable wakes them at once. Other processes on the
//! same file cannot call us, so a thread looks once a second whether the file was changed: one
//! `PRAGMA data_version`, a few system calls. The same thread notices when the wall clock is set.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::clock::Clock;
use postq_core::error::{ErrorKind, StoreError};
use postq_core::feed::Mark;
use postq_core::job::Topic;
use rusqlite::Connection;
use tokio::sync::watch;

use crate::boot;
use crate::error::Fault;

/// The wall clock may run this far from the time since boot before it counts as set.
const STEP: TimeDelta = TimeDelta::seconds(5);

/// The longest sleep without looking at the clock again: it may have been set meanwhile.
const LONGEST_NAP: Duration = Duration::from_secs(60);

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
}

impl Changes {
    /// One more.
    pub(crate) fn bump(&self, about: About) {
        self.count(about).send_modify(|count| *count += 1);
    }

    /// How many so far.
    pub(crate) fn mark(&self, about: About) -> Mark {
        Mark(*self.count(about).borrow())
    }

    /// Waits for a change later than `mark`, at most until the clock shows `until`.
    pub(crate) async fn wait(
        &self,
        about: About,
        mark: Mark,
        until: DateTime<Utc>,
        clock: &dyn Clock,
    ) {
        let mut changes = self.count(about).subscribe();
        while *changes.borrow_and_update() <= mark.0 {
            let Ok(left) = (until - clock.now()).to_std() else { return };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                // An error is not possible: `self` holds the sender.
                _ = changes.changed() => {}
                () = tokio::time::sleep(left.min(LONGEST_NAP)) => {}
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

/// The thread that looks; it ends when this is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Lookout(Mutex<Option<(Sender<()>, JoinHandle<()>)>>);

impl Lookout {
    /// Starts it on a connection of its own.
    pub(crate) fn start(
        conn: Connection,
        path: &Path,
        every: Duration,
        clock: Arc<dyn Clock>,
        changes: Changes,
    ) -> Result<Self, StoreError> {
        let (alive, ended) = channel();
        let every = every.max(Duration::from_millis(10));
        let thread = thread::Builder::new()
            .name("postq-lookout".to_owned())
            .spawn(move || look_out(&conn, &ended, every, clock.as_ref(), &changes))
            .map_err(|error| {
                let what = format!("the look-out thread cannot be started: {error}");
                Fault::Refused(ErrorKind::Unavailable, what).during("open the store", path)
            })?;
        Ok(Self(Mutex::new(Some((alive, thread)))))
    }

    /// Ends the thread and waits until its connection is closed. Blocks.
    pub(crate) fn stop(&self) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((alive, thread)) = running {
            drop(alive);
            if thread.join().is_err() {
                tracing::error!("the look-out thread panicked");
            }
        }
    }
}

fn look_out(
    conn: &Connection,
    ended: &Receiver<()>,
    every: Duration,
    clock: &dyn Clock,
    changes: &Changes,
) {
    let mut seen = version(conn);
    let mut steps = Steps::new(clock);
    while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        let now = version(conn);
        let was_set = steps.notice(clock);
        if now != seen || was_set {
            changes.bump(About::Jobs);
            changes.bump(About::Schedules);
        }
        seen = now;
    }
}

/// A number that differs when the file was changed; none when it could not be read, which counts as
/// a change: whoever wakes finds out what is wrong.
fn version(conn: &Connection) -> Option<i64> {
    conn.prepare_cached("PRAGMA data_version")
        .and_then(|mut version| version.query_row([], |row| row.get(0)))
        .ok()
}

/// Notices steps of the wall clock.
struct Steps {
    origin: DateTime<Utc>,
}

impl Steps {
    fn new(clock: &dyn Clock) -> Self {
        Self { origin: origin(clock) }
    }

    /// Whether the clock was set since the last call; says so in the log, once for each time.
    fn notice(&mut self, clock: &dyn Clock) -> bool {
        let origin = origin(clock);
        let step = origin - self.origin;
        if step.abs() <= STEP {
            return false;
        }
        self.origin = origin;
        tracing::warn!(
            step_seconds = step.num_seconds(),
            "the wall clock was set: what is due follows it; no lease ends earlier or later"
        );
        true
    }
}

/// The wall-clock time at which the host was booted, as it looks now.
fn origin(clock: &dyn Clock) -> DateTime<Utc> {
    clock.now() - TimeDelta::milliseconds(boot::millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct SetClock(Mutex<TimeDelta>);

    impl Clock for SetClock {
        fn now(&self) -> DateTime<Utc> {
            postq_core::clock::SystemClock.now() + *self.0.lock().unwrap()
        }
    }

    #[test]
    fn a_step_of_the_clock_is_noticed_once() {
        let clock = SetClock(Mutex::new(TimeDelta::zero()));
        let mut steps = Steps::new(&clock);

        assert!(!steps.notice(&clock));
        *clock.0.lock().unwrap() = TimeDelta::seconds(4);
        assert!(!steps.notice(&clock), "4 s may be drift");
        *clock.0.lock().unwrap() = TimeDelta::seconds(-60);
        assert!(steps.notice(&clock));
        assert!(!steps.notice(&clock), "once for each step");
    }

    #[tokio::test]
    async fn waiting_ends_with_a_change_that_came_before_it() {
        let changes = Changes::default();
        let clock = postq_core::clock::SystemClock;
        let mark = changes.mark(About::Jobs);
        changes.bump(About::Schedules);
        assert_eq!(changes.mark(About::Jobs), mark, "planners and workers wait apart");
        changes.bump(About::Jobs);

        let far = clock.now() + TimeDelta::days(1);
        tokio::time::timeout(Duration::from_secs(5), changes.wait(About::Jobs, mark, far, &clock))
            .await
            .expect("the change is later than the mark");
    }
}
