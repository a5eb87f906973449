//! Live events: what becomes of each attempt, as it happens.
//!
//! The hub keeps the latest events in memory, so that a client that comes back within them misses
//! none. Each client has a short queue of its own: one that does not keep up is let go, comes back
//! and resumes; nothing ever waits for it. What happens in other processes comes from the store: see
//! `others`.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::sse::Event as Line;
use chrono::{DateTime, Utc};
use futures_core::Stream;
use postq_core::clock::Clock;
use postq_core::id::{JobId, TenantId};
use postq_core::job::Fence;
use postq_engine::{Engine, Report, ReportResult};
use serde::Serialize;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::others::{LOOK_EVERY, Others};
use crate::views::job::ReceiptView;

/// Events that are kept for clients that come back.
const KEPT: usize = 1_024;

/// Events that may wait for one client.
const WAITING: usize = 256;

/// Jobs of which it is known what was told: more than end while the store is asked for others' jobs.
const REMEMBERED: usize = 16_384;

/// A stream ends after so long, and its client comes back: one that nobody reads from is not kept for ever.
const LONGEST: Duration = Duration::from_secs(300);

/// A platform told something by itself; see `api::incoming`.
pub(crate) const PLATFORM_EVENT: &str = "platform.event";

/// What `reset` says.
const MISSED: &str = r#"{"reason":"events were missed; load what you show again"}"#;

/// What happened to a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct JobHappened {
    pub(crate) at: DateTime<Utc>,
    pub(crate) job: Uuid,
    /// What it does: `publish`, `notify`, `webhook.deliver`, or a kind of your own.
    pub(crate) kind: String,
    pub(crate) post: Option<Uuid>,
    pub(crate) schedule: Option<Uuid>,
    pub(crate) account: Option<Uuid>,
    pub(crate) account_name: Option<String>,
    /// What asked for the job, as `X-Correlation-ID` told it.
    pub(crate) correlation_id: String,
    pub(crate) planned_at: DateTime<Utc>,
    /// Proof, for `job.succeeded`.
    pub(crate) receipt: Option<ReceiptView>,
    /// Until when, for `job.retrying` and `job.waiting`.
    pub(crate) until: Option<DateTime<Utc>>,
    /// Why, for all others.
    pub(crate) reason: Option<String>,
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
    others: OnceLock<Arc<Others>>,
    open: Arc<AtomicUsize>,
    /// Somebody came.
    opened: Arc<Notify>,
    most: usize,
}

/// How far a job has come: a claim comes to one end, and later claims have higher fences. What is not
/// higher was told, or comes too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Step {
    pub(crate) fence: Fence,
    /// The job is over with it.
    pub(crate) ended: bool,
}

/// What was told.
#[derive(Debug)]
pub(crate) struct State {
    last: u64,
    kept: VecDeque<Arc<Event>>,
    sender: broadcast::Sender<Arc<Event>>,
    /// The step of each job that was told of last, and in which order the jobs came.
    told: HashMap<JobId, Step>,
    order: VecDeque<JobId>,
}

impl Hub {
    pub(crate) fn new(most: usize) -> Self {
        let sender = broadcast::Sender::new(WAITING);
        Self {
            epoch: format!("{:08x}", rand::random::<u32>()),
            state: Arc::new(Mutex::new(State {
                last: 0,
                kept: VecDeque::new(),
                sender,
                told: HashMap::new(),
                order: VecDeque::new(),
            })),
            others: OnceLock::new(),
            open: Arc::default(),
            opened: Arc::default(),
            most,
        }
    }

    /// Begins to listen to the engine and to look at what others do, or takes up where it left off.
    /// Until the first client comes, nothing is kept for anybody, and while there is none, nobody looks.
    pub(crate) async fn start(&self, engine: &Engine, tenant: TenantId, clock: &Arc<dyn Clock>) {
        let others = self.others.get_or_init(|| {
            tokio::spawn(listen(engine.reports(), Arc::clone(&self.state), Arc::clone(clock)));
            let (backend, state) = (engine.backend().clone(), Arc::clone(&self.state));
            let others = Arc::new(Others::new(backend, tenant, state));
            let (open, opened) = (Arc::clone(&self.open), Arc::clone(&self.opened));
            tokio::spawn(watch(Arc::clone(&others), open, opened));
            others
        });
        if self.open() == 0 {
            // Before the first one gets what it missed: what happened since nobody looked is part of it.
            others.look().await;
        }
    }

    /// A stream of events: those after `last_id`, if it is one of ours, and all that come. None if as
    /// many are open as may be. `stop` ends this one alone, and is cancelled when it is over.
    pub(crate) fn stream(&self, last_id: Option<&str>, stop: CancellationToken) -> Option<Events> {
        let place = Place::take(&self.open, self.most)?;
        self.opened.notify_one();
        let (from, backlog, missed, receiver) = {
            let state = lock(&self.state);
            let (backlog, missed) = state.since(last_id.map(|id| self.number(id)));
            let from = backlog.front().map_or(state.last, |event| event.number - 1);
            (from, backlog, missed, state.sender.subscribe())
        };
        // Without data it is no event: a client remembers the id.
        let begin = Line::default().id(id(&self.epoch, from));
        let begin = if missed { begin.event("reset").data(MISSED) } else { begin };
        let (sender, queue) = mpsc::channel(WAITING);
        tokio::spawn(forward(receiver, sender, stop.clone()));
        let epoch = self.epoch.clone();
        let (begin, over) = (Some(begin), stop.drop_guard());
        Some(Events { epoch, begin, backlog, queue, _place: place, _over: over })
    }

