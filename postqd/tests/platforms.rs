//! The platforms as a user meets them: their settings, their options, and how accounts come to be.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use fake_bluesky::FakeBluesky;
use fake_reddit::FakeReddit;
use serde_json::{Value, json};
use support::{Ended, Place};
use tokio::runtime::Runtime;

/// Every platform that there is.
const ALL: [&str; 7] = ["bluesky", "dry_run", "facebook", "instagram", "pinterest", "reddit", "x"];

/// Runs a command with this on its standard input.
fn given(place: &Place, args: &[&str], input: &str) -> Ended {
    let mut child = place.command(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Ended::of(child.wait_with_output().unwrap())
}

/// All files below a folder.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

/// A place where nothing is sent, with accounts by the names of their platforms.
fn dry(platforms: &[&str], settings: &str) -> Place {
    let place = Place::new();
    place.write("postqd.toml", format!("dry_run = true\n{settings}"));
    for platform in platforms {
        let add = ["account", "add", platform, "--name", platform, "--access-token-stdin"];
        given(&place, &add, "t").exits(0);
    }
    place
}

/// A post as programs are shown it.
fn post(place: &Place, key: &str) -> Value {
    place.run(&["post", "show", key, "--json"]).exits(0).values().remove(0)["post"].take()
}

#[test]
fn every_platform_is_there_and_doctor_says_how_to_get_in() {
    let place = Place::new();

    let told = place.run(&["platforms", "--json"]).exits(0).values();
    let doctor = place.run(&["doctor"]).exits(0);

    let names: Vec<&str> =
        told[0].as_array().unwrap().iter().map(|one| one["platform"].as_str().unwrap()).collect();
    assert_eq!(names, ALL);
    let table = place.run(&["platforms"]).exits(0);
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines.len(), 1 + ALL.len(), "{}", table.out);
    for (line, name) in lines[1..].iter().zip(ALL) {
        assert!(line.starts_with(name), "{line}");
    }
    doctor.tells("https://oauth.reddit.com; accounts are added by access token alone");
    doctor.tells("REDDIT_CLIENT_ID");
    doctor.tells("https://bsky.social; postqd account add bluesky adds accounts");
    let set = [
        "pinterest_client_id = \"1\"",
        "pinterest_client_secret = \"s\"",
        "pinterest_redirect_uri = \"https://postq.example.com/api/accounts/callback/pinterest\"",
    ];
    place.write("postqd.toml", set.join("\n"));
    place.run(&["doctor"]).exits(0).tells("postqd account connect pinterest adds accounts");
}

#[test]
fn a_setting_that_cannot_be_is_told_by_its_name() {
    let place = Place::new();

    for (name, value, expected) in [
        ("REDDIT_API_BASE_URL", "http://example.com", "reddit_api_base_url (REDDIT_API_BASE_URL)"),
        ("REDDIT_SETTLE_TIME", "1s", "reddit_settle_time (REDDIT_SETTLE_TIME)"),
        ("INSTAGRAM_CODE_URL", "x", "instagram_code_url (INSTAGRAM_CODE_URL)"),
        ("INSTAGRAM_DAILY", "many", "INSTAGRAM_DAILY (environment)"),
        ("PINTEREST_ACCESS", "gold", "PINTEREST_ACCESS (environment)"),
        ("PINTEREST_RATE_LIMIT", "off", "pinterest_rate_limit (PINTEREST_RATE_LIMIT)"),
        ("BLUESKY_PLC_URL", "plc", "bluesky_plc_url (BLUESKY_PLC_URL)"),
        ("BLUESKY_MAX_IMAGE_BYTES", "0", "bluesky_max_image_bytes (BLUESKY_MAX_IMAGE_BYTES)"),
    ] {
        place.run_with(name, value, &["account", "list"]).exits(2).tells(expected);
    }
}

