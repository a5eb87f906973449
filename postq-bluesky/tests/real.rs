//! The same against the real server: a PDS with its directory, as `scripts/pds/start.cjs` starts them.
//!
//! `POSTQ_TEST_PDS` names a folder where `npm ci` has been run on `scripts/pds/package.json`. Where there is none,
//! nobody can run these; `scripts/test --real` installs it and runs them, `scripts/pds/test` these alone.

mod support;

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postq_bluesky::{Bluesky, Config};
use postq_core::conformance::platform::{Live, PlatformHarness};
use postq_core::connect::{Grant, Refresh, Renewal};
use postq_core::content::{MediaRef, Part};
use postq_core::failure::{Failure, FailureClass, Outcome};
use postq_core::intent::{Intent, PlatformKey};
use postq_core::media::{MediaFacts, MediaKind, MediaStore};
use postq_core::memory::MemoryMedia;
use postq_core::platform::{
    Identity, Look, Lookup, Media, Outgoing, Platform, PreparedMedia, Published, Reconcile, Stage,
    UploadFile, UploadStep,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use support::{found, intent, now, options, outgoing, who};

const NEEDED: &str = "POSTQ_TEST_PDS is not set: run scripts/pds/test";

/// The servers, ended with the test: they end when their input does.
struct Servers {
    child: Child,
    pds: String,
    plc: String,
}

impl Drop for Servers {
    /// They end with their input, and clear up behind them: killed, they could not.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.start_kill();
    }
}

