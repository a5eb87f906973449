//! Connecting Pages and accounts, and extending tokens, against a server that answers as Meta does.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake_meta::{APP_ID, APP_SECRET, Canned, GrantFault, PageRole, Refuses};
use postq_core::conformance::connect::{self, ConnectHarness, GrantTrouble};
use postq_core::connect::{Connect, Grant, Nonce, Refresh, Renewal};
use postq_core::failure::{Failure, FailureClass};
use postq_core::platform::Platform;
use postq_meta::{Facebook, FacebookConfig, Instagram};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::{Bench, insta, insta_with, page, page_with};

const BACK: &str = "http://127.0.0.1:8484/api/accounts/callback/meta";

async fn pages(change: impl FnOnce(&mut FacebookConfig)) -> Bench<Facebook> {
    let bench = page().await;
    let mut config = FacebookConfig {
        base_url: bench.server.base_url(),
        video_base_url: bench.server.base_url(),
        authorize_url: format!("{}/dialog/oauth", bench.server.root()),
        app_id: Some(APP_ID.to_owned()),
        app_secret: Some(APP_SECRET.into()),
        redirect_uri: Some(BACK.to_owned()),
        settle_time: Duration::from_secs(1),
        ..FacebookConfig::default()
    };
    change(&mut config);
    Bench { platform: Facebook::new(config).expect("an adapter"), ..bench }
}

async fn accounts() -> Bench<Instagram> {
    insta_with(|config| {
        config.app_id = Some(APP_ID.to_owned());
        config.app_secret = Some(APP_SECRET.into());
        config.redirect_uri = Some(BACK.to_owned());
        config.send_timeout = Duration::from_millis(500);
    })
    .await
}

/// A person agrees at an address: with what they come back, as it stands in the address.
async fn agree(address: &str) -> SecretString {
    let rest = address.strip_prefix("http://").expect("on loopback");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).await.expect("the server");
    let ask = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let back = answer.lines().find_map(|line| line.strip_prefix("location: ")).expect("back");
    assert!(back.starts_with(BACK), "{back}");
    let code = back.split("code=").nth(1).and_then(|rest| rest.split('&').next());
    code.expect("a code").into()
}

async fn connected(connect: &dyn Connect) -> Result<Grant, Failure> {
    connected_as(connect, None).await
}

async fn connected_as(connect: &dyn Connect, which: Option<&str>) -> Result<Grant, Failure> {
    let (state, verifier) = (Nonce::random(), Nonce::random());
    let address = connect.authorize(&state, &verifier).expect("an address");
    connect.exchange(&agree(&address).await, &verifier, which).await
}

#[async_trait]
impl ConnectHarness for Bench<Instagram> {
    fn connect(&self) -> &dyn Connect {
        &self.platform
    }

    fn refresh(&self) -> &dyn Refresh {
        &self.platform
    }

    async fn agree(&self, address: &str) -> SecretString {
        agree(address).await
    }

    fn binds_codes(&self) -> bool {
        false
    }

    async fn calls(&self) -> Option<u64> {
        Some(self.server.change(|world| world.grants.calls))
    }

    async fn next(&self, trouble: GrantTrouble) -> bool {
        let fault = match trouble {
            GrantTrouble::Unavailable => GrantFault::Unavailable,
            GrantTrouble::CutBefore => GrantFault::CutBefore,
            GrantTrouble::CutAfter => GrantFault::CutAfter,
            GrantTrouble::Hang => GrantFault::HangAfter,
            _ => return false,
        };
        self.server.change(|world| world.grants.faults.push_back(fault));
        true
    }
}

/// The published rules, but for the one of spent tokens: a token that was extended stays good, see
/// `a_token_is_extended_whether_it_stays_the_same_or_not`.
mod instagram_rules {
    use super::*;

    macro_rules! rules {
        ($($rule:ident),+) => {
            $(
                #[tokio::test]
                async fn $rule() {
                    connect::$rule(Arc::new(accounts().await)).await;
                }
            )+
        };
    }

    rules! {
        an_address_keeps_the_verifier,
        a_code_brings_a_grant,
        a_code_needs_its_verifier,
        a_refresh_is_one_call,
        a_grant_renews_again,
        trouble_is_no_refusal,
        a_refresh_gives_up_in_time,
        refusals_keep_secrets
    }
}

