//! What the store does beyond the published suites.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use postq_core::conformance::fixtures::{TestResolver, World, account_of, plain_job};
use postq_core::content::{Content, Post};
use postq_core::feed::{Deferral, Only, Settle};
use postq_core::id::{JobId, NodeId, TenantId};
use postq_core::intent::{Intent, IntentAnswer};
use postq_core::job::{Applied, DeadReason, Topic};
use postq_core::limiter::{Rate, Take};
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::{JobFilter, Page, PlanRequest, ReplayKey, Replayed, Retention};
use test_servers::Postgres;
use tokio::task::JoinSet;

use crate::support::{Fresh, admin, settled};

/// Nothing here may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Jobs go at once and leave their history.
const HISTORY_KEPT: Retention =
    Retention { history: Duration::from_secs(3_600), ..Retention::NOTHING };

/// Two nodes that find one post for two accounts of an identity in the same moment: one of them has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_settle_at_once_share_no_remote_id() {
    let fresh = Fresh::open().await;
    let other = fresh.another().await;
    let world = World::new(fresh.store.backend()).await;
    for round in 0..20 {
        let who = format!("ann of round {round}");
        let mut settling = JoinSet::new();
        let (taken, mut ready) = (world.receipt(0).await, Vec::new());
        for (n, store) in [&fresh.store, &other.store].into_iter().enumerate() {
            let account = account_of(&world.backend, "test", &who).await;
            let world = World { backend: store.backend(), ..world.of(account) };
            let job = world.running().await;
            let intent = Intent { text: format!("text {n}"), ..world.intent(&job, 0) };
            assert!(matches!(world.ask_with(&intent).await, IntentAnswer::Recorded(_)));
            ready.push((world, job));
        }

        for (world, job) in ready {
            let found = Settle::Succeeded(Some(taken.clone()));
            settling.spawn(async move { world.settle(&job, found).await });
        }

        let answers: BTreeSet<_> =
            settling.join_all().await.iter().map(|one| format!("{one:?}")).collect();
        let one_of_each = BTreeSet::from(["Applied".to_owned(), "Stale".to_owned()]);
        assert_eq!(answers, one_of_each, "round {round}");
    }
}

/// With two connections and a hundred callers at once, who insert, plan, claim, settle and list, work
/// slows and nothing fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_pool_makes_work_wait() {
    let fresh = Fresh::open_with(|config| config.with_connections(2)).await;
    let world = World::new(fresh.store.backend()).await;
    let at = world.at(-1_000).await;
    let mut callers = JoinSet::new();
    for n in 0..100 {
        let world = world.clone();
        callers.spawn(async move {
            let lane = format!("x/{n}");
            let job = plain_job((n % 2 == 0).then_some(lane.as_str()), 0, at);
            world.insert(std::slice::from_ref(&job)).await;
            let timing = Timing::OneShot { at, local: None };
            let schedule = Schedule::new(world.post.id, vec![world.account.id], timing, at);
            let schedule = Schedule { next_run_at: Some(at), ..schedule };
            world.backend.schedules.insert(&[schedule]).await.expect("insert a schedule");
            let planned = plan(&world).await;
            let claim = world.claim(3);
            let claimed = world.claim_now(&claim).await;
            let batch: Vec<_> =
                claimed.iter().map(|claimed| settled(&claim, claimed.job.held())).collect();
            let answers = world.backend.feed.settle(&batch).await.expect("settle");
            assert!(answers.iter().all(|answer| *answer == Applied::Applied));
            let (all, page) = (JobFilter::default(), Page::first(20));
            let jobs = world.backend.jobs.list(TenantId::DEFAULT, &all, page).await;
            assert!(!jobs.expect("list jobs").is_empty());
            let posts = world.backend.posts.list(TenantId::DEFAULT, page).await;
            assert_eq!(posts.expect("list posts").len(), 1);
            (claimed.into_iter().map(|claimed| claimed.job.id()).collect::<Vec<_>>(), planned)
        });
    }

    let (done, planned): (Vec<_>, Vec<_>) = callers.join_all().await.into_iter().unzip();

    let (done, planned) = (done.concat(), [planned.concat(), plan(&world).await].concat());
    let once: BTreeSet<JobId> = done.iter().chain(&planned).copied().collect();
    assert_eq!(once.len(), done.len() + planned.len(), "none twice");
    assert_eq!(planned.len(), 100, "each schedule is planned");
    let rest = world.claim_n(&world.claim(100), 100 - done.len()).await;
    assert_eq!(rest.len() + done.len(), 100, "none lost");
}

