//! What a person does to endpoints and their deliveries.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postq_core::backend::Backend;
use postq_core::courier::{Dispatch, Reply};
use postq_core::error::{ErrorKind, StoreError, VaultError};
use postq_core::failure::Failure;
use postq_core::id::{JobId, TenantId, WebhookId};
use postq_core::job::{Job, JobKind, NewJob, Topic};
use postq_core::machine::JobState;
use postq_core::store::{Controlled, Edited, JobFilter, Page, ReplayKey, Replayed};
use postq_core::vault::{Sealed, Vault};
use postq_core::webhook::{Endpoint, EventKind, Paused, Retiring};
use secrecy::SecretString;
use tokio::time::Instant;

use super::{Event, Payload, Webhooks};

/// The longest URL, in bytes.
const MOST_URL: usize = 2_048;

/// A replaced secret signs beside the new one for so long.
const RETIRING: chrono::TimeDelta = chrono::TimeDelta::hours(24);

/// Others may change an endpoint meanwhile; nobody does so this often.
const TRIES: usize = 5;

/// Deliveries that a resumed endpoint gets at once. Further ones come at their own time.
const AT_ONCE: usize = 1_000;

/// Where webhooks are set up: [`Engine::webhooks`](crate::Engine::webhooks) gives one.
#[derive(Clone, Debug)]
pub struct WebhookDesk {
    webhooks: Webhooks,
    backend: Backend,
    vault: Option<Arc<dyn Vault>>,
    tenant: TenantId,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// There is no such webhook, or delivery.
    #[error("there is no {0}")]
    NotFound(String),
    /// A field cannot be.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// Somebody else has changed it.
    #[error("webhook {0} was changed meanwhile; look at it again")]
    Changed(WebhookId),
    /// Something stands against it.
    #[error("{0}")]
    Conflict(String),
    /// There is no vault, and so no secret can be kept.
    #[error("there is no vault to seal the secret with")]
    NoVault,
    /// The vault could not do as asked.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store could not do as asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a delivery is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What the event is known by: the header `webhook-id`.
    pub id: String,
    /// What happened.
    pub event: EventKind,
}

impl Delivery {
    /// What a job delivers; none if it is no delivery.
    pub fn of(job: &Job) -> Option<Self> {
        let payload = Payload::of(job).ok()?;
        Some(Self { id: payload.id, event: payload.kind })
    }
}

/// What came of trying an endpoint.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What the event was known by.
    pub id: String,
    /// What the endpoint answered, or why it did not.
    pub answer: Result<Reply, Failure>,
    /// How long that took.
    pub took: Duration,
}

impl WebhookDesk {
    /// A desk for the default tenant.
    pub fn new(webhooks: Webhooks, backend: Backend, vault: Option<Arc<dyn Vault>>) -> Self {
        Self { webhooks, backend, vault, tenant: TenantId::DEFAULT }
    }