#[test]
fn an_app_password_lets_in_and_is_kept_nowhere() {
    let runtime = Runtime::new().unwrap();
    let bluesky = runtime.block_on(FakeBluesky::start()).unwrap();
    let did = bluesky.add_user("alice.test", "abcd-efgh-ijkl-mnop");
    let place = Place::new();
    let url = bluesky.url();
    place.write(
        "postqd.toml",
        format!(
            "bluesky_service_url = \"{url}\"\nbluesky_plc_url = \"{url}\"\n\
             bluesky_appview_url = \"{url}\"\nbluesky_video_url = \"none\"\n\
             bluesky_rate_limit = \"off\"\n"
        ),
    );
    let add = [
        "account",
        "add",
        "bluesky",
        "--name",
        "alice",
        "--handle",
        "alice.test",
        "--app-password-stdin",
    ];

    given(&place, &add, "wrong").exits(1).tells("does not take the handle and the app password");
    let added = given(&place, &add, "abcd-efgh-ijkl-mnop\n").exits(0);
    added.tells(&format!("is id {did}"));
    let posted = place.run(&["post", "Hello #postq", "--account", "alice"]).exits(0);
    let shown = place.run(&["account", "show", "alice"]).exits(0);

    posted.tells("published");
    shown.tells("credentials  sealed");
    shown.tells("renewed before");
    assert_eq!(bluesky.ledger().posts.len(), 1);
    let served = place.serve_into("daemon.log", &[]);
    drop(served);
    let files = files_in(&place.path(""));
    assert!(files.iter().any(|file| file.ends_with("postq.db")), "{files:?}");
    for file in files {
        let kept = std::fs::read(&file).unwrap();
        let has = |secret: &str| kept.windows(secret.len()).any(|own| own == secret.as_bytes());
        assert!(!has("abcd-efgh-ijkl-mnop"), "{}", file.display());
    }
    for told in [&added, &posted, &shown] {
        assert!(!format!("{}{}", told.out, told.err).contains("abcd-efgh"), "{}", told.out);
    }
    given(
        &place,
        &["account", "add", "x", "--name", "x", "--handle", "a", "--app-password-stdin"],
        "p",
    )
    .exits(1)
    .tells("x has no app passwords here; give an access token");
    bluesky.add_user("bob.test", "bob-bob-bob");
    let mut other = add;
    other[6] = "bob.test";
    given(&place, &other, "bob-bob-bob").exits(1).tells("give it a name of its own");
}

#[test]
fn whoever_asks_platforms_makes_no_key_and_tells_what_keeps_it_from_asking() {
    let place = Place::new();
    let key = place.path("postq-data/key");
    place.write("a.csv", "at,accounts,text\n+1h,dry_run:test,hi\n");
    let preview = ["post", "hi", "--account", "dry_run:test", "--preview"];
    place.run(&["import", "a.csv"]).exits(0);
    place.run(&preview).exits(0);
    assert!(place.path("postq-data/postq.db").exists() && !key.exists());

    place.write("postqd.toml", "dry_run = true\n");
    given(&place, &["account", "add", "x", "--name", "x", "--access-token-stdin"], "t").exits(0);
    let told = place.run(&preview).exits(0);
    assert!(key.exists() && !told.err.contains("is asked"), "{}", told.err);
    std::fs::remove_file(&key).unwrap();
    place.run(&preview).exits(0).tells("note: no platform is asked: the key file");
}

/// A place with the account `me` on a server that answers as Reddit does.
fn on_reddit(reddit: &FakeReddit) -> Place {
    let place = Place::new();
    let url = reddit.base_url();
    place.write(
        "postqd.toml",
        format!(
            "reddit_api_base_url = \"{url}\"\nreddit_auth_url = \"{url}\"\n\
             reddit_settle_time = \"1s\"\nreddit_rate_limit = \"off\"\n"
        ),
    );
    let add = ["account", "add", "reddit", "--name", "me", "--access-token-stdin"];
    given(&place, &add, "tok-me").exits(0).tells("is id me on reddit");
    place
}

