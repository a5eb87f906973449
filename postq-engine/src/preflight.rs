//! Asking a platform whether it would take a post: when it comes in, and again before it is sent. And what a
//! person should read before: for previews.
//!
//! An answer that does not come is no refusal: then the post is taken in, and sent.

use std::time::Duration;

use postq_core::account::Account;
use postq_core::content::Draft;
use postq_core::failure::Failure;
use postq_core::platform::{Identity, Platform, Violation};

/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the platform would refuse by its own rules; nothing where it has none, or does not say.
pub(crate) async fn refused(
    platform: &dyn Platform,
    account: &Account,
    who: &Identity,
    draft: Draft<'_>,
) -> Vec<Violation> {
    let Some(preflight) = platform.preflight() else { return Vec::new() };
    asked(account, preflight.check(who, draft)).await.unwrap_or_default()
}

/// What the platform wants a person to read before this is posted there; none where it does not answer.
pub(crate) async fn advice(
    platform: &dyn Platform,
    account: &Account,
    who: &Identity,
    draft: Draft<'_>,
) -> Option<Vec<String>> {
    asked(account, platform.preflight()?.advice(who, draft)).await
}

/// The answer, if it comes in time.
async fn asked<T>(
    account: &Account,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Option<T> {
    let why = match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(told)) => return Some(told),
        Ok(Err(failure)) => failure.to_string(),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    tracing::debug!(account = account.name, why, "the platform could not be asked for its rules");
    None
}
