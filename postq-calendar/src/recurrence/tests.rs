use std::time::{Duration, Instant};

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn set(text: &str) -> Recurrence {
    Recurrence::parse(text, None).unwrap()
}

fn refused(text: &str) -> String {
    Recurrence::parse(text, None).unwrap_err().to_string()
}

fn show(occurrences: impl Iterator<Item = DateTime<Utc>>, count: usize) -> Vec<String> {
    occurrences.take(count).map(|at| at.format("%m-%d %H:%M").to_string()).collect()
}

/// The first ones, in UTC as `month-day hour:minute`.
fn all(text: &str, count: usize) -> Vec<String> {
    show(set(text).after(None), count)
}

const NEW_YORK: &str = "DTSTART;TZID=America/New_York:";

fn new_york(rest: &str) -> String {
    format!("{NEW_YORK}{rest}")
}

#[test]
fn rule_1_in_a_gap_the_offset_before_it_counts() {
    let daily = new_york("20260307T023000\nRRULE:FREQ=DAILY");

    // 02:30 of the 8th is 03:30 in summer time.
    assert_eq!(all(&daily, 3), ["03-07 07:30", "03-08 07:30", "03-09 06:30"]);
    let cairo = "DTSTART;TZID=Africa/Cairo:20260423T000000\nRRULE:FREQ=DAILY";
    assert_eq!(all(cairo, 3), ["04-22 22:00", "04-23 22:00", "04-24 21:00"]);
    let half_an_hour = "DTSTART;TZID=Australia/Lord_Howe:20261003T021500\nRRULE:FREQ=DAILY";
    assert_eq!(all(half_an_hour, 3), ["10-02 15:45", "10-03 15:45", "10-04 15:15"]);
}

#[test]
fn rule_1_in_an_overlap_the_first_pass_counts() {
    let daily = new_york("20261031T013000\nRRULE:FREQ=DAILY");

    assert_eq!(all(&daily, 3), ["10-31 05:30", "11-01 05:30", "11-02 06:30"]);
    // At midnight.
    let havana = "DTSTART;TZID=America/Havana:20251101T003000\nRRULE:FREQ=DAILY";
    assert_eq!(all(havana, 3), ["11-01 04:30", "11-02 04:30", "11-03 05:30"]);
}

#[test]
fn rule_1_the_clock_is_stepped_also_within_a_day() {
    let hourly = new_york("20261101T000000\nRRULE:FREQ=HOURLY");
    assert_eq!(all(&hourly, 4), ["11-01 04:00", "11-01 05:00", "11-01 07:00", "11-01 08:00"]);

    // 02:00 and 03:00 are the same instant in a gap: one occurrence.
    let hourly = new_york("20260308T010000\nRRULE:FREQ=HOURLY");
    assert_eq!(all(&hourly, 3), ["03-08 06:00", "03-08 07:00", "03-08 08:00"]);
}

#[test]
fn rule_1_what_a_gap_shifts_is_sorted_in() {
    let quarters = new_york("20260308T014500\nRRULE:FREQ=MINUTELY;INTERVAL=25");

    // 01:45, 02:10 (03:10), 02:35 (03:35), 03:00, 03:25, 03:50.
    assert_eq!(
        all(&quarters, 6),
        ["03-08 06:45", "03-08 07:00", "03-08 07:10", "03-08 07:25", "03-08 07:35", "03-08 07:50"]
    );
    let from_within = set(&quarters);
    let from_within = show(from_within.after(Some(at("2026-03-08T07:12:00Z"))), 2);
    assert_eq!(from_within, ["03-08 07:25", "03-08 07:35"], "asked from inside");
}

#[test]
fn rule_1_a_day_that_was_left_out_is_shifted_by_a_day() {
    let samoa = "DTSTART;TZID=Pacific/Apia:20111229T090000\nRRULE:FREQ=DAILY";

    // The 30th did not happen: its 09:00 is the 31st's.
    assert_eq!(all(samoa, 3), ["12-29 19:00", "12-30 19:00", "12-31 19:00"]);
}

#[test]
fn rule_2_count_counts_before_dates_are_left_out_and_merged() {
    let without = "DTSTART:20260101T090000Z\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260102T090000Z";
    assert_eq!(all(without, 9), ["01-01 09:00", "01-03 09:00"]);

    let merged = new_york("20260308T010000\nRRULE:FREQ=HOURLY;COUNT=3");
    assert_eq!(all(&merged, 9), ["03-08 06:00", "03-08 07:00"]);
}

