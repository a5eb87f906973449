//! The rules of [`MetricsStore`].

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::backend::Backend;
use crate::conformance::fixtures::{World, account};
use crate::id::PublicationId;
use crate::job::Applied;
use crate::metrics::{DayTotals, Followed, MetricsStore, Reading, Snapshot, Visibility};
use crate::platform::Counts;
use crate::price::{CallKind, Spent, month};
use crate::store::Publication;

fn counts(pairs: &[(&str, u64)]) -> Counts {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn snapshot(publication: &Publication, minutes: i64, likes: u64) -> Snapshot {
    let at = publication.published_at + TimeDelta::minutes(minutes);
    Snapshot::shown(publication.id, at, counts(&[("like_count", likes)]))
}

async fn publication(world: &World) -> Publication {
    let (job, _) = world.published().await;
    let made = world.backend.publications.of_jobs(&[job.id()]).await.expect("publications");
    made.into_iter().next().expect("one publication")
}

async fn insert(world: &World, snapshots: &[Snapshot]) {
    world.backend.metrics.insert(snapshots).await.expect("insert");
}

async fn series(world: &World, id: PublicationId) -> Vec<Snapshot> {
    world.backend.metrics.of(id).await.expect("of")
}

async fn followed(world: &World, id: PublicationId) -> Followed {
    let found = world.backend.metrics.find(&[id]).await.expect("find");
    found.into_iter().next().expect("it is there")
}

async fn totals(world: &World) -> Vec<DayTotals> {
    let today = world.now().await.date_naive();
    let days = today - TimeDelta::days(400)..today + TimeDelta::days(400);
    world.backend.metrics.totals(world.account.id, &days).await.expect("totals")
}

/// What all days come to: publications, likes made, likes gained.
async fn sums(world: &World) -> (u64, i64, i64) {
    let likes = |counts: &BTreeMap<String, i64>| counts.get("like_count").copied().unwrap_or(0);
    totals(world).await.iter().fold((0, 0, 0), |(n, made, gained), day| {
        (n + day.publications, made + likes(&day.made), gained + likes(&day.gained))
    })
}

/// One snapshot per publication and moment: the same again changes nothing, and none is kept of a
/// publication that is not there.
pub async fn a_snapshot_is_kept_once(backend: Backend) {
    let world = World::new(backend).await;
    let (one, other) = (publication(&world).await, publication(&world).await);
    let first = Snapshot {
        private: counts(&[("url_link_clicks", 7)]),
        ..snapshot(&one, 15, u64::MAX >> 1)
    };
    let elsewhere = snapshot(&other, 15, 3);

    insert(&world, std::slice::from_ref(&first)).await;
    let before = totals(&world).await;
    insert(&world, &[snapshot(&one, 15, 2), elsewhere.clone(), elsewhere.clone()]).await;

    assert_eq!(series(&world, one.id).await, [first]);
    assert_eq!(series(&world, other.id).await, [elsewhere]);
    let added: i64 = 3;
    let likes = |days: &[DayTotals]| days.iter().map(|d| d.made["like_count"]).sum::<i64>();
    assert_eq!(likes(&totals(&world).await), likes(&before) + added);
    let nowhere = Snapshot { publication_id: PublicationId::new(), ..snapshot(&one, 1, 1) };
    insert(&world, std::slice::from_ref(&nowhere)).await;
    assert!(series(&world, nowhere.publication_id).await.is_empty());
    let none = world.backend.metrics.find(&[nowhere.publication_id]).await.expect("find");
    assert!(none.is_empty());
}

/// They come back oldest first.
pub async fn snapshots_come_oldest_first(backend: Backend) {
    let world = World::new(backend).await;
    let one = publication(&world).await;
    let of = |minutes| snapshot(&one, minutes, 1);

    insert(&world, &[of(30), of(5), of(15)]).await;
    insert(&world, &[of(20)]).await;

    assert_eq!(series(&world, one.id).await, [of(5), of(15), of(20), of(30)]);
}

fn reading(one: &Followed, snapshot: Option<Snapshot>, next: Option<DateTime<Utc>>) -> Reading {
    let poll_at = one.poll_at.expect("its polls have not ended");
    Reading { publication_id: one.id, poll_at, snapshot, next, spent: Vec::new() }
}

async fn record(metrics: &Arc<dyn MetricsStore>, readings: &[Reading]) -> Vec<Applied> {
    metrics.record(readings).await.expect("record")
}

/// What is out is unplanned until a reading gives it a time; then it is due from that time on, until
/// its polls end.
pub async fn what_is_out_is_followed(backend: Backend) {
    let world = World::new(backend).await;
    let metrics = &world.backend.metrics;
    let (one, other) = (publication(&world).await, publication(&world).await);
    let at = |minutes| one.published_at + TimeDelta::minutes(minutes);
    let mut unplanned = metrics.unplanned(10).await.expect("unplanned");
    unplanned.sort_by_key(|one| one.id);
    assert_eq!(metrics.unplanned(1).await.expect("unplanned").len(), 1);
    assert_eq!(unplanned.iter().map(|one| one.id).collect::<Vec<_>>(), [one.id, other.id]);
    let first = &unplanned[0];
    assert_eq!((first.poll_at, &first.latest), (Some(Followed::UNPLANNED), &None));
    assert_eq!(first.remote_id, one.remote_id);
    assert_eq!((first.account_id, first.post_id), (one.account_id, one.post_id));
    assert!(metrics.due(at(1_000), 10).await.expect("due").is_empty(), "nothing is planned");

    let plan = [
        reading(&unplanned[0], None, Some(at(15))),
        reading(&unplanned[1], None, Some(at(10))),
        Reading { publication_id: PublicationId::new(), ..reading(first, None, None) },
    ];
    let answers = record(metrics, &plan).await;

    assert_eq!(answers, [Applied::Applied, Applied::Applied, Applied::Gone]);
    assert!(metrics.unplanned(10).await.expect("unplanned").is_empty());
    assert!(metrics.due(at(9), 10).await.expect("due").is_empty());
    let due = metrics.due(at(20), 10).await.expect("due");
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].account_id, due[0].earliest), (world.account.id, at(10)));
    let polls = metrics.polls(world.account.id, at(20), 10).await.expect("polls");
    let order: Vec<_> = polls.iter().map(|poll| (poll.id, poll.poll_at)).collect();
    assert_eq!(order, [(other.id, Some(at(10))), (one.id, Some(at(15)))]);
    assert_eq!(metrics.polls(world.account.id, at(12), 10).await.expect("polls").len(), 1);
    assert_eq!(metrics.polls(world.account.id, at(20), 1).await.expect("polls")[0].id, other.id);
    let ends = [reading(&polls[0], None, None), reading(&polls[1], None, None)];
    assert_eq!(record(metrics, &ends).await, [Applied::Applied; 2]);
    assert!(metrics.due(at(1_000), 10).await.expect("due").is_empty());
    assert_eq!(followed(&world, one.id).await.poll_at, None);
}

