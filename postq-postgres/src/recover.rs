//! Finding what a claim took and nobody was told of: its answer was lost, or whoever had asked went away.
//! Otherwise nobody would work on it until its lease has ended.

use std::collections::BTreeSet;
use std::time::Duration;

use postq_core::error::StoreError;
use postq_core::feed::Claim;
use postq_core::job::{Job, Topic};
use tokio::time::Instant;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::args::args;
use crate::aside::{Broken, readable};
use crate::error::Fault;
use crate::rows::micros;
use crate::store::PgStore;
use crate::transition::job;
use crate::tx::{Tx, write};

/// A lost claim is looked for so long: the server may finish it after we have given up waiting.
const LOOKED_FOR: Duration = Duration::from_secs(120);

/// More lost claims than this are left to the sweep that finds ended leases.
const MOST: usize = 1_000;

/// A claim of which it is not known whether it took something.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    id: Uuid,
    topic: Topic,
    at: Instant,
}

/// What claims took.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) claims: Vec<Uuid>,
    pub(crate) jobs: Vec<Job>,
    /// Those that cannot be read.
    pub(crate) broken: Broken,
}

impl Taken {
    /// With what another claim took.
    pub(crate) fn and(&mut self, other: Self) {
        self.claims.extend(other.claims);
        self.jobs.extend(other.jobs);
        self.broken.extend(other.broken);
    }
}

/// The claims whose jobs nobody has been given yet, while a call is under way. What is left of them at
/// its end, however it ends, the next call of this process looks for.
pub(crate) struct Undelivered<'a> {
    store: &'a PgStore,
    claims: Vec<Lost>,
}

impl<'a> Undelivered<'a> {
    /// Those that earlier calls have left.
    pub(crate) fn of(store: &'a PgStore, topic: &Topic) -> Self {
        let mut lost = store.lost();
        let (ours, others) = std::mem::take(&mut *lost)
            .into_iter()
            .filter(|claim| claim.at.elapsed() < LOOKED_FOR)
            .partition(|claim| claim.topic == *topic);
        *lost = others;
        drop(lost);
        Self { store, claims: ours }
    }

    /// Begins a new one.
    pub(crate) fn begin(&mut self, topic: &Topic) -> Uuid {
        let id = Uuid::now_v7();
        self.claims.push(Lost { id, topic: topic.clone(), at: Instant::now() });
        id
    }

    /// The jobs of these claims are given out, or there were none.
    pub(crate) fn delivered(&mut self, claims: &[Uuid]) {
        self.claims.retain(|claim| !claims.contains(&claim.id));
    }

    /// What these claims took: under a new lease it is this claim's.
    pub(crate) async fn find(&self, claim: &Claim) -> Result<Taken, StoreError> {
        let ids: Vec<Uuid> = self.claims.iter().map(|claim| claim.id).collect();
        if ids.is_empty() {
            return Ok(Taken::default());
        }
        write!(self.store, "look for lost claims", |tx| take_up(&tx, claim, &ids))
    }
}

impl Drop for Undelivered<'_> {
    fn drop(&mut self) {
        let mut lost = self.store.lost();
        let room = MOST.saturating_sub(lost.len());
        lost.extend(self.claims.drain(..).take(room));
    }
}

async fn take_up(tx: &Tx<'_>, claim: &Claim, ids: &[Uuid]) -> Result<Taken, Fault> {
    // The node is the same: only the process that claimed knows the claim's id.
    let held =
        "UPDATE {s}.running SET lease_until = clock_timestamp() + $2 * interval '1 microsecond'
         WHERE claim = ANY($1) RETURNING job_id, claim";
    let (ids, lease) = (ids.to_vec(), micros(claim.lease));
    let read =
        |row: &Row| Ok((row.try_get::<_, Uuid>("job_id")?, row.try_get::<_, Uuid>("claim")?));
    let (held, claims): (Vec<_>, BTreeSet<_>) =
        tx.sql.all(held, args![ids, lease], read).await?.into_iter().unzip();
    let jobs = "SELECT * FROM {s}.jobs WHERE phase = 'running' AND id = ANY($1)
         ORDER BY -(priority::integer), planned_at, id";
    let (jobs, broken) = readable(&tx.sql.rows(jobs, args![held]).await?, job)?;
    if !jobs.is_empty() {
        tracing::info!(jobs = jobs.len(), "found what a claim had taken whose answer was lost");
    }
    Ok(Taken { claims: claims.into_iter().collect(), jobs, broken })
}
