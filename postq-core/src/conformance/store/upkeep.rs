//! The rules of [`JobUpkeep`](crate::store::JobUpkeep).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::schedules::{jobs_of, once, plan, put};
use crate::backend::Backend;
use crate::conformance::SHORT_LEASE;
use crate::conformance::fixtures::{TestResolver, World, plain_job, refused};
use crate::feed::{Claim, Only, Settle};
use crate::id::{JobId, TenantId};
use crate::job::{DeadReason, DedupeKey, NewJob, Resolution, Topic};
use crate::machine::JobState;
use crate::queue::QueuedJob;
use crate::retry::RetryDecision;
use crate::store::{Controlled, JobFilter, Page, PlanRequest, ReplayKey, Replayed, Retention};

/// `dispatch` makes `planned` jobs `enqueued` and tells what a queue must know.
pub async fn dispatch_enqueues_what_is_planned(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    let schedules: Vec<_> = (0..5).map(|_| once(&world, at)).collect();
    put(&world.backend, &schedules).await;
    let request = PlanRequest::new(world.node);
    world.backend.schedules.plan(&request, &TestResolver::shared()).await.expect("plan");
    let dispatch = async |only: &Only, limit| {
        world.backend.upkeep.dispatch(only, limit).await.expect("dispatch")
    };
    world.assert_nothing_to_claim().await;

    let only = Only::Schedules(Arc::new(BTreeSet::from([schedules[3].id])));
    let ours = dispatch(&only, 10).await;
    let job = jobs_of(&world.backend, schedules[3].id).await.remove(0);
    assert_eq!(job.state, JobState::Enqueued);
    assert_eq!(ours, [QueuedJob::from(&job)]);
    assert!(job.enqueued_at.is_some());
    assert!(dispatch(&only, 10).await.is_empty(), "once");

    let mut rest = dispatch(&Only::Any, 3).await;
    assert_eq!(rest.len(), 3, "at most what was asked for");
    rest.extend(dispatch(&Only::Any, 3).await);
    assert_eq!(rest.len(), 4);
    assert!(dispatch(&Only::Any, 3).await.is_empty(), "all are");
    for queued in rest {
        assert_eq!(world.path(queued.id).await, [JobState::Planned, JobState::Enqueued]);
    }
    world.take().await;
}

/// `expire` makes a `running` job whose lease has ended `failed`, due now, its attempt charged, and
/// no other.
pub async fn an_ended_lease_fails_the_attempt(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    world.insert(&[plain_job(Some("a"), 9, at), plain_job(Some("b"), 1, at)]).await;
    let kept = world.take().await;
    let lost = world.take_leased(SHORT_LEASE).await.job;

    world.expire(lost.id()).await;

    let failed = world.job_now(lost.id()).await;
    assert_eq!((failed.state, failed.attempt, failed.fence), (JobState::Failed, 1, lost.fence));
    assert!(failed.run_at <= world.now().await, "due now");
    let event = world.story(lost.id()).await.events.pop().expect("an event");
    assert_eq!(event.reason.as_deref(), Some("lease expired"));
    assert_eq!(world.job_now(kept.id()).await.state, JobState::Running);
    assert!(world.backend.upkeep.expire(10).await.expect("expire").is_empty(), "once");
    let again = world.take().await;
    assert_eq!((again.id(), again.attempt, again.fence.0), (lost.id(), 2, 2));
}

