//! Occurrences that are left out or edited, and pauses.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_calendar::{At, Calendar};
use postq_core::backend::Backend;
use postq_core::content::Content;
use postq_core::id::{NodeId, ScheduleId};
use postq_core::machine::JobState;
use postq_core::schedule::Resolver;
use postq_core::store::{JobFilter, Page, PlanRequest};

use super::rules::{berlin, cron, rrule};
use super::{claim_one, desk, hello, states};
use crate::desk::{Amendment, Desk, DeskError, When};

/// Plans with a look-ahead of so many hours.
async fn plan(backend: &Backend, hours: u64) {
    let resolver: Arc<dyn Resolver> = Arc::new(Calendar::new());
    let mut request = PlanRequest::new(NodeId::new());
    request.look_ahead = Duration::from_secs(hours * 3_600);
    backend.schedules.plan(&request, &resolver).await.unwrap();
}

/// The moments and states of a schedule's jobs.
async fn moments(desk: &Desk, schedule: ScheduleId) -> Vec<(String, JobState)> {
    let filter = JobFilter { schedules: Some(vec![schedule]), ..JobFilter::default() };
    let jobs = desk.backend().jobs.list(desk.tenant(), &filter, Page::first(100)).await.unwrap();
    let show = |at: DateTime<Utc>| at.format("%d %H").to_string();
    let mut moments: Vec<_> =
        jobs.iter().map(|job| (show(job.made.planned_at), job.state)).collect();
    moments.sort_by(|a, b| a.0.cmp(&b.0));
    moments
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_skipped_occurrence_never_goes_out() {
    let desk = desk().await;
    let id = desk.submit(berlin(cron("0 9 * * *"))).await.unwrap().schedule;
    // 9 March is planned already when it is skipped, the 11th is not.
    plan(desk.backend(), 30).await;

    for day in [9, 11, 11] {
        desk.skip(id, utc(&format!("2026-03-{day:02}T08:00:00Z"))).await.unwrap();
    }
    // However it is edited, switched off and on, and cleaned up after.
    desk.amend(id, &Amendment { priority: Some(3), ..Amendment::default() }).await.unwrap();
    desk.switch(id, false).await.unwrap();
    desk.switch(id, true).await.unwrap();
    let nothing = postq_core::store::Retention::NOTHING;
    desk.backend().upkeep.clean(&nothing, 100).await.unwrap();
    plan(desk.backend(), 4 * 24).await;

    use JobState::{Cancelled, Planned};
    let states =
        [("08 08", Planned), ("09 08", Cancelled), ("10 08", Planned), ("11 08", Cancelled)];
    let expected: Vec<_> = states.map(|(at, state)| (at.to_owned(), state)).to_vec();
    assert_eq!(moments(&desk, id).await, expected);
    let skipped = ["2026-03-09T08:00:00Z", "2026-03-11T08:00:00Z"].map(utc);
    assert_eq!(desk.skipped(id).await.unwrap(), skipped);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_to_come_can_be_skipped() {
    let desk = desk().await;
    let daily = desk.submit(berlin(cron("0 9 * * *"))).await.unwrap().schedule;
    let once = desk.submit(hello(When::At(At::After(Duration::from_secs(60))))).await.unwrap();

    for (schedule, at, expected) in [
        (daily, "2026-03-07T08:00:00Z", "is past"),
        (
            daily,
            "2026-03-09T08:30:00Z",
            "the next after it is at 2026-03-10 09:00:00 Europe/Berlin",
        ),
        (once.schedule, "2026-03-08T06:01:00Z", "fires once"),
    ] {
        let why = desk.skip(schedule, utc(at)).await.unwrap_err().to_string();
        assert!(why.contains(expected), "{why}");
    }
    let soon =
        desk.submit(berlin(rrule("DTSTART:20260308T070030\nRRULE:FREQ=DAILY"))).await.unwrap();
    let claimed = claim_one(desk.backend()).await;
    assert_eq!(claimed.job.made.schedule_id, Some(soon.schedule));
    let late = desk.skip(soon.schedule, soon.first).await;
    assert!(matches!(late, Err(DeskError::AlreadyPublishing(_))), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_paused_schedule_goes_on_by_itself() {
    let desk = desk().await;
    let id = desk.submit(berlin(cron("0 9 * * *"))).await.unwrap().schedule;
    plan(desk.backend(), 30).await;

    let first = desk.pause_until(id, utc("2026-04-01T00:00:00Z")).await.unwrap();
    plan(desk.backend(), 24 * 24).await;
    let paused = moments(&desk, id).await;
    plan(desk.backend(), 25 * 24).await;

    assert_eq!(first, utc("2026-04-01T07:00:00Z"));
    let now = async || desk.find_schedule(id).await.unwrap();
    assert_eq!(desk.paused_until(&now().await).await.unwrap(), None, "planned up to its end");
    assert!(paused.iter().all(|(_, state)| *state == JobState::Cancelled), "{paused:?}");
    let planned = states(&desk, id).await;
    assert_eq!(planned.iter().filter(|state| **state == JobState::Planned).count(), 1);
    for (until, expected) in
        [("2026-03-08T05:00:00Z", "is past"), ("2026-03-08T06:00:00Z", "is past")]
    {
        let why = desk.pause_until(id, utc(until)).await.unwrap_err().to_string();
        assert!(why.contains(expected), "{why}");
    }
    // Switching it on ends the pause.
    desk.pause_until(id, utc("2026-05-01T00:00:00Z")).await.unwrap();
    let until = desk.paused_until(&now().await).await.unwrap();
    assert_eq!(until, Some(utc("2026-05-01T07:00:00Z")));
    desk.switch(id, true).await.unwrap();
    assert_eq!(desk.paused_until(&now().await).await.unwrap(), None);
    let next = desk.find_schedule(id).await.unwrap().next_run_at;
    assert_eq!(next, Some(utc("2026-03-08T08:00:00Z")));
}

#[tokio::test(start_paused = true)]
async fn an_edited_occurrence_goes_out_in_its_place_once() {
    let desk = desk().await;
    let id = desk.submit(berlin(cron("0 9 * * *"))).await.unwrap().schedule;
    let at = utc("2026-03-09T08:00:00Z");
    let edit = async |text: &str| {
        let to = At::parse("2026-03-09T10:00", Some("Europe/Berlin")).unwrap();
        desk.edit_occurrence(id, at, Content::text(text), Some(to)).await
    };

    let too_long = edit("much too long").await.unwrap_err().to_string();
    assert!(too_long.contains("at most 10"), "{too_long}");
    assert!(desk.skipped(id).await.unwrap().is_empty(), "a refused edit changes nothing");

    let first = edit("moved").await.unwrap();
    let again = edit("moved").await.unwrap();
    let other = edit("other").await.unwrap_err().to_string();
    plan(desk.backend(), 2 * 24).await;

    assert_eq!((first.post, first.schedule), (again.post, again.schedule), "one post");
    let other_day = utc("2026-03-10T08:00:00Z");
    desk.skip(id, other_day).await.unwrap();
    let left_out = desk.skipped(id).await.unwrap();
    assert_eq!(left_out, [at, other_day]);
    assert_eq!(desk.stand_ins(id, &left_out).await.unwrap(), [(at, first.post)]);
    assert_eq!(first.first, utc("2026-03-09T09:00:00Z"));
    assert!(other.contains(&format!("postqd post edit {}", first.post)), "{other}");
    assert_eq!(moments(&desk, first.schedule).await, [("09 09".to_owned(), JobState::Planned)]);
    assert_eq!(moments(&desk, id).await[1], ("09 08".to_owned(), JobState::Cancelled));
}
