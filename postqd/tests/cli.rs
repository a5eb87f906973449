//! The binary, from the outside: what it prints, what it leaves behind, how it exits.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use support::{Ended, PATIENCE, Place};

fn example() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("examples/calendar.csv").display().to_string()
}

#[test]
fn the_example_is_published_once_whoever_asks_again() {
    let place = Place::new();

    let first = place.run(&["run", &example(), "--json"]).exits(0);
    let second = place.run(&["run", &example()]).exits(0);

    let values = first.values();
    let published: Vec<&Value> = values.iter().filter(|v| v["event"] == "dry_run").collect();
    let summary = values.last().unwrap();
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["dry_run"], published.len());
    assert_eq!(published.len(), 26);
    let of = |key: &str| published.iter().filter(|v| v["key"] == key).count();
    assert_eq!((of("tip"), of("clock"), of("family"), of("goodbye")), (4, 3, 3, 4));
    let thread = published.iter().find(|v| v["key"] == "thread-how-it-works").unwrap();
    assert_eq!(thread["parts"], 3);

    second.tells("all 15 rows are known");
    second.tells("goodbye: known, published");
    second.tells("nothing to do");
}

#[test]
fn nothing_of_a_file_with_a_bad_row_is_loaded() {
    let place = Place::new();
    place.write("c.csv", "key,at,accounts,text\ngood,+1s,dry_run:a,hello\nbad,never,dry_run:a,x\n");

    let refused = place.run(&["run", "c.csv"]).exits(1);
    let posts = place.run(&["post", "list", "--json"]).exits(0);
    let skipped = place.run(&["run", "c.csv", "--skip-bad"]).exits(1);

    refused.tells("c.csv:3:5: at: \"never\" is no time that can be read");
    refused.tells("nothing was loaded");
    assert_eq!(posts.values(), [Value::Array(Vec::new())]);
    skipped.tells("1 dry run in");
    skipped.tells("their rows were left out");
}

#[test]
fn an_import_is_a_report_until_it_is_applied() {
    let place = Place::new();
    place.write("c.csv", "key,at,accounts,text\na,+1h,dry_run:a,hello\n");

    place.run(&["import", "c.csv"]).exits(0).tells("nothing was loaded, --apply loads them");
    assert_eq!(place.run(&["post", "list", "--json"]).values(), [Value::Array(Vec::new())]);
    place.run(&["import", "c.csv", "--apply"]).exits(0).tells("1 row loaded");
    place.run(&["import", "c.csv", "--apply"]).exits(0).tells("1 row known; postqd serve");
    place.run(&["import", "c.csv"]).exits(0).tells("a: known, scheduled");
}

