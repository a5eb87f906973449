//! Sessions: made of an app password, and renewed.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake_bluesky::{Canned, GrantFault, Refuses};
use postq_bluesky::{Bluesky, Config};
use postq_core::conformance::connect::{self, ConnectHarness, GrantTrouble};
use postq_core::connect::{Asked, Connect, Grant, Nonce, Refresh, Renewal, Whose};
use postq_core::failure::{Failure, FailureClass, Outcome};
use postq_core::platform::Platform;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use support::{Bench, bench, bench_with, who};

const RENEW: &str = "com.atproto.server.refreshSession";
const SIGN_IN: &str = "com.atproto.server.createSession";

/// A person who signs in with an app password, as the suite of [`Refresh`] wants to have it: the password is
/// the code. Sessions are made by no redirect, so the rules of [`Connect`] itself are not for it.
#[derive(Debug)]
struct Person(Bluesky);

#[async_trait]
impl Connect for Person {
    fn asks(&self) -> &[Asked] {
        &[]
    }

    fn redirect_uri(&self) -> Result<&str, String> {
        Err("nobody is sent anywhere".to_owned())
    }

    fn authorize(&self, _: &Nonce, _: &Nonce) -> Result<String, String> {
        Ok(String::new())
    }

    async fn exchange(
        &self,
        code: &SecretString,
        _: &Nonce,
        _: Option<&str>,
    ) -> Result<Grant, Failure> {
        Ok(self.0.sign_in("alice.test", code).await?.0)
    }

    async fn whose(&self, grant: &Grant) -> Result<Whose, Failure> {
        let whoami = self.0.whoami(&grant.access_token).await?;
        Ok(Whose { remote_id: whoami.did, name: whoami.handle })
    }
}

struct Harness {
    bench: Bench,
    person: Person,
}

#[async_trait]
impl ConnectHarness for Harness {
    fn connect(&self) -> &dyn Connect {
        &self.person
    }

    fn refresh(&self) -> &dyn Refresh {
        &self.bench.bluesky
    }

    async fn agree(&self, _: &str) -> SecretString {
        "app-password".into()
    }

    async fn calls(&self) -> Option<u64> {
        Some(self.bench.server.grant_calls())
    }

    async fn next(&self, trouble: GrantTrouble) -> bool {
        self.bench.server.grant_faults([match trouble {
            GrantTrouble::Unavailable => GrantFault::Unavailable,
            GrantTrouble::CutBefore => GrantFault::CutBefore,
            GrantTrouble::CutAfter => GrantFault::CutAfter,
            GrantTrouble::Hang => GrantFault::HangAfter,
            _ => return false,
        }]);
        true
    }
}

async fn harness() -> Arc<dyn ConnectHarness> {
    let bench = bench_with(|config| config.send_timeout = Duration::from_millis(500)).await;
    let url = bench.server.url();
    let config = Config {
        service_url: url.clone(),
        plc_url: url.clone(),
        appview_url: url,
        ..Config::default()
    };
    let person = Person(Bluesky::new(config).expect("an adapter"));
    Arc::new(Harness { bench, person })
}

macro_rules! rules {
    ($($rule:ident)*) => {
        $(
            #[tokio::test]
            async fn $rule() {
                connect::$rule(harness().await).await;
            }
        )*
    };
}

rules! {
    a_code_brings_a_grant
    a_refresh_is_one_call
    a_grant_renews_again
    a_spent_token_is_refused
    trouble_is_no_refusal
    a_refresh_gives_up_in_time
    refusals_keep_secrets
}

fn password() -> SecretString {
    "app-password".into()
}

