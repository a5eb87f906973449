//! I1: an occurrence is planned at most once per account; an edit wins wholly or is refused.

#![allow(missing_docs, reason = "a test")]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/cuts.rs"]
mod cuts;
#[path = "support/scripted.rs"]
mod scripted;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backends::{Bench, Running, one_shot, over_backends, over_redis, tell, tolerance};
use chrono::{DateTime, TimeDelta, Utc};
use cuts::Cuts;
use postq::calendar::{At, Calendar};
use postq::core::backend::Backend;
use postq::core::content::{Content, Post};
use postq::core::error::{ErrorKind, ScheduleError, chain};
use postq::core::failure::{Failure, FailureClass};
use postq::core::id::{NodeId, PostId, ScheduleId};
use postq::core::job::{DedupeKey, Job};
use postq::core::lock::{DEDUPE_TTL, LockToken};
use postq::core::machine::JobState;
use postq::core::schedule::{ResolveRequest, Resolved, Resolver, Schedule, Timing};
use postq::core::store::{Edited, PlanRequest, ReplayKey, Replayed, Retention, ScheduleEdit};
use postq::engine::desk::{Desk, DeskError, When};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use scripted::{Act, Scripted, assert_all_out_once};
use test_servers::Postgres;
use tokio::task::JoinSet;
use tokio::time::Instant;

over_backends!(
    four_planners_make_exactly_one_job_of_each_of_ten_thousand,
    engines_that_come_and_go_plan_each_moment_once,
    a_planning_that_breaks_off_loses_nothing,
    a_lock_that_is_held_without_a_row_loses_and_delays_nothing,
    a_moment_that_is_out_is_never_planned_again,
    a_schedule_that_is_set_back_plans_nothing_again,
    a_thousand_races_of_a_change_against_the_publish,
);

over_redis!(a_frozen_redis_keeps_nobody_from_planning);

const SCHEDULES: usize = 10_000;

async fn plan_all(backend: Backend, node: NodeId) {
    let resolver: Arc<dyn Resolver> = Arc::new(Calendar::new());
    let request = PlanRequest::new(node);
    loop {
        let planned = backend.schedules.plan(&request, &resolver).await.expect("plan");
        if !planned.more && planned.jobs.is_empty() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn four_planners_make_exactly_one_job_of_each_of_ten_thousand(bench: Bench) {
    due_now(&bench, SCHEDULES).await;

    let zombie = NodeId::new();
    let mut planners = JoinSet::new();
    for backend in [bench.backend.clone(), bench.another().await] {
        // Two of the same name: a zombie and the one that took its place.
        planners.spawn(plan_all(backend.clone(), zombie));
        planners.spawn(plan_all(backend, NodeId::new()));
    }
    while let Some(planner) = planners.join_next().await {
        planner.expect("it plans");
    }

    assert_planned_once(&bench, SCHEDULES).await;
}

/// Schedules that are all due now, of one account.
async fn due_now(bench: &Bench, count: usize) -> Vec<Schedule> {
    let account = bench.account("a", "scripted").await;
    let post = bench.post(&["hello"]).await;
    let due = |_| one_shot(post.id, &[account.id], bench.now(), bench.now());
    let schedules: Vec<Schedule> = (0..count).map(due).collect();
    for chunk in schedules.chunks(1_000) {
        bench.backend.schedules.insert(chunk).await.expect("insert");
    }
    schedules
}

async fn assert_planned_once(bench: &Bench, count: usize) {
    let jobs = bench.jobs().await;
    let of: BTreeSet<_> = jobs.iter().filter_map(|job| job.made.schedule_id).collect();
    assert_eq!((jobs.len(), of.len()), (count, count));
}

/// Four planners whose connections are cut again and again: what was rolled back is planned again, what
/// was committed and not acknowledged is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planners_whose_connections_are_cut_make_exactly_one_job_of_each() {
    const COUNT: usize = 4_000;
    let (bench, cuts) = Cuts::at(Postgres::shared().url()).await;
    due_now(&bench, COUNT).await;
    let mut planners = JoinSet::new();
    for backend in [bench.backend.clone(), bench.another().await] {
        for _ in 0..2 {
            planners.spawn(plan_through_trouble(backend.clone()));
        }
    }

    let (mut cut, mut in_work) = (0, 0);
    while !planners.is_empty() {
        // The first ones at work, and then often enough that planning is cut more than once.
        tokio::time::sleep(Duration::from_millis(35)).await;
        let (all, working) = cuts.cut().await;
        (cut, in_work) = (cut + all, in_work + working);
        while let Some(planner) = planners.try_join_next() {
            planner.expect("it plans");
        }
    }

    assert!(in_work >= 3, "{cut} connections were cut, {in_work} in a transaction");
    assert_planned_once(&bench, COUNT).await;
}

/// Plans in small steps until nothing is left, whatever goes wrong on the way.
async fn plan_through_trouble(backend: Backend) {
    let resolver: Arc<dyn Resolver> = Arc::new(Calendar::new());
    let mut request = PlanRequest::new(NodeId::new());
    request.limit = 100;
    let begun = Instant::now();
    loop {
        match backend.schedules.plan(&request, &resolver).await {
            Ok(planned) if planned.next_at.is_none() && !planned.more => return,
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error)),
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it is never done");
    }
}

