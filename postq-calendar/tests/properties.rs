//! Rules against a walk over every minute, and what holds of every rule.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use postq_calendar::{Calendar, Rule, zone};
use postq_core::id::PostId;
use postq_core::schedule::{ResolveRequest, Resolver, Schedule, Timing};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_assume,
    prop_oneof, proptest,
};
use proptest::sample::{select, subsequence};

const ZONES: [&str; 9] = [
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Asia/Beirut",
    "Antarctica/Troll",
    "Atlantic/Azores",
    "America/Havana",
    "UTC",
];

/// Three days on either side.
const MINUTES: i64 = 3 * 24 * 60;

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The days, from the first of 2026, on which each zone sets its clocks.
static CHANGES: LazyLock<Vec<Vec<i64>>> = LazyLock::new(|| {
    let offset =
        |tz, number| zone::instant_to_local(day(number), tz).unwrap() - day(number).naive_utc();
    let changes = |tz| (0..1_000).filter(|d| offset(tz, *d) != offset(tz, *d + 1)).collect();
    ZONES.iter().map(|tz| changes(*tz)).collect()
});

fn day(number: i64) -> DateTime<Utc> {
    instant("2026-01-01T00:00:00Z") + TimeDelta::days(number)
}

/// A zone and an instant, most near one of its changes.
fn moments() -> impl Strategy<Value = (&'static str, DateTime<Utc>)> {
    (0..ZONES.len(), 0usize..1_000, prop::bool::weighted(0.8)).prop_map(|(zone, place, near)| {
        let changes = &CHANGES[zone];
        match changes.len() {
            many if near && many > 0 => (ZONES[zone], day(changes[place % many])),
            _ => (ZONES[zone], day(place as i64)),
        }
    })
}

/// The values of a field and how they are written.
#[derive(Clone, Debug)]
struct Field {
    text: String,
    values: BTreeSet<u32>,
    star: bool,
}

fn field(least: u32, most: u32) -> impl Strategy<Value = Field> {
    let all = move || least..=most;
    let star = Just(Field { text: "*".to_owned(), values: all().collect(), star: true });
    let step = (2u32..8).prop_map(move |step| Field {
        text: format!("*/{step}"),
        values: all().step_by(step as usize).collect(),
        star: true,
    });
    let list = subsequence(all().collect::<Vec<_>>(), 1..4).prop_map(|values| Field {
        text: values.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
        values: values.into_iter().collect(),
        star: false,
    });
    let range = (all(), all(), 1u32..5).prop_map(|(a, b, step)| Field {
        text: format!("{}-{}/{step}", a.min(b), a.max(b)),
        values: (a.min(b)..=a.max(b)).step_by(step as usize).collect(),
        star: false,
    });
    prop_oneof![3 => star, 1 => step, 3 => list, 2 => range]
}

#[derive(Clone, Debug)]
struct Fields {
    minute: Field,
    hour: Field,
    month_day: Field,
    month: Field,
    week_day: Field,
}

fn fields() -> impl Strategy<Value = Fields> {
    let narrow = prop_oneof![Just(0u32..=5), Just(0u32..=23)];
    let hour = narrow.prop_flat_map(|hours| {
        subsequence(hours.collect::<Vec<_>>(), 1..4).prop_map(|values| Field {
            text: values.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
            values: values.into_iter().collect(),
            star: false,
        })
    });
    let hour = prop_oneof![2 => hour, 1 => field(0, 23)];
    (field(0, 59), hour, field(1, 31), field(1, 12), field(0, 6)).prop_map(
        |(minute, hour, month_day, month, week_day)| Fields {
            minute,
            hour,
            month_day,
            month,
            week_day,
        },
    )
}

impl Fields {
    fn text(&self) -> String {
        let Self { minute, hour, month_day, month, week_day } = self;
        [minute, hour, month_day, month, week_day].map(|field| field.text.as_str()).join(" ")
    }

    fn matches(&self, wall: NaiveDateTime) -> bool {
        let week_day = self.week_day.values.contains(&wall.weekday().num_days_from_sunday());
        let month_day = self.month_day.values.contains(&wall.day());
        let day = if self.month_day.star || self.week_day.star {
            month_day && week_day
        } else {
            month_day || week_day
        };
        day && self.minute.values.contains(&wall.minute())
            && self.hour.values.contains(&wall.hour())
            && self.month.values.contains(&wall.month())
    }