    /// Tells something that happened to no job.
    pub(crate) fn tell(&self, name: &'static str, data: &impl Serialize) {
        if let Ok(data) = serde_json::to_string(data) {
            lock(&self.state).send(name, data);
        }
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

/// Tells what the engine reports.
async fn listen(
    mut reports: broadcast::Receiver<Report>,
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
) {
    loop {
        match reports.recv().await {
            Ok(report) => lock(&state).report(&report, clock.now()),
            Err(broadcast::error::RecvError::Lagged(lost)) => lock(&state).lose(lost),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Looks at what others do while anybody listens.
async fn watch(others: Arc<Others>, open: Arc<AtomicUsize>, opened: Arc<Notify>) {
    loop {
        if open.load(Ordering::Relaxed) == 0 {
            opened.notified().await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        if open.load(Ordering::Relaxed) > 0 {
            others.look().await;
        }
    }
}

pub(crate) fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Tells what became of a job at a time, unless that, or something later, was told of it.
    pub(crate) fn report(&mut self, report: &Report, at: DateTime<Utc>) {
        let goes_on =
            matches!(report.result, ReportResult::Retrying { .. } | ReportResult::Waiting { .. });
        if self.is_news(report.job, Step { fence: report.fence, ended: !goes_on }) {
            let (name, data) = happened(report, at);
            self.add(name, &data);
        }
    }

    /// Whether nothing was told of this step of the job, or a later one.
    pub(crate) fn would_be_news(&self, job: JobId, step: Step) -> bool {
        self.told.get(&job).is_none_or(|told| *told < step)
    }

    /// The same; from now on it was.
    pub(crate) fn is_news(&mut self, job: JobId, step: Step) -> bool {
        if !self.would_be_news(job, step) {
            return false;
        }
        if self.told.insert(job, step).is_none() {
            self.order.push_back(job);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.told.remove(&oldest);
        }
        true
    }

    fn add(&mut self, name: &'static str, data: &JobHappened) {
        if let Ok(data) = serde_json::to_string(data) {
            self.send(name, data);
        }
    }

    /// More happened than can be told: everybody is told that.
    pub(crate) fn reset(&mut self) {
        self.send("reset", MISSED.to_owned());
    }

    fn send(&mut self, name: &'static str, data: String) {
        self.last += 1;
        let event = Arc::new(Event { number: self.last, name, data });
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::clone(&event));
        // Nobody may be listening.
        let _ = self.sender.send(event);
    }

    /// Events were lost: whoever resumes from before them is told.
    pub(crate) fn lose(&mut self, lost: u64) {
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
    /// The id after which it begins, so that who hears nothing can come back, too; and that some are gone, if
    /// it asks for such.
    begin: Option<Line>,
    backlog: VecDeque<Arc<Event>>,
    queue: mpsc::Receiver<Arc<Event>>,
    _place: Place,
    _over: DropGuard,
}

impl Stream for Events {
    type Item = Result<Line, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(begin) = self.begin.take() {
            return Poll::Ready(Some(Ok(begin)));
        }
        let next = match self.backlog.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None => self.queue.poll_recv(cx),
        };
        next.map(|event| {
            event.map(|event| {
                Ok(Line::default()
                    .id(id(&self.epoch, event.number))
                    .event(event.name)
                    .data(&event.data))
            })
        })
    }
}

/// The id of an event, as [`Hub::number`] reads it.
fn id(epoch: &str, number: u64) -> String {
    format!("{epoch}-{number}")
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
        kind: report.kind.to_string(),
        post: report.post.map(|id| id.as_uuid()),
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
    use postq_core::job::JobKind;

    use super::*;

    fn report() -> Report {
        Report {
            job: JobId::new(),
            kind: JobKind::publish(),
            post: None,
            schedule: None,
            account: None,
            account_name: None,
            correlation_id: "c".into(),
            planned_at: DateTime::UNIX_EPOCH,
            fence: Fence(1),
            result: ReportResult::Missed,
        }
    }

    fn hub(events: u64) -> Hub {
        let hub = Hub::new(2);
        for _ in 0..events {
            lock(&hub.state).report(&report(), DateTime::UNIX_EPOCH);
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

    #[test]
    fn a_claim_is_told_of_once_and_never_after_a_later_one() {
        let hub = hub(0);
        let told = |job: JobId, fence: u64| {
            let report = Report { job, fence: Fence(fence), ..report() };
            let before = lock(&hub.state).last;
            lock(&hub.state).report(&report, DateTime::UNIX_EPOCH);
            lock(&hub.state).last > before
        };
        let (one, other) = (JobId::new(), JobId::new());

        assert!(told(one, 1) && !told(one, 1), "once");
        assert!(told(one, 3) && !told(one, 2), "in order");
        assert!(told(other, 1), "each job by itself");

        for _ in 0..REMEMBERED {
            told(JobId::new(), 1);
        }
        let state = lock(&hub.state);
        assert_eq!((state.told.len(), state.order.len()), (REMEMBERED, REMEMBERED), "bounded");
    }

    #[tokio::test]
    async fn a_client_that_does_not_keep_up_is_let_go_and_holds_nobody_back() {
        let hub = hub(0);
        let slow = hub.stream(None, CancellationToken::new()).unwrap();
        let mut fast = hub.stream(None, CancellationToken::new()).unwrap();
        assert!(hub.stream(None, CancellationToken::new()).is_none(), "two may be open");

        for number in 1..=3 * WAITING as u64 {
            lock(&hub.state).report(&report(), DateTime::UNIX_EPOCH);
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
