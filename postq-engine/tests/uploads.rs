//! What a platform does with the files of a post: it takes long for a large one, and forgets them before the post.

use std::io::Cursor;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::content::{Content, Draft, MediaRef, Post};
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::{AccountId, TenantId};
use postq_core::intent::Receipt;
use postq_core::job::{DeadReason, Job, JobKind, Topic};
use postq_core::machine::JobState;
use postq_core::media::{Attached, KindLimits, MediaKind, MediaLimits, MediaReader, MediaSource};
use postq_core::memory::{MemoryBackend, MemoryMedia};
use postq_core::options::PostOptions;
use postq_core::platform::{
    Identity, Media as Uploads, Outgoing, Pace, Platform, PlatformName, PreparedMedia, Published,
    UploadFile, UploadStep, Violation,
};
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::{JobFilter, Page, ReplayKey};
use postq_engine::media::{Media, MediaSettings};
use postq_engine::{Engine, Settings, TopicWorkers};
use postq_media::{Editor, EditorSettings};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const CAT: &str = "https://pictures.example/cat.png";
/// What one call usually takes at most, here.
const SEND_TIMEOUT: Duration = Duration::from_millis(300);
/// What an attempt usually takes at most, here.
const TIME_LIMIT: Duration = Duration::from_millis(900);

#[derive(Debug, Default)]
struct World {
    /// Uploads so far, each with whether it is still there.
    uploads: Vec<bool>,
    /// Calls that sent a file.
    sent: usize,
    /// How long such a call takes.
    takes: Duration,
    /// How long one may take.
    may_take: Option<Duration>,
    /// What is wrong with any files.
    wrong: Option<&'static str>,
    /// What the next publishing call says of the files.
    refusal: Option<Failure>,
    out: usize,
}

/// An album: files are registered, then sent in one call each.
#[derive(Clone, Debug)]
struct Album {
    name: PlatformName,
    world: Arc<Mutex<World>>,
}

impl Album {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Platform for Album {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace { send_timeout: SEND_TIMEOUT, ..Pace::default() }
    }

    fn validate(&self, _: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    fn media(&self) -> Option<&dyn Uploads> {
        Some(self)
    }

    async fn publish<'a>(&self, _: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let mut world = self.world();
        if let Some(refusal) = world.refusal.take() {
            world.uploads.fill(false);
            return Err(refusal);
        }
        for media in part.prepared {
            let upload: usize = media.remote_id.parse().expect("an id of ours");
            if !world.uploads[upload] {
                return Err(Failure::not_published(FailureClass::Content, "no such file"));
            }
        }
        world.out += 1;
        let receipt = Receipt {
            part: part.part,
            remote_id: format!("post-{}", world.out),
            url: None,
            published_at: SystemClock.now(),
            dry_run: false,
        };
        Ok(Published { receipt, limits: Vec::new() })
    }
}

#[async_trait]
impl Uploads for Album {
    fn limits(&self) -> MediaLimits {
        MediaLimits {
            image: Some(KindLimits::new([MediaKind::Png], 1 << 20)),
            animation: None,
            video: None,
            most: 4,
            mixed: false,
            alt: 100,
        }
    }

    fn problems<'a>(&self, _: &PostOptions, files: &[Attached<'a>]) -> Vec<String> {
        assert_eq!(files[0].facts.kind, MediaKind::Png);
        self.world().wrong.map(str::to_owned).into_iter().collect()
    }

    fn step_timeout(&self, bytes: u64) -> Option<Duration> {
        assert!(bytes > 0, "the size of the file");
        self.world().may_take
    }

    async fn step<'a>(
        &self,
        _: &Identity,
        _: UploadFile<'a>,
        state: Option<&'a Value>,
    ) -> Result<UploadStep, Failure> {
        if state.is_none() {
            return Ok(UploadStep::Going { state: json!("registered"), wait: Duration::ZERO });
        }
        let takes = {
            let mut world = self.world();
            world.sent += 1;
            world.takes
        };
        tokio::time::sleep(takes).await;
        let mut world = self.world();
        world.uploads.push(true);
        let remote_id = (world.uploads.len() - 1).to_string();
        Ok(UploadStep::Ready(PreparedMedia { remote_id, expires_at: None }))
    }
}

#[derive(Debug)]
struct Web;

