//! The rules of [`PublicationStore`](crate::store::PublicationStore).

use chrono::TimeDelta;

use crate::backend::Backend;
use crate::conformance::BRIEF_LEASE;
use crate::conformance::fixtures::{World, account, account_of};
use crate::feed::Settle;
use crate::id::{JobId, TenantId};
use crate::intent::Receipt;
use crate::job::Applied;
use crate::store::{Edited, Page, Retention};

async fn claimed(world: &World, since_minutes: i64) -> Vec<String> {
    let since = world.now().await - TimeDelta::minutes(since_minutes);
    let claimed = world.backend.publications.claimed(world.account.id, since).await;
    let mut claimed = claimed.expect("claimed");
    claimed.sort_unstable();
    claimed
}

fn remote_ids(receipts: &[Receipt]) -> Vec<String> {
    let mut ids: Vec<_> = receipts.iter().map(|receipt| receipt.remote_id.clone()).collect();
    ids.sort_unstable();
    ids
}

/// `claimed` lists the remote id of every receipt of the account since then, whichever job and part
/// it belongs to.
pub async fn claimed_lists_every_part(backend: Backend) {
    let world = World::new(backend).await;
    let mut receipts = Vec::new();

    // A whole thread; the first part of another; and what a stale worker brought.
    let job = world.sending().await;
    receipts.push(world.receipt(0).await);
    world.apply(&job, Settle::Part(receipts[0].clone())).await;
    world.send(&job, 1).await;
    receipts.push(world.receipt(1).await);
    world.apply(&job, Settle::Succeeded(Some(receipts[1].clone()))).await;
    let job = world.sending().await;
    receipts.push(world.receipt(0).await);
    world.apply(&job, Settle::Part(receipts[2].clone())).await;
    let later = world.at(3_600_000).await;
    world.apply(&job, Settle::Deferred(later, crate::feed::Deferral::Wait)).await;
    world.due_job().await;
    let stale = world.take_leased(BRIEF_LEASE).await.job;
    world.send_briefly(&stale).await;
    world.expire(stale.id()).await;
    receipts.push(world.receipt(0).await);
    let answer = world.settle(&stale, Settle::Part(receipts[3].clone())).await;
    assert_eq!(answer, Applied::Stale);

    let again = world.take().await;
    world.apply(&again, Settle::Succeeded(None)).await;

    assert_eq!(claimed(&world, 10).await, remote_ids(&receipts));
    assert!(claimed(&world, -10).await.is_empty(), "none is younger");

    let other = World { account: account(&world.backend, "other").await, ..world.clone() };
    let (_, receipt) = other.published().await;
    assert_eq!(claimed(&other, 10).await, remote_ids(&[receipt]), "each account its own");
    assert_eq!(claimed(&world, 10).await.len(), 4);
}

/// `claimed` lists what every account has out that is, or was, the same identity of the platform: of
/// another tenant, removed or changed meanwhile; of no other identity or platform, and of nobody else as
/// long as the identity is not known.
pub async fn claimed_goes_by_identity(backend: Backend) {
    let mut world = World::new(backend).await;
    let (_, mine) = world.published().await;
    let mut again = world.of(account_of(&world.backend, "test", "ann").await);
    let (_, hers) = again.published().await;
    let removed = world.of(account_of(&world.backend, "test", "ann").await);
    let (_, old) = removed.published().await;
    let gone = world.backend.accounts.remove(removed.account.id, None).await;
    assert_eq!(gone.expect("remove"), Applied::Applied);
    for (platform, remote_id) in [("test", "bob"), ("elsewhere", "ann")] {
        let other = world.of(account_of(&world.backend, platform, remote_id).await);
        let (_, receipt) = other.published().await;
        assert_eq!(claimed(&other, 10).await, remote_ids(&[receipt]), "{remote_id} of {platform}");
    }
    let unknown = world.of(account(&world.backend, "of nobody known").await);
    unknown.published().await;
    assert_eq!(
        claimed(&world, 10).await,
        remote_ids(std::slice::from_ref(&mine)),
        "nobody knows whose it is"
    );

    world.is_identity("ann").await;

    let all = remote_ids(&[mine, hers, old]);
    assert_eq!(claimed(&world, 10).await, all);
    assert_eq!(claimed(&again, 10).await, all, "and the other way round");
    assert!(claimed(&world, -10).await.is_empty(), "none is younger");
    again.is_identity("eve").await;
    assert_eq!(claimed(&world, 10).await, all, "what it had out is still hers");
}

/// Publications outlive their jobs and posts.
pub async fn publications_stay(backend: Backend) {
    let world = World::new(backend).await;
    let (job, receipt) = world.published().await;
    let publications = &world.backend.publications;
    let before = publications.list(TenantId::DEFAULT, Page::first(10)).await.expect("list");
    assert_eq!(before.len(), 1);

    let removed = world.backend.posts.remove(world.post.id).await.expect("remove");
    assert!(matches!(removed, Edited::Applied { .. }));
    let cleaned = world.backend.upkeep.clean(&Retention::NOTHING, 100).await.expect("clean");
    assert_eq!(cleaned, 1);
    assert_eq!(world.backend.jobs.story(job.id()).await.expect("story"), None);

    let after = publications.list(TenantId::DEFAULT, Page::first(10)).await.expect("list");
    assert_eq!(after, before);
    assert_eq!(publications.of_jobs(&[job.id()]).await.expect("of jobs"), before);
    assert_eq!(claimed(&world, 10).await, remote_ids(&[receipt]));
    let none = publications.of_jobs(&[JobId::new()]).await.expect("of jobs");
    assert!(none.is_empty());
    let none = publications.list(TenantId::new(), Page::first(10)).await.expect("list");
    assert!(none.is_empty());
}

/// `has_text` knows the text that an older publication of the identity was sent with, job or no job.
pub async fn an_older_publication_has_its_text(backend: Backend) {
    let mut world = World::new(backend).await;
    world.is_identity("ann").await;
    let again = account_of(&world.backend, "test", "ann").await;
    let other = account(&world.backend, "other").await;
    let has_text = async |account, text: &str, before| {
        world.backend.publications.has_text(account, text, before).await.expect("has text")
    };
    // A sent text that was not published does not count.
    let dead = world.dead_letter().await;
    let later = world.at(60_000).await;
    assert!(!has_text(world.account.id, "part 0", later).await, "nothing is out");

    let (job, receipt) = world.published().await;

    let main = world.account.id;
    assert!(has_text(again.id, "part 0", later).await, "the same identity");
    assert!(has_text(main, "part 0", later).await);
    assert!(!has_text(main, "part 0", receipt.published_at).await, "it is not older");
    assert!(!has_text(main, "PART 0", later).await, "exactly this text");
    assert!(!has_text(other.id, "part 0", later).await, "another account");
    world.backend.upkeep.clean(&Retention::NOTHING, 100).await.expect("clean");
    assert_eq!(world.backend.jobs.story(job.id()).await.expect("story"), None);
    assert!(world.backend.jobs.story(dead.id()).await.expect("story").is_some(), "unresolved");
    assert!(has_text(main, "part 0", later).await, "it outlives its job");
}
