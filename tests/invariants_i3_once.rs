//! I3: no job is lost and none publishes twice; what is ambiguous is resolved, not guessed.

#![allow(missing_docs, reason = "a test")]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/scripted.rs"]
mod scripted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backends::{Bench, Running, over_backends, tell};
use chrono::{DateTime, TimeDelta, Utc};
use postq::core::account::{Account, OnUnknown};
use postq::core::failure::{Failure, FailureClass, LimitScope};
use postq::core::id::JobId;
use postq::core::job::{DeadReason, Job};
use postq::core::machine::JobState;
use postq::core::store::{Controlled, ReplayKey, Replayed};
use postq::engine::Settings;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use scripted::{Act, Answer, Hook, Hooked, Scripted, Step, Then, assert_all_out_once};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

over_backends!(
    accepted_then_silence_is_found_and_never_sent_again,
    nothing_is_sent_again_before_the_settle_time,
    a_platform_that_cannot_be_asked_holds_or_resends_as_the_account_says,
    a_stale_holder_settles_nothing_and_finds_its_post_taken_over,
    a_stale_holders_receipt_is_kept_and_blocks_a_replay,
    a_holder_frozen_before_its_intent_sends_nothing,
    a_settle_that_fails_three_times_sends_nothing_again,
    a_settle_whose_answer_is_lost_sends_nothing_again,
    an_answer_that_lies_ends_in_the_true_state,
    a_duplicate_refusal_is_looked_into,
    a_platform_that_panics_is_charged_and_looked_for,
    an_attempt_that_hangs_is_ended_by_its_time_limit,
    cancel_retry_and_replay_race_with_claim_and_settle,
);

/// The whole of what a post may take to become visible: what the engine waits before it believes.
fn whole(bench: &Bench) -> Duration {
    bench.times.send_timeout + bench.times.settle_time
}

async fn publish_all(bench: &Bench, platform: &Scripted, accounts: &[Account]) -> Vec<Job> {
    for (n, account) in accounts.iter().enumerate() {
        bench.say(&format!("case {n}"), account, bench.now()).await;
    }
    let _engine = Running::start(bench.engine().platform(platform.shared()));
    bench.rest(accounts.len()).await
}

fn case(text: &str) -> usize {
    text["case ".len()..].parse().expect("a number")
}

async fn accepted_then_silence_is_found_and_never_sent_again(bench: Bench) {
    let tenths = |n: u32| whole(&bench) * n / 10;
    // (lands so late, shown so much later): at the very end it is 90 % of what may be.
    let cases = [(0, 0), (0, 1), (0, 4), (0, 9), (4, 0), (4, 4), (7, 0), (7, 2), (9, 0)];
    let acts = cases.map(|(late, hidden)| Act::silence(tenths(late), tenths(hidden)));
    let cut = Failure::unknown(FailureClass::Network, "reset after the body");
    let proxy = Failure::unknown(FailureClass::Platform, "504 from a proxy");
    let acts: Vec<_> = acts.into_iter().chain([Act::lie(cut), Act::lie(proxy)]).collect();
    let accounts = bench.accounts(acts.len(), "scripted").await;
    let platform =
        Scripted::new("scripted", &bench).scripted(move |call| acts[case(&call.text)].clone());

    let jobs = publish_all(&bench, &platform, &accounts).await;

    assert_all_out_once(&bench, &platform, &jobs).await;
    assert_eq!(platform.calls().len(), accounts.len(), "the creating call is made once");
}

