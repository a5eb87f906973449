//! The attempt at a `token.refresh` job.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::error::chain;
use postq_core::failure::{Failure, FailureClass};
use postq_core::feed::{Deferral, Settle};
use postq_core::id::AccountId;
use serde::{Deserialize, Serialize};

use super::{MARGIN, Unusable, ends_before, trouble};
use crate::engine::Shared;
use crate::settle::Verdict;
use crate::worker::Work;

/// While a platform cannot renew, it is asked so often.
const PAUSE: Duration = Duration::from_secs(60);

/// What a `token.refresh` job carries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ToRenew {
    pub(crate) account: AccountId,
    /// The end of the token that is to be renewed.
    pub(crate) ends: DateTime<Utc>,
}

/// Renews one token. It waits as long as the platform has trouble, and gives nothing up: who needs the
/// token meanwhile asks as well. A person is told when that has been so for long.
pub(crate) async fn run(shared: &Shared, work: &Work) -> Verdict {
    let done = |why: &str| Verdict::new(Settle::Succeeded(None), why);
    let later = |why: &str| {
        let at = work.time.now() + shared.jittered(PAUSE);
        Verdict::new(Settle::Deferred(at, Deferral::Again), why)
    };
    let Ok(to_renew) = ToRenew::deserialize(&work.job.made.payload) else {
        return done("it names no token");
    };
    let ids = [to_renew.account];
    let load = shared.backend.accounts.load(&ids);
    let account = match shared.bounded("load the account", load).await {
        Ok(found) => match found.into_iter().next() {
            Some(account) => account,
            None => return done("the account is gone"),
        },
        Err(error) => return later(&chain(&error)),
    };
    if account.token_expires_at != Some(to_renew.ends) {
        return done("the token is another one by now");
    }
    if shared.platforms.get(&account.platform).is_none() {
        return later(&format!("this node does not know platform \"{}\"", account.platform));
    }
    match renew(shared, work, &account).await {
        Ok(Ended::Renewed) => Verdict::plain(Settle::Succeeded(None)),
        Ok(Ended::Nothing(why)) => done(why),
        Ok(Ended::At(at)) => {
            let why = "the token is young, and renewed when half of its life is over";
            Verdict::new(Settle::Deferred(at, Deferral::Again), why)
        }
        Err(Unusable::Refused { account, why }) => {
            let failure = Failure::not_published(FailureClass::Auth, why);
            shared.attention(work, &account, &failure, Settle::Succeeded(None)).await
        }
        Err(Unusable::Unopened(why)) => {
            let failure = Failure::not_published(FailureClass::Auth, why);
            shared.attention(work, &account, &failure, Settle::Succeeded(None)).await
        }
        Err(Unusable::Gone) => done("the account is gone"),
        Err(Unusable::Later(why)) => {
            let verdict = later(&trouble::reason(&why));
            shared.telling_trouble(work, account.id, &why, verdict).await
        }
        Err(trouble @ Unusable::NoVault) => later(&trouble.to_string()),
    }
}

enum Ended {
    Renewed,
    /// There is nothing to do.
    Nothing(&'static str),
    /// Not before then.
    At(DateTime<Utc>),
}

async fn renew(shared: &Shared, work: &Work, account: &Account) -> Result<Ended, Unusable> {
    let (tokens, now) = (&shared.tokens, work.time.now());
    let secret = tokens.open(account).await?;
    let Some(known) = tokens.renewable(account, secret.as_ref()) else {
        return Ok(Ended::Nothing("nothing renews this token"));
    };
    if known.credentials.refused_at.is_some() {
        return Ok(Ended::Nothing("the platform refused to renew this token before"));
    }
    // What lives shorter than we renew ahead would otherwise be renewed all the time.
    if let (Some(issued), Some(ends)) = (known.credentials.issued_at, account.token_expires_at) {
        let half = issued + (ends - issued) / 2;
        if now < half && !ends_before(account, now + MARGIN) {
            return Ok(Ended::At(half));
        }
    }
    tokens.renew(account, now).await.map(|_| Ended::Renewed)
}
