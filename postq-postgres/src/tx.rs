//! Statements and transactions: one wrapper for what is sent, one loop for when it is sent again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Transaction};

use crate::args::Arg;
use crate::error::Fault;

/// How often a piece of work is tried in all. Every piece is safe to repeat: ids and keys are chosen
/// before the first try.
const TRIES: u32 = 4;

/// The wait before the second try; four times as long before each further one, and jittered.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// Sends statements. `{s}` in a statement stands for the schema.
#[derive(Clone, Copy)]
pub(crate) struct Sql<'a> {
    client: &'a Client,
    schema: &'a str,
}

impl<'a> Sql<'a> {
    pub(crate) fn new(client: &'a Client, schema: &'a str) -> Self {
        Self { client, schema }
    }

    /// All rows.
    pub(crate) async fn rows(&self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, Fault> {
        Ok(self.client.query_typed(&self.text(sql), &typed(args)).await?)
    }

    /// All rows, read.
    pub(crate) async fn all<T>(
        &self,
        sql: &str,
        args: &[Arg<'_>],
        read: impl Fn(&Row) -> Result<T, Fault> + Send,
    ) -> Result<Vec<T>, Fault> {
        self.rows(sql, args).await?.iter().map(read).collect()
    }

    /// The first row, if there is one.
    pub(crate) async fn first(&self, sql: &str, args: &[Arg<'_>]) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// Whether there is a row.
    pub(crate) async fn has(&self, sql: &str, args: &[Arg<'_>]) -> Result<bool, Fault> {
        Ok(!self.rows(sql, args).await?.is_empty())
    }

    /// Runs it and tells how many rows it changed.
    pub(crate) async fn run(&self, sql: &str, args: &[Arg<'_>]) -> Result<u64, Fault> {
        Ok(self.client.execute_typed(&self.text(sql), &typed(args)).await?)
    }

    /// The server's time.
    pub(crate) async fn now(&self) -> Result<DateTime<Utc>, Fault> {
        let row = self.client.query_typed_one("SELECT clock_timestamp()", &[]).await?;
        Ok(row.try_get(0)?)
    }

    fn text(&self, sql: &str) -> String {
        sql.replace("{s}", self.schema)
    }
}

/// The parameters as the driver takes them.
pub(crate) fn typed<'a>(args: &[Arg<'a>]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    args.iter().map(|arg| (arg.sql(), arg.kind())).collect()
}

/// Sends statements together: each goes out before the answer to the one before is in, and the server
/// runs them in this order.
macro_rules! together {
    ($($work:expr),* $(,)?) => { tokio::try_join!(biased; $(async { $work.await }),*) };
}
pub(crate) use together;

/// What follows from a transaction once its statements are sent, and once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Lanes in which something changed, and by how much the number of their running jobs did.
    lanes: BTreeMap<i64, i32>,
    /// Lanes, or all lanes of apps, whose blocks have changed.
    scopes: Vec<String>,
    /// A job may be claimable that was not.
    pub(crate) jobs: bool,
    /// There may be something to plan that there was not.
    pub(crate) schedules: bool,
}

/// An open transaction. Statements that are sent together travel together.
pub(crate) struct Tx<'a> {
    pub(crate) sql: Sql<'a>,
    effects: Mutex<Effects>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(sql: Sql<'a>) -> Self {
        Self { sql, effects: Mutex::default() }
    }

    /// Wakes workers once this is committed.
    pub(crate) fn wake(&self) {
        self.with_effects(|effects| effects.jobs = true);
    }

    /// Wakes planners once this is committed.
    pub(crate) fn wake_planners(&self) {
        self.with_effects(|effects| effects.schedules = true);
    }

    /// Notes that something changed in a lane.
    pub(crate) fn touch(&self, lane: i64, running: i32) {
        self.with_effects(|effects| *effects.lanes.entry(lane).or_default() += running);
    }

    /// Notes that the blocks of a lane, or of all lanes of an app, have changed.
    pub(crate) fn touch_scope(&self, scope: &str) {
        self.with_effects(|effects| effects.scopes.push(scope.to_owned()));
    }

    /// Brings the touched lanes up to date. Comes last: lanes are locked after everything else, and by
    /// id, so that nobody waits in a circle.
    pub(crate) async fn finish(self) -> Result<Effects, Fault> {
        let effects = self.effects.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !effects.lanes.is_empty() || !effects.scopes.is_empty() {
            let (ids, changes): (Vec<_>, Vec<_>) =
                effects.lanes.iter().map(|(id, change)| (*id, *change)).unzip();
            crate::lanes::lock_and_refresh(self.sql, &ids, &changes, &effects.scopes).await?;
        }
        Ok(effects)
    }

    fn with_effects(&self, change: impl FnOnce(&mut Effects)) {
        change(&mut self.effects.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A connection on loan.
pub(crate) struct Lent(pub(crate) Object);

impl Lent {
    pub(crate) fn client(&self) -> &Client {
        &self.0
    }

    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_>, Fault> {
        let client: &mut Client = &mut self.0;
        Ok(client.transaction().await?)
    }

    /// Gives it up: it does not answer, and nobody knows what it is in the middle of.
    pub(crate) fn give_up(self) -> Fault {
        drop(Object::take(self.0));
        Fault::NoAnswer
    }
}

/// Counts the tries of a piece of work.
#[derive(Debug, Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Waits before the next try; gives the fault back if there is none.
    pub(crate) async fn after(&mut self, fault: Fault, action: &str) -> Result<(), Fault> {
        self.0 += 1;
        if self.0 >= TRIES || !fault.can_repeat() {
            return Err(fault);
        }
        tracing::debug!(action, %fault, tried = self.0, "trying again");
        let wait = FIRST_WAIT * 4u32.pow(self.0 - 1);
        tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.5))).await;
        Ok(())
    }
}

/// Runs a piece of work in a transaction, again where that can help, and tells of what it changed.
macro_rules! write {
    ($store:expr, $action:expr, |$tx:ident| $work:expr) => {{
        let mut tries = $crate::tx::Tries::default();
        loop {
            let tried = match $store.lend().await {
                Err(fault) => Err(fault),
                Ok(mut lent) => {
                    let work = async {
                        let transaction = lent.begin().await?;
                        let sql = $crate::tx::Sql::new(transaction.client(), $store.schema());
                        let $tx = $crate::tx::Tx::new(sql);
                        let done = $work.await?;
                        let effects = $tx.finish().await?;
                        transaction.commit().await?;
                        Ok::<_, $crate::error::Fault>((done, effects))
                    };
                    match tokio::time::timeout($store.limit(), work).await {
                        Ok(tried) => tried,
                        Err(_) => Err(lent.give_up()),
                    }
                }
            };
            match tried {
                Ok((done, effects)) => {
                    $store.committed(&effects);
                    break Ok(done);
                }
                Err(fault) => {
                    if let Err(fault) = tries.after(fault, $action).await {
                        break Err(fault.during($action));
                    }
                }
            }
        }
    }};
}
pub(crate) use write;

/// Reads outside of a transaction, again where that can help.
macro_rules! read {
    ($store:expr, $action:expr, |$sql:ident| $work:expr) => {{
        let mut tries = $crate::tx::Tries::default();
        loop {
            let tried = match $store.lend().await {
                Err(fault) => Err(fault),
                Ok(lent) => {
                    let work = async {
                        let $sql = $crate::tx::Sql::new(lent.client(), $store.schema());
                        $work.await
                    };
                    match tokio::time::timeout($store.limit(), work).await {
                        Ok(tried) => tried,
                        Err(_) => Err(lent.give_up()),
                    }
                }
            };
            match tried {
                Ok(done) => break Ok(done),
                Err(fault) => {
                    if let Err(fault) = tries.after(fault, $action).await {
                        break Err(fault.during($action));
                    }
                }
            }
        }
    }};
}
pub(crate) use read;
