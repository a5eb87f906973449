//! Running a delivery: one request to one endpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::backend::Backend;
use postq_core::clock::Clock;
use postq_core::courier::{Dispatch, Reply};
use postq_core::error::{StoreError, chain};
use postq_core::failure::{Failure, FailureClass, LimitScope};
use postq_core::id::{JobId, WebhookId};
use postq_core::job::{Job, NewJob};
use postq_core::notifier::{Notice, NoticeKind};
use postq_core::retry::{ExponentialJitter, RetryStrategy};
use postq_core::store::{Block, BlockReason, Edited};
use postq_core::vault::Vault;
use postq_core::webhook::{Endpoint, Paused};
use secrecy::SecretString;

use super::{Letter, Payload, Webhooks};
use crate::handler::{Handler, to_tell};

/// The waits between the attempts of a delivery: with [`ATTEMPTS`](super::ATTEMPTS) a little more than a
/// day in all.
const WAITS: ExponentialJitter =
    ExponentialJitter { base: Duration::from_secs(30), most: LONGEST_WAIT };

/// The longest of them before jitter, and the longest that an endpoint may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(4 * 3_600);

/// An endpoint is dead after so many failures in a row ...
const MOST_FAILURES: u32 = 20;

/// ... if they last at least so long: one that is down for a minute may miss a hundred.
const DEAD_AFTER: Duration = Duration::from_secs(3_600);

/// Others may change an endpoint while it is being paused; nobody does so this often.
const TRIES: usize = 5;

/// Runs `webhook.deliver` jobs.
#[derive(Debug)]
pub(crate) struct Deliver {
    pub(crate) webhooks: Webhooks,
    pub(crate) backend: Backend,
    pub(crate) vault: Option<Arc<dyn Vault>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// By which a person is told.
    pub(crate) channels: Vec<String>,
    /// The endpoints that fail here. What another node meets is its own: the last attempt of a delivery
    /// counts everywhere.
    pub(crate) failing: Failing,
}

/// Failures in a row, and since when.
#[derive(Debug, Default)]
pub(crate) struct Failing(Mutex<BTreeMap<WebhookId, (u32, DateTime<Utc>)>>);

impl Failing {
    /// Whether the endpoint is dead with this failure.
    fn note(&self, id: WebhookId, now: DateTime<Utc>) -> bool {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = failing.entry(id).or_insert((0, now));
        *count += 1;
        *count >= MOST_FAILURES && now >= *since + DEAD_AFTER
    }