async fn plan(world: &World) -> Vec<JobId> {
    let request = PlanRequest::new(world.node);
    let planned = world.backend.schedules.plan(&request, &TestResolver::shared()).await;
    planned.expect("plan").jobs
}

/// A text with a NUL character, which Postgres does not know, stops nobody: what comes from outside is
/// kept without it, and what a person wrote comes back as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_characters_stop_nobody() {
    let fresh = Fresh::open().await;
    let world = World::new(fresh.store.backend()).await;
    let post = postq_core::conformance::fixtures::post(&world.backend, "a\0b").await;
    let loaded = world.backend.posts.load(&[post.id]).await.expect("load");
    assert_eq!(loaded, [post]);
    let job = world.sending().await;
    let mut receipt = world.receipt(0).await;
    receipt.remote_id.push('\0');
    let mut settlement = world.settlement(&job, Settle::Succeeded(Some(receipt)));
    settlement.reason = Some("said \0 and \u{FFFF}".to_owned());

    for _ in 0..2 {
        assert_eq!(world.settle_with(settlement.clone()).await, Applied::Applied);
    }

    let admin = admin(Postgres::shared().url()).await;
    let events = format!("SELECT count(*) FROM \"{}\".job_events", fresh.schema);
    let events: i64 = admin.query_one(&events, &[]).await.expect("the view can be read").get(0);
    assert_eq!(events, 4);
}

/// Many takers of one bucket at once, on two nodes: the rate is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_a_bucket() {
    let ours = Fresh::open().await;
    let theirs = ours.another().await;
    let rate = Rate::per_minute(60.try_into().unwrap());
    let not_before = ours.store.backend().jobs.now().await.expect("now") + TimeDelta::hours(1);
    let mut takers = JoinSet::new();
    for n in 0..40 {
        let backend = if n % 2 == 0 { ours.store.backend() } else { theirs.store.backend() };
        let take = Take { key: "x/".to_owned(), rate, not_before };
        takers.spawn(async move { backend.limiter.take(&take).await.expect("take") });
    }

    let mut slots = takers.join_all().await;

    slots.sort_unstable();
    assert!(slots.windows(2).all(|two| two[1] - two[0] == TimeDelta::seconds(1)), "{slots:?}");
}

/// What an embedder schedules in its own transaction is there with its own rows, or not at all; the
/// commit wakes planners.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_are_committed_with_the_callers_rows() {
    let fresh = Fresh::open().await;
    let world = World::new(fresh.store.backend()).await;
    let mut own = admin(Postgres::shared().url()).await;
    let table = format!("\"{}\".orders", fresh.schema);
    own.batch_execute(&format!("CREATE TABLE {table} (n integer)")).await.expect("a table");
    let at = world.at(1_000).await;
    let request = PlanRequest::new(world.node);
    for commit in [false, true] {
        let post = Post::new(Content::text("an order"), at);
        let timing = Timing::OneShot { at, local: None };
        let schedule = Schedule::new(post.id, vec![world.account.id], timing, at);
        let schedule = Schedule { next_run_at: Some(at), ..schedule };
        let plan = async || {
            let planned = world.backend.schedules.plan(&request, &TestResolver::shared()).await;
            planned.expect("plan")
        };
        let before = plan().await;
        let (topic, until) = (Topic::plan(), before.now + TimeDelta::seconds(600));

        let transaction = own.transaction().await.expect("begin");
        transaction.batch_execute(&format!("INSERT INTO {table} VALUES (1)")).await.expect("ours");
        fresh.store.schedule_in(&transaction, &[post], &[schedule]).await.expect("schedule");
        if commit {
            transaction.commit().await.expect("commit");
            let waiting = world.backend.feed.wait(&topic, before.mark, until);
            let woken = tokio::time::timeout(Duration::from_secs(5), waiting).await;
            woken.expect("planners are woken").expect("wait");
        } else {
            transaction.rollback().await.expect("rollback");
        }

        assert_eq!(plan().await.jobs.len(), usize::from(commit));
        let rows = own.query(&format!("SELECT FROM {table}"), &[]).await.expect("ours");
        assert_eq!(rows.len(), usize::from(commit));
    }
}

