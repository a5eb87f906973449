//! Connecting accounts and renewing their tokens, against a Pinterest-shaped server.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake_pinterest::{CLIENT_ID, CLIENT_SECRET, Canned, GrantFault, Target};
use postq_core::conformance::connect::{ConnectHarness, GrantTrouble};
use postq_core::connect::{Connect, Grant, Nonce, Refresh, Renewal};
use postq_core::failure::FailureClass;
use postq_core::platform::Platform;
use postq_pinterest::{Config, Pinterest};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::{Bench, bench_with};

const BACK: &str = "http://127.0.0.1:8484/api/accounts/callback/pinterest";

async fn app() -> Bench {
    app_with(|_| {}).await
}

async fn app_with(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = bench_with(|_| {}).await;
    let mut config = Config {
        base_url: bench.server.base_url(),
        authorize_url: bench.server.authorize_url(),
        client_id: Some(CLIENT_ID.to_owned()),
        client_secret: Some(CLIENT_SECRET.into()),
        redirect_uri: Some(BACK.to_owned()),
        send_timeout: Duration::from_millis(500),
        settle_time: Duration::from_secs(1),
        ..Config::default()
    };
    change(&mut config);
    bench.pinterest = Pinterest::new(config, Arc::new(bench.files.clone())).expect("an adapter");
    bench
}

#[async_trait]
impl ConnectHarness for Bench {
    fn connect(&self) -> &dyn Connect {
        &self.pinterest
    }

