//! A platform that builds a post first and publishes it by a second call: the container is in the intent, built
//! once, built anew after a refusal, and never published twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::account::{Account, OnUnknown};
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::content::{Content, Draft};
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::TenantId;
use postq_core::intent::Receipt;
use postq_core::job::{Applied, DeadReason, Job, JobKind};
use postq_core::machine::JobState;
use postq_core::media::{MediaReader, MediaSource};
use postq_core::memory::{MemoryBackend, MemoryMedia};
use postq_core::platform::{
    Identity, Look, Lookup, Outgoing, Pace, Platform, PlatformName, Preflight, PreparedMedia,
    Published, Reconcile, Stage, UploadStep, Violation,
};
use postq_core::store::{JobFilter, Page, ReplayKey, Replayed};
use postq_engine::desk::{DeskError, Submission, When};
use postq_engine::media::{Media, MediaSettings};
use postq_engine::{Engine, Settings};
use postq_media::{Editor, EditorSettings};
use tokio_util::sync::CancellationToken;

/// What the next publishing call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The container has expired.
    Expired,
    /// It is published, and the answer is lost.
    Cut,
    /// Nothing is published, and no answer comes.
    Lost,
    /// It is published, and refused.
    Refused,
}

/// What a preflight says, of the rules that are checked and of those that are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rules {
    #[default]
    Good,
    Refuses,
    Unknown,
    Hangs,
}

#[derive(Debug, Default)]
struct World {
    /// Containers, and whether each is out.
    containers: Vec<(String, bool)>,
    troubles: Vec<Trouble>,
    rules: Rules,
    /// What the next who ask for advice are told; then there is some.
    advice: VecDeque<Rules>,
    /// How many have asked for it.
    advised: usize,
    /// What is begun cannot be worked on, ever.
    is_stuck: bool,
    /// What is out is not told apart.
    is_nameless: bool,
}

/// A gallery: containers need two steps.
#[derive(Clone, Debug)]
struct Gallery {
    name: PlatformName,
    world: Arc<Mutex<World>>,
}

impl Gallery {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn out(&self) -> Vec<String> {
        let world = self.world();
        world.containers.iter().filter(|(_, out)| *out).map(|(id, _)| id.clone()).collect()
    }
}

fn receipt(part: u16, container: &str) -> Receipt {
    let remote_id = format!("post-of-{container}");
    Receipt { part, remote_id, url: None, published_at: SystemClock.now(), dry_run: false }
}

#[async_trait]
impl Platform for Gallery {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace { send_timeout: Duration::from_millis(500), ..Pace::default() }
    }

    fn validate(&self, _: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    fn stage(&self) -> Option<&dyn Stage> {
        Some(self)
    }

    fn reconcile(&self) -> Option<&dyn Reconcile> {
        Some(self)
    }

    fn preflight(&self) -> Option<&dyn Preflight> {
        Some(self)
    }

    async fn publish<'a>(&self, _: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let Some(container) = part.container.map(str::to_owned) else {
            return Ok(Published { receipt: receipt(part.part, "nothing"), limits: Vec::new() });
        };
        let mut world = self.world();
        let trouble = world.troubles.pop();
        let unknown = |why: &str| Err(Failure::unknown(FailureClass::Network, why));
        match trouble {
            Some(Trouble::Expired) => {
                return Err(Failure::not_published(FailureClass::Platform, "it has expired"));
            }
            Some(Trouble::Lost) => return unknown("no answer"),
            _ => {}
        }
        let known = world.containers.iter_mut().find(|(id, _)| *id == container);
        known.expect("a container of ours").1 = true;
        match trouble {
            Some(Trouble::Cut) => return unknown("cut"),
            Some(Trouble::Refused) => {
                return Err(Failure::not_published(FailureClass::Content, "no cats"));
            }
            _ => {}
        }
        Ok(Published { receipt: receipt(part.part, &container), limits: Vec::new() })
    }
}

