//! I5: an account that is limited or slow never delays another's posts.

#![allow(missing_docs, reason = "a test")]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/scripted.rs"]
mod scripted;

use std::time::Duration;

use backends::{Bench, Running, over_backends};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use postq::core::account::Account;
use postq::core::failure::{Failure, FailureClass, LimitScope};
use postq::core::job::Job;
use postq::core::machine::JobState;
use scripted::{Act, Call, Scripted, assert_all_out_once};

over_backends!(
    a_limited_account_is_probed_once_per_interval_and_delays_nobody,
    a_limited_app_stands_still_and_another_platform_does_not,
    a_slow_account_delays_nobody,
);

/// A limit: how long it lasts and what wait it asks for.
#[derive(Clone, Copy, Debug)]
struct Storm {
    lasts: Duration,
    asks: Duration,
}

impl Storm {
    fn of(bench: &Bench) -> Self {
        match bench.is_paused() {
            true => Self { lasts: Duration::from_secs(2_400), asks: Duration::from_secs(60) },
            false => Self { lasts: Duration::from_secs(4), asks: Duration::from_secs(1) },
        }
    }

    fn refusal(self, scope: LimitScope) -> Act {
        let limited = Failure::not_published(FailureClass::RateLimit, "429");
        Act::refuse(limited.with_wait(scope, self.asks))
    }

    /// Probes that it may cost: one per interval, and the one that met it.
    fn probes(self) -> usize {
        self.lasts.as_millis().div_ceil(self.asks.as_millis()) as usize + 1
    }
}

/// Later than that is late: what a busy machine may add in real time, and nothing where time is paused.
fn punctual(bench: &Bench) -> TimeDelta {
    match bench.is_paused() {
        true => TimeDelta::milliseconds(20),
        false => TimeDelta::milliseconds(2_000),
    }
}

/// Requests that may be on their way when a limit is met: in real time the answer takes a while to be
/// written down.
fn under_way(bench: &Bench) -> usize {
    match bench.is_paused() {
        true => 1,
        false => 15,
    }
}

/// Schedules `count` posts of these accounts in turn, evenly over the stretch.
async fn spread(
    bench: &Bench,
    accounts: &[Account],
    count: usize,
    from: DateTime<Utc>,
    over: Duration,
) {
    for n in 0..count {
        let at = (from + over * n as u32 / count as u32).trunc_subsecs(6);
        bench.say(&at.to_rfc3339(), &accounts[n % accounts.len()], at).await;
    }
}

/// How late a call came, of a post whose text is its time.
fn lateness(call: &Call) -> TimeDelta {
    call.at - call.text.parse::<DateTime<Utc>>().expect("its time")
}

fn assert_in_order(platform: &Scripted, account: &Account) {
    let live = platform.live();
    let texts = live.iter().filter(|live| live.account == account.id).map(|live| &live.text);
    let texts: Vec<_> = texts.collect();
    assert!(texts.is_sorted(), "{}: {texts:?}", account.name);
}

fn assert_nothing_charged(jobs: &[Job]) {
    let charged = jobs.iter().find(|job| job.attempt != 1 || job.state != JobState::Succeeded);
    assert!(charged.is_none(), "a limit is no failure: {charged:?}");
}

async fn a_limited_account_is_probed_once_per_interval_and_delays_nobody(bench: Bench) {
    let accounts = bench.accounts(30, "scripted").await;
    let (noisy, quiet) = accounts.split_first().expect("thirty");
    let (storm, from) = (Storm::of(&bench), bench.now() + TimeDelta::seconds(1));
    let (id, end) = (noisy.id, from + storm.lasts);
    let platform = Scripted::new("scripted", &bench).scripted(move |call| {
        match call.account == id && call.at < end {
            true => storm.refusal(LimitScope::Account),
            false => Act::good(),
        }
    });
    spread(&bench, std::slice::from_ref(noisy), 100, from, Duration::from_millis(100)).await;
    spread(&bench, quiet, 100, from, storm.lasts).await;

    let _engine = Running::start(bench.engine().platform(platform.shared()));
    let jobs = bench.rest(200).await;

    assert_nothing_charged(&jobs);
    assert_all_out_once(&bench, &platform, &jobs).await;
    let calls = platform.calls();
    let probes = calls.iter().filter(|call| call.account == id && call.at < end).count();
    assert!((1..=storm.probes()).contains(&probes), "{probes} probes in {storm:?}");
    let others = calls.iter().filter(|call| call.account != id);
    let latest = others.map(lateness).max().expect("a hundred");
    assert!(latest < punctual(&bench), "another account's post was {latest} late");
    assert_in_order(&platform, noisy);
}

async fn a_limited_app_stands_still_and_another_platform_does_not(bench: Bench) {
    let accounts = bench.accounts(30, "scripted").await;
    let elsewhere = bench.account("elsewhere", "other").await;
    let (storm, from) = (Storm::of(&bench), bench.now() + TimeDelta::seconds(1));
    let end = from + storm.lasts;
    let platform = Scripted::new("scripted", &bench).scripted(move |call| match call.at < end {
        true => storm.refusal(LimitScope::App),
        false => Act::good(),
    });
    let other = Scripted::new("other", &bench);
    spread(&bench, &accounts, 90, from, storm.lasts).await;
    spread(&bench, &[elsewhere], 20, from, storm.lasts).await;

    let engine = bench.engine().platform(platform.shared()).platform(other.shared());
    let _engine = Running::start(engine);
    let jobs = bench.rest(110).await;

    assert_nothing_charged(&jobs);
    let latest = other.calls().iter().map(lateness).max().expect("twenty");
    assert!(latest < punctual(&bench), "another platform's post was {latest} late");
    assert_eq!((platform.live().len(), other.live().len()), (90, 20));
    for account in &accounts {
        assert_in_order(&platform, account);
    }
    // The first refusal meets what is under way with it. From then on one lane goes first whenever the
    // app may go on, and the other 29 do not try.
    let calls = platform.calls();
    let met_until = calls[0].at + storm.asks;
    let met = calls.iter().filter(|call| call.at < met_until).count();
    assert!(met <= under_way(&bench), "{met} had to meet the limit");
    let probes = calls.iter().filter(|call| call.at >= met_until && call.at < end).count();
    assert!((1..=storm.probes()).contains(&probes), "{probes} probes in {storm:?}");
}

async fn a_slow_account_delays_nobody(bench: Bench) {
    let accounts = bench.accounts(10, "scripted").await;
    let (slow, quick) = accounts.split_first().expect("ten");
    let (id, takes) = (slow.id, bench.times.send_timeout * 8 / 10);
    let platform = Scripted::new("scripted", &bench).scripted(move |call| {
        let takes = if call.account == id { takes } else { Duration::from_millis(5) };
        Act { takes, ..Act::good() }
    });
    let from = bench.now() + TimeDelta::seconds(1);
    spread(&bench, std::slice::from_ref(slow), 5, from, Duration::from_millis(5)).await;
    spread(&bench, quick, 45, from, Duration::from_secs(2)).await;

    let _engine = Running::start(bench.engine().platform(platform.shared()));
    let jobs = bench.rest(50).await;

    assert_all_out_once(&bench, &platform, &jobs).await;
    let calls = platform.calls();
    let latest = calls.iter().filter(|call| call.account != id).map(lateness).max();
    assert!(latest.expect("45") < punctual(&bench), "{latest:?} late");
    assert_eq!(platform.most_at_once(), 1, "one at a time per account");
    assert_in_order(&platform, slow);
}
