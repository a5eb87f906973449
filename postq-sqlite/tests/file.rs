//! The file: who may open it, what survives, and what several processes see of one another.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::content::{Content, Post};
use postq_core::error::{ErrorKind, chain};
use postq_core::feed::{Claim, Only, Settle, Settlement};
use postq_core::id::{NodeId, PostId};
use postq_core::job::{Applied, Job, JobKind, Lane, NewJob, Topic};
use postq_core::store::{Controlled, PlanRequest, Retention};
use postq_sqlite::{Config, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("postq.db");
    (folder, path)
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).expect("open")
}

/// A store that looks for other processes' changes every 50 ms.
fn open_alert(path: &Path) -> SqliteStore {
    let change_check = Duration::from_millis(50);
    SqliteStore::open_with(Config { change_check, ..Config::new(path) }).expect("open")
}

fn due_job(lane: &str) -> NewJob {
    let lane = Some(Lane::from_raw(lane));
    NewJob { lane, ..NewJob::new(JobKind::publish(), Topic::publish(), SystemClock.now()) }
}

fn up_to(limit: usize) -> Claim {
    Claim::up_to(limit, Topic::publish(), NodeId::new())
}

async fn succeed(backend: &Backend, job: &Job) -> Applied {
    let settlement = Settlement {
        held: job.held(),
        node: NodeId::new(),
        settle: Settle::Succeeded(None),
        reason: None,
        follow_ups: Vec::new(),
    };
    backend.feed.settle(&[settlement]).await.expect("settle")[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_the_work() {
    let (_folder, path) = folder();
    let stores = [open(&path), open(&path)];
    let jobs: Vec<_> = (0..200).map(|n| due_job(&format!("x/{}", n % 20))).collect();
    stores[0].backend().jobs.insert(&jobs).await.expect("insert");

    let done = Arc::new(Mutex::new(Vec::new()));
    let mut workers = Vec::new();
    for worker in 0..4 {
        let (backend, done) = (stores[worker % 2].backend(), Arc::clone(&done));
        workers.push(tokio::spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(60);
            while done.lock().expect("nobody panics with it").len() < 200 {
                assert!(Instant::now() < deadline, "every job is claimed");
                let claimed = backend.feed.claim(&up_to(3)).await.expect("claim");
                for claimed in claimed.jobs {
                    assert_eq!(succeed(&backend, &claimed.job).await, Applied::Applied);
                    done.lock().expect("nobody panics with it").push(claimed.job.id());
                }
            }
        }));
    }
    for worker in workers {
        worker.await.expect("a worker");
    }

    let done = done.lock().expect("nobody panics with it");
    let unique: BTreeSet<_> = done.iter().collect();
    assert_eq!((done.len(), unique.len()), (200, 200), "each job went to one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_by_another_process_ends_a_wait() {
    let (_folder, path) = folder();
    let (ours, theirs) = (open_alert(&path), open_alert(&path));
    let backend = ours.backend();
    let far = SystemClock.now() + TimeDelta::hours(1);

    let claimed = backend.feed.claim(&up_to(1)).await.expect("claim");
    let topic = Topic::publish();
    let wait = backend.feed.wait(&topic, claimed.mark, far);
    let (jobs, made) = (theirs.backend().jobs, [due_job("x/1")]);
    let (waited, made) =
        tokio::join!(tokio::time::timeout(Duration::from_secs(10), wait), jobs.insert(&made));

    made.expect("insert");
    waited.expect("it does not wait for an hour").expect("wait");
    let claimed = backend.feed.claim(&up_to(1)).await.expect("claim");
    assert_eq!(claimed.jobs.len(), 1);
}

#[test]
fn many_may_open_a_new_file_at_once() {
    let (_folder, path) = folder();

    let openers: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || SqliteStore::open(&path).map(drop))
        })
        .collect();

    for opener in openers {
        opener.join().expect("no panic").expect("each of them opens it");
    }
    assert!(SqliteStore::check(&path).expect("check").is_sound());
}

