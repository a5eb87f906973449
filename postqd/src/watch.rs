//! Running an engine for some schedules until they are done, and telling what becomes of each job.
//!
//! What has ended is read from the store and not from this process's engine: beside `postqd serve`
//! on the same data, either of the two may have done the work.

mod ended;
mod held;
mod progress;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use chrono::{DateTime, Utc};
use postq_core::feed::Only;
use postq_core::id::ScheduleId;
use postq_core::job::Job;
use postq_core::machine::JobState;
use postq_core::schedule::Schedule;
use postq_core::store::{Block, BlockReason};
use postq_engine::{Engine, Report, ReportResult};
use tokio::sync::broadcast::Receiver;
use tokio_util::sync::CancellationToken;

use self::ended::Ended;
pub(crate) use self::ended::{EndedJob, Line, Out, Tally};
use self::held::Held;
pub(crate) use self::held::{Waits, covers, remedy};
use self::progress::Progress;
use crate::compose::Node;
use crate::output::{Output, count};

/// How often the store is looked at; less often where a look takes long.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Ids in one query.
const PAGE: usize = 500;

/// Jobs waiting behind accounts that need a person are given up after so many looks in a row that
/// find nothing else to do: a look may fall between a job's end and the next one's start.
const STUCK_LOOKS: u32 = 5;

/// What is said of a post that is left behind.
pub(crate) const GO_ON: &str =
    "postqd serve publishes it; the same command would make another post";

/// What is watched, and until when.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The schedules that are run.
    pub(crate) schedules: BTreeSet<ScheduleId>,
    /// Ends then, whatever is left.
    pub(crate) until: Option<DateTime<Utc>>,
    /// Goes on until it is stopped.
    pub(crate) follow: bool,
    /// What publishes what is left behind, in words.
    pub(crate) go_on: &'static str,
}

/// Why the watching ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing is left.
    Done,
    /// It was to end then.
    Until,
    /// A person stopped it.
    Stopped,
    /// All that is left waits behind these accounts.
    Stuck(Vec<String>),
}

/// Runs an engine that touches nothing but these schedules until they are done. Fails if a post
/// failed, if what is left waits for a person, or if it was stopped with something left.
pub(crate) async fn run(
    node: &Node,
    output: Output,
    watch: Watch,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut ended = Ended::before(node, &watch.schedules).await?;
    let only = Only::Schedules(Arc::new(watch.schedules.clone()));
    let engine = node.engine(only).await?;
    let engine_stop = CancellationToken::new();
    let running = tokio::spawn({
        let (engine, stop) = (engine.clone(), engine_stop.clone());
        async move { engine.run(stop).await }
    });
    let watched = until_end(node, output, &watch, &engine, &mut ended, &stop).await;
    engine_stop.cancel();
    running.await?;
    let (end, left) = watched?;
    let progress = Progress::none();
    for line in ended.news(node).await? {
        progress.line(output, &line, &line);
    }
    ended.tally().summary(output, started.elapsed(), left);
    verdict(ended.tally(), end, left, watch.go_on)
}

/// Whether all went well, and if not, why.
pub(crate) fn verdict(tally: &Tally, end: End, left: usize, go_on: &str) -> anyhow::Result<()> {
    match end {
        End::Stuck(why) => bail!(
            "{} waiting for a person: {}; after that {go_on}",
            count(left, "post"),
            why.join("; ")
        ),
        End::Stopped if left > 0 => {
            bail!("stopped with {} to come; nothing is lost: {go_on}", count(left, "post"))
        }
        End::Done | End::Until | End::Stopped => {}
    }
    match tally.failures() {
        [] => Ok(()),
        failures => bail!(
            "{} failed: {}; postqd dead list shows all, postqd dead replay ID tries again",
            failures.len(),
            failures.join("; ")
        ),
    }
}

/// Looks until there is nothing to look for; answers why, and how much is left: jobs, and schedules
/// that will fire again.
async fn until_end(
    node: &Node,
    output: Output,
    watch: &Watch,
    engine: &Engine,
    ended: &mut Ended,
    stop: &CancellationToken,
) -> anyhow::Result<(End, usize)> {
    let progress = Progress::start(output);
    let mut reports = engine.reports();
    let mut stuck_looks = 0;
    let mut held = Held::default();
    loop {
        let looked = Instant::now();
        // Before the jobs: what a schedule becomes between the two looks is then seen twice. The other
        // way round it would not be seen at all, and the run would end with it left behind.
        let schedules = schedules(node, watch).await?;
        for line in ended.news(node).await? {
            progress.line(output, &line, &line);
        }
        let left = Left::look(node, watch, schedules, ended.waiting()).await?;
        for waits in held.news(node, left.now, &left.waiting).await? {
            progress.line(output, &waits, &waits);
        }
        progress.show(ended, &left);
        stuck_looks = if left.stuck.is_empty() { 0 } else { stuck_looks + 1 };
        let end = match () {
            () if left.is_nothing() && !watch.follow => Some(End::Done),
            () if watch.until.is_some_and(|until| until <= left.now) => Some(End::Until),
            () if stop.is_cancelled() => Some(End::Stopped),
            () if stuck_looks >= STUCK_LOOKS && !watch.follow => {
                Some(End::Stuck(left.stuck.clone()))
            }
            () => None,
        };
        if let Some(end) = end {
            return Ok((end, left.waiting.len() + left.schedules));
        }
        let next = LOOK_EVERY.max(looked.elapsed() * 10);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tell_retries(&mut reports, output, &progress) => {}
            () = tokio::time::sleep(next) => {}
        }
    }
}