    fn follows_the_clock(&self) -> bool {
        self.minute.star || self.hour.star
    }
}

/// Every minute around an instant, with what the clocks show.
fn minutes(tz: &str, around: DateTime<Utc>) -> Vec<(DateTime<Utc>, NaiveDateTime)> {
    let minute = |n| around + TimeDelta::minutes(n);
    let shown = |at| (at, zone::instant_to_local(at, tz).unwrap());
    (-MINUTES..=MINUTES).map(|n| shown(minute(n))).collect()
}

/// What each wall-clock minute means: the first instant that shows it, or, if none does, `gap` of the
/// offset before and the first instant after.
fn mapped(
    minutes: &[(DateTime<Utc>, NaiveDateTime)],
    matches: impl Fn(NaiveDateTime) -> bool,
    gap: impl Fn(NaiveDateTime, TimeDelta, DateTime<Utc>) -> DateTime<Utc>,
) -> BTreeSet<DateTime<Utc>> {
    let mut first: BTreeMap<NaiveDateTime, DateTime<Utc>> = BTreeMap::new();
    for (at, wall) in minutes {
        first.entry(*wall).or_insert(*at);
    }
    let (Some((from, _)), Some((to, _))) = (first.first_key_value(), first.last_key_value()) else {
        return BTreeSet::new();
    };
    let all = (0..=(*to - *from).num_minutes()).map(|n| *from + TimeDelta::minutes(n));
    let mut found = BTreeSet::new();
    for wall in all.filter(|wall| matches(*wall)) {
        found.insert(first.get(&wall).copied().unwrap_or_else(|| {
            let (before, at) = first.range(..wall).next_back().unwrap();
            let (_, after) = first.range(wall..).next().unwrap();
            gap(wall, *before - at.naive_utc(), *after)
        }));
    }
    found
}

/// The middle of what was walked: at its ends the walk sees too little.
fn inner(
    found: impl IntoIterator<Item = DateTime<Utc>>,
    around: DateTime<Utc>,
) -> Vec<DateTime<Utc>> {
    let half = TimeDelta::minutes(MINUTES) - TimeDelta::hours(26);
    found.into_iter().filter(|at| (*at - around).abs() < half).collect()
}

fn answers(rule: &Rule, around: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let from = around - TimeDelta::minutes(MINUTES);
    let until = around + TimeDelta::minutes(MINUTES);
    inner(rule.after(Some(from)).take_while(|at| *at < until), around)
}

fn cron(expr: &str) -> Timing {
    Timing::Cron { expr: expr.to_owned(), from: None, count: None, until: None }
}

/// A rule within a day or daily, whose times are easy to tell.
#[derive(Clone, Debug)]
struct Repeat {
    freq: &'static str,
    interval: i64,
    minute_of_day: i64,
    hours: Vec<u32>,
    minutes: Vec<u32>,
    days: Vec<usize>,
}

const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

fn repeats() -> impl Strategy<Value = Repeat> {
    let hours = prop_oneof![
        2 => Just(vec![]),
        1 => subsequence((0..24).collect::<Vec<_>>(), 1..5),
        1 => subsequence((0..5).collect::<Vec<_>>(), 1..4),
    ];
    let minutes =
        prop_oneof![Just(vec![]), subsequence((0..60).collect::<Vec<u32>>(), 1..4).boxed()];
    let days = prop_oneof![Just(vec![]), subsequence((0..7).collect::<Vec<usize>>(), 1..6)];
    (select(&["MINUTELY", "HOURLY", "DAILY"][..]), 1i64..50, 0i64..1_440, hours, minutes, days)
        .prop_map(|(freq, interval, minute_of_day, hours, minutes, days)| Repeat {
            freq,
            interval: if freq == "DAILY" { interval % 3 + 1 } else { interval },
            minute_of_day,
            hours,
            minutes,
            days,
        })
}

impl Repeat {
    fn start(&self, wall: NaiveDateTime) -> NaiveDateTime {
        (wall - TimeDelta::days(9)).date().and_time(chrono::NaiveTime::MIN)
            + TimeDelta::minutes(self.minute_of_day)
    }

