//! A platform, its authority, a store, and nodes that may die.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, TokioClock};
use postq_core::conformance::connect::authority::Authority;
use postq_core::conformance::fixtures;
use postq_core::connect::{Connect, Grant, Refresh};
use postq_core::content::Draft;
use postq_core::credentials::Credentials;
use postq_core::error::{ErrorKind, NotifyError, StoreError};
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::{AccountId, JobId, TenantId};
use postq_core::intent::Receipt;
use postq_core::job::{Applied, Job};
use postq_core::memory::MemoryBackend;
use postq_core::notifier::{Notice, NoticeKind, Notifier};
use postq_core::platform::{
    Identity, Outgoing, Pace, Platform, PlatformName, Published, Violation,
};
use postq_core::store::AccountStore;
use postq_core::vault::{ChaChaVault, Vault};
use postq_engine::{Engine, Platforms, Settings, Tokens, Unusable};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

pub(crate) const LIFE: Duration = Duration::from_secs(7_200);
/// Longer than a mark holds and the lock is held.
pub(crate) const FORGOTTEN: Duration = Duration::from_secs(30);

/// A platform that takes posts by who holds the token in force.
#[derive(Debug)]
pub(crate) struct Town {
    pub(crate) name: PlatformName,
    pub(crate) authority: Authority,
    pub(crate) clock: TokioClock,
    pub(crate) out: Mutex<Vec<String>>,
}

#[async_trait]
impl Platform for Town {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace { send_timeout: Duration::from_secs(1), ..Pace::default() }
    }

    fn validate(&self, _: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    async fn publish<'a>(&self, who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        if !self.authority.takes(who.secret.as_ref().unwrap()) {
            return Err(Failure::not_published(FailureClass::Auth, "the token is refused"));
        }
        let mut out = self.out.lock().unwrap();
        out.push(part.text.to_owned());
        let receipt = Receipt {
            part: part.part,
            remote_id: out.len().to_string(),
            url: None,
            published_at: self.clock.now(),
            dry_run: false,
        };
        Ok(Published { receipt, limits: Vec::new() })
    }

    fn connect(&self) -> Option<&dyn Connect> {
        Some(&self.authority)
    }

    fn refresh(&self) -> Option<&dyn Refresh> {
        Some(&self.authority)
    }
}

/// An account store whose node dies at a chosen write.
#[derive(Debug)]
pub(crate) struct Mortal {
    inner: Arc<dyn AccountStore>,
    dies: Mutex<Option<Death>>,
    pub(crate) dead: AtomicBool,
    /// The next so many writes fail before they reach the store.
    pub(crate) failing: Mutex<u32>,
    writes: Mutex<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    /// At this write, from 0: the mark, and what the call brought.
    pub(crate) write: u32,
    /// It reaches the store before.
    pub(crate) written: bool,
}

impl Mortal {
    pub(crate) fn over(inner: &Arc<dyn AccountStore>, dies: Option<Death>) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            dies: Mutex::new(dies),
            dead: AtomicBool::default(),
            failing: Mutex::default(),
            writes: Mutex::default(),
        })
    }
}

#[async_trait]
impl AccountStore for Mortal {
    async fn insert(&self, account: &Account) -> Result<(), StoreError> {
        self.inner.insert(account).await
    }

    async fn load(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        self.inner.load(ids).await
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<Account>, StoreError> {
        self.inner.list(tenant).await
    }

    async fn update<'a>(
        &self,
        account: &Account,
        seen: Option<&'a Account>,
    ) -> Result<Applied, StoreError> {
        if std::mem::replace(&mut *self.failing.lock().unwrap(), 0) > 0 {
            return Err(StoreError::new(ErrorKind::Unavailable, "the store is away"));
        }
        let write = {
            let mut writes = self.writes.lock().unwrap();
            *writes += 1;
            *writes - 1
        };
        let dies = *self.dies.lock().unwrap();
        let death = dies.filter(|death| death.write == write);
        if death.is_some_and(|death| !death.written) {
            self.dead.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        let applied = self.inner.update(account, seen).await;
        if death.is_some() {
            self.dead.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        applied
    }

    async fn remove<'a>(
        &self,
        id: AccountId,
        seen: Option<&'a Account>,
    ) -> Result<Applied, StoreError> {
        self.inner.remove(id, seen).await
    }
}

pub(crate) fn key(byte: u8) -> Arc<dyn Vault> {
    Arc::new(ChaChaVault::new(&[byte; 32]))
}

pub(crate) struct World {
    pub(crate) clock: TokioClock,
    pub(crate) backend: Backend,
    pub(crate) authority: Authority,
    pub(crate) town: Arc<Town>,
    pub(crate) account: Account,
}

impl World {
    /// An account whose token ends in 2 h.
    pub(crate) async fn new() -> Self {
        let clock = TokioClock::starting_at("2026-03-01T12:00:00Z".parse().unwrap());
        let backend = MemoryBackend::new(Arc::new(clock)).backend();
        let authority = Authority::default();
        authority.set_pace(Some(LIFE), Duration::from_millis(50));
        let town = Arc::new(Town {
            name: "town".parse().unwrap(),
            authority: authority.clone(),
            clock,
            out: Mutex::default(),
        });
        let mut account = Account::new("main", town.name.clone(), clock.now());
        Self::connect(&mut account, authority.grant("ann"), clock.now()).await;
        backend.accounts.insert(&account).await.unwrap();
        Self { clock, backend, authority, town, account }
    }