#[test]
fn a_platform_is_asked_for_its_rules_before_anything_is_planned() {
    let runtime = Runtime::new().unwrap();
    let reddit = runtime.block_on(FakeReddit::start()).unwrap();
    let place = on_reddit(&reddit);
    reddit.set_community("strict", json!({}), json!({ "title_text_min_length": 10 }), json!([]));
    let refused = "the title is 4 characters long, at least 10";
    let options = ["--option", "reddit.subreddit=strict", "--option", "reddit.title=Look"];
    let post = ["post", "A story.", "--account", "me", "--at", "+1h"];
    let csv = |title: &str| {
        format!("key,at,accounts,text,reddit.subreddit,reddit.title\na,+1h,me,hi,strict,{title}\n")
    };

    place.run(&[&post[..], &options].concat()).exits(1).tells(refused);
    place.write("a.csv", csv("Look"));
    place.run(&["import", "a.csv"]).exits(1).tells(refused);
    place.run(&["run", "a.csv", "--until", "+1s"]).exits(1).tells(refused);
    let posts = place.run(&["post", "list"]).exits(0);
    assert!(!posts.out.contains("scheduled"), "{}", posts.out);
    place.write("a.csv", csv("Look here now"));
    place.run(&["import", "a.csv", "--apply"]).exits(0);
    place.run(&["post", "list"]).exits(0).tells("scheduled");
    let edit = ["post", "edit", "a", "--option", "reddit.title=Look"];
    place.run(&edit).exits(1).tells(refused);
    assert_eq!(reddit.creates(), 0);
}

#[test]
fn options_reach_the_platform_and_can_be_changed() {
    let runtime = Runtime::new().unwrap();
    let reddit = runtime.block_on(FakeReddit::start()).unwrap();
    let place = on_reddit(&reddit);
    let post = |more: &[&str]| {
        let base = ["post", "A long story.", "--account", "me", "--key", "story"];
        place.run(&[&base, more].concat())
    };

    let missing = post(&[]).exits(1);
    missing.tells("--option reddit.subreddit: is missing: the community");
    missing.tells("--option reddit.title: is missing");
    post(&["--option", "reddit.subredit=rust"]).exits(2).tells("did you mean \"subreddit\"");
    post(&[
        "--option",
        "reddit.subreddit=rust",
        "--option",
        "reddit.title=42",
        "--option",
        "reddit.nsfw=yes",
        "--at",
        "+1h",
    ])
    .exits(0);
    let shown = place.run(&["post", "show", "story"]).exits(0);
    shown.tells("option    reddit.nsfw = true");
    shown.tells("option    reddit.title = 42");
    let edit = ["post", "edit", "story", "--option", "reddit.nsfw=", "--option", "reddit.title=43"];
    place.run(&edit).exits(0).tells("options changed, revision 2");
    let missing = ["post", "edit", "story", "--option", "reddit.subreddit="];
    place.run(&missing).exits(1).tells("--option reddit.subreddit: is missing");

    // The community's rules are for whoever looks before.
    let rule = |name: &str| json!({ "kind": "all", "short_name": name, "description": "Please." });
    reddit.set_rules("rust", json!([rule("Be kind"), rule("On\u{1b}[31m topic")]));
    let base = ["post", "A story.", "--account", "me", "--preview"];
    let look = ["--option", "reddit.subreddit=rust", "--option", "reddit.title=Look"];
    let preview = place.run(&[&base[..], &look].concat()).exits(0);
    preview.tells("  to read before posting:\n    Be kind: Please.\n    On [31m topic: Please.\n");
    let preview = place.run(&[&base[..], &look, &["--json"]].concat()).exits(0).values();
    assert_eq!(preview[0]["platforms"][0]["advice"][0], "Be kind: Please.");

    let values = place.run(&["post", "show", "story", "--json"]).exits(0).values();
    let expected = json!({ "reddit": { "subreddit": "rust", "title": "43" } });
    assert_eq!(values[0]["post"]["options"], expected);
    let now = ["--option", "reddit.subreddit=rust", "--option", "reddit.title=Now"];
    let base = ["post", "A story.", "--account", "me"];
    place.run(&[&base[..], &now].concat()).exits(0).tells("published");
    assert_eq!(reddit.accepted().len(), 1);
    // A title may be all that there is, and a link.
    let title = ["post", "", "--account", "me"];
    place.run(&[&title[..], &now].concat()).exits(0).tells("published");
    let link = ["--option", "reddit.url=https://example.com/a"];
    place.run(&[&title[..], &now, &link].concat()).exits(0).tells("published");
    let kinds: Vec<String> = reddit.accepted().into_iter().map(|one| one.kind).collect();
    assert_eq!(kinds, ["self", "self", "link"]);
}