/// `waiting` shows every claimable job that is due by `until`: what a queue should hold.
pub async fn waiting_shows_what_a_queue_should_hold(backend: Backend) {
    let world = World::new(backend).await;
    let running = world.running().await;
    let (due, soon, late) =
        (world.at(-1_000).await, world.at(30_000).await, world.at(3_600_000).await);
    let jobs = [due, soon, late].map(|at| plain_job(Some("a"), 2, at));
    world.insert(&jobs).await;
    world.insert(&[NewJob { topic: Topic::notify(), ..plain_job(None, 0, due) }]).await;
    let planned = once(&world, soon);
    put(&world.backend, std::slice::from_ref(&planned)).await;
    let request = PlanRequest::new(world.node);
    world.backend.schedules.plan(&request, &TestResolver::shared()).await.expect("plan");
    let failed = Settle::Failed(refused(), RetryDecision::RetryAt(soon));
    world.apply(&running, failed).await;

    let until = world.at(60_000).await;
    let mut seen: Vec<QueuedJob> = Vec::new();
    let mut after: Option<Uuid> = None;
    loop {
        let page = Page { after, ..Page::first(2) };
        let waiting = world.backend.upkeep.waiting(&Topic::publish(), until, page).await;
        let waiting = waiting.expect("waiting");
        assert!(waiting.len() <= 2, "at most what was asked for");
        let Some(last) = waiting.last() else { break };
        after = Some(last.id.as_uuid());
        seen.extend(waiting);
    }

    let mut expected = Vec::new();
    for id in [jobs[0].id, jobs[1].id, running.id()] {
        expected.push(QueuedJob::from(&world.job_now(id).await));
    }
    expected.sort_by_key(|queued| queued.id);
    assert_eq!(seen, expected, "enqueued and failed ones of the topic, due by then");
}

/// `clean` removes ended jobs and their history in batches; an unresolved dead letter, a job that
/// has not ended and a publication never.
pub async fn cleaning_spares_what_matters(backend: Backend) {
    let world = World::new(backend).await;
    let (done, _) = world.published().await;
    let cancelled = world.due_job().await;
    let applied = world.backend.control.cancel(cancelled.id, "unwanted").await.expect("cancel");
    assert_eq!(applied, Controlled::Applied);
    let resolved = world.dead_letter().await;
    let applied = world.backend.control.resolve(resolved.id(), Resolution::Discarded).await;
    assert_eq!(applied.expect("resolve"), Controlled::Applied);
    let dead = world.dead_letter().await;
    let failed = world.crashed().await;
    let running = world.take().await;
    assert_eq!(running.id(), failed.id());
    let waiting = world.job(world.at(3_600_000).await);
    world.insert(std::slice::from_ref(&waiting)).await;
    let clean = async |retention: &Retention, limit| {
        world.backend.upkeep.clean(retention, limit).await.expect("clean")
    };

    let young = Retention { keep: 0, keep_resolved: 0, ..Retention::default() };
    assert_eq!(clean(&young, 100).await, 0, "none is old enough");
    assert_eq!(clean(&Retention::NOTHING, 2).await, 2, "in batches");
    assert_eq!(clean(&Retention::NOTHING, 2).await, 1);
    assert_eq!(clean(&Retention::NOTHING, 2).await, 0);

    let all = JobFilter::default();
    let list = world.backend.jobs.list(TenantId::DEFAULT, &all, Page::first(9)).await;
    let left: BTreeSet<JobId> = list.expect("list").iter().map(|job| job.id()).collect();
    assert_eq!(left, BTreeSet::from([dead.id(), running.id(), waiting.id]));
    assert_eq!(world.backend.jobs.story(done.id()).await.expect("story"), None);
    let out = world.backend.publications.of_jobs(&[done.id()]).await.expect("publications");
    assert_eq!(out.len(), 1);
    assert_eq!(world.story(dead.id()).await.evidence.0.len(), 1, "with its evidence");
}

/// So many of each are kept whatever their age: the ones that ended last.
pub async fn cleaning_keeps_the_youngest(backend: Backend) {
    let world = World::new(backend).await;
    let mut done = Vec::new();
    for _ in 0..4 {
        done.push(world.published().await.0.id());
    }
    let retention = Retention { keep: 3, ..Retention::NOTHING };

    assert_eq!(world.backend.upkeep.clean(&retention, 100).await.expect("clean"), 1);

    assert_eq!(world.backend.jobs.story(done[0]).await.expect("story"), None, "the oldest");
    for id in &done[1..] {
        assert!(world.backend.jobs.story(*id).await.expect("story").is_some());
    }
}

