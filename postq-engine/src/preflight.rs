//! Asking a platform whether it would take a post: when it comes in, and again before it is sent.
//!
//! An answer that does not come is no refusal: then the post is taken in, and sent.

use std::time::Duration;

use postq_core::account::Account;
use postq_core::content::Draft;
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
    let why = match tokio::time::timeout(PATIENCE, preflight.check(who, draft)).await {
        Ok(Ok(violations)) => return violations,
        Ok(Err(failure)) => failure.to_string(),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    tracing::debug!(account = account.name, why, "the platform could not be asked for its rules");
    Vec::new()
}
