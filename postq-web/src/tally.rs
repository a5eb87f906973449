//! Counting jobs by topic.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::error::{StoreError, chain};
use postq_core::job::{Lane, Topic};
use postq_core::machine::JobState;
use postq_core::store::{Block, JobFilter, Page};

use tokio::time::Instant;

use crate::web::{App, Shared};

/// Due jobs on one page of the store.
const PAGE: usize = 1_000;

/// Pages of due jobs that are counted.
const MOST_PAGES: usize = 10;

/// The jobs of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Due now and not begun.
    pub(crate) waiting: u64,
    /// `waiting` was counted no further than 10,000.
    pub(crate) waiting_at_least: bool,
    pub(crate) active: u64,
    pub(crate) completed: u64,
    /// Dead letters that nobody has dealt with.
    pub(crate) failed: u64,
    pub(crate) delayed: u64,
    /// Since when the first of those that are due and not held back has been.
    pub(crate) oldest: Option<DateTime<Utc>>,
}

/// The jobs of all topics, as they were at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Tallies {
    pub(crate) topics: Vec<(Topic, Tally)>,
    pub(crate) at: DateTime<Utc>,
}

/// Counting takes longer the more jobs there are: whoever asks within a second is told what was counted
/// last, and for so much longer it is while somebody counts anew.
const GOOD_FOR: Duration = Duration::from_secs(1);
const FAIR_FOR: Duration = Duration::from_secs(3);

/// What was counted last.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    last: Mutex<Option<(Instant, Tallies)>>,
    /// Held by whoever counts.
    counting: Arc<tokio::sync::Mutex<()>>,
}

impl Counted {
    fn within(&self, bound: Duration) -> Option<Tallies> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| at.elapsed() < bound).map(|(_, tallies)| tallies.clone())
    }
}

/// The jobs of all topics, counted a few seconds ago at the most.
pub(crate) async fn tallies(app: &App) -> Result<Tallies, StoreError> {
    if let Some(good) = app.counted.within(GOOD_FOR) {
        return Ok(good);
    }
    let counting = Arc::clone(&app.counted.counting);
    if let Some(fair) = app.counted.within(FAIR_FOR) {
        if let Ok(turn) = counting.try_lock_owned() {
            let app = Arc::clone(app);
            tokio::spawn(async move {
                let _turn = turn;
                if let Err(error) = count(&app).await {
                    tracing::debug!(error = %chain(&error), "jobs were not counted");
                }
            });
        }
        return Ok(fair);
    }
    let _turn = counting.lock_owned().await;
    match app.counted.within(GOOD_FOR) {
        Some(good) => Ok(good),
        None => count(app).await,
    }
}

async fn count(app: &Shared) -> Result<Tallies, StoreError> {
    let at = app.web.engine.backend().jobs.now().await?;
    let mut tallies = Tallies { topics: Vec::new(), at };
    for topic in topics(app) {
        let tally = tally(app, &topic, &[], at).await?;
        tallies.topics.push((topic, tally));
    }
    let mut last = app.counted.last.lock().unwrap_or_else(PoisonError::into_inner);
    *last = Some((Instant::now(), tallies.clone()));
    Ok(tallies)
}

/// What is due in a topic.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Due {
    pub(crate) count: u64,
    pub(crate) at_least: bool,
    oldest: Option<DateTime<Utc>>,
}

/// The topics that there may be jobs of: this node's, and those that every installation has.
pub(crate) fn topics(app: &Shared) -> Vec<Topic> {
    let own = app.web.engine.settings().topics.iter().map(|workers| workers.topic.clone());
    let mut topics: Vec<Topic> = own.collect();
    for topic in [Topic::publish(), Topic::notify()] {
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    topics
}

/// Counts the jobs of a topic.
pub(crate) async fn tally(
    app: &Shared,
    topic: &Topic,
    blocks: &[Block],
    now: DateTime<Utc>,
) -> Result<Tally, StoreError> {
    let (jobs, tenant) = (&app.web.engine.backend().jobs, app.desk.tenant());
    let all = JobFilter { topic: Some(topic.clone()), ..JobFilter::default() };
    let counts: BTreeMap<JobState, u64> = jobs.count(tenant, &all).await?.into_iter().collect();
    let of = |state| counts.get(&state).copied().unwrap_or_default();
    let failed = unresolved(app, Some(topic)).await?;
    let due = due(app, topic, blocks, now).await?;
    let claimable = of(JobState::Enqueued) + of(JobState::Failed);
    let waiting = due.count.min(claimable);
    Ok(Tally {
        waiting,
        waiting_at_least: due.at_least,
        active: of(JobState::Running),
        completed: of(JobState::Succeeded),
        failed,
        delayed: of(JobState::Planned) + claimable - waiting,
        oldest: due.oldest,
    })
}

/// How many dead letters nobody has dealt with, of one topic or of all.
pub(crate) async fn unresolved(app: &Shared, topic: Option<&Topic>) -> Result<u64, StoreError> {
    let filter = JobFilter {
        states: vec![JobState::DeadLetter],
        topic: topic.cloned(),
        unresolved: true,
        ..JobFilter::default()
    };
    let counts = app.web.engine.backend().jobs.count(app.desk.tenant(), &filter).await?;
    Ok(counts.into_iter().map(|(_, count)| count).sum())
}

/// What is due, no further than a number of pages. What these blocks hold back is due, and not late.
pub(crate) async fn due(
    app: &Shared,
    topic: &Topic,
    blocks: &[Block],
    now: DateTime<Utc>,
) -> Result<Due, StoreError> {
    let (mut page, mut due) = (Page::first(PAGE), Due::default());
    for _ in 0..MOST_PAGES {
        let found = app.web.engine.backend().upkeep.waiting(topic, now, page).await?;
        due.count += found.len() as u64;
        let goes = |lane: &Option<Lane>| lane.as_ref().is_none_or(|lane| !is_held(lane, blocks));
        let first = found.iter().filter(|job| goes(&job.lane)).map(|job| job.run_at).min();
        due.oldest = due.oldest.into_iter().chain(first).min();
        match found.last().filter(|_| found.len() >= PAGE) {
            Some(last) => page.after = Some(last.id.as_uuid()),
            None => return Ok(due),
        }
    }
    Ok(Due { at_least: true, ..due })
}

fn is_held(lane: &Lane, blocks: &[Block]) -> bool {
    blocks.iter().any(|block| block.scope == lane.as_str() || block.scope == lane.app())
}
