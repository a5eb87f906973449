//! The store: one pool of connections to one schema, shared.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, PoolError, TimeoutType, Timeouts};
use postq_core::backend::Backend;
use postq_core::error::StoreError;
use postq_core::pool::{PoolUse, Pools};
use postq_core::queue::Queue;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::changes::{About, Changes, Clock};
use crate::check;
use crate::config::Config;
use crate::error::Fault;
use crate::gather::Gather;
use crate::recover::Lost;
use crate::schema;
use crate::server::Server;
use crate::tx::{Effects, Lent, read};
use crate::wake::{self, Me, Outbox};

/// How long making a connection, or taking one up again, may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// Connections beside those for the work: one renews leases, one wakes others.
pub(crate) const BESIDE: usize = 2;

/// Every store, the job feed, a queue, the dedupe lock and the rate limiter in one schema of a Postgres
/// database.
///
/// Cheap to clone: clones share the connections. Any number of processes may work on one schema.
#[derive(Clone)]
pub struct PgStore(Arc<Inner>);

struct Inner {
    /// As it is written in statements.
    schema: String,
    /// Where its nodes tell one another of changes.
    channel: String,
    pool: Pool,
    /// For what must not wait behind the work.
    beside: Pool,
    patience: Duration,
    limit: Duration,
    check_every: Duration,
    told: String,
    changes: Changes,
    clock: Clock,
    outbox: Arc<Outbox>,
    lost: Mutex<Vec<Lost>>,
    gather: Gather,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl fmt::Debug for PgStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgStore")
            .field("at", &self.0.told)
            .field("schema", &self.0.schema)
            .finish_non_exhaustive()
    }
}

impl PgStore {
    /// Connects, and migrates unless the configuration says not to. Must be called inside a tokio
    /// runtime.
    pub async fn open(config: Config) -> Result<Self, StoreError> {
        let server = Server::of(&config)?;
        let pool = server.pool(config.connections)?;
        Self::open_over(config, pool).await
    }

    /// The same over a pool that the caller has: its connections do the work. Those for renewals,
    /// wake-ups and listening are made from the configuration.
    pub async fn open_over(config: Config, pool: Pool) -> Result<Self, StoreError> {
        schema::ensure_name(&config.schema)?;
        let server = Server::of(&config)?;
        if config.migrate {
            schema::migrate(&config).await?;
        }
        let (changes, me) = (Changes::default(), Me::new());
        let outbox = Arc::new(Outbox::default());
        let beside = server.pool(BESIDE)?;
        let tell = wake::tell(Arc::clone(&outbox), beside.clone(), config.schema.clone(), me);
        let mut tasks = vec![tokio::spawn(tell)];
        if let Some(server) = Server::to_listen(&config)? {
            let listen = wake::listen(server, config.schema.clone(), me, changes.clone());
            tasks.push(tokio::spawn(listen));
        }
        let inner = Inner {
            schema: format!("\"{}\"", config.schema),
            channel: wake::channel(&config.schema),
            pool,
            beside,
            patience: config.patience,
            limit: config.statement_timeout.max(Duration::from_secs(1)) * 2,
            check_every: config.check_every.max(Duration::from_millis(50)),
            told: server.told(),
            changes,
            clock: Clock::new(),
            outbox,
            lost: Mutex::default(),
            gather: Gather::default(),
            tasks,
        };
        let store = Self(Arc::new(inner));
        store.ensure_current(&config.schema, &server).await?;
        Ok(store)
    }

    /// The bundle that an engine takes. Its queue is none: this store's feed needs none beside it.
    pub fn backend(&self) -> Backend {
        let store = Arc::new(self.clone());
        Backend {
            posts: store.clone(),
            accounts: store.clone(),
            blocks: store.clone(),
            schedules: store.clone(),
            jobs: store.clone(),
            control: store.clone(),
            upkeep: store.clone(),
            publications: store.clone(),
            metrics: store.clone(),
            slots: store.clone(),
            feed: store.clone(),
            queue: None,
            lock: store.clone(),
            limiter: store,
        }
    }

