//! The rules of [`PostStore`](crate::store::PostStore).

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use crate::backend::Backend;
use crate::clock::{Clock, SystemClock};
use crate::conformance::fixtures::{World, account, cut, long_text, post, publish_job, refused};
use crate::content::{Content, MediaRef, Part, Post, PostState};
use crate::error::ErrorKind;
use crate::feed::Settle;
use crate::id::{PostId, TenantId};
use crate::intent::IntentAnswer;
use crate::job::{DeadReason, Resolution};
use crate::machine::JobState;
use crate::options::{OptionValue, PostOptions};
use crate::retry::RetryDecision;
use crate::schedule::{Schedule, Timing};
use crate::store::{Controlled, Edited, Page, ReplayKey, Replayed};

fn keyed(key: &str, text: &str) -> Post {
    let post = Post::new(Content::text(text), SystemClock.now());
    Post { key: Some(key.to_owned()), ..post }
}

async fn load(backend: &Backend, id: PostId) -> Option<Post> {
    backend.posts.load(&[id]).await.expect("load").pop()
}

/// An id that is there already is left as it is; a key that another post of the tenant has is a
/// conflict.
pub async fn posts_are_inserted_once(backend: Backend) {
    let first = keyed("row-1", "one");
    let insert = async |posts: &[Post]| backend.posts.insert(posts).await;
    insert(std::slice::from_ref(&first)).await.expect("insert");

    insert(&[Post { content: Content::text("two"), ..first.clone() }]).await.expect("again");
    assert_eq!(load(&backend, first.id).await, Some(first.clone()), "left as it is");

    let (fresh, thief) = (keyed("row-2", "a"), keyed("row-1", "b"));
    let error = insert(&[fresh.clone(), thief.clone()]).await.expect_err("the key is taken");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let ids = [fresh.id, thief.id];
    assert!(backend.posts.load(&ids).await.expect("load").is_empty(), "all or none");

    let elsewhere = Post { tenant_id: TenantId::new(), ..keyed("row-1", "c") };
    insert(&[elsewhere.clone(), fresh.clone()]).await.expect("another tenant's key");

    let keys = ["row-1", "row-2", "none"].map(str::to_owned);
    let mut found = backend.posts.with_keys(TenantId::DEFAULT, &keys).await.expect("with keys");
    found.sort_by_key(|post| post.key.clone());
    assert_eq!(found, [first, fresh]);
    let found = backend.posts.with_keys(elsewhere.tenant_id, &keys).await.expect("with keys");
    assert_eq!(found, [elsewhere]);
}

/// `edit` needs the revision that the caller has seen, and raises it.
pub async fn an_edit_needs_the_current_revision(backend: Backend) {
    let post = post(&backend, "one").await;
    let edit = async |id, revision, text: &str| {
        backend.posts.edit(id, revision, &Content::text(text)).await.expect("edit")
    };

    assert_eq!(edit(post.id, 1, "two").await, Edited::Applied { revision: 2 });
    assert_eq!(edit(post.id, 1, "three").await, Edited::Changed { revision: 2 });
    assert_eq!(edit(post.id, 3, "three").await, Edited::Changed { revision: 2 });
    assert_eq!(edit(PostId::new(), 1, "three").await, Edited::Gone);

    let expected = Post { content: Content::text("two"), revision: 2, ..post };
    assert_eq!(load(&backend, expected.id).await, Some(expected));
}

/// Content is frozen from the first intent of a job until that job has ended: the edit is refused.
pub async fn content_is_frozen_by_an_intent(backend: Backend) {
    let mut world = World::new(backend).await;
    let edit = async |world: &mut World| {
        let revision = world.post.revision;
        let content = Content::text(format!("after {revision}"));
        let edited = world.backend.posts.edit(world.post.id, revision, &content).await;
        let edited = edited.expect("edit");
        if let Edited::Applied { revision } = edited {
            world.post.revision = revision;
        }
        edited
    };
    let applied = |edited| matches!(edited, Edited::Applied { .. });

    world.due_job().await;
    assert!(applied(edit(&mut world).await), "enqueued");
    let job = world.take().await;
    assert!(applied(edit(&mut world).await), "running without an intent");

    world.send(&job, 0).await;
    assert_eq!(edit(&mut world).await, Edited::AlreadyPublishing, "an open intent");

    let soon = world.now().await;
    world.apply(&job, Settle::Failed(refused(), RetryDecision::RetryAt(soon))).await;
    assert!(applied(edit(&mut world).await), "it surely published nothing");

    let job = world.take().await;
    world.send(&job, 0).await;
    world.apply(&job, Settle::Failed(cut(), RetryDecision::RetryAt(soon))).await;
    assert_eq!(edit(&mut world).await, Edited::AlreadyPublishing, "its outcome is unknown");

    let job = world.take().await;
    world.apply(&job, Settle::Absent { part: 0 }).await;
    assert!(applied(edit(&mut world).await), "the platform does not have it");

    world.send(&job, 0).await;
    world.apply(&job, Settle::Part(world.receipt(0).await)).await;
    assert_eq!(edit(&mut world).await, Edited::AlreadyPublishing, "a part is out");

    world.apply(&job, Settle::Succeeded(None)).await;
    assert!(applied(edit(&mut world).await), "it has ended");
}

