//! What has ended since the start, read from the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::content::Post;
use postq_core::id::{AccountId, JobId, PostId, ScheduleId, TenantId};
use postq_core::job::Job;
use postq_core::machine::JobState;
use postq_core::store::{JobFilter, Page, Publication};
use serde::Serialize;
use uuid::Uuid;

use super::PAGE;
use crate::compose::Node;
use crate::output::Output;

/// Jobs on one page.
const JOBS: usize = 500;

/// A job that has ended, for people and programs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    event: Outcome,
    job: JobId,
    key: Option<String>,
    account: String,
    planned_at: DateTime<Utc>,
    finished_at: DateTime<Utc>,
    remote_id: Option<String>,
    url: Option<String>,
    parts: usize,
    reason: Option<String>,
}

impl Line {
    /// How a job ended, and the platform's proof of what is out.
    pub(crate) fn new(
        job: EndedJob,
        key: Option<String>,
        account: Option<String>,
        out: Out,
    ) -> Self {
        let event = match job.state {
            JobState::DeadLetter => Outcome::Failed,
            JobState::Cancelled => Outcome::Cancelled,
            _ if out.dry_run => Outcome::DryRun,
            _ => Outcome::Published,
        };
        let reason = match event {
            Outcome::Failed | Outcome::Cancelled => job.reason,
            Outcome::Published | Outcome::DryRun => None,
        };
        Self {
            event,
            job: job.id,
            key,
            account: account.unwrap_or_else(|| "an account that is gone".to_owned()),
            planned_at: job.planned_at,
            finished_at: job.finished_at.unwrap_or(job.planned_at),
            parts: out.parts,
            remote_id: out.remote_id,
            url: out.url,
            reason,
        }
    }
}

/// A job that has ended.
#[derive(Clone, Debug)]
pub(crate) struct EndedJob {
    pub(crate) id: JobId,
    pub(crate) state: JobState,
    pub(crate) planned_at: DateTime<Utc>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) reason: Option<String>,
}

/// What is out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Out {
    pub(crate) parts: usize,
    pub(crate) dry_run: bool,
    pub(crate) remote_id: Option<String>,
    pub(crate) url: Option<String>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Published,
    DryRun,
    Failed,
    Cancelled,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::DryRun => "dry run",
            Self::Failed => "FAILED",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.finished_at.format("%H:%M:%SZ");
        write!(f, "{time}  {}  {}", self.account, self.event.word())?;
        if self.parts > 1 {
            write!(f, " ({} parts)", self.parts)?;
        }
        let sent = self.event == Outcome::Published;
        let proof = self.url.as_ref().or(self.remote_id.as_ref()).filter(|_| sent);
        for detail in [self.key.as_ref(), self.reason.as_ref().or(proof)].into_iter().flatten() {
            write!(f, "  {detail}")?;
        }
        Ok(())
    }
}

/// What all lines come to.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    event: &'static str,
    published: usize,
    dry_run: usize,
    failed: &'a [String],
    cancelled: usize,
    left: usize,
    seconds: f64,
}

/// The jobs of some schedules: which have ended, and which wait.
#[derive(Debug)]
pub(super) struct Ended {
    /// The schedules in portions, each with the last job before which all have ended.
    portions: Vec<(Vec<ScheduleId>, Option<Uuid>)>,
    told: BTreeSet<JobId>,
    waiting: Vec<Job>,
    accounts: BTreeMap<AccountId, String>,
    tally: Tally,
}

/// What all that has ended comes to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    outcomes: BTreeMap<&'static str, usize>,
    failures: Vec<String>,
}

impl Tally {
    /// Counts one more.
    pub(crate) fn add(&mut self, line: &Line) {
        *self.outcomes.entry(line.event.word()).or_default() += 1;
        if line.event == Outcome::Failed {
            self.failures.push(failure(line));
        }
    }

    /// What failed, each in a few words.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Tells it.
    pub(crate) fn summary(&self, output: Output, took: Duration, left: usize) {
        let of = |outcome: Outcome| self.outcomes.get(outcome.word()).copied().unwrap_or(0);
        let summary = Summary {
            event: "summary",
            published: of(Outcome::Published),
            dry_run: of(Outcome::DryRun),
            failed: &self.failures,
            cancelled: of(Outcome::Cancelled),
            left,
            seconds: took.as_secs_f64(),
        };
        let dry_runs = if summary.dry_run == 1 { "dry run" } else { "dry runs" };
        let counts = [
            (summary.published, "published"),
            (summary.dry_run, dry_runs),
            (summary.failed.len(), "failed"),
            (summary.cancelled, "cancelled or missed"),
            (summary.left, "left"),
        ];
        let shown: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let shown = if shown.is_empty() { "nothing to do".to_owned() } else { shown.join(", ") };
        output.tell(format!("{shown} in {:.1} s", summary.seconds), &summary);
    }
}

