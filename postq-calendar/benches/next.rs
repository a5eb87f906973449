//! What the next occurrence costs: `cargo bench -p postq-calendar`.
//!
//! Each rule began ten years before it is asked. `read` is the time to read it, `first` that of the first
//! answer by a new rule, `next` the mean of answers from places spread over a year, `list` the mean of
//! each of a hundred in a row.

#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use postq_calendar::Rule;
use postq_core::schedule::Timing;

/// Places that are asked about.
const PLACES: i32 = 500;

/// Ordinary rules answer in less.
const ORDINARY: Duration = Duration::from_micros(20);

/// All rules do.
const WORST: Duration = Duration::from_millis(50);

const CRON: [&str; 7] = [
    "0 9 * * *",
    "0 9 * * 1-5",
    "*/15 * * * *",
    "30 2 13 * FRI",
    "0 12 1 */3 *",
    "*/10 * * * * *",
    "0 0 29 2 *",
];

const RRULE: [&str; 16] = [
    "FREQ=DAILY",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU;BYHOUR=9,17",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=YEARLY",
    "FREQ=YEARLY;BYMONTH=3;BYDAY=1SU",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
    "FREQ=DAILY;COUNT=10000;BYHOUR=9,17",
    "FREQ=HOURLY;INTERVAL=5",
    "FREQ=MINUTELY;INTERVAL=90",
    "FREQ=MINUTELY;INTERVAL=7;BYDAY=MO;BYHOUR=9",
    "FREQ=SECONDLY",
    "FREQ=SECONDLY;INTERVAL=7;BYMONTH=2;BYMONTHDAY=29;BYHOUR=9;BYSECOND=0",
    // Never and hardly ever.
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=YEARLY;INTERVAL=15;BYYEARDAY=200,366;BYDAY=4WE,-1TH",
];

fn main() {
    let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default();
    println!("{:<76} {:>10} {:>10} {:>10} {:>10}", "rule", "read", "first", "next", "list");
    for expr in CRON {
        let timing = Timing::Cron { expr: expr.to_owned(), from: None, count: None, until: None };
        measure(expr, &timing, now);
    }
    for rule in RRULE {
        let expr = format!("DTSTART;TZID=Europe/Berlin:20160901T090000\nRRULE:{rule}");
        measure(rule, &Timing::Rrule { expr }, now);
    }
}

fn measure(name: &str, timing: &Timing, now: DateTime<Utc>) {
    let read = || Rule::new(black_box(timing), Some("Europe/Berlin"));
    let Ok(rule) = read() else {
        println!("{name}: cannot be read");
        return;
    };
    let reading = mean(20, |_| {
        let _ = black_box(read());
    });
    let first = mean(1, |_| {
        black_box(rule.next(Some(now)));
    });
    let next = mean(PLACES, |place| {
        black_box(rule.next(Some(now + TimeDelta::hours(i64::from(place) * 17))));
    });
    let list = mean(1, |_| {
        black_box(rule.after(Some(now)).take(100).count());
    }) / 100;
    let slow = if next > WORST {
        "too slow"
    } else if next > ORDINARY {
        "not ordinary"
    } else {
        ""
    };
    println!("{name:<76} {reading:>10.1?} {first:>10.1?} {next:>10.1?} {list:>10.1?} {slow}");
}

fn mean(times: i32, mut work: impl FnMut(i32)) -> Duration {
    let started = Instant::now();
    (0..times).for_each(&mut work);
    started.elapsed() / u32::try_from(times.max(1)).unwrap_or(1)
}
