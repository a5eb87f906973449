//! Publishing a post now, whatever its schedules say.

use chrono::{DateTime, Utc};

use postq_core::account::Account;
use postq_core::content::Post;
use postq_core::id::{AccountId, JobId, PostId, ScheduleId};
use postq_core::job::{CorrelationId, DedupeKey, JobKind, NewJob, Topic};
use postq_core::schedule::{Schedule, Timing};

use uuid::Uuid;

use super::check::accounts_of;
use super::{Desk, DeskError, Refused};

/// What publishing now came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// A job for each account, due now.
    pub jobs: Vec<JobId>,
    /// The schedules that were to fire once later, and are switched off: this is what they were for.
    pub instead_of: Vec<ScheduleId>,
}

impl Desk {
    /// Publishes a post now, to these accounts or else to those of its schedules. A schedule that would
    /// publish it once later is switched off first; those that repeat go on. The same `request` again
    /// publishes nothing more.
    pub async fn execute(
        &self,
        id: PostId,
        accounts: &[String],
        request: Uuid,
        max_attempts: u32,
    ) -> Result<Executed, DeskError> {
        let post = self.find_post(&id.to_string()).await?;
        let schedules = self.backend.schedules.of_posts(&[id]).await?;
        let accounts = self.named_or_scheduled(accounts, &schedules).await?;
        let named = self.named([&post.content]).await?;
        self.content_is_good(&post.content, &accounts, &named)?;
        let instead_of = self.take_over(&schedules).await?;
        let now = self.backend.jobs.now().await?;
        let jobs: Vec<NewJob> = accounts
            .iter()
            .map(|account| NewJob { max_attempts, ..job(&post, account, request, now) })
            .map(|job| match &self.correlation {
                Some(id) => NewJob { correlation_id: id.clone(), ..job },
                None => job,
            })
            .collect();
        self.backend.jobs.insert(&jobs).await?;
        Ok(Executed { jobs: jobs.iter().map(|job| job.id).collect(), instead_of })
    }

    async fn named_or_scheduled(
        &self,
        names: &[String],
        schedules: &[Schedule],
    ) -> Result<Vec<Account>, DeskError> {
        let now = self.backend.jobs.now().await?;
        let mut directory = self.directory(now).await?;
        let mut scheduled: Vec<AccountId> =
            schedules.iter().flat_map(|schedule| schedule.accounts.iter().copied()).collect();
        scheduled.sort_unstable();
        scheduled.dedup();
        let of_schedules: Vec<String> = scheduled.iter().map(ToString::to_string).collect();
        let names = if names.is_empty() { &of_schedules } else { names };
        let mut problems = Vec::new();
        let mut accounts = accounts_of(&mut directory, names, &mut problems);
        if !problems.is_empty() {
            return Err(Refused { problems }.into());
        }
        self.make_accounts(&directory, accounts.iter_mut().map(|account| &mut account.id)).await?;
        Ok(accounts)
    }

    /// Switches off what would publish the post once, later.
    async fn take_over(&self, schedules: &[Schedule]) -> Result<Vec<ScheduleId>, DeskError> {
        let once = |schedule: &&Schedule| {
            schedule.enabled && matches!(schedule.timing, Timing::OneShot { .. })
        };
        let ids: Vec<ScheduleId> = schedules.iter().filter(once).map(|s| s.id).collect();
        let standings = self.standings(&ids).await?;
        let to_come = |schedule: &&Schedule| {
            let waits = standings.get(&schedule.id).is_some_and(|standing| standing.waiting > 0);
            waits || schedule.next_run_at.is_some()
        };
        let mut instead_of = Vec::new();
        for schedule in schedules.iter().filter(once).filter(to_come) {
            self.switch(schedule.id, false).await?;
            instead_of.push(schedule.id);
        }
        Ok(instead_of)
    }
}

/// The job of one account. Its id follows from the request, so that a repeated one names the same job.
fn job(post: &Post, account: &Account, request: Uuid, now: DateTime<Utc>) -> NewJob {
    let name = request.to_string();
    NewJob {
        id: JobId::from_uuid(derived(request, account.id)),
        tenant_id: post.tenant_id,
        lane: Some(account.lane()),
        dedupe_key: Some(DedupeKey::request(post.id, &name, account.id)),
        post_id: Some(post.id),
        account_id: Some(account.id),
        correlation_id: CorrelationId::new(name),
        ..NewJob::new(JobKind::publish(), Topic::publish(), now)
    }
}

/// An id that one request makes for an account: as late as the request's own.
fn derived(request: Uuid, account: AccountId) -> Uuid {
    let (high, low) = request.as_u64_pair();
    let (other, more) = account.as_uuid().as_u64_pair();
    // The time, the version and the variant stay; the rest is mixed.
    let mixed = (other.rotate_left(17) ^ more) & 0x3fff_ffff_ffff_ffff;
    Uuid::from_u64_pair(high, low ^ mixed)
}