#[tokio::test]
async fn a_page_is_connected_by_three_tokens() {
    let bench = pages(|_| {}).await;

    let grant = connected(&bench.platform).await.expect("a grant");

    assert!(grant.refresh_token.is_none() && grant.expires_in.is_none(), "no fixed end");
    assert!(Platform::refresh(&bench.platform).is_none());
    let whose = bench.platform.whose(&grant).await.expect("whose it is");
    assert_eq!((whose.remote_id.as_str(), whose.name.as_deref()), ("42", Some("Page 42")));
    let asked = bench.server.seen_of("GET access_token");
    assert_eq!(asked.len(), 2);
    assert!(asked[1].query().starts_with("grant_type=fb_exchange_token&client_id=1234567890&"));
    assert!(asked.iter().all(|seen| seen.header("authorization").is_empty()));
    let pages = bench.server.seen_of("GET accounts");
    assert_eq!(pages[0].query(), "fields=id%2Cname%2Caccess_token%2Ctasks&limit=100");
    assert!(!format!("{grant:?}").contains(grant.access_token.expose_secret()));
}

#[tokio::test]
async fn of_several_pages_the_one_that_is_named_is_connected() {
    let bench = pages(|_| {}).await;
    let page = |id: &str, name: &str, may_publish| PageRole {
        id: id.into(),
        name: name.into(),
        may_publish,
    };
    bench.server.change(|world| {
        // One Page has the id of another as its name.
        world.grants.pages = vec![
            page("42", "Cats", true),
            page("43", "Dogs", true),
            page("44", "Birds", false),
            page("45", "42", true),
        ];
    });
    assert_eq!(bench.platform.several(), Some("Page"));

    let failure = connected(&bench.platform).await.expect_err("which one");
    assert_eq!(failure.class, FailureClass::Auth);
    assert!(failure.message.contains("3 Pages (Cats 42, Dogs 43, 42 45)"), "{failure}");

    for (which, id) in [("43", "43"), ("Dogs", "43"), ("42", "42")] {
        let grant = connected_as(&bench.platform, Some(which)).await.expect("a grant");
        assert_eq!(bench.platform.whose(&grant).await.expect("whose").remote_id, id);
    }
    for which in ["44", "Birds", "dog"] {
        let failure = connected_as(&bench.platform, Some(which)).await.expect_err("not theirs");
        assert!(failure.message.contains(&format!("the Page {which}: agree for it")), "{failure}");
    }
    bench.server.change(|world| world.grants.pages.clear());
    let failure = connected(&bench.platform).await.expect_err("no Page");
    assert!(failure.message.contains("agree for one"), "{failure}");
}

#[tokio::test]
async fn a_code_is_good_for_once() {
    let (bench, state, verifier) = (pages(|_| {}).await, Nonce::random(), Nonce::random());
    let address = bench.platform.authorize(&state, &verifier).expect("an address");
    let code = agree(&address).await;
    bench.platform.exchange(&code, &verifier, None).await.expect("a grant");
    let insta = accounts().await;
    let never = SecretString::from("never-given-code");

    let used = bench.platform.exchange(&code, &verifier, None).await.expect_err("used");
    let unknown = insta.platform.exchange(&never, &verifier, None).await.expect_err("unknown");

    for failure in [used, unknown] {
        assert_eq!(failure.class, FailureClass::Auth, "{failure}");
        assert!(failure.message.contains("connect again"), "{failure}");
        assert!(!failure.message.contains(code.expose_secret()), "{failure}");
        assert!(
            !failure.message.contains("never-given-code") && !failure.message.contains(APP_SECRET)
        );
    }
}

#[tokio::test]
async fn an_app_that_is_not_known_is_no_refusal_of_the_code() {
    let bench = pages(|config| config.app_secret = Some("wrong".into())).await;

    let failure = connected(&bench.platform).await.expect_err("101");

    assert_eq!(failure.class, FailureClass::Platform, "{failure}");
    assert!(failure.message.contains("Error validating application"), "{failure}");
}

#[tokio::test]
async fn an_account_is_connected_in_both_shapes_of_the_answer() {
    for listed in [false, true] {
        let bench = accounts().await;
        bench.server.change(|world| world.grants.listed = listed);

        let grant = connected(&bench.platform).await.expect("a grant");

        assert_eq!(grant.expires_in, Some(Duration::from_secs(50 * 86_400)), "ten days early");
        assert_eq!(grant.scopes.len(), 3);
        let whose = bench.platform.whose(&grant).await.expect("whose it is");
        assert_eq!((whose.remote_id.as_str(), whose.name.as_deref()), ("42", Some("user42")));
        let asked = bench.server.seen_of("POST access_token");
        assert_eq!((asked.len(), asked[0].path()), (1, "/oauth/access_token"));
        assert!(!asked[0].body.contains("%23_"), "{}", asked[0].body);
        let longer = bench.server.seen_of("GET access_token");
        assert_eq!(longer[0].path(), "/access_token");
    }
}

