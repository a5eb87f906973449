//! `/metrics`: what was recorded, and how things are now, in Prometheus's text format.
//!
//! Counters and histograms come from the recorder that the process installed. Gauges are worked out when
//! somebody asks, at most once in [`GOOD_FOR`]: so none is left over from what is no more.

use std::fmt;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use postq_engine::metrics::{Metric, MetricKind};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::gauges;
use crate::router::{Route, route};
use crate::web::App;

/// The gauges are good for so long: whoever asks more often must not load the store.
const GOOD_FOR: Duration = Duration::from_secs(5);

/// The path, which has a rule of its own about tokens.
pub(crate) const PATH: &str = "/metrics";

pub(crate) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(scrape));
}

/// What a process has recorded through the `metrics` facade: its counters and histograms, in
/// Prometheus's text format.
///
/// An installed recorder knows how to write itself; this is the door to it. The `prometheus` handle of
/// `metrics-exporter-prometheus` needs one line: `self.0.render()`.
pub trait Recorded: fmt::Debug + Send + Sync + 'static {
    /// All that was recorded so far.
    fn render(&self) -> String;
}

pub(crate) const REQUESTS: Metric = Metric {
    name: "postq_http_requests_total",
    kind: MetricKind::Counter,
    labels: &["method", "route", "status"],
    help: "requests that were answered",
};

pub(crate) const REQUEST_SECONDS: Metric = Metric {
    name: "postq_http_request_duration_seconds",
    kind: MetricKind::Histogram,
    labels: &["method", "route"],
    help: "how long requests took until their answer began",
};

/// Everything that the router records.
pub const RECORDED: [Metric; 2] = [REQUESTS, REQUEST_SECONDS];

/// The last gauges, and when they were worked out. Held while they are: who asks meanwhile waits for
/// them.
#[derive(Debug, Default)]
pub(crate) struct Scrape(Mutex<Option<(Instant, String)>>);

/// Metrics for Prometheus.
///
/// Asked from this host itself, through no proxy, it needs no token; else one of the scope `read`, unless
/// the server is set up to show its metrics to everybody.
#[utoipa::path(get, path = "/metrics", tag = "operation", operation_id = "metrics",
    security(("token" = ["read"])),
    responses((status = 200, description = "Prometheus's text format, version 0.0.4", body = String,
        content_type = "text/plain")))]
async fn scrape(State(app): State<App>) -> impl IntoResponse {
    let recorded = app.web.recorded.as_ref().map(|recorded| recorded.render()).unwrap_or_default();
    let mut last = app.scrape.0.lock().await;
    let gauges = match last.as_ref().filter(|(at, _)| at.elapsed() < GOOD_FOR) {
        Some((_, gauges)) => gauges.clone(),
        None => {
            let gauges = gauges::now(&app).await;
            *last = Some((Instant::now(), gauges.clone()));
            gauges
        }
    };
    drop(last);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], gauges + &recorded)
}
