//! A real server on loopback with a SQLite store, and a client for it.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]
#![allow(dead_code, reason = "each test binary needs its own part of it")]

pub(crate) mod listener;
pub(crate) mod log;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::content::{Draft, Part};
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::{TenantId, TokenId};
use postq_core::intent::Receipt;
use postq_core::job::Topic;
use postq_core::media::{MediaReader, MediaSource};
use postq_core::platform::{
    Identity, Length, Measure, Outgoing, Pace, Platform, PlatformName, Published, Violation,
};
use postq_core::token::Scope;
use postq_core::vault::ChaChaVault;
use postq_engine::dry_run::DryRun;
use postq_engine::media::{LinkKey, Media, MediaLinks, MediaSettings};
use postq_engine::prices::Prices;
use postq_engine::webhooks::Webhooks;
use postq_engine::{Engine, EngineBuilder, Settings as EngineSettings, TopicWorkers};
use postq_media::{Editor, EditorSettings, FolderMedia};
use postq_outbound::{HttpCourier, Outbound};
use postq_sqlite::SqliteStore;
use postq_web::{Settings, Web, issue, router, serve};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A platform that keeps what it was sent. It refuses texts of over 100 characters, fails for good
/// where the text says `refuse`, and takes a few random milliseconds.
#[derive(Debug)]
pub(crate) struct Recorder {
    name: PlatformName,
    sent: Mutex<Vec<(String, Instant)>>,
    number: AtomicU64,
    slow_ms: u64,
}

impl Recorder {
    pub(crate) fn new(slow_ms: u64) -> Arc<Self> {
        let name = "recorder".parse().unwrap();
        Arc::new(Self { name, sent: Mutex::default(), number: AtomicU64::new(1), slow_ms })
    }

    /// What was sent, and when.
    pub(crate) fn sent(&self) -> Vec<(String, Instant)> {
        self.sent.lock().unwrap().clone()
    }
}

#[async_trait]
impl Platform for Recorder {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace::default()
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        let parts = draft.parts;
        let long = |(part, text): (usize, &Part)| {
            let length = text.text.chars().count();
            let message = format!("text is {length} long, at most 100");
            (length > 100).then(|| Violation { part: u16::try_from(part).unwrap(), message })
        };
        parts.iter().enumerate().filter_map(long).collect()
    }

    fn measure(&self) -> Option<&dyn Measure> {
        Some(self)
    }

    async fn publish<'a>(&self, _: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        if part.text.contains("refuse") {
            return Err(Failure::not_published(FailureClass::Content, "the platform refuses it"));
        }
        self.sent.lock().unwrap().push((part.text.to_owned(), Instant::now()));
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..=self.slow_ms))).await;
        let receipt = Receipt {
            part: part.part,
            remote_id: self.number.fetch_add(1, Ordering::Relaxed).to_string(),
            url: None,
            published_at: SystemClock.now(),
            dry_run: false,
        };
        Ok(Published { receipt, limits: Vec::new() })
    }
}

impl Measure for Recorder {
    fn measure(&self, text: &str) -> Length {
        Length { length: text.chars().count(), limit: 100 }
    }

    fn has_link(&self, text: &str) -> bool {
        text.contains("://")
    }
}

/// An engine on a backend, with a dry run, a recorder and a vault.
pub(crate) fn engine(backend: Backend, recorder: &Arc<Recorder>) -> Engine {
    builder(backend, recorder).build().unwrap()
}

fn builder(backend: Backend, recorder: &Arc<Recorder>) -> EngineBuilder {
    Engine::builder(backend)
        .platform(Arc::new(DryRun::new(Arc::new(SystemClock))))
        .platform(Arc::clone(recorder) as Arc<dyn Platform>)
        .vault(Arc::new(ChaChaVault::new(&[7; 32])))
        .settings(EngineSettings::default())
}

/// Webhooks in a store, to endpoints on this host as well.
fn webhooks(store: &SqliteStore) -> Webhooks {
    let outbound = Outbound::new("127.0.0.0/8".parse().unwrap()).unwrap();
    Webhooks { store: store.webhooks(), courier: Arc::new(HttpCourier::new(outbound)) }
}

/// The web is not read.
#[derive(Debug)]
struct NoWeb;

