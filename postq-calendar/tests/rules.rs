//! Rules through the public API: what is common to all kinds.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use postq_calendar::{Calendar, Kind, Rule};
use postq_core::id::PostId;
use postq_core::schedule::{
    Misfire, ResolveRequest, Resolved, Resolver, Schedule, Timing, Verdict,
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn cron(expr: &str) -> Timing {
    Timing::Cron { expr: expr.to_owned(), from: None, count: None, until: None }
}

fn rrule(rule: &str) -> Timing {
    Timing::Rrule { expr: format!("DTSTART;TZID=Europe/Berlin:20260301T090000\nRRULE:{rule}") }
}

fn rule(timing: &Timing) -> Rule {
    Rule::new(timing, Some("Europe/Berlin")).unwrap()
}

fn schedule(timing: Timing, first: DateTime<Utc>) -> Schedule {
    let mut schedule = Schedule::new(PostId::new(), vec![], timing, first);
    schedule.tz = Some("Europe/Berlin".to_owned());
    schedule.next_run_at =
        Calendar::new().next(&schedule, Some(first - TimeDelta::seconds(1))).unwrap();
    schedule
}

fn missed(resolved: &Resolved) -> u64 {
    let of = |verdict| match verdict {
        Verdict::Fire => 0,
        Verdict::Missed { and_older } => 1 + and_older,
    };
    resolved.occurrences.iter().map(|occurrence| of(occurrence.verdict)).sum()
}

fn fired(resolved: &Resolved) -> Vec<DateTime<Utc>> {
    let fires = |o: &&postq_core::schedule::Occurrence| o.verdict == Verdict::Fire;
    resolved.occurrences.iter().filter(fires).map(|o| o.planned_at).collect()
}

#[test]
fn a_zone_is_explicit_and_never_the_hosts() {
    let error = Rule::new(&cron("0 9 * * *"), None).unwrap_err().to_string();
    assert!(error.contains("has no time zone; add one (tz)"), "{error}");

    for zone in ["EST", "+02:00", "CET", "PST8PDT", "Local", ""] {
        assert!(Rule::new(&cron("0 9 * * *"), Some(zone)).is_err(), "{zone}");
    }
    assert_eq!(rule(&cron("0 9 * * *")).zone(), Some("Europe/Berlin"));
}

#[test]
fn cron_rule_7_what_never_runs_is_refused_when_it_begins() {
    let now = at("2026-03-01T00:00:00Z");
    let begin = |timing| rule(&timing).begin(now).map_err(|error| error.to_string());

    assert_eq!(begin(cron("0 9 * * *")), Ok(at("2026-03-01T08:00:00Z")));
    assert_eq!(begin(cron("0 0 30 2 *")).unwrap_err(), "never runs: no date matches it");
    assert!(begin(cron("0 0 0 1 1 * 2080")).unwrap_err().contains("in the next 40 years"));
    assert!(begin(cron("0 0 0 1 1 * 2020")).unwrap_err().contains("is over"));
    // It was fine when it was made; later it completes.
    assert_eq!(rule(&cron("0 0 0 1 1 * 2020")).next(Some(now)), None);
    assert!(
        begin(rrule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30")).unwrap_err().contains("never runs")
    );
    assert!(begin(rrule("FREQ=DAILY;UNTIL=20260220")).unwrap_err().contains("never runs"));
}

#[test]
fn rrule_rule_5_the_closest_occurrences_tell_what_is_too_often() {
    let now = at("2026-03-02T00:00:00Z");
    let closest = |timing| rule(&timing).closest(now);
    let interval = |every| Timing::Interval {
        every: Duration::from_secs(every),
        anchor: now,
        count: None,
        until: None,
    };

    assert_eq!(closest(rrule("FREQ=SECONDLY")), Some(Duration::from_secs(1)));
    assert_eq!(closest(cron("*/5 * * * *")), Some(Duration::from_secs(300)));
    assert_eq!(closest(cron("0,1 9 * * *")), Some(Duration::from_secs(60)));
    assert_eq!(closest(interval(90)), Some(Duration::from_secs(90)));
    assert_eq!(closest(rrule("FREQ=DAILY;COUNT=1")), None);
    // `next` answers all the same.
    assert!(rule(&rrule("FREQ=SECONDLY")).next(Some(now)).is_some());
}

#[test]
fn a_cron_rule_has_a_start_a_count_and_an_end() {
    let (from, until) = (at("2026-03-02T08:00:00Z"), at("2026-03-04T08:00:00Z"));
    let with = |from, count, until| Timing::Cron {
        expr: "0 9 * * *".to_owned(),
        from,
        count: NonZeroU32::new(count),
        until,
    };
    let days = |timing| {
        let rule = rule(&timing);
        rule.after(None).take(9).map(|at| at.format("%d").to_string()).collect::<Vec<_>>()
    };

    // Both ends are inclusive.
    assert_eq!(days(with(Some(from), 0, Some(until))), ["02", "03", "04"]);
    assert_eq!(days(with(Some(from), 2, None)), ["02", "03"]);
    assert_eq!(days(with(Some(from), 2, Some(from))), ["02"]);
    assert_eq!(days(with(Some(from), 5, Some(until))), ["02", "03", "04"]);
    let error = Rule::new(&with(None, 2, None), Some("UTC")).unwrap_err().to_string();
    assert!(error.contains("a count needs a start"), "{error}");
    let error = Rule::new(&with(Some(from), 100_001, None), Some("UTC")).unwrap_err().to_string();
    assert!(error.contains("give an end instead"), "{error}");
    assert!(rule(&with(Some(from), 2, Some(until))).explain().contains(
        "; from 2026-03-02 09:00:00 Europe/Berlin, 2 times, until 2026-03-04 09:00:00 Europe/Berlin"
    ));
}

#[test]
fn resolving_asks_the_rule_from_the_last_planned_time() {
    let now = at("2026-03-29T12:00:00Z");
    // Three days were missed, among them the one of the gap: 02:30 ran at 03:00.
    let mut daily = schedule(cron("30 2 * * *"), at("2026-03-27T00:00:00Z"));
    let ask = ResolveRequest { now, until: now, limit: 100 };
    let gap = at("2026-03-29T01:00:00Z");

    let resolved = Calendar::new().resolve(&daily, ask).unwrap();
    assert_eq!((fired(&resolved), missed(&resolved)), (vec![gap], 2));
    assert_eq!(resolved.next_run_at, Some(at("2026-03-30T00:30:00Z")));

    daily.misfire = Misfire::Skip;
    let resolved = Calendar::new().resolve(&daily, ask).unwrap();
    assert_eq!((fired(&resolved), missed(&resolved)), (vec![], 3));

    // Late by no more than the grace is not missed.
    daily.grace = Duration::from_secs(11 * 3_600);
    let resolved = Calendar::new().resolve(&daily, ask).unwrap();
    assert_eq!((fired(&resolved), missed(&resolved)), (vec![gap], 2));
}

#[test]
fn what_is_late_beyond_the_end_of_the_request_hides_nothing_before_it() {
    let daily = schedule(cron("0 9 * * *"), at("2026-03-01T00:00:00Z"));
    let ask = ResolveRequest {
        now: at("2026-03-20T00:00:00Z"),
        until: at("2026-03-03T12:00:00Z"),
        limit: 100,
    };

    let resolved = Calendar::new().resolve(&daily, ask).unwrap();

    assert_eq!((fired(&resolved), missed(&resolved)), (vec![at("2026-03-03T08:00:00Z")], 2));
    assert_eq!(resolved.next_run_at, Some(at("2026-03-04T08:00:00Z")));
}

/// All portions of what is due, one after the other.
fn portions(mut going: Schedule, now: DateTime<Utc>) -> (Vec<DateTime<Utc>>, u64, usize) {
    let calendar = Calendar::new();
    let (mut all_fired, mut all_missed, mut calls) = (Vec::new(), 0, 0);
    while going.next_run_at.is_some_and(|next| next <= now) {
        let ask = ResolveRequest { now, until: now, limit: 100 };
        let resolved = calendar.resolve(&going, ask).unwrap();
        all_fired.extend(fired(&resolved));
        all_missed += missed(&resolved);
        calls += 1;
        assert!(resolved.occurrences.len() <= 200, "rows are bounded");
        assert!(resolved.next_run_at > going.next_run_at, "each call gets on");
        going.next_run_at = resolved.next_run_at;
    }
    (all_fired, all_missed, calls)
}

#[test]
fn more_missed_ones_than_are_walked_at_once_are_resolved_in_portions() {
    let start = at("2026-03-01T08:00:00Z");
    let minutes = 25_000;
    let now = start + TimeDelta::minutes(minutes) + TimeDelta::seconds(30);
    let last_late = now - TimeDelta::seconds(330);
    let mut going = schedule(rrule("FREQ=MINUTELY"), start);

    // 25,001 are due; 5 of them are within the grace.
    let (fired, missed, calls) = portions(going.clone(), now);
    assert_eq!((fired.len(), missed, calls), (1 + 5, 25_001 - 6, 3));
    assert_eq!(fired[0], last_late);

    going.misfire = Misfire::Skip;
    let (fired, missed, _) = portions(going.clone(), now);
    assert_eq!((fired.len(), missed), (5, 25_001 - 5));

    going.misfire = Misfire::FireAll { most: NonZeroU32::new(40).unwrap() };
    let (fired, missed, _) = portions(going, now);
    assert_eq!((fired.len(), missed), (40 + 5, 25_001 - 45));
    assert_eq!(fired[39], last_late);
}

#[test]
fn a_second_rule_ten_years_old_is_resolved_at_once() {
    let now = at("2036-03-01T12:00:00Z");
    let mut old = schedule(rrule("FREQ=SECONDLY"), at("2026-03-01T08:00:00Z"));
    old.next_run_at = Some(now - TimeDelta::seconds(2));
    let calendar = Calendar::new();
    let started = Instant::now();

    let ask = ResolveRequest { now, until: now + TimeDelta::seconds(60), limit: 1_000 };
    let resolved = calendar.resolve(&old, ask).unwrap();

    assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
    assert_eq!(fired(&resolved).len(), 63);
}

#[test]
fn a_rule_is_read_once() {
    let calendar = Calendar::new();
    let long = format!("{} * * * *", (0..60).map(|m| m.to_string()).collect::<Vec<_>>().join(","));

    let first = calendar.rule(&cron(&long), Some("UTC")).unwrap();
    let again = calendar.clone().rule(&cron(&long), Some("UTC")).unwrap();
    let other = calendar.rule(&cron(&long), Some("Europe/Berlin")).unwrap();

    assert!(std::sync::Arc::ptr_eq(&first, &again), "kept, and shared by clones");
    assert!(!std::sync::Arc::ptr_eq(&first, &other), "another zone is another rule");
}

#[test]
fn what_is_kept_is_bounded() {
    let calendar = Calendar::new();
    let first = calendar.rule(&cron("0 9 * * *"), Some("UTC")).unwrap();

    for number in 0..5_000u32 {
        let year = 1_970 + number % 100;
        let expr = format!("{} {} 9 * * * {year}", number % 60, number / 100 % 60);
        calendar.rule(&cron(&expr), Some("UTC")).unwrap();
    }

    let again = calendar.rule(&cron("0 9 * * *"), Some("UTC")).unwrap();
    assert!(!std::sync::Arc::ptr_eq(&first, &again), "it was let go and read again");
}

#[test]
fn rules_survive_being_stored() {
    let timings = [
        cron("0 9 * * 1-5"),
        rrule("FREQ=DAILY\nEXDATE:20260302T090000"),
        Timing::Cron {
            expr: "@daily".to_owned(),
            from: Some(at("2026-03-01T00:00:00Z")),
            count: NonZeroU32::new(3),
            until: Some(at("2027-03-01T00:00:00Z")),
        },
    ];
    for timing in timings {
        let text = serde_json::to_string(&timing).unwrap();
        let read: Timing = serde_json::from_str(&text).unwrap();
        assert_eq!(read, timing, "{text}");
    }
    assert_eq!(
        serde_json::to_string(&cron("@daily")).unwrap(),
        r#"{"kind":"cron","expr":"@daily"}"#
    );
}

#[test]
fn what_ends_by_itself_is_known_from_its_text() {
    let now = at("2026-03-01T00:00:00Z");
    let read = |kind: Kind, text: &str| kind.read(text, Some("UTC"), now).unwrap().is_finite();

    assert!(!read(Kind::Cron, "0 9 * * *"));
    assert!(!rrule("FREQ=DAILY").is_finite());
    assert!(rrule("FREQ=DAILY;count=3").is_finite());
    assert!(rrule("FREQ=DAILY;UNTIL=20270101").is_finite());
    assert!(read(Kind::Rrule, "DTSTART:20260301T090000Z\nRDATE:20260302T090000Z"));
    assert!(read(Kind::Interval, "R3/2026-03-01T09:00:00Z/1d"));
}