/// `remove` cancels what has no intent and takes the post away with its schedules; while a job has
/// one and is not ended it is refused. Publications stay.
pub async fn removing_a_post_never_publishes_it(backend: Backend) {
    let world = World::new(backend).await;
    let other = account(&world.backend, "other").await;
    let remove = async |id| world.backend.posts.remove(id).await.expect("remove");
    assert_eq!(remove(PostId::new()).await, Edited::Gone);

    let (published, _) = world.published().await;
    let failed = world.crashed().await;
    let mut waiting = publish_job(&world.post, &other, world.at(60_000).await);
    waiting.dedupe_key = Some("the moment".into());
    world.insert(std::slice::from_ref(&waiting)).await;
    let at = world.at(3_600_000).await;
    let timing = Timing::OneShot { at, local: None };
    let mut schedule = Schedule::new(world.post.id, vec![other.id], timing, world.post.created_at);
    schedule.next_run_at = Some(at);
    world.backend.schedules.insert(std::slice::from_ref(&schedule)).await.expect("schedule");

    let running = world.take().await;
    assert_eq!(running.id(), failed.id());
    assert_eq!(remove(world.post.id).await, Edited::AlreadyPublishing, "one runs");
    world.send(&running, 0).await;
    world.apply(&running, Settle::Failed(cut(), RetryDecision::RetryAt(at))).await;
    assert_eq!(remove(world.post.id).await, Edited::AlreadyPublishing, "one may be out");
    assert_eq!(world.job_now(waiting.id).await.state, JobState::Enqueued, "nothing was changed");

    let due = world.backend.control.due_now(running.id()).await.expect("due now");
    assert_eq!(due, Controlled::Applied);
    let running = world.take().await;
    world.apply(&running, Settle::Absent { part: 0 }).await;
    world.apply(&running, Settle::Failed(refused(), RetryDecision::RetryAt(at))).await;

    assert!(matches!(remove(world.post.id).await, Edited::Applied { .. }));

    assert_eq!(remove(world.post.id).await, Edited::Gone);
    assert_eq!(load(&world.backend, world.post.id).await, None);
    assert_eq!(world.job_now(waiting.id).await.state, JobState::Cancelled);
    let given_up = world.job_now(running.id()).await;
    assert_eq!(given_up.state, JobState::DeadLetter);
    assert_eq!(given_up.dead_reason, Some(DeadReason::Cancelled));
    let schedules = world.backend.schedules.load(&[schedule.id]).await.expect("load");
    assert!(schedules.is_empty(), "its schedules went with it");
    let out = world.backend.publications.of_jobs(&[published.id()]).await.expect("publications");
    assert_eq!(out.len(), 1, "what is out stays");
    world.assert_nothing_to_claim().await;
    let again = publish_job(&post(&world.backend, "new").await, &other, at);
    world.insert(&[crate::job::NewJob { dedupe_key: waiting.dedupe_key, ..again }]).await;
}

