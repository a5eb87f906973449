//! Posts with media, from the desk to X: prepared before their moment, resumed, renewed, cleaned up.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use fake_x::{FakeX, Faults, MediaFault};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::content::{Content, MediaRef, Post};
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::{AccountId, TenantId};
use postq_core::job::{Job, JobKind, Topic};
use postq_core::machine::JobState;
use postq_core::media::{
    Fit, MediaEditor, MediaFacts, MediaId, MediaLimits, MediaReader, MediaSource, MediaStore,
};
use postq_core::memory::{MemoryBackend, MemoryMedia};
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::{JobFilter, Page};
use postq_core::vault::{ChaChaVault, Vault};
use postq_engine::desk::{Submission, When};
use postq_engine::media::{Addition, Media, MediaDesk, MediaSettings};
use postq_engine::{Engine, Settings, TopicWorkers};
use postq_media::{Editor, EditorSettings};
use postq_x::{Config, X};
use tokio_util::sync::CancellationToken;

/// An engine over an X-shaped server, with a web that has two files.
struct Bench {
    server: FakeX,
    backend: Backend,
    files: MemoryMedia,
    engine: Engine,
    account: AccountId,
    media: Media,
}

const CAT: &str = "https://pictures.example/cat.png?size=large";
const FAKE: &str = "https://pictures.example/fake.png";

/// The web: a picture, and what only looks like one by its name.
#[derive(Debug)]
struct Web;