/// A reading applies if the poll still has the time that was seen, with its snapshot; however many
/// bring the same, one applies.
pub async fn one_of_many_reads_a_poll(backend: Backend) {
    let world = World::new(backend).await;
    let one = publication(&world).await;
    let seen = followed(&world, one.id).await;
    let next = one.published_at + TimeDelta::minutes(60);

    let readings = (0..8).map(|n| {
        let metrics = Arc::clone(&world.backend.metrics);
        let reading = reading(&seen, Some(snapshot(&one, 15 + n, 5)), Some(next));
        tokio::spawn(async move { record(&metrics, &[reading]).await })
    });
    let mut applied = 0;
    for answer in readings.collect::<Vec<_>>() {
        match answer.await.expect("it runs").as_slice() {
            [Applied::Applied] => applied += 1,
            other => assert_eq!(other, [Applied::Stale]),
        }
    }

    assert_eq!(applied, 1);
    assert_eq!(series(&world, one.id).await.len(), 1, "only what applied is kept");
    assert_eq!(followed(&world, one.id).await.poll_at, Some(next));
    let ended = [Reading { next: None, poll_at: next, ..reading(&seen, None, None) }];
    assert_eq!(record(&world.backend.metrics, &ended).await, [Applied::Applied]);
    assert_eq!(record(&world.backend.metrics, &ended).await, [Applied::Stale]);
}

