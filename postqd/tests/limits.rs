//! What a person is told of limits.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::io::Write;
use std::process::Stdio;

use support::{Ended, Place};

/// A place with an account on X, which nobody asks in a dry run.
fn place() -> Place {
    let place = Place::new();
    let add = ["account", "add", "x", "--name", "main", "--access-token-stdin"];
    let mut add = place.command(&add);
    let mut add = add.env("DRY_RUN", "true").stdin(Stdio::piped()).spawn().unwrap();
    add.stdin.take().unwrap().write_all(b"t0ken").unwrap();
    Ended::of(add.wait_with_output().unwrap()).exits(0);
    place.run(&["account", "add", "dry_run", "--name", "free"]).exits(0);
    place
}

fn dry(place: &Place, args: &[&str]) -> Ended {
    place.run_with("DRY_RUN", "true", args)
}

/// The words of the line that begins so.
fn line(ended: &Ended, start: &str) -> String {
    let line = ended.out.lines().find(|line| line.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("{start}: {}", ended.out));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_left_of_the_limits_is_told() {
    let place = place();

    let before = dry(&place, &["account", "limits"]).exits(0);
    dry(&place, &["post", "hello", "--account", "main"]).exits(0);
    let after = dry(&place, &["account", "limits", "main"]).exits(0);

    assert_eq!(before.out.lines().count(), 3, "{}", before.out);
    assert_eq!(line(&before, "main"), "main 100 in 15m 100 100 now");
    assert!(line(&before, "all of x").starts_with("all of x 1 in 1m 1 1 now"), "{}", before.out);
    assert_eq!(line(&after, "main"), "main 100 in 15m 100 99 now");
    assert!(line(&after, "all of x").starts_with("all of x 1 in 1m 1 0 20"), "{}", after.out);
    let json = dry(&place, &["account", "limits", "main", "--json"]).exits(0).values();
    assert_eq!(json[0][1]["left"], 99, "{json:?}");
}

#[test]
fn where_there_is_no_limit_that_is_told() {
    let place = place();

    dry(&place, &["account", "limits", "free"]).exits(0).tells("there is no limit");
    dry(&place, &["account", "limits", "nobody"]).exits(1).tells("there is no account \"nobody\"");
    let off = [("X_API_BASE_URL", "http://127.0.0.1:1"), ("POSTQ_RATE_LIMIT", "off")];
    let mut off_command = place.command(&["account", "limits"]);
    let off = Ended::of(off_command.envs(off).output().unwrap()).exits(0);
    off.tells("there is no limit");
}
