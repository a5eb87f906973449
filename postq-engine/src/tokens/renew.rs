//! One renewal: who makes the call, and what becomes of what it brings.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::connect::{Grant, Renewal};
use postq_core::credentials::Credentials;
use postq_core::error::{ErrorKind, StoreError, chain};
use postq_core::id::AccountId;
use postq_core::job::{Applied, DedupeKey};
use postq_core::lock::LockToken;
use postq_core::platform::Platform;
use secrecy::SecretString;
use tokio::time::Instant;

use super::{Renewable, Tokens, Unusable, ends_before, mark_holds};
use crate::worker::StoreTime;

/// Who needs credentials that somebody else is renewing waits so long, and looks so often.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The lock only saves work: longer than this nobody waits for it.
const LOCK_PATIENCE: Duration = Duration::from_millis(100);

/// A refusal is believed for so long without asking again.
const REFUSAL_HOLDS: Duration = Duration::from_secs(60);

/// New credentials are worth trying to write down for so long: with them the account is lost.
const KEEP_BOUND: Duration = Duration::from_secs(3_600);

/// Others may change an account while a refusal is noted; nobody does so this often.
const TRIES: usize = 5;

/// Beyond its own time-out a call is given this much.
const SLACK: Duration = Duration::from_millis(200);

/// What became of replacing an account's credentials.
enum Replaced {
    Now(Account),
    Stale,
    Gone,
}

