//! Cron expressions and recurrences.

use postq_core::store::Page;

use super::{desk, hello, refused};
use crate::desk::{Amendment, Submission, When};

pub(super) fn cron(expr: &str) -> When {
    When::Cron { expr: expr.to_owned(), from: None, count: None, until: None }
}

pub(super) fn rrule(expr: &str) -> When {
    When::Rrule { expr: expr.to_owned() }
}

pub(super) fn berlin(when: When) -> Submission {
    Submission { tz: Some("Europe/Berlin".to_owned()), ..hello(when) }
}

#[tokio::test(start_paused = true)]
async fn rules_are_taken_in_with_their_zone() {
    let desk = desk().await;
    let weekly = "DTSTART;TZID=America/New_York:20260301T090000\nRRULE:FREQ=WEEKLY";
    let floating = "DTSTART:20260301T090000\nRRULE:FREQ=WEEKLY";

    for (submission, first, tz) in [
        (berlin(cron("0 9 * * 1-5")), "2026-03-09T08:00:00+00:00", "Europe/Berlin"),
        (berlin(rrule(floating)), "2026-03-08T08:00:00+00:00", "Europe/Berlin"),
        // Its DTSTART names its own zone, where the clocks change that day.
        (hello(rrule(weekly)), "2026-03-08T13:00:00+00:00", "America/New_York"),
    ] {
        let taken = desk.submit(submission).await.unwrap();
        let schedule = desk.find_schedule(taken.schedule).await.unwrap();

        assert_eq!(taken.first.to_rfc3339(), first);
        assert_eq!(schedule.next_run_at, Some(taken.first));
        assert_eq!(schedule.tz.as_deref(), Some(tz));
        assert_eq!(schedule.tzdb.as_deref(), Some(postq_calendar::zone::tzdb_version()));
    }
    let count = std::num::NonZeroU32::new(2);
    let twice = When::Cron { expr: "@daily".to_owned(), from: None, count, until: None };
    let taken = desk.submit(berlin(twice)).await.unwrap();
    let schedule = desk.find_schedule(taken.schedule).await.unwrap();
    assert_eq!(desk.upcoming(&schedule, 9).unwrap().len(), 2, "counted from now");
}

#[tokio::test(start_paused = true)]
async fn rules_that_cannot_be_are_refused_before_anything_is_written() {
    let desk = desk().await;
    let new_york = "DTSTART;TZID=America/New_York:20260301T090000\nRRULE:FREQ=WEEKLY";

    for (submission, expected) in [
        (hello(cron("0 9 * * *")), "cron: cron \"0 9 * * *\": has no time zone; add one (tz)"),
        (berlin(cron("0 9 L * *")), "BYMONTHDAY=-1"),
        (berlin(cron("0 9 30 2 *")), "cron: never runs"),
        (berlin(rrule("DTSTART:20250301T090000\nRRULE:FREQ=DAILY;COUNT=3")), "rrule: is over"),
        (
            berlin(rrule("DTSTART:20260301T090000\nRRULE:FREQ=DAILY;INTERVAL=0")),
            "line 2, position 27",
        ),
        (berlin(rrule(new_york)), "tz: is Europe/Berlin, but DTSTART is in America/New_York"),
    ] {
        let why = refused(&desk, submission).await.to_string();
        assert!(why.contains(expected), "{expected}: {why}");
    }
    assert!(desk.list_posts(Page::first(10)).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_kind_of_rule_comes_too_often() {
    let desk = desk().await;
    let often = "DTSTART:20260301T090000\nRRULE:FREQ=SECONDLY;INTERVAL=30";
    // Three times a day, two of them half a minute apart.
    let uneven = "0,30 0 9 * * *";

    for (when, field) in
        [(rrule(often), "rrule"), (cron("*/30 * * * * *"), "cron"), (cron(uneven), "cron")]
    {
        let why = refused(&desk, berlin(when.clone())).await.to_string();
        assert!(why.contains(&format!("{field}: 30s is too often, expected at least 1m")), "{why}");
        let taken = desk.submit(berlin(cron("0 9 * * *"))).await.unwrap();
        let edited = desk.reschedule(taken.schedule, &when).await;
        assert!(edited.unwrap_err().to_string().contains("too often"));
        let dry = Submission { accounts: vec!["dry_run:a".to_owned()], ..berlin(when) };
        assert!(desk.submit(dry).await.is_ok(), "nothing is sent");
    }
    assert!(desk.submit(berlin(cron("* * * * *"))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_schedule_gets_another_rule_and_zone() {
    let desk = desk().await;
    let id = desk.submit(berlin(cron("0 9 * * *"))).await.unwrap().schedule;
    let to = |tz: &str| Amendment { tz: Some(tz.to_owned()), ..Amendment::default() };

    let moved = desk.amend(id, &to("America/New_York")).await.unwrap().unwrap();
    assert_eq!(moved.to_rfc3339(), "2026-03-08T13:00:00+00:00", "09:00, in the new zone");

    // A rule that names its zone brings it along.
    let tokyo = "DTSTART;TZID=Asia/Tokyo:20260301T090000\nRRULE:FREQ=DAILY";
    let first = desk.reschedule(id, &rrule(tokyo)).await.unwrap();
    let schedule = desk.find_schedule(id).await.unwrap();
    assert_eq!(first.to_rfc3339(), "2026-03-09T00:00:00+00:00");
    assert_eq!(schedule.tz.as_deref(), Some("Asia/Tokyo"));
    let why = desk.amend(id, &to("Europe/Berlin")).await.unwrap_err().to_string();
    assert!(why.contains("DTSTART is in Asia/Tokyo"), "{why}");

    desk.switch(id, false).await.unwrap();
    desk.switch(id, true).await.unwrap();
    assert_eq!(desk.find_schedule(id).await.unwrap().next_run_at, Some(first));
}
