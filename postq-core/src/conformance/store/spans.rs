//! The rules of the stores about what lies in a span of time.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::backend::Backend;
use crate::conformance::fixtures::{World, account, cut, plain_job, post, refused};
use crate::conformance::store::schedules::{jobs_of, once, plan, put};
use crate::feed::Settle;
use crate::id::{ScheduleId, TenantId};
use crate::job::{DeadReason, Job, NewJob};
use crate::retry::RetryDecision;
use crate::schedule::{Schedule, Timing};
use crate::store::{Controlled, Edited, ReplayKey, Replayed, Retention, ScheduleEdit};

const MICROSECOND: TimeDelta = TimeDelta::microseconds(1);

/// `planned_in` has the publish jobs that were planned for a time in the span, earliest first: but for those
/// that an edit took back, and letters in whose place a replay is.
pub async fn publish_jobs_are_found_by_their_time(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(60_000).await;
    let found = async |span: Range<DateTime<Utc>>, limit| {
        let jobs = world.backend.jobs.planned_in(TenantId::DEFAULT, &span, limit).await;
        jobs.expect("planned in").iter().map(Job::id).collect::<Vec<_>>()
    };
    let keyed = |key: &str, at| NewJob { dedupe_key: Some(key.into()), ..world.job(at) };
    let (late, early) = (keyed("a", at + MICROSECOND), keyed("b", at));
    let after = keyed("c", at + MICROSECOND * 2);
    let stranger = NewJob { tenant_id: TenantId::new(), ..world.job(at) };
    let other = plain_job(None, 0, at);
    world.insert(&[late.clone(), after.clone(), early.clone(), stranger, other]).await;

    let span = at..at + MICROSECOND * 2;
    assert_eq!(found(span.clone(), 10).await, [early.id, late.id], "from, and before until");
    assert_eq!(found(span.clone(), 1).await, [early.id], "the earliest");
    assert!(found(at..at, 10).await.is_empty(), "an empty span");
    assert!(found(at + MICROSECOND..at, 10).await.is_empty(), "a span the wrong way round");

    let cancelled = world.backend.control.cancel(early.id, "by a person").await.expect("cancel");
    assert_eq!(cancelled, Controlled::Applied);
    assert_eq!(found(span.clone(), 10).await, [early.id, late.id], "whatever became of it");

    let letter = world.dead_letter().await;
    let about = letter.made.planned_at..letter.made.planned_at + MICROSECOND;
    assert_eq!(found(about.clone(), 10).await, [letter.id()]);
    let replayed = world.backend.control.replay(letter.id(), ReplayKey::Keep).await;
    let Replayed::By(replay) = replayed.expect("replay") else { panic!("it is replayed") };
    assert_eq!(found(about, 10).await, [replay], "the replay is in its place");

    let schedule = once(&world, world.at(30_000).await);
    put(&world.backend, std::slice::from_ref(&schedule)).await;
    plan(&world).await;
    let planned = jobs_of(&world.backend, schedule.id).await[0].id();
    let moment = schedule.next_run_at.expect("it is to come");
    assert_eq!(found(moment..moment + MICROSECOND, 10).await, [planned]);
    let moved = moment + TimeDelta::minutes(5);
    assert!(matches!(give(&world, schedule.id, moved).await, Edited::Applied { .. }));
    assert!(found(moment..moment + MICROSECOND, 10).await.is_empty(), "an edit took it back");
}

/// `without_job` has those that came out in the span and whose job is gone, earliest first.
pub async fn a_publication_without_its_job_is_found_by_its_time(backend: Backend) {
    let world = World::new(backend).await;
    let (_, first) = world.published().await;
    let (_, second) = world.published().await;
    let found = async |tenant, span: Range<DateTime<Utc>>, limit| {
        let found = world.backend.publications.without_job(tenant, &span, limit).await;
        found.expect("without job").into_iter().map(|out| out.remote_id).collect::<Vec<_>>()
    };
    let (ours, span) = (TenantId::DEFAULT, first.published_at..second.published_at + MICROSECOND);
    assert!(first.published_at < second.published_at);
    assert!(found(ours, span.clone(), 10).await.is_empty(), "their jobs are there");

    world.backend.upkeep.clean(&Retention::NOTHING, 100).await.expect("clean");

    let both = [first.remote_id, second.remote_id];
    assert_eq!(found(ours, span.clone(), 10).await, both);
    assert_eq!(found(ours, span.clone(), 1).await, both[..1], "the earliest");
    let before = span.start..second.published_at;
    assert_eq!(found(ours, before, 10).await, both[..1]);
    assert!(found(TenantId::new(), span, 10).await.is_empty());
}

