//! The rules of [`JobStore`](crate::store::JobStore).

use std::collections::BTreeMap;

use chrono::TimeDelta;
use uuid::Uuid;

use crate::backend::Backend;
use crate::conformance::fixtures::{World, account, long_text, plain_job, publish_job};
use crate::feed::Settle;
use crate::id::{JobId, TenantId};
use crate::job::{DeadReason, JobKind, Lane, NewJob, Resolution, Topic};
use crate::machine::JobState;
use crate::retry::RetryDecision;
use crate::store::{Controlled, JobFilter, Order, Page};

/// An id or dedupe key that is there already is left out of an insert, the rest goes in.
pub async fn a_dedupe_key_makes_one_job(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(60_000).await;
    let keyed = |key: &str| NewJob { dedupe_key: Some(key.into()), ..world.job(at) };
    let insert = async |jobs: &[NewJob]| world.backend.jobs.insert(jobs).await.expect("insert");
    let first = keyed("a");
    assert_eq!(insert(std::slice::from_ref(&first)).await, [first.id]);

    let same_id = NewJob { priority: 9, dedupe_key: None, ..first.clone() };
    let (same_key, other, twin) = (keyed("a"), keyed("b"), keyed("b"));
    let keyless = world.job(at);
    let batch = [same_id, same_key.clone(), other.clone(), twin.clone(), keyless.clone()];
    assert_eq!(insert(&batch).await, [other.id, keyless.id], "the first of each like");

    assert_eq!(world.job_now(first.id).await.made, first, "left as it is");
    assert_eq!(world.job_now(other.id).await.made, other);
    for left_out in [same_key.id, twin.id] {
        assert_eq!(world.backend.jobs.story(left_out).await.expect("story"), None);
    }
    assert!(insert(&batch).await.is_empty(), "safe to repeat");
    assert!(insert(&[]).await.is_empty());
}

/// Every transition is in the story, in order, written with the change itself.
pub async fn every_transition_is_recorded(backend: Backend) {
    let world = World::new(backend).await;
    let made = world.due_job().await;
    let enqueued = [JobState::Planned, JobState::Enqueued];
    assert_eq!(world.path(made.id).await, enqueued);
    let before = world.job_now(made.id).await;
    assert_eq!((before.attempt, before.fence.0, before.root), (0, 0, made.id));
    assert_eq!(before.made, made);
    assert!(before.enqueued_at.is_some() && before.started_at.is_none());

    let job = world.take().await;
    let soon = world.now().await;
    let failed = Settle::Failed(super::super::fixtures::refused(), RetryDecision::RetryAt(soon));
    world.apply(&job, failed).await;
    let job = world.take().await;
    world.apply(&job, Settle::Succeeded(Some(world.receipt(0).await))).await;

    use JobState::{Failed, Running, Succeeded};
    let path = [&enqueued[..], &[Running, Failed, Running, Succeeded]].concat();
    assert_eq!(world.path(made.id).await, path);
    let story = world.story(made.id).await;
    let fences: Vec<_> = story.events.iter().map(|event| event.fence.0).collect();
    assert_eq!(fences, [0, 0, 1, 1, 2, 2]);
    let nodes = story.events[2..].iter().map(|event| event.node);
    assert!(nodes.into_iter().all(|node| node == Some(world.node)), "who asked for it");
    let refusal = story.events[3].reason.as_deref().expect("a reason");
    assert!(refusal.contains("the platform is not there"), "{refusal}");
    assert!(story.job.finished_at.is_some());
    assert_eq!(world.backend.jobs.story(JobId::new()).await.expect("story"), None);
}

