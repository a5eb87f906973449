//! What a person is told when something is wrong, and whether what is told mends it.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use fake_x::{Canned, FakeX, Fault, Faults, Target};

use support::{Ended, Place};

/// `postqd` with X on loopback in place of the real one.
fn with_x(place: &Place, x: &FakeX, args: &[&str]) -> Command {
    let mut command = place.command(args);
    command.env("X_API_BASE_URL", x.base_url()).env("POSTQ_RATE_LIMIT", "off");
    command
}

fn connect(place: &Place, x: &FakeX, name: &str) -> Ended {
    let add = ["account", "add", "x", "--name", name, "--access-token-stdin"];
    let mut child = with_x(place, x, &add).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"tok-42\n").unwrap();
    Ended::of(child.wait_with_output().unwrap())
}

fn run(place: &Place, x: &FakeX, args: &[&str]) -> Ended {
    Ended::of(with_x(place, x, args).output().unwrap())
}

/// Ends a process that takes longer than anything here does, so that its reader goes on.
struct Impatient(Option<(Sender<()>, JoinHandle<()>)>);

impl Impatient {
    fn about(child: &Child) -> Self {
        let (done, wait) = channel();
        let id = child.id().to_string();
        let wait = move || {
            if wait.recv_timeout(support::PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-s", "KILL", &id]).status();
            }
        };
        Self(Some((done, std::thread::spawn(wait))))
    }
}

impl Drop for Impatient {
    fn drop(&mut self) {
        let Some((done, waiting)) = self.0.take() else { return };
        drop(done);
        let _ = waiting.join();
    }
}