    /// The same for another tenant.
    #[must_use]
    pub fn for_tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = tenant;
        self
    }

    /// Adds an endpoint; answers it, and its secret, which nobody is told again.
    pub async fn add(
        &self,
        id: WebhookId,
        url: &str,
        events: &[EventKind],
    ) -> Result<(Endpoint, SecretString), WebhookError> {
        self.ensure_url(url)?;
        let events = chosen(events)?;
        if self.webhooks.store.find(id).await?.is_some() {
            let why = format!("webhook {id} was made, but its secret was never shown; rotate it");
            return Err(WebhookError::Conflict(why));
        }
        let now = self.backend.jobs.now().await?;
        let (sealed, secret) = self.fresh_secret(id).await?;
        let endpoint = Endpoint {
            id,
            tenant_id: self.tenant,
            url: url.to_owned(),
            secret: sealed,
            retiring: None,
            events,
            paused: None,
            version: 1,
            created_at: now,
        };
        self.webhooks.store.insert(&endpoint).await.map_err(|error| match error.kind() {
            ErrorKind::Conflict => WebhookError::Conflict(format!(
                "there are {} webhooks, as many as there may be; remove one first",
                Endpoint::MOST
            )),
            _ => error.into(),
        })?;
        Ok((endpoint, secret))
    }

    /// All endpoints, oldest first.
    pub async fn list(&self) -> Result<Vec<Endpoint>, WebhookError> {
        Ok(self.webhooks.store.list(self.tenant).await?)
    }

    /// An endpoint.
    pub async fn find(&self, id: WebhookId) -> Result<Endpoint, WebhookError> {
        let found = self.webhooks.store.find(id).await?;
        let own = found.filter(|endpoint| endpoint.tenant_id == self.tenant);
        own.ok_or_else(|| WebhookError::NotFound(format!("webhook {id}")))
    }

    /// Gives an endpoint another URL or other events, if it still has the version that was seen.
    pub async fn change(
        &self,
        id: WebhookId,
        seen: Option<u32>,
        url: Option<&str>,
        events: Option<&[EventKind]>,
    ) -> Result<Endpoint, WebhookError> {
        if let Some(url) = url {
            self.ensure_url(url)?;
        }
        let events = events.map(chosen).transpose()?;
        self.update(id, seen, |endpoint| {
            endpoint.url = url.unwrap_or(&endpoint.url).to_owned();
            if let Some(events) = &events {
                endpoint.events.clone_from(events);
            }
        })
        .await
    }

    /// Takes an endpoint away; what waits for it is not delivered.
    pub async fn remove(&self, id: WebhookId, seen: Option<u32>) -> Result<(), WebhookError> {
        let endpoint = self.find(id).await?;
        if seen.is_some_and(|seen| seen != endpoint.version) {
            return Err(WebhookError::Changed(id));
        }
        let _ = self.webhooks.store.remove(id).await?;
        // What waits ends by itself when it finds nobody to go to; nothing may hold it.
        Ok(self.webhooks.let_go_on(&self.backend, &endpoint).await?)
    }

    /// Gives an endpoint a new secret, which nobody is told again. The one before signs beside it for
    /// a day, unless its key is gone.
    pub async fn rotate(&self, id: WebhookId) -> Result<(Endpoint, SecretString), WebhookError> {
        let now = self.backend.jobs.now().await?;
        let (sealed, secret) = self.fresh_secret(id).await?;
        let endpoint = self
            .update(id, None, |endpoint| {
                let old = std::mem::replace(&mut endpoint.secret, sealed.clone());
                // What another key has sealed opens no more, and would keep the new one from signing.
                let opens = old.key_id == endpoint.secret.key_id;
                let until = now + RETIRING;
                endpoint.retiring = opens.then_some(Retiring { secret: old, until });
            })
            .await?;
        Ok((endpoint, secret))
    }

    /// Tells an endpoint nothing more; what was made before waits.
    pub async fn pause(&self, id: WebhookId, why: &str) -> Result<Endpoint, WebhookError> {
        let at = self.backend.jobs.now().await?;
        let endpoint = self
            .update(id, None, |endpoint| {
                let paused = Paused { at, why: why.to_owned() };
                endpoint.paused.get_or_insert(paused);
            })
            .await?;
        self.webhooks.hold(&self.backend, &endpoint, why).await?;
        Ok(endpoint)
    }

    /// Tells an endpoint again, beginning with what waited.
    pub async fn resume(&self, id: WebhookId) -> Result<Endpoint, WebhookError> {
        let endpoint = self.find(id).await?;
        // Before, so that no crash leaves a lane held that belongs to nothing paused; and after, as a
        // delivery that ran in between has held it again.
        self.webhooks.let_go_on(&self.backend, &endpoint).await?;
        let endpoint = self.update(id, None, |endpoint| endpoint.paused = None).await?;
        self.webhooks.let_go_on(&self.backend, &endpoint).await?;
        let waiting = JobFilter { states: vec![JobState::Failed], ..deliveries(&endpoint) };
        let page = Page::first(AT_ONCE);
        for job in self.backend.jobs.list(self.tenant, &waiting, page).await? {
            // One that runs, or has ended, needs nothing.
            let _ = self.backend.control.due_now(job.id()).await?;
        }
        Ok(endpoint)
    }

    /// A page of the deliveries to an endpoint, oldest first.
    pub async fn deliveries(&self, id: WebhookId, page: Page) -> Result<Vec<Job>, WebhookError> {
        let endpoint = self.find(id).await?;
        Ok(self.backend.jobs.list(self.tenant, &deliveries(&endpoint), page).await?)
    }

    /// Sends a delivery again, now and as the same event; answers the job that does. What waits for its
    /// retry is only made due; for what has ended, the job `id` is made.
    pub async fn resend(
        &self,
        webhook: WebhookId,
        delivery: JobId,
        id: JobId,
    ) -> Result<Job, WebhookError> {
        let endpoint = self.find(webhook).await?;
        let story = self.backend.jobs.story(delivery).await?;
        let lane = Some(endpoint.lane());
        let own = story.map(|story| story.job).filter(|job| {
            job.made.tenant_id == self.tenant
                && job.made.lane == lane
                && job.made.kind.as_str() == JobKind::WEBHOOK_DELIVER
        });
        let gone = || WebhookError::NotFound(format!("delivery {delivery} to webhook {webhook}"));
        let job = own.ok_or_else(gone)?;
        if endpoint.paused.is_some() {
            let why = format!("webhook {webhook} is paused; resume it first");
            return Err(WebhookError::Conflict(why));
        }
        let by = match job.state {
            JobState::Running => {
                let why = format!("delivery {delivery} is being sent right now");
                return Err(WebhookError::Conflict(why));
            }
            JobState::Planned | JobState::Enqueued | JobState::Failed => {
                match self.backend.control.due_now(delivery).await? {
                    Controlled::Applied => delivery,
                    _ => {
                        let why = format!("delivery {delivery} has moved on; look at it again");
                        return Err(WebhookError::Conflict(why));
                    }
                }
            }
            JobState::DeadLetter if job.resolution.is_none() => {
                match self.backend.control.replay(delivery, ReplayKey::Keep).await? {
                    Replayed::By(by) => by,
                    _ => return Err(gone()),
                }
            }
            _ => self.again(&job, id).await?,
        };
        let story = self.backend.jobs.story(by).await?;
        story.map(|story| story.job).ok_or_else(gone)
    }

    /// Sends an endpoint a `ping`, once and now, paused or not.
    pub async fn test(&self, id: WebhookId) -> Result<Tried, WebhookError> {
        let endpoint = self.find(id).await?;
        let at = self.backend.jobs.now().await?;
        let event = Event::ping(format!("msg_{}", JobId::new().as_uuid().simple()));
        let (message, body) = (event.id.clone(), event.body(at));
        let begun = Instant::now();
        let secrets = self.webhooks.secrets(&endpoint, self.vault.as_ref(), at).await;
        let answer = match &secrets {
            Ok(secrets) => {
                let dispatch =
                    Dispatch { url: &endpoint.url, id: &message, at, body: &body, secrets };
                self.webhooks.courier.deliver(dispatch).await
            }
            Err(failure) => Err(failure.clone()),
        };
        Ok(Tried { id: message, answer, took: begun.elapsed() })
    }

    /// A new job for an event that was sent, or called off, before.
    async fn again(&self, old: &Job, id: JobId) -> Result<JobId, WebhookError> {
        let planned_at = self.backend.jobs.now().await?;
        let job = NewJob { id, planned_at, dedupe_key: None, ..old.made.clone() };
        // An id that is there already is that of the same request, made before.
        self.backend.jobs.insert(std::slice::from_ref(&job)).await?;
        Ok(id)
    }

    /// Changes what is stored now, unless another version was asked for than is there.
    async fn update(
        &self,
        id: WebhookId,
        seen: Option<u32>,
        mut change: impl FnMut(&mut Endpoint),
    ) -> Result<Endpoint, WebhookError> {
        for _ in 0..TRIES {
            let known = self.find(id).await?;
            if seen.is_some_and(|seen| seen != known.version) {
                return Err(WebhookError::Changed(id));
            }
            let mut changed = known.clone();
            change(&mut changed);
            if changed == known {
                return Ok(known);
            }
            match self.webhooks.store.update(&changed).await? {
                Edited::Applied { revision } => {
                    return Ok(Endpoint { version: revision, ..changed });
                }
                Edited::Gone => return Err(WebhookError::NotFound(format!("webhook {id}"))),
                Edited::Changed { .. } | Edited::AlreadyPublishing => {}
            }
        }
        Err(WebhookError::Changed(id))
    }

    /// A secret of 256 random bits, sealed and not.
    async fn fresh_secret(&self, id: WebhookId) -> Result<(Sealed, SecretString), WebhookError> {
        let vault = self.vault.as_ref().ok_or(WebhookError::NoVault)?;
        let random: [u8; 32] = rand::random();
        let secret = SecretString::from(format!("whsec_{}", STANDARD.encode(random)));
        Ok((vault.seal(Endpoint::seal_of(id), &secret).await?, secret))
    }

    fn ensure_url(&self, url: &str) -> Result<(), WebhookError> {
        let problem = match url.len() {
            1..=MOST_URL => self.webhooks.courier.problem(url),
            _ => Some(format!("expected 1 to {MOST_URL} bytes")),
        };
        match problem {
            Some(problem) => Err(WebhookError::Invalid { field: "url", problem }),
            None => Ok(()),
        }
    }
}

/// Which jobs deliver to an endpoint.
fn deliveries(endpoint: &Endpoint) -> JobFilter {
    JobFilter { topic: Some(Topic::webhook()), lane: Some(endpoint.lane()), ..JobFilter::default() }
}

/// The events that somebody has chosen: each once, and none that nobody waits for.
fn chosen(events: &[EventKind]) -> Result<Vec<EventKind>, WebhookError> {
    if events.contains(&EventKind::Ping) {
        let problem = "a ping is sent when somebody asks for it; leave it out".to_owned();
        return Err(WebhookError::Invalid { field: "events", problem });
    }
    let mut events = events.to_vec();
    events.sort_unstable();
    events.dedup();
    Ok(events)
}