#[test]
fn a_text_is_made_to_fit_where_that_is_asked_for() {
    let place = Place::new();
    place.write("postqd.toml", "dry_run = true\n");
    given(&place, &["account", "add", "x", "--name", "x", "--access-token-stdin"], "t").exits(0);
    let text = "This sentence is said again. ".repeat(12);
    let post = |more: &[&str]| {
        place.run(&[&["post", &text, "--account", "x", "--at", "+1h", "--key", "k"], more].concat())
    };

    post(&[]).exits(1);
    post(&["--fit", "thread", "--preview"]).exits(0).tells("split to a thread of 2 parts");
    post(&["--fit", "shorten"]).exits(0).tells("note: x: shortened");
    let edit = ["post", "edit", "k", "--fit", "thread"];
    place.run(&edit).exits(0).tells("revision 2; x: split to a thread of 2 parts");
    place.run(&["post", "edit", "k", "--fit", "shorten"]).exits(0);

    let shown = place.run(&["post", "show", "k"]).exits(0);
    shown.tells("on x (shortened):");
    let post: Value = place.run(&["post", "show", "k", "--json"]).values().remove(0);
    assert_eq!(post["post"]["variants"]["x"].as_array().unwrap().len(), 1);
}

#[test]
fn one_platform_is_told_in_full() {
    let place = Place::new();

    let reddit = place.run(&["platforms", "reddit"]).exits(0);
    let json = place.run(&["platforms", "reddit", "--json"]).exits(0).values().remove(0);
    let wrong = place.run(&["platforms", "redit"]);

    for option in json["options"].as_array().unwrap() {
        reddit.tells(&format!("reddit.{}", option["name"].as_str().unwrap()));
        reddit.tells(option["about"].as_str().unwrap());
    }
    reddit.tells("needed: the community");
    reddit.tells("self, link, image, gallery, video");
    assert_ne!(wrong.code, 0);
    wrong.tells("there is bluesky, dry_run, facebook, instagram, pinterest, reddit, x");
}

#[test]
fn a_text_that_was_made_to_fit_is_made_so_again() {
    let place = dry(&["x", "bluesky"], "");
    let text = |what: &str| format!("{what} is said again. ").repeat(20);
    let new = ["--account", "x", "--account", "bluesky", "--at", "+1h", "--key", "k"];
    let refused = place.run(&[&["post", &text("It")], &new[..]].concat()).exits(1);
    refused.tells("text: x: the text is");
    refused.tells("fit: shorten or thread makes the text fit bluesky and x");
    place.run(&[&["post", &text("It"), "--fit", "thread"], &new[..]].concat()).exits(0);

    place.run(&["post", "edit", "k", "--text", &text("That")]).exits(0);
    let again = post(&place, "k");
    assert_eq!(again["fitted"], json!({ "x": "thread", "bluesky": "thread" }));
    for platform in ["x", "bluesky"] {
        let parts = again["variants"][platform].as_array().unwrap();
        assert!(parts.len() > 1, "{again}");
        assert!(parts[0]["text"].as_str().unwrap().starts_with("That is said again."), "{again}");
    }
    place
        .run(&["post", "edit", "k", "--fit", "shorten"])
        .exits(0)
        .tells("text changed, revision 3");
    let shown = place.run(&["post", "show", "k"]).exits(0);
    shown.tells("on x (shortened):");
    // With another time it is looked at first: nothing is changed by what is refused.
    let link = format!("https://example.com/{}", "a".repeat(400));
    let edit = ["post", "edit", "k", "--text", &link, "--at", "+2h"];
    place.run(&edit).exits(1).tells("is too long by itself, and is not cut in half");
    assert_eq!(post(&place, "k")["schedules"], again["schedules"]);
    assert_eq!(post(&place, "k")["revision"], 3);
    place.run(&["post", "edit", "k", "--text", "Short.", "--at", "+2h"]).exits(0);
    assert_eq!(post(&place, "k")["variants"], json!({}));
}

