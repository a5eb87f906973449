//! Rules 9 to 15: what becomes of an attempt.

use crate::backend::Backend;
use crate::conformance::SHORT_LEASE;
use crate::conformance::fixtures::{World, account, account_of, cut, plain_job, post, refused};
use crate::failure::{Failure, FailureClass};
use crate::feed::{Deferral, Settle, Settlement};
use crate::id::{JobId, TenantId};
use crate::intent::{Intent, IntentAnswer, IntentState};
use crate::job::{Applied, DeadReason, Fence, Held, Job, JobKind, NewJob, Topic};
use crate::machine::JobState;
use crate::retry::RetryDecision;
use crate::store::Page;

/// Every way to settle that brings no receipt.
async fn settles(world: &World) -> Vec<Settle> {
    let at = world.at(60_000).await;
    vec![
        Settle::Succeeded(None),
        Settle::Failed(refused(), RetryDecision::RetryAt(at)),
        Settle::Failed(cut(), RetryDecision::GiveUp(DeadReason::AttemptsExhausted)),
        Settle::Deferred(at, Deferral::Wait),
        Settle::Deferred(at, Deferral::Slot),
        Settle::Absent { part: 0 },
        Settle::Missed,
    ]
}

async fn assert_powerless(world: &World, job: &Job, answer: Applied) {
    for settle in settles(world).await {
        assert_eq!(world.settle(job, settle.clone()).await, answer, "{settle:?}");
    }
    let lease = std::time::Duration::from_secs(60);
    let renewed = world.backend.feed.renew(&[job.held()], lease).await.expect("renew");
    assert_eq!(renewed, [answer]);
}

/// Under an older fence nothing changes, on every path; nor under one that was never given, nor for
/// an id that does not exist.
pub async fn an_older_fence_changes_nothing(backend: Backend) {
    let world = World::new(backend).await;
    let stale = world.crashed().await;
    let before = world.story(stale.id()).await;
    assert_powerless(&world, &stale, Applied::Stale).await;
    assert_eq!(world.ask(&stale, 0).await, IntentAnswer::Stale);
    assert_eq!(world.story(stale.id()).await, before, "the sweep took it");

    let current = world.take().await;
    assert_eq!(current.id(), stale.id());
    world.send(&current, 0).await;
    let before = world.story(stale.id()).await;
    assert_powerless(&world, &stale, Applied::Stale).await;
    assert_eq!(world.ask(&stale, 0).await, IntentAnswer::Stale);
    assert_eq!(world.ask(&stale, 1).await, IntentAnswer::Stale);
    let future = Job { fence: Fence(99), ..current.clone() };
    assert_powerless(&world, &future, Applied::Stale).await;
    assert_eq!(world.ask(&future, 0).await, IntentAnswer::Stale);
    assert_eq!(world.story(stale.id()).await, before, "somebody newer holds it");

    let nobody = NewJob { id: JobId::new(), ..current.made.clone() };
    let nobody = Job { made: nobody, ..current.clone() };
    assert_powerless(&world, &nobody, Applied::Gone).await;
    assert_eq!(world.ask(&nobody, 0).await, IntentAnswer::Gone);

    world.apply(&current, Settle::Absent { part: 0 }).await;
    world.apply(&current, Settle::Succeeded(None)).await;
    assert_eq!(world.settle(&current, Settle::Missed).await, Applied::Stale, "it has ended");
}

/// The same settlement again answers [`Applied::Applied`] and changes nothing; another one under the
/// same fence does not apply.
pub async fn settling_twice_is_settling_once(backend: Backend) {
    let world = World::new(backend).await;
    let mut all = settles(&world).await;
    all.push(Settle::Succeeded(Some(world.receipt(0).await)));
    all.push(Settle::Part(world.receipt(0).await));
    for (n, settle) in all.into_iter().enumerate() {
        // An account each: what one leaves open would be a twin of the next.
        let account = account(&world.backend, &format!("account {n}")).await;
        let world = World { account, ..world.clone() };
        let job = world.sending().await;
        world.apply(&job, settle.clone()).await;
        let before = world.story(job.id()).await;

        assert_eq!(world.settle(&job, settle.clone()).await, Applied::Applied, "{settle:?} again");

        assert_eq!(world.story(job.id()).await, before, "{settle:?} changes nothing");
        if before.job.state != JobState::Running {
            let at = world.at(61_000).await;
            let other = Settle::Deferred(at, Deferral::Shutdown);
            assert_eq!(world.settle(&job, other).await, Applied::Stale, "after {settle:?}");
            assert_eq!(world.story(job.id()).await, before);
        } else {
            world.apply(&job, Settle::Succeeded(None)).await;
        }
    }
    let list = world.backend.publications.list(TenantId::DEFAULT, Page::first(100)).await;
    assert_eq!(list.expect("publications").len(), 2, "one for each that brought a receipt");
}

