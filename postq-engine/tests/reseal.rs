//! Sealing again with another key: nothing is lost, whatever others do meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::SystemClock;
use postq_core::error::{ErrorKind, VaultError};
use postq_core::id::{AccountId, TenantId, WebhookId};
use postq_core::job::Applied;
use postq_core::memory::{MemoryBackend, MemoryWebhooks};
use postq_core::vault::{ChaChaVault, KeyRing, Sealed, Vault};
use postq_core::webhook::{Endpoint, Retiring, WebhookStore};
use postq_engine::reseal::{Owner, ResealError, Resealer};
use secrecy::{ExposeSecret, SecretString};

const TENANT: TenantId = TenantId::DEFAULT;
const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn key(byte: u8) -> Arc<dyn Vault> {
    Arc::new(ChaChaVault::new(&[byte; 32]))
}

/// The new key seals, the old one opens.
fn ring() -> Arc<dyn Vault> {
    Arc::new(KeyRing::new(key(2)).opening(key(1)))
}

struct World {
    backend: Backend,
    webhooks: MemoryWebhooks,
}

impl World {
    fn new() -> Self {
        let backend = MemoryBackend::new(Arc::new(SystemClock)).backend();
        Self { backend, webhooks: MemoryWebhooks::default() }
    }

    fn resealer(&self, vault: Arc<dyn Vault>) -> Resealer {
        let webhooks = Arc::new(self.webhooks.clone());
        Resealer::new(Arc::clone(&self.backend.accounts), webhooks, vault)
    }

    async fn account(&self, name: &str, by: u8) -> Account {
        let mut account = Account::new(name, "x".parse().unwrap(), NOW);
        let secret = SecretString::from(format!("of {name}"));
        account.credentials = Some(key(by).seal(account.id, &secret).await.unwrap());
        self.backend.accounts.insert(&account).await.unwrap();
        account
    }

    async fn webhook(&self, by: u8, retiring: Option<(u8, i64)>) -> WebhookId {
        let id = WebhookId::new();
        let seal = async |by, text: &str| {
            key(by).seal(Endpoint::seal_of(id), &SecretString::from(text)).await.unwrap()
        };
        let retiring = match retiring {
            None => None,
            Some((by, seconds)) => Some(Retiring {
                secret: seal(by, "before").await,
                until: NOW + TimeDelta::seconds(seconds),
            }),
        };
        let endpoint = Endpoint {
            id,
            tenant_id: TENANT,
            url: "https://hooks.example.com/a".to_owned(),
            secret: seal(by, "now").await,
            retiring,
            events: Vec::new(),
            paused: None,
            version: 1,
            created_at: NOW,
        };
        self.webhooks.insert(&endpoint).await.unwrap();
        id
    }

    /// What an account's credentials are with the new key alone.
    async fn opened(&self, id: AccountId) -> String {
        let account = self.backend.accounts.load(&[id]).await.unwrap().pop().unwrap();
        let secret = key(2).open(id, &account.credentials.unwrap()).await.unwrap();
        secret.expose_secret().to_owned()
    }
}

#[tokio::test]
async fn everything_is_sealed_again_in_batches_and_keeps_its_secret() {
    let world = World::new();
    let mut accounts = Vec::new();
    for n in 0..7 {
        accounts.push(world.account(&format!("a{n}"), 1).await);
    }
    accounts.push(world.account("new", 2).await);
    let plain = Account::new("plain", "dry_run".parse().unwrap(), NOW);
    world.backend.accounts.insert(&plain).await.unwrap();
    let webhook = world.webhook(1, Some((1, 60))).await;
    let ended = world.webhook(2, Some((1, -60))).await;
    let resealer = world.resealer(ring());

    let before = resealer.census(TENANT).await.unwrap();
    let mut steps = Vec::new();
    loop {
        let done = resealer.reseal(TENANT, NOW, 4).await.unwrap();
        assert!(done.unopened.is_empty(), "{done:?}");
        steps.push((done.resealed, done.left));
        if done.left == 0 {
            break;
        }
    }
    let nothing = resealer.reseal(TENANT, NOW, 4).await.unwrap();
    let after = resealer.census(TENANT).await.unwrap();

    let (old, new) = (key(1), key(2));
    let counts = |census: &postq_engine::reseal::Census, key: &Arc<dyn Vault>| {
        census.by_key.get(key.key_id()).map(|sealed| (sealed.accounts, sealed.webhooks))
    };
    assert_eq!((counts(&before, &old), counts(&before, &new)), (Some((7, 3)), Some((1, 1))));
    assert_eq!(steps, [(4, 5), (4, 1), (1, 0)]);
    assert_eq!(nothing, postq_engine::reseal::Resealed::default());
    assert_eq!((counts(&after, &old), counts(&after, &new)), (None, Some((8, 3))));
    for account in &accounts {
        assert_eq!(world.opened(account.id).await, format!("of {}", account.name));
    }
    let kept = world.webhooks.find(webhook).await.unwrap().unwrap();
    let before = kept.retiring.unwrap();
    assert_eq!(before.until, NOW + TimeDelta::seconds(60));
    for (sealed, expected) in [(&kept.secret, "now"), (&before.secret, "before")] {
        let opened = new.open(Endpoint::seal_of(webhook), sealed).await.unwrap();
        assert_eq!(opened.expose_secret(), expected);
    }
    let kept = world.webhooks.find(ended).await.unwrap().unwrap();
    assert!(kept.retiring.is_none(), "it signs no more");
}