async fn nothing_is_sent_again_before_the_settle_time(bench: Bench) {
    let accounts = bench.accounts(3, "scripted").await;
    let platform =
        Scripted::new("scripted", &bench).scripted(|call| match (call.again, case(&call.text)) {
            (0, 0) => Act { create: None, ..Act::silence(Duration::ZERO, Duration::ZERO) },
            (0, 1) => Act::refuse(Failure::unknown(FailureClass::Platform, "503")),
            (0, _) => Act::refuse(Failure::unknown(FailureClass::Network, "cut")),
            _ => Act::good(),
        });

    let jobs = publish_all(&bench, &platform, &accounts).await;

    assert_all_out_once(&bench, &platform, &jobs).await;
    for account in &accounts {
        let calls = platform.calls().into_iter().filter(|call| call.account == account.id);
        let at: Vec<_> = calls.map(|call| call.at).collect();
        assert_eq!(at.len(), 2, "sent again once it is surely not out");
        let apart = (at[1] - at[0]).to_std().expect("in order");
        // A store may keep its intent a moment before the request arrives.
        assert!(apart + Duration::from_millis(250) >= whole(&bench), "sent again after {apart:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn looks_are_made_at_their_moments() {
    let bench = Bench::memory();
    let account = bench.account("a", "scripted").await;
    bench.say("hello", &account, bench.now()).await;
    let cut = || Failure::unknown(FailureClass::Network, "cut");
    let platform = Scripted::new("scripted", &bench).scripted(move |call| match call.again {
        0 => Act::refuse(cut()),
        _ => Act::good(),
    });
    let _engine = Running::start(bench.engine().platform(platform.shared()));

    let jobs = bench.rest(1).await;

    assert_all_out_once(&bench, &platform, &jobs).await;
    let told = "at 2, 10, 30, 60, 120 and 240 s, when it is settled, and once more";
    assert_eq!(platform.looks(), 8, "{told}");
}

async fn a_platform_that_cannot_be_asked_holds_or_resends_as_the_account_says(bench: Bench) {
    let mut accounts = bench.accounts(2, "scripted").await;
    accounts[1].on_unknown = OnUnknown::Resend;
    let updated = bench.backend.accounts.update(&accounts[1], None).await.expect("update");
    assert_eq!(updated, postq::core::job::Applied::Applied);
    let cut = || Failure::unknown(FailureClass::Network, "cut");
    let platform =
        Scripted::new("scripted", &bench).blind().scripted(move |call| match call.again {
            0 => Act::lie(cut()),
            _ => Act::good(),
        });

    let jobs = publish_all(&bench, &platform, &accounts).await;

    let of = |account: &Account| {
        jobs.iter().find(|job| job.made.account_id == Some(account.id)).expect("its job")
    };
    assert_eq!(of(&accounts[0]).dead_reason, Some(DeadReason::OutcomeUnknown));
    assert_eq!(of(&accounts[1]).state, JobState::Succeeded);
    let calls = |account: &Account| {
        platform.calls().iter().filter(|call| call.account == account.id).count()
    };
    assert_eq!((calls(&accounts[0]), calls(&accounts[1])), (1, 2));
}

/// A hook that freezes the process at the first of these steps, for so long.
fn freeze_once(at: Step, time: Duration) -> Hook {
    let frozen_until = Arc::new(Mutex::new(None::<Instant>));
    Arc::new(move |step| {
        let mut frozen = frozen_until.lock().expect("nobody panics with it");
        match *frozen {
            None if step == at => {
                *frozen = Some(Instant::now() + time);
                Then::Freeze(time)
            }
            // All of the process stands still, not only this call.
            Some(until) if step == Step::Renew => {
                Then::Freeze(until.saturating_duration_since(Instant::now()))
            }
            _ => Then::Go,
        }
    })
}

/// Starts a node that freezes, and, once it is frozen, one that does not.
async fn frozen_and_fresh(
    bench: &Bench,
    platform: &Scripted,
    hook: &Hook,
    sent: usize,
) -> (Running, Running) {
    let first = bench.engine_on(Hooked::backend(&bench.another().await, hook));
    // A process that stands still has no time-outs either.
    let settings = Settings { store_timeout: Duration::from_secs(86_400), ..bench.settings() };
    let first = Running::start(first.settings(settings).platform(platform.shared()));
    bench.until("it runs", |jobs| jobs.iter().any(|job| job.state == JobState::Running)).await;
    bench.wait_for("it is out", || platform.live().len() >= sent).await;
    let second = Running::start(bench.engine().platform(platform.shared()));
    (first, second)
}

async fn a_stale_holder_settles_nothing_and_finds_its_post_taken_over(bench: Bench) {
    let account = bench.account("a", "scripted").await;
    bench.say("hello", &account, bench.now()).await;
    let platform = Scripted::new("scripted", &bench);
    let freeze = bench.times.lease * 3;
    let hook = freeze_once(Step::BeforeSettle, freeze);

    let (_frozen, _fresh) = frozen_and_fresh(&bench, &platform, &hook, 1).await;
    let jobs = bench.rest(1).await;
    let before = bench.story(jobs[0].id()).await;
    tokio::time::sleep(freeze).await;

    let after = bench.story(jobs[0].id()).await;
    assert_eq!(before, after, "what the stale one brings changes nothing");
    assert!(after.job.fence.0 >= 2, "{}", tell(&after));
    assert_all_out_once(&bench, &platform, &jobs).await;
    assert_eq!(platform.calls().len(), 1);
    let ended = after.events.iter().filter(|event| event.to == JobState::Succeeded).count();
    assert_eq!(ended, 1, "{}", tell(&after));
}

async fn a_stale_holders_receipt_is_kept_and_blocks_a_replay(bench: Bench) {
    let account = bench.account("a", "scripted").await;
    bench.say("hello", &account, bench.now()).await;
    // Nobody can look: whoever takes over holds the job.
    let platform = Scripted::new("scripted", &bench).blind();
    let freeze = bench.times.lease * 3;
    let hook = freeze_once(Step::BeforeSettle, freeze);

    let (_frozen, _fresh) = frozen_and_fresh(&bench, &platform, &hook, 1).await;
    let dead = bench.rest(1).await.remove(0);
    assert_eq!(dead.dead_reason, Some(DeadReason::OutcomeUnknown));
    tokio::time::sleep(freeze).await;
    let story = bench.story(dead.id()).await;
    assert_eq!(story.job.state, JobState::DeadLetter, "evidence, not a transition");
    assert_eq!(story.evidence.receipt(0).map(|r| &*r.remote_id), Some("1000"), "{}", tell(&story));

    let replayed = bench.backend.control.replay(dead.id(), ReplayKey::Keep).await.expect("replay");
    let Replayed::By(replay) = replayed else { panic!("{replayed:?}") };
    let jobs = bench.rest(2).await;

    let replay = jobs.iter().find(|job| job.id() == replay).expect("the replay");
    assert_eq!(replay.state, JobState::Succeeded);
    assert_eq!(platform.calls().len(), 1, "its receipt blocks every later intent");
}

async fn a_holder_frozen_before_its_intent_sends_nothing(bench: Bench) {
    for (n, step) in [Step::BeforeIntent, Step::AfterIntent].into_iter().enumerate() {
        let account = bench.account(&format!("a{n}"), "scripted").await;
        bench.say("hello", &account, bench.now()).await;
        let platform = Scripted::new("scripted", &bench);
        // After the intent only as long as the promise goes: time-out plus settle time.
        let freeze = match step {
            Step::BeforeIntent => bench.times.lease * 3,
            _ => bench.times.lease + bench.times.send_timeout / 2,
        };
        let hook = freeze_once(step, freeze);

        let (_frozen, _fresh) = frozen_and_fresh(&bench, &platform, &hook, 0).await;
        let jobs = bench.rest(n + 1).await;
        tokio::time::sleep(freeze).await;

        let jobs: Vec<_> =
            jobs.into_iter().filter(|job| job.made.account_id == Some(account.id)).collect();
        assert_all_out_once(&bench, &platform, &jobs).await;
        assert_eq!(platform.calls().len(), 1, "{step:?}");
    }
}

/// A hook that fails so many times at a step.
fn fail_at(at: Step, times: usize) -> (Hook, Arc<AtomicUsize>) {
    let failed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failed);
    let hook: Hook = Arc::new(move |step| {
        if step == at && count.load(Ordering::SeqCst) < times {
            count.fetch_add(1, Ordering::SeqCst);
            return Then::Fail;
        }
        Then::Go
    });
    (hook, failed)
}

async fn settle_trouble(bench: Bench, step: Step) {
    let account = bench.account("a", "scripted").await;
    let post = bench.post(&["one", "two", "three"]).await;
    bench.once(post.id, &[account.id], bench.now()).await;
    let platform = Scripted::new("scripted", &bench);
    let (hook, failed) = fail_at(step, 3);
    let backend = Hooked::backend(&bench.backend, &hook);

    let _engine = Running::start(bench.engine_on(backend).platform(platform.shared()));
    let jobs = bench.rest(1).await;

    assert_eq!(failed.load(Ordering::SeqCst), 3);
    assert_all_out_once(&bench, &platform, &jobs).await;
    assert_eq!(platform.calls().len(), 3, "each part is sent once");
    assert_eq!(jobs[0].attempt, 1, "writing it down is no attempt of its own");
}

async fn a_settle_that_fails_three_times_sends_nothing_again(bench: Bench) {
    settle_trouble(bench, Step::BeforeSettle).await;
}

async fn a_settle_whose_answer_is_lost_sends_nothing_again(bench: Bench) {
    settle_trouble(bench, Step::AfterSettle).await;
}

async fn an_answer_that_lies_ends_in_the_true_state(bench: Bench) {
    let refusal = || Failure::not_published(FailureClass::Content, "400");
    let wait = bench.times.retry;
    let limit = move || {
        Failure::not_published(FailureClass::RateLimit, "429").with_wait(LimitScope::Account, wait)
    };
    let no_route = || Failure::not_published(FailureClass::Network, "no route");
    let accounts = bench.accounts(5, "scripted").await;
    let platform = Scripted::new("scripted", &bench).scripted(move |call| {
        match (case(&call.text), call.again) {
            // Created, and yet: refused, limited, 'never sent'.
            (0, 0) => Act::lie(refusal()),
            (1, 0) => Act::lie(limit()),
            (2, 0) => Act::lie(no_route()),
            // Answered well, and nothing there: the receipt is all that can be known.
            (3, 0) => Act::refuse(Failure::unknown(FailureClass::Platform, "200 without an id")),
            // Really refused.
            (4, _) => Act::refuse(refusal()),
            _ => Act::good(),
        }
    });

    let mut jobs = publish_all(&bench, &platform, &accounts).await;

    let refused = jobs.iter().position(|job| job.made.account_id == Some(accounts[4].id));
    let refused = jobs.remove(refused.expect("its job"));
    assert_eq!(refused.dead_reason, Some(DeadReason::Content));
    assert_all_out_once(&bench, &platform, &jobs).await;
    let calls = platform.calls();
    let sent = |n: usize| calls.iter().filter(|call| case(&call.text) == n).count();
    assert_eq!([0, 1, 2, 3, 4].map(sent), [1, 1, 1, 2, 1]);
}

async fn a_duplicate_refusal_is_looked_into(bench: Bench) {
    let duplicate =
        || Failure::not_published(FailureClass::Content, "403 duplicate").as_duplicate();
    let account = bench.account("a", "scripted").await;
    let platform = Scripted::new("scripted", &bench).scripted(move |call| match &*call.text {
        // The first one worked, in silence; the repeat is refused for it.
        "worked" => Act::lie(duplicate()),
        // Nothing of ours is there, and nothing older: nobody can tell.
        "strange" => Act::refuse(duplicate()),
        // Refused because an older publication of ours has the text.
        _ if call.again > 0 => Act::refuse(duplicate()),
        _ => Act::good(),
    });
    for text in ["worked", "strange", "twice"] {
        bench.say(text, &account, bench.now()).await;
    }
    let _engine = Running::start(bench.engine().platform(platform.shared()));
    bench.rest(3).await;
    // Long enough after the first for the two to be told apart.
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    bench.say("twice", &account, bench.now()).await;

    let jobs = bench.rest(4).await;

    let mut ends: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for job in &jobs {
        let post = job.made.post_id.expect("a post");
        let posts = bench.backend.posts.load(&[post]).await.expect("posts");
        let text = posts[0].content.parts[0].text.clone();
        ends.entry(text).or_default().push((job.state, job.dead_reason));
    }
    let done = (JobState::Succeeded, None);
    let dead = |reason| (JobState::DeadLetter, Some(reason));
    assert_eq!(ends["worked"], [done]);
    assert_eq!(ends["strange"], [dead(DeadReason::OutcomeUnknown)]);
    assert_eq!(ends["twice"], [done, dead(DeadReason::Content)]);
    assert_eq!(platform.live().len(), 2);
}

async fn a_platform_that_panics_is_charged_and_looked_for(bench: Bench) {
    let accounts = bench.accounts(4, "scripted").await;
    let platform = Scripted::new("scripted", &bench).scripted(|call| {
        match (case(&call.text), call.again) {
            // Panics after creating, panics once before, panics always.
            (0, 0) => Act { answer: Answer::Panic, ..Act::good() },
            (1, 0) => Act { answer: Answer::Panic, create: None, ..Act::good() },
            (2, _) => Act { answer: Answer::Panic, create: None, ..Act::good() },
            _ => Act::good(),
        }
    });
    for (n, account) in accounts.iter().enumerate() {
        bench.say(&format!("case {n}"), account, bench.now()).await;
    }
    let settings = Settings { max_attempts: 2, ..bench.settings() };
    let _engine = Running::start(bench.engine().settings(settings).platform(platform.shared()));

    let mut jobs = bench.rest(4).await;

    let lost = jobs.iter().position(|job| job.made.account_id == Some(accounts[2].id));
    let lost = jobs.remove(lost.expect("its job"));
    assert_eq!(lost.state, JobState::DeadLetter);
    assert!(lost.reason.is_some(), "{lost:?}");
    assert_all_out_once(&bench, &platform, &jobs).await;
    let quick = jobs.iter().find(|job| job.made.account_id == Some(accounts[3].id));
    let quick = quick.and_then(|job| Some(job.finished_at? - job.made.planned_at));
    assert!(quick.expect("finished") < TimeDelta::seconds(2), "a panic holds up nobody: {quick:?}");
    let calls = platform.calls();
    assert_eq!(calls.iter().filter(|call| case(&call.text) == 2).count(), 2, "two attempts");
}

async fn an_attempt_that_hangs_is_ended_by_its_time_limit(bench: Bench) {
    // The store hangs in the middle of an attempt, for longer than the attempt may take.
    let account = bench.account("a", "scripted").await;
    bench.say("hello", &account, bench.now()).await;
    let platform = Scripted::new("scripted", &bench);
    let hung = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hung);
    let hook: Hook = Arc::new(move |step| {
        let first = step == Step::AfterIntent && count.fetch_add(1, Ordering::SeqCst) == 0;
        if first { Then::Freeze(Duration::from_secs(86_400)) } else { Then::Go }
    });
    let settings = Settings {
        warn_after: bench.times.send_timeout,
        time_limit: bench.times.send_timeout * 2,
        store_timeout: Duration::from_secs(86_400),
        ..bench.settings()
    };
    let backend = Hooked::backend(&bench.backend, &hook);
    let engine = bench.engine_on(backend).settings(settings).platform(platform.shared());

    let _engine = Running::start(engine);
    let jobs = bench.rest(1).await;

    assert_all_out_once(&bench, &platform, &jobs).await;
    assert_eq!(platform.calls().len(), 1, "cut off before it sent");
}

