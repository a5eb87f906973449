//! Posts with media, from the desk to X: prepared before their moment, resumed, renewed, cleaned up.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fake_x::{FakeX, Faults, MediaFault};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::content::{Content, MediaRef, Post};
use postq_core::id::AccountId;
use postq_core::job::{Job, JobKind, Topic};
use postq_core::machine::JobState;
use postq_core::media::MediaStore;
use postq_core::memory::{MemoryBackend, MemoryMedia};
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::{JobFilter, Page};
use postq_core::vault::{ChaChaVault, Vault};
use postq_engine::media::{Addition, Media, MediaSettings};
use postq_engine::{Engine, Settings, TopicWorkers};
use postq_media::{Editor, EditorSettings, Folders};
use postq_x::{Config, X};
use tokio_util::sync::CancellationToken;

/// An engine over X-shaped server, with a folder of pictures that may be read.
struct Bench {
    server: FakeX,
    backend: Backend,
    files: MemoryMedia,
    engine: Engine,
    account: AccountId,
    folder: tempfile::TempDir,
}

/// Media are prepared so long before a post is due.
const AHEAD: Duration = Duration::from_secs(3_600);

async fn bench(change: impl FnOnce(&mut MediaSettings)) -> Bench {
    let server = FakeX::start().await.expect("a free port");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let memory = MemoryBackend::new(Arc::clone(&clock));
    let backend = memory.backend();
    let vault: Arc<dyn Vault> = Arc::new(ChaChaVault::new(&[7; 32]));
    let account = account(&backend, &*vault).await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("cat.png"), picture(300, 200)).expect("a picture");
    std::fs::write(folder.path().join("fake.png"), b"#!/bin/sh\n").expect("a file");
    let files = MemoryMedia::default();
    let mut settings = MediaSettings { turn: Duration::from_secs(5), ..MediaSettings::default() };
    change(&mut settings);
    let media = Media {
        store: Arc::new(files.clone()),
        catalog: memory.media_catalog(),
        uploads: memory.uploads(),
        editor: Arc::new(Editor::new(EditorSettings::default())),
        source: Arc::new(Folders::new([folder.path().to_owned()]).relative_to(folder.path())),
        settings,
    };
    let x =
        X::new(Config { base_url: server.base_url(), ..Config::default() }).expect("an adapter");
    let workers = |topic| TopicWorkers { topic, at_once: 8 };
    let engine = Engine::builder(backend.clone())
        .platform(Arc::new(x))
        .vault(vault)
        .media(media)
        .settings(Settings {
            topics: vec![workers(Topic::publish()), workers(Topic::media())],
            prepare_ahead: AHEAD,
            rate_limit: false,
            sweep_every: Duration::from_millis(100),
            clean_every: Duration::from_millis(100),
            ..Settings::default()
        })
        .build()
        .expect("an engine");
    Bench { server, backend, files, engine, account, folder }
}

async fn account(backend: &Backend, vault: &dyn Vault) -> AccountId {
    let mut account = Account::new("mine", "x".parse().expect("a name"), SystemClock.now());
    account.remote_id = Some("42".to_owned());
    let secret = "tok-42".to_owned().into();
    account.credentials = Some(vault.seal(account.id, &secret).await.expect("sealed"));
    backend.accounts.insert(&account).await.expect("insert the account");
    account.id
}

fn picture(width: u32, height: u32) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x % 256) as u8, (y % 256) as u8, 7])
    });
    picture.write_to(&mut out, image::ImageFormat::Png).expect("an encoder");
    out.into_inner()
}

impl Bench {
    async fn post(&self, sources: &[&str], at: DateTime<Utc>) -> Post {
        let mut content = Content::text("look at this");
        let media = |source: &&str| MediaRef {
            source: (*source).to_owned(),
            alt: Some("a cat".to_owned()),
        };
        content.parts[0].media = sources.iter().map(media).collect();
        let post = Post::new(content, SystemClock.now());
        self.backend.posts.insert(std::slice::from_ref(&post)).await.expect("insert");
        let timing = Timing::OneShot { at, local: None };
        let mut schedule = Schedule::new(post.id, vec![self.account], timing, SystemClock.now());
        schedule.next_run_at = Some(at);
        self.backend.schedules.insert(&[schedule]).await.expect("insert");
        post
    }