#[async_trait]
impl MediaSource for Web {
    async fn open(&self, source: &str) -> Result<MediaReader, Failure> {
        let content = match source {
            CAT => picture(300, 200),
            FAKE => b"#!/bin/sh\n".to_vec(),
            other => {
                let message = format!("\"{other}\" is nothing that is read here");
                return Err(Failure::not_published(FailureClass::Content, message));
            }
        };
        Ok(Box::new(Cursor::new(content)))
    }
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
    let files = MemoryMedia::default();
    let mut settings = MediaSettings { turn: Duration::from_secs(5), ..MediaSettings::default() };
    change(&mut settings);
    let media = Media {
        store: Arc::new(files.clone()),
        catalog: memory.media_catalog(),
        uploads: memory.uploads(),
        editor: Arc::new(Editor::new(EditorSettings::default())),
        source: Arc::new(Web),
        links: None,
        settings,
    };
    let x = X::new(Config {
        base_url: server.base_url(),
        send_timeout: Duration::from_secs(2),
        ..Config::default()
    })
    .expect("an adapter");
    let workers = |topic| TopicWorkers { topic, at_once: 8 };
    let engine = Engine::builder(backend.clone())
        .platform(Arc::new(x))
        .vault(vault)
        .media(media.clone())
        .settings(Settings {
            topics: vec![workers(Topic::publish()), workers(Topic::media())],
            prepare_ahead: AHEAD,
            rate_limit: false,
            lease: Duration::from_secs(5),
            sweep_every: Duration::from_millis(100),
            clean_every: Duration::from_millis(100),
            ..Settings::default()
        })
        .build()
        .expect("an engine");
    Bench { server, backend, files, engine, account, media }
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
    bench.post(&[CAT], soon(1_800)).await;

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
    bench.post(&[&file.id.as_source(), CAT], soon(1)).await;

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
    bench.post(&[FAKE], soon(1_800)).await;
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
    assert!(told("\"/etc/passwd\" is nothing that is read here"), "{jobs:?}");
    assert_eq!(bench.files.count(), 0, "nothing is left of what was refused");
    assert!(!bench.jobs(JobKind::NOTIFY).await.is_empty(), "a person is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_before_the_post_is_due_is_uploaded_anew() {
    let bench = bench(|_| {}).await;
    let life = Duration::from_secs(60);
    bench.server.set_faults(Faults { media_life: life, ..Faults::default() });
    bench.post(&[CAT], soon(1_800)).await;
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
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_goes_and_what_is_needed_stays() {
    let bench = bench(|settings| {
        settings.keep_orphans = Duration::ZERO;
        settings.look_through = Duration::ZERO;
    })
    .await;
    let desk = bench.engine.media().expect("a desk");
    let content = Box::new(Cursor::new(picture(20, 20)));
    let added = desk.add(content, Addition::default(), soon(0)).await.expect("added").id;
    let left = bench.files.put(Box::new(Cursor::new(picture(30, 30))), 1 << 20).await;
    let left = left.expect("put and never written down").id;

    bench
        .run_until("what nothing is known of is gone", async |b| {
            b.files.size(left).await.expect("size").is_none()
        })
        .await;

    assert!(bench.files.size(added).await.expect("size").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_out_is_waited_for_and_told() {
    let bench = bench(|_| {}).await;
    let desk = bench.engine.media().expect("a desk");
    let content = picture(20, 20);
    let put = bench.files.put(Box::new(Cursor::new(content.clone())), 1 << 20).await;
    let id = put.expect("put").id;
    assert!(bench.media.catalog.claim(id).await.expect("claim"));

    let again = Box::new(Cursor::new(content.clone()));
    let (desk, other) = (desk.clone(), desk);
    let adding = tokio::spawn(async move { desk.add(again, Addition::default(), soon(0)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _ = bench.files.remove(id).await.expect("remove");
    bench.media.catalog.release(id).await.expect("release");
    let told = adding.await.expect("no panic").expect_err("its content is gone").to_string();

    assert!(told.contains("was taken away at this moment"), "{told}");
    assert!(other.find(id).await.is_err(), "no file without its content");
    let content = Box::new(Cursor::new(content));
    other.add(content, Addition::default(), soon(0)).await.expect("added now");
    assert!(bench.files.size(id).await.expect("size").is_some());
}

/// Looks into files, and while it does so somebody takes the same content away.
#[derive(Debug)]
struct Meanwhile {
    editor: Editor,
    media: Media,
}

#[async_trait]
impl MediaEditor for Meanwhile {
    async fn inspect(&self, store: &dyn MediaStore, id: MediaId) -> Result<MediaFacts, Failure> {
        let facts = self.editor.inspect(store, id).await?;
        let desk = MediaDesk::new(self.media.clone(), TenantId::DEFAULT);
        desk.remove(id).await.expect("removed");
        Ok(facts)
    }

    async fn fit(
        &self,
        store: &dyn MediaStore,
        id: MediaId,
        facts: &MediaFacts,
        limits: &MediaLimits,
    ) -> Result<Fit, Failure> {
        self.editor.fit(store, id, facts, limits).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_added_whose_content_went_while_it_was_looked_into() {
    let bench = bench(|_| {}).await;
    let desk = bench.engine.media().expect("a desk");
    let content = || Box::new(Cursor::new(picture(21, 20)));
    let added = desk.add(content(), Addition::default(), soon(0)).await.expect("added");
    let editor = Editor::new(EditorSettings::default());
    let editor = Arc::new(Meanwhile { editor, media: bench.media.clone() });
    let raced = MediaDesk::new(Media { editor, ..bench.media.clone() }, TenantId::DEFAULT);

    let told = raced.add(content(), Addition::default(), soon(0)).await;

    let told = told.expect_err("its content is gone").to_string();
    assert!(told.contains("was taken away at this moment"), "{told}");
    assert!(desk.find(added.id).await.is_err(), "no file without its content");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_killed_goes_on_with_the_piece_it_was_at() {
    let bench = bench(|_| {}).await;
    let desk = bench.engine.media().expect("a desk");
    // Five pieces, in an engine that dies after two.
    let content = video(5 * 2 * 1_024 * 1_024 - 77);
    let added = desk.add(Box::new(Cursor::new(content.clone())), Addition::default(), soon(0));
    let file = added.await.expect("a video");
    bench.post(&[&file.id.as_source()], soon(1_800)).await;
    let engine = bench.engine.clone();
    let running = tokio::spawn(async move { engine.run(CancellationToken::new()).await });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let pieces = || bench.server.uploads().first().map_or(0, |upload| upload.pieces.len());
    while pieces() < 2 {
        assert!(tokio::time::Instant::now() < deadline, "two pieces");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.abort();
    drop(running.await);
    let before = pieces();

    bench
        .run_until("another engine ends it", async |b| {
            b.is(JobKind::MEDIA_PREPARE, JobState::Succeeded).await
        })
        .await;

    let uploads = bench.server.uploads();
    assert_eq!((uploads.len(), uploads[0].finalized), (1, true), "begun once");
    assert!(uploads[0].content() == content, "whole, and in order");
    let seen = bench.server.seen();
    let appends = seen.iter().filter(|seen| seen.target.ends_with("/append")).count();
    assert!(appends <= 6, "{before} pieces were there; {appends} were sent in all");
}

/// An MP4 of this size: an index of ten seconds, and noise.
fn video(bytes: usize) -> Vec<u8> {
    let atom = |name: &[u8; 4], content: &[u8]| {
        let length = u32::try_from(content.len() + 8).expect("small").to_be_bytes();
        [&length[..], name, content].concat()
    };
    let mut mvhd = vec![0; 100];
    mvhd[12..16].copy_from_slice(&600_u32.to_be_bytes());
    mvhd[16..20].copy_from_slice(&6_000_u32.to_be_bytes());
    let mut tkhd = vec![0; 84];
    tkhd[3] = 3;
    tkhd[76..78].copy_from_slice(&640_u16.to_be_bytes());
    tkhd[80..82].copy_from_slice(&480_u16.to_be_bytes());
    let mut hdlr = vec![0; 25];
    hdlr[8..12].copy_from_slice(b"vide");
    let stsd = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &atom(b"avc1", &[0; 78])].concat();
    let minf = atom(b"minf", &atom(b"stbl", &atom(b"stsd", &stsd)));
    let mdia = atom(b"mdia", &[atom(b"hdlr", &hdlr), minf].concat());
    let trak = atom(b"trak", &[atom(b"tkhd", &tkhd), mdia].concat());
    let head =
        [atom(b"ftyp", b"isom\0\0\0\0isom"), atom(b"moov", &[atom(b"mvhd", &mvhd), trak].concat())]
            .concat();
    let noise: Vec<u8> = (0..bytes - head.len() - 8).map(|i| (i * 7 + i / 255) as u8).collect();
    [head, atom(b"mdat", &noise)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_post_names_is_checked_when_it_comes_in() {
    let bench = bench(|_| {}).await;
    let (desk, files) = (bench.engine.desk(), bench.engine.media().expect("a desk"));
    let mut sources = Vec::new();
    for side in [10, 11, 12, 13, 14] {
        let content = Box::new(Cursor::new(picture(side, side)));
        let added = files.add(content, Addition::default(), soon(0)).await.expect("added");
        sources.push(added.id.as_source());
    }
    let video = Box::new(Cursor::new(video(5_000)));
    let video = files.add(video, Addition::default(), soon(0)).await.expect("added").id.as_source();
    let unknown = MediaId::of_hash([9; 32]).as_source();
    let refused = async |sources: &[&str]| {
        let mut content = Content::text("look");
        let media = |source: &&str| MediaRef { source: (*source).to_owned(), alt: None };
        content.parts[0].media = sources.iter().map(media).collect();
        let new = Submission::new(content, ["mine"], When::Now);
        desk.submit(new).await.map(drop).map_err(|error| error.to_string())
    };
    let all: Vec<&str> = sources.iter().map(String::as_str).collect();

    for (sources, problem) in [
        (&["cat.png"][..], "is a path, and no post names a path"),
        (&["/etc/passwd"], "POST /api/media"),
        (&["file:///etc/passwd"], "is no address that is read"),
        (&["media:abc"], "this is no id of media"),
        (&[unknown.as_str()], "is no file that was added"),
        (&all, "5 media files, at most 4"),
        (&[all[0], &video], "image and video in one part"),
    ] {
        let told = refused(sources).await.expect_err(problem);
        assert!(told.contains(problem) && told.contains("media"), "{told}");
    }
    refused(&all[..4]).await.expect("four pictures");
    refused(&[&video]).await.expect("a video");
}
