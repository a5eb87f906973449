//! What is recorded in this process, for Prometheus.

use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use postq_engine::metrics;
use postq_web::Recorded;
use tokio_util::sync::CancellationToken;

/// Samples are put into their buckets so often, whether or not anybody asks: they must not pile up.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// From an answer of the memory to a call that is given up, in seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// From a few milliseconds, which is the promise, to the hours of a pause, in seconds.
const LATENESS_BUCKETS: [f64; 15] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0,
];

/// The process's recorder.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(Handle);

/// The exporter's handle says nothing of itself.
#[derive(Clone)]
struct Handle(PrometheusHandle);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrometheusHandle")
    }
}

impl Recorder {
    /// Begins to record; once in a process.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let lateness = Matcher::Suffix("lateness_seconds".to_owned());
        let builder = PrometheusBuilder::new()
            .set_buckets(&BUCKETS)
            .and_then(|builder| builder.set_buckets_for_metric(lateness, &LATENESS_BUCKETS));
        let handle = builder.and_then(PrometheusBuilder::install_recorder);
        let handle = handle.context("record metrics")?;
        metrics::describe(&metrics::METRICS);
        metrics::describe(&postq_web::RECORDED);
        Ok(Self(Handle(handle)))
    }

    /// Keeps it tidy until `stop`.
    pub(crate) async fn tidy(self, stop: CancellationToken) {
        while tokio::time::timeout(TIDY_EVERY, stop.cancelled()).await.is_err() {
            self.0.0.run_upkeep();
        }
    }
}

impl Recorded for Recorder {
    fn render(&self) -> String {
        self.0.0.render()
    }
}
