//! What the desk promises, on the memory backend under a clock that stands still.

mod exceptions;
pub(crate) mod fits;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_calendar::{At, Calendar};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, TokioClock};
use postq_core::content::{Content, Draft, Part, PostState};
use postq_core::failure::Failure;
use postq_core::feed::{Claim, ClaimedJob, Deferral, Settle, Settlement};
use postq_core::id::{NodeId, ScheduleId};
use postq_core::intent::{Intent, IntentAnswer, PlatformKey, Receipt};
use postq_core::job::{Applied, Topic};
use postq_core::machine::JobState;
use postq_core::memory::MemoryBackend;
use postq_core::options::PostOptions;
use postq_core::platform::{
    Identity, Outgoing, Pace, Platform, PlatformName, Published, Violation,
};
use postq_core::schedule::Resolver;
use postq_core::store::{Block, BlockReason, JobFilter, Page, PlanRequest};

use super::{Amendment, Desk, DeskError, Refused, Submission, When};
use crate::dry_run::DryRun;
use crate::platforms::Platforms;

/// When all tests begin.
pub(crate) const START: &str = "2026-03-08T06:00:00Z";

/// A platform that takes ten letters.
#[derive(Debug)]
struct Terse(PlatformName);

#[async_trait]
impl Platform for Terse {
    fn name(&self) -> &PlatformName {
        &self.0
    }

    fn pace(&self) -> Pace {
        Pace::default()
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        let parts = draft.parts;
        let long = |(_, part): &(usize, &Part)| part.text.len() > 10;
        let violation = |(i, part): (usize, &Part)| Violation {
            part: u16::try_from(i).unwrap(),
            message: format!("text is {} long, at most 10", part.text.len()),
        };
        parts.iter().enumerate().filter(long).map(violation).collect()
    }

    async fn publish<'a>(&self, _: &Identity, _: Outgoing<'a>) -> Result<Published, Failure> {
        panic!("nothing is sent from the desk")
    }
}

/// A desk with the accounts `acme` and `other` on the platform `terse`.
pub(crate) async fn desk() -> Desk {
    let start: DateTime<Utc> = START.parse().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(start));
    let backend = MemoryBackend::new(Arc::clone(&clock)).backend();
    let terse: PlatformName = "terse".parse().unwrap();
    for name in ["acme", "other"] {
        let account = Account::new(name, terse.clone(), start);
        backend.accounts.insert(&account).await.unwrap();
    }
    let platforms: [Arc<dyn Platform>; 2] = [Arc::new(Terse(terse)), Arc::new(DryRun::new(clock))];
    Desk::new(backend, Platforms::new(platforms), Arc::new(Calendar::new()))
}

/// Makes the jobs of everything that is due within the look-ahead, and claims one of them.
pub(crate) async fn claim_one(backend: &Backend) -> ClaimedJob {
    let resolver: Arc<dyn Resolver> = Arc::new(Calendar::new());
    backend.schedules.plan(&PlanRequest::new(NodeId::new()), &resolver).await.unwrap();
    backend.upkeep.dispatch(&postq_core::feed::Only::Any, 100).await.unwrap();
    let mut claim = Claim::up_to(1, Topic::publish(), NodeId::new());
    claim.ahead = Duration::from_secs(3_600);
    backend.feed.claim(&claim).await.unwrap().jobs.remove(0)
}

/// Writes down that the only part of a claimed job is about to be sent.
async fn begin(backend: &Backend, claimed: &ClaimedJob) {
    let job = &claimed.job;
    let intent = Intent {
        job: job.id(),
        fence: job.fence,
        part: 0,
        key: PlatformKey::derive(job.root, 0),
        text: "sent".to_owned(),
        options: PostOptions::default(),
        media: Vec::new(),
        reply_to: None,
        container: None,
        revision: 1,
        made_at: START.parse().unwrap(),
    };
    let answer = backend.feed.intent(&intent, Duration::from_secs(1)).await.unwrap();
    assert!(matches!(answer, IntentAnswer::Recorded(_)), "{answer:?}");
}