#[async_trait::async_trait]
impl MediaSource for NoWeb {
    async fn open(&self, source: &str) -> Result<MediaReader, Failure> {
        Err(Failure::not_published(FailureClass::Content, format!("\"{source}\" is not read")))
    }
}

/// What links are signed with.
pub(crate) fn links() -> MediaLinks {
    MediaLinks::new("http://localhost", [LinkKey::new(Box::new([3; 32]))])
}

/// Media in a folder, of 2 MiB at most; no URL is read.
async fn media(store: &SqliteStore, folder: &Path) -> Media {
    Media {
        store: Arc::new(FolderMedia::open(folder).await.unwrap()),
        catalog: store.media_catalog(),
        uploads: store.uploads(),
        editor: Arc::new(Editor::new(EditorSettings::default())),
        source: Arc::new(NoWeb),
        links: Some(links()),
        settings: MediaSettings { most_bytes: 2 * 1_024 * 1_024, ..MediaSettings::default() },
    }
}

fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

/// What a test may set.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    /// What calls cost.
    pub(crate) prices: Prices,
    /// Platforms besides.
    pub(crate) platforms: Vec<Arc<dyn Platform>>,
    /// The engine runs.
    pub(crate) runs: bool,
}

/// A server, and everything behind it.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) store: SqliteStore,
    pub(crate) engine: Engine,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) client: Client,
    pub(crate) web: Web,
    stop: CancellationToken,
    folder: TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Site {
    /// With an engine that runs.
    pub(crate) async fn running() -> Self {
        Self::with(Plan { runs: true, ..Plan::default() }).await
    }

    /// Without: nothing happens but what is asked for.
    pub(crate) async fn still() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        // Another test of this process may have done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("postq.db")).unwrap();
        let recorder = Recorder::new(5);
        let mut settings = EngineSettings::default();
        settings.topics.push(TopicWorkers { topic: Topic::webhook(), at_once: 4 });
        let media = media(&store, &folder.path().join("media")).await;
        let builder = builder(store.backend(), &recorder).webhooks(webhooks(&store)).media(media);
        let builder = plan.platforms.into_iter().fold(builder, EngineBuilder::platform);
        let engine = builder.settings(settings).prices(plan.prices).build().unwrap();
        let mut web = Web::new(engine.clone(), store.tokens(), store.idempotency());
        web.settings = plan.settings;
        let stop = CancellationToken::new();
        if plan.runs {
            let (engine, stop) = (engine.clone(), stop.clone());
            tokio::spawn(async move { engine.run(stop).await });
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router(web.clone()), stop.clone()));
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { address, store, engine, recorder, client, web, stop, folder }
    }

    /// From now on these parts answer.
    pub(crate) async fn answer_with(&mut self, web: Web) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router(web.clone()), self.stop.clone()));
        self.web = web;
    }

    /// How many files of media there are.
    pub(crate) fn files(&self) -> usize {
        files(&self.folder.path().join("media"))
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Makes a token; from then on every request needs one.
    pub(crate) async fn token(&self, scope: Scope) -> String {
        let now = SystemClock.now();
        let issued = issue(TokenId::new(), TenantId::DEFAULT, scope.as_str(), scope, now);
        self.web.tokens.insert(&issued.token).await.unwrap();
        issued.text.expose_secret().to_owned()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body).send().await.unwrap()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).json(&body).send().await.unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path).send().await.unwrap()).await
    }

    /// A post to an account of the recorder, which is made if need be.
    pub(crate) async fn recorder_account(&self) -> String {
        let new = json!({"platform": "recorder", "name": "acme", "access_token": "t0ken-of-acme"});
        self.post("/api/accounts", new).await.is(201).body["id"].as_str().unwrap().to_owned()
    }

    /// Asks until the answer is as wanted.
    pub(crate) async fn until(&self, path: &str, good: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await;
            if answer.status == 200 && good(&answer.body) {
                return answer.body;
            }
            assert!(Instant::now() < deadline, "{path}: {:#}", answer.body);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, body, text }
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// A problem with this status and code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let this = self.is(status);
        assert_eq!(this.header("content-type"), "application/problem+json");
        assert_eq!(this.body["code"], code, "{}", this.text);
        assert_eq!(this.body["status"], status);
        for word in ["type", "title", "detail", "remedy"] {
            assert!(this.body[word].as_str().is_some_and(|text| !text.is_empty()), "{word}");
        }
        this
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap().to_owned()
    }
}