    fn text(&self, start: NaiveDateTime, tz: &str) -> String {
        let list = |name: &str, values: Vec<String>| match values.len() {
            0 => String::new(),
            _ => format!(";{name}={}", values.join(",")),
        };
        let numbers = |values: &[u32]| values.iter().map(u32::to_string).collect();
        format!(
            "DTSTART;TZID={tz}:{}\nRRULE:FREQ={};INTERVAL={}{}{}{}",
            start.format("%Y%m%dT%H%M%S"),
            self.freq,
            self.interval,
            list("BYHOUR", numbers(&self.hours)),
            list("BYMINUTE", numbers(&self.minutes)),
            list("BYDAY", self.days.iter().map(|day| DAYS[*day].to_owned()).collect()),
        )
    }

    fn matches(&self, start: NaiveDateTime, wall: NaiveDateTime) -> bool {
        let hour_of = |wall: NaiveDateTime| {
            wall.date().and_hms_opt(wall.hour(), 0, 0).unwrap().and_utc().timestamp() / 3_600
        };
        let day_of = |wall: NaiveDateTime| wall.date().num_days_from_ce();
        let steps = match self.freq {
            "MINUTELY" => (wall - start).num_minutes(),
            "HOURLY" => hour_of(wall) - hour_of(start),
            _ => i64::from(day_of(wall) - day_of(start)),
        };
        let hour = match (self.freq, self.hours.is_empty()) {
            ("DAILY", true) => wall.hour() == start.hour(),
            (_, empty) => empty || self.hours.contains(&wall.hour()),
        };
        let minute = match (self.freq, self.minutes.is_empty()) {
            ("DAILY" | "HOURLY", true) => wall.minute() == start.minute(),
            (_, empty) => empty || self.minutes.contains(&wall.minute()),
        };
        let weekday = wall.weekday().num_days_from_monday() as usize;
        wall >= start
            && steps % self.interval == 0
            && hour
            && minute
            && (self.days.is_empty() || self.days.contains(&weekday))
    }
}

/// A rule of either kind, of any age and speed.
fn rules() -> impl Strategy<Value = (Timing, &'static str, DateTime<Utc>)> {
    let either = (fields(), repeats(), any::<bool>(), 0i64..4_000);
    (moments(), either).prop_map(|((tz, around), (fields, repeat, is_cron, age))| {
        let timing = if is_cron {
            cron(&fields.text())
        } else {
            let start = repeat.start(around.naive_utc() - TimeDelta::days(age));
            Timing::Rrule { expr: repeat.text(start, tz) }
        };
        (timing, tz, around)
    })
}