#[async_trait]
impl MediaSource for Web {
    async fn open(&self, source: &str) -> Result<MediaReader, Failure> {
        assert_eq!(source, CAT);
        let mut out = Cursor::new(Vec::new());
        image::RgbImage::new(30, 20).write_to(&mut out, image::ImageFormat::Png).expect("a PNG");
        out.set_position(0);
        Ok(Box::new(out))
    }
}

struct Bench {
    album: Album,
    backend: Backend,
    engine: Engine,
    account: AccountId,
}

async fn bench() -> Bench {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let memory = MemoryBackend::new(Arc::clone(&clock));
    let backend = memory.backend();
    let name: PlatformName = "album".parse().expect("a name");
    let album = Album { name: name.clone(), world: Arc::default() };
    let account = Account::new("mine", name, SystemClock.now());
    backend.accounts.insert(&account).await.expect("insert the account");
    let media = Media {
        store: Arc::new(MemoryMedia::default()),
        catalog: memory.media_catalog(),
        uploads: memory.uploads(),
        editor: Arc::new(Editor::new(EditorSettings::default())),
        source: Arc::new(Web),
        links: None,
        settings: MediaSettings { turn: TIME_LIMIT / 2, ..MediaSettings::default() },
    };
    let workers = |topic| TopicWorkers { topic, at_once: 4 };
    let settings = Settings {
        topics: vec![workers(Topic::publish()), workers(Topic::media())],
        rate_limit: false,
        sweep_every: Duration::from_millis(100),
        warn_after: TIME_LIMIT / 2,
        time_limit: TIME_LIMIT,
        grace_period: Duration::from_secs(2),
        ..Settings::default()
    };
    let engine = Engine::builder(backend.clone())
        .platform(Arc::new(album.clone()))
        .media(media)
        .settings(settings)
        .build()
        .expect("an engine");
    Bench { album, backend, engine, account: account.id }
}

impl Bench {
    async fn post(&self, at: DateTime<Utc>) {
        let mut content = Content::text("look");
        content.parts[0].media = vec![MediaRef { source: CAT.to_owned(), alt: None }];
        let post = Post::new(content, SystemClock.now());
        self.backend.posts.insert(std::slice::from_ref(&post)).await.expect("insert");
        let timing = Timing::OneShot { at, local: None };
        let mut schedule = Schedule::new(post.id, vec![self.account], timing, SystemClock.now());
        schedule.next_run_at = Some(at);
        self.backend.schedules.insert(&[schedule]).await.expect("insert");
    }

    async fn jobs(&self, kind: &str) -> Vec<Job> {
        let (all, page) = (JobFilter::default(), Page::first(10));
        let jobs = self.backend.jobs.list(TenantId::DEFAULT, &all, page).await.expect("list");
        jobs.into_iter().filter(|job| job.made.kind.as_str() == kind).collect()
    }