#[async_trait]
impl Stage for Gallery {
    async fn step<'a>(
        &self,
        _: &Identity,
        _: Outgoing<'a>,
        state: Option<&'a serde_json::Value>,
        _: DateTime<Utc>,
    ) -> Result<UploadStep, Failure> {
        if state.is_some_and(|state| state == "stuck") {
            return Err(Failure::not_published(FailureClass::Content, "it is damaged"));
        }
        if state.is_none() {
            let mut world = self.world();
            if world.is_stuck {
                return Ok(UploadStep::Going { state: "stuck".into(), wait: Duration::ZERO });
            }
            let id = format!("container-{}", world.containers.len());
            world.containers.push((id.clone(), false));
            return Ok(UploadStep::Going { state: id.into(), wait: Duration::ZERO });
        }
        let id = state.and_then(|state| state.as_str()).expect("a state of ours").to_owned();
        Ok(UploadStep::Ready(PreparedMedia { remote_id: id, expires_at: None }))
    }
}

#[async_trait]
impl Reconcile for Gallery {
    fn settle_time(&self) -> Duration {
        Duration::from_millis(200)
    }

    async fn look<'a>(&self, _: &Identity, lookup: Lookup<'a>) -> Result<Look, Failure> {
        let container = lookup.intent.container.clone().expect("it is in the intent");
        if !self.out().contains(&container) {
            return Ok(Look::Absent);
        }
        match self.world().is_nameless {
            true => Ok(Look::OutSomewhere("which cat is it?".to_owned())),
            false => Ok(Look::Found(receipt(lookup.intent.part, &container))),
        }
    }
}

#[async_trait]
impl Preflight for Gallery {
    async fn check<'a>(&self, _: &Identity, _: Draft<'a>) -> Result<Vec<Violation>, Failure> {
        let rules = self.world().rules;
        match rules {
            Rules::Good => Ok(Vec::new()),
            Rules::Refuses => {
                Ok(vec![Violation { part: 0, message: "no cats on Sundays".to_owned() }])
            }
            Rules::Unknown => Err(Failure::not_published(FailureClass::Platform, "it is down")),
            Rules::Hangs => std::future::pending().await,
        }
    }

    async fn advice<'a>(&self, _: &Identity, _: Draft<'a>) -> Result<Vec<String>, Failure> {
        let told = {
            let mut world = self.world();
            world.advised += 1;
            world.advice.pop_front().unwrap_or_default()
        };
        match told {
            Rules::Good => Ok(vec!["Cats: one at a time".to_owned()]),
            Rules::Refuses => Ok(Vec::new()),
            Rules::Unknown => Err(Failure::not_published(FailureClass::Platform, "it is down")),
            Rules::Hangs => std::future::pending().await,
        }
    }
}

/// No post here names a file.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl MediaSource for Nowhere {
    async fn open(&self, source: &str) -> Result<MediaReader, Failure> {
        panic!("nobody asks for {source}")
    }
}

struct Bench {
    gallery: Gallery,
    backend: Backend,
    engine: Engine,
}

async fn bench() -> Bench {
    bench_with(true).await
}

/// With or without a place where media are kept.
async fn bench_with(keeps_media: bool) -> Bench {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let memory = MemoryBackend::new(Arc::clone(&clock));
    let backend = memory.backend();
    let name: PlatformName = "gallery".parse().expect("a name");
    let gallery = Gallery { name: name.clone(), world: Arc::default() };
    let account = Account::new("mine", name, SystemClock.now());
    backend.accounts.insert(&account).await.expect("insert the account");
    let media = Media {
        store: Arc::new(MemoryMedia::default()),
        catalog: memory.media_catalog(),
        uploads: memory.uploads(),
        editor: Arc::new(Editor::new(EditorSettings::default())),
        source: Arc::new(Nowhere),
        links: None,
        settings: MediaSettings::default(),
    };
    let settings = Settings {
        rate_limit: false,
        sweep_every: Duration::from_millis(100),
        ..Settings::default()
    };
    let builder = Engine::builder(backend.clone()).platform(Arc::new(gallery.clone()));
    let builder = if keeps_media { builder.media(media) } else { builder };
    let engine = builder.settings(settings).build().expect("an engine");
    Bench { gallery, backend, engine }
}

impl Bench {
    async fn submit(&self) -> Result<(), DeskError> {
        let submission = Submission::new(Content::text("a cat"), ["mine"], When::Now);
        self.engine.desk().submit(submission).await.map(drop)
    }

