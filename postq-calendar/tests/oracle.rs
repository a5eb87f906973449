//! What croniter and python-dateutil say about random rules; `oracle/make.py` tells how.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use postq_calendar::{Rule, zone};
use postq_core::schedule::Timing;

const CASES: &str = include_str!("oracle/cases.tsv");

struct Case {
    timing: Timing,
    tz: &'static str,
    after: DateTime<Utc>,
    answers: Vec<DateTime<Utc>>,
}

fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn cases() -> impl Iterator<Item = Case> {
    CASES.lines().map(|line| {
        let [kind, tz, after, expr, steps] =
            line.split('\t').collect::<Vec<_>>()[..].try_into().expect("five columns");
        let expr = expr.replace("\\n", "\n");
        let timing = match kind {
            "cron" => Timing::Cron { expr, from: None, count: None, until: None },
            _ => Timing::Rrule { expr },
        };
        let mut at = 0;
        let steps = steps.split(',').filter(|step| !step.is_empty());
        let answers = steps.map(|step| {
            at += step.parse::<i64>().unwrap();
            instant(at)
        });
        Case { timing, tz, after: instant(after.parse().unwrap()), answers: answers.collect() }
    })
}

#[test]
fn every_case_agrees() {
    let mut wrong = Vec::new();
    for Case { timing, tz, after, answers } in cases() {
        let rule = Rule::new(&timing, Some(tz));
        let found = rule.map(|rule| rule.after(Some(after)).take(6).collect::<Vec<_>>());
        if !found.as_ref().is_ok_and(|found| *found == answers) {
            wrong.push(format!("{timing:?} {tz} after {after}:\n  {found:?}\n  not {answers:?}"));
        }
    }

    let shown = wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} differ:\n{shown}", wrong.len());
}

#[test]
fn the_cases_are_many_and_half_lie_near_a_clock_change() {
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut all, mut near) = (0, 0);
    for case in cases() {
        *zones.entry(case.tz).or_default() += 1;
        all += 1;
        let offset = |side: i64| {
            let at = case.after + TimeDelta::hours(side * 30);
            zone::instant_to_local(at, case.tz).unwrap() - at.naive_utc()
        };
        near += usize::from(offset(-1) != offset(1));
    }

    assert!(all >= 5_000, "{all}");
    assert!(zones.len() >= 10, "{zones:?}");
    for tz in ["Australia/Lord_Howe", "Africa/Cairo", "Antarctica/Troll", "Atlantic/Azores"] {
        assert!(zones[tz] >= 200, "{zones:?}");
    }
    assert!(near * 2 >= all, "{near} of {all}");
}

#[test]
fn the_zone_database_is_the_one_that_the_cases_were_made_with() {
    assert_eq!(zone::tzdb_version(), "2026e", "make the cases again: see oracle/make.py");
}
