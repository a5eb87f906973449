//! The rules of [`ScheduleStore`](crate::store::ScheduleStore) besides planning.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::backend::Backend;
use crate::conformance::fixtures::{TestResolver, World, account, cut, post, refused};
use crate::feed::Settle;
use crate::id::{AccountId, PostId, ScheduleId, TenantId};
use crate::job::{DeadReason, Job};
use crate::machine::JobState;
use crate::retry::RetryDecision;
use crate::schedule::{Misfire, Schedule, Timing};
use crate::store::{Edited, JobFilter, Page, PlanRequest, ScheduleEdit};

pub(super) fn once(world: &World, at: DateTime<Utc>) -> Schedule {
    let timing = Timing::OneShot { at, local: None };
    let schedule = Schedule::new(world.post.id, vec![world.account.id], timing, at);
    Schedule { next_run_at: Some(at), ..schedule }
}

pub(super) async fn put(backend: &Backend, schedules: &[Schedule]) {
    backend.schedules.insert(schedules).await.expect("insert schedules");
}

pub(super) async fn load(backend: &Backend, id: ScheduleId) -> Schedule {
    backend.schedules.load(&[id]).await.expect("load").pop().expect("the schedule is there")
}

pub(super) async fn jobs_of(backend: &Backend, id: ScheduleId) -> Vec<Job> {
    let filter = JobFilter { schedules: Some(vec![id]), ..JobFilter::default() };
    let list = backend.jobs.list(TenantId::DEFAULT, &filter, Page::first(1_000)).await;
    let mut jobs = list.expect("list jobs");
    jobs.sort_by_key(|job| (job.made.planned_at, job.made.account_id));
    jobs
}

/// Plans and dispatches: what is within a minute can be claimed when it is due.
pub(super) async fn plan(world: &World) {
    let request = PlanRequest::new(world.node);
    world.backend.schedules.plan(&request, &TestResolver::shared()).await.expect("plan");
    let any = crate::feed::Only::Any;
    world.backend.upkeep.dispatch(&any, 1_000).await.expect("dispatch");
}

async fn edit(world: &World, id: ScheduleId, revision: u32, edit: ScheduleEdit) -> Edited {
    world.backend.schedules.edit(id, revision, &edit).await.expect("edit")
}

fn off() -> ScheduleEdit {
    ScheduleEdit { enabled: Some(false), ..ScheduleEdit::default() }
}

fn on() -> ScheduleEdit {
    ScheduleEdit { enabled: Some(true), ..ScheduleEdit::default() }
}

fn to(accounts: Vec<AccountId>) -> ScheduleEdit {
    ScheduleEdit { accounts: Some(accounts), ..ScheduleEdit::default() }
}

fn moved_to(at: DateTime<Utc>) -> ScheduleEdit {
    let timing = Timing::OneShot { at, local: None };
    ScheduleEdit { timing: Some((timing, Some(at))), ..ScheduleEdit::default() }
}

/// An id that is there already is left as it is; lists and look-ups show what was put in.
pub async fn schedules_are_inserted_once(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(60_000).await;
    let rich = Schedule {
        timing: Timing::Interval {
            every: Duration::from_micros(1_500_001),
            anchor: at,
            count: std::num::NonZeroU32::new(7),
            until: Some(at + TimeDelta::hours(1)),
        },
        tz: Some("Europe/Warsaw".to_owned()),
        tzdb: Some("2026a".to_owned()),
        priority: -3,
        misfire: Misfire::FireAll { most: std::num::NonZeroU32::MAX },
        grace: Duration::from_secs(1),
        problem: Some("\"none\" is no zone".to_owned()),
        last_run_at: Some(at - TimeDelta::days(1)),
        correlation_id: Some("request 1 of \"ops\"".into()),
        ..once(&world, at)
    };
    let other = post(&world.backend, "other").await;
    let plain =
        Schedule { post_id: other.id, enabled: false, next_run_at: None, ..once(&world, at) };

    put(&world.backend, &[rich.clone(), plain.clone()]).await;
    put(&world.backend, &[Schedule { priority: 9, ..rich.clone() }]).await;

    assert_eq!(load(&world.backend, rich.id).await, rich);
    assert_eq!(load(&world.backend, plain.id).await, plain);
    let of = world.backend.schedules.of_posts(&[other.id, PostId::new()]).await.expect("of posts");
    assert_eq!(of, std::slice::from_ref(&plain));
    let mut ids = [rich.id, plain.id];
    ids.sort_unstable();
    let first = world.backend.schedules.list(TenantId::DEFAULT, Page::first(1)).await;
    assert_eq!(first.expect("list")[0].id, ids[0]);
    let after: Option<Uuid> = Some(ids[0].as_uuid());
    let rest =
        world.backend.schedules.list(TenantId::DEFAULT, Page { after, ..Page::first(10) }).await;
    let rest: Vec<_> = rest.expect("list").into_iter().map(|schedule| schedule.id).collect();
    assert_eq!(rest, [ids[1]]);
    let none = world.backend.schedules.list(TenantId::new(), Page::first(10)).await;
    assert!(none.expect("list").is_empty());
}