#[tokio::test]
async fn a_sign_behind_the_code_is_left_out() {
    let (bench, state, verifier) = (accounts().await, Nonce::random(), Nonce::random());
    let address = bench.platform.authorize(&state, &verifier).expect("an address");
    let code = agree(&address).await;
    let code = SecretString::from(format!("{}#_", code.expose_secret().trim_end_matches("#_")));

    bench.platform.exchange(&code, &verifier, None).await.expect("a grant");
}

#[tokio::test]
async fn a_token_is_extended_whether_it_stays_the_same_or_not() {
    for same in [false, true] {
        let bench = accounts().await;
        bench.server.change(|world| world.grants.same_token = same);
        let first = connected(&bench.platform).await.expect("a grant");
        let token = first.refresh_token.expect("it renews with itself");
        assert_eq!(token.expose_secret(), first.access_token.expose_secret());

        for _ in 0..2 {
            let renewal = Refresh::refresh(&bench.platform, &token).await.expect("an answer");

            let Renewal::Renewed(next) = renewal else { panic!("{renewal:?}") };
            let is_same = next.access_token.expose_secret() == token.expose_secret();
            assert_eq!(is_same, same);
            let again = next.refresh_token.expect("and renews again");
            assert_eq!(again.expose_secret(), next.access_token.expose_secret());
        }
    }
}

#[tokio::test]
async fn only_a_token_that_ended_is_lost() {
    let bench = accounts().await;
    let grant = connected(&bench.platform).await.expect("a grant");
    bench.server.change(|world| world.grants.least_age = Duration::from_secs(86_400));
    let young =
        Refresh::refresh(&bench.platform, &grant.access_token).await.expect_err("too young");
    assert!(young.class.is_transient(), "{young}");
    for (canned, class) in [
        (Canned::refusal(100, 0, "no"), FailureClass::Platform),
        (Canned::refusal(4, 0, "slow"), FailureClass::RateLimit),
        (Canned::new(400, "<html>"), FailureClass::Platform),
        (Canned::new(500, r#"{"error":{"code":190,"message":"no"}}"#), FailureClass::Platform),
        (Canned::new(200, "{}"), FailureClass::Platform),
        (Canned::new(302, ""), FailureClass::Platform),
    ] {
        bench.server.answer("GET refresh_access_token", canned);
        let failure = Refresh::refresh(&bench.platform, &grant.access_token).await.expect_err("no");
        assert_eq!(failure.class, class, "{failure}");
    }

    bench.server.change(|world| world.grants.end_all());
    let renewal = Refresh::refresh(&bench.platform, &grant.access_token).await.expect("an answer");

    let Renewal::Refused(why) = renewal else { panic!("{renewal:?}") };
    assert!(why.contains("190") && !why.contains(grant.access_token.expose_secret()), "{why}");
}

#[tokio::test]
async fn without_an_app_nothing_is_connected_and_the_setting_is_named() {
    let (facebook, instagram) = (page_with(|_| {}).await, insta().await);
    let (state, verifier) = (Nonce::random(), Nonce::random());

    let why = facebook.platform.authorize(&state, &verifier).expect_err("no app");
    assert!(why.contains("FACEBOOK_APP_ID"), "{why}");
    let why = instagram.platform.authorize(&state, &verifier).expect_err("no app");
    assert!(why.contains("INSTAGRAM_APP_ID"), "{why}");
    let half = page_with(|config| {
        config.app_id = Some("1".into());
        config.app_secret = Some("s".into());
    })
    .await;
    assert!(
        Connect::redirect_uri(&half.platform)
            .expect_err("no way back")
            .contains("FACEBOOK_REDIRECT_URI")
    );
}

#[tokio::test]
async fn people_are_shown_what_is_asked_for() {
    let (facebook, instagram) = (pages(|_| {}).await, accounts().await);
    let (state, verifier) = (Nonce::random(), Nonce::random());
    let asked: [(&dyn Connect, &str); 2] = [
        (
            &facebook.platform,
            "scope=pages_show_list%2Cpages_manage_posts%2Cpages_read_engagement%2Cread_insights",
        ),
        (
            &instagram.platform,
            "scope=instagram_business_basic%2Cinstagram_business_content_publish%2Cinstagram_business_manage_insights",
        ),
    ];
    for (connect, scopes) in asked {
        let address = connect.authorize(&state, &verifier).expect("an address");
        assert!(address.contains(scopes), "{address}");
        assert!(address.contains("response_type=code"), "{address}");
        assert!(connect.asks().iter().all(|asked| !asked.why.is_empty()));
    }
}
