use std::time::Instant;

use chrono::Timelike;

use super::*;

fn cron(expr: &str, tz: &str) -> Cron {
    Cron::parse(expr, Zone::find(tz).unwrap()).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The next ones after an instant, in UTC as `month-day hour:minute`.
fn next(expr: &str, tz: &str, after: &str, count: usize) -> Vec<String> {
    let cron = cron(expr, tz);
    std::iter::successors(cron.next(at(after)), |at| cron.next(*at))
        .take(count)
        .map(|at| {
            let form = if at.second() == 0 { "%m-%d %H:%M" } else { "%m-%d %H:%M:%S" };
            at.format(form).to_string()
        })
        .collect()
}

fn refused(expr: &str) -> String {
    Cron::parse(expr, Zone::find("UTC").unwrap()).unwrap_err().to_string()
}

const MARCH: &str = "2026-03-01T00:00:00Z";

#[test]
fn rule_1_five_six_and_seven_fields() {
    assert_eq!(next("30 9 * * *", "UTC", MARCH, 2), ["03-01 09:30", "03-02 09:30"]);
    assert_eq!(next("15 30 9 * * *", "UTC", MARCH, 1), ["03-01 09:30:15"]);
    assert_eq!(next("15 30 9 1 1 * 2028", "UTC", MARCH, 5), ["01-01 09:30:15"]);
    assert!(refused("* * * *").contains("has 4 fields; expected 5 (minute hour"));
    assert!(refused("* * * * * * * *").contains("has 8 fields"));
    assert!(refused("").contains("has 0 fields"));
}

#[test]
fn rule_1_macros_and_no_reboot() {
    let first = |expr| next(expr, "UTC", MARCH, 1);

    assert_eq!(first("@yearly"), ["01-01 00:00"]);
    assert_eq!(first("@annually"), ["01-01 00:00"]);
    assert_eq!(first("@monthly"), ["04-01 00:00"]);
    assert_eq!(first("@weekly"), ["03-08 00:00"]);
    assert_eq!(first("@daily"), ["03-02 00:00"]);
    assert_eq!(first("@Midnight"), ["03-02 00:00"]);
    assert_eq!(first(" @hourly "), ["03-01 01:00"]);
    assert!(refused("@reboot").contains("has no time"));
    assert!(refused("@dayly").contains("did you mean \"@daily\""));
}

#[test]
fn rule_2_a_week_is_counted_from_sunday_as_zero_or_seven() {
    let days = |expr| next(expr, "UTC", "2026-03-01T12:00:00Z", 3);

    // 2026-03-01 is a Sunday.
    assert_eq!(days("0 9 * * 1-5"), ["03-02 09:00", "03-03 09:00", "03-04 09:00"]);
    assert_eq!(days("0 9 * * 5-7"), ["03-06 09:00", "03-07 09:00", "03-08 09:00"]);
    assert_eq!(days("0 9 * * SAT-SUN"), ["03-07 09:00", "03-08 09:00", "03-14 09:00"]);
    assert_eq!(days("0 9 * * 0"), days("0 9 * * 7"));
    assert_eq!(days("0 9 * * Sun"), days("0 9 * * 7"));
}

#[test]
fn rule_3_either_day_field_matches_where_both_are_restricted() {
    let days = |expr| next(expr, "UTC", MARCH, 4);

    // Fridays, and the 13th; the 13th of March is a Friday.
    assert_eq!(days("0 0 13 * FRI"), ["03-06 00:00", "03-13 00:00", "03-20 00:00", "03-27 00:00"]);
    assert_eq!(days("0 0 12 * FRI"), ["03-06 00:00", "03-12 00:00", "03-13 00:00", "03-20 00:00"]);
    // Every day of the month is a restriction too, if it is not written as a star.
    assert_eq!(
        days("0 0 1-31 * FRI"),
        ["03-02 00:00", "03-03 00:00", "03-04 00:00", "03-05 00:00"]
    );
}

#[test]
fn rule_3_a_star_makes_both_day_fields_count() {
    let days = |expr| next(expr, "UTC", MARCH, 2);

    // Odd days that are Fridays.
    assert_eq!(days("0 0 */2 * FRI"), ["03-13 00:00", "03-27 00:00"]);
    assert_eq!(days("0 0 13 * */5"), ["03-13 00:00", "09-13 00:00"]);
    assert_eq!(days("0 0 ? * FRI"), ["03-06 00:00", "03-13 00:00"]);
    assert_eq!(days("0 0 13 * ?"), ["03-13 00:00", "04-13 00:00"]);
    assert_eq!(days("0 0 *,5 * FRI"), ["03-06 00:00", "03-13 00:00"]);
}

#[test]
fn rule_4_errors_have_a_position_and_a_hint() {
    let cases = [
        ("0 22-4 * * *", "position 3, \"22-4\": the range runs backwards; write 22-23,0-4"),
        ("*/90 * * * *", "position 3, \"90\": the step is larger than the field"),
        ("0 9 L * *", "position 5, \"L\": expected a day of month from 1 to 31; use an RRULE"),
        ("0 9 15W * *", "use an RRULE: FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYMONTHDAY=15"),
        ("0 9 * * 5#3", "use an RRULE: FREQ=MONTHLY;BYDAY=3FR"),
        ("60 9 * * *", "position 1, \"60\": is out of range"),
        ("0 9 * *  8", "position 10"),
        ("0 9 * Ж *", "position 7, \"Ж\""),
    ];
    for (expr, why) in cases {
        let error = refused(expr);
        assert!(error.contains(why), "{expr}: {error}");
    }
    assert!(refused(&"1,".repeat(600)).contains("is 1200 bytes long, expected at most 1024"));
}

#[test]
fn rule_4_lists_ranges_and_steps_reach_the_crate_as_sets() {
    assert_eq!(
        next("50/4 9 * * *", "UTC", MARCH, 3),
        ["03-01 09:50", "03-01 09:54", "03-01 09:58"]
    );
    assert_eq!(next("0 0 1 Jan-2,dec *", "UTC", MARCH, 2), ["12-01 00:00", "01-01 00:00"]);
}

#[test]
fn rule_5_wildcards_have_nothing_in_a_gap() {
    // 02:00 to 03:00 does not happen.
    assert_eq!(
        next("*/30 * * * *", "America/New_York", "2026-03-08T06:15:00Z", 3),
        ["03-08 06:30", "03-08 07:00", "03-08 07:30"]
    );
    assert_eq!(
        next("*/30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", 1),
        ["03-09 06:00"]
    );
}

#[test]
fn rule_5_wildcards_run_in_both_passes_of_an_overlap_in_real_order() {
    assert_eq!(
        next("*/30 1 * * *", "America/New_York", "2026-11-01T04:00:00Z", 5),
        ["11-01 05:00", "11-01 05:30", "11-01 06:00", "11-01 06:30", "11-02 06:00"]
    );
    // Hourly stays hourly, also when it is asked from inside the second pass.
    assert_eq!(
        next("0 * * * *", "America/New_York", "2026-11-01T04:30:00Z", 4),
        ["11-01 05:00", "11-01 06:00", "11-01 07:00", "11-01 08:00"]
    );
    assert_eq!(next("0 * * * *", "America/New_York", "2026-11-01T06:00:00Z", 1), ["11-01 07:00"]);
    // Half an hour is shown twice.
    assert_eq!(
        next("*/15 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:20:00Z", 6),
        ["04-04 14:30", "04-04 14:45", "04-04 15:00", "04-04 15:15", "04-05 14:30", "04-05 14:45"]
    );
}

#[test]
fn rule_5_the_last_match_may_lie_in_the_second_pass() {
    assert_eq!(
        next("59 */30 1 1 11 * 2026", "America/New_York", "2026-11-01T05:30:00Z", 9),
        ["11-01 05:30:59", "11-01 06:00:59", "11-01 06:30:59"]
    );
}

#[test]
fn rule_6_fixed_times_in_a_gap_run_once_right_after_it() {
    assert_eq!(
        next("30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", 2),
        ["03-08 07:00", "03-09 06:30"]
    );
    // Several collapse into one.
    assert_eq!(
        next("10,30,50 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
        ["03-29 01:00", "03-30 00:10"]
    );
    assert_eq!(
        next("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
        ["10-03 15:30", "10-04 15:15"]
    );
    // The day begins at 01:00.
    assert_eq!(
        next("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", 2),
        ["04-23 22:00", "04-24 21:00"]
    );
}

#[test]
fn rule_6_fixed_times_in_an_overlap_run_in_the_first_pass() {
    assert_eq!(
        next("30 1 * * *", "America/New_York", "2026-11-01T04:00:00Z", 2),
        ["11-01 05:30", "11-02 06:30"]
    );
    // Asked from inside the second pass, nothing of the first comes again.
    assert_eq!(
        next("0,30 1 * * *", "America/New_York", "2026-11-01T06:10:00Z", 1),
        ["11-02 06:00"]
    );
    // Clocks go back by two hours.
    assert_eq!(
        next("30 1 * * *", "Antarctica/Troll", "2026-10-24T12:00:00Z", 2),
        ["10-24 23:30", "10-26 01:30"]
    );
}

#[test]
fn rule_7_what_never_comes_ends_at_once() {
    let started = Instant::now();

    assert_eq!(next("0 0 30 2 *", "America/New_York", MARCH, 1), [""; 0]);
    assert_eq!(next("* * 30 2 *", "America/New_York", MARCH, 1), [""; 0]);
    assert_eq!(next("0 0 0 1 1 * 2020", "UTC", MARCH, 1), [""; 0]);
    assert!(started.elapsed().as_millis() < 100, "{:?}", started.elapsed());
}

#[test]
fn rare_days_are_found() {
    let cron = cron("0 12 29 2 */7", "UTC");

    // A 29th of February that is a Sunday.
    assert_eq!(cron.next(at(MARCH)), Some(at("2032-02-29T12:00:00Z")));
    assert_eq!(cron.next(at("2032-03-01T00:00:00Z")), Some(at("2060-02-29T12:00:00Z")));
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    let daily = cron("0 0 * * *", "Pacific/Apia");

    assert!(daily.next(DateTime::<Utc>::MIN_UTC).is_some());
    assert_eq!(daily.next(DateTime::<Utc>::MAX_UTC), None);
    assert_eq!(daily.next(at("2101-06-01T00:00:00Z")), None);
    assert_eq!(cron("* * * * *", "UTC").next(DateTime::<Utc>::MAX_UTC), None);
}

#[test]
fn words_name_the_days() {
    let says = |expr| cron(expr, "Europe/Berlin").explain();
    let cases = [
        ("0 9 * * 1-5", "at 09:00, on Monday to Friday, Europe/Berlin; runs once"),
        ("0 9 * * 6,0", "at 09:00, on Saturday and Sunday, "),
        ("*/15 9-17 * * *", "every 15 minutes, from 09h to 17h, Europe/Berlin; follows the clocks"),
        ("* * * * *", "every minute, Europe"),
        ("*/10 * * * * *", "every 10 seconds, Europe"),
        ("0 */2 * * *", "every 2 hours, Europe"),
        ("5,20 * * * *", "at minute 5 and 20, Europe"),
        ("0 0 13 * 5", "at 00:00, on day 13 of the month or on Friday, "),
        ("0 0 */2 * 5", "29 and 31 of the month if it is Friday"),
        ("30 8 1 1,6-8 * ", "at 08:30, on day 1 of the month, in January and June to August, "),
        ("0 0 0 1 1 * 2027", "at 00:00, on day 1 of the month, in January, in 2027, "),
    ];
    for (expr, words) in cases {
        assert!(says(expr).contains(words), "{expr}: {}", says(expr));
    }
    assert!(says("0 0 1-31 * 5").starts_with("at 00:00, every day"), "{}", says("0 0 1-31 * 5"));
}