#[tokio::test]
async fn an_app_password_is_made_a_session_by_handle_did_or_mail() {
    let bench = bench().await;
    bench.server.add_user("alice@mail.test", "mail-password");
    for (identifier, asked) in [
        ("alice.test", vec!["resolveHandle", "did:plc", "createSession"]),
        (" @alice.test ", vec!["resolveHandle", "did:plc", "createSession"]),
        (bench.did.as_str(), vec!["did:plc", "createSession"]),
    ] {
        let before = bench.server.seen().len();

        let (grant, whose) =
            bench.bluesky.sign_in(identifier, &password()).await.expect(identifier);

        assert_eq!(
            (whose.remote_id, whose.name.as_deref()),
            (bench.did.clone(), Some("alice.test"))
        );
        let seen = &bench.server.seen()[before..];
        assert_eq!(seen.len(), asked.len(), "{seen:?}");
        assert!(seen.iter().zip(asked).all(|(seen, part)| seen.target.contains(part)), "{seen:?}");
        let body: serde_json::Value =
            serde_json::from_str(&seen.last().expect("a call").body).expect("JSON");
        assert_eq!(body, json!({ "identifier": bench.did, "password": "app-password" }));
        let lives = grant.expires_in.expect("the token tells it");
        assert!((7_190..=7_200).contains(&lives.as_secs()), "{lives:?}");
        let begin = format!("{} {} e30.", bench.did, bench.server.url());
        assert!(grant.access_token.expose_secret().starts_with(&begin));
        assert!(grant.refresh_token.expect("one").expose_secret().starts_with(&begin));
    }
    let mail = bench.bluesky.sign_in("alice@mail.test", &"mail-password".into()).await;
    assert!(mail.expect("signed in").1.remote_id.starts_with("did:plc:"));
}

#[tokio::test]
async fn a_session_publishes_and_is_renewed() {
    let mut bench = bench().await;
    let (grant, whose) = bench.bluesky.sign_in("alice.test", &password()).await.expect("signed in");
    bench.who = who(grant.access_token.expose_secret(), Some(&whose.remote_id));
    bench.publish("first").await.expect("published");
    bench.server.expire_access();
    assert_eq!(bench.publish("second").await.expect_err("ended").class, FailureClass::Auth);

    let refresh = Platform::refresh(&bench.bluesky).expect("sessions are renewed");
    let renewal = refresh.refresh(&grant.refresh_token.expect("one")).await.expect("an answer");

    let Renewal::Renewed(renewed) = renewal else { panic!("refused") };
    bench.who = who(renewed.access_token.expose_secret(), Some(&whose.remote_id));
    bench.publish("second").await.expect("published");
    assert_eq!(bench.server.ledger().posts.len(), 2);
    let call =
        bench.server.seen().into_iter().find(|seen| seen.target.ends_with(RENEW)).expect("a call");
    assert_eq!((call.method.as_str(), call.body.as_str()), ("POST", ""));
}

/// For a short while a spent token brings the pair again that it brought before.
#[tokio::test]
async fn a_lost_renewal_is_repeated_within_the_grace() {
    let bench = bench().await;
    bench.server.set_grace();
    let (grant, _) = bench.bluesky.sign_in("alice.test", &password()).await.expect("signed in");
    let token = grant.refresh_token.expect("one");
    bench.server.grant_faults([GrantFault::CutAfter]);
    Refresh::refresh(&bench.bluesky, &token).await.expect_err("the answer is lost");

    let renewal = Refresh::refresh(&bench.bluesky, &token).await.expect("an answer");

    assert!(matches!(renewal, Renewal::Renewed(_)), "{renewal:?}");
}

#[tokio::test]
async fn what_is_refused_says_what_to_do_and_keeps_the_password() {
    let bench = bench().await;
    let sign_in = async |who: &str, password: &str| {
        bench.bluesky.sign_in(who, &password.into()).await.expect_err("refused")
    };

    let wrong = sign_in("alice.test", "hunter2hunter2").await;
    assert!(wrong.message.contains("does not take the handle and the app password"), "{wrong}");
    let nobody = sign_in("nobody.test", "hunter2hunter2").await;
    assert!(nobody.message.contains("nobody has this handle"), "{nobody}");
    let gone = sign_in("did:plc:nobody", "hunter2hunter2").await;
    assert!(gone.message.contains("is not known any more"), "{gone}");
    let key = sign_in("did:key:z6Mk", "hunter2hunter2").await;
    bench.server.answer(SIGN_IN, Canned::error(401, "AuthFactorTokenRequired", "hunter2hunter2"));
    let factor = sign_in("alice.test", "hunter2hunter2").await;
    assert!(factor.message.contains("use an app password"), "{factor}");
    bench.server.answer(SIGN_IN, Canned::error(403, "AccountTakedown", "gone"));
    let down = sign_in("alice.test", "hunter2hunter2").await;
    for failure in [wrong, nobody, gone, key, factor, down] {
        assert_eq!((failure.class, failure.outcome), (FailureClass::Auth, Outcome::NotPublished));
        assert!(!failure.message.contains("hunter2"), "{failure}");
    }
}

