//! I4: nothing is dropped in silence: each job ends with a reason, a miss is recorded, a bad row or a
//! full disk is told and holds up nobody.

#![allow(missing_docs, reason = "a test")]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/scripted.rs"]
mod scripted;

use std::num::NonZeroU32;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backends::{Bench, Running, SetClock, over_backends, tell};
use chrono::{DateTime, TimeDelta, Utc};
use postq::calendar::Calendar;
use postq::core::clock::Clock;
use postq::core::content::{Content, Post};
use postq::core::error::{ErrorKind, NotifyError, chain};
use postq::core::failure::{Failure, FailureClass};
use postq::core::feed::Only;
use postq::core::id::{AccountId, JobId, NodeId, TenantId};
use postq::core::job::{DeadReason, Job, JobKind, NewJob, Topic};
use postq::core::machine::JobState;
use postq::core::notifier::{Notice, NoticeKind, Notifier};
use postq::core::schedule::{Misfire, Resolver, Schedule, Timing};
use postq::core::store::{Controlled, Page, PlanRequest, Retention};
use postq::engine::handler::Handler;
use postq::engine::{Settings, TopicWorkers};
use postq::sqlite::SqliteStore;
use scripted::{Act, Scripted, assert_all_out_once};

over_backends!(
    a_kind_nobody_knows_waits_for_a_node_that_does,
    a_handler_that_panics_or_never_returns_is_given_up_with_a_reason,
    a_payload_that_cannot_be_read_is_given_up_alone,
    a_dead_letter_notifies_and_stays,
);

const KIND: &str = "custom";

async fn add(bench: &Bench, kind: &str, topic: Topic, payload: serde_json::Value) -> Job {
    let made =
        NewJob { payload, max_attempts: 2, ..NewJob::new(JobKind::new(kind), topic, bench.now()) };
    let id = made.id;
    bench.backend.jobs.insert(&[made]).await.expect("insert");
    bench.story(id).await.job
}

