//! Posts that repeat by a rule, and exceptions to them, from the command line.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use serde_json::Value;

use support::Place;

/// Schedules a post by these options; answers its schedule's id.
fn scheduled(place: &Place, options: &[&str]) -> String {
    let post = ["post", "hello", "--account", "dry_run:a", "--no-wait", "--json"];
    let taken = place.run(&[&post[..], options].concat()).exits(0).values();
    taken[0]["schedule"].as_str().unwrap().to_owned()
}

#[test]
fn a_post_repeats_by_a_rule_that_is_told_in_words() {
    let place = Place::new();
    let rrule = "DTSTART;TZID=Asia/Tokyo:20500103T090000\\nRRULE:FREQ=WEEKLY;COUNT=3";

    let posted = place
        .run(&[
            "post",
            "a",
            "--account",
            "dry_run:a",
            "--cron",
            "0 9 * * 1-5",
            "--tz",
            "Europe/Berlin",
        ])
        .exits(0);
    posted.tells("at 09:00, on Monday to Friday");
    posted.tells("09:00:00 Europe/Berlin");
    scheduled(&place, &["--rrule", rrule]);
    scheduled(&place, &["--every", "90m", "--at", "2099-01-01T00:00Z", "--count", "2"]);

    let list = place.run(&["schedule", "list"]).exits(0);
    list.tells("Monday to Friday");
    list.tells("2050-01-03 09:00:00 Asia/Tokyo");
    list.tells("every 1h30m from 2099-01-01 00:00:00 UTC, 2 times");
    // What cannot be read is no good command; what can, and never runs, is refused.
    for (code, options, expected) in [
        (2, &["--cron", "0 9 * * *"][..], "has no time zone"),
        (1, &["--cron", "0 9 30 2 *", "--tz", "UTC"], "never runs"),
        (2, &["--cron", "0 9 * * FRI#2", "--tz", "UTC"], "BYDAY=2FR"),
        (2, &["--cron", "0 9 * *", "--tz", "UTC"], "--cron: "),
        (2, &["--rrule", "RRULE:FREQ=DAILY"], "DTSTART"),
    ] {
        let post = ["post", "b", "--account", "dry_run:a"];
        place.run(&[&post[..], options].concat()).exits(code).tells(expected);
    }
}

#[test]
fn a_post_that_is_sent_does_not_come_too_often() {
    let place = Place::new();
    let mut add = place.command(&["account", "add", "x", "--name", "acme", "--access-token-stdin"]);
    let mut add = add.stdin(std::process::Stdio::piped()).env("DRY_RUN", "true").spawn().unwrap();
    std::io::Write::write_all(&mut add.stdin.take().unwrap(), b"tok-42\n").unwrap();
    assert!(add.wait_with_output().unwrap().status.success());
    let often = ["post", "a", "--account", "acme", "--cron", "*/20 * * * * *", "--tz", "UTC"];

    place.run(&often).exits(1).tells("20s is too often, expected at least 1m (POSTQ_MIN_INTERVAL)");
    place.run_with("POSTQ_MIN_INTERVAL", "20s", &often).exits(0);
}

#[test]
fn a_post_gets_another_rule() {
    let place = Place::new();
    let id = scheduled(&place, &["--cron", "@daily", "--tz", "Europe/Berlin", "--key", "k"]);

    place.run(&["post", "edit", "k", "--cron", "30 18 * * SUN", "--count", "4"]).exits(0);
    place.run(&["schedule", "show", &id]).exits(0).tells("at 18:30, on Sunday");
    place.run(&["post", "edit", "k", "--tz", "Asia/Tokyo"]).exits(0).tells("18:30:00 Asia/Tokyo");
    place.run(&["post", "edit", "k", "--cron", "30 18 31 2 *"]).exits(1).tells("never runs");
}

#[test]
fn occurrences_are_skipped_edited_and_paused() {
    let place = Place::new();
    let id = scheduled(&place, &["--cron", "0 9 1 1 *", "--tz", "Europe/Berlin"]);
    let run = |args: &[&str]| place.run(&[&["schedule"], args].concat());

    run(&["skip", &id, "--at", "2098-01-01T09:00"]).exits(0).tells("2098-01-01 09:00:00");
    run(&["skip", &id, "--at", "2098-01-01T10:00"]).exits(1).tells("2099-01-01 09:00:00");
    let edited = ["edit-one", &id, "--at", "2099-01-01T09:00", "--text", "new year"];
    run(&[&edited[..], &["--to", "2099-01-01T12:00"]].concat()).exits(0).tells("12:00:00");
    let shown = run(&["show", &id]).exits(0);
    shown.tells("skips     2098-01-01 09:00:00 Europe/Berlin");
    shown.tells("skips     2099-01-01 09:00:00 Europe/Berlin");
    place.run(&["post", "list"]).exits(0).tells("new year");

    run(&["pause", &id, "--until", "2090-06-01T00:00"]).exits(0).tells("2091-01-01 09:00:00");
    let values: Vec<Value> = run(&["show", &id, "--json"]).exits(0).values();
    assert_eq!(values[0]["schedule"]["next_run_at"], "2091-01-01T08:00:00Z");
    run(&["enable", &id]).exits(0);
    let values = run(&["show", &id, "--json"]).exits(0).values();
    assert_ne!(values[0]["schedule"]["next_run_at"], "2091-01-01T08:00:00Z");
}

#[test]
fn the_doctor_tells_the_zone_database() {
    let version = postq_calendar::zone::tzdb_version();

    let told = Place::new().run(&["doctor"]).exits(0);

    told.tells(&format!("database {version}, built in"));
}
