//! What the store and feed suites are written with: a small world of one account and one post, and a
//! pure resolver.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::account::Account;
use crate::backend::Backend;
use crate::clock::{Clock, SystemClock};
use crate::conformance::{SHORT_LEASE, eventually};
use crate::content::{Content, Post};
use crate::error::{ErrorKind, ScheduleError};
use crate::failure::{Failure, FailureClass};
use crate::feed::{Claim, ClaimedJob, Settle, Settlement};
use crate::id::{JobId, NodeId, TenantId};
use crate::intent::{Intent, IntentAnswer, PlatformKey, Receipt};
use crate::job::{Applied, DeadReason, Job, JobKind, Lane, NewJob, Topic};
use crate::machine::{JobMachine, JobState, StateMachine};
use crate::options::PostOptions;
use crate::retry::RetryDecision;
use crate::schedule::{
    Misfire, Occurrence, ResolveRequest, Resolved, Resolver, Schedule, Timing, Verdict,
};
use crate::store::JobStory;

/// A backend with one account and one post in it, and the steps that tests repeat.
#[derive(Clone, Debug)]
pub struct World {
    /// The backend under test.
    pub backend: Backend,
    /// The node that the test acts as.
    pub node: NodeId,
    /// An account, inserted.
    pub account: Account,
    /// A post, inserted.
    pub post: Post,
}

impl World {
    /// Puts the account and the post in.
    pub async fn new(backend: Backend) -> Self {
        let node = NodeId::new();
        let account = account(&backend, "main").await;
        let post = post(&backend, "hello").await;
        Self { backend, node, account, post }
    }

    /// The same of another account.
    pub fn of(&self, account: Account) -> Self {
        Self { account, ..self.clone() }
    }

    /// The account turns out to be this identity.
    pub async fn is_identity(&mut self, remote_id: &str) {
        self.account.remote_id = Some(remote_id.to_owned());
        let updated = self.backend.accounts.update(&self.account, None).await;
        assert_eq!(updated.expect("update the account"), Applied::Applied);
    }

    /// The store's time.
    pub async fn now(&self) -> DateTime<Utc> {
        self.backend.jobs.now().await.expect("now")
    }

    /// The store's time, so many milliseconds from now or ago.
    pub async fn at(&self, millis: i64) -> DateTime<Utc> {
        self.now().await + TimeDelta::milliseconds(millis)
    }

    /// A publish job of the post for the account, not inserted.
    pub fn job(&self, at: DateTime<Utc>) -> NewJob {
        publish_job(&self.post, &self.account, at)
    }

    /// Inserts jobs; all must be made.
    pub async fn insert(&self, jobs: &[NewJob]) {
        let made = self.backend.jobs.insert(jobs).await.expect("insert jobs");
        assert_eq!(made.len(), jobs.len(), "all of them are new");
    }

    /// Inserts a publish job that has been due for a while.
    pub async fn due_job(&self) -> NewJob {
        let job = self.job(self.at(-1_000).await);
        self.insert(std::slice::from_ref(&job)).await;
        job
    }

    /// A claim of publish jobs for this node.
    pub fn claim(&self, limit: usize) -> Claim {
        Claim::up_to(limit, Topic::publish(), self.node)
    }

    /// What one claim gives.
    pub async fn claim_now(&self, claim: &Claim) -> Vec<ClaimedJob> {
        self.backend.feed.claim(claim).await.expect("claim").jobs
    }

    /// Claims until so many have come; a queue beside the store may bring them a little later.
    pub async fn claim_n(&self, claim: &Claim, n: usize) -> Vec<Job> {
        let mut got = Vec::new();
        eventually("enough jobs can be claimed", async || {
            let rest = Claim { limit: claim.limit.saturating_sub(got.len()), ..claim.clone() };
            got.extend(self.claim_now(&rest).await.into_iter().map(|claimed| claimed.job));
            (got.len() >= n).then_some(())
        })
        .await;
        assert_eq!(got.len(), n, "no more than these");
        got
    }

    /// Claims the next job, with its evidence.
    pub async fn take_claimed(&self) -> ClaimedJob {
        self.take_leased(Duration::from_secs(60)).await
    }

    /// Claims the next job under a lease.
    pub async fn take_leased(&self, lease: Duration) -> ClaimedJob {
        let claim = Claim { lease, ..self.claim(1) };
        eventually("a job can be claimed", async || self.claim_now(&claim).await.pop()).await
    }