#[test]
fn what_files_make_together_is_told_before_they_are_planned_and_in_a_dry_run_too() {
    let place = dry(&["x", "reddit", "instagram", "pinterest"], "");
    let mut names = Vec::new();
    for side in 400..406_u32 {
        let mut out = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(side, side).write_to(&mut out, image::ImageFormat::Png).unwrap();
        place.write(&format!("{side}.png"), out.into_inner());
        names.push(format!("{side}.png"));
    }
    let refused = |account: &str, options: &[&str], files: &[String], expected: &str| {
        let mut add = vec!["post", "Look.", "--account", account, "--at", "+1h"];
        options.iter().for_each(|one| add.extend(["--option", one]));
        files.iter().for_each(|file| add.extend(["--media", file]));
        place.run(&add).exits(1).tells(expected);
        place.run(&[&add[..], &["--preview"]].concat()).tells(expected);
    };

    refused("x", &[], &names[..5], "5 media files, at most 4");
    let reddit = ["reddit.subreddit=rust", "reddit.title=Look", "reddit.kind=video"];
    refused("reddit", &reddit, &names[..1], "makes a post of the kind image");
    let reel = ["instagram.kind=reel"];
    refused("instagram", &reel, &names[..1], "a reel is asked for, and the file is a picture");
    refused("pinterest", &["pinterest.board=cats"], &names, "6 media files, at most 5");
    let good = ["--media", &names[0], "--option", "instagram.kind=story"];
    place
        .run(&[&["post", "", "--account", "instagram", "--at", "+1h"], &good[..]].concat())
        .exits(0);
    // And they are shown.
    let platforms = place.run(&["platforms", "--json"]).exits(0).values().remove(0);
    let x = platforms.as_array().unwrap().iter().find(|one| one["platform"] == "x").unwrap();
    assert_eq!(x["media"]["most"], 4, "{x}");
}