/// An edit cancels the jobs that have no intent and frees their keys; while one has an intent and is
/// not ended, or runs, the edit is refused.
pub async fn an_edit_wins_wholly_or_is_refused(backend: Backend) {
    let world = World::new(backend).await;
    let first = world.at(-2_000).await;
    let second = first + TimeDelta::seconds(1);
    let schedule = Schedule {
        timing: Timing::Interval {
            every: Duration::from_secs(1),
            anchor: first,
            count: std::num::NonZeroU32::new(2),
            until: None,
        },
        ..once(&world, first)
    };
    put(&world.backend, std::slice::from_ref(&schedule)).await;
    plan(&world).await;
    let later = world.at(30_000).await;
    let running = world.take().await;
    assert_eq!(running.made.planned_at, first);

    let refuses = async |why: &str| {
        for change in [off(), to(vec![]), moved_to(later)] {
            let edited = edit(&world, schedule.id, 1, change).await;
            assert_eq!(edited, Edited::AlreadyPublishing, "{why}");
        }
        let removed = world.backend.schedules.remove(schedule.id).await.expect("remove");
        assert_eq!(removed, Edited::AlreadyPublishing, "{why}");
        let waiting = &jobs_of(&world.backend, schedule.id).await[1];
        assert_eq!((waiting.state, waiting.made.planned_at), (JobState::Enqueued, second));
    };
    refuses("one runs").await;
    world.send(&running, 0).await;
    world.apply(&running, Settle::Failed(cut(), RetryDecision::RetryAt(later))).await;
    refuses("one may be out").await;
    world.backend.control.due_now(running.id()).await.map(|_| ()).expect("due now");
    let running = world.take().await;
    world.apply(&running, Settle::Succeeded(Some(world.receipt(0).await))).await;

    let edited = edit(&world, schedule.id, 1, moved_to(later)).await;

    assert_eq!(edited, Edited::Applied { revision: 2 });
    let jobs = jobs_of(&world.backend, schedule.id).await;
    let states: Vec<_> = jobs.iter().map(|job| job.state).collect();
    assert_eq!(states, [JobState::Succeeded, JobState::Cancelled]);
    assert_eq!(jobs[1].made.dedupe_key, None, "its key is free");
    assert!(jobs[0].made.dedupe_key.is_some(), "what is out keeps its key");
    let moved = load(&world.backend, schedule.id).await;
    assert_eq!((moved.next_run_at, moved.revision), (Some(later), 2));
    world.assert_nothing_to_claim().await;
    plan(&world).await;
    assert_eq!(jobs_of(&world.backend, schedule.id).await.len(), 3, "the new moment");
}

/// An edit needs the revision that the caller has seen.
pub async fn an_edit_needs_the_seen_revision(backend: Backend) {
    let world = World::new(backend).await;
    let schedule = once(&world, world.at(3_600_000).await);
    put(&world.backend, std::slice::from_ref(&schedule)).await;

    assert_eq!(edit(&world, schedule.id, 1, off()).await, Edited::Applied { revision: 2 });
    assert_eq!(edit(&world, schedule.id, 1, on()).await, Edited::Changed { revision: 2 });
    assert_eq!(edit(&world, schedule.id, 3, on()).await, Edited::Changed { revision: 2 });
    assert_eq!(edit(&world, ScheduleId::new(), 1, on()).await, Edited::Gone);

    let expected = Schedule { enabled: false, revision: 2, ..schedule };
    assert_eq!(load(&world.backend, expected.id).await, expected);
}