    pub(crate) async fn connect(account: &mut Account, grant: Grant, now: DateTime<Utc>) {
        account.token_expires_at = grant.expires_in.map(|lives| now + lives);
        let secret = Credentials::granted(grant, now).write();
        account.credentials = Some(key(1).seal(account.id, &secret).await.unwrap());
    }

    pub(crate) fn platforms(&self) -> Platforms {
        Platforms::new([Arc::clone(&self.town) as Arc<dyn Platform>])
    }

    /// The tokens of a node of its own.
    pub(crate) fn node(&self) -> Tokens {
        self.node_over(Arc::clone(&self.backend.accounts))
    }

    pub(crate) fn node_over(&self, accounts: Arc<dyn AccountStore>) -> Tokens {
        let backend = Backend { accounts, ..self.backend.clone() };
        let limit = Duration::from_secs(86_400);
        Tokens::new(&backend, Some(key(1)), self.platforms(), limit)
    }

    pub(crate) async fn stored(&self) -> Account {
        self.backend.accounts.load(&[self.account.id]).await.unwrap().pop().unwrap()
    }

    pub(crate) async fn credentials(&self) -> Credentials {
        let sealed = self.stored().await.credentials.unwrap();
        Credentials::read(&key(1).open(self.account.id, &sealed).await.unwrap()).unwrap()
    }

    /// The account's token has ended, is renewed, and the new one is not written down: its node dies.
    pub(crate) async fn loses_a_token(&self) {
        self.later().await;
        let mortal = Mortal::over(&self.backend.accounts, Some(Death { write: 1, written: false }));
        let node = self.node_over(Arc::clone(&mortal) as Arc<dyn AccountStore>);
        let seen = self.stored().await;
        let usable = node.usable(&seen, self.clock.now());
        let lost = tokio::time::timeout(Duration::from_secs(1), usable).await;
        let died = mortal.dead.load(Ordering::SeqCst);
        assert!(lost.is_err() && died, "renewed, and not written down");
    }

    /// The account's token has ended.
    pub(crate) async fn later(&self) {
        let ends = self.stored().await.token_expires_at.unwrap();
        let left = (ends - self.clock.now()).to_std().unwrap_or_default();
        tokio::time::sleep(left + Duration::from_secs(1)).await;
    }

    pub(crate) async fn usable(&self, node: &Tokens) -> Result<SecretString, Unusable> {
        let account = self.stored().await;
        let usable = node.usable(&account, self.clock.now()).await?;
        Ok(usable.who.secret.unwrap())
    }
}

/// What people were told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(pub(crate) Arc<Mutex<Vec<Notice>>>);

#[async_trait]
impl Notifier for Told {
    fn channel(&self) -> &str {
        "told"
    }

    async fn notify(&self, _: JobId, notice: &Notice) -> Result<(), NotifyError> {
        self.0.lock().unwrap().push(notice.clone());
        Ok(())
    }
}

/// A running engine.
pub(crate) struct Run {
    pub(crate) engine: Engine,
    pub(crate) told: Told,
    pub(crate) stop: CancellationToken,
    pub(crate) running: tokio::task::JoinHandle<()>,
}

impl Run {
    pub(crate) fn of(world: &World) -> Self {
        let told = Told::default();
        let engine = Engine::builder(world.backend.clone())
            .platform(Arc::clone(&world.town) as Arc<dyn Platform>)
            .vault(key(1))
            .notifier(Arc::new(told.clone()))
            .seed(3)
            .settings(Settings { rate_limit: false, ..Settings::default() })
            .build()
            .unwrap();
        let (stop, own) = (CancellationToken::new(), engine.clone());
        let shutdown = stop.clone();
        let running = tokio::spawn(async move { own.run(shutdown).await });
        Self { engine, told, stop, running }
    }

    pub(crate) async fn post(&self, world: &World, text: &str) -> JobId {
        let post = fixtures::post(&world.backend, text).await;
        let job = fixtures::publish_job(&post, &world.account, world.clock.now());
        world.backend.jobs.insert(std::slice::from_ref(&job)).await.unwrap();
        job.id
    }

    pub(crate) async fn job(&self, world: &World, id: JobId) -> Job {
        world.backend.jobs.story(id).await.unwrap().unwrap().job
    }

    pub(crate) fn attention(&self) -> usize {
        self.told_of(NoticeKind::AccountNeedsAttention)
    }

    /// How often people were told of this.
    pub(crate) fn told_of(&self, kind: NoticeKind) -> usize {
        self.told.0.lock().unwrap().iter().filter(|notice| notice.kind == kind).count()
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