    /// What becomes of the only post; what waits for a retry is not waited for.
    async fn ended(&self) -> Job {
        self.run(async |bench| {
            loop {
                if let Some(job) = bench.jobs(JobKind::PUBLISH).await.pop() {
                    match job.state {
                        JobState::Succeeded | JobState::DeadLetter => return job,
                        JobState::Failed => {
                            let _ = bench.backend.control.due_now(job.id()).await.expect("due now");
                        }
                        _ => {}
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// Runs the engine as long as this takes.
    async fn run<T>(&self, mut poll: impl AsyncFnMut(&Self) -> T) -> T {
        let shutdown = CancellationToken::new();
        let (engine, stop) = (self.engine.clone(), shutdown.clone());
        let running = tokio::spawn(async move { engine.run(stop).await });
        let limit = Duration::from_secs(60);
        let done = tokio::time::timeout(limit, poll(self)).await.expect("within 60 s");
        shutdown.cancel();
        drop(running.await);
        done
    }
}

fn soon(seconds: i64) -> DateTime<Utc> {
    SystemClock.now() + TimeDelta::seconds(seconds)
}

fn gone(class: FailureClass) -> Failure {
    Failure::not_published(class, "no such file")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_has_forgotten_is_uploaded_again() {
    let bench = bench().await;
    bench.album.world().refusal = Some(gone(FailureClass::Platform).as_media_gone());
    bench.post(soon(0)).await;

    let job = bench.ended().await;

    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    let world = bench.album.world();
    assert_eq!((world.out, world.sent), (1, 2), "the same file twice, and one post");
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_that_is_not_about_the_files_leaves_them() {
    let bench = bench().await;
    bench.album.world().refusal = Some(gone(FailureClass::Network));
    bench.post(soon(0)).await;
    let failed = async |bench: &Bench| loop {
        let jobs = bench.jobs(JobKind::PUBLISH).await;
        if jobs.iter().any(|job| job.state == JobState::Failed) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    bench.run(failed).await;
    bench.album.world().uploads.fill(true);

    let job = bench.ended().await;

    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    assert_eq!(bench.album.world().sent, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_sends_a_refused_post_again_does_not_meet_the_same_files() {
    let bench = bench().await;
    bench.album.world().refusal = Some(gone(FailureClass::Content));
    bench.post(soon(0)).await;
    let refused = bench.ended().await;
    assert_eq!(
        (refused.state, refused.dead_reason),
        (JobState::DeadLetter, Some(DeadReason::Content))
    );

    let control = &bench.backend.control;
    let _ = control.replay(refused.id(), ReplayKey::Keep).await.expect("sent again");

    let out = async |bench: &Bench| {
        while bench.album.world().out == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    bench.run(out).await;
    assert_eq!(bench.album.world().sent, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_files_of_the_web_is_told_before_one_is_sent() {
    let bench = bench().await;
    bench.album.world().wrong = Some("a film is asked for");
    bench.post(soon(0)).await;

    let refused = bench.ended().await;

    assert_eq!(
        (refused.state, refused.dead_reason),
        (JobState::DeadLetter, Some(DeadReason::Content))
    );
    assert!(refused.reason.as_deref().unwrap_or_default().contains("a film is asked for"));
    assert_eq!(bench.album.world().sent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_has_more_time_than_a_call_and_an_attempt() {
    let bench = bench().await;
    {
        let mut world = bench.album.world();
        (world.takes, world.may_take) = (TIME_LIMIT * 2, Some(TIME_LIMIT * 4));
    }
    bench.post(soon(0)).await;

    let job = bench.ended().await;

    assert_eq!((job.state, job.attempt), (JobState::Succeeded, 1), "{job:?}");
    assert_eq!(bench.album.world().sent, 1, "sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_has_no_more_time_than_it_asks_for() {
    let case = async |may_take: Option<Duration>, within: &str| {
        let bench = bench().await;
        {
            let mut world = bench.album.world();
            (world.takes, world.may_take) = (Duration::from_secs(60), may_take);
        }
        bench.post(soon(0)).await;
        let told = bench
            .run(async |bench| {
                loop {
                    let jobs = bench.jobs(JobKind::PUBLISH).await;
                    if let Some(reason) = jobs.into_iter().find_map(|job| job.reason) {
                        return reason;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
        assert!(told.contains(&format!("no answer within {within} to an upload")), "{told}");
    };
    let (less, more) = (Duration::from_millis(1), Duration::from_millis(1_200));
    tokio::join!(case(None, "300ms"), case(Some(less), "300ms"), case(Some(more), "1.2s"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_that_a_shutdown_cuts_off_is_nobodys_attempt() {
    let bench = bench().await;
    {
        let mut world = bench.album.world();
        (world.takes, world.may_take) = (Duration::from_secs(60), Some(Duration::from_secs(120)));
    }
    bench.post(soon(0)).await;
    let on_its_way = async |bench: &Bench| {
        while bench.album.world().sent == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };

    bench.run(on_its_way).await;

    let job = bench.jobs(JobKind::PUBLISH).await.pop().expect("it is planned");
    assert_eq!((job.state, job.attempt), (JobState::Enqueued, 0), "given back: {job:?}");
    assert_eq!(job.reason.as_deref(), Some("the node shut down"));
}

/// The post is due while its file is still on its way: nobody begins to send it a second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_takes_long_is_in_one_pair_of_hands() {
    let bench = bench().await;
    {
        let mut world = bench.album.world();
        (world.takes, world.may_take) = (Duration::from_secs(12), Some(Duration::from_secs(30)));
    }
    bench.post(soon(1_800)).await;

    let job = bench
        .run(async |bench| {
            while bench.album.world().sent == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let job = bench.jobs(JobKind::PUBLISH).await.pop().expect("it is planned");
            let _ = bench.backend.control.due_now(job.id()).await.expect("due now");
            loop {
                let job = bench.jobs(JobKind::PUBLISH).await.pop().expect("a job");
                if job.state == JobState::Succeeded {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;

    assert_eq!(job.attempt, 1, "waiting is nobody's attempt: {job:?}");
    let world = bench.album.world();
    assert_eq!((world.out, world.sent), (1, 1));
}
