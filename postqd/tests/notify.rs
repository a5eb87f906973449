//! Who is told when something needs a person: a whole `postqd`, real receivers, real mail server.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

#[path = "../../postq-outbound/tests/support/mod.rs"]
mod receivers;
mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use fake_x::FakeX;
use postq_core::clock::{Clock, SystemClock};
use postq_outbound::signing::{Signed, SigningKey};
use serde_json::{Value, json};

use receivers::Server;
use receivers::smtp::{Fault, MailServer, Tls};
use support::{Ended, PATIENCE, Place};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const REFUSED: &str = "xoxb-refused-5f0c1a7e9d";
const TEXT: &str = "quite private wording";

/// Everything that a person is told by.
struct World {
    place: Place,
    x: FakeX,
    webhook: Server,
    slack: Server,
    mail: MailServer,
}

impl World {
    async fn new(slack: u16, mail: Fault) -> Self {
        let slack = Server::answering(move |_| Some((slack, String::new(), "ok".to_owned()))).await;
        let mail = MailServer::start(Tls::Wrapped, mail).await;
        let place = Place::new();
        place.write("root.pem", &mail.root);
        let (x, webhook) = (FakeX::start().await.unwrap(), Server::start("").await);
        Self { place, x, webhook, slack, mail }
    }

    fn set(&self) -> Vec<(&'static str, String)> {
        vec![
            ("X_API_BASE_URL", self.x.base_url()),
            ("POSTQ_RATE_LIMIT", "off".to_owned()),
            ("POSTQ_PUBLIC_URL", "https://postq.example.com".to_owned()),
            ("POSTQ_NOTIFY_WEBHOOK_URL", self.webhook.url("/hook?key=k3y-of-hook")),
            ("POSTQ_NOTIFY_WEBHOOK_SECRET", SECRET.to_owned()),
            ("POSTQ_NOTIFY_SLACK_URL", self.slack.url("/services/k3y-of-slack")),
            ("POSTQ_SMTP_URL", format!("smtps://me:k3y-of-mail@localhost:{}", self.mail.port())),
            ("POSTQ_NOTIFY_FROM", "postq@example.com".to_owned()),
            ("POSTQ_NOTIFY_TO", "ann@example.com, bob@example.com".to_owned()),
            ("SSL_CERT_FILE", self.place.path("root.pem").display().to_string()),
        ]
    }

    fn run(&self, args: &[&str], input: &str) -> Ended {
        self.run_with(&[], args, input)
    }

    fn run_with(&self, more: &[(&str, &str)], args: &[&str], input: &str) -> Ended {
        let mut command = self.place.command(args);
        command.envs(self.set()).envs(more.iter().copied());
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        tokio::task::block_in_place(|| Ended::of(child.wait_with_output().unwrap()))
    }

    /// An account whose token is refused, and posts for it that are due.
    fn plan(&self, posts: usize) {
        // In a dry run X is not asked whose the token is: it was good then.
        let add = ["account", "add", "x", "--name", "main", "--access-token-stdin"];
        self.run_with(&[("DRY_RUN", "true")], &add, REFUSED).exits(0);
        let mut calendar = "key,at,accounts,text\n".to_owned();
        for n in 0..posts {
            writeln!(calendar, "{n},+1s,main,{TEXT} {n}").unwrap();
        }
        self.place.write("calendar.csv", calendar);
        self.run(&["import", "--apply", "calendar.csv"], "").exits(0);
    }

    fn counts(&self) -> [usize; 3] {
        [self.webhook.requests().len(), self.slack.requests().len(), self.mail.mails().len()]
    }