/// Tells of attempts that failed and are tried again, for as long as it is let.
async fn tell_retries(reports: &mut Receiver<Report>, output: Output, progress: &Progress) {
    loop {
        let report = match reports.recv().await {
            Ok(report) => report,
            // What was lost on the way is told from the store when it ends.
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => continue,
            Err(tokio::sync::broadcast::error::RecvError::Closed) => {
                return std::future::pending().await;
            }
        };
        if let ReportResult::Retrying { at, reason } = &report.result {
            let account = report.account_name.as_deref().unwrap_or("?");
            let line = format!("{}  {account}  tries again: {reason}", at.format("%H:%M:%SZ"));
            progress.line(output, &line, &report);
        }
    }
}

/// What is still to come.
#[derive(Debug)]
struct Left<'a> {
    now: DateTime<Utc>,
    /// Jobs that have not ended, of schedules that end.
    waiting: Vec<&'a Job>,
    /// Schedules that end and will fire again.
    schedules: usize,
    /// The next moment at which something is due.
    next: Option<DateTime<Utc>>,
    /// What each account needs a person for, if all that is left waits for one.
    stuck: Vec<String>,
}

impl<'a> Left<'a> {
    fn is_nothing(&self) -> bool {
        self.waiting.is_empty() && self.schedules == 0
    }

    async fn look(
        node: &Node,
        watch: &Watch,
        schedules: Vec<Schedule>,
        waiting: &'a [Job],
    ) -> anyhow::Result<Self> {
        let now = node.now().await?;
        let timed = watch.until.is_some();
        let endless = |s: &Schedule| !s.timing.is_finite() && !timed && !watch.follow;
        let (endless, ending): (Vec<_>, Vec<_>) = schedules.into_iter().partition(endless);
        let endless: BTreeSet<ScheduleId> = endless.into_iter().map(|s| s.id).collect();
        let counts = |job: &&Job| {
            // A job that has begun is waited for, whatever it came from.
            job.state == JobState::Running
                || job.made.schedule_id.is_none_or(|id| !endless.contains(&id))
        };
        let waiting: Vec<&'a Job> = waiting.iter().filter(counts).collect();
        let future: Vec<&Schedule> =
            ending.iter().filter(|s| s.enabled && s.next_run_at.is_some()).collect();
        let next_job = waiting.iter().map(|job| job.run_at).min();
        let next = future.iter().filter_map(|s| s.next_run_at).chain(next_job).min();
        let stuck = match future.is_empty() && !waiting.is_empty() {
            true => stuck(node, &waiting).await?,
            false => Vec::new(),
        };
        Ok(Self { now, schedules: future.len(), next, stuck, waiting })
    }
}

/// The schedules that are run, as they are now.
async fn schedules(node: &Node, watch: &Watch) -> anyhow::Result<Vec<Schedule>> {
    let ids: Vec<ScheduleId> = watch.schedules.iter().copied().collect();
    let mut schedules: Vec<Schedule> = Vec::with_capacity(ids.len());
    for ids in ids.chunks(PAGE) {
        schedules.extend(node.backend.schedules.load(ids).await?);
    }
    Ok(schedules)
}

/// Which accounts need a person, if every one of these jobs waits behind such an account.
async fn stuck(node: &Node, waiting: &[&Job]) -> anyhow::Result<Vec<String>> {
    let blocks = node.backend.blocks.blocks().await?;
    let blocks: Vec<Block> = blocks.into_iter().filter(needs_a_person).collect();
    let behind = |job: &&Job| {
        let lane = job.made.lane.as_ref();
        job.state != JobState::Running
            && lane.is_some_and(|lane| blocks.iter().any(|block| covers(block, lane)))
    };
    if blocks.is_empty() || !waiting.iter().all(behind) {
        return Ok(Vec::new());
    }
    let concerned: BTreeSet<_> = waiting.iter().filter_map(|job| job.made.account_id).collect();
    let accounts = node.accounts().await?;
    let mut why = Vec::new();
    for account in accounts.iter().filter(|account| concerned.contains(&account.id)) {
        if let Some(block) = blocks.iter().find(|block| covers(block, &account.lane())) {
            why.push(remedy(&account.name, account.platform.as_str(), block));
        }
    }
    Ok(why)
}

fn needs_a_person(block: &Block) -> bool {
    matches!(block.reason, BlockReason::Paused | BlockReason::NeedsAttention)
        || block.until.is_none()
}
