//! The rules of [`Resolver`], on the timings that every resolver knows, and on cron expressions and
//! recurrences where it knows them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::id::PostId;
use crate::schedule::{
    Misfire, Occurrence, ResolveRequest, Resolved, Resolver, Schedule, Timing, Verdict,
};

/// Writes one test per rule of [`Resolver`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! resolver_conformance {
    ($fresh:expr) => {
        mod resolver_rules {
            $crate::conformance_rules! { $fresh, resolver {
                resolving_is_pure,
                next_is_strictly_later,
                resolve_and_next_agree,
                late_ones_follow_the_policy,
                a_call_is_bounded,
                a_restart_gives_the_same_tail,
            } }
        }
    };
}

fn noon() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::hours(12)
}

fn schedule(timing: Timing) -> Schedule {
    Schedule::new(PostId::new(), Vec::new(), timing, noon())
}

fn every(seconds: u64, count: Option<u32>, until: Option<DateTime<Utc>>) -> Schedule {
    schedule(Timing::Interval {
        every: Duration::from_secs(seconds),
        anchor: noon(),
        count: count.map(|n| NonZeroU32::new(n).expect("a count is at least one")),
        until,
    })
}

fn once() -> Schedule {
    schedule(Timing::OneShot { at: noon(), local: None })
}

fn samples(resolver: &dyn Resolver) -> Vec<Schedule> {
    let mut samples = vec![
        once(),
        every(1, None, None),
        every(60, Some(5), None),
        every(3_600, None, Some(noon() + TimeDelta::hours(7))),
        every(90, Some(1), Some(noon())),
        every(86_400, Some(1_000), Some(noon() + TimeDelta::days(3))),
    ];
    samples.extend(known(
        resolver,
        [
            cron("*/20 * * * *", NonZeroU32::new(7)),
            cron("30 9-17/2 * * 1-5", None),
            rrule("FREQ=HOURLY;INTERVAL=2;COUNT=9"),
            rrule("FREQ=DAILY;BYHOUR=9,12,15;BYMINUTE=0,1,2"),
        ],
    ));
    samples
}

/// A rule in a zone whose clocks change, from noon on.
fn cron(expr: &str, count: Option<NonZeroU32>) -> Schedule {
    let timing = Timing::Cron { expr: expr.to_owned(), from: Some(noon()), count, until: None };
    Schedule { tz: Some("Europe/Berlin".to_owned()), ..schedule(timing) }
}

fn rrule(rule: &str) -> Schedule {
    let start = noon().format("%Y%m%dT%H%M%SZ");
    schedule(Timing::Rrule { expr: format!("DTSTART:{start}\nRRULE:{rule}") })
}

/// Those of a kind that the resolver knows: it may refuse the others.
fn known(
    resolver: &dyn Resolver,
    schedules: impl IntoIterator<Item = Schedule>,
) -> impl Iterator<Item = Schedule> {
    schedules.into_iter().filter(|schedule| resolver.next(schedule, None).is_ok())
}

/// Every minute since noon, by each kind of rule that the resolver knows.
fn minutely(resolver: &dyn Resolver) -> Vec<Schedule> {
    let rules = known(resolver, [cron("* * * * *", None), rrule("FREQ=MINUTELY")]);
    std::iter::once(every(60, None, None)).chain(rules).collect()
}

fn started_samples(resolver: &dyn Resolver) -> Vec<Schedule> {
    samples(resolver).into_iter().map(|schedule| started(resolver, schedule)).collect()
}

/// The schedule as a store has it: with its first occurrence.
fn started(resolver: &dyn Resolver, mut schedule: Schedule) -> Schedule {
    schedule.next_run_at = resolver.next(&schedule, None).expect("next");
    schedule
}

fn resolve(
    resolver: &dyn Resolver,
    schedule: &Schedule,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: usize,
) -> Resolved {
    resolver.resolve(schedule, ResolveRequest { now, until, limit }).expect("resolve")
}