/// One settlement that cannot be applied leaves the others of its batch alone.
pub async fn one_bad_settlement_leaves_the_batch(backend: Backend) {
    let world = World::new(backend).await;
    let stale = world.crashed().await;
    let at = world.at(-1_000).await;
    world.insert(&[plain_job(None, 9, at), plain_job(None, 9, at)]).await;
    let jobs = world.claim_n(&world.claim(2), 2).await;
    let nobody = Held { job: JobId::new(), fence: Fence(1) };
    let done = |job: &Job| world.settlement(job, Settle::Succeeded(None));
    let gone = Settlement { held: nobody, ..done(&jobs[0]) };

    let batch = [done(&jobs[0]), done(&stale), gone, done(&jobs[1])];
    let answers = world.backend.feed.settle(&batch).await.expect("settle");

    assert_eq!(answers, [Applied::Applied, Applied::Stale, Applied::Gone, Applied::Applied]);
    for job in &jobs {
        assert_eq!(world.job_now(job.id()).await.state, JobState::Succeeded);
    }
    assert_eq!(world.job_now(stale.id()).await.state, JobState::Failed);
    assert!(world.backend.feed.settle(&[]).await.expect("settle nothing").is_empty());
}

/// A deferred job gets its attempt back; a crashed one does not.
pub async fn deferring_gives_the_attempt_back(backend: Backend) {
    let world = World::new(backend).await;
    let mut job = world.running().await;
    let deferrals = [
        Deferral::Wait,
        Deferral::Refused,
        Deferral::Shutdown,
        Deferral::Looking { absent: true },
        Deferral::UnknownKind,
        Deferral::Again,
        Deferral::Slot,
    ];
    for deferral in deferrals {
        let at = world.at(3_600_000).await;
        world.apply(&job, Settle::Deferred(at, deferral)).await;

        let waiting = world.job_now(job.id()).await;
        assert_eq!((waiting.state, waiting.attempt), (JobState::Enqueued, 0), "{deferral:?}");
        assert_eq!((waiting.run_at, waiting.fence), (at, job.fence));
        assert_eq!(waiting.slot, (deferral == Deferral::Slot).then_some(at), "{deferral:?}");
        world.assert_nothing_to_claim().await;
        let due = world.backend.control.due_now(job.id()).await.expect("due now");
        assert_eq!(due, crate::store::Controlled::Applied);
        job = world.take().await;
        assert_eq!(job.attempt, 1, "after {deferral:?}");
    }
    assert!(job.slot.is_some(), "its worker knows the slot");
    let soon = world.now().await;
    world.apply(&job, Settle::Failed(refused(), RetryDecision::RetryAt(soon))).await;
    assert_eq!(world.job_now(job.id()).await.slot, None, "a failure has used it up");
    let job = world.take().await;
    world.apply(&job, Settle::Succeeded(None)).await;

    // Only `Refused` tells what became of what was sent.
    for (deferral, state) in
        [(Deferral::Wait, IntentState::Open), (Deferral::Refused, IntentState::NotPublished)]
    {
        let job = world.sending().await;
        let soon = world.now().await;
        world.apply(&job, Settle::Deferred(soon, deferral)).await;
        assert_eq!(world.story(job.id()).await.evidence.0[0].state, state, "{deferral:?}");
        let job = world.take().await;
        world.apply(&job, Settle::Succeeded(None)).await;
    }

    let crashed = world.crashed().await;
    assert_eq!(world.job_now(crashed.id()).await.attempt, 1);
    let again = world.take_leased(SHORT_LEASE).await.job;
    assert_eq!(again.attempt, 2, "a crash is charged");
}