/// Resolves so many schedules, and breaks off at the next.
#[derive(Debug)]
struct BreaksOff {
    calendar: Calendar,
    left: AtomicUsize,
}

impl BreaksOff {
    fn after(count: usize) -> Arc<dyn Resolver> {
        Arc::new(Self { calendar: Calendar::new(), left: AtomicUsize::new(count) })
    }
}

impl Resolver for BreaksOff {
    fn next(
        &self,
        schedule: &Schedule,
        after: Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>, ScheduleError> {
        self.calendar.next(schedule, after)
    }

    fn resolve(
        &self,
        schedule: &Schedule,
        request: ResolveRequest,
    ) -> Result<Resolved, ScheduleError> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        assert!(left > 0, "a resolver that breaks off, as its test wants");
        self.calendar.resolve(schedule, request)
    }
}

async fn a_planning_that_breaks_off_loses_nothing(bench: Bench) {
    const COUNT: usize = 200;
    due_now(&bench, COUNT).await;
    let backend = bench.another().await;
    // The reference backend has no transactions: it keeps what it had planned wholly.
    let (afters, left): (&[usize], _) =
        if bench.is_paused() { (&[50], 50) } else { (&[0, 1, 50, COUNT - 1], 0) };
    for &after in afters {
        let backend = backend.clone();
        let planning = tokio::spawn(async move {
            let request = PlanRequest::new(NodeId::new());
            backend.schedules.plan(&request, &BreaksOff::after(after)).await.map(drop)
        });
        let broken = planning.await;
        assert!(!matches!(broken, Ok(Ok(()))), "it broke off after {after}: {broken:?}");
        assert!(bench.jobs().await.len() <= left, "rolled back, after {after}");
    }

    plan_all(backend, NodeId::new()).await;

    assert_planned_once(&bench, COUNT).await;
}

/// Somebody took the locks and ended before the jobs were made.
async fn a_lock_that_is_held_without_a_row_loses_and_delays_nothing(bench: Bench) {
    let accounts = bench.accounts(20, "scripted").await;
    let at = bench.now() + TimeDelta::seconds(1);
    let mut keys = Vec::new();
    for account in &accounts {
        let schedule = bench.say(&account.name, account, at).await;
        keys.push(DedupeKey::occurrence(schedule, at, account.id));
    }
    let held = bench.backend.lock.acquire(&keys, &LockToken::random(), DEDUPE_TTL).await;
    assert_eq!(held.expect("a lock"), vec![true; keys.len()]);
    let platform = Scripted::new("scripted", &bench);

    let _engine =
        Running::start(bench.engine_on(bench.another().await).platform(platform.shared()));
    let jobs = bench.rest(accounts.len()).await;

    assert_all_out_once(&bench, &platform, &jobs).await;
    let planned: BTreeSet<_> = jobs.iter().filter_map(|job| job.made.dedupe_key.clone()).collect();
    assert_eq!(planned, keys.into_iter().collect(), "these were the locks");
    let late = platform.live().iter().map(|live| live.created_at - at).max().expect("twenty");
    assert!(late < tolerance(), "{late} late");
}