    /// Claims the next job.
    pub async fn take(&self) -> Job {
        self.take_claimed().await.job
    }

    /// Inserts a due publish job and claims it.
    pub async fn running(&self) -> Job {
        let job = self.due_job().await;
        let taken = self.take().await;
        assert_eq!(taken.id(), job.id, "the only one");
        taken
    }

    /// Nothing can be claimed now.
    pub async fn assert_nothing_to_claim(&self) {
        let got = self.claim_now(&self.claim(10)).await;
        assert!(got.is_empty(), "nothing can be claimed, but got {got:?}");
    }

    /// A settlement of a claim, without reason and follow-ups.
    pub fn settlement(&self, job: &Job, settle: Settle) -> Settlement {
        Settlement {
            held: job.held(),
            node: self.node,
            settle,
            reason: None,
            follow_ups: Vec::new(),
        }
    }

    /// Settles one claim.
    pub async fn settle(&self, job: &Job, settle: Settle) -> Applied {
        self.settle_with(self.settlement(job, settle)).await
    }

    /// Settles one claim.
    pub async fn settle_with(&self, settlement: Settlement) -> Applied {
        let answers = self.backend.feed.settle(&[settlement]).await.expect("settle");
        assert_eq!(answers.len(), 1, "one answer per settlement");
        answers[0]
    }

    /// Settles one claim, which must apply.
    pub async fn apply(&self, job: &Job, settle: Settle) {
        assert_eq!(self.settle(job, settle.clone()).await, Applied::Applied, "{settle:?}");
    }

    /// All that is known of a job.
    pub async fn story(&self, id: JobId) -> JobStory {
        self.backend.jobs.story(id).await.expect("story").expect("the job is there")
    }

    /// The job as it stands.
    pub async fn job_now(&self, id: JobId) -> Job {
        self.story(id).await.job
    }

    /// The states that a job went through. Checks that its events form one allowed chain which ends
    /// where the job stands.
    pub async fn path(&self, id: JobId) -> Vec<JobState> {
        let story = self.story(id).await;
        let mut last = None;
        for event in &story.events {
            assert_eq!(event.job, id);
            assert_eq!(event.from, last, "each event begins where the one before ended");
            let allowed = last.is_none_or(|from| JobMachine.allows(from, event.to));
            assert!(allowed, "{last:?} to {}", event.to);
            last = Some(event.to);
        }
        assert_eq!(last, Some(story.job.state), "the events end where the job stands");
        assert!(story.events.is_sorted_by_key(|event| (event.at, event.fence)), "in order");
        story.events.iter().map(|event| event.to).collect()
    }

    /// What would be sent for a part of a claimed job.
    pub fn intent(&self, job: &Job, part: u16) -> Intent {
        Intent {
            job: job.id(),
            fence: job.fence,
            part,
            key: PlatformKey::derive(job.root, part),
            text: format!("part {part}"),
            options: PostOptions::default(),
            media: Vec::new(),
            reply_to: None,
            container: None,
            revision: self.post.revision,
            made_at: DateTime::UNIX_EPOCH,
        }
    }

    /// Asks to send a part.
    pub async fn ask(&self, job: &Job, part: u16) -> IntentAnswer {
        self.ask_with(&self.intent(job, part)).await
    }

    /// Asks to send, with room for a second.
    pub async fn ask_with(&self, intent: &Intent) -> IntentAnswer {
        self.backend.feed.intent(intent, Duration::from_secs(1)).await.expect("intent")
    }

    /// Records an intent, which must be granted; answers when.
    pub async fn send(&self, job: &Job, part: u16) -> DateTime<Utc> {
        match self.ask(job, part).await {
            IntentAnswer::Recorded(at) => at,
            other => panic!("the intent is refused: {other:?}"),
        }
    }

    /// Records an intent under a short lease, which leaves no room for more than the record.
    pub async fn send_briefly(&self, job: &Job) {
        let answer = self.backend.feed.intent(&self.intent(job, 0), Duration::ZERO).await;
        assert!(matches!(answer.expect("intent"), IntentAnswer::Recorded(_)), "it is granted");
    }

