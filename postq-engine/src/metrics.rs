//! What an engine tells of its work through the [`metrics`] facade.
//!
//! Whoever wants to see it installs a recorder; without one, nothing is kept. [`METRICS`] is all that
//! there is. The labels have few values each: platforms and outcomes, never an account or a job.

use std::time::Duration;

use chrono::TimeDelta;
use metrics::{counter, describe_counter, describe_histogram, histogram};
use postq_core::failure::Outcome;
use postq_core::feed::Settle;
use postq_core::job::JobKind;
use postq_core::platform::PlatformName;
use postq_core::retry::RetryDecision;

use crate::worker::Work;

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How its values behave.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it is, for a person.
    pub help: &'static str,
}

/// How a metric's values behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only rises, until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often which values came.
    Histogram,
}

impl MetricKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

const ATTEMPTS: Metric = Metric {
    name: "postq_publish_attempts_total",
    kind: MetricKind::Counter,
    labels: &["platform", "outcome"],
    help: "attempts to publish that ended: succeeded, retrying, unknown (looked for before it is \
           sent again), waiting (given back, not charged), dead, missed or lost",
};

const DURATION: Metric = Metric {
    name: "postq_publish_duration_seconds",
    kind: MetricKind::Histogram,
    labels: &["platform"],
    help: "how long the one creating call to the platform took, whatever came of it",
};

const LATENESS: Metric = Metric {
    name: "postq_publish_lateness_seconds",
    kind: MetricKind::Histogram,
    labels: &["platform"],
    help: "from the planned time to the beginning of the call that published it, waits for limits, \
           pauses and retries included",
};

const LOOP_FAILURES: Metric = Metric {
    name: "postq_loop_failures_total",
    kind: MetricKind::Counter,
    labels: &["loop"],
    help: "rounds of a loop of the engine that failed; each is tried again",
};

/// Everything that an engine records.
pub const METRICS: [Metric; 4] = [ATTEMPTS, DURATION, LATENESS, LOOP_FAILURES];

/// Tells the recorder what its metrics mean.
pub fn describe(metrics: &[Metric]) {
    for metric in metrics {
        match metric.kind {
            MetricKind::Counter => describe_counter!(metric.name, metric.help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            MetricKind::Histogram => describe_histogram!(metric.name, metric.help),
        }
    }
}

/// An attempt ended, and this was written down.
pub(crate) fn ended(work: &Work, settle: &Settle) {
    let outcome = match settle {
        Settle::Succeeded(_) => "succeeded",
        Settle::Failed(_, RetryDecision::GiveUp(_)) => "dead",
        Settle::Failed(failure, _) if failure.outcome == Outcome::Unknown => "unknown",
        Settle::Failed(..) => "retrying",
        Settle::Deferred(..) => "waiting",
        Settle::Missed => "missed",
        Settle::Part(_) | Settle::Absent { .. } => return,
    };
    count(work, outcome);
}

/// An attempt ended without a word: another worker holds its job.
pub(crate) fn lost(work: &Work) {
    count(work, "lost");
}

fn count(work: &Work, outcome: &'static str) {
    if work.job.made.kind.as_str() != JobKind::PUBLISH {
        return;
    }
    // An account that is gone took its platform with it.
    let platform = work.account.as_ref().map_or("none", |account| account.platform.as_str());
    counter!(ATTEMPTS.name, "platform" => platform.to_owned(), "outcome" => outcome).increment(1);
}

/// The creating call came back, or was given up.
pub(crate) fn called(platform: &PlatformName, took: Duration) {
    histogram!(DURATION.name, "platform" => platform.to_string()).record(took.as_secs_f64());
}

/// The call that began so late published the first part.
pub(crate) fn published(platform: &PlatformName, late: TimeDelta) {
    let late = late.to_std().unwrap_or_default();
    histogram!(LATENESS.name, "platform" => platform.to_string()).record(late.as_secs_f64());
}

/// A loop begins: its failures are shown from 0 on, so that the first one is a rise.
pub(crate) fn loop_begins(name: &str) {
    counter!(LOOP_FAILURES.name, "loop" => name.to_owned()).increment(0);
}

/// A round of a loop failed.
pub(crate) fn round_failed(name: &str) {
    counter!(LOOP_FAILURES.name, "loop" => name.to_owned()).increment(1);
}
