//! The schema: made, moved forward and back, refused.

mod support;

use std::collections::BTreeSet;

use postq_core::account::Account;
use postq_core::error::{ErrorKind, chain};
use postq_core::job::{JobKind, NewJob, Topic};
use postq_core::store::Controlled;
use postq_postgres::{PgStore, migrate, migrate_back};
use test_servers::Postgres;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use crate::support::Fresh;

async fn run(sql: &str) -> Vec<tokio_postgres::Row> {
    let url = Postgres::shared().url();
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.query(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

/// Everything that a schema has, by name.
async fn inventory(schema: &str) -> Vec<String> {
    let all = format!(
        "SELECT c.relkind::text || ' ' || c.relname || ' ' || coalesce(string_agg(
             a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum), '')
         FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
         WHERE c.relnamespace = '{schema}'::regnamespace AND c.relname NOT LIKE 'migrations%'
         GROUP BY c.oid, c.relkind, c.relname ORDER BY c.relname"
    );
    run(&all).await.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn each_migration_has_a_way_back() {
    let fresh = Fresh::open().await;
    let before = inventory(&fresh.schema).await;
    assert!(before.len() > 40, "{before:?}");
    drop(fresh.store);

    let config = support::config_of(&fresh.schema);
    let check = async || PgStore::check(&config).await.expect("the server is sound");
    let now = check().await;
    assert_eq!(now.schema_version, Some(now.our_version));
    migrate_back(&config, 0).await.expect("back");
    assert_eq!(check().await.schema_version, None, "looking makes nothing");
    assert!(inventory(&fresh.schema).await.is_empty(), "all of it is gone");
    let mut old = config.clone();
    old.migrate = false;
    let error = PgStore::open(old).await.expect_err("it is too old");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(chain(&error).contains("run the migrations"), "{}", chain(&error));

    migrate(&config).await.expect("forward");
    assert_eq!(inventory(&fresh.schema).await, before);
}

#[tokio::test]
async fn many_may_migrate_at_once() {
    let schema = Postgres::shared().fresh_schema();
    let mut nodes = JoinSet::new();
    for _ in 0..6 {
        let config = support::config_of(&schema);
        nodes.spawn(async move { PgStore::open(config).await.map(|_| ()) });
    }

    for opened in nodes.join_all().await {
        opened.expect("each finds it done");
    }

    let versions = run(&format!("SELECT version FROM \"{schema}\".migrations")).await;
    assert_eq!(versions.len(), postq_postgres::schema_version() as usize);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let fresh = Fresh::open().await;
    let newer =
        format!("INSERT INTO \"{}\".migrations VALUES (999, 'from tomorrow')", fresh.schema);
    run(&newer).await;

    for migrate in [true, false] {
        let mut config = fresh.config();
        config.migrate = migrate;
        let error = PgStore::open(config).await.expect_err("it is newer");
        let text = chain(&error);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        assert!(text.contains("version 999") && text.contains("a newer one"), "{text}");
    }
    let error = PgStore::check(&fresh.config()).await.expect_err("nor can it be used");
    assert!(chain(&error).contains("version 999"), "{error:?}");
    let error = migrate_back(&fresh.config(), 0).await.expect_err("nor is it taken back");
    assert!(chain(&error).contains("version 999"), "{error:?}");
}

/// The logical tables, whatever the physical ones are: their names and columns are what people query.
#[tokio::test]
async fn the_logical_tables_are_there() {
    let fresh = Fresh::open().await;
    let tables = [
        ("posts", "id uuid, tenant_id uuid, content text, revision bigint"),
        ("accounts", "id uuid, tenant_id uuid, name text, platform text"),
        (
            "schedules",
            "id uuid, tenant_id uuid, post_id uuid, accounts uuid[], timing text, tz text, \
             enabled boolean, next_run_at timestamptz, last_run_at timestamptz, misfire text",
        ),
        (
            "jobs",
            "id uuid, tenant_id uuid, kind text, topic text, lane text, priority smallint, state text, \
             planned_at timestamptz, enqueued_at timestamptz, started_at timestamptz, \
             finished_at timestamptz, run_at timestamptz, attempt bigint, fence bigint, \
             dedupe_key text, schedule_id uuid, post_id uuid, account_id uuid, reason text, \
             dead_reason text, resolution text",
        ),
        (
            "job_events",
            "job_id uuid, seq bigint, at timestamptz, from_state text, to_state text, fence bigint, \
             node uuid, reason text",
        ),
        ("job_history", "job_id uuid, tenant_id uuid, finished_at timestamptz, story text"),
        (
            "published_posts",
            "id uuid, tenant_id uuid, job_id uuid, post_id uuid, account_id uuid, dedupe_key text, \
             remote_id text, url text, published_at timestamptz",
        ),
        (
            "metrics_snapshots",
            "publication_id uuid, at timestamptz, state text, public text, private text",
        ),
        ("metrics_days", "account_id uuid, day date, name text, made bigint, gained bigint"),
        (
            "webhooks",
            "id uuid, tenant_id uuid, url text, key_id text, sealed bytea, old_key_id text, \
             old_sealed bytea, old_until timestamptz, events text, paused_at timestamptz, \
             paused_why text, version bigint, created_at timestamptz",
        ),
        ("media", "post_id uuid, variant text, part bigint, place bigint, source text, alt text"),
    ];
    let known = run(&format!(
        "SELECT table_name || '.' || column_name || ' '
             || CASE udt_name WHEN '_uuid' THEN 'uuid[]' WHEN 'timestamptz' THEN udt_name
                    ELSE data_type END
         FROM information_schema.columns WHERE table_schema = '{}'",
        fresh.schema
    ))
    .await;
    let known: BTreeSet<String> = known.iter().map(|row| row.get(0)).collect();

    for (table, columns) in tables {
        for column in columns.split(", ") {
            assert!(known.contains(&format!("{table}.{column}")), "{table}.{column}: {known:?}");
        }
    }
}

/// A schema that an older build wrote, with jobs in it, is moved forward and back.
#[tokio::test]
async fn rows_move_with_the_schema() {
    let fresh = Fresh::open().await;
    let jobs = fresh.store.backend().jobs;
    let now = jobs.now().await.expect("now");
    let job = NewJob::new(JobKind::new("plain"), Topic::notify(), now);
    jobs.insert(std::slice::from_ref(&job)).await.expect("insert");
    let cancelled = fresh.store.backend().control.cancel(job.id, "unwanted").await;
    assert_eq!(cancelled.expect("cancel"), Controlled::Applied);
    let before = jobs.story(job.id).await.expect("story");
    assert!(before.is_some());
    let mut account = Account::new("main", "test".parse().expect("a name"), now);
    account.remote_id = Some("ann".to_owned());
    fresh.store.backend().accounts.insert(&account).await.expect("an account");

    for version in [11, 3, 2, 1] {
        migrate_back(&fresh.config(), version).await.expect("back");
        migrate(&fresh.config()).await.expect("forward");

        assert_eq!(jobs.story(job.id).await.expect("story"), before);
        let known = "SELECT platform || ' ' || remote_id || ' ' || account_id FROM";
        let known = run(&format!("{known} \"{}\".identities", fresh.schema)).await;
        let known: Vec<String> = known.iter().map(|row| row.get(0)).collect();
        assert_eq!(known, [format!("test ann {}", account.id)], "after version {version}");
    }

    let topics = run(&format!("SELECT topic FROM \"{}\".ended", fresh.schema)).await;
    assert_eq!(topics.iter().map(|row| row.get(0)).collect::<Vec<String>>(), ["notify"]);
}