/// What a person did to a job, and was told.
#[derive(Debug, Default)]
struct Done {
    cancelled: Option<DateTime<Utc>>,
    replays: BTreeSet<JobId>,
}

/// Does something to a random job every few milliseconds, for as long as jobs wait.
async fn meddle(bench: Arc<Bench>, seed: u64, until: Instant) -> BTreeMap<JobId, Done> {
    let (mut rng, mut done) = (SmallRng::seed_from_u64(seed), BTreeMap::<JobId, Done>::new());
    let mut jobs = Vec::new();
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(rng.random_range(1..8))).await;
        // Looking at them all takes far longer than doing something to one.
        if jobs.is_empty() || rng.random_range(0..10) == 0 {
            jobs = bench.jobs().await;
            continue;
        }
        let job = jobs[rng.random_range(0..jobs.len())].id();
        let control = &bench.backend.control;
        match rng.random_range(0..10) {
            0 | 1 => {
                let before = bench.now();
                if control.cancel(job, "no more").await.expect("cancel") == Controlled::Applied {
                    done.entry(job).or_default().cancelled = Some(before);
                }
            }
            2..5 => {
                let _ = control.due_now(job).await.expect("due now");
            }
            _ => {
                if let Replayed::By(by) =
                    control.replay(job, ReplayKey::Keep).await.expect("replay")
                {
                    done.entry(job).or_default().replays.insert(by);
                }
            }
        }
    }
    done
}

