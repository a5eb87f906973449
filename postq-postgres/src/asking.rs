//! After a whole app had been asked to wait: one job goes first and finds out whether it still has to.
//! See [`Block::asks_first`](postq_core::store::Block::asks_first).
//!
//! That it is one needs care where many claim at once. While an app is about to ask, ordinary claims
//! leave its lanes alone; a careful one, of which there is one at a time, locks all of them.

use std::time::Duration;

use postq_core::id::JobId;
use postq_core::job::{Job, Lane};
use uuid::Uuid;

use crate::args::args;
use crate::error::Fault;
use crate::lanes;
use crate::rows::micros;
use crate::tx::{Sql, Tx};

/// A block asks first once it has ended: `Block::asks_first` in the store's words, as the index has it.
pub(crate) const ASKS_FIRST: &str = "right(scope, 1) = '/' AND reason IN ('rate_limit', 'credits')";

/// Some app is about to ask, and nobody does so yet.
pub(crate) const TO_ASK: &str = "until <= now() AND right(scope, 1) = '/'
     AND reason IN ('rate_limit', 'credits') AND (asking_until IS NULL OR asking_until <= now())";

/// The lane `l` is of no app that is about to ask, or asks.
pub(crate) const LEFT_ALONE: &str = "NOT EXISTS (SELECT 1 FROM {s}.blocks b
     WHERE b.until <= now() AND right(b.scope, 1) = '/' AND b.reason IN ('rate_limit', 'credits')
       AND starts_with(l.name, b.scope))";

/// The apps that are about to ask, their lanes locked; other careful claims wait, and so do changes of
/// blocks.
#[derive(Debug, Default)]
pub(crate) struct Asking(Vec<String>);

impl Asking {
    /// Before anything else is locked.
    pub(crate) async fn lock(sql: Sql<'_>) -> Result<Self, Fault> {
        lanes::lock_blocks(sql, true).await?;
        let apps = format!("SELECT DISTINCT scope FROM {{s}}.blocks WHERE {TO_ASK}");
        let apps = sql.all(&apps, args![], |row| Ok(row.try_get("scope")?)).await?;
        if !apps.is_empty() {
            lanes::lock_scopes(sql, &apps).await?;
        }
        Ok(Self(apps))
    }

    /// The app of a lane, if it is one of these.
    pub(crate) fn app(&self, lane: &str) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|app| lane.starts_with(app))
    }

    /// Of each of these apps the first of these jobs goes first: the rest of its app waits for it.
    pub(crate) async fn taken(
        &self,
        sql: Sql<'_>,
        jobs: &[Job],
        lease: Duration,
    ) -> Result<(), Fault> {
        let note = format!(
            "UPDATE {{s}}.blocks SET asking = $2,
                 asking_until = clock_timestamp() + $3 * interval '1 microsecond'
             WHERE scope = $1 AND {ASKS_FIRST}"
        );
        let mut scopes = Vec::new();
        for job in jobs {
            let Some(app) =
                job.made.lane.as_ref().map(Lane::as_str).and_then(|lane| self.app(lane))
            else {
                continue;
            };
            sql.run(&note, args![app, job.id().as_uuid(), micros(lease)]).await?;
            scopes.push(app.to_owned());
        }
        if !scopes.is_empty() {
            lanes::apply_blocks(sql, &scopes).await?;
        }
        Ok(())
    }
}

/// Those of these jobs that went first, each with its app.
pub(crate) async fn asked(sql: Sql<'_>, jobs: &[Uuid]) -> Result<Vec<(JobId, String)>, Fault> {
    let asked = "SELECT asking, scope FROM {s}.blocks WHERE asking = ANY($1)";
    sql.all(asked, args![jobs.to_vec()], |row| {
        Ok((JobId::from_uuid(row.try_get("asking")?), row.try_get("scope")?))
    })
    .await
}

impl Tx<'_> {
    /// A job that went first has settled: its success lets its app go on, and any other end lets the
    /// next one go first.
    pub(crate) async fn end_asking(
        &self,
        job: JobId,
        app: &str,
        succeeded: bool,
    ) -> Result<(), Fault> {
        lanes::lock_blocks(self.sql, true).await?;
        let end = if succeeded {
            "DELETE FROM {s}.blocks WHERE asking = $1"
        } else {
            "UPDATE {s}.blocks SET asking = NULL, asking_until = NULL WHERE asking = $1"
        };
        self.sql.run(end, args![job.as_uuid()]).await?;
        self.touch_scope(app);
        self.wake();
        Ok(())
    }
}