    /// What a preview for these accounts refuses, and what it gives to read.
    async fn preview(&self, accounts: &[&str]) -> (Vec<String>, Vec<String>) {
        let submission =
            Submission::new(Content::text("a cat"), accounts.iter().copied(), When::Now);
        let preview = self.engine.desk().preview(&submission, false, 1).await.expect("a preview");
        let refused = preview.problems.into_iter().map(|problem| problem.message).collect();
        let platforms = preview.platforms.into_iter();
        (refused, platforms.flat_map(|platform| platform.advice).collect())
    }

    /// Runs the engine until the job has ended.
    async fn ended(&self) -> (JobState, Option<DeadReason>) {
        let job = self.last_of(1).await;
        (job.state, job.dead_reason)
    }

    /// Runs the engine until so many jobs have ended: the last one of them.
    async fn last_of(&self, count: usize) -> Job {
        let shutdown = CancellationToken::new();
        let (engine, stop) = (self.engine.clone(), shutdown.clone());
        let running = tokio::spawn(async move { engine.run(stop).await });
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let ended = loop {
            let (all, page) = (JobFilter::default(), Page::first(10));
            let jobs = self.backend.jobs.list(TenantId::DEFAULT, &all, page);
            let jobs = jobs.await.expect("list");
            let is_over = |job: &Job| {
                let is_publish = job.made.kind.as_str() == JobKind::PUBLISH;
                is_publish && matches!(job.state, JobState::Succeeded | JobState::DeadLetter)
            };
            let mut over: Vec<Job> = jobs.into_iter().filter(is_over).collect();
            if over.len() >= count {
                over.sort_by_key(|job| job.replay_of.is_some());
                break over.pop().expect("one at least");
            }
            assert!(tokio::time::Instant::now() < deadline, "ended within 60 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        shutdown.cancel();
        drop(running.await);
        ended
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_built_is_published_once() {
    let bench = bench().await;
    bench.submit().await.expect("taken in");

    assert_eq!(bench.ended().await, (JobState::Succeeded, None));

    assert_eq!(bench.gallery.out(), ["container-0"]);
    assert_eq!(bench.gallery.world().containers.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_tells_what_became_of_a_call() {
    let case = async |trouble, containers| {
        let bench = bench().await;
        bench.gallery.world().troubles.push(trouble);
        bench.submit().await.expect("taken in");

        assert_eq!(bench.ended().await, (JobState::Succeeded, None), "{trouble:?}");

        assert_eq!(bench.gallery.out().len(), 1, "{trouble:?}");
        assert_eq!(bench.gallery.world().containers.len(), containers, "{trouble:?}");
    };
    tokio::join!(case(Trouble::Cut, 1), case(Trouble::Lost, 1), case(Trouble::Expired, 2));
}

/// Whatever the account wants to be done with what is unknown: this is known to be out.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_somewhere_is_never_sent_again() {
    let case = async |trouble| {
        let bench = bench().await;
        let known = bench.backend.accounts.list(TenantId::DEFAULT).await.expect("list").remove(0);
        let resends = Account { on_unknown: OnUnknown::Resend, ..known.clone() };
        let changed = bench.backend.accounts.update(&resends, Some(&known)).await;
        assert_eq!(changed.expect("an answer"), Applied::Applied);
        bench.gallery.world().troubles.push(trouble);
        bench.gallery.world().is_nameless = true;
        bench.submit().await.expect("taken in");

        let held = bench.last_of(1).await;
        let control = &bench.backend.control;
        let replayed = control.replay(held.id(), ReplayKey::Keep).await.expect("replayed");
        assert!(matches!(replayed, Replayed::By(_)), "{replayed:?}");
        let again = bench.last_of(2).await;

        for job in [held, again] {
            let ended = (job.state, job.dead_reason);
            let expected = (JobState::DeadLetter, Some(DeadReason::OutcomeUnknown));
            assert_eq!(ended, expected, "{trouble:?}: {job:?}");
        }
        assert_eq!(bench.gallery.out(), ["container-0"], "{trouble:?}");
        assert_eq!(bench.gallery.world().containers.len(), 1, "{trouble:?}");
    };
    tokio::join!(case(Trouble::Cut), case(Trouble::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stuck_is_made_anew_when_a_person_sends_it_again() {
    let bench = bench().await;
    bench.gallery.world().is_stuck = true;
    bench.submit().await.expect("taken in");
    let dead = bench.last_of(1).await;
    assert_eq!((dead.state, dead.dead_reason), (JobState::DeadLetter, Some(DeadReason::Content)));

    bench.gallery.world().is_stuck = false;
    let replayed = bench.backend.control.replay(dead.id(), ReplayKey::Keep).await;
    assert!(matches!(replayed.expect("replayed"), Replayed::By(_)));

    let again = bench.last_of(2).await;
    assert_eq!(again.state, JobState::Succeeded, "{again:?}");
    assert_eq!(bench.gallery.out(), ["container-0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_is_asked_for_its_rules_twice() {
    let bench = bench().await;
    bench.gallery.world().rules = Rules::Refuses;
    let refused = bench.submit().await.expect_err("refused").to_string();
    assert!(refused.contains("no cats on Sundays"), "{refused}");

    bench.gallery.world().rules = Rules::Good;
    bench.submit().await.expect("taken in");
    bench.gallery.world().rules = Rules::Refuses;
    let ended = bench.ended().await;

    assert_eq!(ended, (JobState::DeadLetter, Some(DeadReason::Content)));
    assert!(bench.gallery.out().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_nobody_tells_refuse_nothing() {
    let case = async |rules| {
        let bench = bench().await;
        bench.gallery.world().rules = rules;
        bench.submit().await.expect("taken in");

        assert_eq!(bench.ended().await, (JobState::Succeeded, None), "{rules:?}");
    };
    tokio::join!(case(Rules::Unknown), case(Rules::Hangs));
}

const ADVICE: [&str; 1] = ["Cats: one at a time"];

#[tokio::test(flavor = "multi_thread")]
async fn previews_alone_tell_what_a_person_should_read() {
    let bench = bench().await;
    bench.submit().await.expect("taken in");
    assert_eq!(bench.ended().await, (JobState::Succeeded, None));
    assert_eq!(bench.gallery.world().advised, 0, "neither planning nor sending asks");

    let (refused, read) = bench.preview(&["mine"]).await;
    assert_eq!((refused, read), (vec![], ADVICE.map(str::to_owned).to_vec()));

    // What is refused may be read about all the same.
    bench.gallery.world().rules = Rules::Refuses;
    let (refused, read) = bench.preview(&["mine"]).await;
    assert!(refused[0].contains("no cats on Sundays"), "{refused:?}");
    assert_eq!((read, bench.gallery.world().advised), (ADVICE.map(str::to_owned).to_vec(), 2));

    // Nobody is asked about what cannot be.
    let (refused, read) = bench.preview(&["mine", "nobody"]).await;
    assert_eq!((refused.len(), read.len(), bench.gallery.world().advised), (1, 0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_without_advice_is_a_preview() {
    let case = async |rules, advice| {
        let bench = bench().await;
        bench.gallery.world().rules = rules;
        bench.gallery.world().advice.push_back(advice);
        let start = Instant::now();

        let told = bench.preview(&["mine"]).await;

        assert_eq!(told, (vec![], vec![]), "{rules:?}, {advice:?}");
        assert_eq!(bench.gallery.world().advised, 1);
        assert!(start.elapsed() < Duration::from_secs(9), "both questions wait at the same time");
    };
    tokio::join!(
        case(Rules::Good, Rules::Unknown),
        case(Rules::Good, Rules::Refuses),
        case(Rules::Hangs, Rules::Hangs)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_is_told_by_the_first_account_that_is_answered() {
    let bench = bench().await;
    let other = Account::new("other", bench.gallery.name.clone(), SystemClock.now());
    bench.backend.accounts.insert(&other).await.expect("insert the account");
    bench.gallery.world().advice.push_back(Rules::Unknown);

    assert_eq!(bench.preview(&["mine", "other"]).await.1, ADVICE);
    assert_eq!(bench.gallery.world().advised, 2);
    assert_eq!(bench.preview(&["mine", "other"]).await.1, ADVICE);
    assert_eq!(bench.gallery.world().advised, 3, "answered once is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_media_are_kept_a_text_goes_as_it_is() {
    let bench = bench_with(false).await;
    bench.submit().await.expect("taken in");

    assert_eq!(bench.ended().await, (JobState::Succeeded, None));

    assert!(bench.gallery.world().containers.is_empty(), "nothing was built");
}
