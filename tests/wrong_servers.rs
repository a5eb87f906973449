//! Servers that are away, refuse, or are not what they should be: each a clear word that names what to
//! change, and never a password.

#![allow(missing_docs, reason = "a test")]

mod support;

use postq_postgres::{Config, PgStore};
use support::{Home, told};
use test_servers::{Postgres, Redis};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A home on a schema of its own in the shared Postgres.
fn home() -> (Home, String) {
    let schema = Postgres::shared().fresh_schema();
    let home = Home::new()
        .env("DATABASE_URL", Postgres::shared().url())
        .env("POSTQ_PG_SCHEMA", &schema)
        .env("POSTQ_ENCRYPTION_KEY", KEY);
    (home, schema)
}

/// Runs a command that must fail with this exit code; answers what it said.
fn fails(home: &Home, code: i32, args: &[&str]) -> String {
    let output = home.run(args);
    assert_eq!(output.status.code(), Some(code), "{}", told(&output));
    told(&output)
}

#[track_caller]
fn says(said: &str, expected: &[&str]) {
    for part in expected {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(!said.contains("hunter2"), "a password is shown: {said}");
}

#[test]
fn a_postgres_that_is_away_or_refuses_is_named() {
    let closed = support::free_port();
    let away = format!("postgres://me:hunter2@127.0.0.1:{closed}/postq");
    let home = Home::new().env("DATABASE_URL", &away).env("POSTQ_ENCRYPTION_KEY", KEY);
    for command in [&["post", "list"][..], &["migrate"], &["serve"]] {
        says(&fails(&home, 1, command), &["DATABASE_URL", "127.0.0.1", &closed.to_string()]);
    }
    says(&fails(&home, 1, &["doctor"]), &["broken", "DATABASE_URL"]);

    let server = Postgres::start_with(&["password_encryption = 'scram-sha-256'"]);
    let wrong = server.tcp_url("nobody", "hunter2");
    let home = Home::new().env("DATABASE_URL", &wrong).env("POSTQ_ENCRYPTION_KEY", KEY);
    says(&fails(&home, 1, &["post", "list"]), &["DATABASE_URL", "nobody"]);
}

#[test]
fn migrations_are_run_by_hand_where_that_is_asked_for() {
    let (home, schema) = home();
    let home = home.env("POSTQ_MIGRATE", "false");

    let said = fails(&home, 1, &["post", "list"]);
    says(&said, &["DATABASE_URL", &schema, "migrat"]);
    home.ok(["migrate"]);
    home.ok(["migrate"]);
    home.ok(["post", "list"]);
    home.ok(["migrate", "--back-to", "0"]);
    says(&fails(&home, 1, &["post", "list"]), &["migrat"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_a_newer_postq_is_refused() {
    let (home, schema) = home();
    home.ok(["migrate"]);
    let store = PgStore::open(Config::new(Postgres::shared().url()).in_schema(&schema)).await;
    store.expect("it opens").close();
    newer(&schema).await;

    says(&fails(&home, 1, &["post", "list"]), &[&schema, "newer"]);
}

/// As a later version would leave it.
async fn newer(schema: &str) {
    let (client, connection) = postq_postgres::tokio_postgres::connect(
        Postgres::shared().url(),
        postq_postgres::tokio_postgres::NoTls,
    )
    .await
    .expect("Postgres");
    tokio::spawn(connection);
    let made = format!(
        "INSERT INTO \"{schema}\".migrations (version, name) \
         SELECT max(version) + 1, 'later' FROM \"{schema}\".migrations"
    );
    client.batch_execute(&made).await.expect("a version more");
}

#[test]
fn the_key_is_asked_for_and_compared() {
    let (home, schema) = home();
    home.connect("acme", "1");
    let without =
        Home::new().env("DATABASE_URL", Postgres::shared().url()).env("POSTQ_PG_SCHEMA", &schema);
    says(&fails(&without, 1, &["serve"]), &["POSTQ_ENCRYPTION_KEY is not set", "openssl rand"]);
    without.ok(["post", "list"]);

    let other = without.env("POSTQ_ENCRYPTION_KEY", &KEY.replace("00", "ff"));
    says(&fails(&other, 1, &["serve"]), &["acme", "POSTQ_ENCRYPTION_KEY"]);
}

#[test]
fn redis_needs_postgres_beside_it() {
    let home = Home::new().env("REDIS_URL", "redis://:hunter2@127.0.0.1:1");
    says(&fails(&home, 2, &["serve"]), &["REDIS_URL", "DATABASE_URL"]);
}

#[test]
fn what_redis_should_not_be_is_a_warning_that_names_the_setting() {
    let redis = Redis::start_with(&["maxmemory 100mb", "maxmemory-policy allkeys-lru"]);
    let (home, _) = home();
    let home = home.env("REDIS_URL", &redis.url());

    says(&home.ok(["doctor"]), &["warning", "maxmemory-policy"]);
    home.ok(["post", "--account", "dry_run:me", "Hello."]);
}

#[test]
fn without_redis_everything_works() {
    let closed = format!("redis://:hunter2@127.0.0.1:{}", support::free_port());
    let (home, _) = home();
    let home = home.env("REDIS_URL", &closed);

    says(&home.ok(["post", "--account", "dry_run:me", "Hello."]), &["dry run"]);
    says(&home.ok(["doctor"]), &["warning", "REDIS_URL", "Postgres"]);
}