/// Waits until one job is as described.
async fn job_is(bench: &Bench, job: &Job, done: impl Fn(&Job) -> bool) -> Job {
    for _ in 0..1_000 {
        let now = bench.story(job.id()).await.job;
        if done(&now) {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Where time is paused the waits are longer.
    for _ in 0..1_000 {
        let now = bench.story(job.id()).await.job;
        if done(&now) || !bench.is_paused() {
            return now;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("still waiting: {}", tell(&bench.story(job.id()).await))
}

#[derive(Debug)]
enum Custom {
    Works,
    Panics,
    Hangs,
}

#[async_trait]
impl Handler for Custom {
    async fn run(&self, _job: &Job) -> Result<(), Failure> {
        match self {
            Self::Works => Ok(()),
            Self::Panics => panic!("a handler that panics, as its test wants"),
            Self::Hangs => std::future::pending().await,
        }
    }
}

async fn a_kind_nobody_knows_waits_for_a_node_that_does(bench: Bench) {
    let account = bench.account("a", "scripted").await;
    let stray = bench.account("b", "elsewhere").await;
    let platform = Scripted::new("scripted", &bench);
    let strange = add(&bench, KIND, Topic::publish(), serde_json::Value::Null).await;
    bench.say("on a platform nobody knows", &stray, bench.now()).await;
    bench.say("hello", &account, bench.now()).await;

    let ignorant = Running::start(bench.engine().platform(platform.shared()));
    let given_back = |job: &Job| job.state == JobState::Enqueued && job.fence.0 > 0;
    let waiting = job_is(&bench, &strange, given_back).await;
    let jobs = bench
        .until("hello is out", |jobs| jobs.iter().any(|job| job.state == JobState::Succeeded))
        .await;
    let lost = jobs.iter().find(|job| job.made.account_id == Some(stray.id)).expect("its job");
    let lost = job_is(&bench, lost, given_back).await;
    assert_eq!((waiting.attempt, lost.attempt), (0, 0), "given back, not charged");
    for (job, what) in [(&waiting, "kind \"custom\""), (&lost, "platform \"elsewhere\"")] {
        let reason = job.reason.as_deref().unwrap_or_default();
        assert!(reason.contains(what), "{reason}");
    }
    ignorant.stop().await;

    let elsewhere = Scripted::new("elsewhere", &bench);
    let knowing = bench.engine().platform(platform.shared()).platform(elsewhere.shared());
    let _knowing = Running::start(knowing.handler(JobKind::new(KIND), Arc::new(Custom::Works)));
    for job in [&waiting, &lost] {
        let due = bench.backend.control.due_now(job.id()).await.expect("due now");
        assert_eq!(due, Controlled::Applied);
        job_is(&bench, job, |job| job.state == JobState::Succeeded).await;
    }
    assert_eq!((platform.live().len(), elsewhere.live().len()), (1, 1));
}

async fn a_handler_that_panics_or_never_returns_is_given_up_with_a_reason(bench: Bench) {
    let account = bench.account("a", "scripted").await;
    bench.say("hello", &account, bench.now()).await;
    let platform = Scripted::new("scripted", &bench);
    let topic = Topic::new("own");
    let panics = add(&bench, "panics", topic.clone(), serde_json::Value::Null).await;
    let hangs = add(&bench, "hangs", topic.clone(), serde_json::Value::Null).await;
    let works = add(&bench, KIND, topic.clone(), serde_json::Value::Null).await;
    let mut settings = Settings {
        warn_after: bench.times.send_timeout,
        time_limit: bench.times.send_timeout * 2,
        ..bench.settings()
    };
    settings.topics.push(TopicWorkers { topic, at_once: 2 });

    let engine = bench
        .engine()
        .settings(settings)
        .platform(platform.shared())
        .handler(JobKind::new("panics"), Arc::new(Custom::Panics))
        .handler(JobKind::new("hangs"), Arc::new(Custom::Hangs))
        .handler(JobKind::new(KIND), Arc::new(Custom::Works));
    let _engine = Running::start(engine);

    job_is(&bench, &works, |job| job.state == JobState::Succeeded).await;
    for job in [&panics, &hangs] {
        let dead = job_is(&bench, job, |job| job.state.is_terminal()).await;
        assert_eq!(dead.state, JobState::DeadLetter, "{}", tell(&bench.story(job.id()).await));
        assert_eq!(dead.dead_reason, Some(DeadReason::AttemptsExhausted));
        assert!(dead.reason.is_some_and(|reason| reason.contains("2 attempts")));
    }
    assert_all_out_once(&bench, &platform, &bench.rest(1).await).await;
}

#[derive(Debug, Default)]
struct Told {
    fails: usize,
    calls: AtomicUsize,
    told: std::sync::Mutex<Vec<Notice>>,
}

#[async_trait]
impl Notifier for Told {
    fn channel(&self) -> &str {
        "test"
    }

    async fn notify(&self, _id: JobId, notice: &Notice) -> Result<(), NotifyError> {
        if self.calls.fetch_add(1, Ordering::SeqCst) < self.fails {
            return Err(NotifyError::new(ErrorKind::Unavailable, "the mail server is down"));
        }
        self.told.lock().expect("nobody panics with it").push(notice.clone());
        Ok(())
    }
}

async fn a_payload_that_cannot_be_read_is_given_up_alone(bench: Bench) {
    let bad = add(&bench, JobKind::NOTIFY, Topic::notify(), serde_json::json!({"kind": 7})).await;
    let notice =
        serde_json::json!({"channel": "test", "notice": Notice::new(NoticeKind::Test, "m")});
    let good = add(&bench, JobKind::NOTIFY, Topic::notify(), notice).await;
    let told = Arc::new(Told::default());

    let _engine = Running::start(bench.engine().notifier(Arc::clone(&told) as Arc<dyn Notifier>));

    job_is(&bench, &good, |job| job.state == JobState::Succeeded).await;
    let bad = job_is(&bench, &bad, |job| job.state.is_terminal()).await;
    assert_eq!((bad.state, bad.dead_reason), (JobState::DeadLetter, Some(DeadReason::Content)));
    assert!(bad.reason.is_some_and(|reason| reason.contains("read the notice")));
    assert_eq!(told.told.lock().expect("no panic").len(), 1);
}

async fn a_dead_letter_notifies_and_stays(bench: Bench) {
    let accounts = bench.accounts(2, "scripted").await;
    let platform = Scripted::new("scripted", &bench).scripted(|call| match &*call.text {
        "refused" => Act::refuse(Failure::not_published(FailureClass::Content, "too rude")),
        _ => Act::good(),
    });
    bench.say("refused", &accounts[0], bench.now()).await;
    bench.say("hello", &accounts[1], bench.now()).await;
    // The first three tries to tell fail.
    let told = Arc::new(Told { fails: 3, ..Told::default() });
    let engine = bench.engine().notifier(Arc::clone(&told) as Arc<dyn Notifier>);
    let settings = Settings { clean_every: bench.times.sweep_every, ..bench.settings() };
    let settings = Settings { retention: Retention::NOTHING, ..settings };

    let _engine = Running::start(engine.settings(settings).platform(platform.shared()));
    let is_told = || !told.told.lock().expect("no panic").is_empty();
    bench.wait_for("somebody is told", is_told).await;
    tokio::time::sleep(bench.times.sweep_every * 3).await;

    let jobs = bench.all_jobs().await;
    assert_eq!(jobs.len(), 1, "what ended well is cleaned up, the dead letter is not: {jobs:#?}");
    assert_eq!(jobs[0].dead_reason, Some(DeadReason::Content));
    assert!(jobs[0].reason.as_deref().is_some_and(|reason| reason.contains("too rude")));
    let told = told.told.lock().expect("no panic").clone();
    assert_eq!(told.len(), 1, "told once: {told:?}");
    assert_eq!(told[0].job, Some(jobs[0].id()));
    assert_eq!(told[0].text.as_deref(), Some("refused"), "ready to be posted by hand");
    assert_eq!(told[0].account_name.as_deref(), Some(accounts[0].name.as_str()));
    assert_eq!(platform.calls().len(), 2, "telling sends nothing again");
    let out = bench.backend.publications.list(TenantId::DEFAULT, Page::first(10)).await;
    assert_eq!(out.expect("publications").len(), 1, "what is out stays known");
}

/// Occurrences every ten minutes, three hours of them.
const MISSED: u32 = 18;

async fn repeat(
    bench: &Bench,
    from: DateTime<Utc>,
    account: AccountId,
    misfire: Misfire,
    text: &str,
) -> Schedule {
    let post = bench.post(&[text]).await;
    let every = Duration::from_secs(600);
    let anchor = from + every;
    let timing = Timing::Interval { every, anchor, count: NonZeroU32::new(MISSED), until: None };
    let schedule = Schedule {
        misfire,
        next_run_at: Some(anchor),
        ..Schedule::new(post.id, vec![account], timing, bench.now())
    };
    bench.backend.schedules.insert(std::slice::from_ref(&schedule)).await.expect("insert");
    schedule
}

/// Down for three hours from then on, over a thousand posts and three repeating ones.
async fn backlog(bench: &Bench, from: DateTime<Utc>, down: impl AsyncFnOnce()) {
    let accounts = bench.accounts(43, "scripted").await;
    let (repeating, once) = accounts.split_at(3);
    let most = NonZeroU32::new(5).expect("five");
    let policies = [Misfire::FireOnce, Misfire::FireAll { most }, Misfire::Skip];
    for (account, policy) in repeating.iter().zip(policies) {
        repeat(bench, from, account.id, policy, &account.name).await;
    }
    let (mut posts, mut schedules) = (Vec::new(), Vec::new());
    for n in 0..1_000 {
        let at = from + TimeDelta::seconds(10 * n);
        let post = Post::new(Content::text(format!("{n:04}")), bench.now());
        let timing = Timing::OneShot { at, local: None };
        let account = once[n as usize % once.len()].id;
        let schedule = Schedule::new(post.id, vec![account], timing, bench.now());
        schedules.push(Schedule { next_run_at: Some(at), ..schedule });
        posts.push(post);
    }
    bench.backend.posts.insert(&posts).await.expect("posts");
    bench.backend.schedules.insert(&schedules).await.expect("schedules");

    down().await;
    let platform = Scripted::new("scripted", bench);
    let _engine = Running::start(bench.engine().platform(platform.shared()));
    let jobs = bench.rest(1_000 + 3 * MISSED as usize).await;

    let of = |id: AccountId, state| {
        let of =
            jobs.iter().filter(move |job| job.made.account_id == Some(id) && job.state == state);
        let mut at: Vec<DateTime<Utc>> = of.map(|job| job.made.planned_at).collect();
        at.sort_unstable();
        at
    };
    for (account, fired) in repeating.iter().zip([1, 5, 0]) {
        let (out, missed) =
            (of(account.id, JobState::Succeeded), of(account.id, JobState::Cancelled));
        assert_eq!((out.len(), missed.len()), (fired, MISSED as usize - fired), "{}", account.name);
        assert!(out.first() >= missed.last() || out.is_empty(), "the latest ones are out");
    }
    let missed = jobs.iter().filter(|job| job.state == JobState::Cancelled);
    for job in missed {
        assert!(job.reason.as_deref().is_some_and(|why| why.starts_with("missed")), "{job:?}");
    }
    let out: Vec<_> = jobs.iter().filter(|j| j.state == JobState::Succeeded).cloned().collect();
    assert_all_out_once(bench, &platform, &out).await;
    assert_eq!(platform.live().len(), 1_006);
    for account in once {
        let live = platform.live().into_iter().filter(|live| live.account == account.id);
        assert!(live.map(|live| live.text).is_sorted(), "in order: {}", account.name);
    }
}

/// Three hours, and as much as makes the last one of a series too late.
const DOWN: TimeDelta = TimeDelta::minutes(187);

#[tokio::test(start_paused = true)]
async fn a_backlog_follows_each_misfire_policy_memory() {
    let bench = Bench::memory();
    let down = async || tokio::time::sleep(DOWN.to_std().expect("positive")).await;
    backlog(&bench, bench.now(), down).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_follows_each_misfire_policy_sqlite() {
    let clock = SetClock::new();
    let host: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let bench = Bench::sqlite_with(host);
    backlog(&bench, bench.now(), async || clock.step(DOWN)).await;
}

/// Nobody can step the server's clock: here the three hours are over when the posts are written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_follows_each_misfire_policy_postgres() {
    let bench = Bench::postgres().await;
    backlog(&bench, bench.now() - DOWN, async || {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_follows_each_misfire_policy_postgres_redis() {
    let bench = Bench::postgres_redis().await;
    backlog(&bench, bench.now() - DOWN, async || {}).await;
}

/// How far two posts have come when the row of one is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Scheduled,
    Planned,
    Enqueued,
}

/// Damages one row behind the store's back, and expects the other post to go out.
async fn damaged(stage: Stage, sql: &str) {
    let bench = Bench::sqlite();
    let accounts = bench.accounts(2, "scripted").await;
    let platform = Scripted::new("scripted", &bench);
    let at = bench.now() + TimeDelta::seconds(2);
    for (account, text) in accounts.iter().zip(["bad", "good"]) {
        bench.say(text, account, at).await;
    }
    if stage >= Stage::Planned {
        let (request, resolver) = (PlanRequest::new(NodeId::new()), Arc::new(Calendar::new()));
        let resolver: Arc<dyn Resolver> = resolver;
        bench.backend.schedules.plan(&request, &resolver).await.expect("plan");
    }
    if stage >= Stage::Enqueued {
        let dispatched = bench.backend.upkeep.dispatch(&Only::Any, 10).await.expect("dispatch");
        assert_eq!(dispatched.len(), 2);
    }
    let raw = rusqlite::Connection::open(bench.path().expect("a file")).expect("open");
    raw.busy_timeout(Duration::from_secs(5)).expect("patience");
    let bad: Vec<u8> = raw
        .query_row("SELECT id FROM posts WHERE content LIKE '%bad%'", [], |row| row.get(0))
        .expect("the bad post");
    assert_eq!(raw.execute(sql, [bad]).expect("damage"), 1, "{sql}");

    let _engine = Running::start(bench.engine().platform(platform.shared()));
    for _ in 0..100 {
        if !platform.live().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }

    let out: Vec<_> = platform.live().into_iter().map(|live| live.text).collect();
    assert_eq!(out, ["good"], "one bad row holds up nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_job_that_cannot_be_decoded_holds_up_nobody() {
    damaged(Stage::Enqueued, "UPDATE jobs SET payload = '{broken' WHERE post_id = ?").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_job_that_cannot_be_decoded_holds_up_nobody() {
    damaged(Stage::Planned, "UPDATE jobs SET payload = '{broken' WHERE post_id = ?").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_cannot_be_decoded_holds_up_nobody() {
    damaged(Stage::Enqueued, "UPDATE posts SET content = '{broken' WHERE id = ?").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_cannot_be_decoded_holds_up_nobody() {
    damaged(Stage::Scheduled, "UPDATE schedules SET timing = '{broken' WHERE post_id = ?").await;
}

/// Set for the process that runs out of disk: the database it fills.
const FULL_DISK: &str = "POSTQ_TEST_FULL_DISK";

/// Fills the file in a process that may write no file beyond a few MiB, and says what was accepted.
async fn fill(path: &str) {
    let store = SqliteStore::open(path).expect("there is room for an empty file");
    let backend = store.backend();
    let accounts = backend.accounts.list(TenantId::DEFAULT).await.expect("accounts");
    let mut accepted = 0;
    let error = loop {
        let now = backend.jobs.now().await.expect("the time");
        let text = format!("post {accepted} {}", "x".repeat(30_000));
        let post = Post::new(Content::text(text), now);
        let timing = Timing::OneShot { at: now, local: None };
        let schedule = Schedule::new(post.id, vec![accounts[0].id], timing, now);
        let schedule = Schedule { next_run_at: Some(now), ..schedule };
        let written = match backend.posts.insert(&[post]).await {
            Ok(()) => backend.schedules.insert(&[schedule]).await,
            refused => refused,
        };
        match written {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 5_000, "the disk is never full");
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    let line = chain(&error);
    assert!(line.contains(path) && line.contains("disk"), "names the file and the trouble: {line}");
    let posts = backend.posts.list(TenantId::DEFAULT, Page::first(1_000)).await;
    assert!(posts.expect("reading still works").len() >= accepted);
    std::fs::write(format!("{path}.accepted"), accepted.to_string()).expect("a small file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_accepts_nothing_and_loses_nothing() {
    #[allow(clippy::disallowed_methods, reason = "how the child knows that it is the child")]
    if let Ok(path) = std::env::var(FULL_DISK) {
        return fill(&path).await;
    }
    let bench = Bench::sqlite();
    bench.account("a", "scripted").await;
    let path = bench.path().expect("a file").to_str().expect("UTF-8").to_owned();

    // The limit of the size of a file is the disk that any user can make full: 4 MiB, or 8 where sh
    // is bash and counts in larger blocks.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8192; exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().expect("this test has a path"))
        .arg("a_full_disk_accepts_nothing_and_loses_nothing")
        .env(FULL_DISK, &path)
        .output()
        .expect("sh runs");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let accepted = std::fs::read_to_string(format!("{path}.accepted")).expect("what was accepted");
    let accepted: usize = accepted.parse().expect("a number");

    assert!(SqliteStore::check(&path).expect("check").is_sound(), "nothing is damaged");
    assert!(accepted > 20, "{accepted} accepted before the disk was full");
    let platform = Scripted::new("scripted", &bench);
    let _engine = Running::start(bench.engine().platform(platform.shared()));
    let jobs = bench.rest(accepted).await;
    assert_eq!(jobs.len(), accepted, "what was accepted, and nothing that was refused");
    assert_all_out_once(&bench, &platform, &jobs).await;
}