/// A list shows posts by id, each with what its state is told from.
pub async fn the_list_tells_where_posts_stand(backend: Backend) {
    let world = World::new(backend).await;
    let state = async || {
        let page = Page::first(1_000);
        let list = world.backend.posts.list(TenantId::DEFAULT, page).await.expect("list");
        let (_, tally) = list
            .into_iter()
            .find(|(post, _)| post.id == world.post.id)
            .expect("the post is in the list");
        tally
    };
    assert_eq!(state().await.state(), PostState::Draft);

    let at = world.at(3_600_000).await;
    let accounts = vec![world.account.id];
    let mut draft = Schedule::new(world.post.id, accounts.clone(), Timing::Unset, at);
    draft.enabled = false;
    world.backend.schedules.insert(&[draft]).await.expect("a draft's schedule");
    assert_eq!(state().await.state(), PostState::Draft, "it has no time yet");
    let timing = Timing::OneShot { at, local: None };
    let schedule = Schedule::new(world.post.id, accounts, timing, at);
    let ended = Schedule { next_run_at: None, ..schedule.clone() };
    world.backend.schedules.insert(&[ended]).await.expect("an ended schedule");
    assert_eq!(state().await.state(), PostState::Cancelled, "an ended schedule is not live");
    let live = Schedule { id: crate::id::ScheduleId::new(), next_run_at: Some(at), ..schedule };
    world.backend.schedules.insert(std::slice::from_ref(&live)).await.expect("a live schedule");
    let tally = state().await;
    assert_eq!((tally.live_schedules, tally.state()), (1, PostState::Scheduled));
    assert!(matches!(
        world.backend.schedules.remove(live.id).await.expect("remove"),
        Edited::Applied { .. }
    ));

    let job = world.running().await;
    let tally = state().await;
    assert_eq!((tally.waiting, tally.state()), (1, PostState::Scheduled));
    world.apply(&job, Settle::Succeeded(Some(world.receipt(0).await))).await;
    let tally = state().await;
    assert_eq!((tally.succeeded, tally.state()), (1, PostState::Published));

    let dead = world.dead_letter().await;
    let tally = state().await;
    assert_eq!((tally.dead, tally.state()), (1, PostState::PartlyPublished));
    let replayed = world.backend.control.replay(dead.id(), ReplayKey::Keep).await;
    let Replayed::By(replay) = replayed.expect("replay") else { panic!("it can be replayed") };
    let tally = state().await;
    assert_eq!((tally.dead, tally.waiting), (0, 1), "the replay has taken its place");
    let running = world.take().await;
    assert_eq!(running.id(), replay);
    world.give_up(&running, DeadReason::OutcomeUnknown).await;
    assert_eq!(state().await.dead, 1);
    let resolved = world.backend.control.resolve(replay, Resolution::Discarded).await;
    assert_eq!(resolved.expect("resolve"), Controlled::Applied);
    assert_eq!(state().await.state(), PostState::Published, "nobody misses it");
    let tally = state().await;
    let held = world.dead_letter().await;
    let resolved = world.backend.control.resolve(held.id(), Resolution::MarkedPublished).await;
    assert_eq!(resolved.expect("resolve"), Controlled::Applied);
    let after = state().await;
    assert_eq!((after.succeeded, after.dead), (tally.succeeded + 1, 0), "a person says it is out");
}

fn options() -> PostOptions {
    let list = OptionValue::List(vec!["de".to_owned(), String::new()]);
    let text = |text: &str| OptionValue::Text(text.to_owned());
    let all = [
        ("board", text("ż 🦉")),
        ("number", text("3")),
        ("days", OptionValue::Number(-3)),
        ("nsfw", OptionValue::Flag(true)),
        ("langs", list),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What was written comes back to the character, variants and media too.
pub async fn content_survives_as_it_is(backend: Backend) {
    let picture = MediaRef { source: "cat 🐈.png".to_owned(), alt: Some("a cat".to_owned()) };
    let long = Part { text: long_text(64 * 1024), media: vec![picture] };
    let content = Content {
        parts: vec![long, Part::text(""), Part::text(" \r\n\t'; -- \\ \u{202E}")],
        variants: BTreeMap::from([("x".parse().expect("a name"), vec![Part::text("for x")])]),
        options: BTreeMap::from([("x".parse().expect("a name"), options())]),
    };
    let written =
        Post { key: Some("rów 'ż' 🦉".to_owned()), ..Post::new(content, SystemClock.now()) };
    backend.posts.insert(std::slice::from_ref(&written)).await.expect("insert");

    assert_eq!(load(&backend, written.id).await, Some(written.clone()));
    let key = written.key.clone().expect("it has one");
    let found = backend.posts.with_keys(written.tenant_id, &[key]).await.expect("with keys");
    assert_eq!(found, std::slice::from_ref(&written));

    let world = World { post: written, ..World::new(backend).await };
    let job = world.running().await;
    let text = long_text(64 * 1024);
    let media = vec!["ż 🦉".to_owned(), String::new()];
    let intent = crate::intent::Intent { text, options: options(), media, ..world.intent(&job, 0) };
    let IntentAnswer::Recorded(made_at) = world.ask_with(&intent).await else {
        panic!("the intent is granted");
    };
    let known = world.story(job.id()).await.evidence;
    assert_eq!(known.0[0].intent, Some(crate::intent::Intent { made_at, ..intent }));
    assert!(
        world.now().await - made_at
            < chrono::TimeDelta::from_std(Duration::from_secs(60)).expect("a minute")
    );
}

/// Lists show one tenant, page by page.
pub async fn tenants_are_apart(backend: Backend) {
    let tenant = TenantId::new();
    let mut ids = Vec::new();
    for n in 0..5 {
        let post = Post::new(Content::text(n.to_string()), SystemClock.now());
        let post = Post { tenant_id: tenant, ..post };
        backend.posts.insert(std::slice::from_ref(&post)).await.expect("insert");
        ids.push(post.id);
    }
    post(&backend, "of the default tenant").await;
    ids.sort_unstable();

    let mut listed: Vec<PostId> = Vec::new();
    let mut after: Option<Uuid> = None;
    loop {
        let page =
            backend.posts.list(tenant, Page { after, ..Page::first(2) }).await.expect("list");
        assert!(page.len() <= 2, "at most what was asked for");
        let Some((last, _)) = page.last() else { break };
        after = Some(last.id.as_uuid());
        listed.extend(page.iter().map(|(post, _)| post.id));
    }

    assert_eq!(listed, ids);
}