fn fired(resolved: &Resolved) -> Vec<DateTime<Utc>> {
    let fires = |occurrence: &&Occurrence| occurrence.verdict == Verdict::Fire;
    resolved.occurrences.iter().filter(fires).map(|occurrence| occurrence.planned_at).collect()
}

fn missed(resolved: &Resolved) -> u64 {
    let count = |occurrence: &Occurrence| match occurrence.verdict {
        Verdict::Fire => 0,
        Verdict::Missed { and_older } => 1 + and_older,
    };
    resolved.occurrences.iter().map(count).sum()
}

/// The first occurrences that `next` walks through, up to a moment.
fn walk(resolver: &dyn Resolver, schedule: &Schedule, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let next = |after| resolver.next(schedule, after).expect("next");
    std::iter::successors(next(None), |at| next(Some(*at)))
        .take_while(|at| *at <= until)
        .take(5_000)
        .collect()
}

/// The same question has the same answer, whatever was asked before.
pub async fn resolving_is_pure(resolver: Arc<dyn Resolver>) {
    for schedule in started_samples(&*resolver) {
        let ask = || {
            (
                resolver.next(&schedule, Some(noon())).expect("next"),
                resolve(&*resolver, &schedule, noon(), noon() + TimeDelta::hours(1), 50),
            )
        };
        let first = ask();
        resolve(&*resolver, &schedule, noon() + TimeDelta::days(9), noon(), 1);
        assert_eq!(first, ask(), "{:?}", schedule.timing);
    }
}

/// `next` is strictly later than `after`.
pub async fn next_is_strictly_later(resolver: Arc<dyn Resolver>) {
    for schedule in samples(&*resolver) {
        for micros in [-1_000_000, -1, 0, 1, 999_999, 1_000_000, 59_999_999, 86_400_000_000] {
            let after = noon() + TimeDelta::microseconds(micros);
            let next = resolver.next(&schedule, Some(after)).expect("next");
            assert!(next.is_none_or(|next| next > after), "{:?}: {next:?}", schedule.timing);
        }
    }
    let next = |schedule: &Schedule, after| resolver.next(schedule, after).expect("next");
    assert_eq!(next(&once(), None), Some(noon()), "once: the instant");
    assert_eq!(next(&once(), Some(noon())), None, "once: nothing after it");
    let minutely = every(60, Some(3), None);
    assert_eq!(next(&minutely, Some(noon())), Some(noon() + TimeDelta::minutes(1)));
    assert_eq!(next(&minutely, Some(noon() + TimeDelta::minutes(2))), None, "three in all");
    let ended = every(60, None, Some(noon() + TimeDelta::seconds(90)));
    assert_eq!(next(&ended, Some(noon() + TimeDelta::minutes(1))), None, "none after `until`");
}

/// The occurrences of `resolve` are those that `next` walks through, from `next_run_at` on.
pub async fn resolve_and_next_agree(resolver: Arc<dyn Resolver>) {
    for schedule in started_samples(&*resolver) {
        for minutes in [0, 1, 10, 300] {
            let until = noon() + TimeDelta::minutes(minutes);
            let expected = walk(&*resolver, &schedule, until);
            if expected.len() >= 1_000 {
                continue;
            }

            let resolved = resolve(&*resolver, &schedule, noon(), until, 1_000);

            assert_eq!(fired(&resolved), expected, "{:?} until {until}", schedule.timing);
            assert_eq!(missed(&resolved), 0, "none is late");
            let after = resolver.next(&schedule, expected.last().copied()).expect("next");
            assert_eq!(resolved.next_run_at, after, "{:?}", schedule.timing);
        }
    }
    let ended = Schedule { next_run_at: None, ..once() };
    let resolved = resolve(&*resolver, &ended, noon(), noon() + TimeDelta::hours(1), 10);
    assert_eq!(resolved, Resolved { occurrences: Vec::new(), next_run_at: None }, "it has ended");
}

