//! Rules 16 to 19: intents and receipts.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::backend::Backend;
use crate::conformance::fixtures::{World, account, account_of, cut, refused};
use crate::conformance::{BRIEF_LEASE, SHORT_LEASE, eventually};
use crate::content::Content;
use crate::feed::{Deferral, Settle};
use crate::intent::{Intent, IntentAnswer, IntentState, PartEvidence};
use crate::job::{Applied, DeadReason, Job};
use crate::retry::RetryDecision;
use crate::store::{Edited, ReplayKey, Replayed};

async fn part(world: &World, job: &Job, part: u16) -> PartEvidence {
    let evidence = world.story(job.id()).await.evidence;
    evidence.part(part).expect("something is known of the part").clone()
}

async fn replay(world: &World, dead: &Job, key: ReplayKey) {
    let replayed = world.backend.control.replay(dead.id(), key).await.expect("replay");
    assert!(matches!(replayed, Replayed::By(_)), "{replayed:?}");
}

/// An intent is recorded only under the current fence, with at least `room` of the lease left, for
/// the post's current revision.
pub async fn an_intent_needs_the_fence_room_and_revision(backend: Backend) {
    let mut world = World::new(backend).await;
    world.due_job().await;
    let job = world.take_leased(Duration::from_secs(30)).await.job;
    let ask = async |world: &World, intent: &Intent, seconds| {
        let room = Duration::from_secs(seconds);
        world.backend.feed.intent(intent, room).await.expect("intent")
    };
    let intent = world.intent(&job, 0);
    assert_eq!(ask(&world, &intent, 31).await, IntentAnswer::LeaseTooShort);

    let content = Content::text("edited");
    let edited = world.backend.posts.edit(world.post.id, 1, &content).await.expect("edit");
    assert_eq!(edited, Edited::Applied { revision: 2 });
    assert_eq!(ask(&world, &intent, 1).await, IntentAnswer::Edited);
    assert!(world.story(job.id()).await.evidence.0.is_empty(), "refusals leave no trace");
    world.post.revision = 2;

    let before = world.now().await;
    let intent = Intent {
        reply_to: Some("parent".to_owned()),
        container: Some("container".to_owned()),
        ..world.intent(&job, 0)
    };
    let IntentAnswer::Recorded(made_at) = ask(&world, &intent, 20).await else {
        panic!("it has fence, room and revision");
    };
    assert!(made_at >= before && made_at <= world.now().await, "the store's time");
    let known = part(&world, &job, 0).await;
    assert_eq!(known.intent, Some(Intent { made_at, ..intent }));
    assert_eq!((known.state, known.receipt), (IntentState::Open, None));
    assert_eq!((known.looks, known.absent_looks, known.duplicate), (0, 0, false));
    world.apply(&job, Settle::Succeeded(Some(world.receipt(0).await))).await;
    assert_eq!(world.ask(&job, 1).await, IntentAnswer::Stale, "it has ended");

    // An ended lease is no lease, though no sweep has come by.
    let made = world.due_job().await;
    let job = world.take_leased(SHORT_LEASE).await.job;
    assert_eq!(job.id(), made.id);
    eventually("the lease ends", async || match ask(&world, &world.intent(&job, 0), 1).await {
        IntentAnswer::Stale => Some(()),
        IntentAnswer::LeaseTooShort => None,
        other => panic!("no room and no lease, but {other:?}"),
    })
    .await;
}