/// Publishes the only part of a claimed job.
pub(crate) async fn publish(backend: &Backend, claimed: &ClaimedJob) {
    begin(backend, claimed).await;
    let receipt = Receipt {
        part: 0,
        remote_id: claimed.job.id().to_string(),
        url: None,
        published_at: START.parse().unwrap(),
        dry_run: false,
    };
    let settlement = Settlement {
        held: claimed.job.held(),
        node: NodeId::new(),
        settle: Settle::Succeeded(Some(receipt)),
        reason: None,
        follow_ups: Vec::new(),
    };
    assert_eq!(backend.feed.settle(&[settlement]).await.unwrap(), [Applied::Applied]);
}

fn once(text: &str) -> When {
    When::At(At::parse(text, Some("America/New_York")).unwrap())
}

fn hello(when: When) -> Submission {
    Submission::new(Content::text("hello"), ["acme"], when)
}

fn every(every: u64) -> When {
    When::Every { every: Duration::from_secs(every), from: None, count: None, until: None }
}

async fn refused(desk: &Desk, submission: Submission) -> Refused {
    match desk.submit(submission).await {
        Err(DeskError::Refused(refused)) => refused,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

async fn states(desk: &Desk, schedule: ScheduleId) -> Vec<JobState> {
    let filter = JobFilter { schedules: Some(vec![schedule]), ..JobFilter::default() };
    let jobs = desk.backend().jobs.list(desk.tenant(), &filter, Page::first(100)).await.unwrap();
    jobs.into_iter().map(|job| job.state).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_in_is_a_post_and_a_schedule() {
    let desk = desk().await;
    let submission = Submission {
        key: Some("k".to_owned()),
        tz: Some("america/new_york".to_owned()),
        priority: 7,
        ..hello(once("2026-03-08T09:00"))
    };

    let taken = desk.submit(submission).await.unwrap();

    let post = desk.find_post("k").await.unwrap();
    let schedule = desk.find_schedule(taken.schedule).await.unwrap();
    assert_eq!((post.id, schedule.post_id), (taken.post, taken.post));
    assert_eq!(taken.first.to_rfc3339(), "2026-03-08T13:00:00+00:00");
    assert_eq!(schedule.next_run_at, Some(taken.first));
    assert_eq!(schedule.tz.as_deref(), Some("America/New_York"));
    assert!(schedule.tzdb.is_some());
    assert_eq!(schedule.priority, 7);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_account_is_named_with_near_ones_and_the_remedy() {
    let desk = desk().await;

    let refused =
        refused(&desk, Submission { accounts: vec!["acmee".to_owned()], ..hello(When::Now) });

    let why = refused.await.to_string();
    for expected in ["no account \"acmee\"", "mean \"acme\"", "postqd account add", "dry_run:acmee"]
    {
        assert!(why.contains(expected), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_account_comes_into_being_by_being_named() {
    let desk = desk().await;
    let named = || Submission { accounts: vec!["dry_run:news".to_owned()], ..hello(When::Now) };

    desk.submit(named()).await.unwrap();
    desk.submit(named()).await.unwrap();

    let accounts = desk.backend().accounts.list(desk.tenant()).await.unwrap();
    let made: Vec<_> = accounts.iter().filter(|a| a.platform.as_str() == "dry_run").collect();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].name, "dry_run:news");
}

#[tokio::test(start_paused = true)]
async fn two_who_make_a_dry_run_account_at_once_share_it() {
    let desk = desk().await;
    let named = [Submission { accounts: vec!["dry_run:news".to_owned()], ..hello(When::Now) }];
    let mut first = desk.check(&named).await.unwrap();
    let mut second = desk.check(&named).await.unwrap();

    let mut schedules = Vec::new();
    for checked in [&mut first, &mut second] {
        let entry = checked.entries.remove(0).unwrap();
        let taken = desk.commit(checked, vec![entry]).await.unwrap();
        schedules.push(desk.find_schedule(taken[0].schedule).await.unwrap());
    }

    assert_eq!(schedules[0].accounts, schedules[1].accounts);
}

#[tokio::test(start_paused = true)]
async fn a_past_moment_is_refused_in_local_time() {
    let desk = desk().await;
    // 02:30 does not exist that night in New York: it is 03:30, half an hour from now. 00:30 is past.
    let zoned = |at| Submission { tz: Some("America/New_York".to_owned()), ..hello(once(at)) };

    assert!(desk.submit(zoned("2026-03-08T02:30")).await.is_ok());
    let why = refused(&desk, zoned("2026-03-08T00:30")).await.to_string();

    assert!(why.contains("2026-03-08 00:30:00 America/New_York is past"), "{why}");
    assert!(why.contains("it is 2026-03-08 01:00:00 America/New_York now"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn too_often_is_refused_unless_nothing_is_sent() {
    let desk = desk().await;

    let why = refused(&desk, hello(every(59))).await.to_string();
    let dry = Submission { accounts: vec!["dry_run:a".to_owned()], ..hello(every(1)) };

    assert!(why.contains("59s is too often, expected at least 1m"), "{why}");
    assert!(desk.submit(hello(every(60))).await.is_ok());
    assert!(desk.submit(dry).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn everything_wrong_is_told_at_once() {
    let desk = desk().await;
    let thread = Content {
        parts: vec![Part::text("short"), Part::text("much too long")],
        ..Content::default()
    };
    let accounts = vec!["acme".to_owned(), "acme".to_owned(), "nobody".to_owned()];
    let tz = Some("Mars/Base".to_owned());
    let key = Some("a\nb".to_owned());

    let refused =
        refused(&desk, Submission { key, accounts, tz, content: thread, ..hello(every(1)) }).await;

    let fields: Vec<_> = refused.problems.iter().map(|problem| problem.field).collect();
    assert_eq!(fields, ["key", "accounts", "accounts", "text", "tz", "every"]);
    let why = refused.to_string();
    assert!(why.contains("part 2 of 2, terse: text is 13 long, at most 10"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn an_interval_that_is_over_is_refused() {
    let desk = desk().await;
    let at = |text| Some(At::parse(text, None).unwrap());
    let when = When::Every {
        every: Duration::from_secs(3_600),
        from: at("2026-03-01T00:00Z"),
        count: None,
        until: at("2026-03-02T00:00Z"),
    };

    let why = refused(&desk, hello(when)).await.to_string();

    assert!(why.contains("every: has no occurrence left"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_running_interval_goes_on_from_now() {
    let desk = desk().await;
    let from = At::parse("2026-03-08T00:30Z", None).unwrap();
    let when = When::Every {
        every: Duration::from_secs(3_600),
        from: Some(from),
        count: None,
        until: None,
    };

    let taken = desk.submit(hello(when)).await.unwrap();

    assert_eq!(taken.first.to_rfc3339(), "2026-03-08T06:30:00+00:00");
}

#[tokio::test(start_paused = true)]
async fn a_moved_post_goes_out_at_its_new_time_alone() {
    let desk = desk().await;
    let zoned = Submission {
        tz: Some("America/New_York".to_owned()),
        ..hello(When::At(At::After(Duration::from_secs(30))))
    };
    let taken = desk.submit(zoned).await.unwrap();
    let resolver: Arc<dyn Resolver> = Arc::new(Calendar::new());
    let request = PlanRequest::new(NodeId::new());
    desk.backend().schedules.plan(&request, &resolver).await.unwrap();
    assert_eq!(states(&desk, taken.schedule).await, [JobState::Planned]);

    let first = desk.reschedule(taken.schedule, &once("2026-03-08T09:00")).await.unwrap();

    assert_eq!(first.to_rfc3339(), "2026-03-08T13:00:00+00:00");
    assert_eq!(states(&desk, taken.schedule).await, [JobState::Cancelled]);
    let schedule = desk.find_schedule(taken.schedule).await.unwrap();
    assert_eq!(schedule.next_run_at, Some(first));
}

#[tokio::test(start_paused = true)]
async fn an_amended_schedule_has_its_new_zone_and_priority() {
    let desk = desk().await;
    let local = At::parse("2026-03-08T09:00", Some("Europe/Berlin")).unwrap();
    let tz = Some("Europe/Berlin".to_owned());
    let zoned = Submission { tz, ..hello(When::At(local)) };
    let local = desk.submit(zoned).await.unwrap().schedule;
    let instant = When::At(At::parse("2026-03-08T09:00Z", None).unwrap());
    let instant = desk.submit(hello(instant)).await.unwrap().schedule;
    let amendment = Amendment {
        tz: Some("america/new_york".to_owned()),
        priority: Some(3),
        ..Amendment::default()
    };

    let moved = desk.amend(local, &amendment).await.unwrap().unwrap();
    let stays = desk.amend(instant, &amendment).await.unwrap();

    assert_eq!(moved.to_rfc3339(), "2026-03-08T13:00:00+00:00", "09:00, in the new zone");
    assert_eq!(stays, None);
    for (id, next) in [(local, "2026-03-08T13:00:00+00:00"), (instant, "2026-03-08T09:00:00+00:00")]
    {
        let schedule = desk.find_schedule(id).await.unwrap();
        assert_eq!(schedule.tz.as_deref(), Some("America/New_York"));
        assert_eq!(schedule.tzdb.as_deref(), Some(postq_calendar::zone::tzdb_version()));
        assert_eq!(schedule.priority, 3);
        assert_eq!(schedule.next_run_at.unwrap().to_rfc3339(), next);
    }
    let nowhere = Amendment { tz: Some("Nowhere".to_owned()), ..Amendment::default() };
    let error = desk.amend(local, &nowhere).await.unwrap_err().to_string();
    assert!(error.starts_with("tz: unknown time zone"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_was_put_off_is_due_when_its_account_goes_on() {
    let desk = desk().await;
    let backend = desk.backend();
    let to = |name: &str| Submission { accounts: vec![name.to_owned()], ..hello(When::Now) };
    for name in ["acme", "other"] {
        desk.submit(to(name)).await.unwrap();
    }
    let until = backend.jobs.now().await.unwrap() + TimeDelta::minutes(15);
    for _ in 0..2 {
        let claimed = claim_one(backend).await;
        let settlement = Settlement {
            held: claimed.job.held(),
            node: NodeId::new(),
            settle: Settle::Deferred(until, Deferral::Refused),
            reason: None,
            follow_ups: Vec::new(),
        };
        assert_eq!(backend.feed.settle(&[settlement]).await.unwrap(), [Applied::Applied]);
    }
    let note = "no credits".to_owned();
    let (scope, reason) = ("terse/".to_owned(), BlockReason::Credits);
    let block = Block { scope, reason, until: Some(until), note };
    backend.blocks.block(&block).await.unwrap();
    let accounts = backend.accounts.list(desk.tenant()).await.unwrap();

    desk.reconnected(&accounts[0]).await.unwrap();
    assert_eq!(backend.blocks.blocks().await.unwrap(), [block], "not for want of a token");
    desk.resume(&accounts[0]).await.unwrap();

    assert_eq!(backend.blocks.blocks().await.unwrap(), []);
    for _ in 0..2 {
        let job = claim_one(backend).await.job;
        assert!(job.run_at < until, "it does not wait for the end of what was lifted");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_being_published_cannot_be_changed() {
    let desk = desk().await;
    let taken = desk.submit(hello(When::Now)).await.unwrap();
    let claimed = claim_one(desk.backend()).await;
    begin(desk.backend(), &claimed).await;

    let edited = desk.edit_content(taken.post, &Content::text("other")).await;
    let moved = desk.reschedule(taken.schedule, &once("2026-03-09T09:00")).await;
    let cancelled = desk.cancel(taken.post).await;

    for result in [edited.map(drop), moved.map(drop), cancelled.map(drop)] {
        let error = result.unwrap_err();
        assert!(matches!(error, DeskError::AlreadyPublishing(_)), "{error:?}");
        assert!(error.to_string().contains("is being published"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_checked_like_a_new_post() {
    let desk = desk().await;
    let taken = desk.submit(hello(once("2026-03-08T09:00"))).await.unwrap();

    let bad = desk.edit_content(taken.post, &Content::text("much too long")).await.unwrap_err();
    let good = desk.edit_content(taken.post, &Content::text("better")).await.unwrap();

    assert!(bad.to_string().contains("at most 10"), "{bad}");
    assert_eq!(good.revision, 2);
    let post = desk.find_post(&taken.post.to_string()).await.unwrap();
    assert_eq!(post.content, Content::text("better"));
}

#[tokio::test(start_paused = true)]
async fn a_post_that_is_called_off_can_be_switched_on_again() {
    let desk = desk().await;
    let taken = desk.submit(hello(once("2026-03-08T09:00"))).await.unwrap();

    assert_eq!(desk.cancel(taken.post).await.unwrap(), 1);
    assert_eq!(desk.cancel(taken.post).await.unwrap(), 0, "nothing is to come");
    assert!(desk.is_over(taken.post).await.unwrap());
    let off = desk.find_schedule(taken.schedule).await.unwrap();
    desk.switch(taken.schedule, true).await.unwrap();
    let on = desk.find_schedule(taken.schedule).await.unwrap();

    assert!(!off.enabled);
    assert!(on.enabled);
    assert_eq!(on.next_run_at, Some(taken.first));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_taken_once() {
    let desk = desk().await;
    let post = Submission { key: Some("k".to_owned()), ..hello(once("2026-03-08T09:00")) };
    let taken = desk.submit(post.clone()).await.unwrap();

    let error = desk.submit(post).await.unwrap_err().to_string();

    assert!(error.contains(&format!("\"k\" is the key of post {}", taken.post)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_over_cannot_be_switched_on() {
    let desk = desk().await;
    let soon = When::At(At::After(Duration::from_secs(5)));
    let taken = desk.submit(hello(soon)).await.unwrap();
    desk.cancel(taken.post).await.unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;

    let error = desk.switch(taken.schedule, true).await.unwrap_err();

    assert!(error.to_string().contains("no occurrence left"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn posts_are_listed_with_their_states() {
    let desk = desk().await;
    let first = desk.submit(hello(When::Now)).await.unwrap();
    publish(desk.backend(), &claim_one(desk.backend()).await).await;
    let second = desk.submit(hello(once("2026-03-08T09:00"))).await.unwrap();

    let lines = desk.list_posts(Page::first(10)).await.unwrap();

    let shown: Vec<_> = lines.iter().map(|line| (line.post.id, line.state)).collect();
    let expected = [(first.post, PostState::Published), (second.post, PostState::Scheduled)];
    assert_eq!(shown.len(), 2);
    assert!(expected.iter().all(|line| shown.contains(line)), "{shown:?}");
    let start: DateTime<Utc> = START.parse().unwrap();
    let next = lines.iter().flat_map(|line| &line.schedules).filter_map(|s| s.next_run_at);
    assert_eq!(next.collect::<Vec<_>>(), [start + TimeDelta::hours(7)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_named() {
    let desk = desk().await;

    let post = desk.find_post("nothing").await.unwrap_err().to_string();
    let schedule = desk.remove_schedule(ScheduleId::new()).await.unwrap_err().to_string();

    assert!(post.contains("there is no post \"nothing\"; postqd post list"), "{post}");
    assert!(schedule.starts_with("there is no schedule"), "{schedule}");
}
