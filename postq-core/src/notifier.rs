//! Telling a person.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::content::Part;
use crate::error::NotifyError;
use crate::id::{AccountId, JobId};
use crate::platform::PlatformName;

/// What a person is told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// One sentence: what happened and what can be done.
    pub message: String,
    /// The job, where it is about one.
    pub job: Option<JobId>,
    /// The account, where it is about one.
    pub account: Option<AccountId>,
    /// What people call the account.
    #[serde(default)]
    pub account_name: Option<String>,
    /// The platform, where it is about one.
    #[serde(default)]
    pub platform: Option<PlatformName>,
    /// What is not out, ready to be posted by hand: the parts of a thread with a line `---` between.
    /// Never for a log.
    #[serde(default)]
    pub text: Option<String>,
}

/// Does not show the text.
impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notice")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("job", &self.job)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl Notice {
    /// The longest text that is sent along, in characters; a longer one is cut and says so.
    pub const MOST_TEXT: usize = 8_000;

    /// A notice that is about nothing in particular.
    pub fn new(kind: NoticeKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            job: None,
            account: None,
            account_name: None,
            platform: None,
            text: None,
        }
    }

    /// The same with the text of these parts, in bounds; with none, without a text.
    #[must_use]
    pub fn with_parts(mut self, parts: &[Part]) -> Self {
        let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
        let mut text = texts.join("\n---\n");
        if let Some((end, _)) = text.char_indices().nth(Self::MOST_TEXT) {
            text.truncate(end);
            text.push_str("\n[cut here: it is longer]");
        }
        self.text = Some(text).filter(|text| !text.is_empty());
        self
    }
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
    /// An account's token has ended, and nobody could renew it for long.
    TokenNotRenewed,
    /// All accounts of an app need a person: it has no credits left.
    AppNeedsAttention,
    /// Webhooks are no longer delivered to an endpoint.
    WebhookPaused,
    /// A platform does not show what came out a short while ago.
    PostNotShown,
    /// The month's budget is used up.
    BudgetUsedUp,
    /// Nothing happened: somebody wants to know whether notices arrive.
    Test,
}

impl NoticeKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JobDead => "job_dead",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::AccountNeedsAttention => "account_needs_attention",
            Self::TokenNotRenewed => "token_not_renewed",
            Self::AppNeedsAttention => "app_needs_attention",
            Self::WebhookPaused => "webhook_paused",
            Self::PostNotShown => "post_not_shown",
            Self::BudgetUsedUp => "budget_used_up",
            Self::Test => "test",
        }
    }
}

/// Tells a person by one channel: log, mail, or whatever the implementation does.
///
/// # Contract
///
/// 1. At least once: the same notice may come again.
/// 2. Trouble is an error, never a panic; the engine retries within its bound, and what is `Invalid` not
///    at all. The error holds no secret and no post's text.
/// 3. `channel` never changes and is no other channel's of the same engine: each has jobs of its own, so
///    that one that is away repeats nothing on the others.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync + 'static {
    /// What the channel is called: a short word.
    fn channel(&self) -> &str;

    /// Tells. The `id` stays the same however often it is tried, and is another one for every notice.
    async fn notify(&self, id: JobId, notice: &Notice) -> Result<(), NotifyError>;
}

/// Tells the log, at `ERROR`: a person must look. The post's text is not for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogNotifier;

#[async_trait]
impl Notifier for LogNotifier {
    fn channel(&self) -> &str {
        "log"
    }

    async fn notify(&self, _id: JobId, notice: &Notice) -> Result<(), NotifyError> {
        let job = notice.job.map(tracing::field::display);
        let account = notice.account.map(tracing::field::display);
        tracing::error!(kind = ?notice.kind, job, account, "{}", notice.message);
        Ok(())
    }
}

const _OBJECT_SAFE: fn(&dyn Notifier) = |_| {};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_in_bounds_and_out_of_logs() {
        let parts = [Part::text("first"), Part::text("é".repeat(Notice::MOST_TEXT))];
        let notice = Notice::new(NoticeKind::JobDead, "gave up").with_parts(&parts);
        let text = notice.text.clone().expect("a text");

        assert!(
            text.starts_with("first\n---\néé") && text.ends_with("é\n[cut here: it is longer]")
        );
        assert!(text.chars().count() < Notice::MOST_TEXT + 30);
        assert!(!format!("{notice:?}").contains("first"));
        assert_eq!(Notice::new(NoticeKind::Test, "m").with_parts(&[]).text, None);
    }

    #[test]
    fn a_kind_is_written_as_it_is_stored() {
        for kind in [
            NoticeKind::JobDead,
            NoticeKind::OutcomeUnknown,
            NoticeKind::AccountNeedsAttention,
            NoticeKind::TokenNotRenewed,
            NoticeKind::AppNeedsAttention,
            NoticeKind::WebhookPaused,
            NoticeKind::Test,
        ] {
            assert_eq!(serde_json::to_value(kind).expect("a word"), kind.as_str());
        }
    }
}