    fn forget(&self, id: WebhookId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

#[async_trait]
impl Handler for Deliver {
    async fn run(&self, job: &Job) -> Result<(), Failure> {
        let payload = Payload::of(job)?;
        let Some(id) = payload.endpoint else { return self.fan_out(job, payload).await };
        let found = self.webhooks.store.find(id).await.map_err(ours)?;
        let Some(endpoint) = found else {
            // Whoever took it away wants nothing any more.
            self.failing.forget(id);
            tracing::debug!(webhook = %id, "not delivered: the webhook was taken away");
            return Ok(());
        };
        if endpoint.paused.is_some() {
            return Err(self.hold_back(&endpoint).await);
        }
        match self.send(&endpoint, &payload).await {
            Ok(reply) if reply.is_taken() => {
                self.failing.forget(id);
                Ok(())
            }
            Ok(reply) if reply.status == 410 => {
                let why = "it answered 410: it wants no more".to_owned();
                self.pause(endpoint, why).await;
                Err(refused(&reply))
            }
            Ok(reply) => Err(self.failed(job, endpoint, refused(&reply)).await),
            Err(failure) => Err(self.failed(job, endpoint, failure).await),
        }
    }

    fn retry(&self) -> Option<&dyn RetryStrategy> {
        Some(&WAITS)
    }
}

impl Payload {
    pub(super) fn of(job: &Job) -> Result<Self, Failure> {
        serde_json::from_value(job.made.payload.clone()).map_err(|error| {
            Failure::not_published(FailureClass::Content, format!("read the delivery: {error}"))
        })
    }
}

impl Deliver {
    /// Makes a delivery to each endpoint that wants it: who that is was not known when it happened.
    async fn fan_out(&self, job: &Job, payload: Payload) -> Result<(), Failure> {
        let (made, now) = (&job.made, self.clock.now());
        let endpoints = self.webhooks.store.list(made.tenant_id).await.map_err(ours)?;
        let letter = Letter {
            tenant: made.tenant_id,
            correlation: made.correlation_id.clone(),
            id: payload.id,
            kind: payload.kind,
            body: payload.body,
        };
        let wanting = endpoints.iter().filter(|endpoint| endpoint.wants(letter.kind));
        let jobs: Vec<NewJob> =
            wanting.map(|endpoint| letter.to(Some(endpoint.id), JobId::new(), now)).collect();
        self.backend.jobs.insert(&jobs).await.map(drop).map_err(ours)
    }

    async fn send(&self, endpoint: &Endpoint, payload: &Payload) -> Result<Reply, Failure> {
        let at = self.clock.now();
        let secrets = self.webhooks.secrets(endpoint, self.vault.as_ref(), at).await?;
        let dispatch = Dispatch {
            url: &endpoint.url,
            id: &payload.id,
            at,
            body: &payload.body,
            secrets: &secrets,
        };
        self.webhooks.courier.deliver(dispatch).await
    }

    /// A failed attempt: the endpoint may be dead by now.
    async fn failed(&self, job: &Job, endpoint: Endpoint, failure: Failure) -> Failure {
        let is_dead = self.failing.note(endpoint.id, self.clock.now());
        let is_last = job.attempt >= job.made.max_attempts;
        if is_dead || is_last {
            let what = if is_last { "a delivery used up its attempts" } else { "all fail" };
            self.pause(endpoint, format!("{what}, the last: {}", failure.message)).await;
        }
        failure
    }

    /// Pauses an endpoint, and tells a person.
    async fn pause(&self, mut endpoint: Endpoint, why: String) {
        let id = endpoint.id;
        for _ in 0..TRIES {
            let paused = Paused { at: self.clock.now(), why: why.clone() };
            // The notice first: told twice is better than not at all. Once for this state of it.
            let key = format!("webhook_paused:{id}:{}", endpoint.version);
            let notice = notice(id, &why);
            let told = to_tell(&self.channels, &notice, &key, paused.at);
            let told: Vec<NewJob> =
                told.map(|job| NewJob { tenant_id: endpoint.tenant_id, ..job }).collect();
            let told = self.backend.jobs.insert(&told).await;
            let change = Endpoint { paused: Some(paused), ..endpoint.clone() };
            let paused = match told {
                Ok(_) => self.webhooks.store.update(&change).await,
                Err(error) => Err(error),
            };
            match paused {
                Ok(Edited::Applied { .. }) => {
                    self.failing.forget(id);
                    self.hold_back(&change).await;
                    tracing::warn!(webhook = %id, why, "webhook paused");
                    return;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(webhook = %id, error = %chain(&error), "webhook not paused");
                    return;
                }
            }
            match self.webhooks.store.find(id).await {
                Ok(Some(known)) if known.paused.is_none() => endpoint = known,
                _ => return,
            }
        }
    }

    /// Lets the deliveries to a paused endpoint wait until it is resumed.
    async fn hold_back(&self, endpoint: &Endpoint) -> Failure {
        let why = endpoint.paused.as_ref().map_or("", |paused| paused.why.as_str());
        let failure = Failure::not_published(FailureClass::Internal, "the webhook is paused");
        if let Err(error) = self.webhooks.hold(&self.backend, endpoint, why).await {
            tracing::warn!(webhook = %endpoint.id, error = %chain(&error), "lane not held back");
        }
        failure
    }
}

/// The block of a paused endpoint's lane. The endpoint itself is what counts: a delivery that runs
/// all the same sees that it is paused.
fn pause_of(endpoint: &Endpoint, why: &str) -> Block {
    let scope = String::from(&endpoint.lane());
    Block { scope, reason: BlockReason::Paused, until: None, note: why.to_owned() }
}

impl Webhooks {
    /// Holds the lane of a paused endpoint.
    pub(super) async fn hold(
        &self,
        backend: &Backend,
        endpoint: &Endpoint,
        why: &str,
    ) -> Result<(), StoreError> {
        backend.blocks.block(&pause_of(endpoint, why)).await?;
        // Somebody may have resumed it meanwhile, or taken it away, and then nothing must hold its lane.
        match self.store.find(endpoint.id).await? {
            Some(known) if known.paused.is_some() => Ok(()),
            _ => self.let_go_on(backend, endpoint).await,
        }
    }

    /// Lifts the block of an endpoint's lane.
    pub(super) async fn let_go_on(
        &self,
        backend: &Backend,
        endpoint: &Endpoint,
    ) -> Result<(), StoreError> {
        backend.blocks.lift(endpoint.lane().as_str(), BlockReason::Paused).await
    }

    /// What signs a request now: the newest first.
    pub(super) async fn secrets(
        &self,
        endpoint: &Endpoint,
        vault: Option<&Arc<dyn Vault>>,
        now: DateTime<Utc>,
    ) -> Result<Vec<SecretString>, Failure> {
        let Some(vault) = vault else {
            let message = "this node has no vault to open the webhook's secret";
            return Err(Failure::not_published(FailureClass::Internal, message));
        };
        let old = endpoint.retiring.as_ref().filter(|old| now < old.until);
        let mut secrets = Vec::with_capacity(2);
        for sealed in std::iter::once(&endpoint.secret).chain(old.map(|old| &old.secret)) {
            let opened = vault.open(Endpoint::seal_of(endpoint.id), sealed).await;
            secrets.push(
                opened.map_err(|error| {
                    Failure::not_published(FailureClass::Internal, chain(&error))
                })?,
            );
        }
        Ok(secrets)
    }
}

/// What a person is told of a pause.
fn notice(id: WebhookId, why: &str) -> Notice {
    let message = format!(
        "webhook {id} is paused: {why}; mend what it leads to, then: postqd webhook resume {id}"
    );
    Notice::new(NoticeKind::WebhookPaused, message)
}

/// An answer that is no yes.
fn refused(reply: &Reply) -> Failure {
    let said = if reply.text.is_empty() { String::new() } else { format!(": {}", reply.text) };
    let message = format!("the endpoint answered {}{said}", reply.status);
    let failure = Failure::not_published(FailureClass::Platform, message);
    match reply.retry_after {
        Some(wait) => failure.with_wait(LimitScope::Account, wait.min(LONGEST_WAIT)),
        None => failure,
    }
}

/// Trouble of ours: it is tried again.
fn ours(error: StoreError) -> Failure {
    Failure::not_published(FailureClass::Internal, chain(&error))
}