async fn cancel_retry_and_replay_race_with_claim_and_settle(bench: Bench) {
    const POSTS: usize = 120;
    let bench = Arc::new(bench);
    let accounts = bench.accounts(20, "scripted").await;
    let from = bench.now() + TimeDelta::milliseconds(300);
    let stretch = TimeDelta::milliseconds(2_000);
    for n in 0..POSTS {
        let at = from + stretch / POSTS as i32 * n as i32;
        bench.say(&format!("case {n}"), &accounts[n % accounts.len()], at).await;
    }
    let no_route = || Failure::not_published(FailureClass::Network, "no route");
    let refusal = || Failure::not_published(FailureClass::Content, "400");
    let cut = || Failure::unknown(FailureClass::Network, "cut");
    let platform = Scripted::new("scripted", &bench).scripted(move |call| {
        match (case(&call.text) % 6, call.again) {
            (0, 0..2) => Act::refuse(no_route()),
            (1, 0) => Act::lie(refusal()),
            (2, 0..3) => Act::refuse(refusal()),
            (3, 0) => Act::lie(cut()),
            _ => Act::good(),
        }
    });
    let _nodes = [bench.another().await, bench.another().await]
        .map(|node| Running::start(bench.engine_on(node).platform(platform.shared())));

    let until = Instant::now() + Duration::from_millis(4_000);
    let mut people = JoinSet::new();
    for seed in 0..3 {
        people.spawn(meddle(Arc::clone(&bench), seed, until));
    }
    let mut done: BTreeMap<JobId, Done> = BTreeMap::new();
    while let Some(person) = people.join_next().await {
        for (job, did) in person.expect("every call is answered") {
            let all = done.entry(job).or_default();
            all.cancelled = all.cancelled.or(did.cancelled);
            all.replays.extend(did.replays);
        }
    }
    let jobs = bench.rest(POSTS).await;

    let mut out: BTreeMap<String, usize> = BTreeMap::new();
    for live in platform.live() {
        *out.entry(live.text).or_default() += 1;
    }
    assert!(out.values().all(|times| *times == 1), "out twice: {out:?}");
    let (mut cancelled, mut replayed) = (0, 0);
    for (id, did) in &done {
        let story = bench.story(*id).await;
        assert!(did.replays.len() <= 1, "replayed once: {did:?}");
        replayed += did.replays.len();
        if let Some(at) = did.cancelled {
            cancelled += 1;
            assert_ne!(story.job.state, JobState::Succeeded, "{}", tell(&story));
            let later =
                story.events.iter().find(|event| event.to == JobState::Running && event.at > at);
            assert!(later.is_none(), "called off, and it ran: {}", tell(&story));
        }
    }
    assert!(cancelled > 3 && replayed > 3, "{cancelled} cancelled, {replayed} replayed");
    for job in jobs.iter().filter(|job| job.state == JobState::Succeeded) {
        let story = bench.story(job.id()).await;
        let id = &story.evidence.receipt(0).expect("a receipt").remote_id;
        assert!(platform.live().iter().any(|live| live.id == *id), "{}", tell(&story));
    }
}