/// `failed` waits for its retry; giving up makes it a `dead_letter` with the reason, both transitions
/// recorded.
pub async fn giving_up_makes_a_dead_letter(backend: Backend) {
    let world = World::new(backend).await;
    let job = world.sending().await;
    let at = world.at(60_000).await;
    let failure = Failure::unknown(FailureClass::Platform, "answered 503");
    world.apply(&job, Settle::Failed(failure, RetryDecision::RetryAt(at))).await;
    let failed = world.story(job.id()).await;
    assert_eq!((failed.job.state, failed.job.run_at), (JobState::Failed, at));
    assert_eq!(failed.job.reason.as_deref(), Some("platform: answered 503"));
    assert_eq!((failed.job.finished_at, failed.job.dead_reason), (None, None));
    assert_eq!(failed.evidence.0[0].state, IntentState::Open, "unknown leaves it open");
    assert!(!failed.evidence.0[0].duplicate);
    world.assert_nothing_to_claim().await;

    let due = world.backend.control.due_now(job.id()).await.expect("due now");
    assert_eq!(due, crate::store::Controlled::Applied);
    let job = world.take().await;
    let failure = Failure::not_published(FailureClass::Content, "has it already").as_duplicate();
    let mut settlement =
        world.settlement(&job, Settle::Failed(failure, RetryDecision::GiveUp(DeadReason::Content)));
    settlement.reason = Some("refused for good".to_owned());
    assert_eq!(world.settle_with(settlement).await, Applied::Applied);

    let dead = world.story(job.id()).await;
    assert_eq!(
        (dead.job.state, dead.job.dead_reason),
        (JobState::DeadLetter, Some(DeadReason::Content))
    );
    assert_eq!(dead.job.reason.as_deref(), Some("refused for good"));
    assert!(dead.job.finished_at.is_some() && dead.job.resolution.is_none());
    assert_eq!(dead.evidence.0[0].state, IntentState::NotPublished);
    assert!(dead.evidence.0[0].duplicate, "the failure says so");
    let path = world.path(job.id()).await;
    assert_eq!(path[path.len() - 3..], [JobState::Running, JobState::Failed, JobState::DeadLetter]);
    world.assert_nothing_to_claim().await;
}

/// Follow-ups are made if and only if the settlement applies, once.
pub async fn follow_ups_come_once(backend: Backend) {
    let world = World::new(backend).await;
    let follow_up = |word: &str, at| NewJob {
        dedupe_key: Some(word.into()),
        ..NewJob::new(JobKind::notify(), Topic::notify(), at)
    };
    let now = world.now().await;
    let stale = world.crashed().await;
    let mut settlement = world.settlement(&stale, Settle::Succeeded(None));
    let unwanted = follow_up("stale", now);
    settlement.follow_ups = vec![unwanted.clone()];
    assert_eq!(world.settle_with(settlement).await, Applied::Stale);
    assert_eq!(world.backend.jobs.story(unwanted.id).await.expect("story"), None);

    let job = world.take().await;
    let mut settlement = world.settlement(&job, Settle::Succeeded(None));
    let wanted = [follow_up("a", now), follow_up("b", now), follow_up("a", now)];
    settlement.follow_ups = wanted.to_vec();
    for _ in 0..2 {
        assert_eq!(world.settle_with(settlement.clone()).await, Applied::Applied);
    }

    for made in &wanted[..2] {
        assert_eq!(world.path(made.id).await, [JobState::Planned, JobState::Enqueued]);
        assert_eq!(world.job_now(made.id).await.made, *made);
    }
    let twin = world.backend.jobs.story(wanted[2].id).await.expect("story");
    assert_eq!(twin, None, "its key is taken");
    let claim = crate::feed::Claim { topic: Topic::notify(), ..world.claim(10) };
    world.claim_n(&claim, 2).await;
}

/// Success makes one publication with every part.
pub async fn success_makes_one_publication(backend: Backend) {
    let world = World::new(backend).await;
    let made =
        NewJob { dedupe_key: Some("the moment".into()), ..world.job(world.at(-1_000).await) };
    world.insert(std::slice::from_ref(&made)).await;
    let job = world.take().await;
    let publications = async || {
        let list = world.backend.publications.list(TenantId::DEFAULT, Page::first(10)).await;
        list.expect("list")
    };
    let mut parts = Vec::new();
    for part in 0..3 {
        world.send(&job, part).await;
        parts.push(world.receipt(part).await);
        if part < 2 {
            world.apply(&job, Settle::Part(parts[usize::from(part)].clone())).await;
            assert_eq!(world.job_now(job.id()).await.state, JobState::Running);
            assert!(publications().await.is_empty(), "not yet");
        }
    }

    world.apply(&job, Settle::Succeeded(Some(parts[2].clone()))).await;

    let list = publications().await;
    assert_eq!(list.len(), 1);
    let publication = &list[0];
    assert_eq!(publication.parts, parts);
    assert_eq!(publication.remote_id, parts[0].remote_id, "of the first part");
    assert_eq!(publication.url, parts[0].url);
    assert_eq!(publication.published_at, parts[0].published_at);
    assert_eq!((publication.job_id, publication.post_id), (job.id(), world.post.id));
    assert_eq!(publication.account_id, world.account.id);
    assert_eq!(publication.dedupe_key, made.dedupe_key);
    let story = world.story(job.id()).await;
    assert!(story.job.finished_at.is_some());
    assert!(story.evidence.0.iter().all(|part| part.state == IntentState::Published));

    world.insert(&[plain_job(None, 0, world.at(-1_000).await)]).await;
    let plain = world.take().await;
    world.apply(&plain, Settle::Succeeded(None)).await;
    assert_eq!(publications().await.len(), 1, "a job that publishes nothing makes none");
}

