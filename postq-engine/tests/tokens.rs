//! Tokens are renewed once however many need them, and no chain is lost but where nobody can help it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, TokioClock};
use postq_core::conformance::connect::GrantTrouble;
use postq_core::conformance::connect::authority::Authority;
use postq_core::conformance::fixtures;
use postq_core::connect::{Connect, Grant, Nonce, Refresh};
use postq_core::content::Draft;
use postq_core::credentials::Credentials;
use postq_core::error::{ErrorKind, NotifyError, StoreError};
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::{AccountId, JobId, TenantId};
use postq_core::intent::Receipt;
use postq_core::job::{Applied, Job};
use postq_core::machine::JobState;
use postq_core::memory::{MemoryBackend, MemoryConnecting, MemoryWebhooks};
use postq_core::notifier::{Notice, NoticeKind, Notifier};
use postq_core::platform::{
    Identity, Outgoing, Pace, Platform, PlatformName, Published, Violation,
};
use postq_core::store::{AccountStore, BlockReason};
use postq_core::vault::{ChaChaVault, KeyRing, Vault};
use postq_engine::reseal::Resealer;
use postq_engine::tokens::{Begun, Browser, CameBack, ConnectError, ToConnect};
use postq_engine::{Engine, Platforms, Settings, Tokens, Unusable};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use secrecy::SecretString;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const LIFE: Duration = Duration::from_secs(7_200);
/// Longer than a mark holds and the lock is held.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// A platform that takes posts by who holds the token in force.
#[derive(Debug)]
struct Town {
    name: PlatformName,
    authority: Authority,
    clock: TokioClock,
    out: Mutex<Vec<String>>,
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
struct Mortal {
    inner: Arc<dyn AccountStore>,
    dies: Mutex<Option<Death>>,
    dead: AtomicBool,
    /// The next so many writes fail before they reach the store.
    failing: Mutex<u32>,
    writes: Mutex<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Death {
    /// At this write, from 0: the mark, and what the call brought.
    write: u32,
    /// It reaches the store before.
    written: bool,
}

impl Mortal {
    fn over(inner: &Arc<dyn AccountStore>, dies: Option<Death>) -> Arc<Self> {
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

fn key(byte: u8) -> Arc<dyn Vault> {
    Arc::new(ChaChaVault::new(&[byte; 32]))
}

struct World {
    clock: TokioClock,
    backend: Backend,
    authority: Authority,
    town: Arc<Town>,
    account: Account,
}

impl World {
    /// An account whose token ends in 2 h.
    async fn new() -> Self {
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

    async fn connect(account: &mut Account, grant: Grant, now: DateTime<Utc>) {
        account.token_expires_at = grant.expires_in.map(|lives| now + lives);
        let secret = Credentials::granted(grant, now).write();
        account.credentials = Some(key(1).seal(account.id, &secret).await.unwrap());
    }

    fn platforms(&self) -> Platforms {
        Platforms::new([Arc::clone(&self.town) as Arc<dyn Platform>])
    }

    /// The tokens of a node of its own.
    fn node(&self) -> Tokens {
        self.node_over(Arc::clone(&self.backend.accounts))
    }

    fn node_over(&self, accounts: Arc<dyn AccountStore>) -> Tokens {
        let backend = Backend { accounts, ..self.backend.clone() };
        let limit = Duration::from_secs(86_400);
        Tokens::new(&backend, Some(key(1)), self.platforms(), limit)
    }

    async fn stored(&self) -> Account {
        self.backend.accounts.load(&[self.account.id]).await.unwrap().pop().unwrap()
    }

    async fn credentials(&self) -> Credentials {
        let sealed = self.stored().await.credentials.unwrap();
        Credentials::read(&key(1).open(self.account.id, &sealed).await.unwrap()).unwrap()
    }

    /// The account's token has ended.
    async fn later(&self) {
        let ends = self.stored().await.token_expires_at.unwrap();
        let left = (ends - self.clock.now()).to_std().unwrap_or_default();
        tokio::time::sleep(left + Duration::from_secs(1)).await;
    }

    async fn usable(&self, node: &Tokens) -> Result<SecretString, Unusable> {
        let account = self.stored().await;
        let usable = node.usable(&account, self.clock.now()).await?;
        Ok(usable.who.secret.unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_token_is_used_as_it_is() {
    let world = World::new().await;

    let token = world.usable(&world.node()).await.unwrap();

    assert!(world.authority.takes(&token));
    assert_eq!(world.authority.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn twenty_users_of_an_ended_token_on_four_nodes_make_one_call() {
    let world = Arc::new(World::new().await);
    world.later().await;
    let seen = world.stored().await;
    let mut users = JoinSet::new();
    for node in (0..4).map(|_| world.node()) {
        for _ in 0..5 {
            let (world, node, seen) = (Arc::clone(&world), node.clone(), seen.clone());
            users.spawn(async move { node.usable(&seen, world.clock.now()).await });
        }
    }

    for usable in users.join_all().await {
        let token = usable.unwrap().who.secret.unwrap();
        assert!(world.authority.takes(&token), "everybody has the one token in force");
    }

    assert_eq!((world.authority.calls(), world.authority.most_in_flight()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_lost_lets_nobody_renew_twice() {
    let world = Arc::new(World::new().await);
    world.later().await;
    let seen = world.stored().await;
    let mut users = JoinSet::new();
    for _ in 0..4 {
        // A lock of its own: it keeps nobody else out.
        let own = MemoryBackend::new(Arc::new(world.clock)).backend();
        let backend = Backend { lock: own.lock, ..world.backend.clone() };
        let node = Tokens::new(&backend, Some(key(1)), world.platforms(), LIFE);
        let (clock, seen) = (world.clock, seen.clone());
        users.spawn(async move { node.usable(&seen, clock.now()).await });
    }

    let usable = users.join_all().await;

    assert!(usable.iter().all(Result::is_ok), "{usable:?}");
    assert_eq!(world.authority.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_renewals_with_kills_lose_no_chain() {
    let world = World::new().await;
    let mut rng = SmallRng::seed_from_u64(7);
    let mut kills = 0;
    for renewal in 0..1_000 {
        world.later().await;
        // Between the call and the write of what it brought nobody can help it: every other moment.
        let dies = match rng.random_range(0..8) {
            0 => Some(Death { write: 0, written: false }),
            1 => Some(Death { write: 0, written: true }),
            2 => Some(Death { write: 1, written: true }),
            _ => None,
        };
        let mortal = Mortal::over(&world.backend.accounts, dies);
        if rng.random_range(0..10) == 0 {
            *mortal.failing.lock().unwrap() = 1;
        }
        let node = world.node_over(Arc::clone(&mortal) as Arc<dyn AccountStore>);
        let seen = world.stored().await;
        let usable = node.usable(&seen, world.clock.now());
        let usable = tokio::time::timeout(Duration::from_secs(5), usable).await;
        if mortal.dead.load(Ordering::SeqCst) {
            assert!(usable.is_err(), "who is dead answers nothing");
            kills += 1;
            tokio::time::sleep(FORGOTTEN).await;
        }

        let mut token = world.usable(&world.node()).await;
        if matches!(token, Err(Unusable::Later(_))) {
            token = world.usable(&world.node()).await;
        }

        let token = token.unwrap_or_else(|why| panic!("renewal {renewal}: {why:?}"));
        assert!(world.authority.takes(&token), "renewal {renewal}");
        assert!(world.credentials().await.renewing_since.is_none());
    }
    assert!(kills > 200, "{kills}");
    assert!(world.authority.calls() >= 1_000, "{}", world.authority.calls());
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_the_call_and_its_storing_is_a_refusal_and_no_guess() {
    let world = World::new().await;
    world.later().await;
    let mortal = Mortal::over(&world.backend.accounts, Some(Death { write: 1, written: false }));
    let node = world.node_over(Arc::clone(&mortal) as Arc<dyn AccountStore>);
    let seen = world.stored().await;
    let usable = node.usable(&seen, world.clock.now());
    let lost = tokio::time::timeout(Duration::from_secs(1), usable).await;
    assert!(lost.is_err() && mortal.dead.load(Ordering::SeqCst));

    // While the mark holds nobody asks: whoever made it may be slow and not dead.
    let waiting = world.node();
    let seen = world.stored().await;
    let waited = waiting.usable(&seen, world.clock.now());
    assert!(tokio::time::timeout(Duration::from_secs(3), waited).await.is_err());
    assert_eq!(world.authority.calls(), 1);

    tokio::time::sleep(FORGOTTEN).await;
    let refused = world.usable(&world.node()).await.unwrap_err();
    assert!(matches!(refused, Unusable::Refused { .. }), "{refused:?}");
    assert_eq!(world.authority.calls(), 2);

    // Asked again at once, it is not.
    let refused = world.usable(&world.node()).await.unwrap_err();
    assert!(matches!(refused, Unusable::Refused { .. }), "{refused:?}");
    assert_eq!(world.authority.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn trouble_keeps_the_account_connected() {
    for trouble in [GrantTrouble::Unavailable, GrantTrouble::CutBefore] {
        let world = World::new().await;
        world.later().await;
        world.authority.meet([trouble, trouble]);

        for _ in 0..2 {
            let later = world.usable(&world.node()).await.unwrap_err();
            assert!(matches!(later, Unusable::Later(_)), "{later:?}");
            assert!(world.credentials().await.refused_at.is_none());
        }

        let token = world.usable(&world.node()).await.unwrap();
        assert!(world.authority.takes(&token), "after {trouble:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_brought_is_kept_when_its_envelope_was_replaced_meanwhile() {
    let world = World::new().await;
    world.later().await;
    world.authority.set_pace(Some(LIFE), Duration::from_millis(200));
    let ring: Arc<dyn Vault> = Arc::new(KeyRing::new(key(2)).opening(key(1)));
    let node = Tokens::new(&world.backend, Some(Arc::clone(&ring)), world.platforms(), LIFE);
    let seen = world.stored().await;
    let now = world.clock.now();
    let usable = tokio::spawn(async move { node.usable(&seen, now).await });

    // In the middle of the call the key is replaced.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut marked = world.stored().await;
    let secret = ring.open(marked.id, marked.credentials.as_ref().unwrap()).await.unwrap();
    assert!(Credentials::read(&secret).unwrap().renewing_since.is_some(), "the call is under way");
    marked.credentials = Some(key(1).seal(marked.id, &secret).await.unwrap());
    let webhooks = Arc::new(MemoryWebhooks::default());
    assert_eq!(world.backend.accounts.update(&marked, None).await.unwrap(), Applied::Applied);
    let resealer = Resealer::new(Arc::clone(&world.backend.accounts), webhooks, ring);
    assert_eq!(resealer.reseal(TenantId::DEFAULT, now, 10).await.unwrap().resealed, 1);

    let token = usable.await.unwrap().unwrap().who.secret.unwrap();
    assert!(world.authority.takes(&token));
    let stored = world.stored().await;
    assert!(stored.token_expires_at.unwrap() > world.clock.now() + LIFE / 2, "it is stored");
}

#[tokio::test(start_paused = true)]
async fn what_a_person_connects_meanwhile_stays() {
    let world = World::new().await;
    world.later().await;
    world.authority.set_pace(Some(LIFE), Duration::from_millis(200));
    world.authority.revoke("ann");
    let (node, seen, now) = (world.node(), world.stored().await, world.clock.now());
    let usable = tokio::spawn(async move { node.usable(&seen, now).await });

    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut anew = world.stored().await;
    World::connect(&mut anew, world.authority.grant("bob"), now).await;
    assert_eq!(world.backend.accounts.update(&anew, None).await.unwrap(), Applied::Applied);

    let token = usable.await.unwrap().unwrap().who.secret.unwrap();
    assert!(world.authority.takes(&token), "the refusal said nothing of these");
    assert_eq!(world.stored().await, anew);
}

#[tokio::test(start_paused = true)]
async fn who_asks_may_be_cut_off_and_the_token_is_kept() {
    let world = World::new().await;
    world.later().await;
    let (node, seen) = (world.node(), world.stored().await);

    let cut = node.usable(&seen, world.clock.now());
    assert!(tokio::time::timeout(Duration::from_millis(20), cut).await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;

    assert!(world.stored().await.token_expires_at.unwrap() > world.clock.now());
    assert_eq!(world.authority.calls(), 1);
}

/// What people were told.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Vec<Notice>>>);

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
struct Run {
    engine: Engine,
    told: Told,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Run {
    fn of(world: &World) -> Self {
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

    async fn post(&self, world: &World, text: &str) -> JobId {
        let post = fixtures::post(&world.backend, text).await;
        let job = fixtures::publish_job(&post, &world.account, world.clock.now());
        world.backend.jobs.insert(std::slice::from_ref(&job)).await.unwrap();
        job.id
    }

    async fn job(&self, world: &World, id: JobId) -> Job {
        world.backend.jobs.story(id).await.unwrap().unwrap().job
    }

    fn attention(&self) -> usize {
        let told = self.told.0.lock().unwrap();
        told.iter().filter(|notice| notice.kind == NoticeKind::AccountNeedsAttention).count()
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_ahead_of_its_end_for_a_day() {
    let world = World::new().await;
    let run = Run::of(&world);
    for _ in 0..24 * 6 {
        pass(600).await;
        let ends = world.stored().await.token_expires_at.unwrap();
        assert!(ends > world.clock.now() + Duration::from_secs(300), "it never comes near its end");
    }
    let calls = world.authority.calls();
    assert!((12..=15).contains(&calls), "{calls} calls in a day");
    assert_eq!(run.told.0.lock().unwrap().len(), 0);
    run.end().await;
}

#[tokio::test(start_paused = true)]
async fn posts_wait_out_an_outage_of_the_authority_and_nobody_is_told() {
    let world = World::new().await;
    world.later().await;
    world.authority.meet([GrantTrouble::Unavailable; 6]);
    let run = Run::of(&world);
    let job = run.post(&world, "waits").await;

    pass(30).await;
    let waiting = run.job(&world, job).await;
    assert_eq!((waiting.state, waiting.attempt), (JobState::Enqueued, 0), "{waiting:?}");
    assert!(waiting.reason.unwrap().contains("could not be renewed yet"));
    pass(180).await;

    assert_eq!(run.job(&world, job).await.state, JobState::Succeeded);
    assert_eq!(*world.town.out.lock().unwrap(), ["waits"]);
    assert_eq!(run.told.0.lock().unwrap().len(), 0, "nobody is told");
    assert!(world.backend.blocks.blocks().await.unwrap().is_empty());
    run.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_once_and_connecting_again_resumes_what_waited() {
    let world = World::new().await;
    world.later().await;
    world.authority.revoke("ann");
    let run = Run::of(&world);
    let jobs = [run.post(&world, "one").await, run.post(&world, "two").await];

    pass(600).await;
    assert_eq!(run.attention(), 1, "{:?}", run.told.0.lock().unwrap());
    let blocks = world.backend.blocks.blocks().await.unwrap();
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0].reason, BlockReason::NeedsAttention);
    for job in jobs {
        assert_eq!(run.job(&world, job).await.state, JobState::Enqueued);
    }

    let mut anew = world.stored().await;
    World::connect(&mut anew, world.authority.grant("ann"), world.clock.now()).await;
    assert_eq!(world.backend.accounts.update(&anew, None).await.unwrap(), Applied::Applied);
    run.engine.desk().reconnected(&anew).await.unwrap();
    pass(30).await;

    assert_eq!(*world.town.out.lock().unwrap(), ["one", "two"]);
    assert_eq!(run.attention(), 1);
    run.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_platform_refuses_early_is_renewed_once() {
    let world = World::new().await;
    // Older than a token that was just given.
    pass(600).await;
    let mut known = world.stored().await;
    let mut credentials = world.credentials().await;
    credentials.access_token = "access:no-longer".into();
    known.credentials = Some(key(1).seal(known.id, &credentials.write()).await.unwrap());
    assert_eq!(world.backend.accounts.update(&known, None).await.unwrap(), Applied::Applied);
    let run = Run::of(&world);

    let job = run.post(&world, "once").await;
    pass(10).await;

    assert_eq!(run.job(&world, job).await.state, JobState::Succeeded);
    assert_eq!((world.authority.calls(), run.attention()), (1, 0));
    run.end().await;
}

/// A person who connects accounts.
struct Person {
    world: World,
    kept: MemoryConnecting,
}

impl Person {
    async fn new() -> Self {
        let world = World::new().await;
        let kept = MemoryConnecting::new(Arc::new(world.clock));
        Self { world, kept }
    }

    async fn begin(&self, what: ToConnect, browser: Option<&Nonce>) -> Begun {
        let node = self.world.node();
        node.begin(&self.kept, what, browser, self.world.clock.now()).await.unwrap()
    }

    fn new_account(&self, name: &str) -> ToConnect {
        let platform = self.world.town.name.clone();
        ToConnect::New { tenant: TenantId::DEFAULT, name: name.to_owned(), platform }
    }

    /// Agrees, and comes back.
    fn agree(&self, begun: &Begun, browser: Browser) -> CameBack {
        let query = begun.address.split_once("state=").unwrap().1;
        let (state, code) = query.split_once("&code=").unwrap();
        let platform = self.world.town.name.clone();
        CameBack { platform, state: state.into(), code: code.into(), browser }
    }

    async fn finish(&self, back: &CameBack) -> Result<(Account, bool), ConnectError> {
        // On another node than it was begun on.
        self.world.node().finish(&self.kept, back, self.world.clock.now()).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_is_connected_and_connected_again() {
    let person = Person::new().await;
    let begun = person.begin(person.new_account("second"), None).await;
    assert_eq!(begun.asks.len(), 1);

    let back = person.agree(&begun, Browser::Shows(None));
    let (account, made) = person.finish(&back).await.unwrap();
    assert!(made && account.id == begun.account);
    assert_eq!(account.remote_id.as_deref(), Some("somebody"));
    let token = person.world.node().usable(&account, person.world.clock.now()).await.unwrap();
    assert!(person.world.authority.takes(token.who.secret.as_ref().unwrap()));
    let again = person.finish(&back).await.unwrap_err();
    assert!(matches!(again, ConnectError::NotBegun), "a code is taken once");

    let begun = person.begin(ToConnect::Again(Box::new(account.clone())), None).await;
    let (anew, made) = person.finish(&person.agree(&begun, Browser::Any)).await.unwrap();
    assert!(!made && anew.id == account.id && anew.credentials != account.credentials);

    let begun = person.begin(person.new_account("second"), None).await;
    let taken = person.finish(&person.agree(&begun, Browser::Any)).await.unwrap_err();
    assert!(matches!(taken, ConnectError::NameTaken(_)), "{taken}");
}

#[tokio::test(start_paused = true)]
async fn only_who_began_in_time_and_in_this_browser_comes_back() {
    let person = Person::new().await;
    let (own, other) = (Nonce::random(), Nonce::random());
    let cases = [
        (Browser::Shows(None), false),
        (Browser::Shows(Some(other.secret().clone())), false),
        (Browser::Shows(Some(own.secret().clone())), true),
    ];
    for (n, (browser, good)) in cases.into_iter().enumerate() {
        let begun = person.begin(person.new_account(&format!("n{n}")), Some(&own)).await;
        let finished = person.finish(&person.agree(&begun, browser.clone())).await;
        assert_eq!(finished.is_ok(), good, "{browser:?}");
    }

    let begun = person.begin(person.new_account("late"), None).await;
    pass(601).await;
    let late = person.finish(&person.agree(&begun, Browser::Any)).await.unwrap_err();
    assert!(matches!(late, ConnectError::NotBegun));

    let begun = person.begin(person.new_account("forged"), None).await;
    let back = CameBack { code: "forged".into(), ..person.agree(&begun, Browser::Any) };
    let forged = person.finish(&back).await.unwrap_err();
    assert!(matches!(forged, ConnectError::Refused(_)), "{forged}");
    assert_eq!(person.world.backend.accounts.list(TenantId::DEFAULT).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn somebody_else_does_not_take_an_account_over() {
    let person = Person::new().await;
    let mut ann = person.world.stored().await;
    ann.remote_id = Some("ann".to_owned());
    assert_eq!(person.world.backend.accounts.update(&ann, None).await.unwrap(), Applied::Applied);

    let begun = person.begin(ToConnect::Again(Box::new(ann.clone())), None).await;
    let refused = person.finish(&person.agree(&begun, Browser::Any)).await.unwrap_err();

    assert!(matches!(refused, ConnectError::SomebodyElse { .. }), "{refused}");
    assert_eq!(person.world.stored().await, ann);
}
