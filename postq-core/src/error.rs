//! The typed errors of the traits: one struct per trait, all of the same shape.

use std::error::Error as StdError;

/// What the caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Try later: the backend cannot be reached, is busy, or its disk is full. Nothing was changed,
    /// or the call is safe to repeat.
    Unavailable,
    /// Mend the call: what was asked for cannot be.
    Invalid,
    /// Something else is there already, or changed in between: load it again and decide anew.
    Conflict,
    /// Report it: this should not happen.
    Internal,
}

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// Displays the action that failed ("reserve deliveries"); whoever handles it prints the
        /// chain of sources.
        #[derive(Debug, thiserror::Error)]
        #[error("{action}")]
        pub struct $name {
            kind: ErrorKind,
            action: String,
            source: Option<Box<dyn StdError + Send + Sync>>,
        }

        impl $name {
            /// An error without a cause below it.
            pub fn new(kind: ErrorKind, action: impl Into<String>) -> Self {
                Self { kind, action: action.into(), source: None }
            }

            /// The same with the cause below it.
            #[must_use]
            pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
                self.source = Some(source.into());
                self
            }

            /// What the caller can do about it.
            pub fn kind(&self) -> ErrorKind {
                self.kind
            }
        }
    )*};
}

errors! {
    /// Why a [`Queue`](crate::queue::Queue) could not do as asked.
    QueueError;
    /// Why a [`DedupeLock`](crate::lock::DedupeLock) could not do as asked.
    LockError;
    /// Why a store or the [`JobFeed`](crate::feed::JobFeed) could not do as asked.
    StoreError;
    /// Why a [`RateLimiter`](crate::limiter::RateLimiter) could not do as asked.
    LimitError;
    /// Why a [`Vault`](crate::vault::Vault) could not seal or open.
    VaultError;
    /// Why a [`Notifier`](crate::notifier::Notifier) could not deliver.
    NotifyError;
    /// Why a [`MediaStore`](crate::media::MediaStore) could not do as asked.
    MediaError;
    /// Why a schedule cannot be resolved; says what is wrong with it and what would be right.
    ScheduleError;
}

/// The error and its causes in one line, outermost first: for logs and for people.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        // Some libraries repeat their cause in their own message.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_reads_from_the_outside_in() {
        let cause = StoreError::new(ErrorKind::Unavailable, "open \"posts.db\"");
        let error = QueueError::new(ErrorKind::Internal, "push jobs").caused_by(cause);

        assert_eq!(chain(&error), "push jobs: open \"posts.db\"");
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
}