/// While an intent for the part is open, no other is recorded, for another part neither; after
/// `NotPublished` or `Absent` one is.
pub async fn an_open_intent_blocks_the_next(backend: Backend) {
    let world = World::new(backend).await;
    let job = world.sending().await;
    let other_text = Intent { text: "another text".to_owned(), ..world.intent(&job, 0) };
    assert_eq!(world.ask_with(&other_text).await, IntentAnswer::Unresolved);
    assert_eq!(world.ask(&job, 1).await, IntentAnswer::Unresolved, "another part");

    let soon = world.now().await;
    world.apply(&job, Settle::Failed(cut(), RetryDecision::RetryAt(soon))).await;
    let job = world.take_leased(SHORT_LEASE).await.job;
    world.expire(job.id()).await;
    let claimed = world.take_claimed().await;
    let job = claimed.job;
    assert_eq!(claimed.evidence.open().map(|open| open.part), Some(0), "the claim tells it");
    assert_eq!(world.ask(&job, 0).await, IntentAnswer::Unresolved, "after failure and crash");

    world.apply(&job, Settle::Absent { part: 0 }).await;
    assert_eq!(part(&world, &job, 0).await.state, IntentState::Absent);
    world.send(&job, 0).await;
    assert_eq!(part(&world, &job, 0).await.state, IntentState::Open);

    world.apply(&job, Settle::Failed(refused(), RetryDecision::RetryAt(soon))).await;
    assert_eq!(part(&world, &job, 0).await.state, IntentState::NotPublished);
    let job = world.take().await;
    world.send(&job, 0).await;
    let known = part(&world, &job, 0).await;
    assert_eq!(known.intent.map(|intent| intent.fence), Some(job.fence), "the last one");

    world.apply(&job, Settle::Part(world.receipt(0).await)).await;
    assert_eq!(part(&world, &job, 0).await.state, IntentState::Published);
    world.send(&job, 1).await;
}

/// Two jobs of one account that say the same cannot be told apart on the platform: while the outcome
/// of one is unknown, the other waits. Another text, or another account, does not.
pub async fn an_open_twin_blocks(backend: Backend) {
    let world = World::new(backend).await;
    let first = world.sending().await;
    world.due_job().await;
    let mut wide = world.claim(1);
    wide.lane_width = 2;
    let second = world.backend.feed.claim(&wide).await.expect("claim").jobs.remove(0).job;

    assert_eq!(world.ask(&second, 0).await, IntentAnswer::Twin);
    let other = Intent { text: "another text".to_owned(), ..world.intent(&second, 0) };
    assert!(matches!(world.ask_with(&other).await, IntentAnswer::Recorded(_)));
    world.apply(&second, Settle::Absent { part: 0 }).await;

    // Held for a person, it holds back nobody; its replay looks for it, and does.
    let hold = RetryDecision::GiveUp(DeadReason::OutcomeUnknown);
    world.apply(&first, Settle::Failed(cut(), hold)).await;
    assert!(matches!(world.ask(&second, 0).await, IntentAnswer::Recorded(_)), "it is held");
    world.apply(&second, Settle::Absent { part: 0 }).await;
    replay(&world, &first, ReplayKey::Keep).await;
    assert_eq!(world.ask(&second, 0).await, IntentAnswer::Twin);
}

/// Two accounts that are the same identity have one list on the platform: there, too, one of two alike
/// waits. Those of two identities, or of which nobody knows whose they are, do not.
pub async fn an_open_twin_blocks_its_identity(backend: Backend) {
    let mut world = World::new(backend).await;
    let first = world.sending().await;
    let of = async |account| {
        let world = world.of(account);
        (world.running().await, world)
    };
    let (unknown, its) = of(account(&world.backend, "of nobody known").await).await;
    let (another, bobs) = of(account_of(&world.backend, "test", "bob").await).await;
    let (elsewhere, there) = of(account_of(&world.backend, "elsewhere", "ann").await).await;
    let (twin, again) = of(account_of(&world.backend, "test", "ann").await).await;
    assert!(matches!(again.ask(&twin, 0).await, IntentAnswer::Recorded(_)), "nobody knows better");
    again.apply(&twin, Settle::Absent { part: 0 }).await;

    world.is_identity("ann").await;

    assert_eq!(again.ask(&twin, 0).await, IntentAnswer::Twin);
    for (world, job) in [(its, unknown), (bobs, another), (there, elsewhere)] {
        assert!(matches!(world.ask(&job, 0).await, IntentAnswer::Recorded(_)), "{job:?}");
    }
    world.apply(&first, Settle::Absent { part: 0 }).await;
    assert!(matches!(again.ask(&twin, 0).await, IntentAnswer::Recorded(_)), "it is its turn");
    assert_eq!(world.ask(&first, 0).await, IntentAnswer::Twin, "and the other way round");
}