    /// Inserts a due publish job, claims it and records an intent for its first part.
    pub async fn sending(&self) -> Job {
        let job = self.running().await;
        self.send(&job, 0).await;
        job
    }

    /// Publishes a new job in one part; answers the job as it was claimed, and its receipt.
    pub async fn published(&self) -> (Job, Receipt) {
        let job = self.sending().await;
        let receipt = self.receipt(0).await;
        self.apply(&job, Settle::Succeeded(Some(receipt.clone()))).await;
        (job, receipt)
    }

    /// Proof, with a remote id of its own, published now.
    pub async fn receipt(&self, part: u16) -> Receipt {
        Receipt {
            part,
            remote_id: format!("remote-{}", JobId::new()),
            url: Some("https://example.com/1".to_owned()),
            published_at: self.now().await,
            dry_run: false,
        }
    }

    /// Waits until the lease of a running job has ended and the sweep has taken it.
    pub async fn expire(&self, id: JobId) {
        eventually("the lease ends and the sweep takes the job", async || {
            let expired = self.backend.upkeep.expire(100).await.expect("expire");
            expired.contains(&id).then_some(())
        })
        .await;
    }

    /// Inserts a due publish job whose worker crashes: `failed` by the sweep, due now.
    pub async fn crashed(&self) -> Job {
        let made = self.due_job().await;
        let job = self.take_leased(SHORT_LEASE).await.job;
        assert_eq!(job.id(), made.id);
        self.expire(job.id()).await;
        job
    }

    /// Gives a claimed job up, its outcome unknown.
    pub async fn give_up(&self, job: &Job, reason: DeadReason) {
        self.apply(job, Settle::Failed(cut(), RetryDecision::GiveUp(reason))).await;
    }

    /// A dead letter whose first part was sent without an answer; as it was claimed.
    pub async fn dead_letter(&self) -> Job {
        let job = self.sending().await;
        self.give_up(&job, DeadReason::OutcomeUnknown).await;
        job
    }
}

/// Inserts an account of the platform `test`.
pub async fn account(backend: &Backend, name: &str) -> Account {
    let platform = "test".parse().expect("a good name");
    let account = Account::new(name, platform, SystemClock.now());
    backend.accounts.insert(&account).await.expect("insert an account");
    account
}

/// Inserts an account of another tenant that is this identity there.
pub async fn account_of(backend: &Backend, platform: &str, remote_id: &str) -> Account {
    let platform = platform.parse().expect("a good name");
    let mut account = Account::new(remote_id, platform, SystemClock.now());
    (account.tenant_id, account.remote_id) = (TenantId::new(), Some(remote_id.to_owned()));
    backend.accounts.insert(&account).await.expect("insert an account");
    account
}

/// Inserts a post.
pub async fn post(backend: &Backend, text: &str) -> Post {
    let post = Post::new(Content::text(text), SystemClock.now());
    backend.posts.insert(std::slice::from_ref(&post)).await.expect("insert a post");
    post
}

/// A publish job, not inserted.
pub fn publish_job(post: &Post, account: &Account, at: DateTime<Utc>) -> NewJob {
    NewJob {
        lane: Some(account.lane()),
        post_id: Some(post.id),
        account_id: Some(account.id),
        ..NewJob::new(JobKind::publish(), Topic::publish(), at)
    }
}

/// A job of the topic `publish` that needs neither post nor account, in a lane or in none.
pub fn plain_job(lane: Option<&str>, priority: i16, at: DateTime<Utc>) -> NewJob {
    NewJob {
        lane: lane.map(Lane::from_raw),
        priority,
        ..NewJob::new(JobKind::new("plain"), Topic::publish(), at)
    }
}

/// A failure after which something may be out.
pub fn cut() -> Failure {
    Failure::unknown(FailureClass::Network, "the connection was cut")
}

/// A failure that surely published nothing.
pub fn refused() -> Failure {
    Failure::not_published(FailureClass::Platform, "the platform is not there")
}

/// A text of so many bytes, in many scripts.
pub fn long_text(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes);
    for c in "postq żółw 🦉👩‍👩‍👧 日本語 عربى \u{1F600}'\";--\n".chars().cycle()
    {
        if text.len() + c.len_utf8() > bytes {
            break;
        }
        text.push(c);
    }
    text.push_str(&"x".repeat(bytes - text.len()));
    text
}