impl Servers {
    async fn start(rate_limits: bool) -> Self {
        #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
        let folder = std::env::var_os("POSTQ_TEST_PDS").expect(NEEDED);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/pds/start.cjs");
        let mut child = Command::new("node")
            .arg(script)
            .arg(folder)
            .env("PDS_RATE_LIMITS", if rate_limits { "1" } else { "0" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node");
        let output = child.stdout.take().expect("it is piped");
        let line = tokio::time::timeout(Duration::from_secs(60), async {
            BufReader::new(output).lines().next_line().await.expect("a line").expect("it starts")
        });
        let told: Value =
            serde_json::from_str(&line.await.expect("it starts in time")).expect("JSON");
        let at = |name: &str| told[name].as_str().expect("an address").to_owned();
        Self { pds: at("pds"), plc: at("plc"), child }
    }

    async fn call(&self, method: &str, token: Option<&str>, body: Value) -> Value {
        let mut request = reqwest::Client::new()
            .post(format!("{}/xrpc/{method}", self.pds))
            .header("content-type", "application/json")
            .body(body.to_string());
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{method}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }

    async fn get(&self, method: &str, query: &[(&str, &str)]) -> Value {
        let request =
            reqwest::Client::new().get(format!("{}/xrpc/{method}", self.pds)).query(query);
        request.send().await.expect("an answer").json().await.expect("JSON")
    }
}

struct Bench {
    servers: Servers,
    bluesky: Bluesky,
    who: Identity,
    did: String,
    grant: Grant,
}

/// Servers, an account `alice.test` on them, and a session that was made of an app password.
async fn bench() -> Bench {
    bench_with(false).await
}

async fn bench_with(rate_limits: bool) -> Bench {
    let servers = Servers::start(rate_limits).await;
    let bluesky = Bluesky::new(Config {
        service_url: servers.pds.clone(),
        plc_url: servers.plc.clone(),
        video_url: None,
        send_timeout: Duration::from_secs(20),
        ..Config::default()
    })
    .expect("an adapter");
    let account =
        json!({ "handle": "alice.test", "email": "a@example.com", "password": "main-password" });
    let made = servers.call("com.atproto.server.createAccount", None, account).await;
    let token = made["accessJwt"].as_str().expect("a token");
    let named = json!({ "name": "postq" });
    let app = servers.call("com.atproto.server.createAppPassword", Some(token), named).await;
    let password = app["password"].as_str().expect("a password").into();
    let (grant, whose) = bluesky.sign_in("alice.test", &password).await.expect("signed in");
    let who = who(grant.access_token.expose_secret(), Some(&whose.remote_id));
    Bench { servers, bluesky, who, did: whose.remote_id, grant }
}

impl Bench {
    async fn send(&self, intent: &Intent) -> Result<Published, Failure> {
        self.bluesky.publish(&self.who, outgoing(intent)).await
    }

    async fn records(&self) -> Vec<Value> {
        let query =
            [("repo", self.did.as_str()), ("collection", "app.bsky.feed.post"), ("limit", "100")];
        let list = self.servers.get("com.atproto.repo.listRecords", &query).await;
        list["records"].as_array().expect("a list").clone()
    }

    async fn look(&self, intent: &Intent) -> Look {
        let lookup = Lookup { intent, claimed: &BTreeSet::new(), now: now() };
        self.bluesky.look(&self.who, lookup).await.expect("a look")
    }

    async fn upload(&self, kind: MediaKind, content: &[u8]) -> Result<PreparedMedia, Failure> {
        let store = MemoryMedia::default();
        let stored =
            store.put(Box::new(Cursor::new(content.to_vec())), u64::MAX).await.expect("put");
        let facts = MediaFacts::picture(kind, 1, 1);
        let file = UploadFile {
            store: &store,
            id: stored.id,
            bytes: stored.bytes,
            facts: &facts,
            alt: None,
            url: None,
            now: now(),
        };
        let mut state = None;
        for _ in 0..2 {
            match Media::step(&self.bluesky, &self.who, file, state.as_ref()).await? {
                UploadStep::Ready(prepared) => return Ok(prepared),
                UploadStep::Going { state: begun, .. } => state = Some(begun),
            }
        }
        panic!("a picture is one step, a video is begun and sent");
    }
}

#[async_trait]
impl PlatformHarness for Bench {
    fn platform(&self) -> &dyn Platform {
        &self.bluesky
    }

    fn who(&self) -> Identity {
        self.who.clone()
    }

    async fn live(&self) -> Option<Vec<Live>> {
        let mut records = self.records().await;
        records.sort_by_key(|one| one["value"]["createdAt"].as_str().map(str::to_owned));
        let id = |of: &Value| Some(format!("{}#{}", of["uri"].as_str()?, of["cid"].as_str()?));
        let live = records.iter().map(|one| Live {
            remote_id: id(one).expect("a record"),
            reply_to: id(&one["value"]["reply"]["parent"]),
        });
        Some(live.collect())
    }

    fn bad(&self) -> Option<Vec<Part>> {
        Some(vec![Part::text("word ".repeat(61))])
    }

    async fn container(&self, part: usize) -> Option<String> {
        let intent = intent(&self.good()[part].text);
        let step = Stage::step(&self.bluesky, &self.who, outgoing(&intent), None, now()).await;
        match step.expect("staged") {
            UploadStep::Ready(ready) => Some(ready.remote_id),
            UploadStep::Going { .. } => None,
        }
    }
}

/// The published suite: what needs no faults.
macro_rules! rules {
    ($($rule:ident)*) => {
        $(
            #[tokio::test]
            #[ignore = "needs the real server: scripts/pds/test"]
            async fn $rule() {
                postq_core::conformance::platform::$rule(Arc::new(bench().await)).await;
            }
        )*
    };
}

rules! {
    publish_sends_once
    publish_brings_a_receipt
    a_thread_is_a_chain
    a_look_changes_nothing
    a_look_finds_what_is_out
    a_look_finds_nothing_that_is_not_ours
}

#[tokio::test]
#[ignore = "needs the real server: scripts/pds/test"]
async fn the_same_part_again_is_the_same_record_and_another_one_is_refused() {
    let bench = bench().await;
    let mut intent = intent("exactly once \u{1f469}\u{200d}\u{1f680}");
    let staged = bench.container(0).await.expect("staged");
    intent.container = Some(staged);
    let first = bench.send(&intent).await.expect("published").receipt;

    // At once, and again, and as somebody else would have staged it.
    let (one, two, three) =
        tokio::join!(bench.send(&intent), bench.send(&intent), bench.send(&intent));
    for sent in [one, two, three] {
        assert_eq!(sent.expect("a success").receipt.remote_id, first.remote_id);
    }
    let anew = Intent { container: None, ..intent.clone() };
    assert_eq!(bench.send(&anew).await.expect("it is out").receipt.remote_id, first.remote_id);
    let edited = Intent { text: "edited".into(), ..intent.clone() };
    let failure = bench.send(&edited).await.expect_err("another record is there");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Platform, Outcome::Unknown));
    assert!(failure.message.contains("InvalidSwap"), "{failure}");