/// However many accounts of an identity are about to send the same at once, one of them does.
pub async fn twins_of_an_identity_never_overlook_each_other(backend: Backend) {
    let world = World::new(backend).await;
    for round in 0..8 {
        let mut ready = Vec::new();
        for _ in 0..4 {
            let who = format!("ann of round {round}");
            let world = world.of(account_of(&world.backend, "test", &who).await);
            ready.push((world.running().await, world));
        }

        let ask = |(job, world): (Job, World)| async move { world.ask(&job, 0).await };
        let answers = ready.into_iter().map(ask).collect::<JoinSet<_>>().join_all().await;

        let recorded = |answer: &&IntentAnswer| matches!(answer, IntentAnswer::Recorded(_));
        assert_eq!(answers.iter().filter(recorded).count(), 1, "{answers:?}");
        let twins = answers.iter().filter(|answer| **answer == IntentAnswer::Twin);
        assert_eq!(twins.count(), 3, "{answers:?}");
    }
}

/// The same intent under the same fence answers as before: a lost answer may be asked for again.
pub async fn an_intent_may_be_repeated(backend: Backend) {
    let world = World::new(backend).await;
    let job = world.running().await;
    let at = world.send(&job, 0).await;
    eventually("time passes", async || (world.now().await > at).then_some(())).await;

    let again = Intent { made_at: world.now().await, ..world.intent(&job, 0) };

    assert_eq!(world.ask_with(&again).await, IntentAnswer::Recorded(at));
    let known = part(&world, &job, 0).await.intent.expect("it is known");
    assert_eq!(known.made_at, at);
}

/// A receipt blocks every later intent for its part, whoever brought it: a stale worker's settlement
/// stores its receipt although it answers [`Applied::Stale`].
pub async fn a_stale_receipt_is_kept_and_blocks(backend: Backend) {
    let world = World::new(backend).await;
    for whole in [true, false] {
        let made = world.due_job().await;
        let stale = world.take_leased(BRIEF_LEASE).await.job;
        assert_eq!(stale.id(), made.id);
        world.send_briefly(&stale).await;
        world.expire(stale.id()).await;
        let job = world.take().await;
        let receipt = world.receipt(0).await;
        let brought = |receipt: &crate::intent::Receipt| {
            if whole {
                Settle::Succeeded(Some(receipt.clone()))
            } else {
                Settle::Part(receipt.clone())
            }
        };

        let answer = world.settle(&stale, brought(&receipt)).await;

        assert_eq!(answer, Applied::Stale);
        assert_eq!(world.job_now(job.id()).await, job, "the job is where it was");
        let known = part(&world, &job, 0).await;
        assert_eq!((known.state, known.receipt.as_ref()), (IntentState::Published, Some(&receipt)));
        assert_eq!(world.ask(&job, 0).await, IntentAnswer::AlreadyOut(receipt.clone()));

        let second = world.receipt(0).await;
        assert_eq!(world.settle(&stale, brought(&second)).await, Applied::Stale);
        assert_eq!(part(&world, &job, 0).await.receipt.as_ref(), Some(&receipt), "the first stays");

        world.send(&job, 1).await;
        let last = world.receipt(1).await;
        world.apply(&job, Settle::Succeeded(Some(last.clone()))).await;
        let made = world.backend.publications.of_jobs(&[job.id()]).await.expect("publications");
        assert_eq!(made[0].parts, [receipt, last], "the stale worker's part is in it");
    }
}

/// A thread of which part 0 is out and part 1 was sent without an answer; given up.
async fn half_a_thread(world: &World) -> Job {
    let job = world.sending().await;
    world.apply(&job, Settle::Part(world.receipt(0).await)).await;
    world.send(&job, 1).await;
    world.give_up(&job, DeadReason::OutcomeUnknown).await;
    job
}

