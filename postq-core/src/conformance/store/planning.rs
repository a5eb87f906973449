//! The rules of planning, of [`ScheduleStore`](crate::store::ScheduleStore).

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::schedules::{jobs_of, load, once, plan, put};
use crate::account::Account;
use crate::backend::Backend;
use crate::clock::{Clock, SystemClock};
use crate::conformance::PATIENCE;
use crate::conformance::fixtures::{TestResolver, World, account, cut};
use crate::content::{Content, MediaRef, Part, Post};
use crate::feed::{Claim, Only, Settle};
use crate::id::JobId;
use crate::job::{DeadReason, DedupeKey, JobKind, NewJob, Topic};
use crate::machine::JobState;
use crate::retry::RetryDecision;
use crate::schedule::{Misfire, Schedule, Timing};
use crate::store::{
    Edited, FollowUp, MissedJob, PlanRequest, Planned, ReplayKey, Replayed, Retention, ScheduleEdit,
};

async fn plan_with(world: &World, request: &PlanRequest) -> Planned {
    world.backend.schedules.plan(request, &TestResolver::shared()).await.expect("plan")
}

async fn plan_all(world: &World) -> Planned {
    plan_with(world, &PlanRequest::new(world.node)).await
}

/// Nothing is left to plan, now or later.
async fn assert_idle(world: &World) {
    let Planned { jobs, missed, broken, more, next_at, .. } = plan_all(world).await;
    assert_eq!((jobs, missed, broken, more, next_at), (vec![], 0, vec![], false, None));
}

fn every(world: &World, seconds: u64, anchor: DateTime<Utc>, count: u32) -> Schedule {
    let every = Duration::from_secs(seconds);
    let timing = Timing::Interval { every, anchor, count: NonZeroU32::new(count), until: None };
    Schedule { timing, ..once(world, anchor) }
}

/// Planning is one transaction: occurrences within the look-ahead become `planned` jobs, one per
/// account, and `next_run_at` moves on.
pub async fn planning_makes_a_job_per_account(backend: Backend) {
    let world = World::new(backend).await;
    let other = account(&world.backend, "other").await;
    let start = world.at(10_000).await;
    // At 10, 30, 50 and 70 seconds from now: three of them within the minute.
    let schedule = Schedule {
        accounts: vec![world.account.id, other.id],
        priority: 7,
        ..every(&world, 20, start, 10)
    };
    put(&world.backend, std::slice::from_ref(&schedule)).await;

    let request = PlanRequest { max_attempts: 3, ..PlanRequest::new(world.node) };
    let planned = plan_with(&world, &request).await;

    let jobs = jobs_of(&world.backend, schedule.id).await;
    assert_eq!(jobs.len(), 6, "three occurrences, two accounts");
    let made: BTreeSet<JobId> = jobs.iter().map(|job| job.id()).collect();
    assert_eq!(planned.jobs.iter().copied().collect::<BTreeSet<_>>(), made);
    assert_eq!((planned.missed, planned.more), (0, false));
    assert!(planned.broken.is_empty());
    for (n, job) in jobs.iter().enumerate() {
        let at = start + TimeDelta::seconds(20 * (n as i64 / 2));
        let to = if job.made.account_id == Some(other.id) { &other } else { &world.account };
        assert_eq!((job.state, job.made.planned_at, job.run_at), (JobState::Planned, at, at));
        assert_eq!(job.made.kind, JobKind::publish());
        assert_eq!(job.made.topic, Topic::publish());
        assert_eq!(job.made.lane, Some(to.lane()));
        assert_eq!((job.made.priority, job.made.max_attempts), (7, 3));
        assert_eq!(job.made.post_id, Some(world.post.id));
        assert_eq!(job.made.tenant_id, schedule.tenant_id);
        let key = DedupeKey::occurrence(schedule.id, at, to.id);
        assert_eq!(job.made.dedupe_key, Some(key));
        assert_eq!(world.path(job.id()).await, [JobState::Planned]);
    }
    let after = load(&world.backend, schedule.id).await;
    assert_eq!(after.next_run_at, Some(start + TimeDelta::seconds(60)));
    assert_eq!(after.last_run_at, Some(start + TimeDelta::seconds(40)));
    assert_eq!(after.revision, 1, "planning is no edit");

    assert!(plan_all(&world).await.jobs.is_empty(), "nothing is left to plan");
    world.assert_nothing_to_claim().await;
}