    async fn until(&self, what: &str, good: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !good() {
            if Instant::now() >= deadline {
                let log = std::fs::read_to_string(self.place.path("log")).unwrap_or_default();
                panic!("{what}: {:?}\n{log}", self.counts());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn environment<'a>(set: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    set.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn no_secret(told: &str) {
    for secret in ["k3y-of", "MfKQ9r8GKY", REFUSED, TEXT] {
        assert!(!told.contains(secret), "{secret} is in {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_token_sends_one_message_by_each_channel() {
    let world = World::new(200, Fault::None).await;
    world.plan(50);
    let set = world.set();

    let served = tokio::task::block_in_place(|| {
        let mut all = environment(&set);
        all.push(("LOG_LEVEL", "trace"));
        world.place.serve_into("log", &all)
    });
    world.until("everybody is told", || world.counts() == [1, 1, 1]).await;
    // All fifty are due, and the account stands still: longer than a worker needs for them.
    tokio::time::sleep(Duration::from_secs(3)).await;

    assert_eq!(world.counts(), [1, 1, 1], "by each channel once");
    let hook = &world.webhook.requests()[0];
    let key: SigningKey = SECRET.parse().unwrap();
    let signed = Signed {
        id: &hook.headers["webhook-id"],
        timestamp: &hook.headers["webhook-timestamp"],
        signatures: &hook.headers["webhook-signature"],
        body: &hook.body,
    };
    assert!(key.verify(signed, SystemClock.now(), PATIENCE));
    let told: Value = serde_json::from_slice(&hook.body).unwrap();
    assert_eq!(told["type"], "notice.account_needs_attention");
    assert_eq!(told["data"]["command"], "postqd account show main");
    let account = told["data"]["account"].as_str().unwrap();
    let link = format!("https://postq.example.com/accounts/{account}");
    assert_eq!(told["data"]["link"], link);
    let text = told["data"]["text"].as_str().unwrap();
    assert!(text.starts_with(TEXT), "ready to be posted by hand: {text}");
    let slack: Value = serde_json::from_slice(&world.slack.requests()[0].body).unwrap();
    let slack = slack["text"].as_str().unwrap();
    assert!(slack.contains(&format!("<{link}>")) && slack.contains(text), "{slack}");
    let mail = &world.mail.mails()[0];
    assert_eq!(mail.to, ["ann@example.com", "bob@example.com"]);
    assert!(mail.data.contains("Subject: postq: an account needs a person (main on x)"));
    assert!(mail.data.contains(text) && mail.data.contains("postqd account show main"));
    drop(served);
    let log = std::fs::read_to_string(world.place.path("log")).unwrap();
    assert!(log.contains("needs a person"), "the log is told as well");
    no_secret(&log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_fails_repeats_nothing_on_the_others() {
    // The mail server knows no such user and the chat is broken for a while.
    let world = World::new(503, Fault::NoSuchUser).await;
    world.plan(3);
    let set = world.set();

    let served = tokio::task::block_in_place(|| world.place.serve_with(&environment(&set)));
    world.until("the channels are tried", || world.mail.connections() > 0).await;
    world.until("the channels are tried", || world.counts() == [1, 1, 0]).await;
    let jobs = || -> Vec<Value> {
        let all: Value =
            serde_json::from_str(&served.ask("GET", "/api/jobs?topic=notify", "", "")).unwrap();
        all["items"].as_array().unwrap().clone()
    };
    let settled = || {
        let jobs = jobs();
        let state = |state: &str| jobs.iter().filter(|job| job["state"] == state).count();
        [state("succeeded"), state("failed"), state("dead_letter")] == [2, 1, 1]
    };
    world.until("the log and the webhook worked", settled).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    assert_eq!(world.counts(), [1, 1, 0], "nothing again, and no notice of a notice");
    assert_eq!(jobs().len(), 4, "{:#?}", jobs());
    assert_eq!(world.mail.connections(), 1, "what is refused for good is not tried again");
    let failed = jobs().into_iter().find(|job| job["state"] == "failed").unwrap();
    assert_eq!(failed["max_attempts"], 10);
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("slack") && reason.contains("503"), "{reason}");
    let dead = jobs().into_iter().find(|job| job["state"] == "dead_letter").unwrap();
    let reason = dead["reason"].as_str().unwrap();
    assert!(reason.contains("mail") && reason.contains("550"), "{reason}");
    served.signal("TERM");
    let ended = tokio::task::block_in_place(|| served.wait());
    no_secret(&(ended.out + &ended.err));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_tells_what_came_of_each_channel() {
    let world = World::new(200, Fault::None).await;
    let good = world.run(&["notify", "test"], "").exits(0);
    assert_eq!(world.counts(), [1, 1, 1]);
    for channel in ["log", "webhook", "slack", "mail"] {
        assert!(good.out.lines().any(|line| line.starts_with(channel) && line.contains("sent")));
    }
    let doctor = world.run(&["doctor"], "");
    doctor.tells("log, webhook (signed), slack and mail");
    no_secret(&(doctor.out + &doctor.err));

    let world = World::new(404, Fault::WrongPassword).await;
    let bad = world.run(&["notify", "test"], "").exits(1);
    bad.tells("answered 404");
    bad.tells("535");
    bad.tells("2 channels could not be told");
    no_secret(&(bad.out.clone() + &bad.err));
    let json = world.run(&["notify", "test", "--json"], "").exits(1).values();
    let of =
        |name: &str| json[0].as_array().unwrap().iter().find(|c| c["channel"] == name).unwrap();
    assert_eq!(of("webhook")["delivered"], true);
    assert_eq!(of("mail")["delivered"], false);

    let place = Place::new();
    place.run(&["notify", "test"]).exits(0).tells("only the log is told");
    place.run(&["doctor"]).tells("the log alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_asked_by_whom_it_tells() {
    let world = World::new(200, Fault::None).await;
    let set = world.set();
    let served = tokio::task::block_in_place(|| world.place.serve_with(&environment(&set)));
    let elsewhere = Place::new();
    let test = |args: &[&str]| {
        let server = format!("http://{}", served.listen);
        tokio::task::block_in_place(|| elsewhere.run_with("POSTQ_SERVER", &server, args))
    };

    let shown = served.ask("GET", "/api/notifications", "", "");
    let good = test(&["notify", "test"]).exits(0);

    assert_eq!(world.counts(), [1, 1, 1], "by the daemon's channels, which this machine has not");
    for channel in ["log", "webhook", "slack", "mail"] {
        assert!(good.out.lines().any(|line| line.starts_with(channel) && line.contains("sent")));
    }
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let to = |channel: usize| shown["channels"][channel]["to"].clone();
    let local = |server: &Server| {
        json!([server.url("").trim_start_matches("http://").trim_end_matches('/')])
    };
    assert_eq!([to(0), to(1), to(2)], [json!([]), local(&world.webhook), local(&world.slack)]);
    assert_eq!(to(3), json!(["ann@example.com", "bob@example.com"]));
    no_secret(&(shown.to_string() + &good.out + &good.err));
}

// By Python's hmac, with the secret `consumer-s3cret`.
const CHALLENGE: &str = "sha256=gQ9N0Qh8jghFDZ+OjCg+BJlGkMZhsYrnqATjn7ptQYE=";
const EVENT: &str = concat!(
    r#"{"for_user_id":"2244994945","tweet_delete_events":[{"status":{"id":"1050118621198921728","#,
    r#""user_id":"2244994945"},"timestamp_ms":"1539202764000"}]}"#
);
const SIGNATURE: &str =
    "x-twitter-webhooks-signature: sha256=Y2rL10DsuBkJVqbDVBtr0aV6edqMebHK2ml7gG77CqY=\r\n";

#[test]
fn what_x_sends_is_taken_where_its_secret_is_set() {
    let place = Place::new();
    let served = place.serve_with(&[("X_WEBHOOK_SECRET", "consumer-s3cret")]);
    let path = "/api/incoming/x";

    let proof = served.ask(
        "GET",
        &format!("{path}?crc_token=9b4507b3-9040-4669-9ca3-6b94edb50553"),
        "",
        "",
    );
    let forged =
        served.send("GET", &format!("{path}?crc_token=%7B%22for_user_id%22%3A1%7D"), "", "");
    let taken = served.send("POST", path, SIGNATURE, EVENT);
    let changed = served.send("POST", path, SIGNATURE, &EVENT.replace("945", "946"));
    let bare = served.send("POST", path, "", EVENT);

    assert_eq!(proof, format!("{{\"response_token\":\"{CHALLENGE}\"}}"));
    assert!(
        forged.starts_with("HTTP/1.1 422"),
        "nothing is signed that could be an event: {forged}"
    );
    assert!(taken.starts_with("HTTP/1.1 200"), "{taken}");
    assert!(changed.starts_with("HTTP/1.1 403") && bare.starts_with("HTTP/1.1 403"), "{changed}");
    let without = Place::new();
    let served = without.serve();
    assert!(served.send("POST", path, SIGNATURE, EVENT).starts_with("HTTP/1.1 404"));
    assert!(served.send("GET", &format!("{path}?crc_token=a"), "", "").starts_with("HTTP/1.1 404"));
}
