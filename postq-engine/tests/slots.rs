//! Slots: two posts never get the same one, and they keep their local time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postq_calendar::Calendar;
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, TokioClock};
use postq_core::content::Content;
use postq_core::id::PostId;
use postq_core::memory::MemoryBackend;
use postq_core::schedule::{Schedule, Timing};
use postq_core::slot::TakeSlot;
use postq_engine::Platforms;
use postq_engine::desk::{Desk, Submission, When, read_slots};
use postq_engine::dry_run::DryRun;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

struct World {
    backend: Backend,
    desk: Desk,
    account: Account,
}

impl World {
    /// An account with these slots, at this time.
    async fn at(now: &str, slots: &str) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(utc(now)));
        let backend = MemoryBackend::new(Arc::clone(&clock)).backend();
        let platforms = Platforms::new([Arc::new(DryRun::new(Arc::clone(&clock))) as Arc<_>]);
        let account = Account::new("main", "dry_run".parse().unwrap(), clock.now());
        backend.accounts.insert(&account).await.unwrap();
        let desk = Desk::new(backend.clone(), platforms, Arc::new(Calendar::new()));
        desk.set_slots(account.id, read_slots(slots).unwrap()).await.unwrap();
        Self { backend, desk, account }
    }

    async fn post(&self, id: PostId, text: &str) -> DateTime<Utc> {
        let submission = Submission::new(Content::text(text), ["main"], When::NextSlot);
        self.desk.submit_as(id, submission).await.unwrap().first
    }

    async fn schedule(&self, id: PostId) -> Schedule {
        self.backend.schedules.of_posts(&[id]).await.unwrap().remove(0)
    }

    async fn free(&self) -> Vec<DateTime<Utc>> {
        self.desk.free_slots(self.account.id, 3).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn posts_take_one_slot_after_the_other_over_a_clock_change() {
    // Friday; the clocks go back in the night to Sunday.
    let world = World::at("2026-10-23T10:00:00Z", "weekdays 09:00 and 17:30 Europe/Berlin").await;
    let mut times = Vec::new();
    let ids = [(); 3].map(|()| PostId::new());
    for id in ids {
        times.push(world.post(id, "hello").await);
    }

    let expected = ["2026-10-23T15:30:00Z", "2026-10-26T08:00:00Z", "2026-10-26T16:30:00Z"];
    assert_eq!(times, expected.map(utc), "09:00 is 08:00Z in winter");
    let schedule = world.schedule(ids[1]).await;
    assert_eq!(schedule.tz.as_deref(), Some("Europe/Berlin"));
    assert!(matches!(schedule.timing, Timing::OneShot { at, .. } if at == times[1]));
    assert_eq!(world.post(ids[1], "hello").await, times[1], "handed in again it stays");
    assert_eq!(world.free().await[0], utc("2026-10-27T08:00:00Z"));
}

#[tokio::test(start_paused = true)]
async fn slots_keep_their_local_time_north_and_south() {
    for (now, slots, expected) in [
        // Berlin goes forward on the 29th, from 02:00 to 03:00.
        (
            "2026-03-28T00:00:00Z",
            "daily 09:00 Europe/Berlin",
            ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"],
        ),
        // What that night does not have comes at its end.
        (
            "2026-03-28T00:00:00Z",
            "daily 02:30 Europe/Berlin",
            ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        ),
        // Sydney goes back on the 5th of April, from 03:00 to 02:00, and forward on the 4th of October.
        (
            "2026-04-03T12:00:00Z",
            "daily 09:00 Australia/Sydney",
            ["2026-04-03T22:00:00Z", "2026-04-04T23:00:00Z", "2026-04-05T23:00:00Z"],
        ),
        // What that night has twice comes once.
        (
            "2026-04-03T12:00:00Z",
            "daily 02:30 Australia/Sydney",
            ["2026-04-03T15:30:00Z", "2026-04-04T15:30:00Z", "2026-04-05T16:30:00Z"],
        ),
        (
            "2026-10-02T12:00:00Z",
            "daily 09:00 Australia/Sydney",
            ["2026-10-02T23:00:00Z", "2026-10-03T22:00:00Z", "2026-10-04T22:00:00Z"],
        ),
    ] {
        let world = World::at(now, slots).await;

        assert_eq!(world.free().await, expected.map(utc), "{slots} from {now}");
    }
}

#[tokio::test(start_paused = true)]
async fn posts_at_once_never_get_the_same_slot() {
    let world = Arc::new(World::at("2026-06-01T00:00:00Z", "daily 9:00 UTC").await);

    let posts = (0..20).map(|n| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.post(PostId::new(), &format!("post {n}")).await })
    });
    let mut times = BTreeSet::new();
    for post in posts.collect::<Vec<_>>() {
        times.insert(post.await.unwrap());
    }

    assert_eq!(times.len(), 20);
    assert_eq!(times.last(), Some(&utc("2026-06-20T09:00:00Z")), "and none is left out");
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_again_when_its_post_is_gone() {
    let world = World::at("2026-06-01T00:00:00Z", "daily 9:00 UTC").await;
    let (gone, off) = (PostId::new(), PostId::new());
    let first = world.post(gone, "gone").await;
    let second = world.post(off, "called off").await;
    assert_eq!(second - first, TimeDelta::days(1));

    let _ = world.backend.posts.remove(gone).await.unwrap();
    assert_eq!(world.free().await[0], second + TimeDelta::days(1), "it was taken just now");
    tokio::time::sleep(Duration::from_secs(61)).await;
    world.desk.cancel(off).await.unwrap();

    assert_eq!(world.free().await[..2], [first, second]);
    assert_eq!(world.post(PostId::new(), "new").await, first);
    assert_eq!(world.post(PostId::new(), "newer").await, second);
}