/// A job with a long life keeps all of its story.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_story_is_kept() {
    let fresh = Fresh::open().await;
    let world = World::new(fresh.store.backend()).await;
    let mut job = world.running().await;
    for n in 0..60 {
        let soon = world.now().await;
        let mut settlement = world.settlement(&job, Settle::Deferred(soon, Deferral::Wait));
        settlement.reason = Some(format!("{n} {}", "long words ".repeat(10)));
        assert_eq!(world.settle_with(settlement).await, Applied::Applied);
        job = world.take().await;
    }

    let path = world.path(job.id()).await;

    assert_eq!(path.len(), 3 + 2 * 60);
    let admin = admin(Postgres::shared().url()).await;
    let events = format!(
        "SELECT to_state, seq FROM \"{}\".job_events WHERE job_id = '{}' ORDER BY seq",
        fresh.schema,
        job.id()
    );
    let events = admin.query(&events, &[]).await.expect("the view can be read");
    let told: Vec<String> = events.iter().map(|row| row.get(0)).collect();
    assert_eq!(told, path.iter().map(ToString::to_string).collect::<Vec<_>>());
    let old = format!("SELECT FROM \"{}\".old_trails", fresh.schema);
    assert!(admin.query(&old, &[]).await.expect("old trails").len() > 1, "it was long enough");
    world.apply(&job, Settle::Succeeded(None)).await;
    let before = world.story(job.id()).await;
    assert_eq!(world.backend.upkeep.clean(&HISTORY_KEPT, 10).await.expect("clean"), 1);
    assert!(admin.query(&old, &[]).await.expect("old trails").is_empty(), "it goes with the job");
    assert_eq!(world.story(job.id()).await, before, "all of it is in its history");
}

/// A story that cannot be read is lost when its job is cleaned up, and takes no other with it.
#[tokio::test]
async fn a_broken_story_holds_up_no_cleaning() {
    let fresh = Fresh::open().await;
    let world = World::new(fresh.store.backend()).await;
    let admin = admin(Postgres::shared().url()).await;
    let mut done = Vec::new();
    for _ in 0..4 {
        done.push(world.published().await.0.id());
    }
    let before = world.story(done[3]).await;
    let ways = [
        ("job", "payload = '{broken'", "id"),
        ("ended", "trail = '[broken'", "job_id"),
        ("evidence", "part = 70000", "root"),
    ];
    for ((table, set, key), id) in ways.into_iter().zip(&done) {
        let sql = format!("UPDATE \"{}\".{table} SET {set} WHERE {key} = '{id}'", fresh.schema);
        assert_eq!(admin.execute(&sql, &[]).await.expect("break it"), 1);
    }

    assert_eq!(world.backend.upkeep.clean(&HISTORY_KEPT, 10).await.expect("clean"), 4);

    for id in &done[..3] {
        assert_eq!(world.backend.jobs.story(*id).await.expect("story"), None, "{id}");
    }
    assert_eq!(world.story(done[3]).await, before);
}