/// A post with media is planned as far ahead as it needs to be prepared.
pub async fn media_is_planned_earlier(backend: Backend) {
    let world = World::new(backend).await;
    let picture = MediaRef { source: "cat.png".to_owned(), alt: None };
    let part = Part { text: "look".to_owned(), media: vec![picture] };
    let content = Content { parts: vec![part], ..Content::default() };
    let post = Post::new(content, SystemClock.now());
    world.backend.posts.insert(std::slice::from_ref(&post)).await.expect("insert");
    let at = world.at(1_800_000).await;
    let plain = once(&world, at);
    let with_media = Schedule { post_id: post.id, ..once(&world, at) };
    let much_later = Schedule { post_id: post.id, ..once(&world, at + TimeDelta::hours(1)) };
    put(&world.backend, &[plain.clone(), with_media.clone(), much_later.clone()]).await;

    let planned = plan_all(&world).await;

    assert_eq!(planned.jobs.len(), 1);
    assert_eq!(jobs_of(&world.backend, with_media.id).await.len(), 1);
    let next = at - PlanRequest::new(world.node).look_ahead;
    assert_eq!(planned.next_at, Some(next), "the plain one comes next");
}

/// However many plan at once, an occurrence becomes one job per account.
pub async fn planners_share_the_work(backend: Backend) {
    let world = World::new(backend).await;
    let other = account(&world.backend, "other").await;
    let start = world.at(1_000).await;
    let schedules: Vec<_> = (0..30)
        .map(|_| Schedule {
            accounts: vec![world.account.id, other.id],
            ..every(&world, 10, start, 3)
        })
        .collect();
    put(&world.backend, &schedules).await;
    let mut planners = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let world = world.clone();
        planners.spawn(async move {
            let mut made = 0;
            for _ in 0..20 {
                let request = PlanRequest { limit: 4, ..PlanRequest::new(world.node) };
                made += plan_with(&world, &request).await.jobs.len();
            }
            made
        });
    }

    let made: usize = planners.join_all().await.into_iter().sum();

    assert_eq!(made, 30 * 3 * 2, "each planner tells what it made itself");
    for schedule in &schedules {
        let jobs = jobs_of(&world.backend, schedule.id).await;
        let moments: BTreeSet<_> =
            jobs.iter().map(|job| (job.made.planned_at, job.made.account_id)).collect();
        assert_eq!((jobs.len(), moments.len()), (6, 6), "none twice, none left out");
    }
}

/// Gives a schedule that happens once, though it is no one-shot, its time again: a one-shot that is
/// out, or may be, cannot be moved.
async fn moved_back(world: &World, schedule: &Schedule, at: DateTime<Utc>) -> usize {
    move_back(world, schedule, at).await;
    plan_all(world).await.jobs.len()
}

async fn move_back(world: &World, schedule: &Schedule, at: DateTime<Utc>) {
    let timing = every(world, 3_600, at, 1).timing;
    let edit = ScheduleEdit { timing: Some((timing, Some(at))), ..ScheduleEdit::default() };
    let revision = load(&world.backend, schedule.id).await.revision;
    let edited = world.backend.schedules.edit(schedule.id, revision, &edit).await.expect("edit");
    assert!(matches!(edited, Edited::Applied { .. }), "{edited:?}");
}

