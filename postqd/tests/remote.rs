//! The command line against a daemon: it tells the same as without one, and nothing that stands between
//! them does harm.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;
#[path = "support/wire.rs"]
mod wire;

use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::Ordering;

use fake_x::{Canned, FakeX, Target};
use serde_json::{Value, json};

use support::{Ended, Place, Served};
use wire::{answers, cuts_the_first, http};

/// Where commands are given: over a store of their own, or asking a daemon.
struct Side {
    place: Place,
    x: FakeX,
    served: Option<(Place, Served)>,
    environment: Vec<(&'static str, String)>,
}

impl Side {
    async fn here() -> Self {
        let (place, x) = (Place::new(), FakeX::start().await.unwrap());
        let environment = with_x(&x);
        Self { place, x, served: None, environment }
    }

    async fn there() -> Self {
        let (data, x) = (Place::new(), FakeX::start().await.unwrap());
        let made = data.run(&["token", "create", "--scope", "admin", "--name", "cli"]).exits(0);
        let set = with_x(&x);
        let set: Vec<(&str, &str)> =
            set.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let served = data.serve_with(&set);
        let environment = vec![
            ("POSTQ_SERVER", format!("http://{}", served.listen)),
            ("POSTQ_TOKEN", made.out.trim().to_owned()),
        ];
        Self { place: Place::new(), x, served: Some((data, served)), environment }
    }

    fn run(&self, args: &[&str]) -> Ended {
        self.run_with("", args)
    }

    fn run_with(&self, input: &str, args: &[&str]) -> Ended {
        let mut command = self.place.command(args);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        // What does not read its input is not stopped by it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        tokio::task::block_in_place(|| Ended::of(child.wait_with_output().unwrap()))
    }

    fn token(&self) -> &str {
        &self.environment[1].1
    }