/// Pages are stable under inserts.
pub async fn pages_are_stable(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(60_000).await;
    let jobs: Vec<_> = (0..10).map(|_| world.job(at)).collect();
    world.insert(&jobs).await;
    let mut expected: Vec<_> = jobs.iter().map(|job| job.id).collect();
    expected.sort_unstable();

    let mut back = Vec::new();
    let mut page = Page::first(3).ordered(Order::Newest);
    loop {
        let filter = JobFilter::default();
        let list = world.backend.jobs.list(TenantId::DEFAULT, &filter, page).await.expect("list");
        let Some(last) = list.last() else { break };
        page.after = Some(last.id().as_uuid());
        back.extend(list.iter().map(|job| job.id()));
        if back.len() < 6 {
            // Newer ones are on no later page.
            world.insert(&[world.job(at)]).await;
        }
    }
    back.reverse();
    assert_eq!(back, expected, "newest first, those that were there");

    let mut seen: Vec<JobId> = Vec::new();
    let mut after: Option<Uuid> = None;
    loop {
        let page = Page { after, ..Page::first(3) };
        let filter = JobFilter::default();
        let list = world.backend.jobs.list(TenantId::DEFAULT, &filter, page).await.expect("list");
        assert!(list.len() <= 3, "at most what was asked for");
        let Some(last) = list.last() else { break };
        after = Some(last.id().as_uuid());
        seen.extend(list.iter().map(|job| job.id()));
        if seen.len() < 30 {
            world.insert(&[world.job(at)]).await;
        }
    }

    assert!(seen.is_sorted_by(|a, b| a < b), "by id, none twice");
    assert_eq!(seen[..10], expected, "none of those that were there is left out");
}

/// Lists and counts show what the filter says, of one tenant.
pub async fn filters_and_counts_agree(backend: Backend) {
    let world = World::new(backend).await;
    let other = account(&world.backend, "other").await;
    let dead = world.dead_letter().await;
    let (done, _) = world.published().await;
    let later = world.at(60_000).await;
    let waiting = publish_job(&world.post, &other, later);
    let notify = NewJob::new(JobKind::notify(), Topic::notify(), later);
    let stranger = NewJob { tenant_id: TenantId::new(), ..plain_job(None, 0, later) };
    world.insert(&[waiting.clone(), notify.clone(), stranger.clone()]).await;
    let list = async |filter: &JobFilter| {
        let page = Page::first(100);
        let list = world.backend.jobs.list(TenantId::DEFAULT, filter, page).await.expect("list");
        let counts = world.backend.jobs.count(TenantId::DEFAULT, filter).await.expect("count");
        let mut counted = BTreeMap::new();
        for job in &list {
            *counted.entry(job.state).or_insert(0_u64) += 1;
        }
        assert_eq!(counts.into_iter().collect::<BTreeMap<_, _>>(), counted, "{filter:?}");
        list.iter().map(|job| job.id()).collect::<Vec<_>>()
    };
    let sorted = |mut ids: Vec<JobId>| {
        ids.sort_unstable();
        ids
    };
    let all = JobFilter::default();

    let ours = sorted(vec![dead.id(), done.id(), waiting.id, notify.id]);
    assert_eq!(list(&all).await, ours);
    let states = vec![JobState::DeadLetter, JobState::Enqueued];
    let expected = sorted(vec![dead.id(), waiting.id, notify.id]);
    assert_eq!(list(&JobFilter { states, ..all.clone() }).await, expected);
    let filter = JobFilter { topic: Some(Topic::notify()), ..all.clone() };
    assert_eq!(list(&filter).await, [notify.id]);
    let filter = JobFilter { account: Some(other.id), ..all.clone() };
    assert_eq!(list(&filter).await, [waiting.id]);
    let filter = JobFilter { post: Some(world.post.id), ..all.clone() };
    assert_eq!(list(&filter).await, sorted(vec![dead.id(), done.id(), waiting.id]));
    let filter = JobFilter { schedules: Some(Vec::new()), ..all.clone() };
    assert!(list(&filter).await.is_empty(), "of no schedule");
    let filter = JobFilter {
        account: Some(world.account.id),
        states: vec![JobState::Enqueued],
        ..all.clone()
    };
    assert!(list(&filter).await.is_empty(), "all conditions together");
    for topic in [Topic::webhook(), Topic::notify()] {
        let of_lane =
            |lane: &str| NewJob { topic: topic.clone(), ..plain_job(Some(lane), 0, later) };
        let (one, other) = (of_lane("webhook/a"), of_lane("webhook/b"));
        world.insert(&[one.clone(), other]).await;
        let lane = one.lane.clone();
        let filter = JobFilter { topic: Some(topic), lane, ..all.clone() };
        assert_eq!(list(&filter).await, [one.id], "of one lane of the topic");
        let waiting = JobFilter { states: vec![JobState::Enqueued], ..filter.clone() };
        assert_eq!(list(&waiting).await, [one.id]);
        let ended = JobFilter { states: vec![JobState::Succeeded], ..filter };
        assert!(list(&ended).await.is_empty(), "in this state");
    }
    let filter = JobFilter { lane: Some(Lane::from_raw("webhook/a")), ..all.clone() };
    assert_eq!(list(&filter).await.len(), 2, "of a lane in every topic");
    let ended = async |job: JobId| world.job_now(job).await.finished_at.expect("it has ended");
    let (first, second) = (ended(dead.id()).await, ended(done.id()).await);
    assert!(first < second, "the letter was there before");
    let since = |at| JobFilter { ended_since: Some(at), ..all.clone() };
    assert_eq!(list(&since(first)).await, sorted(vec![dead.id(), done.id()]));
    assert_eq!(list(&since(second)).await, [done.id()], "at that time or later");
    assert!(list(&since(second + TimeDelta::microseconds(1))).await.is_empty());
    let letters = JobFilter { states: vec![JobState::DeadLetter], ..since(first) };
    assert_eq!(list(&letters).await, [dead.id()]);
    let waiting = JobFilter { states: vec![JobState::Enqueued], ..since(first) };
    assert!(list(&waiting).await.is_empty(), "what waits has not ended");
    let of_post = JobFilter { post: Some(world.post.id), ..since(second) };
    assert_eq!(list(&of_post).await, [done.id()]);
    let filter = JobFilter { unresolved: true, ..all };
    assert_eq!(list(&filter).await, [dead.id()]);
    let resolved = world.backend.control.resolve(dead.id(), Resolution::Discarded).await;
    assert_eq!(resolved.expect("resolve"), Controlled::Applied);
    assert!(list(&filter).await.is_empty(), "somebody has resolved it");
}