/// Evidence belongs to the root job: a replay sees it, and what it settles is seen by its own replay.
pub async fn a_replay_inherits_the_evidence(backend: Backend) {
    let world = World::new(backend).await;
    let dead = half_a_thread(&world).await;
    let before = world.story(dead.id()).await.evidence;
    replay(&world, &dead, ReplayKey::Keep).await;

    let claimed = world.take_claimed().await;
    let job = claimed.job;
    assert_eq!((job.root, job.replay_of), (dead.id(), Some(dead.id())));
    assert_eq!(claimed.evidence, before);
    assert_eq!(world.story(job.id()).await.evidence, before);
    let first = before.receipt(0).expect("part 0 is out").clone();
    assert_eq!(world.ask(&job, 0).await, IntentAnswer::AlreadyOut(first.clone()));
    assert_eq!(world.ask(&job, 1).await, IntentAnswer::Unresolved);

    world.apply(&job, Settle::Absent { part: 1 }).await;
    world.send(&job, 1).await;
    world.give_up(&job, DeadReason::OutcomeUnknown).await;
    replay(&world, &job, ReplayKey::Keep).await;
    let last = world.take_claimed().await;
    assert_eq!(last.job.root, dead.id(), "the root of the line");
    assert_eq!(last.evidence.open().map(|open| open.part), Some(1));
    let found = world.receipt(1).await;
    world.apply(&last.job, Settle::Succeeded(Some(found.clone()))).await;
    let made = world.backend.publications.of_jobs(&[last.job.id()]).await.expect("publications");
    assert_eq!(made[0].parts, [first, found]);
}

/// A replay with a new key goes on after the last part out and knows of no open intent.
pub async fn a_new_key_forgets_what_is_unknown(backend: Backend) {
    let world = World::new(backend).await;
    let dead = half_a_thread(&world).await;
    let before = world.story(dead.id()).await.evidence;
    let first = before.receipt(0).expect("part 0 is out").clone();
    replay(&world, &dead, ReplayKey::New).await;

    let claimed = world.take_claimed().await;

    let job = claimed.job;
    assert_eq!((job.root, job.replay_of), (job.id(), Some(dead.id())), "a root of its own");
    assert_eq!(claimed.evidence.receipt(0), Some(&first));
    assert_eq!(claimed.evidence.open(), None);
    assert_eq!(world.ask(&job, 0).await, IntentAnswer::AlreadyOut(first.clone()));
    world.send(&job, 1).await;
    let second = world.receipt(1).await;
    world.apply(&job, Settle::Succeeded(Some(second.clone()))).await;
    let made = world.backend.publications.of_jobs(&[job.id()]).await.expect("publications");
    assert_eq!(made[0].parts, [first, second]);
    let old = world.story(dead.id()).await.evidence;
    assert_eq!(old, before, "the letter keeps its own evidence");
}

/// Looks are counted on the open intent, apart where they found nothing; a new intent starts anew.
pub async fn looks_are_counted(backend: Backend) {
    let world = World::new(backend).await;
    let mut job = world.sending().await;
    for absent in [false, true, false, true] {
        let soon = world.now().await;
        world.apply(&job, Settle::Deferred(soon, Deferral::Looking { absent })).await;
        job = world.take().await;
    }
    let soon = world.now().await;
    world.apply(&job, Settle::Deferred(soon, Deferral::Wait)).await;
    let claimed = world.take_claimed().await;
    job = claimed.job;
    let open = claimed.evidence.open().expect("it is open");
    assert_eq!((open.looks, open.absent_looks), (4, 2));

    world.apply(&job, Settle::Absent { part: 0 }).await;
    world.send(&job, 0).await;
    let known = part(&world, &job, 0).await;
    assert_eq!((known.looks, known.absent_looks, known.state), (0, 0, IntentState::Open));
}
