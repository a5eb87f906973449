//! Whether it is alive, and whether it can do its work now.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use postq_core::fallback::BreakerState;
use postq_core::job::Topic;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use crate::extract::Query;
use crate::reach;
use crate::router::{Route, route};
use crate::web::{App, Shared};

/// A probe's answer is good for so long: probes must not load the store.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The store and the queue are asked for so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many loops may be out of step before their names are cut.
const MOST_REASONS: usize = 20;

pub(crate) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(healthz));
    add(route!(readyz));
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Condition {
    /// Everything works.
    Ready,
    /// It does its work, and something needs a look.
    Degraded,
    /// It cannot do its work.
    NotReady,
}

/// How it is, and why.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    pub(crate) status: Condition,
    /// What is wrong, in words; empty while it is ready.
    pub(crate) reasons: Vec<String>,
    pub(crate) checked_at: DateTime<Utc>,
}

impl Ready {
    /// Adds reasons for which it is no more than degraded.
    fn add(&mut self, reasons: Vec<String>) {
        if self.status == Condition::Ready && !reasons.is_empty() {
            self.status = Condition::Degraded;
        }
        self.reasons.extend(reasons);
    }
}

/// What a probe asks for besides.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Whether to see if the platforms can be reached; at most every 10 s.
    #[serde(default)]
    platforms: bool,
}

/// It lives.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct Alive {
    #[schema(example = "alive")]
    status: &'static str,
    version: &'static str,
    /// Whether every loop of the engine has succeeded lately.
    ready: bool,
}

/// The last answer.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Ready)>>);

impl Readiness {
    fn last(&self) -> Option<Ready> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| at.elapsed() < GOOD_FOR).map(|(_, ready)| ready.clone())
    }

    fn keep(&self, ready: &Ready) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((Instant::now(), ready.clone()));
    }
}

/// Whether the process lives.
///
/// How its loops do is no reason to end it: a restart mends nothing that they do not mend themselves.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, description = "it lives", body = Alive)))]
async fn healthz(State(app): State<App>) -> Json<Alive> {
    Json(Alive {
        status: "alive",
        version: app.web.settings.version,
        ready: app.web.engine.health().is_ready(),
    })
}

/// Whether it can do its work now.
///
/// The store answers, and every loop of the engine has succeeded within three of its rounds. It is
/// `degraded` where work goes on and something needs a look: a service beside the store that is away, a
/// loop whose last round failed, or, when it is asked for, a platform that cannot be reached.
#[utoipa::path(get, path = "/readyz", tag = "health", params(Asked),
    security(()), responses(
    (status = 200, description = "it can, or it is degraded", body = Ready),
    (status = 503, description = "it cannot", body = Ready),
))]
async fn readyz(State(app): State<App>, Query(asked): Query<Asked>) -> Response {
    let mut ready = ready(&app).await;
    if asked.platforms {
        ready.add(reach::unreachable(&app).await);
    }
    let status = match ready.status {
        Condition::Ready | Condition::Degraded => StatusCode::OK,
        Condition::NotReady => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(ready)).into_response()
}

/// How it is; asked at most once a second.
pub(crate) async fn ready(app: &Shared) -> Ready {
    if let Some(last) = app.readiness.last() {
        return last;
    }
    let (mut down, mut degraded) = (Vec::new(), Vec::new());
    let backend = app.web.engine.backend();
    if !matches!(tokio::time::timeout(PATIENCE, backend.jobs.now()).await, Ok(Ok(_))) {
        down.push("the store does not answer".to_owned());
    }
    for service in &app.web.services {
        if let BreakerState::Open { since, reason } = service.state() {
            degraded.push(format!(
                "{} is out of use for {} s, and work goes on without it: {reason}",
                service.service(),
                since.as_secs()
            ));
        }
    }
    // An open breaker has said already why the queue does not answer.
    if let Some(queue) = backend.queue.as_ref().filter(|_| degraded.is_empty()) {
        let topic = Topic::publish();
        let depth = queue.depth(&topic);
        if !matches!(tokio::time::timeout(PATIENCE, depth).await, Ok(Ok(_))) {
            degraded.push("the queue does not answer; work goes on through the store".to_owned());
        }
    }
    let (now, loops) = (app.web.clock.now(), app.web.engine.health().loops());
    if loops.is_empty() {
        down.push("the engine has not started".to_owned());
    }
    for (name, health) in loops.iter().take(MOST_REASONS) {
        match (health.last_success, health.is_fresh(now)) {
            (None, _) => down.push(format!("{name} has not succeeded yet")),
            (Some(at), false) => {
                let ago = (now - at).num_seconds();
                down.push(format!("{name} last succeeded {ago} s ago"));
            }
            (Some(_), true) if health.error.is_some() => {
                degraded.push(format!("the last round of {name} failed; it tries again"));
            }
            (Some(_), true) => {}
        }
    }
    let status = match (down.is_empty(), degraded.is_empty()) {
        (false, _) => Condition::NotReady,
        (true, false) => Condition::Degraded,
        (true, true) => Condition::Ready,
    };
    let ready = Ready { status, reasons: [down, degraded].concat(), checked_at: now };
    app.readiness.keep(&ready);
    ready
}
