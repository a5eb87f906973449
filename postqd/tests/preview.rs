//! `postqd preview`: what it shows of a rule, and its answers to lists of rules.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap_or(-1);
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ended {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }

    fn value(&self) -> Value {
        serde_json::from_str(&self.out).expect(&self.out)
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postqd"));
    command.arg("preview").args(args).env_clear().current_dir(std::env::temp_dir());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn preview(args: &[&str]) -> Ended {
    command(args).stdin(Stdio::null()).output().unwrap().into()
}

/// Answers to lines, one value each.
fn jsonl(lines: &[u8]) -> Vec<Value> {
    let mut child = command(&["--jsonl"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = lines.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&lines).unwrap());
    let ended = Ended::from(child.wait_with_output().unwrap()).exits(0);
    writer.join().unwrap();
    ended.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

const MARCH: [&str; 2] = ["--after", "2026-03-07T12:00:00Z"];

#[test]
fn a_cron_rule_is_shown_in_utc_and_in_its_zone() {
    let shown = preview(
        &[&["--cron", "30 2 * * *", "--tz", "America/New_York", "--count", "2"], &MARCH[..]]
            .concat(),
    );

    assert_eq!(
        shown.exits(0).lines(),
        [
            "2026-03-08T07:00:00Z  2026-03-08 03:00:00 America/New_York",
            "2026-03-09T06:30:00Z  2026-03-09 02:30:00 America/New_York",
        ]
    );
}

#[test]
fn a_recurrence_an_interval_and_a_moment_are_shown() {
    let rrule = "DTSTART;TZID=America/New_York:20260301T023000\\nRRULE:FREQ=DAILY;COUNT=8";
    let shown = |args: &[&str]| preview(&[args, &MARCH[..]].concat()).exits(0).out;

    assert_eq!(
        shown(&["--rrule", rrule]),
        "2026-03-08T07:30:00Z  2026-03-08 03:30:00 America/New_York\n"
    );
    assert_eq!(
        shown(&["--every", "90m", "--count", "2"]),
        "2026-03-07T13:30:00Z\n2026-03-07T15:00:00Z\n"
    );
    assert_eq!(
        shown(&["--every", "1d", "--at", "2026-03-01T09:00", "--tz", "UTC", "--count", "1"]),
        "2026-03-08T09:00:00Z\n"
    );
    assert_eq!(
        shown(&["--at", "2026-03-08T09:00", "--tz", "Europe/Berlin"]),
        "2026-03-08T08:00:00Z  2026-03-08 09:00:00 Europe/Berlin\n"
    );
}

#[test]
fn explain_says_the_rule_in_words_with_days_by_name() {
    let shown = preview(&["--cron", "0 9 * * 1-5", "--tz", "Europe/Berlin", "--explain"]).exits(0);

    assert!(shown.lines()[0].starts_with("at 09:00, on Monday to Friday, Europe/Berlin"));
    assert_eq!(shown.lines().len(), 11);
    let rrule = "DTSTART:20260101T090000Z\nRRULE:FREQ=WEEKLY;BYDAY=MO";
    let shown = preview(&["--rrule", rrule, "--explain", "--json"]).exits(0).value();
    assert!(shown["explanation"].as_str().unwrap().starts_with("every week, on Monday, at 09:00"));
    assert!(shown["notes"][0].as_str().unwrap().contains("DTSTART does not match"));
}

#[test]
fn json_has_the_same_occurrences() {
    let args = ["--cron", "@daily", "--tz", "UTC", "--count", "2", "--json"];
    let shown = preview(&[&args[..], &MARCH[..]].concat()).exits(0).value();

    assert_eq!(shown, json!({ "occurrences": ["2026-03-08T00:00:00Z", "2026-03-09T00:00:00Z"] }));
}

#[test]
fn more_often_than_a_post_may_go_out_is_shown_all_the_same() {
    let args = ["--cron", "* * * * * *", "--tz", "UTC", "--count", "2"];
    let shown = preview(&[&args[..], &MARCH[..]].concat()).exits(0);

    assert_eq!(shown.lines(), ["2026-03-07T12:00:01Z", "2026-03-07T12:00:02Z"]);
}

#[test]
fn what_never_runs_says_so() {
    let shown = preview(&["--cron", "0 0 30 2 *", "--tz", "UTC"]).exits(0);

    assert_eq!(shown.out, "");
    assert!(shown.err.contains("no occurrence after"), "{}", shown.err);
}

#[test]
fn mistakes_are_told_with_place_and_hint() {
    let cases: [(&[&str], &str); 8] = [
        (
            &["--cron", "0 22-4 * * *", "--tz", "UTC"],
            "position 3, \"22-4\": the range runs backwards",
        ),
        (&["--cron", "0 9 L * *", "--tz", "UTC"], "FREQ=MONTHLY;BYMONTHDAY=-1"),
        (&["--cron", "0 9 * * *"], "--cron: cron \"0 9 * * *\": has no time zone"),
        (&["--cron", "0 9 * * *", "--tz", "Berlin"], "did you mean \"Europe/Berlin\""),
        (&["--rrule", "FREQ=DAILY"], "has no DTSTART"),
        (&["--every", "soon"], "expected a duration"),
        (&["--every", "1d", "--count", "10001"], "--count: is 10001, expected at most 10000"),
        (&["--at", "+1h", "--after", "later"], "--after: \"later\" is no time"),
    ];
    for (args, why) in cases {
        let ended = preview(args).exits(2);
        assert!(ended.err.contains(why), "{args:?}: {}", ended.err);
    }
    assert!(preview(&[]).exits(2).err.contains("--cron"));
    preview(&["--cron", "@daily", "--every", "1d"]).exits(2);
    preview(&["--cron", "@daily", "--jsonl"]).exits(2);
}

#[test]
fn every_line_is_answered_in_order() {
    let lines = [
        json!({ "id": "a", "kind": "cron", "expr": "30 2 * * *", "tz": "America/New_York",
            "after": "2026-03-08T00:00:00Z", "count": 2 }),
        json!({ "id": 2, "kind": "rrule", "tz": "America/New_York", "after": "2026-03-08T00:00:00Z",
            "expr": "DTSTART:20260301T023000\nRRULE:FREQ=DAILY;COUNT=9", "count": 5 }),
        json!({ "id": "c", "kind": "one_shot", "expr": "2026-03-08T02:30", "tz": "America/New_York",
            "after": "2026-01-01T00:00:00Z", "count": 3 }),
        json!({ "id": "d", "kind": "interval", "expr": "2026-03-08T00:00:00Z/PT90M", "tz": null,
            "after": "2026-03-08T01:30:00Z", "count": 1 }),
        json!({ "id": "e", "kind": "cron", "expr": "61 * * * *", "tz": "UTC",
            "after": "2026-01-01T00:00:00Z", "count": 1 }),
        json!({ "id": "f", "kind": "one_shot", "expr": "2020-01-01T00:00:00Z", "tz": "UTC",
            "after": "2026-01-01T00:00:00Z", "count": 1 }),
        json!({ "id": "g", "kind": "moon", "expr": "full", "after": "2026-01-01T00:00:00Z" }),
    ];
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();

    let answers = jsonl(format!("{}\r\n\nno json\n{{\"id\":7}}", lines.join("\n")).as_bytes());

    assert_eq!(
        answers[0],
        json!({ "id": "a", "occurrences": ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"] })
    );
    assert_eq!(
        answers[1],
        json!({ "id": 2, "occurrences": ["2026-03-08T07:30:00Z", "2026-03-09T06:30:00Z"] })
    );
    assert_eq!(answers[2], json!({ "id": "c", "occurrences": ["2026-03-08T07:30:00Z"] }));
    assert_eq!(answers[3], json!({ "id": "d", "occurrences": ["2026-03-08T03:00:00Z"] }));
    assert!(answers[4]["error"].as_str().unwrap().contains("position 1, \"61\""), "{}", answers[4]);
    assert_eq!(answers[4]["id"], "e");
    assert_eq!(answers[5], json!({ "id": "f", "occurrences": [] }));
    assert!(answers[6]["error"].as_str().unwrap().contains("\"moon\" is no kind of rule"));
    assert_eq!(answers[7]["id"], Value::Null);
    assert!(answers[7]["error"].is_string());
    assert_eq!(answers[8]["id"], 7);
    assert!(answers[8]["error"].as_str().unwrap().contains("missing field"));
    assert_eq!(answers.len(), 9);
}

#[test]
fn a_line_without_an_end_does_not_fill_the_memory() {
    let mut lines = vec![b'x'; 1_000_000];
    lines.extend(b"\n{\"id\":1,\"kind\":\"one_shot\",\"expr\":\"2026-03-08T09:00:00Z\",");
    lines.extend(b"\"after\":\"2026-01-01T00:00:00Z\",\"count\":1}\n");

    let answers = jsonl(&lines);

    assert!(answers[0]["error"].is_string());
    assert_eq!(answers[1], json!({ "id": 1, "occurrences": ["2026-03-08T09:00:00Z"] }));
    assert_eq!(answers.len(), 2);
}

#[test]
fn ten_thousand_lines_take_seconds_even_unoptimised() {
    let rules = ["0 9 * * 1-5", "*/15 * * * *", "30 2 13 * FRI", "0 12 1 */3 *"];
    let zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];
    let line = |n: usize| {
        let (expr, tz) = (rules[n % 4], zones[n % 3]);
        let after = format!("2026-{:02}-{:02}T00:00:00Z", n % 12 + 1, n % 28 + 1);
        json!({ "id": n, "kind": "cron", "expr": expr, "tz": tz, "after": after, "count": 5 })
    };
    let lines: String = (0..10_000).map(|n| format!("{}\n", line(n))).collect();
    let started = Instant::now();

    let answers = jsonl(lines.as_bytes());

    assert_eq!(answers.len(), 10_000);
    assert!(answers.iter().enumerate().all(|(n, answer)| answer["id"] == n));
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}