/// What is later than the grace follows the schedule's misfire policy.
pub async fn late_ones_follow_the_policy(resolver: Arc<dyn Resolver>) {
    let most = |n| NonZeroU32::new(n).expect("at least one");
    // Minutely since noon, looked at 30 minutes and a bit later: with 5 minutes of grace 26 are
    // missed (0 to 25), five are late but not missed (26 to 30), 31 is still to come.
    let now = noon() + TimeDelta::minutes(30) + TimeDelta::seconds(10);
    let minute = |n: i64| noon() + TimeDelta::minutes(n);
    let on_time: Vec<_> = (26..=31).map(minute).collect();
    let cases = [
        (Misfire::Skip, vec![]),
        (Misfire::FireOnce, vec![minute(25)]),
        (Misfire::FireAll { most: most(3) }, vec![minute(23), minute(24), minute(25)]),
    ];
    let cases = cases.iter().flat_map(|(misfire, made_up)| {
        minutely(&*resolver).into_iter().map(move |minutely| (minutely, *misfire, made_up))
    });
    for (minutely, misfire, made_up) in cases {
        let schedule = started(&*resolver, Schedule { misfire, ..minutely });

        let resolved = resolve(&*resolver, &schedule, now, minute(31), 1_000);

        assert_eq!(fired(&resolved), [made_up.clone(), on_time.clone()].concat(), "{misfire:?}");
        assert_eq!(missed(&resolved) + made_up.len() as u64, 26, "{misfire:?}: none is forgotten");
        let times: Vec<_> = resolved.occurrences.iter().map(|o| o.planned_at).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{misfire:?}: in order");
        assert_eq!(resolved.next_run_at, Some(minute(32)));
    }

    let grace = TimeDelta::from_std(Schedule::GRACE).expect("minutes");
    for (late, fires) in [(grace, true), (grace + TimeDelta::microseconds(1), false)] {
        let schedule = started(&*resolver, Schedule { misfire: Misfire::Skip, ..once() });
        let resolved = resolve(&*resolver, &schedule, noon() + late, noon() + late, 10);
        assert_eq!(fired(&resolved).len() == 1, fires, "late by {late}");
        assert_eq!(missed(&resolved), u64::from(!fires), "late by {late}");
        assert_eq!(resolved.next_run_at, None);
    }
}

/// Whatever the rule, a call ends within milliseconds: a second's interval of ten years ago.
pub async fn a_call_is_bounded(resolver: Arc<dyn Resolver>) {
    let now = noon() + TimeDelta::days(3_650);
    for misfire in [Misfire::Skip, Misfire::FireOnce] {
        let schedule = started(&*resolver, Schedule { misfire, ..every(1, None, None) });
        let start = std::time::Instant::now();

        let resolved = resolve(&*resolver, &schedule, now, now, 10_000);

        assert!(start.elapsed() < Duration::from_secs(1), "took {:?}", start.elapsed());
        assert!(resolved.occurrences.len() < 11_000, "rows are bounded");
        let in_all = missed(&resolved) + fired(&resolved).len() as u64;
        assert_eq!(in_all, 3_650 * 86_400 + 1, "and none is forgotten");
    }
}

/// Where the limit cuts, the next call goes on: piece by piece gives the same as at once.
pub async fn a_restart_gives_the_same_tail(resolver: Arc<dyn Resolver>) {
    let until = noon() + TimeDelta::hours(2);
    for minutely in minutely(&*resolver) {
        let mut schedule = started(&*resolver, minutely);
        let at_once = fired(&resolve(&*resolver, &schedule, noon(), until, 1_000));

        let mut pieces = Vec::new();
        for _ in 0..1_000 {
            let piece = resolve(&*resolver, &schedule, noon(), until, 7);
            assert!(fired(&piece).len() <= 7, "at most what was asked for");
            pieces.extend(fired(&piece));
            schedule.next_run_at = piece.next_run_at;
            if schedule.next_run_at.is_none_or(|next| next > until) {
                break;
            }
        }

        assert_eq!(at_once.len(), 121, "{:?}", schedule.timing);
        assert_eq!(pieces, at_once, "{:?}", schedule.timing);
    }
}