    let records = bench.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["value"]["text"], intent.text.as_str());
    assert_eq!(found(&bench.look(&intent).await), first.remote_id);
}

/// What goes wrong between a caller and the server.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    /// The request comes without its last byte, then both connections end.
    CutBefore,
    /// The request comes and is done; of the answer nothing comes back.
    CutAfter,
    /// The same, and something on the way says that it could not be done.
    Lie,
}

/// What stands before the server; one connection meets trouble.
async fn meddle(pds: &str, trouble: Trouble) -> String {
    let target = pds.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a call");
        let mut server = TcpStream::connect(target).await.expect("the server");
        let request = whole_request(&mut client).await;
        if trouble == Trouble::CutBefore {
            return server.write_all(&request[..request.len() - 1]).await.expect("passed on");
        }
        server.write_all(&request).await.expect("passed on");
        // When it begins to answer it has done what was asked.
        server.read_exact(&mut [0; 12]).await.expect("an answer");
        if trouble == Trouble::Lie {
            let lie = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            client.write_all(lie.as_bytes()).await.expect("answered");
        }
    });
    format!("http://{address}")
}

/// A request, head and body.
async fn whole_request(client: &mut TcpStream) -> Vec<u8> {
    let (mut request, mut piece) = (Vec::new(), vec![0; 64 * 1_024]);
    loop {
        let read = client.read(&mut piece).await.expect("a request");
        assert!(read > 0, "the request ends too early");
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("content-length: ").nth(1).expect("a length");
        let length: usize = length.lines().next().expect("a length").parse().expect("a number");
        // The texts of these tests are all of single bytes.
        if body.len() >= length {
            return request;
        }
    }
}

#[tokio::test]
#[ignore = "needs the real server: scripts/pds/test"]
async fn whatever_becomes_of_a_call_there_is_one_post_and_it_is_found() {
    for trouble in [Trouble::CutBefore, Trouble::CutAfter, Trouble::Lie] {
        let bench = bench().await;
        let intent = intent("exactly once");
        let before = meddle(&bench.servers.pds, trouble).await;
        let secret = bench.grant.access_token.expose_secret().replace(&bench.servers.pds, &before);
        let meddled = who(&secret, Some(&bench.did));

        let failure = bench.bluesky.publish(&meddled, outgoing(&intent)).await;

        let failure = failure.expect_err("no answer that tells of it");
        assert_eq!(failure.outcome, Outcome::Unknown, "{failure}");
        let (look, records) = (bench.look(&intent).await, bench.records().await);
        if trouble == Trouble::CutBefore {
            assert_eq!((look, records.len()), (Look::Absent, 0));
        } else {
            assert_eq!(records.len(), 1);
            assert!(found(&look).starts_with(records[0]["uri"].as_str().expect("an address")));
        }
        // Nobody need look: it may as well be sent again, and by two at once.
        let (one, two) = tokio::join!(bench.send(&intent), bench.send(&intent));
        let id = one.expect("it is out").receipt.remote_id;
        assert_eq!(two.expect("it is out").receipt.remote_id, id);
        assert_eq!(found(&bench.look(&intent).await), id);
        assert_eq!(bench.records().await.len(), 1);
    }
}

#[tokio::test]
#[ignore = "needs the real server: scripts/pds/test"]
async fn many_keys_are_record_keys_that_it_takes() {
    let bench = bench().await;
    for job in 0..40_u128 {
        let key = PlatformKey::from_raw(format!("{:032x}-{job}", u128::MAX / (job + 1)));
        let intent = Intent { key, ..intent(&format!("text {job}")) };
        bench.send(&intent).await.expect("a TID");
    }
    assert_eq!(bench.records().await.len(), 40);
}

