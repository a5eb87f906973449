//! The rules of [`Connect`], [`Refresh`] and [`Revoke`](crate::connect::Revoke).

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::conformance::PATIENCE;
use crate::connect::{Connect, Grant, Nonce, Refresh, Renewal};
use crate::failure::{Failure, FailureClass};

pub mod authority;

/// Writes one test per rule of [`Connect`], [`Refresh`] and `Revoke`; the argument yields an
/// `Arc<dyn ConnectHarness>`. See [`conformance`](crate::conformance).
#[macro_export]
macro_rules! connect_conformance {
    ($fresh:expr) => {
        mod connect_rules {
            $crate::conformance_rules! { $fresh, connect {
                an_address_keeps_the_verifier,
                a_code_brings_a_grant,
                a_code_needs_its_verifier,
                a_refresh_is_one_call,
                a_grant_renews_again,
                a_spent_token_is_refused,
                trouble_is_no_refusal,
                a_refresh_gives_up_in_time,
                refusals_keep_secrets,
                what_is_revoked_renews_no_more,
                a_revocation_is_one_call,
            } }
        }
    };
}

/// A platform whose accounts can be connected, with the server behind it.
#[async_trait]
pub trait ConnectHarness: Send + Sync {
    /// What is under test.
    fn connect(&self) -> &dyn Connect;

    /// What is under test.
    fn refresh(&self) -> &dyn Refresh;

    /// A person agrees at this address: the code that they come back with.
    async fn agree(&self, address: &str) -> SecretString;

    /// Whether a code is good only with the verifier that it was asked for with.
    fn binds_codes(&self) -> bool {
        true
    }

    /// Calls for a grant, or to take one back, that the server has taken in so far; none if nobody counts
    /// them.
    async fn calls(&self) -> Option<u64>;

    /// Makes the next call to refresh, or to take back, go wrong; no if it cannot.
    async fn next(&self, trouble: GrantTrouble) -> bool {
        let _cannot = trouble;
        false
    }
}

/// What the next call to refresh meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrantTrouble {
    /// The platform says that it has trouble of its own; nothing is renewed.
    Unavailable,
    /// The connection is cut; nothing is renewed.
    CutBefore,
    /// It is renewed, and the answer is lost.
    CutAfter,
    /// It is renewed, and the answer does not come.
    Hang,
}

impl GrantTrouble {
    const ALL: [Self; 4] = [Self::Unavailable, Self::CutBefore, Self::CutAfter, Self::Hang];
}

/// The address has what it needs, and not the verifier.
pub async fn an_address_keeps_the_verifier(harness: Arc<dyn ConnectHarness>) {
    let (state, verifier) = (Nonce::random(), Nonce::random());

    let address = harness.connect().authorize(&state, &verifier).expect("an address");

    assert!(address.contains(state.expose()), "the state is not in it");
    assert!(!address.contains(verifier.expose()), "the verifier is in it");
    for asked in harness.connect().asks() {
        assert!(address.contains(asked.scope), "{} is not asked for", asked.scope);
        assert!(!asked.why.trim().is_empty(), "{} has no reason", asked.scope);
    }
    assert!(harness.connect().redirect_uri().is_ok());
    assert!(harness.calls().await.is_none_or(|calls| calls == 0), "it made a call");
}

/// A code is exchanged for a grant, of which the platform can tell whose it is.
pub async fn a_code_brings_a_grant(harness: Arc<dyn ConnectHarness>) {
    let grant = connected(&*harness).await;

    assert!(!grant.access_token.expose_secret().is_empty());
    let whose = harness.connect().whose(&grant).await.expect("whose it is");
    assert!(!whose.remote_id.is_empty());
}

/// A code that the platform does not know is refused, and where it binds codes, so is one with another verifier
/// than it was asked for with.
pub async fn a_code_needs_its_verifier(harness: Arc<dyn ConnectHarness>) {
    let (state, verifier) = (Nonce::random(), Nonce::random());
    let address = harness.connect().authorize(&state, &verifier).expect("an address");
    let code = harness.agree(&address).await;
    let cases = [(&code, Nonce::random()), (&SecretString::from("no-such-code"), verifier)];
    let unbound = usize::from(!harness.binds_codes());

    for (code, verifier) in cases.into_iter().skip(unbound) {
        let failure = harness.connect().exchange(code, &verifier, None).await.expect_err("refused");

        assert_eq!(failure.class, FailureClass::Auth, "{failure}");
        ensure_hidden(&failure.message, [code, verifier.secret()]);
    }
}

/// One refresh is one call, whatever becomes of it.
pub async fn a_refresh_is_one_call(harness: Arc<dyn ConnectHarness>) {
    let mut token = token(&connected(&*harness).await);
    for trouble in GrantTrouble::ALL.map(Some).into_iter().chain([None]) {
        if let Some(trouble) = trouble
            && !harness.next(trouble).await
        {
            continue;
        }
        let before = harness.calls().await;

        let renewal = harness.refresh().refresh(&token).await;

        let (Some(before), Some(after)) = (before, harness.calls().await) else { return };
        assert_eq!(after - before, 1, "{trouble:?}");
        if !matches!(renewal, Ok(Renewal::Renewed(_))) {
            token = self::token(&connected(&*harness).await);
        }
    }
}

