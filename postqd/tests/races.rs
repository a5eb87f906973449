//! Several processes on one data folder that do the same at the same moment.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::process::Child;

use support::{Ended, Place};

/// Lets several processes do the same at the same moment.
fn at_once(place: &Place, count: usize, args: &[&str]) -> Vec<Ended> {
    let children: Vec<Child> = (0..count).map(|_| place.command(args).spawn().unwrap()).collect();
    children.into_iter().map(|child| Ended::of(child.wait_with_output().unwrap())).collect()
}

#[test]
fn two_runs_of_a_new_file_publish_each_post_once() {
    for round in 0..2 {
        let place = Place::new();
        let rows: String = (0..100)
            .map(|row| {
                format!("k{row},+2s,dry_run:a{};dry_run:b{},post {row}\n", row % 20, row % 7)
            })
            .collect();
        place.write("c.csv", format!("key,at,accounts,text\n{rows}"));

        let both = at_once(&place, 2, &["run", "c.csv", "--json"]);

        for run in both {
            let run = run.exits(0);
            let values = run.values();
            assert_eq!(values[0]["rows"].as_array().unwrap().len(), 100);
            assert_eq!(values.last().unwrap()["left"], 0);
        }
        let jobs = place.run(&["job", "list", "--json", "--limit", "1000"]).exits(0).values();
        let jobs = jobs[0].as_array().unwrap();
        assert!(jobs.iter().all(|job| job["state"] == "succeeded"), "round {round}: {jobs:?}");
        assert_eq!(jobs.len(), 200, "round {round}: each post once for each of its accounts");
        let accounts = place.run(&["account", "list", "--json"]).exits(0).values();
        assert_eq!(accounts[0].as_array().unwrap().len(), 27, "round {round}");
        let schedules = place.run(&["schedule", "list", "--json", "--limit", "1000"]).values();
        assert_eq!(schedules[0].as_array().unwrap().len(), 100, "round {round}");
    }
}

#[test]
fn processes_that_make_a_new_store_at_once_share_it_and_its_key() {
    for _ in 0..5 {
        let place = Place::new();

        let all = at_once(&place, 6, &["post", "hello", "--account", "dry_run:a"]);

        for post in all {
            post.exits(0).tells("1 dry run");
        }
        let posts = place.run(&["post", "list", "--json"]).exits(0).values();
        assert_eq!(posts[0].as_array().unwrap().len(), 6);
        let accounts = place.run(&["account", "list", "--json"]).exits(0).values();
        assert_eq!(accounts[0].as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_post_does_not_end_before_it_is_out_however_busy_the_store_is() {
    let place = Place::new();

    // The moment at which a schedule has become a job is short: many posts meet it once.
    for _ in 0..12 {
        for post in at_once(&place, 6, &["post", "hello", "--account", "dry_run:a"]) {
            post.exits(0).tells("1 dry run");
        }
    }
}

#[test]
fn of_posts_with_one_key_one_is_taken_in_and_the_others_are_told() {
    for _ in 0..5 {
        let place = Place::new();
        let new = ["post", "hello", "--account", "dry_run:a", "--key", "k", "--at", "+1h"];

        let (good, bad): (Vec<Ended>, Vec<Ended>) =
            at_once(&place, 4, &new).into_iter().partition(|post| post.code == 0);

        assert_eq!(good.len(), 1);
        for refused in bad {
            let refused = refused.exits(1);
            refused.tells("key: \"k\" is the key of post");
            refused.tells("another key makes another post");
        }
    }
}

#[test]
fn an_account_that_is_added_twice_at_once_is_one() {
    for _ in 0..5 {
        let place = Place::new();
        let add = ["account", "add", "dry_run", "--name", "news", "--on-unknown", "resend"];

        for added in at_once(&place, 4, &add) {
            added.exits(0).tells("account news");
        }

        let accounts = place.run(&["account", "list", "--json"]).exits(0).values();
        assert_eq!(accounts[0].as_array().unwrap().len(), 1);
        assert_eq!(accounts[0][0]["on_unknown"], "resend");
    }
}

#[test]
fn a_file_that_is_changed_and_loaded_twice_at_once_is_changed_once() {
    let place = Place::new();
    let rows = |at: &str| -> String {
        let rows: String =
            (0..100).map(|row| format!("k{row},{at},dry_run:a,post {row}\n")).collect();
        format!("key,at,accounts,text\n{rows}")
    };
    place.write("c.csv", rows("2100-01-01T09:00Z"));
    place.run(&["import", "c.csv", "--apply"]).exits(0);
    place.write("c.csv", rows("2100-01-02T09:00Z").replace("post", "other"));

    for import in at_once(&place, 3, &["import", "c.csv", "--apply"]) {
        import.exits(0);
    }

    place.run(&["import", "c.csv"]).exits(0).tells("k99: known, scheduled");
    let schedules = place.run(&["schedule", "list", "--json"]).exits(0).values();
    let schedules = schedules[0].as_array().unwrap();
    assert_eq!(schedules.len(), 100);
    for schedule in schedules {
        assert_eq!(schedule["next_run_at"], "2100-01-02T09:00:00Z");
    }
}
