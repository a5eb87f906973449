//! A whole installation at `trace`, whose output is searched for every secret of the run.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use fake_x::{FakeX, Fault, Faults};
use postq_postgres::tokio_postgres::{NoTls, connect};
use serde_json::{Value, json};
use test_servers::{Postgres, Redis};

use support::{Ended, PATIENCE, Place, Served};

const KEY: &str = "c0ffee0102030405060708090a0b0c0d0e0f101112131415161718191a1bfeed";
const PG_PASSWORD: &str = "pg-passw0rd-93b1";
const REDIS_PASSWORD: &str = "redis-passw0rd-17ac";
const GOOD: &str = "tok-424242424242";
const REFUSED: &str = "xoxb-refused-5f0c1a7e9d";
const TEXTS: [&str; 3] =
    ["utterly private wording", "second quiet sentence", "third hushed remark"];

/// Postgres and Redis, each with a user of its own that has a password.
async fn servers() -> (Postgres, Redis) {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let (client, connection) = connect(&postgres.url(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let role = format!("CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{PG_PASSWORD}'");
    client.batch_execute(&role).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    let user = format!("ACL SETUSER keeper on >{REDIS_PASSWORD} ~* &* +@all");
    assert!(redis.tell(&user).contains("OK"));
    (postgres, redis)
}

/// Asks until the answer is as wanted.
fn until(served: &Served, token: &str, path: &str, good: impl Fn(&Value) -> bool) {
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer: Value = serde_json::from_str(&served.ask("GET", path, &bearer, "")).unwrap();
        if good(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "{path}: {answer:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

async fn a_run_tells_no_secret(environment: &'static str) {
    let (place, x) = (Place::new(), FakeX::start().await.unwrap());
    x.set_faults(Faults::script([Fault::Ok, Fault::UnavailableAfter, Fault::BadRequestAfter]));
    let (postgres, redis) = servers().await;
    let database = postgres.tcp_url("keeper", PG_PASSWORD);
    let redis = format!("redis://keeper:{REDIS_PASSWORD}@127.0.0.1:{}/0", redis.port());
    let base_url = x.base_url();
    let set = [
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", &redis),
        ("POSTQ_ENCRYPTION_KEY", KEY),
        ("X_API_BASE_URL", &base_url),
        ("POSTQ_RATE_LIMIT", "off"),
        ("POSTQ_SETTLE_TIME", "1s"),
        ("LOG_LEVEL", "trace"),
        ("ENVIRONMENT", environment),
    ];
    let mut told = String::new();
    let run = |args: &[&str], input: &str| {
        let mut child = place.command(args).envs(set).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        tokio::task::block_in_place(|| Ended::of(child.wait_with_output().unwrap()))
    };
    for (name, token) in [("good", GOOD), ("refused", REFUSED)] {
        let added = run(&["account", "add", "x", "--name", name, "--access-token-stdin"], token);
        told += &(added.out + &added.err);
    }
    // What it shows is the token itself, once; what it logs must not have it.
    let made = run(&["token", "create", "--scope", "admin", "--name", "ci", "--json"], "").exits(0);
    let token = made.values()[0]["token"].as_str().unwrap().to_owned();
    told += &made.err;
    let served = place.serve_into("log", &set);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    for (text, account) in TEXTS.into_iter().zip(["good", "good", "good"]) {
        let new = json!({"text": text, "accounts": [account], "schedule": {"kind": "now"}});
        served.ask("POST", "/api/posts", &bearer, &new.to_string());
    }
    until(&served, &token, "/api/publications", |page| {
        page["items"].as_array().unwrap().len() >= 2
    });
    let wrong = format!("{}AAAA", &token[..token.len() - 4]);
    let refused =
        served.send("GET", "/api/posts", &format!("Authorization: Bearer {wrong}\r\n"), "");
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    told += &refused;
    told += &served.ask("GET", "/metrics", "", "");
    served.signal("TERM");
    served.wait().exits(0);
    for args in
        [&["doctor"][..], &["config"], &["post", "list"], &["dead", "list"], &["account", "list"]]
    {
        let ended = run(args, "");
        // A list shows posts to whoever asks for it; its log must not.
        told += if args == ["post", "list"] { "" } else { &ended.out };
        told += &ended.err;
    }
    told += &std::fs::read_to_string(place.path("log")).unwrap();

    assert!(told.contains("TRACE") && told.len() > 20_000, "{} bytes", told.len());
    assert!(told.contains("refused a token"), "what is refused is logged");
    let secrets = [KEY, PG_PASSWORD, REDIS_PASSWORD, GOOD, REFUSED, &token[40..], &wrong[40..]];
    for secret in secrets.iter().chain(&TEXTS) {
        let found = told.lines().find(|line| line.contains(secret));
        assert!(found.is_none(), "{secret} is in: {}", found.unwrap_or_default());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_for_people_tells_no_secret() {
    a_run_tells_no_secret("development").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_in_production_tells_no_secret() {
    a_run_tells_no_secret("production").await;
}
