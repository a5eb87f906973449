//! The schema: made, moved forward and back, refused.

mod support;

use postq_core::error::{ErrorKind, chain};
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
    migrate_back(&config, 0).await.expect("back");
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
    assert_eq!(versions.len(), 1);
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
    let error = migrate_back(&fresh.config(), 0).await.expect_err("nor is it taken back");
    assert!(chain(&error).contains("version 999"), "{error:?}");
}

/// The logical tables, whatever the physical ones are: their names and columns are what people query.
#[tokio::test]
async fn the_logical_tables_are_there() {
    let fresh = Fresh::open().await;
    let tables = [
        ("posts", "id, tenant_id, content, revision"),
        ("accounts", "id, name, platform"),
        ("schedules", "id, post_id, next_run_at, last_run_at, enabled"),
        (
            "jobs",
            "id, planned_at, enqueued_at, started_at, finished_at, attempt, dedupe_key, state",
        ),
        ("job_events", "job_id, seq, at, from_state, to_state, fence, node, reason"),
        ("published_posts", "id, account_id, remote_id, dedupe_key"),
        ("metrics_snapshots", "publication_id, at, counts"),
        ("media", "post_id, variant, part, place, source, alt"),
    ];

    for (table, columns) in tables {
        run(&format!("SELECT {columns} FROM \"{}\".{table}", fresh.schema)).await;
    }
}