    /// The queue in this schema, for compositions that want one.
    pub fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(self.clone())
    }

    /// How its connections are used: those of the work, and those beside it.
    pub fn pools(&self) -> Arc<dyn Pools> {
        Arc::new(self.clone())
    }

    /// Closes the connections. Later calls are refused. A store that is dropped without this loses
    /// nothing either.
    pub fn close(&self) {
        self.0.tasks.iter().for_each(JoinHandle::abort);
        self.0.pool.close();
        self.0.beside.close();
    }

    async fn ensure_current(&self, schema: &str, server: &Server) -> Result<(), StoreError> {
        let failed = |fault: Fault| fault.during(&format!("open {}", server.told()));
        let lent = self.lend().await.map_err(failed)?;
        check::ensure_usable(lent.client()).await.map_err(failed)?;
        schema::ensure_current(lent.client(), schema).await.map_err(failed)
    }

    /// A connection for the work; waits until one is free.
    pub(crate) async fn lend(&self) -> Result<Lent, Fault> {
        lend(&self.0.pool, self.0.patience, self.0.limit).await
    }

    /// A connection for what must not wait behind the work.
    pub(crate) fn urgently(&self) -> Urgent<'_> {
        Urgent(self)
    }

    /// The schema, as it is written in statements.
    pub(crate) fn schema(&self) -> &str {
        &self.0.schema
    }

    /// Where the nodes of this schema tell one another of changes.
    pub(crate) fn channel(&self) -> &str {
        &self.0.channel
    }

    /// How long a call may take.
    pub(crate) fn limit(&self) -> Duration {
        self.0.limit
    }

    /// Tells whoever waits what a commit has changed.
    pub(crate) fn committed(&self, effects: &Effects) {
        for (changed, about) in [(effects.jobs, About::Jobs), (effects.schedules, About::Schedules)]
        {
            if changed {
                self.0.changes.bump(about);
                self.0.outbox.put(about);
            }
        }
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.0.changes
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Settlements that go together.
    pub(crate) fn gather(&self) -> &Gather {
        &self.0.gather
    }

    /// Claims whose answers were lost.
    pub(crate) fn lost(&self) -> MutexGuard<'_, Vec<Lost>> {
        self.0.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's time.
    pub(crate) async fn ask_time(&self) -> Result<DateTime<Utc>, StoreError> {
        let asked = Instant::now();
        let now: DateTime<Utc> = read!(self, "ask for the time", |sql| sql.now())?;
        self.0.clock.told(now, asked);
        Ok(now)
    }

    /// Waits for a change later than the mark.
    pub(crate) async fn wait_for(
        &self,
        about: About,
        mark: postq_core::feed::Mark,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        if !self.0.clock.is_fresh() {
            self.ask_time().await?;
        }
        self.0.changes.wait(about, mark, until, &self.0.clock, self.0.check_every).await;
        Ok(())
    }
}

/// The store by its connections for what must not wait.
#[derive(Clone, Copy)]
pub(crate) struct Urgent<'a>(&'a PgStore);

impl Urgent<'_> {
    pub(crate) async fn lend(&self) -> Result<Lent, Fault> {
        lend(&self.0.0.beside, self.0.0.patience, self.0.0.limit).await
    }

    pub(crate) fn schema(&self) -> &str {
        self.0.schema()
    }

    pub(crate) fn limit(&self) -> Duration {
        self.0.limit()
    }
}

impl Pools for PgStore {
    fn pools(&self) -> Vec<PoolUse> {
        [("work", &self.0.pool), ("beside", &self.0.beside)]
            .map(|(name, pool)| usage(name, pool))
            .into()
    }
}

fn usage(name: &'static str, pool: &Pool) -> PoolUse {
    let status = pool.status();
    PoolUse {
        pool: name,
        in_use: status.size.saturating_sub(status.available),
        idle: status.available,
        waiting: status.waiting,
        most: status.max_size,
    }
}

async fn lend(pool: &Pool, patience: Duration, limit: Duration) -> Result<Lent, Fault> {
    let connecting = CONNECTING.min(limit);
    let timeouts =
        Timeouts { wait: Some(patience), create: Some(connecting), recycle: Some(connecting) };
    match pool.timeout_get(&timeouts).await {
        Ok(object) => Ok(Lent(object)),
        Err(PoolError::Timeout(TimeoutType::Wait)) => Err(Fault::NoneFree),
        Err(PoolError::Timeout(_)) => Err(Fault::NoAnswer),
        Err(PoolError::Backend(error)) => Err(error.into()),
        Err(PoolError::Closed) => {
            let what = "the store was closed; open it again";
            Err(Fault::Refused(postq_core::error::ErrorKind::Unavailable, what.to_owned()))
        }
        Err(error) => Err(Fault::internal(error.to_string())),
    }
}