    fn refresh(&self) -> &dyn Refresh {
        &self.pinterest
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

/// All rules but `a_code_needs_its_verifier`: Pinterest knows no PKCE, and so no verifier.
mod connect_rules {
    postq_core::conformance_rules! {
        async || std::sync::Arc::new(super::app().await) as std::sync::Arc<dyn super::ConnectHarness>,
        connect {
            an_address_keeps_the_verifier,
            a_code_brings_a_grant,
            a_refresh_is_one_call,
            a_grant_renews_again,
            a_spent_token_is_refused,
            trouble_is_no_refusal,
            a_refresh_gives_up_in_time,
            refusals_keep_secrets,
        }
    }
}

async fn connected(bench: &Bench) -> Grant {
    let (state, verifier) = (Nonce::random(), Nonce::random());
    let address = bench.pinterest.authorize(&state, &verifier).expect("an address");
    let code = bench.agree(&address).await;
    bench.pinterest.exchange(&code, &verifier, None).await.expect("a grant")
}

#[tokio::test]
async fn people_are_shown_what_is_asked_for() {
    let bench = app().await;
    let state = Nonce::random();

    let address = bench.pinterest.authorize(&state, &Nonce::random()).expect("an address");

    let query = address.split_once('?').expect("a query").1;
    let names: Vec<&str> = query.split('&').filter_map(|it| it.split('=').next()).collect();
    assert_eq!(names, ["client_id", "redirect_uri", "response_type", "state", "scope"]);
    let scopes = "&scope=boards:read,boards:write,pins:read,pins:write,user_accounts:read";
    assert!(address.ends_with(scopes), "{address}");
}

#[tokio::test]
async fn a_grant_tells_how_long_it_lives_and_whose_it_is() {
    let bench = app().await;

    let grant = connected(&bench).await;

    assert_eq!(grant.expires_in, Some(Duration::from_secs(30 * 24 * 3_600)));
    assert_eq!(grant.scopes.len(), 5);
    let whose = bench.pinterest.whose(&grant).await.expect("whose it is");
    assert_eq!((whose.remote_id.as_str(), whose.name.as_deref()), ("42", Some("user42")));
    assert!(!format!("{grant:?}").contains(grant.access_token.expose_secret()));
    let asked = bench.server.seen().into_iter().find(|seen| seen.target == "/v5/oauth/token");
    let asked = asked.expect("the exchange");
    assert!(asked.body.contains("&continuous_refresh=true"), "{}", asked.body);
    let header = |name| asked.headers.iter().find(|(own, _)| own == name).map(|it| it.1.as_str());
    assert_eq!(header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(header("authorization").is_some_and(|proof| proof.starts_with("Basic ")));
}

#[tokio::test]
async fn refresh_tokens_without_end_are_asked_for_unless_told_otherwise() {
    let bench = app_with(|config| config.continuous_refresh = false).await;

    connected(&bench).await;

    let seen = bench.server.seen();
    assert!(seen.iter().all(|seen| !seen.body.contains("continuous_refresh")));
}

#[tokio::test]
async fn a_refused_code_is_auth_and_is_not_shown() {
    let bench = app().await;
    let code = SecretString::from("no-such-code");

    let refused =
        bench.pinterest.exchange(&code, &Nonce::random(), None).await.expect_err("refused");
    assert_eq!(refused.class, FailureClass::Auth, "{refused}");
    assert!(!refused.message.contains("no-such-code"), "{refused}");

    let state = Nonce::random();
    let address = bench.pinterest.authorize(&state, &Nonce::random()).expect("an address");
    let code = bench.agree(&address).await;
    bench.pinterest.exchange(&code, &Nonce::random(), None).await.expect("good for one call");
    let spent = bench.pinterest.exchange(&code, &Nonce::random(), None).await.expect_err("spent");
    assert_eq!(spent.class, FailureClass::Auth, "{spent}");
}

#[tokio::test]
async fn the_older_kind_of_refresh_token_stays() {
    let bench = app().await;
    bench.server.keep_refresh_tokens();
    let token = connected(&bench).await.refresh_token.expect("a refresh token");

    for _ in 0..2 {
        let renewal = Refresh::refresh(&bench.pinterest, &token).await.expect("an answer");

        let Renewal::Renewed(grant) = renewal else { panic!("refused") };
        assert!(grant.refresh_token.is_none(), "the one before goes on");
        bench.pinterest.whose(&grant).await.expect("it can be used");
    }
}

#[tokio::test]
async fn without_an_app_nothing_is_connected_or_renewed() {
    let bench = bench_with(|_| {}).await;
    let authorize = |pinterest: &Pinterest| {
        pinterest.authorize(&Nonce::random(), &Nonce::random()).expect_err("not set up")
    };

    assert!(authorize(&bench.pinterest).contains("PINTEREST_CLIENT_ID"));
    assert!(Platform::refresh(&bench.pinterest).is_none());
    let half = app_with(|config| config.redirect_uri = None).await;
    assert!(authorize(&half.pinterest).contains("PINTEREST_REDIRECT_URI"));
}

#[tokio::test]
async fn each_answer_of_the_token_endpoint_has_its_meaning() {
    let bench = app().await;
    let refresh = async |status: u16, body: &str| {
        bench.server.answer(Target::Token, Canned::new(status, body));
        Refresh::refresh(&bench.pinterest, &"a-refresh-token".into()).await
    };
    for (status, message) in [
        (400, "Invalid refresh token: a-refresh-token"),
        (401, "The refresh token is expired."),
        (403, "refresh_token was revoked"),
    ] {
        let body = format!(r#"{{"code":283,"message":"{message}"}}"#);
        match refresh(status, &body).await.expect("an answer") {
            Renewal::Refused(why) => {
                assert!(why.contains("283") && !why.contains("a-refresh-token"), "{why}");
            }
            Renewal::Renewed(_) => panic!("renewed"),
        }
    }
    use FailureClass::{Auth, Platform, RateLimit};
    for (status, body, class) in [
        (400, "", Platform),
        (400, r#"{"code":1,"message":"Invalid grant type."}"#, Platform),
        (401, r#"{"code":2,"message":"Authentication failed."}"#, Auth),
        (401, r#"{"code":2,"message":"Invalid client for this refresh token"}"#, Auth),
        (403, "", Auth),
        (429, "", RateLimit),
        (500, "", Platform),
        (503, r#"{"message":"refresh token"}"#, Platform),
        (200, "{}", Platform),
        (302, "", Platform),
    ] {
        let failure = refresh(status, body).await.expect_err("a failure");
        assert_eq!(failure.class, class, "{status} {body}: {failure}");
    }
}