    /// Runs the engine until something is so.
    async fn run_until(&self, what: &str, mut poll: impl AsyncFnMut(&Self) -> bool) {
        let shutdown = CancellationToken::new();
        let (engine, stop) = (self.engine.clone(), shutdown.clone());
        let running = tokio::spawn(async move { engine.run(stop).await });
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while !poll(self).await {
            assert!(tokio::time::Instant::now() < deadline, "within 60 s: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        shutdown.cancel();
        drop(running.await);
    }

    async fn jobs(&self, kind: &str) -> Vec<Job> {
        let filter = JobFilter::default();
        let all =
            self.backend.jobs.list(postq_core::id::TenantId::DEFAULT, &filter, Page::first(100));
        let all = all.await.expect("list");
        all.into_iter().filter(|job| job.made.kind.as_str() == kind).collect()
    }

    async fn is(&self, kind: &str, state: JobState) -> bool {
        self.jobs(kind).await.iter().any(|job| job.state == state)
    }
}

fn soon(seconds: i64) -> DateTime<Utc> {
    SystemClock.now() + TimeDelta::seconds(seconds)
}

#[tokio::test(flavor = "multi_thread")]
async fn media_are_uploaded_long_before_the_post_is_due() {
    let bench = bench(|_| {}).await;
    bench.post(&["cat.png"], soon(1_800)).await;

    bench
        .run_until("its media are prepared", async |b| {
            b.is(JobKind::MEDIA_PREPARE, JobState::Succeeded).await
        })
        .await;

    let uploads = bench.server.uploads();
    assert_eq!((uploads.len(), uploads[0].finalized), (1, true));
    assert_eq!(uploads[0].alt.as_deref(), Some("a cat"));
    assert!(bench.server.ledger().accepted.is_empty(), "it is not due yet");
    let publish = &bench.jobs(JobKind::PUBLISH).await[0];
    assert!(matches!(publish.state, JobState::Planned | JobState::Enqueued));
    let control = &bench.backend.control;
    let _ = control.due_now(publish.id()).await.expect("due now");
    bench.run_until("it is out", async |b| b.is(JobKind::PUBLISH, JobState::Succeeded).await).await;
    let out = bench.server.ledger().accepted;
    assert_eq!(out[0].media, [uploads[0].id.clone()]);
    assert_eq!(bench.server.uploads().len(), 1, "uploaded once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_due_at_once_uploads_first() {
    let bench = bench(|_| {}).await;
    let desk = bench.engine.media().expect("a desk");
    let content = Box::new(Cursor::new(picture(40, 30)));
    let file = desk.add(content, Addition::default(), soon(0)).await.expect("added");
    bench
        .server
        .set_faults(Faults { media: [MediaFault::Unavailable].into(), ..Faults::default() });
    bench.post(&[&file.id.as_source(), "cat.png"], soon(1)).await;

    bench
        .run_until("it waits for a retry", async |b| b.is(JobKind::PUBLISH, JobState::Failed).await)
        .await;
    let publish = &bench.jobs(JobKind::PUBLISH).await[0];
    let _ = bench.backend.control.due_now(publish.id()).await.expect("due now");
    bench.run_until("it is out", async |b| b.is(JobKind::PUBLISH, JobState::Succeeded).await).await;

    let (out, uploads) = (bench.server.ledger().accepted, bench.server.uploads());
    let ids: Vec<_> = uploads.iter().map(|upload| upload.id.clone()).collect();
    assert_eq!((out.len(), &out[0].media), (1, &ids), "in their order");
    assert_eq!(uploads[0].content(), picture(40, 30));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_platform_takes_is_told_before_the_post_is_due() {
    let bench = bench(|_| {}).await;
    bench.post(&["fake.png"], soon(1_800)).await;
    bench.post(&["/etc/passwd"], soon(1_800)).await;

    bench
        .run_until("both are given up", async |b| {
            let jobs = b.jobs(JobKind::MEDIA_PREPARE).await;
            jobs.iter().filter(|job| job.state == JobState::DeadLetter).count() == 2
        })
        .await;

    let jobs = bench.jobs(JobKind::MEDIA_PREPARE).await;
    let told =
        |word: &str| jobs.iter().any(|job| job.reason.as_deref().unwrap_or("").contains(word));
    assert!(told("\"fake.png\"") && told("of no known type"), "{jobs:?}");
    assert!(told("none of the folders that may be read"), "{jobs:?}");
    assert_eq!(bench.files.count(), 0, "nothing is left of what was refused");
    assert!(!bench.jobs(JobKind::NOTIFY).await.is_empty(), "a person is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_before_the_post_is_due_is_uploaded_anew() {
    let bench = bench(|_| {}).await;
    let life = Duration::from_secs(60);
    bench.server.set_faults(Faults { media_life: life, ..Faults::default() });
    bench.post(&["cat.png"], soon(1_800)).await;
    bench
        .run_until("its media are prepared", async |b| {
            b.is(JobKind::MEDIA_PREPARE, JobState::Succeeded).await
        })
        .await;
    bench.server.set_faults(Faults::default());

    let publish = &bench.jobs(JobKind::PUBLISH).await[0];
    let _ = bench.backend.control.due_now(publish.id()).await.expect("due now");
    bench.run_until("it is out", async |b| b.is(JobKind::PUBLISH, JobState::Succeeded).await).await;

    let uploads = bench.server.uploads();
    assert_eq!(uploads.len(), 2, "the first would have ended too early");
    assert_eq!(bench.server.ledger().accepted[0].media, [uploads[1].id.clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_when_nobody_needs_them() {
    let bench = bench(|settings| {
        settings.keep_unused = Duration::ZERO;
        settings.keep_uploads = Duration::ZERO;
    })
    .await;
    let desk = bench.engine.media().expect("a desk");
    let add = async |side| {
        let content = Box::new(Cursor::new(picture(side, side)));
        desk.add(content, Addition::default(), soon(-5)).await.expect("added").id
    };
    let (named, unused) = (add(20).await, add(30).await);
    bench.post(&[&named.as_source()], soon(7_200)).await;

    bench.run_until("the unused file is gone", async |b| b.files.count() == 1).await;

    assert!(desk.find(unused).await.is_err());
    assert!(bench.files.size(named).await.expect("size").is_some());
    let error = desk.remove(named).await.expect_err("a post names it").to_string();
    assert!(error.contains("is named by a post"), "{error}");
    assert!(Path::new(bench.folder.path()).join("cat.png").exists(), "what was read from stays");
}