/// A moment that was published is never planned again, though its job is gone.
pub async fn a_published_moment_is_never_planned_again(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    let schedule = every(&world, 3_600, at, 1);
    put(&world.backend, std::slice::from_ref(&schedule)).await;
    plan(&world).await;
    let job = world.take().await;
    world.send(&job, 0).await;
    world.apply(&job, Settle::Succeeded(Some(world.receipt(0).await))).await;

    assert_eq!(moved_back(&world, &schedule, at).await, 0, "its job has the key");

    assert_eq!(world.backend.upkeep.clean(&Retention::NOTHING, 10).await.expect("clean"), 1);
    assert_eq!(moved_back(&world, &schedule, at).await, 0, "its publication has the key");
    let other = at + TimeDelta::microseconds(1);
    assert_eq!(moved_back(&world, &schedule, other).await, 1, "another moment");
}

/// Nor is one that a replay published: its publication has the key of the moment, and no edit frees
/// it while the replay waits.
pub async fn a_replayed_moment_is_never_planned_again(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    let schedule = every(&world, 3_600, at, 1);
    put(&world.backend, std::slice::from_ref(&schedule)).await;
    plan(&world).await;
    let dead = world.take().await;
    world.send(&dead, 0).await;
    world.give_up(&dead, DeadReason::OutcomeUnknown).await;
    let clean = async || {
        world.backend.upkeep.clean(&Retention::NOTHING, 10).await.expect("clean up the letter")
    };
    let replay = async |id, key| match world.backend.control.replay(id, key).await {
        Ok(Replayed::By(replay)) => replay,
        other => panic!("it is not replayed: {other:?}"),
    };

    let sent_again = replay(dead.id(), ReplayKey::New).await;
    assert_eq!(clean().await, 1, "the first letter");
    assert_eq!(moved_back(&world, &schedule, at).await, 0, "taken back, its moment stays taken");
    assert_eq!(world.job_now(sent_again).await.state, JobState::Cancelled);

    let schedule = every(&world, 3_600, at, 1);
    put(&world.backend, std::slice::from_ref(&schedule)).await;
    plan(&world).await;
    let dead = world.take().await;
    world.give_up(&dead, DeadReason::Content).await;
    let replayed = replay(dead.id(), ReplayKey::Keep).await;
    let job = world.take().await;
    assert_eq!(job.id(), replayed);
    world.send(&job, 0).await;
    world.apply(&job, Settle::Succeeded(Some(world.receipt(0).await))).await;
    assert!(clean().await >= 2, "the letter and its replay");
    let out = world.backend.publications.of_jobs(&[replayed]).await.expect("publications");
    let key = DedupeKey::occurrence(schedule.id, at, world.account.id);
    assert_eq!(out[0].dedupe_key, Some(key), "that of the occurrence");
    assert_eq!(moved_back(&world, &schedule, at).await, 0, "its publication has the key");
}

/// A moment whose job had an intent is never planned again.
pub async fn a_moment_that_had_an_intent_is_never_planned_again(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    let schedule = every(&world, 3_600, at, 1);
    put(&world.backend, std::slice::from_ref(&schedule)).await;
    plan(&world).await;
    let job = world.take().await;
    world.send(&job, 0).await;
    let decision = RetryDecision::GiveUp(DeadReason::OutcomeUnknown);
    world.apply(&job, Settle::Failed(cut(), decision)).await;

    assert_eq!(moved_back(&world, &schedule, at).await, 0);
    assert_eq!(jobs_of(&world.backend, schedule.id).await.len(), 1);
}