/// Totals follow the snapshots: by the day of publication, and by the day of the snapshot.
pub async fn totals_follow_the_snapshots(backend: Backend) {
    let world = World::new(backend).await;
    let (one, other) = (publication(&world).await, publication(&world).await);
    let day = |minutes| (one.published_at + TimeDelta::minutes(minutes)).date_naive();
    let later = 3 * 1_440;
    insert(&world, &[snapshot(&one, 1, 10), snapshot(&other, 1, 4)]).await;

    let seen = followed(&world, one.id).await;
    let again = reading(&seen, Some(snapshot(&one, later, 25)), None);
    assert_eq!(record(&world.backend.metrics, &[again]).await, [Applied::Applied]);

    assert_eq!(sums(&world).await, (2, 29, 29));
    let days = totals(&world).await;
    let gained = days.iter().find(|totals| totals.day == day(later)).expect("the later day");
    assert_eq!((gained.publications, gained.made.get("like_count")), (0, None));
    assert_eq!(gained.gained["like_count"], 15);
    let only = day(later)..day(later + 1_440);
    let only = world.backend.metrics.totals(world.account.id, &only).await.expect("totals");
    assert_eq!(only, std::slice::from_ref(gained));
    assert!(days.is_sorted_by_key(|totals| totals.day));
    let latest = followed(&world, one.id).await.latest.expect("a latest");
    assert_eq!(latest, snapshot(&one, later, 25));
}

/// A snapshot older than the latest is in the series and changes nothing else.
pub async fn a_late_snapshot_changes_no_total(backend: Backend) {
    let world = World::new(backend).await;
    let one = publication(&world).await;
    insert(&world, &[snapshot(&one, 60, 10)]).await;
    let before = (totals(&world).await, followed(&world, one.id).await);

    insert(&world, &[snapshot(&one, 30, 70)]).await;

    assert_eq!((totals(&world).await, followed(&world, one.id).await), before);
    assert_eq!(series(&world, one.id).await.len(), 2);
}

/// What is no longer shown keeps what it was counted to.
pub async fn what_is_gone_keeps_its_counts(backend: Backend) {
    let world = World::new(backend).await;
    let one = publication(&world).await;
    let gone =
        Snapshot { state: Visibility::Deleted, public: Counts::new(), ..snapshot(&one, 90, 0) };

    insert(&world, &[snapshot(&one, 60, 10), gone.clone()]).await;

    assert_eq!(sums(&world).await, (1, 10, 10));
    assert_eq!(series(&world, one.id).await[1], gone);
    let latest = followed(&world, one.id).await.latest.expect("a latest");
    assert_eq!((latest.state, latest.public["like_count"]), (Visibility::Deleted, 10));
    assert_eq!(latest.at, gone.at);
}

