//! The nodes that share a store, as each of them lists them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use postq_core::clock::{Clock, SystemClock};
use postq_core::content::{Content, Draft};
use postq_core::failure::Failure;
use postq_core::platform::{
    Identity, Outgoing, Pace, Platform, PlatformName, Published, Violation,
};
use postq_engine::desk::{Submission, When};
use postq_engine::dry_run::DryRun;
use postq_engine::{Engine, NodeFacts, Settings};
use postq_sqlite::SqliteStore;
use postq_web::{Web, router, serve};
use reqwest::Client;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use support::PATIENCE;

/// A platform that never answers.
#[derive(Debug)]
struct Silent(PlatformName);

#[async_trait]
impl Platform for Silent {
    fn name(&self) -> &PlatformName {
        &self.0
    }

    fn pace(&self) -> Pace {
        Pace::default()
    }

    fn validate(&self, _: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    async fn publish<'a>(&self, _: &Identity, _: Outgoing<'a>) -> Result<Published, Failure> {
        std::future::pending().await
    }
}

struct Node {
    engine: Engine,
    stop: CancellationToken,
    running: JoinHandle<()>,
    list: String,
    client: Client,
}

impl Node {
    async fn start(folder: &tempfile::TempDir, host: &str, plan: bool) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = SqliteStore::open(folder.path().join("postq.db")).unwrap();
        let facts = NodeFacts {
            host: host.to_owned(),
            pid: 7,
            version: "1.2.3".to_owned(),
            roles: vec!["worker".to_owned()],
            keys: Vec::new(),
        };
        let engine = Engine::builder(store.backend())
            .platform(Arc::new(DryRun::new(Arc::new(SystemClock))))
            .platform(Arc::new(Silent("silent".parse().unwrap())))
            .settings(Settings {
                plan,
                grace_period: Duration::from_millis(100),
                ..Settings::default()
            })
            .among(store.nodes(), facts)
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let list = format!("http://{}/api/nodes", listener.local_addr().unwrap());
        let web = Web::new(engine.clone(), store.tokens(), store.idempotency());
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, router(web), CancellationToken::new()));
        let running = tokio::spawn({
            let (engine, stop) = (engine.clone(), stop.clone());
            async move { engine.run(stop).await }
        });
        Self { engine, stop, running, list, client: Client::new() }
    }

    fn id(&self) -> String {
        self.engine.node().to_string()
    }

    /// What it says of the node with this id.
    async fn says_of(&self, id: &str) -> Option<Value> {
        let answer = self.client.get(&self.list).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let nodes: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(nodes["answered_by"], self.id());
        nodes["items"].as_array().unwrap().iter().find(|node| node["id"] == id).cloned()
    }

    /// Asks until it says something that is as wanted.
    async fn until(&self, id: &str, good: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.says_of(id).await;
            if let Some(node) = said.clone().filter(|node| good(node)) {
                return node;
            }
            assert!(Instant::now() < deadline, "{said:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_lists_all_and_what_runs_on_each() {
    let folder = tempfile::tempdir().unwrap();
    let one = Node::start(&folder, "alpha", true).await;
    let other = Node::start(&folder, "beta", false).await;

    let seen = other.until(&one.id(), |node| node["state"] == "up").await;
    assert_eq!((&seen["host"], &seen["pid"]), (&"alpha".into(), &7.into()));
    assert_eq!((&seen["version"], &seen["roles"][0]), (&"1.2.3".into(), &"worker".into()));
    let topics = seen["topics"].as_array().unwrap();
    assert!(topics.iter().any(|topic| topic["topic"] == "publish" && topic["at_once"] == 512));
    let loops = |node: &Value, name: &str| {
        let loops = node["loops"].as_array().unwrap().clone();
        loops.into_iter().find(|one| one["name"] == name)
    };
    assert!(loops(&seen, "planner").is_some(), "{seen}");
    let itself = one.until(&one.id(), |node| node["state"] == "up").await;
    assert!(loops(&itself, "sweeper").unwrap()["fresh"].as_bool().unwrap(), "{itself}");
    let second = one.until(&other.id(), |node| node["host"] == "beta").await;
    assert!(loops(&second, "planner").is_none(), "it does not plan: {second}");

    // A job that runs on one of them is seen by both, on the node that has it.
    let now = SystemClock.now();
    let account = postq_core::account::Account::new("mute", "silent".parse().unwrap(), now);
    one.engine.backend().accounts.insert(&account).await.unwrap();
    let submission = Submission::new(Content::text("hello"), ["mute"], When::Now);
    one.engine.desk().submit(submission).await.unwrap();
    let running = |node: &Value| node["running"] == 1;
    let deadline = Instant::now() + PATIENCE;
    let runs = 'found: loop {
        assert!(Instant::now() < deadline, "it runs somewhere");
        for id in [one.id(), other.id()] {
            if let Some(node) = other.says_of(&id).await.filter(running) {
                break 'found node;
            }
        }
    };
    let there = one.says_of(runs["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(there["running_jobs"], runs["running_jobs"], "both see it");
    assert_eq!(runs["running_jobs"][0]["account_id"], account.id.to_string());

    // One that ends in good order says so.
    let id = one.id();
    one.stop.cancel();
    one.running.await.unwrap();
    let stopped = other.says_of(&id).await.unwrap();
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    other.stop.cancel();
    other.running.await.unwrap();
}