#[tokio::test(start_paused = true)]
async fn what_was_cut_off_gets_its_slot_when_it_comes_again() {
    let world = World::at("2026-06-01T00:00:00Z", "daily 9:00 UTC").await;
    let first = utc("2026-06-01T09:00:00Z");
    // Its process ended between taking the slot and writing the post.
    let id = PostId::new();
    let probe = PostId::new();
    assert_eq!(world.post(probe, "to learn a schedule's id").await, first);
    let schedule_id = world.schedule(probe).await.id;
    let account_id = world.account.id;
    let _ = world.backend.posts.remove(probe).await.unwrap();
    let take = TakeSlot { account_id, at: first, schedule_id, instead_of: None };
    assert!(world.backend.slots.take(&take).await.unwrap());

    assert_eq!(world.post(id, "another").await, first + TimeDelta::days(1));
    assert_eq!(world.post(probe, "the same again").await, first);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_placed_is_refused_and_takes_nothing() {
    let world = World::at("2026-06-01T00:00:00Z", "daily 9:00 UTC").await;
    let why = async |accounts: &[&str], when, tz: Option<&str>, text: &str| {
        let mut submission = Submission::new(Content::text(text), accounts.iter().copied(), when);
        submission.tz = tz.map(str::to_owned);
        world.desk.submit_as(PostId::new(), submission).await.unwrap_err().to_string()
    };

    assert!(why(&["main"], When::NextSlot, None, "").await.contains("text"));
    let two = why(&["main", "dry_run:b"], When::NextSlot, None, "hi").await;
    assert!(two.contains("one account"), "{two}");
    let none = why(&["dry_run:b"], When::NextSlot, None, "hi").await;
    assert!(none.contains("the account has no slots"), "{none}");
    let little = why(&["main"], When::Best, Some("UTC"), "hi").await;
    assert!(little.contains("not enough data: 0 posts"), "{little}");
    assert!(why(&["main"], When::Best, None, "hi").await.contains("whose clocks"));
    assert_eq!(world.free().await[0], utc("2026-06-01T09:00:00Z"));
}