/// What a refresh brings renews again.
pub async fn a_grant_renews_again(harness: Arc<dyn ConnectHarness>) {
    let first = connected(&*harness).await;
    let mut refresh_token = token(&first);
    let mut access_token = first.access_token;
    for _ in 0..3 {
        let grant = match harness.refresh().refresh(&refresh_token).await.expect("an answer") {
            Renewal::Renewed(grant) => grant,
            Renewal::Refused(why) => panic!("refused: {why}"),
        };
        assert_ne!(grant.access_token.expose_secret(), access_token.expose_secret());
        harness.connect().whose(&grant).await.expect("it can be used");
        access_token = grant.access_token;
        refresh_token = grant.refresh_token.unwrap_or(refresh_token);
    }
}

/// A refresh token that was never given, or is spent, is refused.
pub async fn a_spent_token_is_refused(harness: Arc<dyn ConnectHarness>) {
    let spent = token(&connected(&*harness).await);
    let rotates = match harness.refresh().refresh(&spent).await.expect("an answer") {
        Renewal::Renewed(grant) => grant.refresh_token.is_some(),
        Renewal::Refused(why) => panic!("refused: {why}"),
    };
    let unknown = SecretString::from("no-such-token");
    for token in [Some(&unknown), rotates.then_some(&spent)].into_iter().flatten() {
        match harness.refresh().refresh(token).await.expect("an answer") {
            Renewal::Refused(why) => assert!(!why.trim().is_empty(), "without words"),
            Renewal::Renewed(_) => panic!("renewed with a token that is good for nothing"),
        }
    }
}

/// What says nothing of the refresh token is a failure that may pass.
pub async fn trouble_is_no_refusal(harness: Arc<dyn ConnectHarness>) {
    for trouble in GrantTrouble::ALL {
        let token = token(&connected(&*harness).await);
        if !harness.next(trouble).await {
            continue;
        }

        let failure = failure(&*harness, &token).await;

        assert!(failure.class.is_transient(), "{trouble:?}: {failure}");
        if matches!(trouble, GrantTrouble::Unavailable | GrantTrouble::CutBefore) {
            let again = harness.refresh().refresh(&token).await.expect("an answer");
            assert!(matches!(again, Renewal::Renewed(_)), "after {trouble:?}: {again:?}");
        }
    }
}

/// A call without an answer ends in time.
pub async fn a_refresh_gives_up_in_time(harness: Arc<dyn ConnectHarness>) {
    let token = token(&connected(&*harness).await);
    if !harness.next(GrantTrouble::Hang).await {
        return;
    }
    let (start, most) = (Instant::now(), harness.refresh().timeout());

    let answer = tokio::time::timeout(PATIENCE + most, harness.refresh().refresh(&token)).await;

    let late = start.elapsed().saturating_sub(most);
    answer.expect("it ends").expect_err("no grant without an answer");
    assert!(late.as_millis() < 250, "{late:?} later than its time-out of {most:?}");
}

/// No secret is in what is told.
pub async fn refusals_keep_secrets(harness: Arc<dyn ConnectHarness>) {
    let grant = connected(&*harness).await;
    let token = token(&grant);
    assert!(!format!("{grant:?}").contains(token.expose_secret()));
    if harness.next(GrantTrouble::Unavailable).await {
        ensure_hidden(&failure(&*harness, &token).await.message, [&token]);
    }
    let unknown = SecretString::from("a-token-that-nobody-gave");
    if let Ok(Renewal::Refused(why)) = harness.refresh().refresh(&unknown).await {
        ensure_hidden(&why, [&unknown]);
    }
}

/// A refresh token that was taken back renews no more.
pub async fn what_is_revoked_renews_no_more(harness: Arc<dyn ConnectHarness>) {
    let Some(revoke) = harness.connect().revoke() else { return };
    let token = token(&connected(&*harness).await);

    revoke.revoke(&token).await.expect("taken back");

    let renewal = harness.refresh().refresh(&token).await.expect("an answer");
    assert!(matches!(renewal, Renewal::Refused(_)), "it still renews");
}

/// Taking a token back is one call, and its failure has no secret.
pub async fn a_revocation_is_one_call(harness: Arc<dyn ConnectHarness>) {
    let Some(revoke) = harness.connect().revoke() else { return };
    for trouble in [None, Some(GrantTrouble::Unavailable)] {
        let token = token(&connected(&*harness).await);
        let meets = match trouble {
            Some(trouble) => harness.next(trouble).await,
            None => false,
        };
        let before = harness.calls().await;

        let revoked = revoke.revoke(&token).await;

        assert_eq!(revoked.is_err(), meets, "{trouble:?}: {revoked:?}");
        if let Err(failure) = revoked {
            ensure_hidden(&failure.message, [&token]);
        }
        if let (Some(before), Some(after)) = (before, harness.calls().await) {
            assert_eq!(after - before, 1, "{trouble:?}");
        }
    }
}

async fn failure(harness: &dyn ConnectHarness, token: &SecretString) -> Failure {
    match harness.refresh().refresh(token).await {
        Err(failure) => failure,
        Ok(answer) => panic!("trouble is told as an answer: {answer:?}"),
    }
}

/// A grant, as a person who connects an account gets it.
async fn connected(harness: &dyn ConnectHarness) -> Grant {
    let (state, verifier) = (Nonce::random(), Nonce::random());
    let address = harness.connect().authorize(&state, &verifier).expect("an address");
    let code = harness.agree(&address).await;
    harness.connect().exchange(&code, &verifier, None).await.expect("a grant")
}

fn token(grant: &Grant) -> SecretString {
    grant.refresh_token.clone().expect("a grant that renews")
}

fn ensure_hidden<const N: usize>(words: &str, secrets: [&SecretString; N]) {
    for secret in secrets {
        assert!(!words.contains(secret.expose_secret()), "a secret is told: {words}");
    }
}