impl Tokens {
    /// Newer credentials than those of an account as it was `seen`: renewed here, or by whoever does so
    /// already.
    pub async fn renew(&self, seen: &Account, now: DateTime<Utc>) -> Result<Account, Unusable> {
        let (time, deadline) = (StoreTime::told_now(now), Instant::now() + PATIENCE);
        let before = self.credentials(seen).await?.credentials;
        let mut account = seen.clone();
        loop {
            let Some(platform) = self.refreshing(&account).cloned() else {
                return Err(not_renewable(account));
            };
            let Some(refresh) = platform.refresh() else { return Err(not_renewable(account)) };
            let known = self.credentials(&account).await?;
            let credentials = &known.credentials;
            if !credentials.same_token(&before) && !ends_before(&account, time.now()) {
                return Ok(account);
            }
            let lately = |at: Option<DateTime<Utc>>, held: Duration| {
                at.is_some_and(|at| at - held < time.now() && time.now() < at + held)
            };
            if lately(credentials.refused_at, REFUSAL_HOLDS) {
                let why = format!("{} renews its token no more", account.platform);
                return Err(Unusable::Refused { account: Box::new(account), why });
            }
            let mark = mark_holds(refresh);
            if !lately(credentials.renewing_since, mark)
                && let Some(lock) = self.acquire(account.id, mark).await
            {
                let begun = Instant::now();
                match self.mark(&account, credentials, time.now()).await {
                    Ok(Replaced::Now(marked)) => {
                        let by = begun + refresh.timeout();
                        return self.carry_out(marked, known, platform, (time, by), lock).await;
                    }
                    Ok(Replaced::Gone) => return Err(Unusable::Gone),
                    Ok(Replaced::Stale) => self.release(account.id, &lock).await,
                    Err(error) => {
                        self.release(account.id, &lock).await;
                        return Err(error);
                    }
                }
            }
            if Instant::now() >= deadline {
                let why = "somebody else renews the token, and has not come to an end";
                return Err(Unusable::Later(why.to_owned()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
            account = self.load(account.id).await?;
        }
    }

    /// Says in the store that the credentials are being renewed: of all who try, one can.
    async fn mark(
        &self,
        account: &Account,
        credentials: &Credentials,
        now: DateTime<Utc>,
    ) -> Result<Replaced, Unusable> {
        let mut marked = credentials.clone();
        (marked.renewing_since, marked.refused_at) = (Some(now), None);
        self.replace(account, &marked, account.token_expires_at).await
    }

    /// Makes the call, if it can begin in time, and writes down what came of it, whether or not somebody
    /// still waits for it.
    async fn carry_out(
        &self,
        marked: Account,
        known: Renewable,
        platform: Arc<dyn Platform>,
        (time, by): (StoreTime, Instant),
        lock: LockToken,
    ) -> Result<Account, Unusable> {
        let tokens = self.clone();
        let id = marked.id;
        let renewal = self.renewals.spawn(async move {
            let Renewable { credentials, refresh_token } = known;
            let ended = match tokens.call(&*platform, &refresh_token, by).await {
                Ok(Renewal::Renewed(grant)) => {
                    let renewed = credentials.renewed(grant.clone(), time.now());
                    let kept = tokens.keep(marked, &credentials, grant, time).await;
                    if matches!(kept, Err(Unusable::Gone)) {
                        // The account was removed while it was renewed.
                        tokens.take_back(id, platform, renewed).await;
                    }
                    kept
                }
                Ok(Renewal::Refused(why)) => tokens.note(marked, &credentials, why, time).await,
                Err(why) => {
                    tracing::warn!(account = %id, why, "token not renewed");
                    // Should that fail, the mark ends by itself.
                    let mut unmarked = credentials;
                    unmarked.renewing_since = None;
                    unmarked.failing_since = unmarked.failing_since.or(Some(time.now()));
                    let _ = tokens.replace(&marked, &unmarked, marked.token_expires_at).await;
                    Err(Unusable::Later(why))
                }
            };
            tokens.release(id, &lock).await;
            ended
        });
        let ended = renewal.await;
        ended.unwrap_or_else(|error| Err(Unusable::Later(format!("renewing ended: {error}"))))
    }

    async fn call(
        &self,
        platform: &dyn Platform,
        refresh_token: &SecretString,
        by: Instant,
    ) -> Result<Renewal, String> {
        // Held up for longer, the call could still be under way when the mark holds no more.
        if Instant::now() >= by {
            return Err("the node was held up before it could ask".to_owned());
        }
        let Some(refresh) = platform.refresh() else {
            return Err(format!("{} renews no tokens", platform.name()));
        };
        let most = refresh.timeout() + SLACK;
        match tokio::time::timeout(most, refresh.refresh(refresh_token)).await {
            Ok(Ok(renewal)) => Ok(renewal),
            Ok(Err(failure)) => Err(failure.to_string()),
            Err(_) => Err(format!("no answer within {most:?}")),
        }
    }

    /// Stores new credentials. Somebody may change the account meanwhile, seal them with another key, say;
    /// only other credentials that are not these go before them.
    async fn keep(
        &self,
        marked: Account,
        old: &Credentials,
        grant: Grant,
        time: StoreTime,
    ) -> Result<Account, Unusable> {
        let now = time.now();
        let ends = grant.expires_in.map(|lives| now + lives);
        let renewed = old.renewed(grant, now);
        let (until, mut wait) = (Instant::now() + KEEP_BOUND, Duration::from_millis(50));
        let mut known = marked;
        loop {
            let trouble = match self.replace(&known, &renewed, ends).await {
                Ok(Replaced::Now(account)) => {
                    tracing::info!(account = %account.id, "token renewed");
                    return Ok(account);
                }
                Ok(Replaced::Gone) => return Err(Unusable::Gone),
                Ok(Replaced::Stale) => match self.load(known.id).await {
                    Ok(stored) => match self.credentials(&stored).await {
                        Ok(now) if now.credentials.same_token(old) => {
                            known = stored;
                            continue;
                        }
                        // A person connected it anew, or these are stored already.
                        Ok(_) => return Ok(stored),
                        Err(trouble) => trouble,
                    },
                    Err(Unusable::Gone) => return Err(Unusable::Gone),
                    Err(trouble) => trouble,
                },
                Err(trouble) => trouble,
            };
            if Instant::now() >= until {
                tracing::error!(account = %known.id, %trouble, "a renewed token could not be written down");
                return Err(trouble);
            }
            tracing::warn!(account = %known.id, %trouble, "a renewed token is not written down yet");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
    }

    /// Notes a refusal, unless the credentials are others by now: then it says nothing of those.
    async fn note(
        &self,
        marked: Account,
        old: &Credentials,
        why: String,
        time: StoreTime,
    ) -> Result<Account, Unusable> {
        for _ in 0..TRIES {
            let stored = self.load(marked.id).await?;
            if !self.credentials(&stored).await?.credentials.same_token(old) {
                return Ok(stored);
            }
            let mut refused = old.clone();
            (refused.renewing_since, refused.refused_at) = (None, Some(time.now()));
            match self.replace(&stored, &refused, stored.token_expires_at).await? {
                Replaced::Now(account) => {
                    return Err(Unusable::Refused { account: Box::new(account), why });
                }
                Replaced::Gone => return Err(Unusable::Gone),
                Replaced::Stale => {}
            }
        }
        Err(Unusable::Later("others change the account all the time".to_owned()))
    }

    /// Seals credentials and stores them in place of those of an account as it is known.
    async fn replace(
        &self,
        known: &Account,
        credentials: &Credentials,
        ends: Option<DateTime<Utc>>,
    ) -> Result<Replaced, Unusable> {
        let Some(vault) = &self.vault else { return Err(Unusable::NoVault) };
        let sealed = vault.seal(known.id, &credentials.write()).await;
        let sealed = sealed.map_err(|error| Unusable::Later(chain(&error)))?;
        let account =
            Account { credentials: Some(sealed), token_expires_at: ends, ..known.clone() };
        let update = self.accounts.update(&account, Some(known));
        Ok(match self.bounded("store credentials", update).await? {
            Applied::Applied => Replaced::Now(account),
            Applied::Stale => Replaced::Stale,
            Applied::Gone => Replaced::Gone,
        })
    }

    pub(super) async fn credentials(&self, account: &Account) -> Result<Renewable, Unusable> {
        let secret = self.open(account).await?;
        let renewable = self.renewable(account, secret.as_ref());
        renewable.ok_or_else(|| not_renewable(account.clone()))
    }

    pub(super) async fn load(&self, id: AccountId) -> Result<Account, Unusable> {
        let ids = [id];
        let found = self.bounded("load the account", self.accounts.load(&ids)).await?;
        found.into_iter().next().ok_or(Unusable::Gone)
    }

    pub(super) async fn bounded<T>(
        &self,
        action: &str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Unusable> {
        let answer = tokio::time::timeout(self.store_timeout, call).await.unwrap_or_else(|_| {
            let why = format!("{action}: no answer within {:?}", self.store_timeout);
            Err(StoreError::new(ErrorKind::Unavailable, why))
        });
        answer.map_err(|error| Unusable::Later(chain(&error)))
    }

    /// The lock on an account's credentials; none if somebody holds it. One that does not answer keeps
    /// nobody back: the store decides.
    async fn acquire(&self, account: AccountId, ttl: Duration) -> Option<LockToken> {
        let (key, token) = ([lock_key(account)], LockToken::random());
        let acquire = self.lock.acquire(&key, &token, ttl);
        match tokio::time::timeout(LOCK_PATIENCE, acquire).await {
            Ok(Ok(acquired)) if acquired != [true] => None,
            _ => Some(token),
        }
    }

    async fn release(&self, account: AccountId, token: &LockToken) {
        let key = [lock_key(account)];
        // It frees itself after a while.
        let _ = tokio::time::timeout(LOCK_PATIENCE, self.lock.release(&key, token)).await;
    }
}

fn lock_key(account: AccountId) -> DedupeKey {
    DedupeKey::new(format!("token:{account}"))
}

fn not_renewable(account: Account) -> Unusable {
    let why = "its token has ended, and nothing renews it".to_owned();
    Unusable::Refused { account: Box::new(account), why }
}