impl Ended {
    /// What has ended before now is not news; what failed before and nobody dealt with is a failure
    /// all the same.
    pub(super) async fn before(
        node: &Node,
        schedules: &BTreeSet<ScheduleId>,
    ) -> anyhow::Result<Self> {
        let ids: Vec<ScheduleId> = schedules.iter().copied().collect();
        let names = node.accounts().await?.into_iter().map(|account| (account.id, account.name));
        let mut ended = Self {
            portions: ids.chunks(PAGE).map(|ids| (ids.to_vec(), None)).collect(),
            told: BTreeSet::new(),
            waiting: Vec::new(),
            accounts: names.collect(),
            tally: Tally::default(),
        };
        let before = ended.look(node).await?;
        let dead: Vec<Job> = before.into_iter().filter(is_unresolved).collect();
        for line in ended.lines(node, dead).await? {
            ended.tally.failures.push(format!("{} (before this run)", failure(&line)));
        }
        Ok(ended)
    }

    /// What has ended since the last look.
    pub(super) async fn news(&mut self, node: &Node) -> anyhow::Result<Vec<Line>> {
        let jobs = self.look(node).await?;
        let lines = self.lines(node, jobs).await?;
        for line in &lines {
            self.tally.add(line);
        }
        Ok(lines)
    }

    /// Those that have not ended, as of the last look.
    pub(super) fn waiting(&self) -> &[Job] {
        &self.waiting
    }

    /// What all that has ended comes to.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How many have ended since the start.
    pub(super) fn count(&self) -> usize {
        self.tally.outcomes.values().sum()
    }

    /// Jobs that have ended and were not told of.
    async fn look(&mut self, node: &Node) -> anyhow::Result<Vec<Job>> {
        let mut news = Vec::new();
        self.waiting.clear();
        for (ids, before) in &mut self.portions {
            let filter = JobFilter { schedules: Some(ids.clone()), ..JobFilter::default() };
            let mut page = Page { after: *before, ..Page::first(JOBS) };
            let mut all_ended = true;
            loop {
                let jobs = node.backend.jobs.list(TenantId::DEFAULT, &filter, page).await?;
                page.after = jobs.last().map(|job| job.id().as_uuid());
                let full = jobs.len() >= JOBS;
                for job in jobs {
                    let id = job.id();
                    if job.state.is_terminal() {
                        if all_ended {
                            // Later looks begin after it: nothing of it can change any more.
                            *before = Some(id.as_uuid());
                        }
                        if self.told.insert(id) {
                            news.push(job);
                        }
                    } else {
                        all_ended = false;
                        self.waiting.push(job);
                    }
                }
                if !full {
                    break;
                }
            }
        }
        news.sort_by_key(|job| (job.finished_at, job.id()));
        Ok(news)
    }

    async fn lines(&self, node: &Node, jobs: Vec<Job>) -> anyhow::Result<Vec<Line>> {
        let succeeded: Vec<JobId> =
            jobs.iter().filter(|j| j.state == JobState::Succeeded).map(Job::id).collect();
        let mut publications: BTreeMap<JobId, Publication> = BTreeMap::new();
        for ids in succeeded.chunks(PAGE) {
            let found = node.backend.publications.of_jobs(ids).await?;
            publications.extend(found.into_iter().map(|p| (p.job_id, p)));
        }
        let posts: BTreeSet<PostId> = jobs.iter().filter_map(|job| job.made.post_id).collect();
        let posts: Vec<PostId> = posts.into_iter().collect();
        let mut keys: BTreeMap<PostId, Option<String>> = BTreeMap::new();
        for ids in posts.chunks(PAGE) {
            let found: Vec<Post> = node.backend.posts.load(ids).await?;
            keys.extend(found.into_iter().map(|post| (post.id, post.key)));
        }
        let line = |job: Job| {
            let publication = publications.remove(&job.id());
            let key = job.made.post_id.and_then(|post| keys.get(&post).cloned().flatten());
            self.line(job, publication, key)
        };
        Ok(jobs.into_iter().map(line).collect())
    }

    fn line(&self, job: Job, publication: Option<Publication>, key: Option<String>) -> Line {
        let name = job.made.account_id.and_then(|id| self.accounts.get(&id).cloned());
        let parts = publication.as_ref().map_or(&[][..], |publication| &publication.parts);
        let out = Out {
            parts: parts.len(),
            dry_run: parts.iter().any(|receipt| receipt.dry_run),
            remote_id: publication.as_ref().map(|p| p.remote_id.clone()),
            url: publication.and_then(|publication| publication.url),
        };
        let ended = EndedJob {
            id: job.id(),
            state: job.state,
            planned_at: job.made.planned_at,
            finished_at: job.finished_at,
            reason: job.reason,
        };
        Line::new(ended, key, name, out)
    }
}

fn is_unresolved(job: &Job) -> bool {
    job.state == JobState::DeadLetter && job.resolution.is_none()
}

fn failure(line: &Line) -> String {
    let what = line.key.clone().unwrap_or_else(|| format!("job {}", line.job));
    let why = line.reason.as_deref().unwrap_or("no reason was given");
    format!("{what} to {}: {why}", line.account)
}
