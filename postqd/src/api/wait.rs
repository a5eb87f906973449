//! Waiting until a post is out that a daemon publishes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::bail;
use chrono::{DateTime, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::id::{AccountId, JobId};
use postq_core::machine::JobState;
use postq_core::store::{Block, BlockReason};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::shown::{Account, Job, Post, Schedule, Shown, Status};
use crate::output::Output;
use crate::watch::{End, EndedJob, GO_ON, Line, Out, Tally, Waits, verdict};

/// How soon the daemon is asked again at first, and later on.
const SOON: Duration = Duration::from_millis(200);
const LATER: Duration = Duration::from_secs(2);

/// After so long a person is better told than kept waiting.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Jobs waiting behind accounts that need a person are given up after so many looks in a row.
const STUCK_LOOKS: u32 = 5;

/// What was told already of a post.
struct Waiting<'a> {
    api: &'a Api,
    output: Output,
    post: &'a Post,
    schedule: &'a Schedule,
    ended: BTreeSet<JobId>,
    retries: BTreeSet<(JobId, u32)>,
    held: BTreeSet<(AccountId, BlockReason)>,
    tally: Tally,
}

/// Waits until all jobs of a post that goes out now have ended, and tells what becomes of each.
pub(crate) async fn until_out(
    api: &Api,
    output: Output,
    post: &Post,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Some(schedule) = post.schedules.first() else {
        bail!("post {} has no schedule any more; postqd post list", post.id)
    };
    let mut waiting = Waiting {
        api,
        output,
        post,
        schedule,
        ended: BTreeSet::new(),
        retries: BTreeSet::new(),
        held: BTreeSet::new(),
        tally: Tally::default(),
    };
    let started = Instant::now();
    let (mut pause, mut stuck_looks) = (SOON, 0);
    let (end, left) = loop {
        let (left, stuck) = waiting.look().await?;
        stuck_looks = if stuck.is_empty() { 0 } else { stuck_looks + 1 };
        match () {
            () if left == 0 => break (End::Done, 0),
            () if stop.is_cancelled() => break (End::Stopped, left),
            () if stuck_looks >= STUCK_LOOKS => break (End::Stuck(stuck), left),
            () if started.elapsed() >= LONGEST => bail!(
                "not out after an hour; postqd schedule show {} tells how it stands",
                schedule.id
            ),
            () => {}
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
        // Soon again while it matters to see an account that needs a person.
        pause = if stuck_looks > 0 { SOON } else { (pause * 3 / 2).min(LATER) };
    };
    waiting.tally.summary(output, started.elapsed(), left);
    verdict(&waiting.tally, end, left, GO_ON)
}

impl Waiting<'_> {
    /// Tells what is new; answers how much is left, and what it needs a person for if all of it does.
    async fn look(&mut self) -> anyhow::Result<(usize, Vec<String>)> {
        let id = self.schedule.id;
        // Before the jobs: what it becomes between the two is then seen twice, and not missed.
        let schedule: Shown<Schedule> = self.api.get(&format!("/api/schedules/{id}")).await?;
        let jobs = self.api.all::<Job>("/api/jobs", &[("schedule", id.to_string())]).await?;
        let accounts = self.api.accounts().await?;
        let (mut ended, waits): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| job.it).partition(|job| job.state.is_terminal());
        ended.retain(|job| self.ended.insert(job.id));
        ended.sort_by_key(|job| (job.finished_at, job.id));
        for job in ended {
            let line = self.line(job, &accounts).await?;
            self.tally.add(&line);
            self.output.tell(&line, &line);
        }
        self.tell_retries(&waits, &accounts);
        let stuck = self.tell_held(&waits, &accounts);
        let to_come = usize::from(schedule.enabled && schedule.next_run_at.is_some());
        let stuck = if to_come == 0 { stuck } else { Vec::new() };
        Ok((waits.len() + to_come, stuck))
    }

    async fn line(&self, job: Job, accounts: &[Shown<Account>]) -> anyhow::Result<Line> {
        let out = match job.state {
            JobState::Succeeded => {
                let status: Shown<Status> =
                    self.api.get(&format!("/api/jobs/{}/status", job.id)).await?;
                let receipts = &status.receipts;
                let first = receipts.first().cloned();
                Out {
                    parts: receipts.len(),
                    dry_run: receipts.iter().any(|receipt| receipt.dry_run),
                    remote_id: first.as_ref().map(|receipt| receipt.remote_id.clone()),
                    url: first.and_then(|receipt| receipt.url),
                }
            }
            _ => Out::default(),
        };
        let name = named(accounts, job.account_id).map(|account| account.name.clone());
        let ended = EndedJob {
            id: job.id,
            state: job.state,
            planned_at: job.planned_at,
            finished_at: job.finished_at,
            reason: job.reason,
        };
        Ok(Line::new(ended, self.post.key.clone(), name, out))
    }

    fn tell_retries(&mut self, waits: &[Job], accounts: &[Shown<Account>]) {
        for job in waits.iter().filter(|job| job.state == JobState::Failed) {
            if !self.retries.insert((job.id, job.attempt)) {
                continue;
            }
            let account = named(accounts, job.account_id).map_or("?", |account| &account.name);
            let reason = job.reason.as_deref().unwrap_or("no reason was given");
            let at = job.run_at.format("%H:%M:%SZ");
            self.output.tell(
                format!("{at}  {account}  tries again: {reason}"),
                &json!({
                    "job": job.id,
                    "schedule": job.schedule_id,
                    "account": job.account_id,
                    "account_name": account,
                    "planned_at": job.planned_at,
                    "result": { "result": "retrying", "at": job.run_at, "reason": reason },
                }),
            );
        }
    }

    /// Tells what holds jobs back; answers what needs a person, if all of them wait for one.
    fn tell_held(&mut self, waits: &[Job], accounts: &[Shown<Account>]) -> Vec<String> {
        let now: DateTime<Utc> = SystemClock.now();
        let (mut stuck, mut all_stuck) = (Vec::new(), !waits.is_empty());
        for job in waits {
            let account = named(accounts, job.account_id);
            let blocks = account.map_or(&[][..], |account| &account.blocks);
            let mut needs_a_person = false;
            for block in blocks {
                let Some(account) = account else { continue };
                let is_held = block.until.is_none_or(|until| until >= job.run_at);
                let block = block.known();
                if is_held && self.held.insert((account.id, block.reason)) {
                    let line = Waits::of_one(&account.name, &account.platform, &block, now);
                    self.output.tell(&line, &line);
                }
                if needs(&block) {
                    needs_a_person = true;
                    let why = crate::watch::remedy(&account.name, &account.platform, &block);
                    if !stuck.contains(&why) {
                        stuck.push(why);
                    }
                }
            }
            all_stuck &= needs_a_person && job.state != JobState::Running;
        }
        if all_stuck { stuck } else { Vec::new() }
    }
}

fn named(accounts: &[Shown<Account>], id: Option<AccountId>) -> Option<&Shown<Account>> {
    accounts.iter().find(|account| Some(account.id) == id)
}

fn needs(block: &Block) -> bool {
    matches!(block.reason, BlockReason::Paused | BlockReason::NeedsAttention)
        || block.until.is_none()
}
