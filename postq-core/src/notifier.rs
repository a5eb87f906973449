//! Telling a person.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::NotifyError;
use crate::id::{AccountId, JobId};

/// What a person is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// One sentence: what happened and what can be done.
    pub message: String,
    /// The job, where it is about one.
    pub job: Option<JobId>,
    /// The account, where it is about one.
    pub account: Option<AccountId>,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoticeKind {
    /// A job gave up.
    JobDead,
    /// Something may be out, and the platform cannot tell.
    OutcomeUnknown,
    /// An account needs a person.
    AccountNeedsAttention,
    /// All accounts of an app need a person: it has no credits left.
    AppNeedsAttention,
}

/// Tells a person: by log, mail, or whatever the implementation does.
///
/// # Contract
///
/// 1. At least once: the same notice may come again.
/// 2. Trouble is an error, never a panic; the engine retries within its bound.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync + 'static {
    /// Tells.
    async fn notify(&self, notice: &Notice) -> Result<(), NotifyError>;
}

/// Tells the log, at `ERROR`: a person must look.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogNotifier;

#[async_trait]
impl Notifier for LogNotifier {
    async fn notify(&self, notice: &Notice) -> Result<(), NotifyError> {
        let job = notice.job.map(tracing::field::display);
        let account = notice.account.map(tracing::field::display);
        tracing::error!(kind = ?notice.kind, job, account, "{}", notice.message);
        Ok(())
    }
}

const _OBJECT_SAFE: fn(&dyn Notifier) = |_| {};
