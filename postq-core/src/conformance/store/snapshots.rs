//! The rules of [`SnapshotStore`](crate::store::SnapshotStore).

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::backend::Backend;
use crate::conformance::fixtures::World;
use crate::id::PublicationId;
use crate::store::Snapshot;

fn snapshot(publication_id: PublicationId, at: DateTime<Utc>, likes: u64) -> Snapshot {
    Snapshot { publication_id, at, counts: BTreeMap::from([("like_count".to_owned(), likes)]) }
}

async fn publication(world: &World) -> PublicationId {
    let (job, _) = world.published().await;
    let made = world.backend.publications.of_jobs(&[job.id()]).await.expect("publications");
    made[0].id
}

/// One snapshot per publication and moment: the same again changes nothing.
pub async fn a_snapshot_is_kept_once(backend: Backend) {
    let world = World::new(backend).await;
    let (one, other) = (publication(&world).await, publication(&world).await);
    let at = world.now().await;
    let first = snapshot(one, at, 1);
    let elsewhere = snapshot(other, at, 3);
    let insert = async |snapshots: &[Snapshot]| {
        world.backend.snapshots.insert(snapshots).await.expect("insert");
    };

    insert(std::slice::from_ref(&first)).await;
    insert(&[snapshot(one, at, 2), elsewhere.clone()]).await;

    assert_eq!(world.backend.snapshots.of(one).await.expect("of"), [first]);
    assert_eq!(world.backend.snapshots.of(other).await.expect("of"), [elsewhere]);
    let none = world.backend.snapshots.of(PublicationId::new()).await.expect("of");
    assert!(none.is_empty());
}

/// They come back oldest first.
pub async fn snapshots_come_oldest_first(backend: Backend) {
    let world = World::new(backend).await;
    let id = publication(&world).await;
    let start = world.now().await;
    let of = |minutes: i64| snapshot(id, start + TimeDelta::minutes(minutes), u64::MAX >> 1);

    world.backend.snapshots.insert(&[of(30), of(-5), of(15)]).await.expect("insert");
    world.backend.snapshots.insert(&[of(20)]).await.expect("insert");

    let kept = world.backend.snapshots.of(id).await.expect("of");
    assert_eq!(kept, [of(-5), of(15), of(20), of(30)]);
}