#[test]
fn lists_begin_with_the_newest_where_that_is_asked_for() {
    let place = Place::new();
    let rows = "a,+1h,dry_run:a,hello\nb,+2h,dry_run:a,you\nc,+3h,dry_run:a,all\n";
    place.write("c.csv", format!("key,at,accounts,text\n{rows}"));
    place.run(&["import", "c.csv", "--apply"]).exits(0);
    let list = |args: &[&str]| {
        let listed = place.run(&[&["post", "list", "--json"], args].concat()).exits(0).values();
        let posts = listed[0].as_array().unwrap().clone();
        let field = |name: &str| {
            posts.iter().map(|post| post[name].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        (field("key"), field("id"))
    };

    let (keys, ids) = list(&["--newest"]);

    assert_eq!(keys, ["c", "b", "a"]);
    assert_eq!(list(&[]).0, ["a", "b", "c"]);
    assert_eq!(list(&["--newest", "--after", &ids[1]]).0, ["a"]);
    place.run(&["post", "list", "--newest", "--limit", "2"]).exits(0).tells("--newest --after");
    place.run(&["job", "list", "--newest"]).exits(0);
}

#[test]
fn a_post_without_a_time_goes_out_now() {
    let place = Place::new();

    let posted = place.run(&["post", "hello", "--account", "dry_run:a", "--key", "k"]).exits(0);
    let listed = place.run(&["post", "list"]).exits(0);

    posted.tells("dry run");
    listed.tells("published");
    let twice = place.run(&["post", "hello", "--account", "dry_run:a", "--key", "k"]).exits(1);
    twice.tells("key: \"k\" is the key of post");
    place.run(&["post", "edit", "k", "--text", "other"]).exits(0).tells("what is out stays");
    place.run(&["post", "cancel", "k"]).exits(0).tells("nothing was to come");
    place.run(&["post", "again", "--account", "nobody"]).exits(1).tells("no account \"nobody\"");
    place.run(&["post", "x", "--account", "dry_run:a", "--at", "soon"]).exits(2).tells("--at:");
}

#[test]
fn a_post_is_edited_moved_and_called_off() {
    let place = Place::new();
    let new = ["post", "hello", "--account", "dry_run:a", "--key", "k", "--at", "+1h"];
    place.run(&new).exits(0).tells("postqd serve publishes it");

    place.run(&["post", "edit", "k", "--text", "better"]).exits(0).tells("revision 2");
    let moved = ["post", "edit", "k", "--at", "2100-01-01T09:00", "--tz", "Europe/Berlin"];
    place.run(&moved).exits(0).tells("next at 2100-01-01 09:00:00 Europe/Berlin");
    let amended = ["post", "edit", "k", "--tz", "Asia/Tokyo", "--priority", "-3"];
    let amended = place.run(&amended).exits(0);
    amended.tells("next at 2100-01-01 09:00:00 Asia/Tokyo; zone Asia/Tokyo; priority -3");
    place.run(&["post", "edit", "k"]).exits(2).tells("nothing to change");
    let refused = ["post", "edit", "k", "--at", "2101-01-01T09:00Z", "--text", ""];
    place.run(&refused).exits(1).tells("text: part 1 is empty");
    let posts = place.run(&["post", "list"]).exits(0);
    assert!(posts.out.contains("2100-01-01"), "a refused edit changes nothing: {}", posts.out);
    let schedules = place.run(&["schedule", "list", "--json"]).exits(0).values();
    let id = schedules[0][0]["id"].as_str().unwrap().to_owned();
    place.run(&["post", "cancel", "k"]).exits(0).tells("1 schedule switched off");
    place.run(&["post", "cancel", "k"]).exits(0).tells("nothing was to come");
    place.run(&["schedule", "show", &id]).exits(0).tells("next      off");
    place.run(&["schedule", "enable", &id]).exits(0);
    place.run(&["schedule", "show", &id]).exits(0).tells("2100-01-01");
    place.run(&["schedule", "remove", &id]).exits(0);
    place.run(&["schedule", "show", &id]).exits(1).tells("there is no schedule");
}

#[test]
fn a_paused_account_ends_a_run_with_its_remedy() {
    let place = Place::new();
    place.write("c.csv", "key,at,accounts,text\na,+1s,held,hello\nb,+1s,dry_run:free,hi\n");
    place.run(&["account", "add", "dry_run", "--name", "held"]).exits(0);
    place.run(&["account", "pause", "held", "--note", "holidays"]).exits(0);

    let run = place.run(&["run", "c.csv"]).exits(1);
    place.run(&["account", "list"]).exits(0).tells("paused");
    place.run(&["account", "resume", "held"]).exits(0);
    let again = place.run(&["run", "c.csv"]).exits(0);

    run.tells("1 post waiting for a person");
    run.tells("account \"held\" is paused (holidays); postqd account resume held");
    run.tells("dry_run:free  dry run");
    again.tells("held  dry run");
    place.run(&["account", "remove", "held"]).exits(0).tells("credentials wiped");
}

#[test]
fn an_account_on_x_needs_its_token_and_keeps_it_sealed() {
    let place = Place::new();
    let args = ["account", "add", "x", "--name", "acme", "--access-token-stdin"];
    let add = |token: &str| {
        let mut child =
            place.command(&args).env("DRY_RUN", "true").stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        Ended::of(child.wait_with_output().unwrap())
    };

    place.run(&["account", "add", "x", "--name", "acme"]).exits(2).tells("--access-token-stdin");
    add("").exits(2).tells("no access token on standard input");
    add("sekrit-token\n").exits(0).tells("connected");
    let listed = place.run(&["account", "list", "--json"]).exits(0);
    place.run(&["account", "add", "y", "--name", "b"]).exits(2).tells("unknown platform \"y\"");

    assert_eq!(listed.values()[0][0]["has_credentials"], true);
    for entry in std::fs::read_dir(place.path("postq-data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // Of media: nothing was added.
            assert_eq!(path.file_name().unwrap(), "media");
            continue;
        }
        let bytes = std::fs::read(path).unwrap();
        assert!(!bytes.windows(12).any(|bytes| bytes == b"sekrit-token"));
    }
    let other_key = "00".repeat(32);
    let wrong = place.run_with("POSTQ_ENCRYPTION_KEY", &other_key, &["serve"]).exits(1);
    wrong.tells("these accounts are sealed with another one: acme");
    place.run_with("POSTQ_ENCRYPTION_KEY", "short", &["serve"]).exits(1).tells("64 hex digits");
    std::fs::remove_file(place.path("postq-data/key")).unwrap();
    place.run(&["serve"]).exits(1).tells("is gone, and the credentials of acme are sealed");
}

#[test]
fn serve_publishes_answers_and_stops() {
    let place = Place::new();
    let served = place.serve();

    let new = ["post", "hello", "--account", "dry_run:a", "--key", "k", "--no-wait"];
    place.run(&new).exits(0);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let posts = place.run(&["post", "list", "--json"]).exits(0).values();
        if posts[0][0]["state"] == "published" {
            break;
        }
        assert!(Instant::now() < deadline, "not published: {posts:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let healthy = served.get("/healthz").unwrap();
    let second = place.run_with("POSTQ_LISTEN", &served.listen, &["serve"]).exits(1);
    served.signal("TERM");
    let ended = served.wait().exits(0);

    assert!(healthy.starts_with("HTTP/1.1 200") && healthy.contains("\"ready\":true"), "{healthy}");
    second.tells("is in use, perhaps by another postqd");
    ended.tells("stopped");
}

#[test]
fn a_run_that_is_stopped_says_how_to_go_on() {
    let place = Place::new();
    place.write("c.csv", "key,at,accounts,text\na,+1h,dry_run:a,hello\n");
    let mut child = place.command(&["run", "c.csv"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1 row loaded");

    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    let ended = Ended::of(child.wait_with_output().unwrap()).exits(1);

    ended.tells("nothing is lost: the same command goes on");
}

#[test]
fn a_post_that_is_stopped_is_not_to_be_given_again() {
    let place = Place::new();
    place.run(&["account", "add", "dry_run", "--name", "held"]).exits(0);
    place.run(&["account", "pause", "held"]).exits(0);

    let posted = place.run(&["post", "hello", "--account", "held"]).exits(1);

    posted.tells("postqd account resume held; after that postqd serve publishes it");
    posted.tells("the same command would make another post");
}

#[test]
fn a_wrong_key_refuses_before_anything_is_taken_in() {
    let place = Place::new();
    let mut add = place.command(&["account", "add", "x", "--name", "acme", "--access-token-stdin"]);
    let mut add = add.env("DRY_RUN", "true").stdin(Stdio::piped()).spawn().unwrap();
    add.stdin.take().unwrap().write_all(b"tok-42\n").unwrap();
    Ended::of(add.wait_with_output().unwrap()).exits(0);
    place.write("c.csv", "key,at,accounts,text\na,+1s,dry_run:a,hello\n");
    let other = "ab".repeat(32);

    for args in [&["post", "hello", "--account", "acme"][..], &["run", "c.csv"][..]] {
        let refused = place.run_with("POSTQ_ENCRYPTION_KEY", &other, args).exits(1);
        refused.tells("add that key to POSTQ_ENCRYPTION_KEYS_OLD");
    }

    let posts = place.run(&["post", "list", "--json"]).exits(0).values();
    assert_eq!(posts, [Value::Array(Vec::new())], "or postqd serve would publish it later");
}

#[test]
fn a_row_that_never_ends_needs_an_end_of_the_run() {
    let place = Place::new();
    place.write("c.csv", "key,every,accounts,text\na,1s,dry_run:a,hello\n");

    place.run(&["run", "c.csv"]).exits(2).tells("--until TIME, --follow");
    let until = place.run(&["run", "c.csv", "--until", "+3s"]).exits(0);

    until.tells("a  ");
    until.tells("dry runs");
}

#[test]
fn the_configuration_is_shown_with_its_sources() {
    let place = Place::new();
    place.write("postqd.toml", "lease = \"90s\"\n");

    let shown = place.run_with("POSTQ_ENCRYPTION_KEY", "topsecret", &["config"]).exits(0);
    let values = place.run(&["config", "--json"]).exits(0).values();
    place.write("postqd.toml", "leese = \"90s\"\n");
    let refused = place.run(&["config"]).exits(2);

    shown.tells("postqd.toml:1");
    shown.tells("********");
    shown.tells("a job whose worker is gone goes to another one after so long");
    assert!(!shown.out.contains("topsecret"));
    let lease = values[0].as_array().unwrap().iter().find(|v| v["key"] == "lease").unwrap();
    assert_eq!(lease["value"], "90s");
    refused.tells("unknown key \"leese\"; did you mean \"lease\"?");
    place.write("postqd.toml", "");
    place.run_with("REDIS_URL", "redis://h/0", &["serve"]).exits(2).tells("DATABASE_URL");
    place.run_with("POSTQ_SETTLE_TIME", "2s", &["serve"]).exits(2).tells("POSTQ_SETTLE_TIME");
    place.run(&["frobnicate"]).exits(2);
}

#[test]
fn the_doctor_says_what_is_wrong() {
    let place = Place::new();

    place.run(&["doctor"]).exits(0).tells("is made on first use");
    place.run(&["account", "add", "dry_run", "--name", "a"]).exits(0);
    place.run(&["account", "pause", "a"]).exits(0);
    place.run(&["doctor"]).exits(0).tells("postqd account resume a");
    place.write("postq-data/postq.db", "this is no database, and long enough to be looked at");
    for name in ["postq.db-wal", "postq.db-shm"] {
        let _ = std::fs::remove_file(place.path("postq-data").join(name));
    }
    place.run(&["doctor"]).exits(1).tells("postq.db");
    place.run(&["post", "list"]).exits(1).tells("postq.db");
}

#[test]
fn a_misused_command_is_told_to_programs_too() {
    let place = Place::new();

    let misused = place.run(&["job", "show", "launch", "--json"]).exits(2);

    let told = misused.values()[0]["error"].as_str().unwrap().to_owned();
    assert!(told.contains("expected an id"), "{told}");
    place.run(&["job", "--help", "--json"]).exits(0).tells("Usage: postqd job");
}

#[test]
fn what_is_not_there_is_an_error() {
    let place = Place::new();
    let id = "0191e0f0-0000-7000-8000-000000000000";

    for args in [
        &["job", "show", id][..],
        &["job", "cancel", id],
        &["job", "retry", id],
        &["dead", "show", id],
        &["dead", "replay", id],
        &["dead", "resolve", id, "--discard"],
    ] {
        place.run(args).exits(1).tells("there is no job");
    }
    place.run(&["account", "pause", "a"]).exits(1).tells("there is no account \"a\"");
    place.run(&["post", "cancel", "a"]).exits(1).tells("there is no post \"a\"");
    place.run(&["run", "missing.csv"]).exits(1).tells("missing.csv: is not there");
}