/// Each topic keeps its own, of the ended and of the resolved alike: however much ends in a busy one.
pub async fn each_topic_keeps_its_own(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    let in_topic = async |topic: &Topic, n: usize| {
        let mut ended = Vec::new();
        for _ in 0..n {
            let job = NewJob { topic: topic.clone(), ..plain_job(None, 0, at) };
            world.insert(std::slice::from_ref(&job)).await;
            let cancelled = world.backend.control.cancel(job.id, "unwanted").await;
            assert_eq!(cancelled.expect("cancel"), Controlled::Applied);
            ended.push(job.id);
        }
        for _ in 0..n {
            let job = NewJob { topic: topic.clone(), ..plain_job(None, 0, at) };
            world.insert(std::slice::from_ref(&job)).await;
            let claim = Claim { topic: topic.clone(), ..world.claim(1) };
            let claimed = world.claim_n(&claim, 1).await;
            world.give_up(&claimed[0], DeadReason::AttemptsExhausted).await;
            let resolved = world.backend.control.resolve(job.id, Resolution::Discarded).await;
            assert_eq!(resolved.expect("resolve"), Controlled::Applied);
            ended.push(job.id);
        }
        ended
    };
    // The quiet one's are the oldest of all.
    let quiet = in_topic(&Topic::notify(), 2).await;
    let busy = in_topic(&Topic::new("busy"), 5).await;
    let retention = Retention { keep: 3, keep_resolved: 2, ..Retention::NOTHING };

    assert_eq!(world.backend.upkeep.clean(&retention, 3).await.expect("clean"), 3, "in batches");
    assert_eq!(world.backend.upkeep.clean(&retention, 3).await.expect("clean"), 2);
    assert_eq!(world.backend.upkeep.clean(&retention, 3).await.expect("clean"), 0);

    let mut left = Vec::new();
    for id in quiet.iter().chain(&busy) {
        left.extend(
            world.backend.jobs.story(*id).await.expect("story").map(|story| story.job.id()),
        );
    }
    let kept = [&quiet[..], &busy[2..5], &busy[8..]].concat();
    assert_eq!(left, kept, "all of the quiet topic, the latest of each of the busy one");
}

/// A job that ended before its moment is kept until then: its key keeps the moment from being planned.
pub async fn a_moment_to_come_is_not_cleaned_up(backend: Backend) {
    let world = World::new(backend).await;
    let later = world.at(60_000).await;
    let schedule = once(&world, later);
    let key = DedupeKey::occurrence(schedule.id, later, world.account.id);
    let skipped =
        NewJob { schedule_id: Some(schedule.id), dedupe_key: Some(key), ..world.job(later) };
    world.insert(std::slice::from_ref(&skipped)).await;
    let cancelled = world.backend.control.cancel(skipped.id, "skipped").await.expect("cancel");
    assert_eq!(cancelled, Controlled::Applied);

    let cleaned = world.backend.upkeep.clean(&Retention::NOTHING, 100).await.expect("clean");
    put(&world.backend, std::slice::from_ref(&schedule)).await;
    plan(&world).await;

    assert_eq!(cleaned, 0, "its moment is to come");
    let jobs = jobs_of(&world.backend, schedule.id).await;
    assert_eq!(jobs.iter().map(|job| job.id()).collect::<Vec<_>>(), [skipped.id]);
    assert_eq!(jobs[0].state, JobState::Cancelled, "and is not planned again");
}

/// A replayed dead letter may go; what its replay must know stays.
pub async fn cleaning_keeps_the_evidence_of_a_replay(backend: Backend) {
    let world = World::new(backend).await;
    let dead = world.dead_letter().await;
    let replayed = world.backend.control.replay(dead.id(), ReplayKey::Keep).await;
    let Replayed::By(id) = replayed.expect("replay") else { panic!("it can be replayed") };

    world.backend.upkeep.clean(&Retention::NOTHING, 100).await.expect("clean");

    let claimed = world.take_claimed().await;
    assert_eq!((claimed.job.id(), claimed.job.root), (id, dead.id()));
    let open = claimed.evidence.open().expect("the open intent is known");
    assert_eq!(open.intent.as_ref().map(|intent| intent.job), Some(dead.id()));
    let again = world.ask(&claimed.job, 0).await;
    assert_eq!(again, crate::intent::IntentAnswer::Unresolved);
    world.give_up(&claimed.job, DeadReason::OutcomeUnknown).await;
}

