//! The platforms as a user meets them: their settings, their options, and how accounts come to be.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::io::Write;
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

#[test]
fn every_platform_is_there_and_doctor_says_how_to_get_in() {
    let place = Place::new();

    let told = place.run(&["platforms", "--json"]).exits(0).values();
    let doctor = place.run(&["doctor"]).exits(0);

    let names: Vec<&str> =
        told[0].as_array().unwrap().iter().map(|one| one["platform"].as_str().unwrap()).collect();
    assert_eq!(names, ALL);
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
        ("FACEBOOK_PAGE_ID", "acme", "facebook_page_id (FACEBOOK_PAGE_ID)"),
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
    given(&place, &add, "abcd-efgh-ijkl-mnop\n").exits(0).tells(&format!("is id {did}"));
    let posted = place.run(&["post", "Hello #postq", "--account", "alice"]).exits(0);
    let shown = place.run(&["account", "show", "alice"]).exits(0);

    posted.tells("published");
    shown.tells("credentials  sealed");
    shown.tells("renewed before");
    assert_eq!(bluesky.ledger().posts.len(), 1);
    for file in ["postq.db", "postq.db-wal"] {
        let kept = std::fs::read(place.path("postq-data").join(file)).unwrap_or_default();
        let has = |secret: &str| kept.windows(secret.len()).any(|own| own == secret.as_bytes());
        assert!(!has("abcd-efgh-ijkl-mnop"), "{file}");
    }
    given(
        &place,
        &["account", "add", "x", "--name", "x", "--handle", "a", "--app-password-stdin"],
        "p",
    )
    .exits(1)
    .tells("nobody signs in at x here");
    bluesky.add_user("bob.test", "bob-bob-bob");
    let mut other = add;
    other[6] = "bob.test";
    given(&place, &other, "bob-bob-bob").exits(1).tells("give it a name of its own");
}

#[test]
fn options_reach_the_platform_and_can_be_changed() {
    let runtime = Runtime::new().unwrap();
    let reddit = runtime.block_on(FakeReddit::start()).unwrap();
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
    let post = |more: &[&str]| {
        let base = ["post", "A long story.", "--account", "me", "--key", "story"];
        place.run(&[&base, more].concat())
    };

    post(&[]).exits(1).tells("the option \"subreddit\" is missing");
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
    place.run(&missing).exits(1).tells("the option \"subreddit\" is missing");

    let values = place.run(&["post", "show", "story", "--json"]).exits(0).values();
    let expected = json!({ "reddit": { "subreddit": "rust", "title": "43" } });
    assert_eq!(values[0]["post"]["options"], expected);
    let now = ["--option", "reddit.subreddit=rust", "--option", "reddit.title=Now"];
    let base = ["post", "A story.", "--account", "me"];
    place.run(&[&base[..], &now].concat()).exits(0).tells("published");
    assert_eq!(reddit.accepted().len(), 1);
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
    post(&["--fit", "shorten"]).exits(0);

    let shown = place.run(&["post", "show", "k"]).exits(0);
    shown.tells("on x:");
    let post: Value = place.run(&["post", "show", "k", "--json"]).values().remove(0);
    assert_eq!(post["post"]["variants"]["x"].as_array().unwrap().len(), 1);
}