/// What the resolver says is missed becomes a `cancelled` job, reason `missed`.
pub async fn missed_occurrences_are_recorded(backend: Backend) {
    let world = World::new(backend).await;
    let start = world.at(-3_600_000).await;
    let skipped = Schedule { misfire: Misfire::Skip, ..once(&world, start) };
    // 300 of them are missed, the latest one fires; 100 have a row, the oldest of them stands for
    // the rest.
    let many = every(&world, 1, start, 301);
    put(&world.backend, &[skipped.clone(), many.clone()]).await;

    let planned = plan_all(&world).await;

    assert_eq!(planned.missed, 301, "one of the first, 300 of the second");
    let jobs = jobs_of(&world.backend, skipped.id).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].reason.as_deref(), Some("missed"));
    assert!(jobs[0].finished_at.is_some());
    let path = world.path(jobs[0].id()).await;
    assert_eq!(path, [JobState::Planned, JobState::Cancelled]);
    let events = world.story(jobs[0].id()).await.events;
    assert_eq!(events[1].reason.as_deref(), Some("missed"));
    let jobs = jobs_of(&world.backend, many.id).await;
    assert_eq!(jobs.len(), 101);
    assert_eq!(jobs[0].reason.as_deref(), Some("missed, with 200 older ones"));
    assert_eq!(jobs[1].reason.as_deref(), Some("missed"));
    assert_eq!((jobs[99].state, jobs[100].state), (JobState::Cancelled, JobState::Planned));
    assert!(planned.jobs.contains(&jobs[100].id()));
    assert_idle(&world).await;
}

/// Notes what is missed in a job of its own.
#[derive(Debug)]
struct Noting;

impl FollowUp for Noting {
    fn of_missed(&self, missed: MissedJob<'_>) -> Option<NewJob> {
        let payload = serde_json::json!({
            "of": missed.job.dedupe_key,
            "account": missed.account,
            "platform": missed.platform,
            "reason": missed.reason,
        });
        Some(NewJob { payload, ..NewJob::new(JobKind::notify(), Topic::notify(), missed.now) })
    }
}

/// What follows from a missed job is made with it, once, and can be claimed.
pub async fn what_follows_from_a_missed_occurrence_is_made_with_it(backend: Backend) {
    let world = World::new(backend).await;
    let other = account(&world.backend, "other").await;
    let at = world.at(-3_600_000).await;
    let late = Schedule {
        misfire: Misfire::Skip,
        accounts: vec![world.account.id, other.id],
        ..once(&world, at)
    };
    let on_time = once(&world, world.at(0).await);
    put(&world.backend, &[late.clone(), on_time.clone()]).await;
    let mut request = PlanRequest::new(world.node);
    request.follow_up = Some(Arc::new(Noting));

    let planned = plan_with(&world, &request).await;
    plan_with(&world, &request).await;
    // The same moment again: its jobs are there, and so is what followed.
    move_back(&world, &late, at).await;
    plan_with(&world, &request).await;

    assert_eq!((planned.missed, planned.jobs.len()), (1, 1), "{planned:?}");
    let claim = Claim { topic: Topic::notify(), ..world.claim(10) };
    let claimed = world.claim_n(&claim, 2).await;
    let mut told: Vec<_> = claimed.iter().map(|job| job.made.payload.clone()).collect();
    told.sort_by_key(|told| told["account"].to_string());
    let expected = |account: &Account| {
        serde_json::json!({
            "of": DedupeKey::occurrence(late.id, at, account.id),
            "account": account.name,
            "platform": account.platform,
            "reason": "missed",
        })
    };
    let mut accounts = [expected(&world.account), expected(&other)];
    accounts.sort_by_key(|told| told["account"].to_string());
    assert_eq!(told, accounts);
}

/// A schedule that cannot be resolved is switched off with its problem, and holds nobody back.
pub async fn a_broken_schedule_blocks_nobody(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(1_000).await;
    let broken = Schedule { tz: Some("broken".to_owned()), ..once(&world, at) };
    let good = once(&world, at);
    let lonely = Schedule { accounts: vec![crate::id::AccountId::new()], ..once(&world, at) };
    put(&world.backend, &[broken.clone(), good.clone(), lonely.clone()]).await;

    let planned = plan_all(&world).await;

    assert_eq!(planned.jobs.len(), 1);
    assert_eq!(jobs_of(&world.backend, good.id).await.len(), 1);
    let ids: BTreeSet<_> = planned.broken.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, BTreeSet::from([broken.id, lonely.id]));
    for (id, problem) in &planned.broken {
        let kept = load(&world.backend, *id).await;
        assert!(!kept.enabled);
        assert_eq!(kept.problem.as_ref(), Some(problem));
    }
    let kept = load(&world.backend, broken.id).await;
    assert!(kept.problem.expect("it has one").contains("\"broken\" is no time zone"));
    assert_idle(&world).await;
}