#[tokio::test]
async fn what_no_key_opens_is_named_and_stays_as_it_is() {
    let world = World::new();
    let good = world.account("good", 1).await;
    let lost = world.account("lost", 9).await;
    let mut broken = world.account("broken", 1).await;
    broken.credentials.as_mut().unwrap().bytes[30] ^= 1;
    let updated = world.backend.accounts.update(&broken, None).await.unwrap();
    assert_eq!(updated, Applied::Applied);
    let webhook = world.webhook(9, None).await;
    let resealer = world.resealer(ring());

    let done = resealer.reseal(TENANT, NOW, 10).await.unwrap();
    let census = resealer.census(TENANT).await.unwrap();

    assert_eq!((done.resealed, done.left), (1, 0));
    assert_eq!(done.unopened, census.unopened);
    let owners: Vec<String> = done.unopened.iter().map(|one| one.owner.to_string()).collect();
    let expected = [
        "account \"broken\"".to_owned(),
        "account \"lost\"".to_owned(),
        format!("webhook {webhook}"),
    ];
    assert_eq!(owners, expected);
    assert_eq!(done.unopened[1].owner, Owner::Account { id: lost.id, name: "lost".to_owned() });
    let why = &done.unopened[1].why;
    assert!(why.contains(key(9).key_id()) && why.contains(key(2).key_id()), "{why}");
    let told = serde_json::to_string(&done).unwrap();
    assert!(!told.contains("of good") && !told.contains("of lost"), "{told}");
    for account in [&lost, &broken] {
        let kept = world.backend.accounts.load(&[account.id]).await.unwrap();
        assert_eq!(kept[0].credentials, account.credentials);
    }
    assert_eq!(world.opened(good.id).await, "of good");
}

/// Something that somebody else does.
type Happens = Box<dyn FnOnce() -> tokio::task::JoinHandle<()> + Send>;

/// Lets something happen between what is read and what is written.
struct Meanwhile {
    vault: Arc<dyn Vault>,
    happens: Mutex<Option<Happens>>,
}

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

#[async_trait]
impl Vault for Meanwhile {
    fn key_id(&self) -> &str {
        self.vault.key_id()
    }

    async fn seal(&self, account: AccountId, secret: &SecretString) -> Result<Sealed, VaultError> {
        let happens = self.happens.lock().unwrap().take();
        if let Some(happens) = happens {
            happens().await.unwrap();
        }
        self.vault.seal(account, secret).await
    }

    async fn open(&self, account: AccountId, sealed: &Sealed) -> Result<SecretString, VaultError> {
        self.vault.open(account, sealed).await
    }
}

#[tokio::test]
async fn a_secret_that_is_replaced_meanwhile_is_never_overwritten() {
    // With another secret under the old key, with one under the new key, and taken away.
    for by in [Some(1), Some(2), None] {
        let world = World::new();
        let account = world.account("acme", 1).await;
        let (accounts, id) = (Arc::clone(&world.backend.accounts), account.id);
        let replace = move || {
            tokio::spawn(async move {
                let Some(by) = by else {
                    assert_eq!(accounts.remove(id, None).await.unwrap(), Applied::Applied);
                    return;
                };
                let anew = key(by).seal(id, &SecretString::from("replaced")).await.unwrap();
                let changed = Account { credentials: Some(anew), ..account };
                assert_eq!(accounts.update(&changed, None).await.unwrap(), Applied::Applied);
            })
        };
        let vault = Meanwhile { vault: ring(), happens: Mutex::new(Some(Box::new(replace))) };

        let done = world.resealer(Arc::new(vault)).reseal(TENANT, NOW, 10).await.unwrap();

        assert_eq!(done.left, 0);
        match by {
            Some(by) => {
                assert_eq!(done.resealed, usize::from(by == 1));
                assert_eq!(world.opened(id).await, "replaced");
            }
            None => assert!(world.backend.accounts.load(&[id]).await.unwrap().is_empty()),
        }
    }
}

/// A key service that is away, or that seals what it does not open.
#[derive(Debug)]
struct Service {
    opens: AtomicBool,
}

#[async_trait]
impl Vault for Service {
    fn key_id(&self) -> &str {
        "service"
    }

    async fn seal(&self, _: AccountId, _: &SecretString) -> Result<Sealed, VaultError> {
        if !self.opens.load(Ordering::Relaxed) {
            return Err(VaultError::new(ErrorKind::Unavailable, "ask the key service"));
        }
        Ok(Sealed { key_id: "service".to_owned(), bytes: vec![1] })
    }

    async fn open(&self, _: AccountId, _: &Sealed) -> Result<SecretString, VaultError> {
        Ok(SecretString::from("something else"))
    }
}

#[tokio::test]
async fn a_vault_that_is_away_or_wrong_changes_nothing() {
    let world = World::new();
    let account = world.account("acme", 1).await;

    for (opens, expected) in [(false, ErrorKind::Unavailable), (true, ErrorKind::Internal)] {
        let service = Arc::new(Service { opens: AtomicBool::new(opens) });
        let ring = Arc::new(KeyRing::new(service).opening(key(1)));
        let error = world.resealer(ring).reseal(TENANT, NOW, 10).await.unwrap_err();
        let ResealError::Vault(error) = error else { panic!("{error}") };
        assert_eq!(error.kind(), expected);
        let kept = world.backend.accounts.load(&[account.id]).await.unwrap();
        assert_eq!(kept[0].credentials, account.credentials);
    }
}
