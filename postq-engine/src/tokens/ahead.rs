//! Renewing ahead: finds tokens that end soon, and makes a `token.refresh` job of each.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::error::StoreError;
use postq_core::feed::Only;
use postq_core::id::TenantId;
use postq_core::job::{DedupeKey, JobKind, NewJob, Topic};
use tokio_util::sync::CancellationToken;

use super::job::ToRenew;
use crate::engine::{Shared, in_rounds};

/// Tokens are looked through so often.
const EVERY: Duration = Duration::from_secs(60);

/// A token is renewed so long before its end, and up to as much as `SPREAD` earlier: those that were given
/// together are not renewed together.
const LEAD: Duration = Duration::from_secs(600);
const SPREAD: Duration = Duration::from_secs(300);

/// Jobs in one call.
const BATCH: usize = 500;

/// Looks for tokens that end soon, until the shutdown.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    if !matches!(shared.settings.only, Only::Any) {
        return;
    }
    in_rounds(&shared, &shutdown, "tokens", EVERY, || round(&shared)).await;
}

/// Makes a job of each token that is to be renewed before the round after the next. However many nodes
/// look, and however often, one end of one token is one job.
async fn round(shared: &Shared) -> Result<(), StoreError> {
    let backend = &shared.backend;
    let now = shared.bounded("tell the time", backend.jobs.now()).await?;
    let list = backend.accounts.list(TenantId::DEFAULT);
    let accounts = shared.bounded("list accounts", list).await?;
    let renews = |account: &&Account| {
        let platform = shared.platforms.get(&account.platform);
        platform.is_some_and(|platform| platform.refresh().is_some())
            && account.credentials.is_some()
    };
    let jobs: Vec<NewJob> = accounts
        .iter()
        .filter(renews)
        .filter_map(|account| {
            let ends = account.token_expires_at?;
            let at = due(account, ends).max(now);
            (at <= now + EVERY * 2).then(|| job(shared, account, ends, at))
        })
        .collect();
    for batch in jobs.chunks(BATCH) {
        shared.bounded("make token jobs", backend.jobs.insert(batch)).await?;
    }
    Ok(())
}

/// When a token that ends then is renewed. An account keeps its place in the spread.
fn due(account: &Account, ends: DateTime<Utc>) -> DateTime<Utc> {
    let place = account.id.as_uuid().as_u64_pair().1 % 1_000;
    let early = SPREAD.mul_f64(place as f64 / 1_000.0);
    ends - LEAD - early
}

fn job(shared: &Shared, account: &Account, ends: DateTime<Utc>, at: DateTime<Utc>) -> NewJob {
    let to_renew = ToRenew { account: account.id, ends };
    // No lane: neither a pause nor a limit on posts is a reason to let a token end. And not the
    // account's: a job that only renews keeps nobody from removing it.
    NewJob {
        id: shared.job_id(at),
        tenant_id: account.tenant_id,
        dedupe_key: Some(DedupeKey::new(format!(
            "token:{}:{}",
            account.id,
            ends.timestamp_micros()
        ))),
        payload: serde_json::to_value(to_renew).expect("an id and a time are JSON"),
        ..NewJob::new(JobKind::token_refresh(), Topic::token(), at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_some_minutes_ahead_and_spread() {
        let ends = DateTime::UNIX_EPOCH + Duration::from_secs(7_200);
        let account = || Account::new("a", "x".parse().unwrap(), DateTime::UNIX_EPOCH);

        let early: Vec<Duration> =
            (0..100).map(|_| (ends - due(&account(), ends)).to_std().unwrap()).collect();

        assert!(early.iter().all(|early| (LEAD..=LEAD + SPREAD).contains(early)));
        let (least, most) = (early.iter().min().unwrap(), early.iter().max().unwrap());
        assert!(*most - *least > SPREAD / 2, "{least:?} to {most:?}");
        let one = account();
        assert_eq!(due(&one, ends), due(&one, ends));
    }
}