#[tokio::test]
#[ignore = "needs the real server: scripts/pds/test"]
async fn texts_at_the_limit_are_taken_and_longer_ones_are_not() {
    let bench = bench().await;
    let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}";
    let flag = "\u{1f1e9}\u{1f1ea}";
    for text in [
        "a".repeat(300),
        "e\u{301}".repeat(300),
        "日".repeat(300),
        family.repeat(120),
        flag.repeat(300),
        "\r\n".repeat(299) + "a",
        format!("a{}", "\u{301}".repeat(1_499)),
    ] {
        let length = postq_core::platform::Measure::measure(&bench.bluesky, &text);
        assert!(length.length <= length.limit, "{length:?}");
        bench.send(&intent(&text)).await.expect("published");
    }
    for text in [
        "a".repeat(301),
        family.repeat(121),
        flag.repeat(301),
        format!("a{}", "\u{301}".repeat(1_500)),
    ] {
        let length = postq_core::platform::Measure::measure(&bench.bluesky, &text);
        assert!(length.length > length.limit, "{length:?}");
        let failure = bench.send(&intent(&text)).await.expect_err("too long");
        assert_eq!(
            (failure.class, failure.outcome),
            (FailureClass::Content, Outcome::NotPublished)
        );
    }
}

#[tokio::test]
#[ignore = "needs the real server: scripts/pds/test"]
async fn a_post_with_everything_is_taken_as_valid() {
    let bench = bench().await;
    let told = options(
        r#"{"langs":["en","de"],"labels":["sexual","!no-unauthenticated"],"tags":["rust"],
            "card_url":"https://a.example/b","card_title":"A title","card_description":"What it is"}"#,
    );
    let text = "\u{1f680} @alice.test and @nobody.test: https://a.example/é #日本";
    let first = Intent { options: told, ..intent(text) };
    let thumb = bench.upload(MediaKind::Png, PNG).await.expect("uploaded");
    let media = [MediaRef { source: "a.png".into(), alt: None }];
    let part = Outgoing { media: &media, prepared: &[thumb], ..outgoing(&first) };
    let root = bench.bluesky.publish(&bench.who, part).await.expect("published").receipt.remote_id;

    let record = &bench.records().await[0]["value"];
    let features: Vec<&Value> = record["facets"]
        .as_array()
        .expect("facets")
        .iter()
        .map(|facet| &facet["features"][0])
        .collect();
    assert_eq!(features.len(), 3, "{features:?}");
    assert_eq!(features[0]["did"], bench.did.as_str());
    assert_eq!(record["embed"]["external"]["thumb"]["mimeType"], "image/png");

    let second = Intent { part: 1, reply_to: Some(root.clone()), ..intent("two") };
    let picture = bench.upload(MediaKind::Png, PNG).await.expect("uploaded");
    let media = [MediaRef { source: "a.png".into(), alt: Some("a dot".into()) }];
    let part = Outgoing { media: &media, prepared: &[picture], ..outgoing(&second) };
    bench.bluesky.publish(&bench.who, part).await.expect("published");
    let records = bench.records().await;
    let reply = records.iter().find(|one| one["value"]["text"] == "two").expect("it is out");
    let (uri, cid) = root.rsplit_once('#').expect("a remote id");
    assert_eq!(reply["value"]["reply"]["root"], json!({ "uri": uri, "cid": cid }));
    assert_eq!(reply["value"]["embed"]["images"][0]["alt"], "a dot");
}

#[tokio::test]
#[ignore = "needs the real server: scripts/pds/test"]
async fn a_video_is_taken_as_a_blob() {
    let bench = bench().await;
    let mut mp4 = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\0\0\x08mdat".to_vec();
    mp4.resize(3_000_000, 7);
    let video = bench.upload(MediaKind::Mp4, &mp4).await.expect("uploaded");
    let intent = intent("look");
    let media = [MediaRef { source: "a.mp4".into(), alt: Some("a dot".into()) }];
    let part = Outgoing { media: &media, prepared: &[video], ..outgoing(&intent) };

    bench.bluesky.publish(&bench.who, part).await.expect("published");

    let embed = bench.records().await[0]["value"]["embed"].clone();
    assert_eq!(
        (embed["$type"].as_str(), embed["video"]["size"].as_u64()),
        (Some("app.bsky.embed.video"), Some(3_000_000))
    );
}