/// Redis does not answer, from before the first planning on.
async fn a_frozen_redis_keeps_nobody_from_planning(bench: Bench) {
    let accounts = bench.accounts(20, "scripted").await;
    bench.redis().freeze();
    let platform = Scripted::new("scripted", &bench);
    let _nodes = [bench.another().await, bench.another().await]
        .map(|node| Running::start(bench.engine_on(node).platform(platform.shared())));
    let at = bench.now() + TimeDelta::seconds(3);
    for (n, account) in accounts.iter().enumerate() {
        bench.say(&account.name, account, at + TimeDelta::milliseconds(50) * n as i32).await;
    }

    let jobs = bench.rest(accounts.len()).await;

    bench.redis().resume();
    assert_all_out_once(&bench, &platform, &jobs).await;
    let planned = |job: &Job| Some(job.finished_at? - job.made.planned_at);
    let late = jobs.iter().filter_map(planned).max().expect("twenty");
    assert!(late < tolerance(), "{late} late");
}

async fn engines_that_come_and_go_plan_each_moment_once(bench: Bench) {
    let accounts = bench.accounts(4, "scripted").await;
    let ids: Vec<_> = accounts.iter().map(|account| account.id).collect();
    let anchor = bench.now();
    for n in 0..5 {
        let post = bench.post(&[&format!("post {n}")]).await;
        let every = Duration::from_secs(1);
        let timing = Timing::Interval { every, anchor, count: NonZeroU32::new(3), until: None };
        let schedule = Schedule {
            next_run_at: Some(anchor),
            grace: Duration::from_secs(7 * 86_400),
            ..Schedule::new(post.id, ids.clone(), timing, anchor)
        };
        bench.backend.schedules.insert(&[schedule]).await.expect("insert");
    }
    let platform = Scripted::new("scripted", &bench);
    let engine = async || bench.engine_on(bench.another().await).platform(platform.shared());

    let steady = Running::start(engine().await);
    for life in [1, 7, 30, 90, 300, 900] {
        let brief = Running::start(engine().await);
        tokio::time::sleep(Duration::from_millis(life)).await;
        if life % 2 == 0 { brief.stop().await } else { brief.crash().await }
    }
    let jobs = bench.rest(5 * 4 * 3).await;

    assert_eq!(jobs.len(), 5 * 4 * 3);
    assert_all_out_once(&bench, &platform, &jobs).await;
    drop(steady);
}

async fn a_moment_that_is_out_is_never_planned_again(bench: Bench) {
    let account = bench.account("a", "scripted").await;
    let post = bench.post(&["hello"]).await;
    let at = bench.now();
    let id = bench.once(post.id, &[account.id], at).await;
    let platform = Scripted::new("scripted", &bench);
    let _engine = Running::start(bench.engine().platform(platform.shared()));
    bench.rest(1).await;

    // Somebody switches it off and on, at the very moment that is out already.
    for enabled in [false, true] {
        let timing = Timing::OneShot { at, local: None };
        let edit = ScheduleEdit {
            timing: Some((timing, Some(at))),
            enabled: Some(enabled),
            ..ScheduleEdit::default()
        };
        let schedule = bench.backend.schedules.load(&[id]).await.expect("load").remove(0);
        let edited = bench.backend.schedules.edit(id, schedule.revision, &edit).await;
        assert_eq!(edited.expect("edit"), Edited::AlreadyPublishing, "it is out");
    }
    plan_all(bench.another().await, NodeId::new()).await;

    let jobs = bench.rest(1).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(platform.calls().len(), 1);
}

