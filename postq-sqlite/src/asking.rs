//! After a whole app had been asked to wait: one job goes first and finds out whether it still has to.
//! See [`Block::asks_first`](postq_core::store::Block::asks_first).

use std::time::Duration;

use postq_core::id::JobId;
use rusqlite::params;

use crate::error::Fault;
use crate::rows::{blob, micros};
use crate::writer::Tx;

/// The blocks that ask first when they have ended; `Block::asks_first` in the store's words.
macro_rules! asks_first {
    () => {
        "until IS NOT NULL AND scope LIKE '%/' AND reason IN ('rate_limit', 'credits')"
    };
}

/// Blocks that are over: they have ended, and nothing is to be found out.
pub(crate) const OVER: &str = concat!("until <= ? AND NOT (", asks_first!(), ")");

/// The apps whose block has ended.
const ENDED: &str =
    concat!("SELECT DISTINCT scope FROM blocks WHERE until <= ? AND ", asks_first!());

/// The apps of which one job goes first, in one claim. Usually there is none.
#[derive(Debug)]
pub(crate) struct Asking(Vec<App>);

#[derive(Debug)]
struct App {
    scope: String,
    /// Its job was taken.
    has_job: bool,
}

impl Asking {
    /// Those whose block has ended and for which nobody goes yet.
    pub(crate) fn of(tx: &Tx<'_>) -> Result<Self, Fault> {
        let app = |row: &rusqlite::Row<'_>| Ok(App { scope: row.get(0)?, has_job: false });
        Ok(Self(tx.all(ENDED, [micros(tx.now)], app)?))
    }

    /// Whether a job of the lane may be taken: of these apps it is one.
    pub(crate) fn admits(&self, tx: &Tx<'_>, lane: i64) -> Result<bool, Fault> {
        Ok(self.app(tx, lane)?.is_none_or(|app| !self.0[app].has_job))
    }

    /// A job of the lane was taken: the rest of its app waits for it.
    pub(crate) fn taken(
        &mut self,
        tx: &Tx<'_>,
        lane: i64,
        job: JobId,
        lease: Duration,
    ) -> Result<(), Fault> {
        let Some(app) = self.app(tx, lane)? else { return Ok(()) };
        let App { scope, has_job } = &mut self.0[app];
        *has_job = true;
        let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        let until = micros(tx.now).saturating_add(lease);
        tx.run(
            concat!(
                "UPDATE blocks SET asking = ?, asking_until = ? WHERE scope = ? AND ",
                asks_first!()
            ),
            params![blob(job.as_uuid()), until, &*scope],
        )?;
        tx.apply_blocks(scope)
    }

    fn app(&self, tx: &Tx<'_>, lane: i64) -> Result<Option<usize>, Fault> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let name = "SELECT name FROM lanes WHERE id = ? AND free = 0";
        let name: Option<String> = tx.get(name, [lane], |row| row.get(0))?;
        Ok(name.and_then(|name| self.0.iter().position(|app| name.starts_with(&app.scope))))
    }
}

impl Tx<'_> {
    /// A job has settled. If it went first, its success lets its app go on, and any other end lets the
    /// next one go first.
    pub(crate) fn end_asking(&self, job: JobId, succeeded: bool) -> Result<(), Fault> {
        let job = blob(job.as_uuid());
        let scopes = "SELECT scope FROM blocks WHERE asking = ?";
        let scopes: Vec<String> = self.all(scopes, [job], |row| row.get(0))?;
        if scopes.is_empty() {
            return Ok(());
        }
        let end = match succeeded {
            true => "DELETE FROM blocks WHERE asking = ?",
            false => "UPDATE blocks SET asking = NULL, asking_until = NULL WHERE asking = ?",
        };
        self.run(end, [job])?;
        for scope in scopes {
            self.apply_blocks(&scope)?;
        }
        self.wake();
        Ok(())
    }
}