#[test]
fn a_newer_file_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    drop(open(&path));
    let raw = Connection::open(&path).expect("open");
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                 VALUES (999, 'from_the_future', '2030-01-01T00:00:00Z', '1')";
    raw.execute(newer, []).expect("a newer version");

    let error = SqliteStore::open(&path).expect_err("newer");

    assert_eq!(error.kind(), ErrorKind::Invalid);
    let (line, facts) = (chain(&error), SqliteStore::check(&path).expect("check"));
    let ours = format!("up to {}", facts.our_version);
    for part in [&*path.to_string_lossy(), "version 999", &ours, "run the postq that wrote it"] {
        assert!(line.contains(part), "\"{part}\" in: {line}");
    }
    assert!(!facts.is_sound());
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    let raw = Connection::open(&path).expect("open");
    raw.execute_batch("CREATE TABLE theirs (x)").expect("a table of theirs");
    drop(raw);
    let before = std::fs::read(&path).expect("read");

    let error = SqliteStore::open(&path).expect_err("not ours");

    assert!(chain(&error).contains("another program's database"), "{}", chain(&error));
    assert_eq!(std::fs::read(&path).expect("read"), before);
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let (_folder, path) = folder();
    std::fs::write(&path, "no database at all, but long enough to be read as one").expect("write");
    let error = SqliteStore::open(&path).expect_err("no database");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(chain(&error).contains("no SQLite database"), "{}", chain(&error));
    assert!(chain(&error).contains(&*path.to_string_lossy()), "{}", chain(&error));

    std::fs::remove_file(&path).expect("remove");
    let store = open(&path);
    let posts: Vec<_> = (0..200)
        .map(|n| Post::new(Content::text(format!("{n}").repeat(500)), SystemClock.now()))
        .collect();
    store.backend().posts.insert(&posts).await.expect("insert");
    store.close().await.expect("close");
    drop(store);
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).expect("open");
    let length = file.metadata().expect("size").len();
    file.seek(SeekFrom::Start(length / 2)).expect("seek");
    file.write_all(&[0xa5; 40_000]).expect("damage");
    drop(file);

    let facts = SqliteStore::check(&path);
    let problems = facts.map_or_else(|error| vec![chain(&error)], |facts| facts.problems);
    assert!(!problems.is_empty(), "the check finds it");
    let store = open(&path);
    let ids: Vec<PostId> = posts.iter().map(|post| post.id).collect();
    let error = store.backend().posts.load(&ids).await.expect_err("damaged");
    assert!(chain(&error).contains("restore it from a backup"), "{}", chain(&error));
    assert!(chain(&error).contains(&*path.to_string_lossy()), "{}", chain(&error));
}