#[test]
fn rule_2_rdate_and_exdate_are_sets_of_instants() {
    let text = "DTSTART:20260101T090000Z\nRRULE:FREQ=DAILY;COUNT=2\n\
                RDATE:20260101T090000Z,20260101T120000Z\n\
                RDATE;TZID=Europe/Berlin:20260105T100000\n\
                EXDATE;TZID=Europe/Berlin:20260102T100000";

    assert_eq!(all(text, 9), ["01-01 09:00", "01-01 12:00", "01-05 09:00"]);
    let without_rule = "DTSTART:20260101T090000Z\nRDATE:20260103T090000Z";
    assert_eq!(all(without_rule, 9), ["01-01 09:00", "01-03 09:00"]);
}

#[test]
fn rule_2_a_start_that_does_not_match_is_no_occurrence() {
    // A Thursday.
    let mondays = set("DTSTART:20260101T090000Z\nRRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=2");

    assert_eq!(show(mondays.after(None), 9), ["01-05 09:00", "01-12 09:00"]);
    assert!(mondays.notes()[0].contains("DTSTART does not match"), "{:?}", mondays.notes());
    let thursdays = set("DTSTART:20260101T090000Z\nRRULE:FREQ=WEEKLY");
    assert!(thursdays.notes().is_empty(), "{:?}", thursdays.notes());
}

#[test]
fn rule_3_until_is_inclusive_in_utc_in_local_time_and_as_a_day() {
    let daily = |until| all(&new_york(&format!("20260101T090000\nRRULE:FREQ=DAILY;{until}")), 9);
    let three = ["01-01 14:00", "01-02 14:00", "01-03 14:00"];

    assert_eq!(daily("UNTIL=20260103T140000Z"), three);
    assert_eq!(daily("UNTIL=20260103T135959Z"), three[..2]);
    assert_eq!(daily("UNTIL=20260103T090000"), three);
    assert_eq!(daily("UNTIL=20260103T085959"), three[..2]);
    assert_eq!(daily("UNTIL=20260103"), three);
    assert_eq!(daily("UNTIL=20251231"), [""; 0]);
}

#[test]
fn rule_3_dates_without_a_zone_are_in_that_of_dtstart() {
    let text = new_york("20260101T090000\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260102T090000");

    assert_eq!(all(&text, 9), ["01-01 14:00", "01-03 14:00"]);
    // An ambiguous one is the first pass, as the occurrence is.
    let twice = new_york("20261101T013000\nRRULE:FREQ=DAILY;COUNT=2\nEXDATE:20261101T013000");
    assert_eq!(all(&twice, 9), ["11-02 06:30"]);
}

#[test]
fn rule_3_a_day_in_exdate_leaves_out_that_local_day() {
    let text =
        new_york("20260101T210000\nRRULE:FREQ=HOURLY;INTERVAL=2\nEXDATE;VALUE=DATE:20260102");
    let set = set(&text);

    assert_eq!(show(set.after(None), 3), ["01-02 02:00", "01-02 04:00", "01-03 06:00"]);
    assert!(set.notes().iter().any(|note| note.contains("2026-01-02")), "{:?}", set.notes());
}

#[test]
fn rule_4_what_cannot_be_is_refused_with_its_place() {
    let with = |rest: &str| refused(&format!("DTSTART:20260101T090000Z\n{rest}"));

    assert!(
        refused("RRULE:FREQ=DAILY").contains("has no DTSTART; expected a line as DTSTART;TZID")
    );
    assert!(with("").contains("has no RRULE"));
    assert!(with("RRULE:FREQ=DAILY;COUNT=2;UNTIL=20260103").contains("by COUNT or by UNTIL"));
    assert!(with("RRULE:FREQ=DAILY;COUNT=0").starts_with("line 2, position 24, \"0\""));
    assert!(with("RRULE:FREQ=DAILY;INTERVAL=0").contains("from 1 to 65535"));
    assert!(with("RRULE:FREQ=WEEKLY;BYDAY=2MO").contains("needs FREQ=MONTHLY or YEARLY"));
    assert!(with("RRULE:FREQ=HOURLY;BYMINUTE=0,5;BYSETPOS=1").contains("FREQ=DAILY or slower"));
    assert!(with("EXRULE:FREQ=DAILY").contains("list the dates to leave out with EXDATE"));
    assert!(with("RRULE:FREQ=DAILY;RSCALE=GREGORIAN").contains("RFC 7529"));
    assert!(with("RRULE:FREQ=DAILY;SKIP=OMIT").contains("RFC 7529"));
    assert!(with("RRULE:FREQ=WEEKLY;BYDAY=1éO").contains("\"é\": expected ASCII"));
    assert!(
        with("RRULE:FREQ=DAILY\nRRULE:FREQ=DAILY").starts_with("line 3, there is a second RRULE")
    );
    assert!(with("DTSTART:20260101T090000Z\nRRULE:FREQ=DAILY").contains("a second DTSTART"));
    assert!(with("DESCRIPTION:hello").contains("is no property of a rule"));
    assert!(with("hello").contains("expected a property with a colon"));
    assert!(refused(&format!("DTSTART:{}", "1".repeat(4_100))).contains("at most 4096"));
    assert!(refused(&"\n".repeat(32_769)).contains("at most 32768"));
    assert!(with("RDATE;VALUE=PERIOD:20260101T090000Z/PT1H").contains("DATE or DATE-TIME"));
}