#[test]
fn one_platform_may_have_a_text_of_its_own() {
    let place = dry(&["x", "bluesky"], "");
    let new = ["--account", "x", "--account", "bluesky", "--at", "+1h", "--key", "k"];
    let variant = |text| ["--variant", text];
    let text = |post: &Value, platform: &str| {
        let parts = post["variants"][platform].as_array().cloned().unwrap_or_default();
        parts.iter().map(|part| part["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    let add = [&["post", "For all."], &new[..], &variant("bluesky=One.\n---\nTwo.")].concat();
    let preview = place.run(&[&add[..], &["--preview"]].concat()).exits(0);
    preview.tells("part 2: Two.");
    preview.tells("part 1: For all.");
    place.run(&add).exits(0);
    assert_eq!(text(&post(&place, "k"), "bluesky"), ["One.", "Two."]);
    assert_eq!(text(&post(&place, "k"), "x"), [""; 0]);

    // A text for another platform leaves it, and what was made to fit is made again.
    let long = "This sentence is said again. ".repeat(12);
    place.run(&["post", "edit", "k", "--text", &long, "--fit", "thread"]).exits(0);
    assert_eq!(text(&post(&place, "k"), "bluesky"), ["One.", "Two."]);
    assert_eq!(post(&place, "k")["fitted"], json!({ "x": "thread" }));
    place.run(&["post", "edit", "k", "--variant", "bluesky=Own."]).exits(0).tells("text changed");
    let now = post(&place, "k");
    assert_eq!((text(&now, "bluesky"), text(&now, "x").len()), (vec!["Own.".to_owned()], 2));
    place.run(&["post", "edit", "k", "--variant", "x=Mine.", "--variant", "bluesky="]).exits(0);
    let now = post(&place, "k");
    assert_eq!(
        (text(&now, "x"), &now["fitted"]),
        (vec!["Mine.".to_owned()], &json!({ "bluesky": "thread" }))
    );
    place.run(&["post", "edit", "k", "--text", "Short."]).exits(0);
    place.run(&["post", "edit", "k", "--variant", "x="]).exits(0);
    assert_eq!(post(&place, "k")["variants"], json!({}));

    // What else was made to fit does not mean a text of its own.
    place.run(&["post", "edit", "k", "--text", &long, "--fit", "shorten"]).exits(0);
    let cut = format!("x={long}");
    place.run(&["post", "edit", "k", "--variant", &cut]).exits(1).tells("--variant x: the text is");
    place.run(&["post", "edit", "k", "--variant", &cut, "--fit", "thread"]).exits(0);
    place.run(&["post", "edit", "k", "--text", "Short.", "--variant", "x="]).exits(0);

    let wrong = |more: &[&str]| place.run(&[&["post", "hi", "--account", "x"], more].concat());
    wrong(&variant("blusky=a"))
        .exits(1)
        .tells("unknown platform \"blusky\"; did you mean \"bluesky\"");
    wrong(&variant("bluesky=a")).exits(1).tells("none of the accounts is on bluesky");
    wrong(&variant("bluesky")).exits(2).tells("expected PLATFORM=TEXT");
    let edit = ["post", "edit", "k", "--variant", "reddit=a"];
    place.run(&edit).exits(2).tells("--variant reddit: none of the post's accounts is on reddit");
}

#[test]
fn options_that_no_platform_wants_are_told() {
    let place = dry(&["x", "reddit"], "");
    let told = |more: &[&str]| {
        place.run(&[&["post", "hello", "--account", "x", "--at", "+1h"], more].concat())
    };

    told(&["--option", "reddit.subreddit=rust"])
        .exits(1)
        .tells("--option reddit: none of the accounts is on reddit");
    told(&["--option", "redit.subreddit=rust"]).exits(2).tells("did you mean \"reddit\"");
    told(&["--option", "x.title=A"]).exits(2).tells("x has no option \"title\"");
    told(&["--option", "reddit.nsfw=perhaps"]).exits(2).tells("expected true or false");
    let kind = ["--account", "reddit", "--option", "reddit.kind=poll"];
    told(&kind).exits(1).tells("--option reddit.kind: is \"poll\", expected self, link");
}

const AT: &str = "2100-01-07T09:00Z";

#[test]
fn calendars_have_options_and_fitting_in_every_format() {
    let place = dry(&["x", "reddit"], "");
    let long = "This sentence is said again. ".repeat(12);
    let long = long.trim();
    place.write(
        "a.csv",
        format!(
            "key,at,accounts,text,fit,reddit.subreddit,reddit.title,reddit.nsfw\n\
             a,{AT},reddit,Hello,,rust,42,yes\naa,{AT},x,{long},thread,,,\n"
        ),
    );
    place.write(
        "b.toml",
        format!(
            "[[post]]\nkey = \"b\"\nat = \"{AT}\"\naccounts = [\"reddit\"]\ntext = \"Hello\"\n\
             [post.options.reddit]\nsubreddit = \"rust\"\ntitle = 42\nnsfw = true\n\
             [[post]]\nkey = \"bb\"\nat = \"{AT}\"\naccounts = [\"x\"]\ntext = \"{long}\"\nfit = \"thread\"\n"
        ),
    );
    let options = json!({ "reddit": { "subreddit": "rust", "title": "42", "nsfw": true } });
    let rows = json!([
        { "key": "c", "at": AT, "accounts": ["reddit"], "text": "Hello", "options": options },
        { "key": "cc", "at": AT, "accounts": ["x"], "text": long, "fit": "thread" },
    ]);
    place.write("c.json", rows.to_string());

    let files = ["a.csv", "b.toml", "c.json"];
    for apply in [&[][..], &["--apply"]] {
        let told = place.run(&[&["import"], &files[..], apply].concat()).exits(0);
        assert_eq!(
            told.err.matches("fit: x: split to a thread of 2 parts").count(),
            3,
            "{}",
            told.err
        );
    }

    for key in ["a", "b", "c"] {
        assert_eq!(post(&place, key)["options"], options, "{key}");
        let long = post(&place, &key.repeat(2));
        assert_eq!(long["variants"]["x"].as_array().map(Vec::len), Some(2), "{long}");
    }
    let again = place.run(&[&["import"], &files[..]].concat()).exits(0);
    again.tells("known, scheduled");
    assert!(!again.err.contains("fit:"), "{}", again.err);
}

#[test]
fn what_is_wrong_in_a_calendar_is_told_at_its_place() {
    let place = dry(&["x", "reddit"], "");
    let told = |name: &str, text: &str, expected: &[&str]| {
        place.write(name, text);
        let told = place.run(&["import", name]).exits(1);
        expected.iter().for_each(|line| told.tells(line));
    };
    let header = "at,accounts,text,reddit.subreddit,reddit.title,reddit.nsfw,fit";

    told(
        "f.csv",
        &format!(
            "{header}\n{AT},reddit,hi,,A,,\n{AT},reddit,hi,rust,A,perhaps,\n{AT},x,hi,rust,,,\n\
             {AT},x,hi,,,,tight\n{AT},x,#{},,,,shorten\n",
            "a".repeat(300)
        ),
        &[
            "f.csv:2:29: options.reddit.subreddit: is missing: the community",
            "f.csv:3:36: options.reddit.nsfw: is \"perhaps\", expected true or false",
            "f.csv:4:24: options.reddit: none of the accounts is on reddit",
            "f.csv:5:27: fit: \"tight\" cannot be; expected shorten or thread",
            "f.csv:6:326: fit: x: \"#aaa",
        ],
    );
    told(
        "f.toml",
        &format!(
            "[[post]]\nat = \"{AT}\"\naccounts = [\"reddit\"]\ntext = \"hi\"\n[post.options.reddit]\n\
             subreddit = \"rust\"\ntitle = \"A\"\nnsfw = \"perhaps\"\nkind = \"poll\"\n"
        ),
        &[
            "f.toml:8:8: options.reddit.nsfw: is \"perhaps\", expected true or false",
            "f.toml:9:8: options.reddit.kind: is \"poll\", expected self, link",
        ],
    );
    told(
        "f.json",
        &format!(
            "[\n {{\"at\": \"{AT}\", \"accounts\": \"reddit\", \"text\": \"hi\",\n  \"options\": {{\"reddit\": {{\"subredit\": \"rust\"}}}}}}\n]"
        ),
        &["f.json:3:38: options.reddit.subredit: is not known; expected subreddit, title"],
    );
}

#[test]
fn a_day_that_is_full_is_told_by_the_plan() {
    let place = dry(&["instagram"], "instagram_daily = 2\n");
    let mut picture = Cursor::new(Vec::new());
    image::RgbImage::from_pixel(400, 400, image::Rgb([1, 2, 3]))
        .write_to(&mut picture, image::ImageFormat::Png)
        .unwrap();
    place.write("p.png", picture.into_inner());
    // A day of the next week, by the clock that the command goes by.
    let soon =
        place.run(&["preview", "--every", "24h", "--count", "4", "--json"]).exits(0).values();
    let day = soon[0]["occurrences"][3].as_str().unwrap()[..10].to_owned();
    let row = |hour: u32| format!("k{hour},{day}T{hour:02}:00Z,instagram,hi,p.png\n");
    let write = |hours: &[u32]| {
        let rows: String = hours.iter().map(|hour| row(*hour)).collect();
        place.write("c.csv", format!("key,at,accounts,text,media\n{rows}"));
    };

    write(&[8, 9, 10]);
    let plan = place.run(&["import", "c.csv"]).exits(1);
    plan.tells("c.csv:4:5: at: ");
    plan.tells("breaks instagram's daily limit: account \"instagram\" would have 3 posts");
    write(&[8, 9]);
    place.run(&["import", "c.csv", "--apply"]).exits(0);
    let at = format!("{day}T12:00Z");
    let third = ["post", "hi", "--account", "instagram", "--media", "p.png", "--at", &at];
    place.run(&third).exits(1).tells("breaks instagram's daily limit");
    let preview = place.run(&[&third[..], &["--preview"]].concat()).exits(1);
    preview.tells("it would not be taken in: at: ");
    let other = format!("{day}T07:00Z");
    place.run(&["post", "edit", "k8", "--at", &other]).exits(0);
}

#[test]
fn what_cannot_be_done_says_what_can() {
    let place = dry(&["reddit", "instagram", "x"], "");
    let told = |args: &[&str]| place.run(args);

    told(&["account", "connect", "bluesky", "--name", "b"])
        .exits(1)
        .tells("bluesky does not connect accounts in a browser; add the account with");
    told(&["account", "connect", "facebook", "--name", "x"])
        .exits(1)
        .tells("account \"x\" is there already, on x; choose another name");
    // A dry run signs nobody in.
    Place::new()
        .run(&["account", "add", "bluesky", "--name", "b"])
        .exits(2)
        .tells("--handle HANDLE --app-password-stdin");
    told(&["account", "add", "pinterest", "--name", "p"]).exits(2).tells("--access-token-stdin");
    told(&["account", "limits"]).exits(0).tells("instagram takes 50 posts of one account");
    told(&["account", "limits", "instagram"]).exits(0).tells("instagram takes 50 posts");
    told(&["post", "hello", "--account", "x", "--at", "+1h", "--key", "k"]).exits(0);
    told(&["post", "edit", "k", "--option", "reddit.title=A"])
        .exits(2)
        .tells("--option reddit: none of the post's accounts is on reddit");
    told(&["post", "edit", "k", "--option", "reddit.title="]).exits(0);
}

#[test]
fn a_preview_shows_all_that_goes_out() {
    let place = dry(&["x", "reddit"], "");
    let said = "This sentence is said again. ".repeat(12);
    let long = format!("{}\nIts very end.", said.trim());
    let to = ["--account", "x", "--account", "reddit", "--preview", "--fit", "thread"];
    let options = ["--option", "reddit.subreddit=rust", "--option", "reddit.title=A story"];

    let shown = place.run(&[&["post", &long][..], &to, &options].concat()).exits(0);

    for expected in [
        "This sentence is said again.\n          Its very end.",
        "  with reddit.title = A story\n",
        "  split to a thread of 2 parts\n",
    ] {
        assert!(shown.out.contains(expected), "{expected} in\n{}", shown.out);
    }
    assert!(!shown.out.contains('…'), "{}", shown.out);
}

#[test]
fn a_title_alone_is_a_post_where_the_platform_takes_it() {
    let place = dry(&["x", "reddit"], "");
    let options = ["--option", "reddit.subreddit=rust", "--option", "reddit.title=A story"];
    place.write(
        "a.csv",
        format!("at,accounts,text,reddit.subreddit,reddit.title\n{AT},reddit,,rust,A story\n"),
    );

    place.run(&[&["post", "", "--account", "reddit", "--preview"][..], &options].concat()).exits(0);
    place.run(&["import", "a.csv"]).exits(0);
    let both = ["post", "", "--account", "reddit", "--account", "x", "--preview"];
    place.run(&[&both[..], &options].concat()).exits(1).tells("text: x: the text is empty");
}
