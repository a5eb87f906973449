//! How late posts are: from the planned moment to the arrival of the request at the platform.
//!
//! The whole path, on a SQLite file with full durability, sealed credentials, over HTTP to an X-shaped
//! server in another thread of this process: 1,000 posts of 250 accounts, 500 of them due within one
//! second and 500 over 20 seconds; and then the hardest case, 500 at one instant, two for each
//! account. `scripts/bench lateness` runs it.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fake_x::{Accepted, FakeX};
use postq::calendar::At;
use postq::core::account::Account;
use postq::core::content::Content;
use postq::core::vault::{ChaChaVault, Vault};
use postq::engine::desk::{Submission, When};
use postq::engine::{Engine, Settings};
use postq::sqlite::SqliteStore;
use postq::x::{Config, X};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

const ACCOUNTS: usize = 250;
const POSTS: usize = 1_500;
/// Within one second; the next so many over `SPREAD`; the rest at one instant.
const BURST: usize = 500;
/// From writing the calendar to the first post.
const LEAD: Duration = Duration::from_secs(8);
const SPREAD: Duration = Duration::from_secs(20);

fn main() {
    let (url, wanted) = std::sync::mpsc::channel();
    let (ask, asked) = tokio::sync::oneshot::channel();
    let server = std::thread::spawn(move || serve(&url, asked));
    let base_url = wanted.recv().expect("the server starts");

    let planned = runtime().block_on(publish(base_url));

    ask.send(()).expect("the server still runs");
    report(&planned, &server.join().expect("the server's thread"));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The platform, on a thread of its own; answers its ledger in the end.
fn serve(
    url: &std::sync::mpsc::Sender<String>,
    asked: tokio::sync::oneshot::Receiver<()>,
) -> Vec<Accepted> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let x = FakeX::start().await.expect("a free port");
        url.send(x.base_url()).expect("the benchmark waits for it");
        asked.await.expect("the benchmark asks for the ledger");
        x.ledger().accepted
    })
}

/// Writes the calendar and publishes it; answers when each text was planned.
async fn publish(base_url: String) -> BTreeMap<String, DateTime<Utc>> {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("posts.db")).expect("a store");
    let vault: Arc<dyn Vault> = Arc::new(ChaChaVault::new(&rand::random()));
    let config = Config { base_url, rate_limit: false, ..Config::default() };
    let engine = Engine::builder(store.backend())
        .platform(Arc::new(X::new(config).expect("a configuration")))
        .vault(Arc::clone(&vault))
        .settings(Settings { rate_limit: false, ..Settings::default() })
        .build()
        .expect("settings that fit");

    let now = engine.backend().jobs.now().await.expect("the store's time");
    let accounts = connect(&engine, vault.as_ref(), now).await;
    let planned = write_calendar(&engine, &accounts, now).await;

    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (engine, shutdown) = (engine.clone(), shutdown.clone());
        async move { engine.run(shutdown).await }
    });
    tokio::time::sleep(LEAD + SPREAD + Duration::from_secs(10)).await;
    shutdown.cancel();
    running.await.expect("the engine");
    planned
}

async fn connect(engine: &Engine, vault: &dyn Vault, now: DateTime<Utc>) -> Vec<String> {
    let mut names = Vec::with_capacity(ACCOUNTS);
    for n in 0..ACCOUNTS {
        let mut account = Account::new(format!("account-{n}"), "x".parse().expect("a name"), now);
        let token = SecretString::from(format!("tok-{n}"));
        account.credentials = Some(vault.seal(account.id, &token).await.expect("sealed"));
        account.remote_id = Some(n.to_string());
        engine.backend().accounts.insert(&account).await.expect("an account");
        names.push(account.name);
    }
    names
}

async fn write_calendar(
    engine: &Engine,
    accounts: &[String],
    now: DateTime<Utc>,
) -> BTreeMap<String, DateTime<Utc>> {
    let start = now + LEAD;
    let mut planned = BTreeMap::new();
    let mut submissions = Vec::with_capacity(POSTS);
    for n in 0..POSTS {
        let text = format!("post {n}");
        let share = (n % BURST) as f64 / BURST as f64;
        // The burst falls into the middle of the others.
        let at = match n / BURST {
            0 => start + SPREAD / 2 + Duration::from_secs(1).mul_f64(share),
            1 => start + SPREAD.mul_f64(share),
            _ => start + SPREAD + Duration::from_secs(5),
        };
        let when = When::At(At::Instant(at));
        let account = accounts[n % ACCOUNTS].clone();
        submissions.push(Submission::new(Content::text(&text), [account], when));
        planned.insert(text, at);
    }
    let desk = engine.desk();
    let mut checked = desk.check(&submissions).await.expect("the desk");
    let entries = std::mem::take(&mut checked.entries);
    let entries = entries.into_iter().map(|entry| entry.expect("a good post")).collect();
    desk.commit(&checked, entries).await.expect("written");
    planned
}

fn report(planned: &BTreeMap<String, DateTime<Utc>>, accepted: &[Accepted]) {
    assert_eq!(accepted.len(), POSTS, "every post is out, once");
    let late = |post: &Accepted| post.received_at - planned[&post.text];
    let number = |post: &Accepted| post.text[5..].parse::<usize>().expect("a number");
    let of = |from: usize, to: usize| {
        let posts = accepted.iter().filter(|post| (from..to).contains(&number(post)));
        posts.map(late).collect()
    };
    show("500 within 1 s", of(0, BURST));
    show("500 over 20 s", of(BURST, 2 * BURST));
    show("these 1,000", of(0, 2 * BURST));
    show("500 at one instant", of(2 * BURST, POSTS));
    let early = accepted.iter().filter(|post| late(post) < TimeDelta::zero()).count();
    println!("early: {early}");
}

fn show(what: &str, mut late: Vec<TimeDelta>) {
    late.sort_unstable();
    let ms = |at: usize| late[at].num_microseconds().expect("minutes at most") as f64 / 1_000.0;
    let (last, part) = (late.len() - 1, |q: f64| (late.len() as f64 * q) as usize);
    println!(
        "{what:<20} p50 {:>8.2} ms   p99 {:>8.2} ms   max {:>8.2} ms",
        ms(part(0.5)),
        ms(part(0.99).min(last)),
        ms(last)
    );
}