/// Accounts are apart, and the publications of one come newest first.
pub async fn accounts_have_their_own(backend: Backend) {
    let world = World::new(backend).await;
    let theirs = World { account: account(&world.backend, "other").await, ..world.clone() };
    let (first, second) = (publication(&world).await, publication(&world).await);
    let (foreign, bare) = (publication(&theirs).await, publication(&world).await);
    insert(&world, &[snapshot(&first, 1, 1), snapshot(&second, 1, 2), snapshot(&foreign, 1, 4)])
        .await;
    let metrics = &world.backend.metrics;
    let span = first.published_at - TimeDelta::days(1)..bare.published_at + TimeDelta::days(1);

    let ours = metrics.of_account(world.account.id, &span, 10).await.expect("of account");

    assert_eq!(ours.iter().map(|one| one.id).collect::<Vec<_>>(), [second.id, first.id]);
    assert_eq!(ours[0], followed(&world, second.id).await);
    let newest = metrics.of_account(world.account.id, &span, 1).await.expect("of account");
    assert_eq!(newest[0].id, second.id);
    let before = span.start..first.published_at;
    let none = metrics.of_account(world.account.id, &before, 10).await.expect("of account");
    assert!(none.is_empty(), "the end is not in the span");
    assert_eq!(sums(&world).await, (2, 3, 3));
    assert_eq!(sums(&theirs).await, (1, 4, 4));
}

/// What readings that apply have spent adds up by month, platform and kind.
pub async fn what_is_spent_adds_up(backend: Backend) {
    let world = World::new(backend).await;
    let metrics = &world.backend.metrics;
    let (one, other) = (publication(&world).await, publication(&world).await);
    let month = month(one.published_at);
    let of = |platform: &str, kind, calls, micros| {
        let platform = platform.parse().expect("a name");
        Spent { month, platform, kind, calls, micros }
    };
    let seen = (followed(&world, one.id).await, followed(&world, other.id).await);
    let read = |calls, micros| of("x", CallKind::Read, calls, micros);
    let before = metrics.spent(month).await.expect("spent");
    assert_eq!(before, []);

    let first = Reading {
        spent: vec![of("x", CallKind::PublishLink, 2, 400_000), read(1, 5)],
        ..reading(&seen.0, None, None)
    };
    let second = Reading {
        spent: vec![read(1, 7), of("a", CallKind::Publish, 1, 0)],
        ..reading(&seen.1, None, Some(other.published_at))
    };
    let stale = Reading { spent: vec![read(9, 9)], ..first.clone() };
    let answers = record(metrics, &[first, second.clone(), stale]).await;
    assert_eq!(answers, [Applied::Applied, Applied::Applied, Applied::Stale]);
    let later = Reading { poll_at: other.published_at, next: None, ..second };
    assert_eq!(record(metrics, &[later]).await, [Applied::Applied]);

    let expected =
        [of("a", CallKind::Publish, 2, 0), of("x", CallKind::PublishLink, 2, 400_000), read(3, 19)];
    assert_eq!(metrics.spent(month).await.expect("spent"), expected);
    let next = crate::price::next_month(month).expect("there is one");
    assert_eq!(metrics.spent(next).await.expect("spent"), [], "another month is another");
}

/// `version` changes with whatever is counted, and with nothing else.
pub async fn a_version_rises_with_what_is_counted(backend: Backend) {
    let world = World::new(backend).await;
    let one = publication(&world).await;
    let version = async || world.backend.metrics.version(world.account.id).await.expect("version");
    assert_eq!(version().await, 0);
    let seen = followed(&world, one.id).await;
    let plan = reading(&seen, None, Some(one.published_at));
    assert_eq!(
        record(&world.backend.metrics, std::slice::from_ref(&plan)).await,
        [Applied::Applied]
    );
    assert_eq!(version().await, 0, "a plan counts nothing");

    insert(&world, &[snapshot(&one, 60, 1)]).await;
    let first = version().await;
    insert(&world, &[snapshot(&one, 60, 1)]).await;
    assert_eq!(version().await, first, "it was there");
    insert(&world, &[snapshot(&one, 30, 1)]).await;
    let second = version().await;
    let now = Reading { poll_at: one.published_at, ..plan };
    let now = Reading { snapshot: Some(snapshot(&one, 90, 1)), ..now };
    assert_eq!(record(&world.backend.metrics, &[now]).await, [Applied::Applied]);

    assert!(first > 0 && second > first && version().await > second);
}