#[tokio::test]
#[ignore = "needs the real server: scripts/pds/test"]
async fn refusals_are_told_as_what_they_are() {
    let bench = bench().await;
    let class_of = async |secret: &str| {
        let who = who(secret, Some(&bench.did));
        let intent = intent("text");
        let failure = bench.bluesky.publish(&who, outgoing(&intent)).await.expect_err("refused");
        assert_eq!(failure.outcome, Outcome::NotPublished, "{failure}");
        failure.class
    };
    let refresh = bench.grant.refresh_token.as_ref().expect("one").expose_secret();
    assert_eq!(class_of("garbage").await, FailureClass::Auth);
    assert_eq!(class_of(refresh).await, FailureClass::Auth, "a refresh token writes nothing");

    let unknown = json!({
        "blob": { "$type": "blob", "ref": { "$link": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku" },
            "mimeType": "image/png", "size": 10 },
        "width": 1, "height": 1,
    });
    let prepared = [PreparedMedia { remote_id: unknown.to_string(), expires_at: None }];
    let media = [MediaRef { source: "a.png".into(), alt: None }];
    let intent = intent("text");
    let part = Outgoing { media: &media, prepared: &prepared, ..outgoing(&intent) };
    let failure = bench.bluesky.publish(&bench.who, part).await.expect_err("no such blob");
    assert_eq!(
        (failure.class, failure.outcome),
        (FailureClass::Platform, Outcome::NotPublished),
        "{failure}"
    );
    assert!(bench.records().await.is_empty());
}

#[tokio::test]
#[ignore = "needs the real server: scripts/pds/test"]
async fn sessions_are_renewed_and_end() {
    let bench = bench().await;
    let lives = bench.grant.expires_in.expect("the token tells it");
    assert!((7_100..=7_200).contains(&lives.as_secs()), "{lives:?}");
    let token = bench.grant.refresh_token.clone().expect("one");

    let Renewal::Renewed(next) = Refresh::refresh(&bench.bluesky, &token).await.expect("an answer")
    else {
        panic!("refused")
    };
    let renewed = who(next.access_token.expose_secret(), Some(&bench.did));
    bench.bluesky.publish(&renewed, outgoing(&intent("text"))).await.expect("published");
    // The answer may have been lost: for a while the token before brings the same pair.
    let Renewal::Renewed(again) =
        Refresh::refresh(&bench.bluesky, &token).await.expect("an answer")
    else {
        panic!("refused")
    };
    let end = |grant: &Grant| grant.refresh_token.as_ref().expect("one").expose_secret().to_owned();
    assert!(Refresh::refresh(&bench.bluesky, &end(&again).as_str().into()).await.is_ok());

    for bad in [bench.grant.access_token.expose_secret(), "garbage"] {
        let renewal = Refresh::refresh(&bench.bluesky, &bad.into()).await.expect("an answer");
        assert!(matches!(renewal, Renewal::Refused(_)), "{renewal:?}");
    }
    let failure = bench.bluesky.sign_in("alice.test", &"wrong".into()).await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::Auth);
    let nobody = bench.bluesky.sign_in("nobody.test", &"wrong".into()).await.expect_err("refused");
    assert!(nobody.message.contains("nobody has this handle"), "{nobody}");
}

#[tokio::test]
#[ignore = "needs the real server: scripts/pds/test"]
async fn its_limits_are_read() {
    let bench = bench_with(true).await;

    let published = bench.send(&intent("text")).await.expect("published");

    let limit = published.limits.first().expect("a limit");
    assert!(limit.remaining > 0 && limit.resets_in <= Duration::from_secs(86_400), "{limit:?}");
    let mut met = None;
    for _ in 0..40 {
        let failure =
            bench.bluesky.sign_in("alice.test", &"wrong".into()).await.expect_err("refused");
        if failure.class == FailureClass::RateLimit {
            met = Some(failure.wait.expect("a wait"));
            break;
        }
    }
    let wait = met.expect("30 in 5 minutes").for_;
    assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_secs(86_400), "{wait:?}");
}

/// A picture of one dot.
const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 13, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x63, 0xf8, 0xcf, 0xc0, 0xf0, 0x1f, 0, 5, 0, 1, 0xff, 0x56, 0xc7, 0x2f, 0x0d, 0, 0,
    0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];
