//! Live events of what other processes on the same store do.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use postq_core::backend::Backend;
use postq_core::idempotency::IdempotencyStore;
use postq_core::token::TokenStore;
use postq_engine::Engine;
use postq_engine::desk::{Submission, When};
use postq_postgres::PgStore;
use postq_sqlite::SqliteStore;
use postq_web::{Web, router, serve};
use reqwest::Client;
use test_servers::Postgres;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use support::listener::{Event, Listener};
use support::{PATIENCE, Recorder, engine};

/// Something that never comes would have come by then: two looks at the store.
const QUIET: Duration = Duration::from_millis(2_500);

/// A process on a store, with its engine and its API.
struct Process {
    engine: Engine,
    address: SocketAddr,
    client: Client,
    stop: CancellationToken,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Process {
    async fn start(
        backend: Backend,
        tokens: Arc<dyn TokenStore>,
        idempotency: Arc<dyn IdempotencyStore>,
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let engine = engine(backend, &Recorder::new(5));
        let web = Web::new(engine.clone(), tokens, idempotency);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(serve(listener, router(web), stop.clone()));
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { engine, address, client, stop }
    }

    fn runs(self) -> Self {
        let (engine, stop) = (self.engine.clone(), self.stop.clone());
        tokio::spawn(async move { engine.run(stop).await });
        self
    }

    async fn listen(&self, last: Option<&str>) -> Listener {
        Listener::open(&self.client, self.address, last).await
    }

    async fn publish(&self, account: &str, text: &str) {
        let content = postq_core::content::Content::text(text);
        let account = format!("dry_run:{account}");
        self.engine.desk().submit(Submission::new(content, [account], When::Now)).await.unwrap();
    }
}

/// Two processes on one store.
async fn on_a_file(folder: &tempfile::TempDir) -> [Process; 2] {
    let open = async || {
        let store = SqliteStore::open(folder.path().join("postq.db")).unwrap();
        Process::start(store.backend(), store.tokens(), store.idempotency()).await
    };
    [open().await, open().await]
}

async fn on_postgres() -> [Process; 2] {
    let schema = Postgres::shared().fresh_schema();
    let open = async || {
        let config = postq_postgres::Config::new(Postgres::shared().url());
        let config = config.in_schema(&schema).with_connections(4);
        let store = PgStore::open(config).await.unwrap();
        Process::start(store.backend(), store.tokens(), store.idempotency()).await
    };
    [open().await, open().await]
}

/// So many events, and then nothing.
async fn exactly(listener: &mut Listener, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        events.push(listener.next().await.unwrap());
    }
    let more = tokio::time::timeout(QUIET, listener.next()).await;
    assert!(more.is_err(), "one too many: {more:?}");
    events
}

async fn a_listener_sees_what_another_process_does([worker, observer]: [Process; 2]) {
    let worker = worker.runs();
    worker.publish("early", "before anybody listens").await;
    let mut own = worker.listen(None).await;
    own.next().await;
    let mut listener = observer.listen(None).await;

    worker.publish("a", "one").await;
    worker.publish("b", "refused? no").await;
    let seen = exactly(&mut listener, 2).await;

    let told = exactly(&mut own, 2).await;
    for event in &seen {
        let by_itself = told.iter().find(|own| own.data["job"] == event.data["job"]).unwrap();
        assert_eq!(event.name, "job.succeeded");
        let fields =
            ["kind", "post", "schedule", "account", "account_name", "correlation_id", "planned_at"];
        for field in fields {
            assert_eq!(event.data[field], by_itself.data[field], "{field}");
        }
        assert_eq!(event.data["receipt"]["remote_id"], by_itself.data["receipt"]["remote_id"]);
        assert!(event.data["receipt"]["remote_id"].is_string(), "{event:?}");
    }

    // Nobody listens here for a while: what happens meanwhile is not lost for who comes back.
    let last = seen.last().unwrap().id.clone();
    drop(listener);
    worker.publish("c", "meanwhile").await;
    assert_eq!(exactly(&mut own, 1).await[0].data["account_name"], "dry_run:c");
    let mut back = observer.listen(Some(&last)).await;
    let missed = exactly(&mut back, 1).await;
    assert_eq!(missed[0].data["account_name"], "dry_run:c");
}

async fn both_tell_everything_once(processes: [Process; 2]) {
    const EACH: usize = 20;
    let processes = processes.map(Process::runs);
    let mut listeners = Vec::new();
    for process in &processes {
        listeners.push(process.listen(None).await);
    }

    for n in 0..EACH {
        processes[0].publish(&format!("a{n}"), &format!("a {n}")).await;
        processes[1].publish(&format!("b{n}"), &format!("b {n}")).await;
    }

    for mut listener in listeners {
        let events = exactly(&mut listener, 2 * EACH).await;
        let mut jobs: BTreeMap<String, usize> = BTreeMap::new();
        for event in &events {
            assert_eq!(event.name, "job.succeeded");
            *jobs.entry(event.data["job"].to_string()).or_default() += 1;
        }
        assert_eq!(jobs.len(), 2 * EACH, "each once: {jobs:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_sees_what_another_process_does_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    a_listener_sees_what_another_process_does(on_a_file(&folder).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_sees_what_another_process_does_on_postgres() {
    a_listener_sees_what_another_process_does(on_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_tell_everything_once_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    both_tell_everything_once(on_a_file(&folder).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_tell_everything_once_on_postgres() {
    both_tell_everything_once(on_postgres().await).await;
}