/// A pure resolver of `one_shot` and `interval`. A schedule whose zone is `broken` cannot be
/// resolved.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestResolver;

impl TestResolver {
    /// As planning takes it.
    pub fn shared() -> Arc<dyn Resolver> {
        Arc::new(Self)
    }
}

/// At most so many missed occurrences have a row of their own.
const MISSED_ROWS: i64 = 100;

impl Resolver for TestResolver {
    fn next(
        &self,
        schedule: &Schedule,
        after: Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>, ScheduleError> {
        let steps = Steps::of(schedule)?;
        let n = after.map_or(0, |after| steps.index_after(after));
        Ok(steps.at(n))
    }

    fn resolve(
        &self,
        schedule: &Schedule,
        request: ResolveRequest,
    ) -> Result<Resolved, ScheduleError> {
        let steps = Steps::of(schedule)?;
        let Some(from) = schedule.next_run_at else {
            return Ok(Resolved { occurrences: Vec::new(), next_run_at: None });
        };
        let first = steps.index_after(from - TimeDelta::microseconds(1));
        let end = steps.index_after(request.until).min(steps.count);
        // Missed is what is strictly older than the grace: see `Schedule::is_missed`.
        let bound = request.now - schedule.grace - TimeDelta::microseconds(1);
        let late = steps.index_after(bound).clamp(first, end.max(first));
        let made_up = match schedule.misfire {
            Misfire::FireOnce => 1,
            Misfire::FireAll { most } => i64::from(most.get()),
            Misfire::Skip => 0,
        };
        let fire_from = (late - made_up).max(first);
        let rows_from = (fire_from - MISSED_ROWS).max(first);
        let limit = i64::try_from(request.limit).unwrap_or(i64::MAX);
        let fire_to = end.min(fire_from.saturating_add(limit)).max(fire_from);
        let row = |n: i64| {
            let older = if n == rows_from { n - first } else { 0 };
            let and_older = older.unsigned_abs();
            // With `skip` nothing between the rows and the late bound fires.
            let missed = n < fire_from;
            let verdict = if missed { Verdict::Missed { and_older } } else { Verdict::Fire };
            Some(Occurrence { planned_at: steps.at(n)?, verdict })
        };
        let occurrences = (rows_from..fire_to).filter_map(row).collect();
        Ok(Resolved { occurrences, next_run_at: steps.at(fire_to) })
    }
}

/// The occurrences of a timing by number.
struct Steps {
    anchor: DateTime<Utc>,
    every: TimeDelta,
    count: i64,
}

impl Steps {
    fn of(schedule: &Schedule) -> Result<Self, ScheduleError> {
        if schedule.tz.as_deref() == Some("broken") {
            return Err(ScheduleError::new(ErrorKind::Invalid, "\"broken\" is no time zone"));
        }
        Ok(match &schedule.timing {
            Timing::OneShot { at, .. } => {
                Self { anchor: *at, every: TimeDelta::seconds(1), count: 1 }
            }
            Timing::Interval { every, anchor, count, until } => {
                let every = TimeDelta::from_std(*every).unwrap_or(TimeDelta::MAX);
                let mut steps = Self { anchor: *anchor, every, count: i64::MAX };
                if let Some(until) = until {
                    steps.count = steps.index_after(*until);
                }
                if let Some(count) = count {
                    steps.count = steps.count.min(i64::from(count.get()));
                }
                steps
            }
            Timing::Cron { .. } | Timing::Rrule { .. } | Timing::Unset => {
                let why = "the suites have no rules, only intervals";
                return Err(ScheduleError::new(ErrorKind::Invalid, why));
            }
        })
    }

    /// The time of an occurrence, if there are so many.
    fn at(&self, n: i64) -> Option<DateTime<Utc>> {
        if n < 0 || n >= self.count {
            return None;
        }
        let micros = self.every.num_microseconds()?.checked_mul(n)?;
        self.anchor.checked_add_signed(TimeDelta::microseconds(micros))
    }

    /// The number of the first occurrence strictly later than `after`.
    fn index_after(&self, after: DateTime<Utc>) -> i64 {
        let (Some(since), Some(every)) =
            ((after - self.anchor).num_microseconds(), self.every.num_microseconds())
        else {
            return i64::MAX;
        };
        if since < 0 { 0 } else { since / every.max(1) + 1 }
    }
}