#[test]
fn rule_4_dates_are_bounded() {
    let start = at("2026-01-01T09:00:00Z");
    let with = |count: i64| {
        let days = (0..count).map(|day| (start + TimeDelta::days(day)).format("%Y%m%dT%H%M%SZ"));
        let days: Vec<_> = days.map(|day| day.to_string()).collect();
        let text = format!("DTSTART:20260101T090000Z\nRRULE:FREQ=DAILY\nEXDATE:{}", days.join(","));
        Recurrence::parse(&text, None)
    };

    assert_eq!(with(1_000).unwrap().after(None).next(), Some(start + TimeDelta::days(1_000)));
    let error = with(1_001).unwrap_err().to_string();
    assert!(error.contains("\"20280927T090000Z\": is one date too many; at most 1000"), "{error}");
}

#[test]
fn rule_4_an_interval_that_never_meets_its_times_is_refused() {
    let with = |rest: &str| refused(&format!("DTSTART:20260101T090000Z\nRRULE:{rest}"));

    assert!(with("FREQ=HOURLY;INTERVAL=2;BYHOUR=10").contains("never falls on the times"));
    assert!(with("FREQ=MINUTELY;INTERVAL=1440;BYHOUR=10").contains("never falls on the times"));
    assert!(with("FREQ=MINUTELY;INTERVAL=4;BYMINUTE=30,31").contains("never falls on the times"));
    assert!(with("FREQ=SECONDLY;INTERVAL=60;BYSECOND=1").contains("never falls on the times"));
    // These do: by another minute of the hour.
    set("DTSTART:20260101T090000Z\nRRULE:FREQ=MINUTELY;INTERVAL=7;BYHOUR=10;BYMINUTE=0");
    set("DTSTART:20260101T090000Z\nRRULE:FREQ=HOURLY;INTERVAL=5;BYHOUR=10;BYMINUTE=7");
}

#[test]
fn rule_6_who_steps_the_clock_is_told_of_the_interval() {
    let notes =
        |rule: &str| set(&format!("DTSTART:20260101T090000Z\nRRULE:{rule}")).notes().to_vec();

    assert!(notes("FREQ=MINUTELY;INTERVAL=90")[0].contains("use an interval (every)"));
    assert!(notes("FREQ=HOURLY;BYHOUR=9,17").is_empty());
}

#[test]
fn a_zone_is_never_guessed() {
    let floating = "DTSTART:20260701T090000\nRRULE:FREQ=DAILY";
    let berlin = Recurrence::parse(floating, Some("Europe/Berlin")).unwrap();

    assert!(refused(floating).contains("has no time zone"));
    assert_eq!(show(berlin.after(None), 1), ["07-01 07:00"]);
    assert!(
        refused("DTSTART;TZID=Europe/Berln:20260701T090000\nRRULE:FREQ=DAILY")
            .contains("did you mean \"Europe/Berlin\"")
    );
    assert!(
        refused("DTSTART;TZID=Europe/Berlin:20260701T090000Z\nRRULE:FREQ=DAILY")
            .contains("both a Z, for UTC, and a TZID")
    );
    let own = Recurrence::parse(&new_york("20260701T090000\nFREQ=DAILY"), Some("UTC")).unwrap();
    assert_eq!(show(own.after(None), 1), ["07-01 13:00"]);
    assert!(own.notes()[0].contains("DTSTART is in America/New_York"), "{:?}", own.notes());
}

#[test]
fn a_rule_of_every_speed_is_fast_whatever_its_age() {
    let now = at("2036-03-01T12:34:56Z");
    for rule in [
        "FREQ=SECONDLY",
        "FREQ=SECONDLY;INTERVAL=7;BYDAY=MO,WE;BYHOUR=9;BYSECOND=0",
        "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=9;BYMINUTE=30",
        "FREQ=HOURLY;INTERVAL=5",
        "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYSETPOS=1",
        "FREQ=MONTHLY;BYDAY=-1FR",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    ] {
        let set = set(&format!("DTSTART;TZID=Europe/Berlin:20260301T090000\nRRULE:{rule}"));
        let started = Instant::now();

        assert!(set.after(Some(now)).next().is_some(), "{rule}");

        // Not optimised and on a busy machine; from the start it would be minutes.
        assert!(started.elapsed() < Duration::from_millis(50), "{rule}: {:?}", started.elapsed());
    }
}

