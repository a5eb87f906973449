//! Webhooks on every composition: what ends is told once to each endpoint, whoever dies meanwhile and
//! whoever does not answer.

#![allow(missing_docs, reason = "a test")]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/scripted.rs"]
mod scripted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backends::{Bench, Running, over_backends};
use postq::core::courier::{Courier, Dispatch, Reply};
use postq::core::failure::Failure;
use postq::core::id::WebhookId;
use postq::core::job::Topic;
use postq::core::machine::JobState;
use postq::core::store::Page;
use postq::core::vault::{ChaChaVault, Vault};
use postq::engine::webhooks::{WebhookDesk, Webhooks};
use postq::engine::{EngineBuilder, TopicWorkers};
use scripted::Scripted;

const POSTS: usize = 12;

/// Endpoints: those named so hang, the others answer; all remember what they were told.
#[derive(Debug)]
struct Endpoints {
    /// What the others answer.
    status: AtomicU16,
    told: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Endpoints {
    fn told(&self, url: &str) -> Vec<String> {
        let told = self.told.lock().expect("nobody panics with it");
        told.get(url).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl Courier for Endpoints {
    fn problem(&self, _: &str) -> Option<String> {
        None
    }

    async fn deliver<'a>(&self, dispatch: Dispatch<'a>) -> Result<Reply, Failure> {
        self.told
            .lock()
            .expect("nobody panics with it")
            .entry(dispatch.url.to_owned())
            .or_default()
            .push(dispatch.id.to_owned());
        if dispatch.url.contains("hangs") {
            std::future::pending::<()>().await;
        }
        let status = self.status.load(Ordering::SeqCst);
        Ok(Reply { status, retry_after: None, text: String::new() })
    }
}

struct World {
    endpoints: Arc<Endpoints>,
    webhooks: Webhooks,
    vault: Arc<dyn Vault>,
    desk: WebhookDesk,
}

impl World {
    fn new(bench: &Bench) -> Self {
        let endpoints = Endpoints { status: AtomicU16::new(200), told: Mutex::default() };
        let endpoints = Arc::new(endpoints);
        let webhooks = Webhooks { store: bench.webhooks(), courier: endpoints.clone() };
        let vault: Arc<dyn Vault> = Arc::new(ChaChaVault::new(&[7; 32]));
        let desk = WebhookDesk::new(webhooks.clone(), bench.backend.clone(), Some(vault.clone()));
        Self { endpoints, webhooks, vault, desk }
    }

    async fn add(&self, url: &str) -> WebhookId {
        self.desk.add(WebhookId::new(), url, &[]).await.expect("a webhook").0.id
    }

    fn engine(&self, bench: &Bench, platform: &Scripted) -> EngineBuilder {
        let mut settings = bench.settings();
        settings.topics.push(TopicWorkers { topic: Topic::webhook(), at_once: 4 });
        bench
            .engine()
            .platform(platform.shared())
            .vault(self.vault.clone())
            .webhooks(self.webhooks.clone())
            .settings(settings)
    }

    async fn until(&self, bench: &Bench, id: WebhookId, count: usize, state: JobState) {
        let begun = tokio::time::Instant::now();
        loop {
            let all = self.desk.deliveries(id, Page::first(1_000)).await.expect("deliveries");
            if all.len() == count && all.iter().all(|job| job.state == state) {
                return;
            }
            assert!(begun.elapsed() < bench.times.patience, "never {count} {state}: {all:#?}");
            tokio::time::sleep(bench.times.poll).await;
        }
    }
}

async fn each_end_is_told_once_whoever_hangs_and_whoever_dies(bench: Bench) {
    let accounts = bench.accounts(3, "scripted").await;
    let (world, platform) = (World::new(&bench), Scripted::new("scripted", &bench));
    let alive = world.add("alive").await;
    let dead = world.add("hangs").await;
    for n in 0..POSTS {
        let at = bench.now();
        bench.say(&format!("post {n}"), &accounts[n % 3], at).await;
    }

    let first = Running::start(world.engine(&bench, &platform));
    bench
        .until("some are out", |jobs| {
            jobs.iter().filter(|job| job.state == JobState::Succeeded).count() >= 3
        })
        .await;
    first.crash().await;
    let _second = Running::start(world.engine(&bench, &platform));
    let jobs = bench.rest(POSTS).await;

    assert!(jobs.iter().all(|job| job.state == JobState::Succeeded));
    world.until(&bench, alive, POSTS, JobState::Succeeded).await;
    let expected: BTreeSet<String> =
        jobs.iter().map(|job| format!("msg_{}", job.id().as_uuid().simple())).collect();
    let told: BTreeSet<String> = world.endpoints.told("alive").into_iter().collect();
    assert_eq!(told, expected, "each event, by an id of its own");
    let asked: BTreeSet<String> = world.endpoints.told("hangs").into_iter().collect();
    assert!(asked.len() <= 2, "one at a time, on each node: {asked:?}");
    let waiting = world.desk.deliveries(dead, Page::first(1_000)).await.expect("deliveries");
    assert_eq!(waiting.len(), POSTS, "and nothing is forgotten");
}

async fn what_waits_behind_a_pause_is_sent_when_it_ends(bench: Bench) {
    let account = bench.account("a", "scripted").await;
    let (world, platform) = (World::new(&bench), Scripted::new("scripted", &bench));
    let id = world.add("endpoint").await;
    world.endpoints.status.store(410, Ordering::SeqCst);
    let _running = Running::start(world.engine(&bench, &platform));
    bench.say("hello", &account, bench.now()).await;
    bench.rest(1).await;
    world.until(&bench, id, 1, JobState::Failed).await;

    let endpoint = world.desk.find(id).await.expect("it is there");
    assert!(endpoint.paused.is_some(), "410 pauses it at once");
    world.endpoints.status.store(200, Ordering::SeqCst);
    world.desk.resume(id).await.expect("resume");

    world.until(&bench, id, 1, JobState::Succeeded).await;
    let told = world.endpoints.told("endpoint");
    assert_eq!((told.len(), &told[0]), (2, &told[1]), "the same event");
}

over_backends!(
    each_end_is_told_once_whoever_hangs_and_whoever_dies,
    what_waits_behind_a_pause_is_sent_when_it_ends,
);
