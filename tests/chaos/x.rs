//! The same through the adapter for X, to an X-shaped server that misbehaves and keeps a ledger of what is
//! really out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use fake_x::{FakeX, Options};
use postq::core::account::Account;
use postq::core::content::{Content, Post};
use postq::core::job::{Applied, DeadReason, Job};
use postq::core::machine::JobState;
use postq::core::vault::{ChaChaVault, Vault};
use postq::x::{Config, X};
use secrecy::SecretString;

use crate::backends::{Bench, Running, Times, one_shot, tell};

const ACCOUNTS: usize = 25;
/// Between two posts.
const EVERY: Duration = Duration::from_millis(80);

const FAULTS: &str = "cut_after=0.06,cut_before=0.05,503_after=0.06,503_before=0.05,no_data=0.02,\
                      hang_after=0.02,late=0.03,slow=0.2,look_503=0.05,hide=1500ms,hang_for=5s,\
                      slow_for=300ms,late_by=1s";

const TIMES: Times = Times {
    send_timeout: Duration::from_secs(2),
    settle_time: Duration::from_secs(3),
    lease: Duration::from_secs(4),
    sweep_every: Duration::from_secs(1),
    patience: Duration::from_secs(120),
    poll: Duration::from_millis(250),
    ..Times::SHORT
};

/// Two nodes publish for so long while `trouble` goes on; in the end each post is out exactly once, or
/// held with the reason.
pub(crate) async fn publish_on_x(bench: Bench, lasts: Duration, trouble: impl AsyncFnOnce(&Bench)) {
    let bench = bench.with_times(TIMES);
    let faults = FAULTS.parse().expect("faults");
    let x = FakeX::start_with(Options { faults, ..Options::default() }).await.expect("a port");
    let vault = Arc::new(ChaChaVault::new(&[7; 32]));
    let accounts = connect(&bench, &vault).await;
    let count = (lasts.as_millis() / EVERY.as_millis()) as usize;
    schedule(&bench, &accounts, count).await;
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let config = Config {
            base_url: x.base_url(),
            rate_limit: false,
            settle_time: TIMES.settle_time,
            send_timeout: TIMES.send_timeout,
            ..Config::default()
        };
        let engine = bench.engine_on(bench.another().await).vault(vault.clone());
        nodes.push(Running::start(engine.platform(Arc::new(X::new(config).expect("it fits")))));
    }

    trouble(&bench).await;
    let jobs = bench.rest(count).await;

    judge(&bench, &x, &jobs, count).await;
}

/// Accounts with the tokens that the server knows.
async fn connect(bench: &Bench, vault: &ChaChaVault) -> Vec<Account> {
    let mut accounts = bench.accounts(ACCOUNTS, "x").await;
    for (n, account) in accounts.iter_mut().enumerate() {
        let token = SecretString::from(format!("tok-{n}"));
        account.credentials = Some(vault.seal(account.id, &token).await.expect("sealed"));
        let updated = bench.backend.accounts.update(account, None).await.expect("update");
        assert_eq!(updated, Applied::Applied);
    }
    accounts
}

async fn schedule(bench: &Bench, accounts: &[Account], count: usize) {
    let from = bench.now() + TimeDelta::seconds(1);
    let made = |n: usize| {
        let post = Post::new(Content::text(format!("post {n}")), bench.now());
        let account = accounts[n % accounts.len()].id;
        let schedule = one_shot(post.id, &[account], from + EVERY * n as u32, bench.now());
        (post, schedule)
    };
    let (posts, schedules): (Vec<_>, Vec<_>) = (0..count).map(made).unzip();
    bench.backend.posts.insert(&posts).await.expect("posts");
    bench.backend.schedules.insert(&schedules).await.expect("schedules");
}

async fn judge(bench: &Bench, x: &FakeX, jobs: &[Job], count: usize) {
    let mut accepted: BTreeMap<String, usize> = BTreeMap::new();
    for post in x.ledger().accepted {
        *accepted.entry(post.text).or_default() += 1;
    }
    let twice: Vec<_> = accepted.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "out more than once: {twice:?}");
    assert_eq!(jobs.len(), count, "one job for each");
    let (mut out, mut held) = (0, 0);
    for job in jobs {
        let post = job.made.post_id.expect("a publish job has a post");
        let posts = bench.backend.posts.load(&[post]).await.expect("posts");
        let live = accepted.get(&posts[0].content.parts[0].text).copied().unwrap_or(0);
        match (job.state, job.dead_reason) {
            (JobState::Succeeded, _) if live == 1 => out += 1,
            (JobState::DeadLetter, Some(DeadReason::OutcomeUnknown)) => held += 1,
            (JobState::DeadLetter, Some(_)) if live == 0 => held += 1,
            _ => panic!("out {live} times: {}", tell(&bench.story(job.id()).await)),
        }
    }
    println!("{count} posts on X: {out} out once, {held} held or given up, none twice");
    assert!(out * 10 >= count * 9, "most of them come out: {out} of {count}");
}