/// What cannot be read is set aside with the reason, wherever it turns up, and holds back nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_rows_hold_back_nobody() {
    let fresh = Fresh::open().await;
    let world = World::new(fresh.store.backend()).await;
    let admin = admin(Postgres::shared().url()).await;
    admin.batch_execute(&format!("SET search_path TO \"{}\"", fresh.schema)).await.expect("schema");
    let at = world.at(-1_000).await;
    let lanes = [None, Some("x/a"), Some("x/b")];
    let bad = lanes.map(|lane| plain_job(lane, 9, at));
    let good = lanes.map(|lane| plain_job(lane, 0, at));
    world.insert(&bad).await;
    world.insert(&good).await;
    let break_job = async |id: JobId| {
        let sql = "UPDATE job SET payload = '{broken' WHERE id::text = $1";
        assert_eq!(admin.execute(sql, &[&id.to_string()]).await.expect("break it"), 1);
    };
    for job in &bad {
        break_job(job.id).await;
    }
    let dead = async |id: JobId| {
        let sql =
            "SELECT reason, trail FROM ended WHERE job_id::text = $1 AND state = 'dead_letter'";
        let rows = admin.query(sql, &[&id.to_string()]).await.expect("look");
        assert_eq!(rows.len(), 1, "{id} is a dead letter");
        let (reason, trail): (String, String) = (rows[0].get(0), rows[0].get(1));
        assert!(reason.starts_with("its row cannot be read: column \"payload\""), "{reason}");
        assert!(trail.contains("dead_letter"), "{trail}");
    };

    let got = world.claim_n(&world.claim(10), 3).await;

    let ids: BTreeSet<JobId> = got.iter().map(|job| job.id()).collect();
    assert_eq!(ids, good.iter().map(|job| job.id).collect());
    for job in &bad {
        dead(job.id).await;
    }
    for job in &got {
        world.apply(job, Settle::Succeeded(None)).await;
    }

    let expiring = world.due_job().await;
    let held = world.take_leased(Duration::from_millis(100)).await.job;
    break_job(expiring.id).await;
    let begun = Instant::now();
    while world.backend.upkeep.expire(10).await.expect("expire").is_empty() {
        assert!(begun.elapsed() < PATIENCE, "its lease ends");
    }
    dead(held.id()).await;

    let timing = Timing::OneShot { at, local: None };
    let schedule = Schedule::new(world.post.id, vec![world.account.id], timing, at);
    let schedule = Schedule { next_run_at: Some(at), ..schedule };
    world.backend.schedules.insert(&[schedule]).await.expect("insert");
    let planned =
        world.backend.schedules.plan(&PlanRequest::new(world.node), &TestResolver::shared()).await;
    let planned = planned.expect("plan").jobs;
    break_job(planned[0]).await;
    assert!(world.backend.upkeep.dispatch(&Only::Any, 10).await.expect("dispatch").is_empty());
    dead(planned[0]).await;

    let sent = world.sending().await;
    let soon = world.now().await;
    world.apply(&sent, Settle::Deferred(soon, Deferral::Wait)).await;
    let odd = "UPDATE evidence SET state = 'odd' WHERE root::text = $1";
    admin.execute(odd, &[&sent.id().to_string()]).await.expect("break it");
    world.assert_nothing_to_claim().await;
    let state = "SELECT state FROM jobs WHERE id::text = $1";
    let state = admin.query_one(state, &[&sent.id().to_string()]).await.expect("look");
    assert_eq!(state.get::<_, String>(0), "dead_letter");
    let after = world.due_job().await;
    assert_eq!(world.take().await.id(), after.id, "the lane is free");
}

/// What a lane's row tells is so, however many change at once what waits and runs in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_tell_the_truth() {
    let ours = Fresh::open().await;
    let theirs = ours.another().await;
    let world = World::new(ours.store.backend()).await;
    let at = world.at(-10_000).await;
    let mut workers = JoinSet::new();
    for n in 0..8_u64 {
        let store = if n % 2 == 0 { &ours.store } else { &theirs.store };
        let world = World { backend: store.backend(), node: NodeId::new(), ..world.clone() };
        workers.spawn(async move {
            for step in 0..25_u64 {
                let lane = format!("x/{}", (n + step) % 3);
                let late =
                    TimeDelta::milliseconds(i64::try_from((n * 7 + step * 13) % 50).unwrap_or(0));
                let job = plain_job(Some(&lane), (step % 2) as i16, at + late);
                world.insert(std::slice::from_ref(&job)).await;
                let claimed = world.claim_now(&world.claim(2)).await;
                for claimed in &claimed {
                    let soon = claimed.job.run_at;
                    let settle = match step % 3 {
                        0 => Settle::Deferred(soon, Deferral::Wait),
                        _ => Settle::Succeeded(None),
                    };
                    world.apply(&claimed.job, settle).await;
                }
                if step % 5 == 0 {
                    // Claimed meanwhile, it is refused.
                    let _ = world.backend.control.cancel(job.id, "raced").await.expect("cancel");
                }
            }
        });
    }
    workers.join_all().await;

    let admin = admin(Postgres::shared().url()).await;
    let untrue = format!(
        "SELECT l.name, l.running, l.head::text, h.job_id::text
         FROM \"{0}\".lanes l LEFT JOIN LATERAL (
             SELECT job_id FROM \"{0}\".due WHERE lane_id = l.id
             ORDER BY rank, planned_at, job_id LIMIT 1) h ON true
         WHERE NOT l.free AND (l.head IS DISTINCT FROM h.job_id OR l.running <> (
             SELECT count(*) FROM \"{0}\".running WHERE lane_id = l.id))",
        ours.schema
    );
    let untrue = admin.query(&untrue, &[]).await.expect("look");
    assert!(untrue.is_empty(), "{untrue:?}");
    let waiting = format!("SELECT count(*) FROM \"{}\".due", ours.schema);
    let waiting: i64 = admin.query_one(&waiting, &[]).await.expect("count").get(0);
    let mut left = usize::try_from(waiting).expect("not negative");
    while left > 0 {
        let claimed = world.claim_now(&world.claim(10)).await;
        assert!(!claimed.is_empty(), "{left} are left");
        left -= claimed.len();
        for claimed in claimed {
            world.apply(&claimed.job, Settle::Succeeded(None)).await;
        }
    }
}

