//! Handlers: what runs jobs of a kind other than `publish`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use postq_core::error::{ErrorKind, NotifyError, chain};
use postq_core::failure::{Failure, FailureClass};
use postq_core::job::Job;
use postq_core::notifier::{Notice, Notifier};

/// Runs jobs of one kind, at least once: an attempt may be cut off and repeated.
#[async_trait]
pub trait Handler: fmt::Debug + Send + Sync + 'static {
    /// Runs one; a failure is retried as its class allows.
    async fn run(&self, job: &Job) -> Result<(), Failure>;
}

/// Runs `notify` jobs: tells a person.
#[derive(Debug)]
pub(crate) struct Notify(pub(crate) Arc<dyn Notifier>);

#[async_trait]
impl Handler for Notify {
    async fn run(&self, job: &Job) -> Result<(), Failure> {
        let notice: Notice = serde_json::from_value(job.made.payload.clone()).map_err(|error| {
            Failure::not_published(FailureClass::Content, format!("read the notice: {error}"))
        })?;
        self.0.notify(&notice).await.map_err(|error: NotifyError| {
            let class = match error.kind() {
                ErrorKind::Invalid => FailureClass::Content,
                _ => FailureClass::Internal,
            };
            Failure::not_published(class, chain(&error))
        })
    }
}
