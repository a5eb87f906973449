//! Live events: what becomes of each attempt, as it happens.
//!
//! The hub keeps the latest events in memory, so that a client that comes back within them misses
//! none. Each client has a short queue of its own: one that does not keep up is let go, comes back
//! and resumes; nothing ever waits for it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::sse::Event as Line;
use chrono::{DateTime, Utc};
use futures_core::Stream;
use postq_core::clock::Clock;
use postq_engine::{Engine, Report, ReportResult};
use serde::Serialize;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::views::job::ReceiptView;

/// Events that are kept for clients that come back.
const KEPT: usize = 1_024;

/// Events that may wait for one client.
const WAITING: usize = 256;

/// A stream ends after so long, and its client comes back: a revoked token is good for no longer.
const LONGEST: Duration = Duration::from_secs(300);

/// What happened to a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct JobHappened {
    at: DateTime<Utc>,
    job: Uuid,
    schedule: Option<Uuid>,
    account: Option<Uuid>,
    account_name: Option<String>,
    /// What asked for the job, as `X-Correlation-ID` told it.
    correlation_id: String,
    planned_at: DateTime<Utc>,
    /// Proof, for `job.succeeded`.
    receipt: Option<ReceiptView>,
    /// Until when, for `job.retrying` and `job.waiting`.
    until: Option<DateTime<Utc>>,
    /// Why, for all others.
    reason: Option<String>,
}

/// An event, ready to be sent.
#[derive(Clone, Debug)]
struct Event {
    number: u64,
    name: &'static str,
    data: String,
}

/// Where events come in and go out.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Tells the numbers of this process from those of one before it.
    epoch: String,
    state: Arc<Mutex<State>>,
    started: OnceLock<()>,
    open: Arc<AtomicUsize>,
    most: usize,
}

#[derive(Debug)]
struct State {
    last: u64,
    kept: VecDeque<Arc<Event>>,
    sender: broadcast::Sender<Arc<Event>>,
}

impl Hub {
    pub(crate) fn new(most: usize) -> Self {
        let sender = broadcast::Sender::new(WAITING);
        Self {
            epoch: format!("{:08x}", rand::random::<u32>()),
            state: Arc::new(Mutex::new(State { last: 0, kept: VecDeque::new(), sender })),
            started: OnceLock::new(),
            open: Arc::default(),
            most,
        }
    }

    /// Begins to listen to the engine. Until the first client comes, nothing is kept for anybody.
    pub(crate) fn start(&self, engine: &Engine, clock: &Arc<dyn Clock>) {
        self.started.get_or_init(|| {
            let (mut reports, clock) = (engine.reports(), Arc::clone(clock));
            let state = Arc::clone(&self.state);
            tokio::spawn(async move {
                loop {
                    match reports.recv().await {
                        Ok(report) => lock(&state).add(&report, clock.now()),
                        Err(broadcast::error::RecvError::Lagged(lost)) => lock(&state).lose(lost),
                        Err(broadcast::error::RecvError::Closed) => return,
                    }
                }
            });
        });
    }

    /// A stream of events: those after `last_id`, if it is one of ours, and all that come. None if as
    /// many are open as may be.
    pub(crate) fn stream(&self, last_id: Option<&str>, stop: CancellationToken) -> Option<Events> {
        let place = Place::take(&self.open, self.most)?;
        let (backlog, missed, receiver) = {
            let state = lock(&self.state);
            let (backlog, missed) = state.since(last_id.map(|id| self.number(id)));
            (backlog, missed, state.sender.subscribe())
        };
        let (sender, queue) = mpsc::channel(WAITING);
        tokio::spawn(forward(receiver, sender, stop));
        Some(Events { epoch: self.epoch.clone(), backlog, missed, queue, _place: place })
    }

    /// How many streams are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The number in an id; none if it is not ours.
    fn number(&self, id: &str) -> Option<u64> {
        let (epoch, number) = id.split_once('-')?;
        (epoch == self.epoch).then(|| number.parse().ok()).flatten()
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn add(&mut self, report: &Report, now: DateTime<Utc>) {
        let (name, data) = happened(report, now);
        let Ok(data) = serde_json::to_string(&data) else { return };
        self.last += 1;
        let event = Arc::new(Event { number: self.last, name, data });
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::clone(&event));
        // Nobody may be listening.
        let _ = self.sender.send(event);
    }

    /// Reports were lost: whoever resumes from before them is told.
    fn lose(&mut self, lost: u64) {
        self.last += lost;
        self.kept.clear();
    }

    /// The events after a number, and whether some of them are gone. The outer none asks for no past.
    fn since(&self, number: Option<Option<u64>>) -> (VecDeque<Arc<Event>>, bool) {
        let Some(number) = number else { return (VecDeque::new(), false) };
        let Some(number) = number.filter(|number| *number <= self.last) else {
            return (VecDeque::new(), true);
        };
        let oldest = self.kept.front().map_or(self.last + 1, |event| event.number);
        let after = self.kept.iter().filter(|event| event.number > number).cloned();
        (after.collect(), number + 1 < oldest)
    }
}

