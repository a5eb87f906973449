//! Taking back at the platform what an account was connected with, once the account is gone.

use std::sync::Arc;
use std::time::Duration;

use postq_core::account::Account;
use postq_core::credentials::Credentials;
use postq_core::id::AccountId;
use postq_core::platform::Platform;

use super::Tokens;

/// The platform has so long in all.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of taking an account's tokens back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The platform took them back.
    Yes,
    /// It could not be asked, or did not do it: they end by themselves, or a person ends them there.
    No,
    /// There was nothing to take back: the account was not connected by us, its platform offers nothing of
    /// the kind, or another account is the same identity there.
    Nothing,
}

impl Tokens {
    /// Takes the tokens of an account back that was removed: best effort, within five seconds, and whether or
    /// not somebody still waits for it.
    pub async fn revoke(&self, removed: &Account) -> Revoked {
        let Some(platform) = self.platforms.get(&removed.platform).cloned() else {
            return Revoked::Nothing;
        };
        let Ok(Some(secret)) = self.open(removed).await else { return Revoked::Nothing };
        let Ok(credentials) = Credentials::read(&secret) else { return Revoked::Nothing };
        if self.is_elsewhere(removed).await {
            return Revoked::Nothing;
        }
        self.take_back(removed.id, platform, credentials).await
    }

    /// The same of credentials.
    pub(super) async fn take_back(
        &self,
        account: AccountId,
        platform: Arc<dyn Platform>,
        credentials: Credentials,
    ) -> Revoked {
        let offers = platform.connect().is_some_and(|connect| connect.revoke().is_some());
        // A token that a person brought along may be in use elsewhere.
        if !offers || credentials.issued_at.is_none() {
            return Revoked::Nothing;
        }
        let asking = self.renewals.spawn(async move {
            let asked = tokio::time::timeout(PATIENCE, ask(&*platform, &credentials)).await;
            let why = match asked {
                Ok(None) => return Revoked::Yes,
                Ok(Some(why)) => why,
                Err(_) => format!("no answer within {PATIENCE:?}"),
            };
            tracing::warn!(%account, why, "removed, and its token not taken back at the platform");
            Revoked::No
        });
        asking.await.unwrap_or(Revoked::No)
    }

    /// Whether another account is the same identity there: what is taken back may be theirs as well.
    async fn is_elsewhere(&self, removed: &Account) -> bool {
        let Some(remote_id) = &removed.remote_id else { return false };
        let list = self.accounts.list(removed.tenant_id);
        let Ok(others) = self.bounded("list accounts", list).await else { return true };
        others.iter().any(|other| {
            other.id != removed.id
                && other.platform == removed.platform
                && other.remote_id.as_ref() == Some(remote_id)
        })
    }
}

/// Asks the platform for each token; why it failed, if it did.
async fn ask(platform: &dyn Platform, credentials: &Credentials) -> Option<String> {
    let revoke = platform.connect().and_then(|connect| connect.revoke())?;
    let mut failed = None;
    // The one that would bring others first.
    let tokens = [credentials.refresh_token.as_ref(), Some(&credentials.access_token)];
    for token in tokens.into_iter().flatten() {
        failed = revoke.revoke(token).await.err().map(|failure| failure.to_string()).or(failed);
    }
    failed
}