#[test]
fn a_missing_folder_is_named() {
    let (_folder, path) = folder();
    let path = path.with_file_name("missing").join("postq.db");

    let error = SqliteStore::open(&path).expect_err("no folder");

    assert!(chain(&error).contains("its folder must exist"), "{}", chain(&error));
    assert!(SqliteStore::check(&path).is_err());
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_leaves_one_file_and_refuses_later_calls() {
    let (folder, path) = folder();
    let store = open(&path);
    let backend = store.backend();
    backend.jobs.insert(&[due_job("x/1")]).await.expect("insert");

    store.close().await.expect("close");

    let error = backend.feed.claim(&up_to(1)).await.expect_err("closed");
    assert!(chain(&error).contains("the store is closed"), "{}", chain(&error));
    let read = backend.posts.load(&[PostId::new()]).await.expect_err("closed");
    assert!(chain(&read).contains("the store is closed"), "{}", chain(&read));
    drop((store, backend));
    let left_one = || std::fs::read_dir(folder.path()).expect("list").count() == 1;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !left_one() {
        assert!(Instant::now() < deadline, "the log is in the file, and gone");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(open(&path).backend().feed.claim(&up_to(9)).await.expect("claim").jobs.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_store_writes_nothing() {
    let (_folder, path) = folder();
    let backend = open(&path).backend();
    let future = SystemClock.now() + TimeDelta::hours(1);
    let later = NewJob { planned_at: future, ..due_job("x/1") };
    backend.jobs.insert(&[later]).await.expect("insert");
    let raw = Connection::open(&path).expect("open");
    let version = || {
        let read = raw.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
        read.expect("version")
    };
    let before = version();

    let resolver: Arc<dyn postq_core::schedule::Resolver> =
        Arc::new(postq_core::conformance::fixtures::TestResolver);
    for _ in 0..3 {
        let claimed = backend.feed.claim(&up_to(9)).await.expect("claim");
        assert_eq!(claimed.next_at, Some(future));
        backend.upkeep.dispatch(&Only::Any, 10).await.expect("dispatch");
        backend.upkeep.expire(10).await.expect("expire");
        backend.upkeep.clean(&Retention::default(), 10).await.expect("clean");
        let plan = PlanRequest::new(NodeId::new());
        backend.schedules.plan(&plan, &resolver).await.expect("plan");
    }

    assert_eq!(version(), before, "or every idle process would wake every other, for ever");
}

/// A story that cannot be read is lost when its job is cleaned up, and takes no other with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_story_holds_up_no_cleaning() {
    let (_folder, path) = folder();
    let backend = open(&path).backend();
    let jobs = ["x/1", "x/2", "x/3"].map(due_job);
    backend.jobs.insert(&jobs).await.expect("insert");
    for job in &jobs {
        let cancelled = backend.control.cancel(job.id, "unwanted").await.expect("cancel");
        assert_eq!(cancelled, Controlled::Applied);
    }
    let before = backend.jobs.story(jobs[2].id).await.expect("story");
    let raw = Connection::open(&path).expect("open");
    let ways = [
        "UPDATE jobs SET payload = '{broken' WHERE id = ?",
        "UPDATE job_events SET to_state = 'odd' WHERE job_id = ?",
    ];
    for (sql, job) in ways.into_iter().zip(&jobs) {
        raw.execute(sql, [job.id.as_uuid().as_bytes()]).expect("break it");
    }
    let retention = Retention { history: Duration::from_secs(3_600), ..Retention::NOTHING };

    assert_eq!(backend.upkeep.clean(&retention, 10).await.expect("clean"), 3);

    for job in &jobs[..2] {
        assert_eq!(backend.jobs.story(job.id).await.expect("story"), None);
    }
    assert!(before.is_some());
    assert_eq!(backend.jobs.story(jobs[2].id).await.expect("story"), before);
}

/// A clock that can be set.
#[derive(Debug, Default)]
struct SetClock(Mutex<TimeDelta>);

impl SetClock {
    fn set(&self, step: TimeDelta) {
        *self.0.lock().expect("nobody panics with it") = step;
    }
}

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + *self.0.lock().expect("nobody panics with it")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setting_the_clock_neither_ends_nor_extends_a_lease() {
    let (_folder, path) = folder();
    let clock = Arc::new(SetClock::default());
    let config = Config { clock: clock.clone(), ..Config::new(&path) };
    let backend = SqliteStore::open_with(config).expect("open").backend();
    backend.jobs.insert(&[due_job("x/long"), due_job("x/short")]).await.expect("insert");
    let long = backend.feed.claim(&up_to(1)).await.expect("claim").jobs;
    assert_eq!(long.len(), 1);

    clock.set(TimeDelta::hours(2));
    assert!(backend.upkeep.expire(10).await.expect("expire").is_empty(), "a minute is not over");

    let mut brief = up_to(1);
    brief.lease = Duration::from_millis(100);
    let short = backend.feed.claim(&brief).await.expect("claim").jobs;
    clock.set(TimeDelta::hours(-2));
    let deadline = Instant::now() + Duration::from_secs(10);
    let expired = loop {
        let expired = backend.upkeep.expire(10).await.expect("expire");
        if !expired.is_empty() {
            break expired;
        }
        assert!(Instant::now() < deadline, "the short lease ends although the clock went back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(expired, [short[0].job.id()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reboot_ends_every_lease() {
    let (_folder, path) = folder();
    let store = open(&path);
    let backend = store.backend();
    backend.jobs.insert(&[due_job("x/1")]).await.expect("insert");
    let job = backend.feed.claim(&up_to(1)).await.expect("claim").jobs.remove(0).job;
    store.close().await.expect("close");

    let again = open(&path);
    assert!(again.backend().upkeep.expire(10).await.expect("expire").is_empty(), "the same boot");
    again.close().await.expect("close");
    let raw = Connection::open(&path).expect("open");
    raw.execute("UPDATE meta SET value = 'another' WHERE key = 'boot_id'", []).expect("reboot");
    drop(raw);

    let expired = open(&path).backend().upkeep.expire(10).await.expect("expire");
    assert_eq!(expired, [job.id()]);
}

/// Not a test by itself: what [`an_acknowledged_commit_survives_kill_9`] runs and kills. It reads
/// the path of the file, then inserts posts and tells each id once it is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the test that kills it starts it"]
async fn child_that_is_killed() {
    let mut path = String::new();
    std::io::stdin().read_to_string(&mut path).expect("the path");
    let posts = open(Path::new(&path)).backend().posts;
    let mut writers = Vec::new();
    for _ in 0..4 {
        let posts = posts.clone();
        writers.push(tokio::spawn(async move {
            // Bounded, should nobody kill it.
            for n in 0..100_000 {
                let post = Post::new(Content::text(format!("post {n}")), SystemClock.now());
                posts.insert(std::slice::from_ref(&post)).await.expect("insert");
                writeln!(std::io::stdout().lock(), "acknowledged {}", post.id).expect("tell");
            }
        }));
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_commit_survives_kill_9() {
    let (_folder, path) = folder();
    for kill_after in [5, 60, 200] {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "child_that_is_killed", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(path.to_string_lossy().as_bytes()).expect("tell the path");
        drop(stdin);
        let mut acknowledged = Vec::new();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        for line in lines.map_while(Result::ok) {
            let Some(id) = line.strip_prefix("acknowledged ") else { continue };
            acknowledged.push(id.parse::<PostId>().expect("an id"));
            if acknowledged.len() == kill_after {
                child.kill().expect("kill -9");
            }
        }
        child.wait().expect("dead");
        assert!(acknowledged.len() >= kill_after, "it got so far");

        let store = open(&path);
        let found = store.backend().posts.load(&acknowledged).await.expect("load");
        assert_eq!(found.len(), acknowledged.len(), "nothing that was acknowledged is lost");
        assert!(SqliteStore::check(&path).expect("check").is_sound());
    }
}