/// Near to what people write, with mistakes.
fn texts() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "*",
        "/",
        "-",
        ",",
        " ",
        "0",
        "7",
        "59",
        "@daily",
        "mon",
        "L",
        "#",
        "?",
        "DTSTART",
        ";",
        "TZID=",
        "Europe/Berlin",
        ":",
        "20260308T023000",
        "Z",
        "\n",
        "\\n",
        " ",
        "RRULE:",
        "FREQ=",
        "DAILY",
        "SECONDLY",
        "YEARLY",
        "MONTHLY",
        "WEEKLY",
        "INTERVAL=",
        "65535",
        "COUNT=",
        "UNTIL=",
        "BYDAY=",
        "-1MO",
        "1éO",
        "BYHOUR=",
        "BYSETPOS=",
        "BYWEEKNO=",
        "53",
        "366",
        "-366",
        "BYYEARDAY=",
        "BYMONTHDAY=",
        "31",
        "EXDATE:",
        "RDATE;VALUE=DATE:",
        "20260308",
        "99991231T235959",
        "19000101T000000",
        "\"",
        "=",
        "é",
        "\u{0}",
    ]);
    prop::collection::vec(pieces, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cron_agrees_with_a_walk_over_every_minute((tz, around) in moments(), fields in fields()) {
        let rule = Rule::new(&cron(&fields.text()), Some(tz)).unwrap();
        let minutes = minutes(tz, around);

        let expected: BTreeSet<_> = if fields.follows_the_clock() {
            let shown = minutes.iter().filter(|(_, wall)| fields.matches(*wall));
            shown.map(|(at, _)| *at).collect()
        } else {
            mapped(&minutes, |wall| fields.matches(wall), |_, _, after| after)
        };

        prop_assert_eq!(answers(&rule, around), inner(expected, around), "{} {}", fields.text(), tz);
    }

    #[test]
    fn rrule_agrees_with_a_walk_over_every_minute((tz, around) in moments(), repeat in repeats()) {
        let start = repeat.start(around.naive_utc());
        let text = repeat.text(start, tz);
        let rule = Rule::new(&Timing::Rrule { expr: text.clone() }, Some(tz));
        let never = rule.as_ref().is_err_and(|error| error.to_string().contains("never falls on"));
        prop_assume!(!never);

        let expected = mapped(
            &minutes(tz, around),
            |wall| repeat.matches(start, wall),
            |wall, before, _| (wall - before).and_utc(),
        );

        prop_assert_eq!(answers(&rule.unwrap(), around), inner(expected, around), "{}", text);
    }

    #[test]
    fn what_never_meets_its_times_is_the_only_refusal((timing, tz, _) in rules()) {
        if let Err(error) = Rule::new(&timing, Some(tz)) {
            let error = error.to_string();
            prop_assert!(error.contains("never falls on the times"), "{timing:?}: {error}");
        }
    }

    #[test]
    fn next_is_strictly_later_sorted_and_distinct(
        (timing, tz, around) in rules(),
        micros in -172_800_000_000i64..172_800_000_000,
    ) {
        let Ok(rule) = Rule::new(&timing, Some(tz)) else { return Ok(()) };
        let after = around + TimeDelta::microseconds(micros);

        let found: Vec<_> = rule.after(Some(after)).take(40).collect();

        prop_assert!(found.first().is_none_or(|first| *first > after));
        prop_assert!(found.is_sorted_by(|a, b| a < b), "{timing:?}: {found:?}");
        prop_assert_eq!(rule.next(Some(after)), found.first().copied());
    }

    #[test]
    fn a_restart_from_any_answer_gives_the_same_tail((timing, tz, around) in rules()) {
        let Ok(rule) = Rule::new(&timing, Some(tz)) else { return Ok(()) };
        let found: Vec<_> = rule.after(Some(around - TimeDelta::hours(30))).take(60).collect();

        for (place, at) in found.iter().enumerate() {
            // Also from between two answers.
            for later in [TimeDelta::zero(), TimeDelta::microseconds(1)] {
                let next = found.get(place + 1);
                let again = rule.next(Some(*at + later));
                prop_assert!(next.is_none() || again.as_ref() == next, "{timing:?} {tz} after {at}");
            }
        }
    }

    #[test]
    fn planner_and_preview_agree((timing, tz, around) in rules(), ahead in 0i64..2_000, limit in 1usize..50) {
        let calendar = Calendar::new();
        let Ok(rule) = calendar.rule(&timing, Some(tz)) else { return Ok(()) };
        let now = around - TimeDelta::hours(12);
        let until = now + TimeDelta::minutes(ahead);
        let mut schedule = Schedule::new(PostId::new(), vec![], timing, now);
        schedule.tz = Some(tz.to_owned());
        schedule.next_run_at = rule.next(Some(now));

        // In portions, as a planner does.
        let mut planned = Vec::new();
        while schedule.next_run_at.is_some_and(|next| next <= until) {
            let ask = ResolveRequest { now, until, limit };
            let resolved = calendar.resolve(&schedule, ask).unwrap();
            prop_assert!(!resolved.occurrences.is_empty());
            planned.extend(resolved.occurrences.iter().map(|occurrence| occurrence.planned_at));
            schedule.next_run_at = resolved.next_run_at;
        }

        let shown: Vec<_> = rule.after(Some(now)).take_while(|at| *at <= until).collect();
        prop_assert_eq!(&planned, &shown);
        prop_assert_eq!(schedule.next_run_at, rule.next(Some(shown.last().copied().unwrap_or(now))));
    }

    #[test]
    fn no_input_panics(text in texts(), other in any::<String>(), after in any::<i64>()) {
        let after = DateTime::from_timestamp_micros(after);
        for text in [text, other] {
            for timing in [cron(&text), Timing::Rrule { expr: text.clone() }] {
                for tz in [None, Some("Europe/Berlin"), Some("nowhere")] {
                    if let Ok(rule) = Rule::new(&timing, tz) {
                        let _ = (rule.next(after), rule.explain(), rule.after(None).take(9).count());
                    }
                }
            }
        }
    }
}