/// Holds what a statement locks, and sees who waits for it.
struct Holder {
    holder: tokio_postgres::Client,
    looker: tokio_postgres::Client,
    schema: String,
}

impl Holder {
    async fn of(schema: &str, statement: &str) -> Self {
        let url = Postgres::shared().url();
        let (holder, looker) = (admin(url).await, admin(url).await);
        let lock = format!("SET search_path TO \"{schema}\"; BEGIN; {statement}");
        holder.batch_execute(&lock).await.expect("lock");
        Self { holder, looker, schema: schema.to_owned() }
    }

    /// Waits until so many of the schema wait for locks.
    async fn until_waiting(&self, n: i64) {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%'";
        let begun = Instant::now();
        loop {
            let row = self.looker.query_one(waiting, &[&self.schema]).await.expect("look");
            if row.get::<_, i64>(0) >= n {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{n} wait");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn let_go(&self) {
        self.holder.batch_execute("COMMIT").await.expect("let them go");
    }
}

/// Two that change a lane in the same moment see what the other has done: its head is the first of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_has_one_head_whoever_comes_first() {
    let fresh = Fresh::open().await;
    let world = World::new(fresh.store.backend()).await;
    let at = world.at(-1_000).await;
    world.insert(&[plain_job(Some("x/a"), 0, at)]).await;
    let looker = admin(Postgres::shared().url()).await;
    let head = format!("SELECT head::text FROM \"{}\".lanes WHERE name = 'x/a'", fresh.schema);
    for (round, urgent_first) in [(1, true), (2, false)] {
        let urgent = plain_job(Some("x/a"), 10 * round, at);
        let other = plain_job(Some("x/a"), 10 * round - 1, at);
        let order = if urgent_first { [&urgent, &other] } else { [&other, &urgent] };
        let lock = "SELECT FROM lanes WHERE name = 'x/a' FOR UPDATE";
        let holder = Holder::of(&fresh.schema, lock).await;

        let mut inserting = JoinSet::new();
        for (n, job) in (1..).zip(order) {
            let (world, job) = (world.clone(), job.clone());
            inserting.spawn(async move { world.insert(&[job]).await });
            holder.until_waiting(n).await;
        }
        holder.let_go().await;
        inserting.join_all().await;

        let head: String = looker.query_one(&head, &[]).await.expect("look").get(0);
        assert_eq!(
            head,
            urgent.id.to_string(),
            "the most urgent one, came it first: {urgent_first}"
        );
    }
}

/// A receipt that a stale worker brings is kept, whatever a replay settles in the same moment: they are
/// two jobs of one line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_receipt_is_not_overwritten() {
    let fresh = Fresh::open().await;
    let world = World::new(fresh.store.backend()).await;
    let admin = admin(Postgres::shared().url()).await;
    world.due_job().await;
    let stale = world.take().await;
    world.send(&stale, 0).await;
    let end_leases = format!("UPDATE \"{}\".running SET lease_until = now()", fresh.schema);
    admin.batch_execute(&end_leases).await.expect("end the lease");
    world.expire(stale.id()).await;
    let second = world.take().await;
    world.give_up(&second, DeadReason::OutcomeUnknown).await;
    let replayed = world.backend.control.replay(stale.id(), ReplayKey::Keep).await;
    assert!(matches!(replayed, Ok(Replayed::By(_))), "{replayed:?}");
    let job = world.take().await;
    let (receipt, soon) = (world.receipt(0).await, world.now().await);
    let holder = Holder::of(&fresh.schema, "SELECT FROM evidence FOR UPDATE").await;

    let late = tokio::spawn({
        let (world, receipt) = (world.clone(), receipt.clone());
        async move { world.settle(&stale, Settle::Part(receipt)).await }
    });
    holder.until_waiting(1).await;
    let looked = tokio::spawn({
        let (world, job) = (world.clone(), job.clone());
        let looking = Deferral::Looking { absent: true };
        async move { world.settle(&job, Settle::Deferred(soon, looking)).await }
    });
    holder.until_waiting(2).await;
    holder.let_go().await;

    assert_eq!(late.await.expect("it ends well"), Applied::Stale);
    assert_eq!(looked.await.expect("it ends well"), Applied::Applied);
    let known = world.story(job.id()).await.evidence;
    assert_eq!(known.receipt(0), Some(&receipt));
}