/// What is removed stays in the story as it was: the job, its events and what was sent; but no list and
/// no count has it.
pub async fn a_cleaned_job_keeps_its_history(backend: Backend) {
    let world = World::new(backend).await;
    let (done, _) = world.published().await;
    let cancelled = plain_job(None, 3, world.at(-1_000).await);
    let text = "a \" ' \\ \n \u{0} 🦉";
    let payload = serde_json::json!({ "text": text, "number": 0.1, "none": null });
    let cancelled = NewJob { payload, ..cancelled };
    world.insert(std::slice::from_ref(&cancelled)).await;
    let applied = world.backend.control.cancel(cancelled.id, text).await.expect("cancel");
    assert_eq!(applied, Controlled::Applied);
    let resolved = world.dead_letter().await;
    let applied = world.backend.control.resolve(resolved.id(), Resolution::Discarded).await;
    assert_eq!(applied.expect("resolve"), Controlled::Applied);
    let ids = [done.id(), cancelled.id, resolved.id()];
    let mut before = Vec::new();
    for id in ids {
        before.push(world.story(id).await);
    }
    let year = Duration::from_secs(365 * 86_400);
    let retention = Retention { history: year, ..Retention::NOTHING };

    assert_eq!(world.backend.upkeep.clean(&retention, 100).await.expect("clean"), 3);

    for (id, before) in ids.into_iter().zip(before) {
        assert_eq!(world.story(id).await, before);
        assert!(!before.events.is_empty());
    }
    let all = JobFilter::default();
    let list = world.backend.jobs.list(TenantId::DEFAULT, &all, Page::first(9)).await;
    assert!(list.expect("list").is_empty(), "no list has them");
    let count = world.backend.jobs.count(TenantId::DEFAULT, &all).await.expect("count");
    assert!(count.is_empty(), "nor a count: {count:?}");
    assert_eq!(world.backend.control.due_now(done.id()).await.expect("due now"), Controlled::Gone);
    // Who makes it again begins a new story; its end takes the place of the old one.
    world.insert(std::slice::from_ref(&cancelled)).await;
    assert_eq!(world.path(cancelled.id).await, [JobState::Planned, JobState::Enqueued]);
    let applied = world.backend.control.cancel(cancelled.id, "again").await.expect("cancel");
    assert_eq!(applied, Controlled::Applied);
    assert_eq!(world.backend.upkeep.clean(&retention, 100).await.expect("clean"), 1);
    assert_eq!(world.job_now(cancelled.id).await.reason.as_deref(), Some("again"));
}

/// A history goes when the job ended so long ago, the oldest first and in batches; not earlier.
pub async fn history_ends(backend: Backend) {
    let world = World::new(backend).await;
    let mut done = Vec::new();
    for _ in 0..4 {
        done.push(world.published().await.0.id());
    }
    let year = Retention { history: Duration::from_secs(365 * 86_400), ..Retention::NOTHING };
    let endless = Retention { history: Duration::MAX, ..Retention::NOTHING };
    let clean = async |retention: &Retention, limit| {
        world.backend.upkeep.clean(retention, limit).await.expect("clean")
    };
    let told = async || {
        let mut told = Vec::new();
        for id in &done {
            let story = world.backend.jobs.story(*id).await.expect("story");
            told.extend(story.map(|story| story.job.id()));
        }
        told
    };

    assert_eq!(clean(&endless, 3).await, 3);
    assert_eq!(clean(&year, 3).await, 1, "none ended a year ago");
    assert_eq!(told().await, done);
    assert_eq!(clean(&Retention::NOTHING, 3).await, 3, "in batches");
    assert_eq!(told().await, done[3..], "the oldest first");
    let (young, _) = world.published().await;
    assert_eq!(clean(&Retention::NOTHING, 3).await, 2, "a job and a history");
    assert_eq!(clean(&Retention::NOTHING, 3).await, 0);
    assert!(told().await.is_empty());
    let none = world.backend.jobs.story(young.id()).await.expect("story");
    assert_eq!(none, None, "where none is kept, none is made");
}

/// A retention that is longer than time keeps everything.
pub async fn an_endless_retention_keeps_everything(backend: Backend) {
    let world = World::new(backend).await;
    world.published().await;
    let resolved = world.dead_letter().await;
    let applied = world.backend.control.resolve(resolved.id(), Resolution::Discarded).await;
    assert_eq!(applied.expect("resolve"), Controlled::Applied);
    let endless = Retention { ended: Duration::MAX, resolved: Duration::MAX, ..Retention::NOTHING };

    assert_eq!(world.backend.upkeep.clean(&endless, 100).await.expect("clean"), 0);
}