/// An edit changes what it names and nothing else; what is planned after it has its priority.
pub async fn an_edit_changes_what_it_names(backend: Backend) {
    let world = World::new(backend).await;
    let schedule = once(&world, world.at(30_000).await);
    put(&world.backend, std::slice::from_ref(&schedule)).await;
    plan(&world).await;

    let zone = ("Europe/Warsaw".to_owned(), "2026a".to_owned());
    let zoned = ScheduleEdit { tz: Some(zone), ..ScheduleEdit::default() };
    assert_eq!(edit(&world, schedule.id, 1, zoned).await, Edited::Applied { revision: 2 });
    let urgent = ScheduleEdit { priority: Some(-7), ..ScheduleEdit::default() };
    assert_eq!(edit(&world, schedule.id, 2, urgent).await, Edited::Applied { revision: 3 });

    let expected = Schedule {
        tz: Some("Europe/Warsaw".to_owned()),
        tzdb: Some("2026a".to_owned()),
        priority: -7,
        last_run_at: schedule.next_run_at,
        revision: 3,
        ..schedule
    };
    assert_eq!(load(&world.backend, expected.id).await, expected);
    plan(&world).await;
    let jobs = jobs_of(&world.backend, expected.id).await;
    let live: Vec<_> = jobs.iter().filter(|job| !job.state.is_terminal()).collect();
    assert_eq!(live.len(), 1, "its moment is planned again");
    assert_eq!(live[0].made.priority, -7);
}

/// The moments of cancelled jobs come again after other accounts were named, or it was switched off
/// and on: none is lost and none doubled.
pub async fn a_changed_schedule_plans_its_moment_again(backend: Backend) {
    let world = World::new(backend).await;
    let other = account(&world.backend, "other").await;
    let at = world.at(30_000).await;
    let schedule = once(&world, at);
    put(&world.backend, std::slice::from_ref(&schedule)).await;
    plan(&world).await;
    assert_eq!(load(&world.backend, schedule.id).await.next_run_at, None, "all is planned");
    let live = async || {
        let jobs = jobs_of(&world.backend, schedule.id).await;
        jobs.into_iter().filter(|job| !job.state.is_terminal()).collect::<Vec<_>>()
    };

    let both = vec![world.account.id, other.id];
    let edited = edit(&world, schedule.id, 1, to(both.clone())).await;
    assert_eq!(edited, Edited::Applied { revision: 2 });
    assert!(live().await.is_empty(), "the old plan is cancelled");
    plan(&world).await;
    let jobs = live().await;
    let accounts: Vec<_> = jobs.iter().filter_map(|job| job.made.account_id).collect();
    assert_eq!(accounts, both);
    assert!(jobs.iter().all(|job| job.made.planned_at == at), "the same moment");

    assert_eq!(edit(&world, schedule.id, 2, off()).await, Edited::Applied { revision: 3 });
    plan(&world).await;
    assert!(live().await.is_empty(), "it is off");
    assert_eq!(edit(&world, schedule.id, 3, on()).await, Edited::Applied { revision: 4 });
    plan(&world).await;
    plan(&world).await;
    assert_eq!(live().await.len(), 2, "each account once");
}

/// A job that waits for a retry and surely published nothing is given up by an edit; its moment had
/// an intent and is not planned again.
pub async fn a_waiting_retry_is_given_up_by_an_edit(backend: Backend) {
    let world = World::new(backend).await;
    let schedule = once(&world, world.at(-1_000).await);
    put(&world.backend, std::slice::from_ref(&schedule)).await;
    plan(&world).await;
    let job = world.take().await;
    world.send(&job, 0).await;
    let later = world.at(60_000).await;
    world.apply(&job, Settle::Failed(refused(), RetryDecision::RetryAt(later))).await;

    assert_eq!(edit(&world, schedule.id, 1, off()).await, Edited::Applied { revision: 2 });

    let given_up = world.job_now(job.id()).await;
    assert_eq!(given_up.state, JobState::DeadLetter);
    assert_eq!(given_up.dead_reason, Some(DeadReason::Cancelled));
    assert!(given_up.made.dedupe_key.is_some(), "it had an intent");
    assert_eq!(edit(&world, schedule.id, 2, on()).await, Edited::Applied { revision: 3 });
    plan(&world).await;
    assert_eq!(jobs_of(&world.backend, schedule.id).await.len(), 1, "no second job");
}

/// A removed schedule's waiting jobs are cancelled; their history stays.
pub async fn a_removed_schedule_never_fires(backend: Backend) {
    let world = World::new(backend).await;
    let schedule = once(&world, world.at(-1_000).await);
    put(&world.backend, std::slice::from_ref(&schedule)).await;
    plan(&world).await;

    let remove = async || world.backend.schedules.remove(schedule.id).await.expect("remove");
    assert!(matches!(remove().await, Edited::Applied { .. }));
    assert_eq!(remove().await, Edited::Gone);

    let gone = world.backend.schedules.load(&[schedule.id]).await.expect("load");
    assert!(gone.is_empty());
    world.assert_nothing_to_claim().await;
    let jobs = jobs_of(&world.backend, schedule.id).await;
    assert_eq!(jobs.len(), 1, "its history stays");
    let path = world.path(jobs[0].id()).await;
    assert_eq!(path, [JobState::Planned, JobState::Enqueued, JobState::Cancelled]);
}
