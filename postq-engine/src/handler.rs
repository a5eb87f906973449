//! Handlers: what runs jobs of a kind other than `publish`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::{ErrorKind, NotifyError, chain};
use postq_core::failure::{Failure, FailureClass};
use postq_core::job::{DedupeKey, Job, JobKind, NewJob, Topic};
use postq_core::notifier::{Notice, Notifier};
use postq_core::retry::RetryStrategy;
use serde::{Deserialize, Serialize};

/// Runs jobs of one kind, at least once: an attempt may be cut off and repeated.
#[async_trait]
pub trait Handler: fmt::Debug + Send + Sync + 'static {
    /// Runs one; a failure is retried as its class allows, and not before the wait that it asks for.
    async fn run(&self, job: &Job) -> Result<(), Failure>;

    /// When its failures are retried; as the engine's strategy says if none.
    fn retry(&self) -> Option<&dyn RetryStrategy> {
        None
    }
}

/// A channel may be away for over an hour before a notice is given up.
const ATTEMPTS_TO_TELL: u32 = 10;

/// The jobs that tell of something, one for each channel; with the same key they are made once.
pub(crate) fn to_tell(
    channels: &[String],
    notice: &Notice,
    key: &str,
    now: DateTime<Utc>,
) -> impl Iterator<Item = NewJob> {
    channels.iter().map(move |channel| {
        let told = Told { channel: channel.clone(), notice: notice.clone() };
        NewJob {
            max_attempts: ATTEMPTS_TO_TELL,
            dedupe_key: Some(DedupeKey::new(format!("{key}:{channel}"))),
            payload: serde_json::to_value(told).expect("a notice is plain data"),
            ..NewJob::new(JobKind::notify(), Topic::notify(), now)
        }
    })
}

/// What a `notify` job carries: one notice, for one channel.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    channel: String,
    notice: Notice,
}

/// Runs `notify` jobs: tells a person, by the channel that the job is for.
#[derive(Debug)]
pub(crate) struct Notify(pub(crate) BTreeMap<String, Arc<dyn Notifier>>);

#[async_trait]
impl Handler for Notify {
    async fn run(&self, job: &Job) -> Result<(), Failure> {
        let told = Told::deserialize(&job.made.payload).map_err(|error| {
            Failure::not_published(FailureClass::Content, format!("read the notice: {error}"))
        })?;
        let Some(notifier) = self.0.get(&told.channel) else {
            // Retried: another node may have it.
            let message = format!("this node has no channel \"{}\" to notify by", told.channel);
            return Err(Failure::not_published(FailureClass::Internal, message));
        };
        notifier.notify(job.id(), &told.notice).await.map_err(|error: NotifyError| {
            let class = match error.kind() {
                ErrorKind::Invalid => FailureClass::Content,
                _ => FailureClass::Internal,
            };
            let message = format!("{}: {}", told.channel, chain(&error));
            Failure::not_published(class, message)
        })
    }
}