#[tokio::test]
async fn trouble_while_signing_in_is_no_refusal() {
    let bench = bench().await;
    for (method, answer, class) in [
        (SIGN_IN, Canned::error(429, "RateLimitExceeded", ""), FailureClass::RateLimit),
        (SIGN_IN, Canned::error(503, "", ""), FailureClass::Platform),
        (SIGN_IN, Canned::new(200, "{}"), FailureClass::Platform),
        (
            SIGN_IN,
            Canned::new(200, r#"{"did":"did:plc:other","accessJwt":"a","refreshJwt":"b"}"#),
            FailureClass::Platform,
        ),
        ("com.atproto.identity.resolveHandle", Canned::error(500, "", ""), FailureClass::Platform),
    ] {
        bench.server.answer(method, answer);
        let failure = bench.bluesky.sign_in("alice.test", &password()).await.expect_err(method);
        assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished), "{failure}");
    }
}

#[tokio::test]
async fn each_answer_to_a_renewal_has_its_meaning() {
    let bench = bench().await;
    let token = format!("{} {} jwt-secret", bench.did, bench.server.url());
    let renew = async |answer: Canned| {
        bench.server.answer(RENEW, answer);
        Refresh::refresh(&bench.bluesky, &token.as_str().into()).await
    };
    for (status, error) in [
        (400, "ExpiredToken"),
        (400, "InvalidToken"),
        (401, "ExpiredToken"),
        (401, "AuthenticationRequired"),
    ] {
        let renewal =
            renew(Canned::error(status, error, "no: jwt-secret")).await.expect("an answer");
        let Renewal::Refused(why) = renewal else { panic!("{error}: {renewal:?}") };
        assert!(why.contains(error) && !why.contains("jwt-secret"), "{why}");
    }
    for (status, error, class) in [
        (400, "InvalidRequest", FailureClass::Platform),
        (401, "AuthMissing", FailureClass::Auth),
        (403, "AccountTakedown", FailureClass::Auth),
        (429, "RateLimitExceeded", FailureClass::RateLimit),
        (502, "UpstreamFailure", FailureClass::Platform),
        (200, "", FailureClass::Platform),
    ] {
        let failure = renew(Canned::error(status, error, "")).await.expect_err(error);
        assert_eq!((failure.class, failure.outcome), (class, Outcome::Unknown), "{failure}");
    }
    let nonsense = Refresh::refresh(&bench.bluesky, &"two words".into()).await.expect("an answer");
    assert!(matches!(nonsense, Renewal::Refused(_)), "{nonsense:?}");
}

/// An account may move to another server: the next session says where it is.
#[tokio::test]
async fn a_renewal_follows_an_account_that_moved() {
    let bench = bench().await;
    let elsewhere = bench_with(|_| {}).await.server.url();
    let session = |endpoint: &str| {
        let service = json!([{ "id": "#atproto_pds", "serviceEndpoint": endpoint }]);
        json!({
            "did": bench.did, "handle": "alice.test", "accessJwt": "a", "refreshJwt": "b",
            "didDoc": { "id": bench.did, "service": service },
        })
        .to_string()
    };
    let token = format!("{} {} jwt", bench.did, bench.server.url());
    for (endpoint, expected) in [
        (elsewhere.as_str(), elsewhere.as_str()),
        // Not where a token may be sent: it stays where it was.
        ("http://10.0.0.1", &bench.server.url()),
    ] {
        bench.server.answer(RENEW, Canned::new(200, session(endpoint)));
        let renewal =
            Refresh::refresh(&bench.bluesky, &token.as_str().into()).await.expect("an answer");
        let Renewal::Renewed(grant) = renewal else { panic!("refused") };
        let written = format!("{} {expected} a", bench.did);
        assert_eq!(grant.access_token.expose_secret(), written);
        assert_eq!(grant.expires_in, None, "an opaque token tells no end");
    }
}