/// A remote id that another publication of the account has is refused as [`Applied::Stale`].
pub async fn a_remote_id_belongs_to_one_publication(backend: Backend) {
    let world = World::new(backend).await;
    let (_, taken) = world.published().await;
    let job = world.sending().await;
    let before = world.story(job.id()).await;

    let answer = world.settle(&job, Settle::Succeeded(Some(taken.clone()))).await;
    assert_eq!(answer, Applied::Stale);
    assert_eq!(world.story(job.id()).await, before, "nothing was changed");
    world.apply(&job, Settle::Succeeded(Some(world.receipt(0).await))).await;

    let other = World {
        account: account(&world.backend, "other").await,
        post: post(&world.backend, "other").await,
        ..world.clone()
    };
    let job = other.sending().await;
    other.apply(&job, Settle::Succeeded(Some(taken))).await;
    let list = world.backend.publications.list(TenantId::DEFAULT, Page::first(10)).await;
    assert_eq!(list.expect("list").len(), 3, "another account may have the same");
}

/// Of accounts that are the same identity, one has a remote id: also when two bring it at once.
pub async fn a_remote_id_belongs_to_one_of_an_identity(backend: Backend) {
    let world = World::new(backend).await;
    let sending = async |platform: &str, remote_id: &str, text: &str| {
        let account = account_of(&world.backend, platform, remote_id).await;
        let world = World { post: post(&world.backend, text).await, ..world.of(account) };
        let job = world.running().await;
        let intent = Intent { text: text.to_owned(), ..world.intent(&job, 0) };
        assert!(matches!(world.ask_with(&intent).await, IntentAnswer::Recorded(_)));
        job
    };
    for is_one_batch in [true, false] {
        let who = format!("ann {is_one_batch}");
        let (first, second) = (sending("test", &who, "a").await, sending("test", &who, "b").await);
        let taken = world.receipt(0).await;
        let [one, other] = [&first, &second]
            .map(|job| world.settlement(job, Settle::Succeeded(Some(taken.clone()))));
        let settle = async |settlements: &[Settlement]| {
            world.backend.feed.settle(settlements).await.expect("settle")
        };

        let mut answers = match is_one_batch {
            true => settle(&[one, other]).await,
            false => {
                let (one, other) = ([one], [other]);
                let (one, other) = tokio::join!(settle(&one), settle(&other));
                [one, other].concat()
            }
        };

        let lost = if answers[0] == Applied::Stale { &first } else { &second };
        answers.sort_by_key(|answer| *answer == Applied::Stale);
        assert_eq!(answers, [Applied::Applied, Applied::Stale], "one of them has it");
        let its = Settle::Succeeded(Some(world.receipt(0).await));
        assert_eq!(world.settle(lost, its).await, Applied::Applied, "it has another one");
        for (platform, remote_id) in [("test", "bob"), ("elsewhere", &who)] {
            let job = sending(platform, remote_id, "c").await;
            let same = Settle::Succeeded(Some(taken.clone()));
            assert_eq!(world.settle(&job, same).await, Applied::Applied, "{remote_id} may");
        }
    }
}

/// What is too late is cancelled with the reason `missed`; its key stays.
pub async fn what_is_missed_is_cancelled(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    let made = NewJob { dedupe_key: Some("the moment".into()), ..world.job(at) };
    world.insert(std::slice::from_ref(&made)).await;
    let job = world.take().await;

    world.apply(&job, Settle::Missed).await;

    let story = world.story(job.id()).await;
    assert_eq!((story.job.state, story.job.attempt), (JobState::Cancelled, 0));
    assert_eq!(story.job.reason.as_deref(), Some("missed"));
    assert!(story.job.finished_at.is_some());
    let path = world.path(job.id()).await;
    assert_eq!(path[2..], [JobState::Running, JobState::Enqueued, JobState::Cancelled]);
    let again = NewJob { dedupe_key: made.dedupe_key, ..world.job(at) };
    let made = world.backend.jobs.insert(&[again]).await.expect("insert");
    assert!(made.is_empty(), "the moment stays taken");
    world.assert_nothing_to_claim().await;
}
