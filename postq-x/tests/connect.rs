//! Connecting accounts and renewing their tokens, against an X-shaped server.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake_x::{CLIENT_ID, Canned, GrantFault, Target};
use postq_core::conformance::connect::{ConnectHarness, GrantTrouble};
use postq_core::connect::{Connect, Nonce, Refresh, Renewal};
use postq_core::failure::FailureClass;
use postq_core::platform::Platform;
use postq_x::{Config, X};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::{Bench, bench_with};

const BACK: &str = "http://127.0.0.1:8484/api/accounts/callback/x";

/// A bench whose app is a confidential client if it has a secret.
async fn app(secret: Option<&str>) -> Bench {
    let mut bench = bench_with(|_| {}).await;
    bench.server.set_app("42", secret);
    bench.x = X::new(Config {
        base_url: bench.server.base_url(),
        authorize_url: bench.server.authorize_url(),
        client_id: Some(CLIENT_ID.to_owned()),
        client_secret: secret.map(SecretString::from),
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
        &self.x
    }

    fn refresh(&self) -> &dyn Refresh {
        &self.x
    }

    async fn agree(&self, address: &str) -> SecretString {
        let rest = address.strip_prefix("http://").expect("on loopback");
        let (host, path) = rest.split_once('/').expect("a path");
        let mut stream = TcpStream::connect(host).await.expect("the server");
        let ask = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        let back = answer.lines().find_map(|line| line.strip_prefix("location: ")).expect("back");
        assert!(back.starts_with(BACK), "{back}");
        back.rsplit("code=").next().expect("a code").into()
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

mod public {
    use super::*;

    postq_core::connect_conformance!(async || Arc::new(app(None).await) as Arc<dyn ConnectHarness>);
}

mod confidential {
    use super::*;

    postq_core::connect_conformance!(
        async || Arc::new(app(Some("s3cret:/")).await) as Arc<dyn ConnectHarness>
    );
}

#[tokio::test]
async fn people_are_shown_what_is_asked_for() {
    let bench = app(None).await;
    let (state, verifier) = (Nonce::random(), Nonce::random());

    let address = bench.x.authorize(&state, &verifier).expect("an address");

    let scopes = "scope=tweet.write%20media.write%20tweet.read%20users.read%20offline.access&";
    assert!(address.contains(scopes), "{address}");
    assert!(address.contains("&code_challenge_method=S256"), "{address}");
    let asks: Vec<_> = Connect::asks(&bench.x).iter().map(|asked| asked.scope).collect();
    assert_eq!(asks, ["tweet.write", "media.write", "tweet.read", "users.read", "offline.access"]);
}

#[tokio::test]
async fn without_an_app_nothing_is_connected_or_renewed() {
    let bench = bench_with(|_| {}).await;

    let why = bench.x.authorize(&Nonce::random(), &Nonce::random()).expect_err("no app");

    assert!(why.contains("X_CLIENT_ID"), "{why}");
    assert!(Platform::refresh(&bench.x).is_none());
    let half = bench_with(|config| config.client_id = Some("a".into())).await;
    let why = half.x.authorize(&Nonce::random(), &Nonce::random()).expect_err("no way back");
    assert!(why.contains("X_REDIRECT_URI"), "{why}");
}

#[tokio::test]
async fn each_answer_of_the_token_endpoint_has_its_meaning() {
    let bench = app(None).await;
    let refresh = async |status: u16, body: &str| {
        bench.server.answer(Target::Token, Canned::new(status, body));
        Refresh::refresh(&bench.x, &"a-refresh-token".into()).await
    };
    for error in ["invalid_request", "invalid_grant"] {
        let body = format!(r#"{{"error":"{error}","error_description":"a-refresh-token no"}}"#);
        match refresh(400, &body).await.expect("an answer") {
            Renewal::Refused(why) => {
                assert!(why.contains(error) && !why.contains("a-refresh-token"), "{why}");
            }
            Renewal::Renewed(_) => panic!("renewed"),
        }
    }
    use FailureClass::{Auth, Platform, RateLimit};
    for (status, body, class) in [
        (400, "", Platform),
        (400, r#"{"error":"unsupported_grant_type"}"#, Platform),
        (400, "<html>", Platform),
        (401, r#"{"error":"unauthorized_client"}"#, Auth),
        (403, "", Auth),
        (429, "", RateLimit),
        (500, "", Platform),
        (503, r#"{"error":"invalid_grant"}"#, Platform),
        (200, "{}", Platform),
        (302, "", Platform),
    ] {
        let failure = refresh(status, body).await.expect_err("a failure");
        assert_eq!(failure.class, class, "{status} {body}: {failure}");
    }
}

#[tokio::test]
async fn a_public_app_names_itself_and_a_confidential_one_proves_it() {
    for secret in [None, Some("s3cret")] {
        let bench = app(secret).await;
        let grant = bench.server.grant("42");
        let token = SecretString::from(grant["refresh_token"].as_str().expect("a token"));

        let renewal = Refresh::refresh(&bench.x, &token).await.expect("an answer");

        let Renewal::Renewed(grant) = renewal else { panic!("refused") };
        assert_eq!(grant.expires_in, Some(Duration::from_secs(7_200)));
        assert_eq!(grant.scopes.len(), 5);
        let seen = bench.server.seen().pop().expect("a request");
        assert_eq!(seen.target, "/2/oauth2/token");
        assert_eq!(seen.body.contains("client_id="), secret.is_none());
        let proof = seen.headers.iter().any(|(name, _)| name == "authorization");
        assert_eq!(proof, secret.is_some());
        assert!(!format!("{grant:?}").contains(grant.access_token.expose_secret()));
    }
}

#[tokio::test]
async fn a_token_is_taken_back_in_the_name_of_the_app() {
    for secret in [None, Some("s3cret")] {
        let bench = app(secret).await;
        let grant = bench.server.grant("42");
        let token = SecretString::from(grant["access_token"].as_str().expect("a token"));
        let revoke = bench.x.revoke().expect("X offers it");

        revoke.revoke(&token).await.expect("taken back");

        let seen = bench.server.seen().pop().expect("a request");
        assert_eq!(seen.target, "/2/oauth2/revoke");
        assert_eq!(seen.body.contains("client_id="), secret.is_none());
        let failure = bench.x.whoami(&token).await.expect_err("good for nothing");
        assert_eq!(failure.class, FailureClass::Auth);
        revoke.revoke(&token).await.expect("once more does no harm");
    }
    let bench = app(None).await;
    for status in [400, 401, 429, 503] {
        let told = r#"{"error":"x","error_description":"about my-token"}"#;
        bench.server.answer(Target::Token, Canned::new(status, told));
        let revoke = bench.x.revoke().expect("X offers it");
        let failure = revoke.revoke(&"my-token".into()).await.expect_err("a failure");
        assert!(!failure.message.contains("my-token"), "{failure}");
    }
    assert!(bench_with(|_| {}).await.x.revoke().is_none(), "not without an app");
}