/// Moves events to one client's queue; ends when it is full, when the client is gone, after its time,
/// or when the server stops.
async fn forward(
    mut receiver: broadcast::Receiver<Arc<Event>>,
    sender: mpsc::Sender<Arc<Event>>,
    stop: CancellationToken,
) {
    let end = tokio::time::sleep(LONGEST);
    tokio::pin!(end);
    loop {
        let event = tokio::select! {
            event = receiver.recv() => event,
            () = sender.closed() => return,
            () = stop.cancelled() => return,
            () = &mut end => return,
        };
        let Ok(event) = event else { return };
        if sender.try_send(event).is_err() {
            tracing::info!("a client of /api/events did not keep up; let go");
            return;
        }
    }
}

/// One of the places for streams; given back when it is dropped.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let more = |open| (open < most).then_some(open + 1);
        let taken = open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Self(Arc::clone(open)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The events of one client.
#[derive(Debug)]
pub(crate) struct Events {
    epoch: String,
    backlog: VecDeque<Arc<Event>>,
    /// Some that it asks for are gone: it is told first.
    missed: bool,
    queue: mpsc::Receiver<Arc<Event>>,
    _place: Place,
}

impl Stream for Events {
    type Item = Result<Line, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.missed) {
            let data = r#"{"reason":"events were missed; load what you show again"}"#;
            return Poll::Ready(Some(Ok(Line::default().event("reset").data(data))));
        }
        let next = match self.backlog.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None => self.queue.poll_recv(cx),
        };
        next.map(|event| {
            event.map(|event| {
                let id = format!("{}-{}", self.epoch, event.number);
                Ok(Line::default().id(id).event(event.name).data(&event.data))
            })
        })
    }
}

fn happened(report: &Report, at: DateTime<Utc>) -> (&'static str, JobHappened) {
    let (name, receipt, until, reason) = match &report.result {
        ReportResult::Succeeded { receipt } => {
            ("job.succeeded", receipt.clone().map(ReceiptView::from), None, None)
        }
        ReportResult::Retrying { at, reason } => {
            ("job.retrying", None, Some(*at), Some(reason.clone()))
        }
        ReportResult::Waiting { until, reason } => {
            ("job.waiting", None, Some(*until), Some(reason.clone()))
        }
        ReportResult::Dead { reason } => ("job.dead", None, None, Some(reason.clone())),
        ReportResult::Missed => ("job.missed", None, None, None),
    };
    let happened = JobHappened {
        at,
        job: report.job.as_uuid(),
        schedule: report.schedule.map(|id| id.as_uuid()),
        account: report.account.map(|id| id.as_uuid()),
        account_name: report.account_name.clone(),
        correlation_id: report.correlation_id.to_string(),
        planned_at: report.planned_at,
        receipt,
        until,
        reason,
    };
    (name, happened)
}

#[cfg(test)]
mod tests {
    use postq_core::id::JobId;

    use super::*;

    fn report() -> Report {
        Report {
            job: JobId::new(),
            schedule: None,
            account: None,
            account_name: None,
            correlation_id: "c".into(),
            planned_at: DateTime::UNIX_EPOCH,
            result: ReportResult::Missed,
        }
    }

    fn hub(events: u64) -> Hub {
        let hub = Hub::new(2);
        for _ in 0..events {
            lock(&hub.state).add(&report(), DateTime::UNIX_EPOCH);
        }
        hub
    }

    fn since(hub: &Hub, id: &str) -> (Vec<u64>, bool) {
        let (events, missed) = lock(&hub.state).since(Some(hub.number(id)));
        (events.iter().map(|event| event.number).collect(), missed)
    }

    #[test]
    fn who_comes_back_gets_what_it_missed_and_is_told_what_is_gone() {
        let hub = hub(KEPT as u64 + 3);
        let id = |number: u64| format!("{}-{number}", hub.epoch);

        let last = KEPT as u64 + 3;
        assert_eq!(since(&hub, &id(last - 2)), (vec![last - 1, last], false));
        assert_eq!(since(&hub, &id(last)), (vec![], false));
        assert!(!since(&hub, &id(3)).1, "the oldest that is kept is 4");
        assert!(since(&hub, &id(2)).1);
        for foreign in [id(last + 1), "00000000x-1".to_owned(), "x".to_owned()] {
            assert_eq!(since(&hub, &foreign), (vec![], true), "{foreign}");
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_keep_up_is_let_go_and_holds_nobody_back() {
        let hub = hub(0);
        let slow = hub.stream(None, CancellationToken::new()).unwrap();
        let mut fast = hub.stream(None, CancellationToken::new()).unwrap();
        assert!(hub.stream(None, CancellationToken::new()).is_none(), "two may be open");

        for number in 1..=3 * WAITING as u64 {
            lock(&hub.state).add(&report(), DateTime::UNIX_EPOCH);
            let got = fast.queue.recv().await.expect("the fast one gets every event");
            assert_eq!(got.number, number);
        }

        let mut queue = slow.queue;
        let mut got = 0;
        while queue.recv().await.is_some() {
            got += 1;
        }
        assert!(got <= WAITING, "the slow one was let go after {got}");
    }
}
