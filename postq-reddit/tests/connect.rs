//! Connecting accounts and renewing their tokens, against a Reddit-shaped server.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake_reddit::{CLIENT_ID, Canned, GrantFault, Target};
use postq_core::conformance::connect::{ConnectHarness, GrantTrouble};
use postq_core::connect::{Connect, Nonce, Refresh, Renewal};
use postq_core::failure::FailureClass;
use postq_core::platform::Platform;
use postq_reddit::{Config, Reddit};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::{Bench, bench, bench_with};

const BACK: &str = "http://127.0.0.1:8484/api/accounts/callback/reddit";

/// A bench with an app, which has a secret or, as an installed one, none.
async fn app(secret: &str) -> Bench {
    let mut bench = bench().await;
    bench.server.set_app("me", secret);
    bench.reddit = Reddit::new(Config {
        base_url: bench.server.base_url(),
        auth_url: bench.server.base_url(),
        client_id: Some(CLIENT_ID.to_owned()),
        client_secret: (!secret.is_empty()).then(|| secret.into()),
        redirect_uri: Some(BACK.to_owned()),
        send_timeout: Duration::from_millis(500),
        settle_time: Duration::from_secs(1),
        ..Config::default()
    })
    .expect("an adapter");
    bench
}

#[async_trait]
impl ConnectHarness for Bench {
    fn connect(&self) -> &dyn Connect {
        &self.reddit
    }

    fn refresh(&self) -> &dyn Refresh {
        &self.reddit
    }

    async fn agree(&self, address: &str) -> SecretString {
        let rest = address.strip_prefix("http://").expect("on loopback");
        let (host, path) = rest.split_once('/').expect("a path");
        let mut stream = TcpStream::connect(host).await.expect("the server");
        let ask = format!(
            "GET /{path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: a browser\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(ask.as_bytes()).await.expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        let back = answer.lines().find_map(|line| line.strip_prefix("location: ")).expect("back");
        assert!(back.starts_with(BACK), "{back}");
        let code = back.rsplit("code=").next().expect("a code");
        code.trim_end_matches("#_").into()
    }

    fn binds_codes(&self) -> bool {
        // There is no PKCE.
        false
    }

    async fn calls(&self) -> Option<u64> {
        Some(self.server.grant_calls())
    }

    async fn next(&self, trouble: GrantTrouble) -> bool {
        self.server.grant_faults([match trouble {
            GrantTrouble::Unavailable => GrantFault::Unavailable,
            GrantTrouble::CutBefore => GrantFault::CutBefore,
            GrantTrouble::CutAfter => GrantFault::CutAfter,
            GrantTrouble::Hang => GrantFault::HangAfter,
            _ => return false,
        }]);
        true
    }
}

mod installed {
    use super::*;

    postq_core::connect_conformance!(async || Arc::new(app("").await) as Arc<dyn ConnectHarness>);
}

mod confidential {
    use super::*;

    postq_core::connect_conformance!(
        async || Arc::new(app("s3cret:/").await) as Arc<dyn ConnectHarness>
    );
}

mod repeated {
    use super::*;

    postq_core::connect_conformance!(async || {
        let bench = app("s3cret").await;
        bench.server.repeat_refresh_tokens(true);
        Arc::new(bench) as Arc<dyn ConnectHarness>
    });
}

async fn connected(bench: &Bench) -> postq_core::connect::Grant {
    let (state, verifier) = (Nonce::random(), Nonce::random());
    let address = bench.reddit.authorize(&state, &verifier).expect("an address");
    let code = bench.agree(&address).await;
    bench.reddit.exchange(&code, &verifier, None).await.expect("a grant")
}

#[tokio::test]
async fn people_are_shown_what_is_asked_for() {
    let bench = app("").await;
    let (state, verifier) = (Nonce::random(), Nonce::random());

    let address = bench.reddit.authorize(&state, &verifier).expect("an address");

    let expected = format!(
        "{}/api/v1/authorize?client_id=fake-app&response_type=code&state={}&redirect_uri=\
         http%3A%2F%2F127.0.0.1%3A8484%2Fapi%2Faccounts%2Fcallback%2Freddit&duration=permanent&\
         scope=identity%20submit%20history%20read%20flair",
        bench.server.base_url(),
        state.expose()
    );
    assert_eq!(address, expected);
}

#[tokio::test]
async fn a_grant_is_asked_for_and_read_as_reddit_writes_it() {
    let bench = app("s3cret").await;

    let grant = connected(&bench).await;

    let seen = bench.server.seen().pop().expect("a request");
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/api/v1/access_token"));
    assert_eq!(seen.header("authorization"), ["Basic ZmFrZS1hcHA6czNjcmV0"]);
    let names: Vec<String> = seen.form().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["grant_type", "code", "redirect_uri"]);
    assert_eq!(grant.expires_in, Some(Duration::from_secs(86_400)));
    assert_eq!(grant.scopes, ["identity", "submit", "history", "read", "flair"]);
    let whose = bench.reddit.whose(&grant).await.expect("whose it is");
    assert_eq!((whose.remote_id.as_str(), whose.name.as_deref()), ("me", Some("me")));
    assert!(!format!("{grant:?}").contains(grant.access_token.expose_secret()));
}