/// A thread of five parts to four accounts.
async fn thread(bench: &Bench) {
    let accounts = bench.accounts(4, "scripted").await;
    let texts = ["part 1", "part 2", "part 3", "part 4", "part 5"];
    let post = bench.post(&texts).await;
    let ids: Vec<_> = accounts.iter().map(|account| account.id).collect();
    bench.once(post.id, &ids, bench.now() + TimeDelta::milliseconds(50)).await;
}

/// Publishes the thread and crashes at the step of this number, counted over all accounts; answers how
/// many steps there were.
async fn crash_at(bench: &Bench, crash: Option<usize>) -> usize {
    thread(bench).await;
    let platform = Scripted::new("scripted", bench);
    let (steps, crashed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (count, tell_crash) = (Arc::clone(&steps), Arc::clone(&crashed));
    let hook: Hook = Arc::new(move |step| {
        if step != Step::Renew && Some(count.fetch_add(1, Ordering::SeqCst)) == crash {
            tell_crash.notify_one();
            return Then::Freeze(Duration::from_secs(86_400));
        }
        Then::Go
    });
    let first = bench.engine_on(Hooked::backend(&bench.backend, &hook));
    let first = Running::start(first.platform(platform.hooked(&hook).shared()));
    if crash.is_some() {
        crashed.notified().await;
    } else {
        bench.rest(4).await;
    }
    first.crash().await;
    let (crashed_at, before) = (Instant::now(), platform.calls().len());

    let _second = Running::start(bench.engine().platform(platform.shared()));
    let jobs = bench.rest(4).await;

    assert_all_out_once(bench, &platform, &jobs).await;
    assert_eq!(platform.live().len(), 20, "crash at step {crash:?}");
    assert_eq!(platform.most_at_once(), 1, "crash at step {crash:?}");
    // An unknown outcome costs the settle time, two looks and the lease, and nothing more.
    let bound = bench.times.lease + whole(bench) + whole(bench) / 2 + Duration::from_secs(10);
    let took = crashed_at.elapsed();
    assert!(took < bound, "crash at step {crash:?}, {before} sent: {took:?}, expected {bound:?}");
    steps.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_step_brings_each_part_out_once_memory() {
    let steps = crash_at(&Bench::memory(), None).await;
    assert!(steps >= 4 * 5 * 6, "{steps} steps");

    for step in 0..steps {
        crash_at(&Bench::memory(), Some(step)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_step_brings_each_part_out_once_sqlite() {
    crash_at_some_steps(0, || async { Bench::sqlite() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_step_brings_each_part_out_once_postgres() {
    crash_at_some_steps(3, Bench::postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_step_brings_each_part_out_once_postgres_redis() {
    crash_at_some_steps(7, Bench::postgres_redis).await;
}

/// Crashes at every eleventh step, in worlds side by side; which of the six kinds of steps it is varies.
async fn crash_at_some_steps<F: Future<Output = Bench> + Send + 'static>(
    from: usize,
    bench: impl Fn() -> F,
) {
    let mut worlds = JoinSet::new();
    for step in (from..118).step_by(11) {
        let bench = bench();
        worlds.spawn(async move { crash_at(&bench.await, Some(step)).await });
    }
    while let Some(world) = worlds.join_next().await {
        world.expect("each part is out once");
    }
}

#[tokio::test(start_paused = true)]
async fn crash_after_crash_brings_each_part_out_once_memory() {
    for seed in 0..20 {
        let (bench, mut rng) = (Bench::memory(), SmallRng::seed_from_u64(seed));
        thread(&bench).await;
        let platform = Scripted::new("scripted", &bench).scripted(|call| match call.n % 7 {
            3 => Act::lie(Failure::unknown(FailureClass::Network, "cut")),
            5 => Act::refuse(Failure::unknown(FailureClass::Platform, "503")),
            _ => Act::good(),
        });
        for _ in 0..12 {
            let engine = Running::start(bench.engine().platform(platform.shared()));
            tokio::time::sleep(Duration::from_millis(rng.random_range(1..400))).await;
            engine.crash().await;
            tokio::time::sleep(Duration::from_secs(rng.random_range(0..90))).await;
        }
        let settings = Settings { max_attempts: 50, ..bench.settings() };
        let engine = bench.engine().settings(settings).platform(platform.shared());
        let _engine = Running::start(engine);

        let jobs = bench.rest(4).await;

        // Twelve crashes are more than the attempts of a job: it may be given up, but never in part
        // twice.
        let (done, dead): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| job.state == JobState::Succeeded);
        assert!(dead.iter().all(|job| job.dead_reason.is_some() && job.reason.is_some()));
        let mut of_done = BTreeMap::new();
        for live in platform.live() {
            *of_done.entry((live.account, live.text)).or_insert(0) += 1;
        }
        assert!(of_done.values().all(|out| *out == 1), "seed {seed}: {of_done:?}");
        for job in &done {
            let account = job.made.account_id.expect("an account");
            assert_eq!(of_done.keys().filter(|(of, _)| *of == account).count(), 5, "seed {seed}");
        }
        assert_eq!(platform.most_at_once(), 1, "seed {seed}");
    }
}
