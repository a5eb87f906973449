//! Tokens that cannot be renewed though nobody refuses it: who is told, and when.
//!
//! Most trouble passes, and nobody needs to know. A token that has ended, and could not be renewed for an
//! hour, keeps posts from going out: a person is told once. The account stays connected, and renewing goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::error::StoreError;
use postq_core::id::{AccountId, TenantId};
use postq_core::job::Topic;
use postq_core::machine::JobState;
use postq_core::notifier::{Notice, NoticeKind};
use postq_core::store::{JobFilter, Page};
use serde::Deserialize;

use super::job::ToRenew;
use super::{Tokens, ends_before};
use crate::attempt;
use crate::engine::Shared;
use crate::settle::Verdict;
use crate::worker::Work;

/// Renewing has failed for so long before anybody is told.
const LONG: Duration = Duration::from_secs(3_600);

/// Tokens that are looked through for trouble: a job is made of each that ends soon.
const MOST: usize = 1_000;

/// What the reason of a `token.refresh` job begins with whose token could not be renewed.
const NOT_RENEWED: &str = "not renewed yet: ";

/// The reason of a job whose token could not be renewed.
pub(super) fn reason(why: &str) -> String {
    format!("{NOT_RENEWED}{why}")
}

/// Why tokens could not be renewed when that was last tried, by account; none of those that were.
pub async fn troubles(
    backend: &Backend,
    tenant: TenantId,
) -> Result<BTreeMap<AccountId, String>, StoreError> {
    let filter = JobFilter {
        states: vec![JobState::Enqueued, JobState::Running, JobState::Failed],
        topic: Some(Topic::token()),
        ..JobFilter::default()
    };
    let jobs = backend.jobs.list(tenant, &filter, Page::first(MOST)).await?;
    let told = jobs.iter().filter_map(|job| {
        let why = job.reason.as_deref()?.strip_prefix(NOT_RENEWED)?;
        let of = ToRenew::deserialize(&job.made.payload).ok()?;
        Some((of.account, why.to_owned()))
    });
    Ok(told.collect())
}

impl Tokens {
    /// The account as it is stored, and since when it could not be renewed, if that is long and its token
    /// has ended.
    async fn without_for_long(
        &self,
        account: AccountId,
        now: DateTime<Utc>,
    ) -> Option<(Account, DateTime<Utc>)> {
        let account = self.load(account).await.ok()?;
        let since = self.credentials(&account).await.ok()?.credentials.failing_since?;
        (since + LONG <= now && ends_before(&account, now)).then_some((account, since))
    }
}

impl Shared {
    /// A job has no token because of trouble: tells a person if that has been so for long, once for a token.
    pub(crate) async fn telling_trouble(
        &self,
        work: &Work,
        account: AccountId,
        why: &str,
        verdict: Verdict,
    ) -> Verdict {
        let long = self.tokens.without_for_long(account, work.time.now()).await;
        let Some((account, since)) = long else { return verdict };
        let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        let Account { id, name, platform, .. } = &account;
        let message = format!(
            "the token of account \"{name}\" on {platform} has ended, and could not be renewed since {since}: \
             {why}; its posts wait, and go on by themselves as soon as it can; if that is no help, connect the \
             account again"
        );
        let notice = Notice {
            account: Some(*id),
            account_name: Some(name.clone()),
            platform: Some(platform.clone()),
            ..Notice::new(NoticeKind::TokenNotRenewed, message)
        };
        let ended = account.token_expires_at.map_or(0, |ends| ends.timestamp_micros());
        let key = format!("token_not_renewed:{id}:{ended}");
        attempt::tell(self, work, verdict, &notice, &key)
    }
}