#[tokio::test]
async fn a_refresh_token_is_good_again_and_comes_back_or_not() {
    for repeats in [false, true] {
        let bench = app("").await;
        bench.server.repeat_refresh_tokens(repeats);
        let token = connected(&bench).await.refresh_token.expect("permanent");
        for _ in 0..2 {
            let Ok(Renewal::Renewed(grant)) = Refresh::refresh(&bench.reddit, &token).await else {
                panic!("not renewed")
            };
            assert!(grant.refresh_token.is_none(), "the one before is still taken");
        }
        bench.server.revoke("me");
        let refused = Refresh::refresh(&bench.reddit, &token).await.expect("an answer");
        assert!(matches!(refused, Renewal::Refused(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_code_that_is_refused_is_auth_whatever_the_status() {
    let bench = app("").await;
    let code = SecretString::from("c0de-of-nobody");
    let exchange = async || {
        let failed = bench.reddit.exchange(&code, &Nonce::random(), None).await;
        failed.expect_err("no such code")
    };

    let first = exchange().await;
    assert_eq!(first.class, FailureClass::Auth);
    assert!(first.message.contains("invalid_grant"), "{first}");
    for status in [200, 400] {
        let body = r#"{"error":"invalid_request","error_description":"c0de-of-nobody"}"#;
        bench.server.answer(Target::Token, Canned::new(status, body));
        let failure = exchange().await;
        assert_eq!(failure.class, FailureClass::Auth, "{status}");
        assert!(!failure.message.contains("c0de-of-nobody"), "{failure}");
    }
}

#[tokio::test]
async fn each_answer_of_the_token_endpoint_has_its_meaning() {
    let bench = app("").await;
    let refresh = async |status: u16, body: &str| {
        bench.server.answer(Target::Token, Canned::new(status, body));
        Refresh::refresh(&bench.reddit, &"a-refresh-token".into()).await
    };
    for status in [200, 400] {
        let body = r#"{"error":"invalid_grant","error_description":"a-refresh-token is dead"}"#;
        match refresh(status, body).await.expect("an answer") {
            Renewal::Refused(why) => {
                assert!(why.contains("invalid_grant") && !why.contains("a-refresh-token"), "{why}");
            }
            Renewal::Renewed(_) => panic!("renewed"),
        }
    }
    use FailureClass::{Auth, Platform, RateLimit};
    for (status, body, class) in [
        (200, "", Platform),
        (200, "{}", Platform),
        (200, r#"{"error":"unsupported_grant_type"}"#, Platform),
        (200, r#"{"access_token":7}"#, Platform),
        (302, "", Platform),
        (400, "", Platform),
        // Reported for dead tokens as well, and says nothing of this one.
        (400, r#"{"message":"Bad Request","error":400}"#, Platform),
        (400, r#"{"error":"invalid_request"}"#, Platform),
        (401, r#"{"message":"Unauthorized","error":401}"#, Auth),
        (403, "<html>", Platform),
        (429, "", RateLimit),
        (500, "", Platform),
        (503, r#"{"error":"invalid_grant"}"#, Platform),
    ] {
        let failure = refresh(status, body).await.expect_err("a failure");
        assert_eq!(failure.class, class, "{status} {body}: {failure}");
    }
}

#[tokio::test]
async fn without_an_app_nothing_is_connected_or_renewed() {
    let bench = bench().await;

    let why = bench.reddit.authorize(&Nonce::random(), &Nonce::random()).expect_err("no app");

    assert!(why.contains("REDDIT_CLIENT_ID"), "{why}");
    assert!(Platform::refresh(&bench.reddit).is_none());
    let half = bench_with(|config| config.client_id = Some("a".into())).await;
    let why = half.reddit.authorize(&Nonce::random(), &Nonce::random()).expect_err("no way back");
    assert!(why.contains("REDDIT_REDIRECT_URI"), "{why}");
}