/// Texts and payloads come back to the character, whatever they are.
pub async fn a_large_unicode_payload_survives(backend: Backend) {
    let world = World::new(backend).await;
    let long = long_text(64 * 1024);
    let made = NewJob {
        payload: serde_json::json!({ "text": long, "ключ": [null, 1.5, -1, {}], "": "'\"\\" }),
        kind: JobKind::new("ąć 🦉"),
        topic: Topic::new("own 'topic'"),
        lane: Some(Lane::from_raw("own 'lane' % _ ü/🦉")),
        dedupe_key: Some(long_text(200).as_str().into()),
        correlation_id: long_text(100).as_str().into(),
        priority: i16::MIN,
        max_attempts: 1,
        ..world.job(world.at(-1_000).await)
    };
    world.insert(std::slice::from_ref(&made)).await;

    assert_eq!(world.job_now(made.id).await.made, made);
    let claim = crate::feed::Claim { topic: made.topic.clone(), ..world.claim(5) };
    let job = world.claim_n(&claim, 1).await.remove(0);
    assert_eq!(job.made, made);
    let mut settlement = world.settlement(
        &job,
        Settle::Failed(
            super::super::fixtures::refused(),
            RetryDecision::GiveUp(DeadReason::AttemptsExhausted),
        ),
    );
    let reason = long_text(2_000);
    settlement.reason = Some(reason.clone());
    assert_eq!(world.settle_with(settlement).await, crate::job::Applied::Applied);
    assert_eq!(world.job_now(made.id).await.reason, Some(reason));
}