async fn a_schedule_that_is_set_back_plans_nothing_again(bench: Bench) {
    let account = bench.account("a", "scripted").await;
    let (post, anchor) = (bench.post(&["hello"]).await, bench.now());
    let every = Duration::from_secs(1);
    let timing = Timing::Interval { every, anchor, count: NonZeroU32::new(2), until: None };
    let schedule = Schedule {
        next_run_at: Some(anchor),
        ..Schedule::new(post.id, vec![account.id], timing.clone(), anchor)
    };
    let id = schedule.id;
    bench.backend.schedules.insert(&[schedule]).await.expect("insert");
    // The second one is refused at first; a person replays it.
    let platform = Scripted::new("scripted", &bench).scripted(|call| match call.n {
        1 => Act::refuse(Failure::not_published(FailureClass::Content, "not today")),
        _ => Act::good(),
    });
    let _engine = Running::start(bench.engine().platform(platform.shared()));
    let jobs = bench.rest(2).await;
    let dead = jobs.iter().find(|job| job.state == JobState::DeadLetter).expect("the second");
    // Somebody sets it back to where it began.
    let set_back = async |revision| {
        let edit = ScheduleEdit {
            timing: Some((timing.clone(), Some(anchor))),
            ..ScheduleEdit::default()
        };
        let edited = bench.backend.schedules.edit(id, revision, &edit).await.expect("edit");
        assert_eq!(edited, Edited::Applied { revision: revision + 1 });
        plan_all(bench.another().await, NodeId::new()).await;
    };

    set_back(1).await;
    assert_eq!(bench.jobs().await.len(), 2, "its job has the key");
    let replayed = bench.backend.control.replay(dead.id(), ReplayKey::Keep).await;
    assert!(matches!(replayed, Ok(Replayed::By(_))), "{replayed:?}");
    bench.rest(3).await;
    bench.backend.upkeep.clean(&Retention::NOTHING, 100).await.expect("clean");
    assert!(bench.jobs().await.is_empty(), "only the publications are left");
    set_back(2).await;
    let again = bench.jobs().await;
    assert!(again.is_empty(), "planned again: {again:?}");
    assert_eq!(platform.live().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_one_shot_that_is_out_is_not_moved() {
    let bench = Bench::memory();
    let account = bench.account("a", "scripted").await;
    let id = bench.say("hello", &account, bench.now()).await;
    let platform = Scripted::new("scripted", &bench);
    let engine = Running::start(bench.engine().platform(platform.shared()));
    bench.rest(1).await;

    // Somebody wanted it to go out later, and came a moment too late.
    let later = When::At(At::After(Duration::from_secs(60)));
    let moved = engine.engine.desk().reschedule(id, &later).await;
    tokio::time::sleep(Duration::from_secs(120)).await;

    assert_eq!(platform.live().len(), 1, "out again");
    moved.expect_err("it is out: nothing is left to be moved");
}

/// What somebody did to a post about the time at which it went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Edit,
    Move,
    Cancel,
}

/// A post, and what came of the change.
#[derive(Debug)]
struct Race {
    post: PostId,
    schedule: ScheduleId,
    text: String,
    change: Change,
    refused: bool,
    /// When the answer was there.
    told_at: DateTime<Utc>,
    moved_to: DateTime<Utc>,
}

const RACES: usize = 1_000;
/// Moved posts go out so much later: longer than any of a thousand calls at once takes.
const LATER: TimeDelta = TimeDelta::seconds(12);

async fn race(desk: Desk, mut race: Race, from_now: Duration) -> Race {
    tokio::time::sleep(from_now).await;
    let result = match race.change {
        Change::Edit => desk
            .edit_content(race.post, &Content::text(format!("new {}", race.text)))
            .await
            .map(drop),
        Change::Move => {
            let when = When::At(At::parse(&race.moved_to.to_rfc3339(), None).expect("a time"));
            desk.reschedule(race.schedule, &when).await.map(drop)
        }
        Change::Cancel => desk.cancel(race.post).await.map(drop),
    };
    race.refused = match result {
        Ok(()) => false,
        Err(DeskError::AlreadyPublishing(_)) => true,
        Err(other) => panic!("{:?}: {other}", race.change),
    };
    race.told_at = desk.backend().jobs.now().await.expect("the time");
    race
}

async fn a_thousand_races_of_a_change_against_the_publish(bench: Bench) {
    let accounts = bench.accounts(250, "scripted").await;
    let platform = Scripted::new("scripted", &bench).scripted(|call| Act {
        takes: Duration::from_millis(5 + call.n as u64 % 30),
        ..Act::good()
    });
    let engine = Running::start(bench.engine().platform(platform.shared()));
    let mut rng = SmallRng::seed_from_u64(10);
    let (mut races, desk) = (JoinSet::new(), engine.engine.desk());
    let start = bench.now() + TimeDelta::seconds(3);
    let mut posts: Vec<(Post, Schedule, Change, Duration)> = Vec::new();
    for n in 0..RACES {
        let content = Content::text(format!("race {n}"));
        let post = Post::new(content, bench.now());
        let at = start + TimeDelta::milliseconds(4 * n as i64);
        let schedule = one_shot(post.id, &[accounts[n % accounts.len()].id], at, bench.now());
        let change = [Change::Edit, Change::Move, Change::Cancel][n % 3];
        // Well before, about the claim, a quarter of a second before, or about the send.
        let near = [-400, -250, 0][rng.random_range(0..3)];
        let around = at + TimeDelta::milliseconds(near + rng.random_range(-40..60));
        posts.push((post, schedule, change, (around - bench.now()).to_std().expect("ahead")));
    }
    let (all, schedules): (Vec<_>, Vec<_>) =
        posts.iter().map(|(post, schedule, ..)| (post.clone(), schedule.clone())).unzip();
    bench.backend.posts.insert(&all).await.expect("posts");
    bench.backend.schedules.insert(&schedules).await.expect("schedules");
    for (post, schedule, change, from_now) in posts {
        let entered = Race {
            post: post.id,
            schedule: schedule.id,
            text: post.content.parts[0].text.clone(),
            change,
            refused: false,
            told_at: schedule.created_at,
            moved_to: schedule.next_run_at.expect("one shot") + LATER,
        };
        races.spawn(race(desk.clone(), entered, from_now));
    }
    let mut ran = Vec::new();
    while let Some(raced) = races.join_next().await {
        ran.push(raced.expect("an answer"));
    }
    tokio::time::sleep(LATER.to_std().expect("positive") + Duration::from_secs(1)).await;
    let jobs = bench.rest(RACES).await;

    for race in &ran {
        judge(&bench, &platform, race, &jobs).await;
    }
    let won = |change| ran.iter().filter(|race| race.change == change && !race.refused).count();
    let wins = [won(Change::Edit), won(Change::Move), won(Change::Cancel)];
    // How many depends on how fast the machine is; that both sides win does not.
    let all: usize = wins.iter().sum();
    let even = (50..RACES - 50).contains(&all);
    assert!(even, "a race that one side always wins proves nothing: {wins:?}");
}

async fn judge(bench: &Bench, platform: &Scripted, race: &Race, jobs: &[Job]) {
    let new = format!("new {}", race.text);
    let live = platform.live();
    let out = live.iter().filter(|live| live.text == race.text || live.text == new);
    let out: Vec<_> = out.collect();
    let jobs = jobs.iter().filter(|job| job.made.post_id == Some(race.post));
    // Ended before the answer was there: then the change came after the post was out.
    let ended_first = jobs.clone().any(|job| {
        job.state == JobState::Succeeded && job.finished_at.is_some_and(|at| at <= race.told_at)
    });
    // A move that came after the post was out is `a_one_shot_that_is_out_is_not_moved`.
    let most = if race.change == Change::Move && !race.refused && ended_first { 2 } else { 1 };
    let old_is_out = out.first().is_some_and(|live| live.text == race.text);
    let moved_early = || out.first().is_some_and(|live| live.created_at < race.moved_to);
    let wrong = match (race.change, race.refused) {
        _ if out.len() > most => Some("out twice"),
        (_, true) if !old_is_out => Some("refused, and not published"),
        (Change::Edit, false) if out.len() != 1 => Some("an edit loses nothing"),
        (Change::Edit, false) if old_is_out && !ended_first => {
            Some("edited, and the old text is out")
        }
        (Change::Move, false) if out.is_empty() => Some("a move loses nothing"),
        (Change::Move, false) if moved_early() && !ended_first => {
            Some("moved, and out at the old time")
        }
        (Change::Cancel, false) if !out.is_empty() && !ended_first => Some("called off, and out"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        let mut told = String::new();
        for job in jobs {
            told += &tell(&bench.story(job.id()).await);
        }
        panic!("{wrong}: {race:?}: {out:?}{told}");
    }
}