    fn id(&self, args: &[&str], pointer: &str) -> String {
        let values = self.run(&[args, &["--json"]].concat()).exits(0).values();
        let value = values[0].pointer(pointer).unwrap_or_else(|| panic!("{pointer}: {values:?}"));
        value.as_str().unwrap().to_owned()
    }
}

fn with_x(x: &FakeX) -> Vec<(&'static str, String)> {
    vec![("X_API_BASE_URL", x.base_url()), ("POSTQ_RATE_LIMIT", "off".to_owned())]
}

/// What was told, without what is another one each time: ids, times of this century, durations.
fn alike(text: &str) -> String {
    let is = |text: &str, shape: &str| {
        text.len() >= shape.len()
            && text.bytes().zip(shape.bytes()).all(|(byte, shape)| match shape {
                b'x' => byte.is_ascii_hexdigit(),
                b'9' => byte.is_ascii_digit(),
                shape => byte == shape,
            })
    };
    let (mut told, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let (word, length) = match () {
            () if is(rest, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") => ("ID", 36),
            () if is(rest, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") => ("ID", 32),
            () if is(rest, "2099-99-99 99:99:99.999Z") => ("TIME", 24),
            () if is(rest, "2099-99-99 99:99:99") => ("TIME", 19),
            () if ["2099-99-99", "99:99:99Z", "99:99:99."].iter().any(|s| is(rest, s)) => {
                let end = rest.find(|c: char| !(c.is_ascii_digit() || "-:.TZ".contains(c)));
                ("TIME", end.unwrap_or(rest.len()))
            }
            () if is(rest, "in 9.9 s") => ("in SECONDS", 8),
            () => (&rest[..c.len_utf8()], c.len_utf8()),
        };
        told.push_str(word);
        rest = &rest[length..];
    }
    told
}

const TEMPLATE: &str = "{id}";

/// Gives both sides the same commands; whatever they tell must be alike, to people and to programs.
struct Both<'a> {
    sides: [&'a Side; 2],
    compared: usize,
}

impl Both<'_> {
    /// The command for people, which may change something.
    #[track_caller]
    fn told(&mut self, code: i32, args: &[&str]) {
        self.told_of(code, args, &[String::new(), String::new()], "");
    }

    /// The same of something with another id on each side.
    #[track_caller]
    fn told_of(&mut self, code: i32, args: &[&str], ids: &[String; 2], input: &str) {
        let [here, there] = [0, 1].map(|side| {
            let args: Vec<&str> = args
                .iter()
                .map(|arg| if *arg == TEMPLATE { ids[side].as_str() } else { arg })
                .collect();
            self.sides[side].run_with(input, &args)
        });
        // Where nobody else publishes, the command does, and logs it.
        let is_log = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
        let unlogged =
            |err: &str| err.lines().filter(|line| !is_log(line)).collect::<Vec<_>>().join("\n");
        let shown = |ended: &Ended| (alike(&ended.out), alike(&unlogged(&ended.err)), ended.code);
        assert_eq!(
            shown(&here),
            shown(&there),
            "{args:?}\nhere:\n{}\nthere:\n{}",
            here.out,
            there.out
        );
        assert_eq!(here.code, code, "{args:?}: {}{}", here.out, here.err);
        self.compared += 1;
    }

    /// A command that changes nothing: for people, and in JSON.
    #[track_caller]
    fn shown(&mut self, code: i32, args: &[&str]) {
        self.shown_of(code, args, &[String::new(), String::new()]);
    }

    #[track_caller]
    fn shown_of(&mut self, code: i32, args: &[&str], ids: &[String; 2]) {
        self.told_of(code, args, ids, "");
        self.told_of(code, &[args, &["--json"]].concat(), ids, "");
    }

    fn ids(&self, args: &[&str], pointer: &str) -> [String; 2] {
        self.sides.map(|side| side.id(args, pointer))
    }
}

const NOBODY: &str = "0191e0f0-0000-7000-8000-000000000000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_posts_and_schedules_are_told_alike() {
    let (here, there) = (Side::here().await, Side::there().await);
    let mut both = Both { sides: [&here, &there], compared: 0 };

    let add = ["account", "add", "x", "--name", "acme", "--access-token-stdin"];
    let none = [String::new(), String::new()];
    both.told_of(0, &add, &none, "tok-42\n");
    both.told_of(0, &add, &none, "tok-43\n");
    both.told_of(1, &add, &none, "unknown\n");
    both.told(0, &["account", "add", "dry_run", "--name", "news", "--on-unknown", "resend"]);
    both.told(0, &["account", "add", "dry_run", "--name", "news"]);
    both.told(2, &["account", "add", "y", "--name", "b"]);
    both.told(2, &["account", "add", "x", "--name", "b"]);
    both.told(1, &["account", "add", "x", "--name", "news"]);
    both.told(0, &["account", "pause", "news", "--note", "holidays"]);
    both.shown(0, &["account", "list"]);
    both.shown(0, &["account", "show", "news"]);
    both.shown(0, &["account", "limits"]);
    both.told(1, &["account", "pause", "nwes"]);
    both.told(1, &["post", "held", "--account", "news", "--key", "h"]);
    both.told(0, &["post", "cancel", "h"]);
    both.told(0, &["post", "later", "--account", "news", "--at", "2100-01-01T09:00Z", "--json"]);
    both.told(0, &["account", "resume", "news", "--json"]);

    let later = ["--account", "news", "--at", "2100-01-01T09:00", "--tz", "Europe/Berlin"];
    both.told(0, &[&["post", "one\n---\ntwo", "--key", "k"], &later[..]].concat());
    both.told(1, &[&["post", "one", "--key", "k"], &later[..]].concat());
    both.told(0, &[&["post", "one", "--preview"], &later[..]].concat());
    both.shown(1, &["post", &"long ".repeat(70), "--account", "acme", "--preview"]);
    both.told(1, &["post", &"long ".repeat(70), "--account", "acme", "--no-wait"]);
    for time in [
        &["--cron", "0 9 1 1 *", "--tz", "Europe/Berlin", "--at", "2050-01-01T00:00"][..],
        &["--rrule", "DTSTART:20500101T090000Z\\nRRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=3"],
        &["--every", "90m", "--at", "2100-01-01T00:00Z", "--count", "2"],
    ] {
        both.told(0, &[&["post", "again", "--account", "dry_run:a"], time].concat());
    }
    for time in [
        &["--cron", "0 9 * * *"][..],
        &["--cron", "0 9 30 2 *", "--tz", "UTC"],
        &["--rrule", "RRULE:FREQ=DAILY"],
        &["--at", "2001-01-01T00:00Z"],
        &["--every", "1h", "--until", "2001-01-01T00:00Z"],
        &["--at", "2100-01-01T09:00", "--tz", "Berlin"],
    ] {
        let post = ["post", "b", "--account", "dry_run:a", "--json"];
        let code = here.run(&[&post[..], time].concat()).code;
        both.told(code, &[&post[..], time].concat());
    }
    both.told(1, &["post", "b", "--account", "nobody"]);
    both.told(2, &["post", "b", "--account", "news", "--at", "soon"]);
    both.told(2, &["post", "b", "--account", "news", "--cron", "0 9 * *", "--tz", "UTC"]);
    both.told(2, &["post", "b", "--account", "news", "--cron", "0 9 * * *"]);
    both.told(2, &["post", "b", "--account", "news", "--cron", "0 9 * * *", "--tz", "Berlin"]);
    both.told(2, &["post", "b", "--account", "news", "--rrule", "RRULE:FREQ=DAILY"]);
    both.shown(0, &["post", "list"]);
    both.shown(0, &["post", "list", "--limit", "2"]);
    both.shown(0, &["post", "show", "k"]);
    both.shown(0, &["post", "show", "h"]);
    both.told(1, &["post", "show", "nothing"]);
    both.told(2, &["post", "list", "--limit", "0"]);
    both.told(0, &["post", "edit", "k", "--text", "better"]);
    both.told(0, &["post", "edit", "k", "--at", "2100-01-02T09:00", "--tz", "Europe/Berlin"]);
    both.told(0, &["post", "edit", "k", "--tz", "Asia/Tokyo", "--priority", "-3", "--json"]);
    both.told(0, &["post", "edit", "k", "--cron", "0 9 2 1 *", "--count", "2"]);
    both.told(1, &["post", "edit", "k", "--at", "2100-01-03T09:00Z", "--text", ""]);
    both.told(2, &["post", "edit", "k"]);
    both.told(2, &["post", "edit", "k", "--cron", "0 9 * *"]);
    both.told(1, &["post", "edit", "nothing", "--text", "b"]);
    both.told(1, &["post", "cancel", NOBODY]);

    both.shown(0, &["slot", "set", "news", "weekdays 09:00 and 17:30 Europe/Berlin"]);
    both.shown(0, &["slot", "list", "news"]);
    both.told(1, &["slot", "set", "news", "sometimes"]);
    both.told(1, &["slot", "list", "nobody"]);
    both.shown(0, &["analytics", "summary", "news"]);
    both.shown(0, &["analytics", "best-times", "news", "--tz", "Europe/Berlin"]);
    both.shown(0, &["analytics", "spending"]);
    both.told(1, &["analytics", "summary", "nobody"]);
    both.told(1, &["analytics", "compare", NOBODY]);
    both.shown(0, &["slot", "clear", "news"]);
    let cron = both.ids(&["schedule", "list"], "/3/id");
    both.shown(0, &["schedule", "list"]);
    let skip = ["schedule", "skip", TEMPLATE, "--at"];
    both.told_of(0, &[&skip[..], &["2055-01-01T09:00"]].concat(), &cron, "");
    both.told_of(1, &[&skip[..], &["2055-01-01T10:00"]].concat(), &cron, "");
    both.told_of(2, &[&skip[..], &["soon"]].concat(), &cron, "");
    let edit = ["schedule", "edit-one", TEMPLATE, "--at", "2056-01-01T09:00"];
    both.told_of(
        0,
        &[&edit[..], &["--to", "2056-01-01T12:00", "--text", "new"]].concat(),
        &cron,
        "",
    );
    both.told_of(1, &[&edit[..], &["--text", "newer"]].concat(), &cron, "");
    both.shown_of(0, &["schedule", "show", TEMPLATE], &cron);
    let pause = ["schedule", "pause", TEMPLATE, "--until"];
    both.told_of(0, &[&pause[..], &["2052-06-01T00:00"]].concat(), &cron, "");
    both.told_of(1, &[&pause[..], &["2001-06-01T00:00"]].concat(), &cron, "");
    both.shown_of(0, &["schedule", "show", TEMPLATE], &cron);
    let shown = here.run(&["schedule", "show", &cron[0]]).exits(0).out;
    assert!(shown.contains("(paused until then)"), "{shown}");
    assert!(shown.contains("2055-01-01 09:00:00 Europe/Berlin\n"), "{shown}");
    let instead = shown.lines().find(|line| line.contains("2056-01-01 09:00:00")).unwrap();
    assert!(instead.contains("; post ") && instead.ends_with(" instead"), "{shown}");
    both.told_of(0, &["schedule", "disable", TEMPLATE, "--json"], &cron, "");
    both.told_of(0, &["schedule", "enable", TEMPLATE], &cron, "");
    both.told_of(0, &["schedule", "remove", TEMPLATE], &cron, "");
    both.told_of(1, &["schedule", "show", TEMPLATE], &cron, "");
    both.told(0, &["post", "cancel", "k"]);
    both.told(0, &["post", "cancel", "k", "--json"]);
    both.told(1, &["account", "remove", "news"]);
    both.told(0, &["account", "remove", "acme"]);
    assert!(both.compared > 65, "{}", both.compared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_and_what_gives_up_is_told_alike() {
    let (here, there) = (Side::here().await, Side::there().await);
    let mut both = Both { sides: [&here, &there], compared: 0 };
    let add = ["account", "add", "x", "--name", "acme", "--access-token-stdin"];
    both.told_of(0, &add, &[String::new(), String::new()], "tok-42\n");

    both.told(0, &["post", "hello\n---\nthere", "--account", "dry_run:a", "--key", "k"]);
    let job = both.ids(&["job", "list"], "/0/id");
    both.shown(0, &["job", "list"]);
    both.shown(0, &["job", "list", "--state", "succeeded", "--account", "dry_run:a"]);
    both.shown(0, &["job", "list", "--topic", "notify"]);
    both.shown(0, &["post", "show", "k"]);
    both.shown(0, &["publication", "list"]);
    let published = both.ids(&["publication", "list"], "/0/id");
    both.shown_of(0, &["analytics", "publication", TEMPLATE], &published);
    both.shown_of(0, &["analytics", "compare", TEMPLATE, "--age", "1h"], &published);
    let out = here.run(&["publication", "list", "--json"]).exits(0).values();
    assert_eq!(out[0].as_array().map(Vec::len), Some(1), "{out:?}");
    // Who is there is another one on each side: a daemon on the one, nobody on the other.
    let nodes = there.run(&["node", "list", "--json"]).exits(0).values();
    assert_eq!(nodes[0][0]["state"], "up", "{nodes:?}");
    let nodes = there.run(&["node", "list"]).exits(0).out;
    assert!(nodes.contains("planner, worker, web") && nodes.contains("good"), "{nodes}");
    here.run(&["node", "list"]).exits(0);
    both.told(1, &["job", "list", "--account", "dry_run:b"]);
    both.told_of(0, &["job", "show", TEMPLATE], &job, "");
    both.told_of(1, &["job", "cancel", TEMPLATE], &job, "");
    both.told_of(1, &["job", "retry", TEMPLATE, "--json"], &job, "");
    both.told_of(1, &["dead", "replay", TEMPLATE], &job, "");
    both.told_of(1, &["dead", "resolve", TEMPLATE, "--discard"], &job, "");
    both.told(1, &["job", "show", NOBODY]);
    both.told(1, &["dead", "replay", NOBODY]);

    for side in [&here, &there] {
        let refusal = r#"{"title": "Invalid Request", "status": 400}"#;
        side.x.answer(Target::Create, Canned::new(400, refusal));
    }
    both.told(1, &["post", "bad", "--account", "acme"]);
    let dead = both.ids(&["dead", "list"], "/0/id");
    both.shown(0, &["dead", "list"]);
    both.shown(0, &["dead", "causes"]);
    both.told_of(0, &["dead", "show", TEMPLATE], &dead, "");
    both.told_of(0, &["dead", "resolve", TEMPLATE, "--published"], &dead, "");
    both.told_of(1, &["dead", "resolve", TEMPLATE, "--discard", "--json"], &dead, "");
    both.told_of(1, &["dead", "replay", TEMPLATE], &dead, "");
    both.shown(0, &["dead", "list", "--all"]);
    both.shown(0, &["dead", "replay-all", "--account", "acme"]);
    both.told(1, &["dead", "replay-all", "--reason", "boredom"]);

    for side in [&here, &there] {
        let refusal = r#"{"title": "Invalid Request", "status": 400}"#;
        side.x.answer(Target::Create, Canned::new(400, refusal));
    }
    both.told(1, &["post", "bad too", "--account", "acme"]);
    let dead = both.ids(&["dead", "list"], "/0/id");
    both.told_of(0, &["dead", "replay", TEMPLATE, "--json"], &dead, "");
    for (side, id) in [&here, &there].into_iter().zip(&dead) {
        side.run(&["dead", "replay", id]).exits(0).tells("was replayed already: job");
        side.run(&["dead", "replay", id, "--send-again"]).exits(1).tells("nothing was changed");
    }
    assert!(both.compared > 30, "{}", both.compared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calendars_rules_and_tokens_are_told_alike() {
    let (here, there) = (Side::here().await, Side::there().await);
    let mut both = Both { sides: [&here, &there], compared: 0 };
    let at = "2100-01-01T09:00Z";
    for side in [&here, &there] {
        let good = format!("key,at,accounts,text\na,{at},dry_run:a,one\nb,{at},dry_run:a,two\n");
        side.place.write("good.csv", &good);
        side.place.write("changed.csv", good.replace("two", "zwei"));
        let bad = format!("{good}c,never,dry_run:a,x\nd,{at},nobody,x\na,{at},dry_run:a,again\n");
        side.place.write("bad.csv", bad);
        side.place.write("latin.csv", b"key,at,accounts,text\na,+1h,dry_run:a,\xe9\n");
        side.place.write(
            "posts.json",
            json!([{"at": at, "accounts": "dry_run:a", "text": "c"}]).to_string(),
        );
    }

    both.shown(0, &["import", "good.csv"]);
    both.told(0, &["import", "good.csv", "posts.json", "--apply"]);
    both.shown(0, &["import", "good.csv"]);
    both.shown(0, &["import", "posts.json"]);
    both.told(0, &["import", "changed.csv", "--apply", "--json"]);
    both.shown(1, &["import", "bad.csv"]);
    both.shown(1, &["import", "bad.csv", "--skip-bad"]);
    both.told(1, &["import", "bad.csv", "--skip-bad", "--apply"]);
    both.shown(1, &["import", "latin.csv"]);
    both.shown(1, &["import", "missing.csv"]);
    both.shown(1, &["import", "missing.csv", "good.csv", ".", "--apply"]);
    both.shown(1, &["import", "missing.csv", "good.csv", "--apply", "--skip-bad"]);
    both.shown(0, &["post", "list"]);

    let march = ["--after", "2100-03-07T12:00:00Z"];
    for rule in [
        &["--cron", "30 2 * * *", "--tz", "America/New_York", "--explain"][..],
        &["--rrule", "DTSTART:21000101T090000Z\\nRRULE:FREQ=WEEKLY;BYDAY=MO", "--explain"],
        &["--every", "90m", "--count", "2"],
        &["--at", "2100-03-08T09:00", "--tz", "Europe/Berlin"],
    ] {
        both.shown(0, &[&["preview"], rule, &march[..]].concat());
    }
    both.shown(
        0,
        &["preview", "--cron", "0 0 30 2 *", "--tz", "UTC", "--after", "2100-01-01T00:00Z"],
    );
    for wrong in [
        &["--cron", "0 22-4 * * *", "--tz", "UTC"][..],
        &["--cron", "0 9 * * *"],
        &["--every", "soon"],
        &["--every", "1d", "--count", "10001"],
        &["--at", "+1h", "--after", "later"],
    ] {
        both.shown(2, &[&["preview"], wrong].concat());
    }

    let made = both.sides.map(|side| {
        let create = ["token", "create", "--scope", "write", "--name", "ci", "--json"];
        side.run(&create).exits(0).values()[0].clone()
    });
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&made[0]), keys(&made[1]));
    let ids = made.each_ref().map(|made| made["id"].as_str().unwrap().to_owned());
    both.told_of(0, &["token", "revoke", TEMPLATE], &ids, "");
    both.told(1, &["token", "revoke", NOBODY]);
    both.told(2, &["token", "create", "--scope", "root"]);
    both.told(2, &["token", "create", "--scope", "read", "--name", " "]);
    let listed = there.run(&["token", "list"]).exits(0).out;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.contains("revoked") && listed.contains("good"), "{listed}");
    assert!(both.compared > 45, "{}", both.compared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_about_this_machine_alone_refuses_a_server() {
    let there = Side::there().await;
    there.place.write("c.csv", "key,at,accounts,text\na,+1s,dry_run:a,hello\n");

    for args in [&["run", "c.csv"][..], &["serve"], &["migrate"]] {
        there
            .run(args)
            .exits(2)
            .tells("works on this machine alone, and a server is named (POSTQ_SERVER)");
    }
    there.run(&["run", "c.csv"]).exits(2).tells("postqd import --apply loads calendars there");
    let server = ["--server", "http://127.0.0.1:1"];
    for command in [&["config"][..], &["serve"], &["run", "c.csv"]] {
        let place = Place::new();
        place.run(&[&server[..], command].concat()).exits(2).tells("(--server)");
        assert!(!place.path("postq-data").exists());
    }
    let config = there.run(&["config"]).exits(0);
    config.tells("POSTQ_SERVER");
    assert!(!config.out.contains(there.token()), "masked");
    there.run(&["preview", "--jsonl"]).exits(2).tells("leave out --server");
    let doctor = there.run(&["doctor"]).exits(0);
    doctor.tells("publishes to bluesky, dry_run, facebook, instagram, pinterest, reddit, x");
    doctor.tells("none gave up");
    assert!(!there.place.path("postq-data").exists(), "nothing is kept here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_asked_for_and_never_told() {
    let there = Side::there().await;
    let read = there.id(&["token", "create", "--scope", "read", "--name", "r"], "/token");
    let with = |token: &str, args: &[&str]| {
        let mut command = there.place.command(args);
        command.env("POSTQ_SERVER", &there.environment[0].1).env("LOG_LEVEL", "trace");
        if !token.is_empty() {
            command.env("POSTQ_TOKEN", token);
        }
        Ended::of(command.output().unwrap())
    };
    let wrong = format!("{}AAAA", &read[..read.len() - 4]);

    with("", &["post", "list"]).exits(1).tells("set POSTQ_TOKEN to one of postqd token create");
    let refused = with(&wrong, &["post", "list"]).exits(1);
    refused.tells("the server wants a good token");
    let narrow = with(&read, &["post", "hi", "--account", "dry_run:a"]).exits(1);
    narrow.tells("this needs the scope write, the token has read; set POSTQ_TOKEN");
    let good = with(&read, &["post", "list"]).exits(0);
    with("pos\ntq", &["post", "list"]).exits(2).tells("--token (POSTQ_TOKEN): is no token");

    assert!(good.err.contains("TRACE"), "it logs all it has");
    for ended in [&refused, &narrow, &good] {
        let told = format!("{}{}", ended.out, ended.err);
        let secret = &read[read.len() - 30..read.len() - 4];
        assert!(!told.contains(secret), "{told}");
    }
    let option = ["--server", &there.environment[0].1, "--token", &read, "post", "list"];
    Ended::of(there.place.command(&option).output().unwrap()).exits(0);
    let plain = ["--server", "http://postq.invalid", "--token", &read, "post", "list"];
    let plain = Ended::of(there.place.command(&plain).output().unwrap()).exits(1);
    plain.tells("warning: the token goes to http://postq.invalid unencrypted");
    plain.tells("cannot be reached");
    assert!(!plain.err.contains(&read));
}

#[test]
fn what_is_no_daemon_is_told_as_that() {
    let html = "<!doctype html><title>Welcome</title>";
    let cases = [
        (http("200 OK", "text/html", html), "answered 200 OK, and not as the API of postq does"),
        (http("502 Bad Gateway", "text/html", html), "answered 502 Bad Gateway, and not as"),
        (http("404 Not Found", "application/json", "{\"no\": 1}"), "and not as the API of postq"),
        (http("302 Found", "text/html", ""), "answered 302 Found, and not as"),
        (http("204 No Content", "", ""), "is not what this version of postqd knows"),
        (http("200 OK", "application/json", "[1, 2"), "is not what this version of postqd knows"),
        (http("200 OK", "application/json", "{\"items\": 7}"), "not what this version"),
        ("SSH-2.0-OpenSSH_9.6\r\n".to_owned(), "did not answer"),
        (String::new(), "did not answer"),
    ];
    let place = Place::new();
    for (bytes, told) in cases {
        let (address, _) = answers(bytes.clone(), false);

        let ended = place.run(&["--server", &address, "post", "list"]).exits(1);

        ended.tells(told);
        assert!(ended.out.is_empty(), "{bytes}: {}", ended.out);
    }
    let endless = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
    let (address, _) = answers(endless, true);
    place
        .run(&["--server", &address, "post", "list"])
        .exits(1)
        .tells("is larger than any of postq's");
    let gone = place.run(&["--server", "http://127.0.0.1:1", "post", "list"]).exits(1);
    gone.tells("http://127.0.0.1:1 cannot be reached");
    gone.tells("does postqd serve run there?");
    place
        .run(&["--server", "127.0.0.1:8484", "post", "list"])
        .exits(2)
        .tells("--server (POSTQ_SERVER)");
}

#[test]
fn a_list_that_never_ends_is_left() {
    let id = NOBODY;
    let page = json!({ "items": [], "next": id }).to_string();
    let (address, asked) = answers(http("200 OK", "application/json", &page), false);

    let listed = Place::new().run(&["--server", &address, "post", "list", "--json"]).exits(0);

    assert_eq!(listed.values(), [json!([])]);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn what_may_be_done_already_is_not_asked_again() {
    let (address, asked) = answers("", false);

    let removed = Place::new().run(&["--server", &address, "schedule", "remove", NOBODY]).exits(1);

    removed.tells("it may be done or not: look before you ask again");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_whose_answer_is_lost_is_done_once() {
    let there = Side::there().await;
    let (_, served) = there.served.as_ref().unwrap();
    // Rows without keys: loaded again they would be other posts.
    let rows: String =
        (0..50).map(|row| format!("2100-01-01T09:00Z,dry_run:a,post {row}\n")).collect();
    there.place.write("c.csv", format!("at,accounts,text\n{rows}"));
    let (address, asked) = cuts_the_first(&served.listen);

    let import = ["--server", &address, "import", "c.csv", "--apply"];
    let imported = there.run(&import).exits(0);
    let (address, posted) = cuts_the_first(&served.listen);
    let post = ["--server", &address, "post", "hi", "--account", "dry_run:a", "--no-wait"];
    there.run(&post).exits(0).tells("postqd serve publishes it");

    imported.tells("50 rows loaded");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "the second time it was answered");
    assert!(posted.load(Ordering::SeqCst) >= 2);
    let posts = there.run(&["post", "list", "--json"]).exits(0).values();
    assert_eq!(posts[0].as_array().unwrap().len(), 51, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_calendar_larger_than_any_other_request_is_loaded() {
    let there = Side::there().await;
    let text = "x".repeat(250);
    let rows: String =
        (0..5_000).map(|n| format!("k{n},2100-01-01T09:00Z,dry_run:a,{n} {text}\n")).collect();
    there.place.write("c.csv", format!("key,at,accounts,text\n{rows}"));

    there.run(&["import", "c.csv", "--apply"]).exits(0).tells("5000 rows loaded");

    let posts = there.run(&["post", "list", "--limit", "1000", "--json"]).exits(0).values();
    assert_eq!(posts[0].as_array().unwrap().len(), 1_000, "over several pages");
    let again = there.run(&["import", "c.csv", "--apply"]).exits(0);
    again.tells("all 5000 rows are known");
}