/// `plan` with `only` plans only those.
pub async fn only_what_is_asked_for_is_planned(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(1_000).await;
    let (ours, theirs) = (once(&world, at), once(&world, at));
    put(&world.backend, &[ours.clone(), theirs.clone()]).await;
    let only = |only| PlanRequest { only, ..PlanRequest::new(world.node) };

    let none = plan_with(&world, &only(Only::Jobs(Arc::new(BTreeSet::from([JobId::new()]))))).await;
    assert_eq!(none.jobs, []);
    let none = plan_with(&world, &only(Only::Schedules(Arc::default()))).await;
    assert_eq!((none.jobs.len(), none.next_at), (0, None));
    let these = Only::Schedules(Arc::new(BTreeSet::from([ours.id])));
    let planned = plan_with(&world, &only(these)).await;

    assert_eq!(planned.jobs.len(), 1);
    assert_eq!(planned.next_at, None, "the others' moments are not ours");
    assert_eq!(jobs_of(&world.backend, ours.id).await.len(), 1);
    assert!(jobs_of(&world.backend, theirs.id).await.is_empty());
}

/// `Planned::next_at` is the next moment worth planning.
pub async fn planning_tells_the_next_moment(backend: Backend) {
    let world = World::new(backend).await;
    assert_eq!(plan_all(&world).await.next_at, None, "no schedule");

    let far = world.at(7_200_000).await;
    put(&world.backend, &[once(&world, far)]).await;
    let ahead = PlanRequest::new(world.node).look_ahead;
    assert_eq!(plan_all(&world).await.next_at, Some(far - ahead));

    let near = world.at(30_000).await;
    put(&world.backend, &[every(&world, 600, near, 2)]).await;
    let planned = plan_all(&world).await;
    assert_eq!(planned.jobs.len(), 1);
    let next = near + TimeDelta::seconds(600) - ahead;
    assert_eq!(planned.next_at, Some(next), "its next occurrence comes first");

    let off = Schedule { enabled: false, ..once(&world, near) };
    put(&world.backend, &[off]).await;
    assert_eq!(plan_all(&world).await.next_at, Some(next), "what is off does not count");
}

/// A schedule that is added or changed ends a wait of the planners; one that came before the mark
/// does not.
pub async fn a_new_schedule_wakes_the_planner(backend: Backend) {
    let world = World::new(backend).await;
    let far = world.at(7_200_000).await;
    let schedule = once(&world, far);
    let off = ScheduleEdit { enabled: Some(false), ..ScheduleEdit::default() };
    for step in 0..3 {
        let planned = plan_all(&world).await;
        assert!(planned.now <= world.now().await);
        let feed = world.backend.feed.clone();
        let until = world.at(600_000).await;
        let waiter =
            tokio::spawn(async move { feed.wait(&Topic::plan(), planned.mark, until).await });
        match step {
            0 => put(&world.backend, std::slice::from_ref(&schedule)).await,
            1 => {
                let edited = world.backend.schedules.edit(schedule.id, 1, &off).await;
                assert_eq!(edited.expect("edit"), Edited::Applied { revision: 2 });
            }
            _ => {
                let removed = world.backend.schedules.remove(schedule.id).await.expect("remove");
                assert!(matches!(removed, Edited::Applied { .. }));
            }
        }
        let ended = tokio::time::timeout(PATIENCE, waiter).await;
        ended.expect("the wait ends soon").expect("the waiter ends well").expect("wait");
    }
}