/// Reads what a process says until a line has these words.
fn until(lines: &mut impl Iterator<Item = std::io::Result<String>>, words: &str) -> String {
    let found = lines.map(|line| line.unwrap()).find(|line| line.contains(words));
    found.unwrap_or_else(|| panic!("it ended without {words:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_waits_for_credits_says_so_and_goes_on_when_they_are_there() {
    let (place, x) = (Place::new(), FakeX::start().await.unwrap());
    connect(&place, &x, "our news").exits(0);
    x.set_faults(Faults::script([Fault::NoCredits]));

    let mut post: Child =
        with_x(&place, &x, &["post", "hello", "--account", "our news"]).spawn().unwrap();
    let _guard = Impatient::about(&post);
    let mut lines = BufReader::new(post.stdout.take().unwrap()).lines();
    let told = until(&mut lines, "waits:");
    let doctor = run(&place, &x, &["doctor"]).exits(0);
    run(&place, &x, &["account", "resume", "our news"]).exits(0);
    let published = until(&mut lines, "published");
    let ended = Ended::of(post.wait_with_output().unwrap()).exits(0);

    for words in [
        "account \"our news\" is held back until 20",
        " UTC: the credits on x are used up (no credits are left at x (402)",
        "goes on at once with: postqd account resume 'our news'",
    ] {
        assert!(told.contains(words), "{words:?} is not in {told}");
        doctor.tells(words);
    }
    assert!(published.contains("our news"), "{published}; {}", ended.err);
    assert_eq!(x.ledger().accepted.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_told_with_the_command_that_mends_it() {
    let (place, x) = (Place::new(), FakeX::start().await.unwrap());
    connect(&place, &x, "acme").exits(0);
    x.answer(Target::Create, Canned::new(401, r#"{"title": "Unauthorized", "status": 401}"#));

    let post = run(&place, &x, &["post", "hello", "--account", "acme"]).exits(1);
    let later = ["post", "later", "--account", "acme", "--at", "+1h"];
    let later_told = run(&place, &x, &later).exits(0);
    let json = run(&place, &x, &[&later[..], &["--json"]].concat()).exits(0);
    connect(&place, &x, "acme").exits(0).tells("account acme: changed");
    let healed = run(&place, &x, &later).exits(0);

    let remedy = "account \"acme\" needs attention (x refused it (401): Unauthorized); connect it \
                  again: postqd account connect x --name acme, or with an access token: postqd \
                  account add x --name acme --access-token-stdin";
    post.tells(&format!("waits: {remedy}"));
    post.tells(&format!("error: 1 post waiting for a person: {remedy}"));
    later_told.tells(&format!("note: {remedy}"));
    assert_eq!(json.values()[0]["held"][0], remedy);
    assert!(!healed.err.contains("note:"), "{}", healed.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_shown_in_words_and_replayed_once() {
    let (place, x) = (Place::new(), FakeX::start().await.unwrap());
    connect(&place, &x, "acme").exits(0);
    x.answer(Target::Create, Canned::new(400, r#"{"title": "Invalid Request", "status": 400}"#));
    run(&place, &x, &["post", "hello", "--account", "acme"]).exits(1).tells("postqd dead list");
    let dead = run(&place, &x, &["dead", "list", "--json"]).exits(0).values();
    let id = dead[0][0]["id"].as_str().unwrap().to_owned();

    let dead = run(&place, &x, &["dead", "show", &id]).exits(0);
    dead.tells(", not published, looked ");
    dead.tells(&format!("postqd dead replay {id}  tries again"));
    let first = run(&place, &x, &["dead", "replay", &id, "--json"]).exits(0).values();
    let replay = first[0]["replayed_by"].as_str().unwrap().to_owned();
    let second = run(&place, &x, &["dead", "replay", &id]).exits(0);
    let again = run(&place, &x, &["dead", "replay", &id, "--send-again"]).exits(1);
    let shown = run(&place, &x, &["job", "show", &id]).exits(0);

    assert_eq!(first[0]["already"], false);
    let told =
        format!("job {id} was replayed already: job {replay} took its place and is enqueued");
    second.tells(&told);
    again.tells(&told);
    shown.tells("resolution  replayed");
    assert!(!shown.out.contains("dead replay"), "it was dealt with: {}", shown.out);
    run(&place, &x, &["dead", "list", "--all"]).exits(0).tells("content  replayed    content: ");
}

#[test]
fn only_bad_rows_are_to_be_skipped() {
    let place = Place::new();
    place.write("rows.csv", "key,at,accounts,text\na,+1h,dry_run:a,x\nb,never,dry_run:a,x\n");
    place.write("bad.csv", "key,at,accounts,text\nb,never,dry_run:a,x\n");

    for command in ["run", "import"] {
        let missing = place.run(&[command, "missing.csv", "rows.csv"]).exits(1);
        let rows = place.run(&[command, "rows.csv"]).exits(1);
        let all_bad = place.run(&[command, "bad.csv"]).exits(1);

        missing.tells("missing.csv: is not there");
        rows.tells("or load the good rows with --skip-bad");
        assert!(!missing.err.contains("--skip-bad"), "{}", missing.err);
        assert!(!all_bad.err.contains("--skip-bad"), "there is no good one: {}", all_bad.err);
    }
    let skipped = place.run(&["import", "missing.csv", "rows.csv", "--skip-bad"]).exits(1);
    skipped.tells("2 problems; the rows and files they are about were left out");
    let json = place.run(&["run", "rows.csv", "--json"]).exits(1).values();
    assert_eq!(json[0]["problem"]["place"]["column"], 3);
    assert_eq!(json[0]["problem"]["extent"], "row");
}

#[test]
fn a_data_folder_that_cannot_be_made_is_told_by_all() {
    let place = Place::new();
    place.write("file", "");

    for folder in ["file", "file/below"] {
        let in_it = |args: &[&str]| place.run(&[&["--data-dir", folder], args].concat());

        in_it(&["doctor"]).exits(1).tells("\"file\" is a file; move it away: mv 'file' 'file.old'");
        in_it(&["post", "list"]).exits(1).tells("\"file\" is a file; move it away");
    }
    place.run(&["doctor"]).exits(0).tells("can be made");
    assert!(!place.path("postq-data").exists(), "who asks changes nothing");
    place.run(&["post", "list"]).exits(0);
    place.run(&["doctor"]).exits(0).tells("\"./postq-data\" can be written");
}

#[test]
fn a_full_disk_is_named_once_with_its_remedy() {
    let place = Place::new();
    std::fs::create_dir(place.path("disk")).unwrap();
    let small = |script: &str| {
        let script = format!("mount -t tmpfs -o size=2m none disk || exit 77; {script}");
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
        command.current_dir(place.path("")).env("POSTQD", env!("CARGO_BIN_EXE_postqd"));
        Ended::of(command.output().unwrap())
    };
    if small("true").code != 0 {
        eprintln!("SKIPPED: this user may not mount the small disk that is to be full");
        return;
    }
    let post = "$POSTQD --data-dir disk/data post hi --account dry_run:a --at +1h";
    let fill = "cat /dev/zero > disk/fill 2> /dev/null";

    small(&format!("{post}; {fill}; $POSTQD --data-dir disk/data doctor"))
        .exits(1)
        .tells("the disk of \"disk/data\" is full; free some space (df -h 'disk/data' shows it)");
    small(&format!("{fill}; $POSTQD --data-dir disk/new doctor")).exits(1).tells("is full; free");
    let refused = small(&format!("{post}; {fill}; {post}")).exits(1);
    refused.tells("free some space");
    assert!(!refused.err.contains("disk I/O error"), "said already: {}", refused.err);
    let mended = format!("{post}; {fill}; {post}; rm disk/fill; {post} && {post}");
    small(&mended).exits(0);
    let answer = "$POSTQD --data-dir data config > disk/answer";
    small(&format!("{fill}; {answer}")).exits(1).tells("standard output cannot be written");
}

#[test]
fn foolish_arguments_are_told_what_was_expected() {
    let place = Place::new();
    place.write("empty.toml", "\u{feff}\r\n");
    place.write("header.csv", "\u{feff}key,at,accounts,text\r\n");
    place.write("crlf.csv", "\u{feff}key,at,accounts,text\r\na,+1h,dry_run:a,\"one\r\ntwo\"\r\n");

    let cases: [(&[&str], i32, &str); 9] = [
        (&["import", "empty.toml"], 1, "empty.toml: is empty"),
        (&["import", "header.csv"], 0, "no rows; there is nothing to load"),
        (&["import", "crlf.csv"], 0, "crlf.csv:2: a: new"),
        (&["import", "."], 1, ".: is a folder; name the files in it"),
        (&["post", "x", "--account", ""], 1, "an account has no name"),
        (&["post", "x", "--account", "dry_run:"], 1, "\"dry_run:\" lacks a name"),
        (&["post", "x", "--account", "dry_run:a", "--every", "1h", "--count", "0"], 2, "from 1"),
        (&["post", "edit", "x", "--priority", "high"], 2, "--priority"),
        (
            &["schedule", "remove", "0191e0f0-0000-7000-8000-000000000000"],
            1,
            "postqd schedule list shows what there is",
        ),
    ];
    for (args, code, told) in cases {
        place.run(args).exits(code).tells(told);
    }
    place.run_with("POSTQ_CONCURRENCY", "0", &["serve"]).exits(2).tells("POSTQ_CONCURRENCY");
    place.run_with("LOG_LEVEL", "inof", &["post", "list"]).exits(2).tells("LOG_LEVEL");
}
