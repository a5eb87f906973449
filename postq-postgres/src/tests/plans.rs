//! With many rows, every statement of the hot paths finds its rows by an index.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::feed::{Claim, ClaimedJob, JobFeed, Only, Settle, Settlement};
use postq_core::id::{AccountId, JobId, NodeId, PostId, ScheduleId, TenantId, WebhookId};
use postq_core::job::{Applied, Lane, Topic};
use postq_core::machine::JobState;
use postq_core::store::{JobFilter, JobStore, JobUpkeep, Page};
use test_servers::Postgres;
use uuid::Uuid;

use crate::args::{Arg, args};
use crate::jobs::Query;
use crate::rows::Paged;
use crate::tx::Sql;
use crate::{
    Config, PgStore, claim, history, intent, jobs, lanes, plain, plan, posts, publications, queue,
    schedules, settle, upkeep,
};

/// 100,000 future jobs, as many ended ones, 20,000 due ones without a lane, 20,000 due ones in 2,000
/// lanes, 20,000 schedules; 50 run.
const SEED: &str = "
    CREATE FUNCTION id(kind integer, n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
        SELECT (lpad(to_hex(kind), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
    INSERT INTO lanes (topic, free, name) VALUES ('publish', true, '');
    INSERT INTO lanes (topic, free, name) SELECT 'publish', false, 'x/' || n FROM generate_series(1, 2000) n;
    CREATE TEMP TABLE made AS
        SELECT kind, n, id(kind, n) AS id, now() + at * interval '1 second' AS at,
               CASE WHEN lane > 0 THEN 'x/' || lane END AS lane, lane + 1 AS lane_id
        FROM (SELECT 1 AS kind, n, 3600 + n AS at, n % 2001 AS lane FROM generate_series(1, 100000) n
              UNION ALL SELECT 2, n, -n, n % 2001 FROM generate_series(1, 100000) n
              UNION ALL SELECT 3, n, -n, 0 FROM generate_series(1, 20000) n
              UNION ALL SELECT 4, n, -n, 1 + n % 2000 FROM generate_series(1, 20000) n
              UNION ALL SELECT 5, n, -n, 1 + n FROM generate_series(1, 50) n) AS kinds;
    INSERT INTO job (id, tenant_id, kind, topic, lane, lane_id, priority, planned_at, max_attempts,
            dedupe_key, schedule_id, post_id, account_id, correlation_id, root)
        SELECT id, '00000000-0000-0000-0000-000000000000', 'publish', 'publish', lane, lane_id, 0, at, 5,
            'key ' || id, id(20, n % 20000), id(30, n % 50000), id(40, n % 2000), '', id FROM made;
    INSERT INTO later (job_id, topic, run_at, lane_id, rank, planned_at, schedule_id, state, fence, attempt,
            trail)
        SELECT id, 'publish', at, lane_id, 0, at, id(20, n % 20000), 'enqueued', 0, 0, '' FROM made
        WHERE kind = 1;
    INSERT INTO ended (job_id, tenant_id, topic, state, run_at, fence, attempt, resolution, finished_at,
            trail)
        SELECT id, '00000000-0000-0000-0000-000000000000', 'publish',
            CASE WHEN n % 100 = 0 THEN 'dead_letter' ELSE 'succeeded' END, at, 1, 1,
            CASE WHEN n % 200 = 0 THEN 'discarded' END, at, '' FROM made
        WHERE kind = 2;
    INSERT INTO due (lane_id, rank, planned_at, job_id, run_at, schedule_id, state, fence, attempt, trail)
        SELECT lane_id, 0, at, id, at, id(20, n % 20000), 'enqueued', 0, 0, '' FROM made
        WHERE kind IN (3, 4);
    INSERT INTO running (job_id, lane_id, run_at, fence, attempt, started_at, node, lease_until, claim, trail)
        SELECT id, lane_id, at, 1, 1, now(), id(0, 1), now() + interval '1 hour', id(0, 1), '' FROM made
        WHERE kind = 5;
    UPDATE lanes l SET head = h.job_id, head_rank = h.rank, head_planned_at = h.planned_at,
            head_run_at = h.run_at
        FROM (SELECT DISTINCT ON (lane_id) * FROM due ORDER BY lane_id, rank, planned_at, job_id) h
        WHERE h.lane_id = l.id AND NOT l.free;
    INSERT INTO accounts (id, tenant_id, name, platform, remote_id, on_unknown, created_at)
        SELECT id(40, n), '00000000-0000-0000-0000-000000000000', 'account ' || n, 'x', 'person ' || n / 2,
            'hold', now()
        FROM generate_series(0, 1999) n;
    INSERT INTO evidence (root, part, account_id, state, remote_id, published_at, text)
        SELECT id, 0, id(40, n % 2000), 'published', 'remote ' || n, at, 'text ' || n FROM made WHERE kind = 2;
    INSERT INTO published_posts (id, tenant_id, job_id, post_id, account_id, dedupe_key, remote_id,
            published_at, parts)
        SELECT id, '00000000-0000-0000-0000-000000000000', id, id(30, n % 50000), id(40, n % 2000),
            'key ' || id, 'remote ' || n, at, '[]' FROM made WHERE kind = 2;
    INSERT INTO posts (id, tenant_id, content, has_media, revision, created_at)
        SELECT id(30, n), '00000000-0000-0000-0000-000000000000', '{\"parts\":[]}', false, 1, now()
        FROM generate_series(0, 49999) n;
    INSERT INTO schedules (id, tenant_id, post_id, accounts, timing, priority, misfire, grace, enabled,
            next_run_at, revision, created_at, early)
        SELECT id(20, n), '00000000-0000-0000-0000-000000000000', id(30, n), ARRAY[id(40, n % 2000)], '{}', 0,
            '{}', 0, true, now() + n * interval '1 minute', 1, now(), n % 10 = 0
        FROM generate_series(0, 19999) n;
    INSERT INTO queue (topic, job_id, rank, run_at, ready, leased, free_at, fence)
        SELECT 'publish', id, 0, at, kind <> 1, false, at, 0 FROM made WHERE kind <> 2;
    INSERT INTO job_history (job_id, tenant_id, finished_at, story)
        SELECT id, '00000000-0000-0000-0000-000000000000', at, repeat('story ', 100) FROM made WHERE kind = 2;
    DROP TABLE made;";

fn id(kind: u128, n: u128) -> Uuid {
    Uuid::from_u128((kind << 96) | (0x7000_8000 << 48) | n)
}

struct Seeded {
    store: PgStore,
    schema: String,
    client: tokio_postgres::Client,
}

async fn seeded() -> Seeded {
    let schema = Postgres::shared().fresh_schema();
    let config = Config::new(Postgres::shared().url()).in_schema(&schema).with_connections(2);
    let store = PgStore::open(config.clone()).await.expect("a fresh store");
    let server = crate::server::Server::of(&config).expect("the server");
    let client = crate::schema::connected(&server).await.expect("a connection");
    client.batch_execute(&format!("SET search_path TO \"{schema}\"")).await.expect("the schema");
    client.batch_execute("SET statement_timeout = 0").await.expect("time for seeding");
    client.batch_execute(SEED).await.expect("the seed");
    Seeded { store, schema: format!("\"{schema}\""), client }
}

impl Seeded {
    async fn plan(&self, statement: &str, args: &[Arg<'_>]) -> String {
        let sql = Sql::new(&self.client, &self.schema);
        let explain = format!("EXPLAIN {statement}");
        let rows = sql.rows(&explain, args).await;
        let rows = rows.unwrap_or_else(|fault| panic!("{fault}: {statement}"));
        rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
    }

    /// How many blocks it touches when it is run.
    async fn blocks(&self, statement: &str, args: &[Arg<'_>]) -> u64 {
        let plan = self.plan(&format!("(ANALYZE, BUFFERS, TIMING OFF) {statement}"), args).await;
        let all = plan.lines().find_map(|line| line.split("Buffers: shared ").nth(1));
        let all = all.unwrap_or_else(|| panic!("it touches none:\n{plan}"));
        let count = |word: &str| word.split_once('=')?.1.parse::<u64>().ok();
        let touched = all.split_whitespace().filter(|word| !word.starts_with("dirtied"));
        touched.filter_map(count).sum()
    }

    /// No table but these is read as a whole, and these indexes are used.
    async fn finds(&self, what: &str, statement: &str, args: &[Arg<'_>], expected: &[&str]) {
        let plan = self.plan(statement, args).await;
        let scanned = plan.lines().filter_map(|line| line.split("Seq Scan on ").nth(1));
        let scanned = scanned.map(|rest| rest.split_whitespace().next().unwrap_or(rest));
        // As small as what runs, or as what stands still; restricted claims may look at all lanes.
        let is_small = |table: &&str| {
            ["running", "blocks", "planned"].contains(table)
                || (what.contains("restricted") && *table == "lanes")
                || (what.contains("a page") && *table == "due")
        };
        let large = scanned.filter(|table| !is_small(table));
        assert_eq!(large.collect::<Vec<_>>(), [""; 0], "{what}:\n{statement}\n{plan}");
        // What is in order by its index is not sorted, least of all before anybody has analyzed it.
        assert!(!plan.contains("Bitmap"), "{what}:\n{statement}\n{plan}");
        for index in expected {
            assert!(plan.contains(index), "{what}: {index} is not used:\n{statement}\n{plan}");
        }
    }
}

const NO_SKIP: Vec<String> = Vec::new();

async fn claims_find_their_rows(seeded: &Seeded) {
    let (topic, node, lease) = ("publish", id(0, 2).to_string(), 60_000_000_i64);
    let find = claim::find_sql();
    seeded.finds("find", &find, args![topic, 0_i64], &["later_by_time", "lanes_heads"]).await;
    let promote = args![topic, 0_i64, 5_000_i64];
    seeded.finds("promote", claim::PROMOTE_SQL, promote, &["later_by_time"]).await;
    let lanes_args = args![topic, 1_i32, NO_SKIP, 10_i64];
    for is_careful in [false, true] {
        let lock = claim::lanes_sql(&Only::Any, is_careful);
        seeded.finds("lock lanes", &lock, lanes_args, &["lanes_heads"]).await;
    }
    let (ids, rooms): (Vec<i64>, Vec<i32>) = (2..12).map(|lane| (lane, 1)).unzip();
    let changes = rooms.clone();
    seeded.finds("refresh lanes", lanes::REFRESH, args![ids, changes], &["due_pkey"]).await;
    let wanted = vec![id(3, 7), id(4, 7)];
    for only in [Only::Any, Only::Jobs(Arc::default()), Only::Schedules(Arc::default())] {
        let take = claim::take_sql(&only);
        let args = args![topic, 10_i64, 0_i64, lease, node, id(0, 3), ids, rooms, wanted];
        let given = if only == Only::Any { &args[..8] } else { args };
        seeded.finds("take", &take, given, &["due_pkey", "job_pkey"]).await;
        let next = claim::next_sql(&only);
        let what = if only == Only::Any { "next" } else { "next, restricted" };
        let args = args![topic, 1_i32, NO_SKIP, 0_i64, claim::LOOK, wanted];
        let given = if only == Only::Any { &args[..5] } else { args };
        seeded.finds(what, &next, given, &[]).await;
        if only != Only::Any {
            let lock = claim::lanes_sql(&only, false);
            let args = args![topic, 1_i32, NO_SKIP, 10_i64, wanted];
            seeded.finds("lock lanes, restricted", &lock, args, &[]).await;
        }
    }
}

async fn settling_finds_its_rows(seeded: &Seeded) {
    let ids: Vec<Uuid> = (1..=50).map(|n| id(5, n)).collect();
    seeded.finds("lock a batch", settle::LOCK, args![ids], &[]).await;
    seeded.finds("load a batch", settle::RUNNING, args![ids], &["job_pkey"]).await;
    let plan = seeded.plan(settle::RUNNING, args![ids]).await;
    for phase in ["ended", "later", "due", "planned"] {
        assert!(!plan.contains(&format!(" on {phase} ")), "{phase} is looked at:\n{plan}");
    }
    let fences = vec![1_i64; 50];
    let (mark, none) = (&[0_u8; 16][..], vec![Option::<&str>::None; 50]);
    let node = id(0, 1).to_string();
    let plain = args![ids, fences, vec![mark; 50], none, vec!["null"; 50], node, 2_000_i32];
    seeded.finds("settle a plain batch", &plain::plain_sql(), plain, &["job_pkey"]).await;
    seeded.finds("renew", intent::RENEW, args![ids, fences, 1_i64], &["job_pkey"]).await;
    let twins = args![id(40, 1), id(5, 1), "text", Option::<String>::None];
    let open = ["evidence_open", "identities_pkey"];
    seeded.finds("twins", intent::TWINS, twins, &open).await;
    seeded.finds("alone", intent::ALONE, args![id(40, 1)], &["accounts_pkey"]).await;
    let known = ["accounts_pkey", "identities_pkey"];
    seeded.finds("sharing", settle::SHARING, args![ids], &known).await;
    let remote_ids: Vec<_> = (1..=50).map(|n| format!("remote {n}")).collect();
    let foreign = ["evidence_by_remote_id", "identities_pkey"];
    seeded.finds("foreign", settle::FOREIGN, args![ids, remote_ids], &foreign).await;
    let lately = DateTime::<Utc>::MAX_UTC - TimeDelta::days(365);
    let claimed = args![id(40, 1), lately];
    let by_time = ["evidence_by_time", "identities_pkey"];
    seeded.finds("claimed", publications::CLAIMED, claimed, &by_time).await;
    let text = args![id(40, 1), lately, "text"];
    let of_account = ["evidence_by_", "identities_pkey"];
    seeded.finds("a text", publications::WITH_TEXT, text, &of_account).await;
}

async fn planning_finds_its_rows(seeded: &Seeded) {
    for (early, index) in [(false, "schedules_due"), (true, "schedules_due_early")] {
        let due = plan::due_sql(early, false);
        seeded.finds("due schedules", &due, args![60_000_000_i64, 500_i64], &[index]).await;
        seeded.finds("next schedule", &plan::next_sql(early, false), args![], &[index]).await;
        let some = vec![id(20, 1)];
        let due = plan::due_sql(early, true);
        let args = args![60_000_000_i64, 500_i64, some];
        seeded.finds("some due schedules", &due, args, &[]).await;
    }
}

async fn lists_find_their_rows(seeded: &Seeded) {
    let all = JobFilter::default;
    let lately = seeded.store.now().await.expect("the time") - TimeDelta::seconds(5);
    let filters = [
        all(),
        JobFilter { topic: Some(Topic::publish()), ..all() },
        JobFilter { states: vec![JobState::Failed], ..all() },
        JobFilter { states: vec![JobState::Running], ..all() },
        JobFilter { states: vec![JobState::Succeeded], ..all() },
        JobFilter { unresolved: true, ..all() },
        JobFilter { account: Some(AccountId::from_uuid(id(40, 1))), ..all() },
        JobFilter { post: Some(PostId::from_uuid(id(30, 1))), ..all() },
        JobFilter { schedules: Some(vec![ScheduleId::from_uuid(id(20, 1))]), ..all() },
        JobFilter {
            topic: Some(Topic::webhook()),
            lane: Some(Lane::of_webhook(WebhookId::new())),
            ..all()
        },
        JobFilter { ended_since: Some(lately), ..all() },
        JobFilter { ended_since: Some(lately), states: vec![JobState::Succeeded], ..all() },
    ];
    let begun = std::time::Instant::now();
    for filter in filters {
        let query = Query::of(TenantId::DEFAULT, &filter);
        let page = Paged::of(Page::first(10));
        let (statement, args) = query.page(&page);
        let narrow = filter.post.is_some()
            || filter.schedules.is_some()
            || filter.account.is_some()
            || filter.lane.is_some();
        let what = format!("a page of {filter:?}");
        let expected: &[&str] = match filter.ended_since {
            Some(_) => &["ended_by_end"],
            None if narrow => &["job_by_"],
            None => &["job_pkey"],
        };
        // What is due is as little as what is late.
        seeded.finds(&what, &statement, &args, expected).await;
        let jobs = seeded.store.list(TenantId::DEFAULT, &filter, Page::first(10)).await;
        assert!(jobs.expect("a page").len() <= 10);
    }
    assert!(begun.elapsed().as_secs() < 20, "pages take {:?}", begun.elapsed());
    let args = args![Uuid::nil(), Uuid::nil(), 10_i64];
    let list = Paged::of(Page::first(10)).sql(posts::LIST);
    seeded.finds("a page of posts", &list, args, &["job_by_post"]).await;
    times_find_their_rows(seeded).await;
}

/// What lies in a span of time is found by its index, and no more is read than is shown.
async fn times_find_their_rows(seeded: &Seeded) {
    let now = seeded.store.now().await.expect("the time");
    let (from, until) = (now - TimeDelta::days(2), now + TimeDelta::days(2));
    let (tenant, args) = (Uuid::nil(), args![Uuid::nil(), from, until, 100_i64]);
    seeded.finds("a page of the jobs of a time", jobs::PLANNED_IN, args, &["job_by_time"]).await;
    let out = publications::WITHOUT_JOB;
    seeded.finds("publications of a time", out, args, &["published_by_time", "job_pkey"]).await;
    for (early, index) in [(false, "schedules_due"), (true, "schedules_due_early")] {
        let next_in = schedules::next_in_sql(early);
        seeded.finds("schedules of a time", &next_in, args, &[index]).await;
    }
    let before = args![tenant, until, 100_i64];
    let repeating = schedules::REPEATING;
    seeded.finds("repeating schedules", repeating, before, &["schedules_repeating"]).await;
    let some: Vec<Uuid> = (1..=100).map(|n| id(20, n)).collect();
    let indexes = ["job_by_schedule", "published_posts_dedupe_key"];
    seeded.finds("movable schedules", &schedules::movable_sql(), args![some], &indexes).await;
    let blocks = seeded.blocks(jobs::PLANNED_IN, args).await;
    assert!(blocks < 5_000, "finding 100 jobs of a time touches {blocks} blocks");
}

async fn upkeep_finds_its_rows(seeded: &Seeded) {
    let before = DateTime::<Utc>::MAX_UTC - TimeDelta::days(365);
    for (of, index) in [(upkeep::DONE, "ended_by_time"), (upkeep::RESOLVED, "ended_resolved")] {
        let old = upkeep::old_sql(of);
        seeded.finds("old jobs", &old, args![before, 100_i64, 100_i64], &[index]).await;
        // It takes a hundred, and looks over the hundred that stay.
        let blocks = seeded.blocks(&old, args![before, 100_i64, 100_i64]).await;
        assert!(blocks < 1_500, "finding 100 old jobs touches {blocks} blocks");
    }
    seeded
        .finds("old histories", history::FORGET, args![before, 100_i64], &["job_history_by_time"])
        .await;
    let reserve = args!["publish", NO_SKIP, 10_i64, 1_i64];
    seeded.finds("reserve", queue::RESERVE, reserve, &["queue_ready"]).await;
    let (topics, ids) = (vec!["publish"; 50], (1..=50).map(|n| id(3, n)).collect::<Vec<_>>());
    let ack = args![topics, ids, vec![1_i64; 50]];
    seeded.finds("ack", &queue::change_sql(queue::ACK), ack, &["queue_pkey"]).await;
}

#[tokio::test]
async fn statements_find_their_rows_by_index() {
    let seeded = seeded().await;

    // Before anybody has analyzed the tables, and after.
    for analyze in ["SELECT 1", "ANALYZE"] {
        seeded.client.batch_execute(analyze).await.expect("analyze");
        claims_find_their_rows(&seeded).await;
        settling_finds_its_rows(&seeded).await;
        planning_finds_its_rows(&seeded).await;
        upkeep_finds_its_rows(&seeded).await;
    }
    lists_find_their_rows(&seeded).await;
}

/// A claim touches what it takes, however much waits, will wait or has ended.
#[tokio::test]
async fn a_claim_costs_what_it_takes() {
    let seeded = seeded().await;
    let (topic, node, lease) = ("publish", id(0, 2).to_string(), 60_000_000_i64);
    let (ids, rooms): (Vec<i64>, Vec<i32>) = (2..12).map(|lane| (lane, 1)).unzip();
    let changes = rooms.clone();
    seeded.client.batch_execute("BEGIN").await.expect("begin");

    let steps: [(&str, String, &[Arg<'_>]); 5] = [
        ("find", claim::find_sql(), args![topic, 0_i64]),
        ("lock", claim::lanes_sql(&Only::Any, false), args![topic, 1_i32, NO_SKIP, 10_i64]),
        (
            "take",
            claim::take_sql(&Only::Any),
            args![topic, 10_i64, 0_i64, lease, node, id(0, 3), ids, rooms],
        ),
        ("refresh", lanes::REFRESH.to_owned(), args![ids, changes]),
        ("next", claim::next_sql(&Only::Any), args![topic, 1_i32, NO_SKIP, 0_i64, claim::LOOK]),
    ];
    for (step, statement, args) in steps {
        let blocks = seeded.blocks(&statement, args).await;
        assert!(blocks < 600, "the step {step} of a claim of 10 touches {blocks} blocks");
    }

    seeded.client.batch_execute("ROLLBACK").await.expect("rollback");
}

/// What is claimed of so much can be settled, and nothing else is touched.
#[tokio::test]
async fn a_large_store_works() {
    let seeded = seeded().await;
    let claim = Claim::up_to(10, Topic::publish(), NodeId::new());

    let claimed = seeded.store.claim(&claim).await.expect("claim");

    let ids: BTreeSet<JobId> = claimed.jobs.iter().map(|claimed| claimed.job.id()).collect();
    assert_eq!(ids.len(), 10);
    let done = |claimed: &ClaimedJob| Settlement {
        held: claimed.job.held(),
        node: claim.node,
        settle: Settle::Succeeded(None),
        reason: None,
        follow_ups: Vec::new(),
    };
    let settlements: Vec<Settlement> = claimed.jobs.iter().map(done).collect();
    let answers = seeded.store.settle(&settlements).await.expect("settle");
    assert_eq!(answers, [Applied::Applied; 10]);
    assert!(seeded.store.expire(10).await.expect("expire").is_empty());
}