/// A limit cuts planning into pieces; `more` says that there is more to plan now.
pub async fn a_limit_cuts_planning_into_pieces(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(1_000).await;
    let schedules: Vec<_> = (0..5).map(|_| once(&world, at)).collect();
    put(&world.backend, &schedules).await;
    let request = PlanRequest { limit: 2, ..PlanRequest::new(world.node) };

    let mut pieces = Vec::new();
    for _ in 0..10 {
        let planned = plan_with(&world, &request).await;
        pieces.push(planned.jobs.len());
        if !planned.more {
            break;
        }
    }

    assert_eq!(pieces.iter().sum::<usize>(), 5);
    assert!(pieces.iter().all(|piece| *piece <= 2), "{pieces:?}");
    assert!(pieces.len() <= 4, "and it ends: {pieces:?}");
}

/// A schedule given between two microseconds is kept at the earlier one and planned like any other,
/// when it is made and when it is moved.
pub async fn a_moment_between_microseconds_is_planned(backend: Backend) {
    let world = World::new(backend).await;
    let whole = world.at(1_000).await.trunc_subsecs(6);
    let between = whole + TimeDelta::nanoseconds(789);
    let schedule = once(&world, between);
    put(&world.backend, std::slice::from_ref(&schedule)).await;
    assert_eq!(load(&world.backend, schedule.id).await.next_run_at, Some(whole));

    let later = between + TimeDelta::seconds(1);
    let timing = Timing::OneShot { at: later, local: None };
    let edit = ScheduleEdit { timing: Some((timing, Some(later))), ..ScheduleEdit::default() };
    let edited = world.backend.schedules.edit(schedule.id, 1, &edit).await.expect("edit");
    assert_eq!(edited, Edited::Applied { revision: 2 });
    let moved = load(&world.backend, schedule.id).await;
    assert_eq!(moved.next_run_at, Some(whole + TimeDelta::seconds(1)));

    assert_eq!(plan_all(&world).await.jobs.len(), 1);
    let jobs = jobs_of(&world.backend, schedule.id).await;
    assert_eq!(jobs[0].made.planned_at, whole + TimeDelta::seconds(1));
    let planned = load(&world.backend, schedule.id).await;
    assert_eq!(planned.last_run_at, Some(jobs[0].made.planned_at));
}

/// Planned jobs carry the correlation id of their schedule, whatever becomes of it later; without one
/// each has its own.
pub async fn planned_jobs_carry_what_asked_for_them(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(30_000).await;
    let asked = Schedule { correlation_id: Some("request-1".into()), ..once(&world, at) };
    let other = Schedule { ..once(&world, at + TimeDelta::seconds(1)) };
    let missed = world.at(-3_600_000).await;
    let late = Schedule {
        correlation_id: Some("request-2".into()),
        misfire: Misfire::Skip,
        ..once(&world, missed)
    };
    put(&world.backend, &[asked.clone(), other.clone(), late.clone()]).await;

    plan_all(&world).await;

    let of = async |schedule: &Schedule| {
        let jobs = jobs_of(&world.backend, schedule.id).await;
        assert_eq!(jobs.len(), 1);
        jobs[0].made.clone()
    };
    assert_eq!(of(&asked).await.correlation_id.as_str(), "request-1");
    assert_eq!(of(&late).await.correlation_id.as_str(), "request-2", "also of what is missed");
    let own = of(&other).await;
    assert_eq!(own.correlation_id.as_str(), own.id.to_string());

    let moved = ScheduleEdit { priority: Some(3), ..ScheduleEdit::default() };
    let edited = world.backend.schedules.edit(asked.id, 1, &moved).await.expect("edit");
    assert_eq!(edited, Edited::Applied { revision: 2 });
    plan_all(&world).await;
    let jobs = jobs_of(&world.backend, asked.id).await;
    assert_eq!(jobs.len(), 2, "taken back, and planned again");
    assert!(jobs.iter().all(|job| job.made.correlation_id.as_str() == "request-1"));
}