/// `coming` has the enabled schedules whose next occurrence is in the span, and those that repeat and whose
/// next one is before it; earliest first.
pub async fn what_is_coming_is_found_by_its_time(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(3_600_000).await;
    let hour = TimeDelta::hours(1);
    let repeating = |at: DateTime<Utc>| {
        let timing = Timing::Interval {
            every: Duration::from_secs(60),
            anchor: at,
            count: None,
            until: None,
        };
        Schedule { timing, ..once(&world, at) }
    };
    let with_media = post(&world.backend, "with media").await;
    let mut content = with_media.content.clone();
    content.parts[0].media.push(crate::content::MediaRef { source: "a.png".to_owned(), alt: None });
    let edited = world.backend.posts.edit(with_media.id, 1, &content).await.expect("edit");
    assert_eq!(edited, Edited::Applied { revision: 2 });
    let (first, last) = (once(&world, at), once(&world, at + hour - MICROSECOND));
    let prepared = Schedule { post_id: with_media.id, ..once(&world, at + MICROSECOND) };
    let (begun, begins) = (repeating(at - hour), repeating(at + MICROSECOND * 2));
    let others = [
        once(&world, at - MICROSECOND),
        once(&world, at + hour),
        repeating(at + hour),
        Schedule { enabled: false, ..once(&world, at) },
        Schedule { enabled: false, ..repeating(at - hour) },
        Schedule { next_run_at: None, ..repeating(at) },
        Schedule { tenant_id: TenantId::new(), ..once(&world, at) },
        Schedule { tenant_id: TenantId::new(), ..repeating(at - hour) },
    ];
    let all = [last.clone(), begins.clone(), prepared.clone(), first.clone(), begun.clone()];
    put(&world.backend, &[&all[..], &others[..]].concat()).await;
    let coming = async |limit| {
        let span = at..at + hour;
        let coming = world.backend.schedules.coming(TenantId::DEFAULT, &span, limit).await;
        coming.expect("coming").iter().map(|schedule| schedule.id).collect::<Vec<_>>()
    };

    let expected = [begun.id, first.id, prepared.id, begins.id, last.id];
    assert_eq!(coming(100).await, expected);
    assert_eq!(coming(3).await, expected[..3], "the earliest");
    let span = at..at + MICROSECOND;
    let whole = world.backend.schedules.coming(TenantId::DEFAULT, &span, 10).await;
    assert_eq!(whole.expect("coming"), [begun, first], "as they are");
}

/// `movable` answers exactly those for which an edit with new timing would take effect now.
pub async fn what_an_edit_would_move_is_movable(backend: Backend) {
    let world = World::new(backend).await;
    let soon = world.at(30_000).await;
    let later = world.at(3_600_000).await;
    let mut cases: Vec<(&str, ScheduleId, bool)> = Vec::new();
    // Each of an account of its own, sent and settled so; then all are asked for at once.
    let out = || async { Settle::Succeeded(Some(world.receipt(0).await)) };
    let sent = async |name: &str, settle: Settle| {
        let world = World { account: account(&world.backend, name).await, ..world.clone() };
        let schedule = once(&world, world.at(-1_000).await);
        put(&world.backend, std::slice::from_ref(&schedule)).await;
        plan(&world).await;
        let job = world.take().await;
        world.send(&job, 0).await;
        world.apply(&job, settle).await;
        schedule.id
    };
    let cleaned = sent("a", out().await).await;
    world.backend.upkeep.clean(&Retention::NOTHING, 100).await.expect("clean");
    assert!(jobs_of(&world.backend, cleaned).await.is_empty());
    cases.push(("it is out, its job gone", cleaned, false));
    cases.push(("it is out", sent("b", out().await).await, false));
    let again = RetryDecision::RetryAt(later);
    let cut_off = sent("c", Settle::Failed(cut(), again)).await;
    cases.push(("it may be out, and waits", cut_off, false));
    let given_up = RetryDecision::GiveUp(DeadReason::OutcomeUnknown);
    let letter = sent("d", Settle::Failed(cut(), given_up)).await;
    cases.push(("it has given up, and may be out", letter, false));
    let waiting = sent("e", Settle::Failed(refused(), again)).await;
    cases.push(("it was refused, and waits", waiting, true));

    let first = world.at(-500).await;
    let repeating = Schedule {
        timing: Timing::Interval {
            every: Duration::from_secs(1),
            anchor: first,
            count: std::num::NonZeroU32::new(1),
            until: None,
        },
        ..once(&world, first)
    };
    put(&world.backend, std::slice::from_ref(&repeating)).await;
    plan(&world).await;
    let job = world.take().await;
    world.send(&job, 0).await;
    world.apply(&job, Settle::Succeeded(Some(world.receipt(0).await))).await;
    cases.push(("one of several is out", repeating.id, true));

    let (planned, coming) = (once(&world, soon), once(&world, later));
    put(&world.backend, &[planned.clone(), coming.clone()]).await;
    plan(&world).await;
    cases.push(("it is planned", planned.id, true));
    cases.push(("it is to come", coming.id, true));
    cases.push(("there is none", ScheduleId::new(), false));

    let due = once(&world, world.at(-1_000).await);
    put(&world.backend, std::slice::from_ref(&due)).await;
    plan(&world).await;
    assert_eq!(world.take().await.made.schedule_id, Some(due.id));
    cases.push(("it runs", due.id, false));

    let ids: Vec<ScheduleId> = cases.iter().map(|(_, id, _)| *id).collect();
    let movable = world.backend.schedules.movable(&ids).await.expect("movable");
    for (what, id, expected) in cases {
        assert_eq!(movable.contains(&id), expected, "{what}");
        let edited = give(&world, id, later + TimeDelta::hours(1)).await;
        assert_eq!(matches!(edited, Edited::Applied { .. }), expected, "{what}: {edited:?}");
    }
    assert!(world.backend.schedules.movable(&[]).await.expect("movable").is_empty());
}

/// Gives a schedule another time.
async fn give(world: &World, id: ScheduleId, at: DateTime<Utc>) -> Edited {
    let found = world.backend.schedules.load(&[id]).await.expect("load").pop();
    let (revision, timing) = match found {
        Some(Schedule { revision, timing: Timing::OneShot { .. }, .. }) => {
            (revision, Timing::OneShot { at, local: None })
        }
        Some(schedule) => (schedule.revision, schedule.timing),
        None => (1, Timing::OneShot { at, local: None }),
    };
    let edit = ScheduleEdit { timing: Some((timing, Some(at))), ..ScheduleEdit::default() };
    world.backend.schedules.edit(id, revision, &edit).await.expect("edit")
}