#[test]
fn what_is_chosen_of_a_week_does_not_depend_on_where_it_is_asked() {
    // Wednesdays, the second of three days: not Friday, the second that is left of the week.
    let text = "DTSTART:20240103T090000Z\nRRULE:FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=2";

    let found = set(text);
    assert_eq!(show(found.after(Some(at("2026-03-04T10:00:00Z"))), 1), ["03-11 09:00"]);
}

#[test]
fn a_rule_that_never_matches_ends_and_is_looked_for_once() {
    let never = set("DTSTART:20260101T090000Z\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30");
    let started = Instant::now();

    // It was looked for when it was read.
    assert_eq!(never.after(None).next(), None);
    assert_eq!(never.after(Some(at("2027-01-01T00:00:00Z"))).next(), None);
    assert!(never.notes().iter().any(|note| note.contains("never runs")), "{:?}", never.notes());
    assert!(started.elapsed() < Duration::from_millis(5), "{:?}", started.elapsed());
}

#[test]
fn a_walk_of_any_length_goes_on() {
    let leap = set("DTSTART:20240229T090000Z\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29");
    let years: Vec<_> = leap.after(None).map(|at| at.year()).collect();

    // To the last year that has an RFC 3339 form.
    assert_eq!(
        years.len(),
        (2_024..=9_999).filter(|y| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)).count()
    );
    assert_eq!(years.last(), Some(&9_996));
    // The day comes once in centuries.
    let rare =
        "DTSTART:20250216T041502Z\nRRULE:FREQ=YEARLY;INTERVAL=15;BYYEARDAY=200,366;BYDAY=4WE,-1TH";
    let years: Vec<_> = set(rare).after(None).take(3).map(|at| at.year()).collect();
    assert_eq!(years, [2_640, 2_820, 3_840]);
    let never = "DTSTART:20250216T041502Z\nRRULE:FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30";
    assert_eq!(set(never).after(None).next(), None);
}

#[test]
fn counts_are_bounded() {
    let text = |rule: &str| format!("DTSTART:20260101T090000Z\nRRULE:{rule}");

    let error = refused(&text("FREQ=DAILY;COUNT=100001"));
    assert!(error.contains("write UNTIL=... instead"), "{error}");
    // A plain grid needs no counting.
    let long = set(&text("FREQ=SECONDLY;COUNT=4000000000"));
    assert!(long.after(Some(at("2100-01-01T00:00:00Z"))).next().is_some());
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    let daily =
        set("DTSTART;TZID=Pacific/Apia:99991230T000000\nRRULE:FREQ=SECONDLY;INTERVAL=40000");

    assert!(daily.after(None).count() >= 3);
    assert_eq!(daily.after(Some(DateTime::<Utc>::MAX_UTC)).next(), None);
    assert!(daily.after(Some(DateTime::<Utc>::MIN_UTC)).next().is_some());
    let old = set("DTSTART;TZID=Europe/Berlin:19000101T000000\nRRULE:FREQ=YEARLY;INTERVAL=65535");
    assert_eq!(old.after(None).count(), 1);
}

#[test]
fn words_name_the_days() {
    let says =
        |rule: &str| set(&format!("DTSTART;TZID=Europe/Berlin:20260302T090000\n{rule}")).explain();

    assert_eq!(
        says("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;COUNT=10"),
        "every 2 weeks, on Monday and Wednesday, at 09:00, from 2026-03-02 09:00, 10 times, \
         Europe/Berlin"
    );
    assert_eq!(
        says("RRULE:FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9,17;UNTIL=20261231"),
        "every month, on the last Friday, at 09:00 and 17:00, from 2026-03-02 09:00, until the end \
         of 2026-12-31, Europe/Berlin"
    );
    assert_eq!(
        says("RRULE:FREQ=YEARLY\nEXDATE:20270302T090000"),
        "every year, on 2 March, at 09:00, from 2026-03-02 09:00, without 1 date, Europe/Berlin"
    );
    assert!(
        says("RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1").contains("of these the last")
    );
    assert_eq!(
        says("RDATE:20260303T090000,20260304T090000"),
        "at 3 dates, from 2026-03-02 09:00, Europe/Berlin"
    );
    assert!(says("RRULE:FREQ=YEARLY;BYWEEKNO=1,-1;BYDAY=MO").contains("in week 1 and last"));
    assert!(says("RRULE:FREQ=MINUTELY;INTERVAL=5;BYHOUR=9,10,11").contains("at hour 9 to 11"));
}
