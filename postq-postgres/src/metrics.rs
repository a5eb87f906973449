//! `MetricsStore`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use postq_core::error::StoreError;
use postq_core::id::{AccountId, PostId, PublicationId, TenantId};
use postq_core::job::Applied;
use postq_core::metrics::{
    Added, DayTotals, DuePolls, Followed, MetricsStore, Reading, Snapshot, TotalKey, by_day,
    follows,
};
use postq_core::price::{CallKind, Spent, add_up};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::args::args;
use crate::error::Fault;
use crate::rows::{at_most, json, kept, whole, word, word_of};
use crate::store::PgStore;
use crate::tx::{Tx, read, write};

/// A publication with its latest counts, to be followed by a condition.
const FOLLOWED: &str = "SELECT p.id, p.tenant_id, p.account_id, p.post_id, p.remote_id, p.url,
        p.published_at, p.poll_at, m.at, m.state, m.public, m.private
    FROM {s}.published_posts p LEFT JOIN {s}.metrics_latest m ON m.publication_id = p.id ";

#[async_trait]
impl MetricsStore for PgStore {
    async fn insert(&self, snapshots: &[Snapshot]) -> Result<(), StoreError> {
        write!(self, "insert snapshots", |tx| insert(&tx, snapshots))
    }

    async fn of(&self, publication: PublicationId) -> Result<Vec<Snapshot>, StoreError> {
        let load = "SELECT * FROM {s}.metrics_snapshots WHERE publication_id = $1 ORDER BY at";
        let (args, read) = (args![publication.as_uuid()], |row: &Row| snapshot(row, publication));
        read!(self, "load snapshots", |sql| sql.all(load, args, read))
    }

    async fn find(&self, ids: &[PublicationId]) -> Result<Vec<Followed>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let find = format!("{FOLLOWED} WHERE p.id = ANY($1)");
        read!(self, "load metrics", |sql| sql.all(&find, args![ids], followed))
    }

    async fn of_account(
        &self,
        account: AccountId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Followed>, StoreError> {
        let list = "SELECT p.id, p.tenant_id, p.account_id, p.post_id, p.remote_id, p.url,
                p.published_at, p.poll_at, m.at, m.state, m.public, m.private
            FROM {s}.metrics_latest m JOIN {s}.published_posts p ON p.id = m.publication_id
            WHERE m.account_id = $1 AND m.published_at >= $2 AND m.published_at < $3
            ORDER BY m.published_at DESC, m.publication_id DESC LIMIT $4";
        let args = args![account.as_uuid(), span.start, span.end, at_most(limit)];
        read!(self, "list metrics", |sql| sql.all(list, args, followed))
    }

    async fn unplanned(&self, limit: usize) -> Result<Vec<Followed>, StoreError> {
        let list = format!("{FOLLOWED} WHERE p.poll_at = $1 LIMIT $2");
        let args = args![Followed::UNPLANNED, at_most(limit)];
        read!(self, "list unplanned polls", |sql| sql.all(&list, args, followed))
    }

    async fn due(&self, until: DateTime<Utc>, limit: usize) -> Result<Vec<DuePolls>, StoreError> {
        let list = "SELECT tenant_id, account_id, min(poll_at) AS poll_at
            FROM {s}.published_posts WHERE poll_at > $1 AND poll_at <= $2
            GROUP BY tenant_id, account_id LIMIT $3";
        let args = args![Followed::UNPLANNED, until, at_most(limit)];
        read!(self, "list due polls", |sql| sql.all(list, args, due))
    }

    async fn polls(
        &self,
        account: AccountId,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Followed>, StoreError> {
        let list = format!(
            "{FOLLOWED} WHERE p.account_id = $1 AND p.poll_at > $2 AND p.poll_at <= $3
             ORDER BY p.poll_at, p.id LIMIT $4"
        );
        let args = args![account.as_uuid(), Followed::UNPLANNED, until, at_most(limit)];
        read!(self, "list an account's due polls", |sql| sql.all(&list, args, followed))
    }

    async fn record(&self, readings: &[Reading]) -> Result<Vec<Applied>, StoreError> {
        write!(self, "record metrics", |tx| record(&tx, readings))
    }

    async fn spent(&self, month: NaiveDate) -> Result<Vec<Spent>, StoreError> {
        let list = "SELECT * FROM {s}.spending WHERE month = $1";
        let mut all = read!(self, "add up spending", |sql| sql.all(list, args![month], spent))?;
        all.sort_by(|a, b| (&a.platform, a.kind).cmp(&(&b.platform, b.kind)));
        Ok(all)
    }

    async fn totals(
        &self,
        account: AccountId,
        days: &Range<NaiveDate>,
    ) -> Result<Vec<DayTotals>, StoreError> {
        let list = "SELECT day, name, made, gained FROM {s}.metrics_days
            WHERE account_id = $1 AND day >= $2 AND day < $3";
        let args = args![account.as_uuid(), days.start, days.end];
        let rows = read!(self, "add up metrics", |sql| sql.all(list, args, total));
        rows.map(by_day)
    }

    async fn version(&self, account: AccountId) -> Result<u64, StoreError> {
        let find = "SELECT version FROM {s}.metrics_versions WHERE account_id = $1";
        let args = args![account.as_uuid()];
        let row = read!(self, "read the version of metrics", |sql| sql.first(find, args))?;
        let version = row.map(|row| row.try_get::<_, i64>("version")).transpose();
        let version = version.map_err(|error| Fault::from(error).during("read the version"))?;
        Ok(version.unwrap_or_default().unsigned_abs())
    }
}

/// What is locked of a publication while its metrics change.
struct Locked {
    account: Uuid,
    published_at: DateTime<Utc>,
    poll_at: Option<DateTime<Utc>>,
}

/// Locks publications, by id: whoever changes their metrics comes through here.
async fn lock(
    tx: &Tx<'_>,
    ids: impl Iterator<Item = PublicationId>,
) -> Result<BTreeMap<PublicationId, Locked>, Fault> {
    let ids: Vec<Uuid> = ids.map(|id| id.as_uuid()).collect();
    let lock = "SELECT id, account_id, published_at, poll_at FROM {s}.published_posts
        WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    let rows = tx.sql.rows(lock, args![ids]).await?;
    let locked = rows.iter().map(|row| {
        let locked = Locked {
            account: row.try_get("account_id")?,
            published_at: row.try_get("published_at")?,
            poll_at: row.try_get("poll_at")?,
        };
        Ok((PublicationId::from_uuid(row.try_get("id")?), locked))
    });
    locked.collect()
}

async fn insert(tx: &Tx<'_>, snapshots: &[Snapshot]) -> Result<(), Fault> {
    let locked = lock(tx, snapshots.iter().map(|snapshot| snapshot.publication_id)).await?;
    take_in(tx, &locked, snapshots.iter()).await
}

async fn record(tx: &Tx<'_>, readings: &[Reading]) -> Result<Vec<Applied>, Fault> {
    let mut locked = lock(tx, readings.iter().map(|reading| reading.publication_id)).await?;
    let (mut answers, mut applied) = (Vec::with_capacity(readings.len()), Vec::new());
    for reading in readings {
        let answer = match locked.get_mut(&reading.publication_id) {
            None => Applied::Gone,
            Some(known) if known.poll_at == Some(whole(reading.poll_at)) => {
                known.poll_at = reading.next.map(whole);
                applied.push(reading);
                Applied::Applied
            }
            Some(_) => Applied::Stale,
        };
        answers.push(answer);
    }
    let ids = applied.iter().map(|reading| reading.publication_id.as_uuid());
    let args = args![
        ids.collect::<Vec<_>>(),
        applied.iter().map(|reading| reading.next.map(whole)).collect::<Vec<_>>(),
    ];
    let plan = "UPDATE {s}.published_posts p SET poll_at = new.poll_at
        FROM unnest($1, $2) AS new (id, poll_at) WHERE p.id = new.id";
    tx.sql.run(plan, args).await?;
    take_in(tx, &locked, applied.iter().filter_map(|reading| reading.snapshot.as_ref())).await?;
    spend(tx, &add_up(applied.iter().flat_map(|reading| &reading.spent))).await?;
    Ok(answers)
}

/// Adds to what is spent, in the order of its keys, so that nobody waits in a circle.
async fn spend(tx: &Tx<'_>, all: &[Spent]) -> Result<(), Fault> {
    if all.is_empty() {
        return Ok(());
    }
    let add = "INSERT INTO {s}.spending AS s (month, platform, kind, calls, micros)
        SELECT * FROM unnest($1, $2, $3, $4, $5) ON CONFLICT (month, platform, kind)
        DO UPDATE SET calls = s.calls + excluded.calls, micros = s.micros + excluded.micros";
    let args = args![
        all.iter().map(|spent| spent.month).collect::<Vec<_>>(),
        all.iter().map(|spent| spent.platform.as_str()).collect::<Vec<_>>(),
        all.iter().map(|spent| spent.kind.as_str()).collect::<Vec<_>>(),
        all.iter().map(|spent| number(spent.calls)).collect::<Vec<_>>(),
        all.iter().map(|spent| number(spent.micros)).collect::<Vec<_>>(),
    ];
    tx.sql.run(add, args).await?;
    Ok(())
}

/// So much that nobody spends it.
fn number(count: u64) -> i64 {
    const MOST: i64 = 1 << 53;
    i64::try_from(count).map_or(MOST, |count| count.min(MOST))
}

/// Keeps snapshots of locked publications, and what follows from them.
async fn take_in(
    tx: &Tx<'_>,
    locked: &BTreeMap<PublicationId, Locked>,
    snapshots: impl Iterator<Item = &Snapshot>,
) -> Result<(), Fault> {
    let there = snapshots.filter(|snapshot| locked.contains_key(&snapshot.publication_id));
    let new = keep(tx, there.cloned().map(stored).collect()).await?;
    if new.is_empty() {
        return Ok(());
    }
    let mut latest = load_latest(tx, &new).await?;
    let (mut changed, mut versions) = (BTreeMap::new(), BTreeMap::new());
    let mut totals: BTreeMap<(Uuid, TotalKey), Added> = BTreeMap::new();
    for snapshot in &new {
        let id = snapshot.publication_id;
        let of = &locked[&id];
        *versions.entry(of.account).or_insert(0i64) += 1;
        let Some(follows) = follows(of.published_at, latest.get(&id), snapshot) else { continue };
        for (key, added) in follows.added {
            *totals.entry((of.account, key)).or_default() += added;
        }
        changed.insert(id, (of.account, of.published_at));
        latest.insert(id, follows.latest);
    }
    put_latest(tx, &changed, &latest).await?;
    add(tx, &totals).await?;
    let raise = "INSERT INTO {s}.metrics_versions AS v (account_id, version)
        SELECT * FROM unnest($1, $2) ORDER BY 1
        ON CONFLICT (account_id) DO UPDATE SET version = v.version + excluded.version";
    let (accounts, raised): (Vec<Uuid>, Vec<i64>) = versions.into_iter().unzip();
    tx.sql.run(raise, args![accounts, raised]).await?;
    Ok(())
}

/// A snapshot as it comes back: its time in whole microseconds, names without NUL.
fn stored(mut snapshot: Snapshot) -> Snapshot {
    snapshot.at = whole(snapshot.at);
    for counts in [&mut snapshot.public, &mut snapshot.private] {
        if counts.keys().any(|name| name.contains('\0')) {
            *counts = counts.iter().map(|(name, n)| (kept(name).into_owned(), *n)).collect();
        }
    }
    snapshot
}

/// Keeps those that are not there yet; answers which they are, the oldest of each publication first.
async fn keep(tx: &Tx<'_>, mut snapshots: Vec<Snapshot>) -> Result<Vec<Snapshot>, Fault> {
    snapshots.sort_by_key(|snapshot| (snapshot.publication_id, snapshot.at));
    snapshots.dedup_by_key(|snapshot| (snapshot.publication_id, snapshot.at));
    let columns = Columns::of(snapshots.iter())?;
    let keep = "INSERT INTO {s}.metrics_snapshots (publication_id, at, state, public, private)
        SELECT * FROM unnest($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
        RETURNING publication_id, at";
    let args = args![columns.ids, columns.times, columns.states, columns.publics, columns.privates];
    let read = |row: &Row| {
        let at: DateTime<Utc> = row.try_get("at")?;
        Ok((PublicationId::from_uuid(row.try_get("publication_id")?), at))
    };
    let made: BTreeSet<_> = tx.sql.all(keep, args, read).await?.into_iter().collect();
    snapshots.retain(|snapshot| made.contains(&(snapshot.publication_id, snapshot.at)));
    Ok(snapshots)
}

/// Snapshots by columns.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    times: Vec<DateTime<Utc>>,
    states: Vec<String>,
    publics: Vec<String>,
    privates: Vec<String>,
}

impl Columns {
    fn of<'a>(snapshots: impl Iterator<Item = &'a Snapshot>) -> Result<Self, Fault> {
        let mut columns = Self::default();
        for snapshot in snapshots {
            columns.ids.push(snapshot.publication_id.as_uuid());
            columns.times.push(snapshot.at);
            columns.states.push(word_of(snapshot.state)?);
            columns.publics.push(serde_json::to_string(&snapshot.public)?);
            columns.privates.push(serde_json::to_string(&snapshot.private)?);
        }
        Ok(columns)
    }
}

async fn load_latest(
    tx: &Tx<'_>,
    of: &[Snapshot],
) -> Result<BTreeMap<PublicationId, Snapshot>, Fault> {
    let ids: Vec<Uuid> = of.iter().map(|snapshot| snapshot.publication_id.as_uuid()).collect();
    let load = "SELECT publication_id, at, state, public, private FROM {s}.metrics_latest
        WHERE publication_id = ANY($1)";
    let read = |row: &Row| {
        let id = PublicationId::from_uuid(row.try_get("publication_id")?);
        Ok((id, snapshot(row, id)?))
    };
    Ok(tx.sql.all(load, args![ids], read).await?.into_iter().collect())
}

async fn put_latest(
    tx: &Tx<'_>,
    changed: &BTreeMap<PublicationId, (Uuid, DateTime<Utc>)>,
    latest: &BTreeMap<PublicationId, Snapshot>,
) -> Result<(), Fault> {
    let columns = Columns::of(changed.keys().filter_map(|id| latest.get(id)))?;
    let (accounts, published): (Vec<Uuid>, Vec<DateTime<Utc>>) = changed.values().copied().unzip();
    let put = "INSERT INTO {s}.metrics_latest
            (publication_id, account_id, published_at, at, state, public, private)
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (publication_id) DO UPDATE SET at = excluded.at, state = excluded.state,
            public = excluded.public, private = excluded.private";
    let args = args![
        columns.ids,
        accounts,
        published,
        columns.times,
        columns.states,
        columns.publics,
        columns.privates,
    ];
    tx.sql.run(put, args).await?;
    Ok(())
}

/// Adds to totals in the order of their keys, so that nobody waits in a circle.
async fn add(tx: &Tx<'_>, totals: &BTreeMap<(Uuid, TotalKey), Added>) -> Result<(), Fault> {
    let add = "INSERT INTO {s}.metrics_days AS d (account_id, day, name, made, gained)
        SELECT * FROM unnest($1, $2, $3, $4, $5) AS new (account, day, name, made, gained)
        ORDER BY account, day, name COLLATE \"C\"
        ON CONFLICT (account_id, day, name)
        DO UPDATE SET made = d.made + excluded.made, gained = d.gained + excluded.gained";
    let args = args![
        totals.keys().map(|(account, _)| *account).collect::<Vec<_>>(),
        totals.keys().map(|(_, (day, _))| *day).collect::<Vec<_>>(),
        totals.keys().map(|(_, (_, name))| name.as_str()).collect::<Vec<_>>(),
        totals.values().map(|added| added.made).collect::<Vec<_>>(),
        totals.values().map(|added| added.gained).collect::<Vec<_>>(),
    ];
    tx.sql.run(add, args).await?;
    Ok(())
}

fn total(row: &Row) -> Result<(TotalKey, Added), Fault> {
    let key = (row.try_get("day")?, row.try_get("name")?);
    Ok((key, Added { made: row.try_get("made")?, gained: row.try_get("gained")? }))
}

fn spent(row: &Row) -> Result<Spent, Fault> {
    let count = |name| row.try_get::<_, i64>(name).map(i64::unsigned_abs);
    Ok(Spent {
        month: row.try_get("month")?,
        platform: word(row, "platform")?,
        kind: word::<CallKind>(row, "kind")?,
        calls: count("calls")?,
        micros: count("micros")?,
    })
}

fn due(row: &Row) -> Result<DuePolls, Fault> {
    Ok(DuePolls {
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        account_id: AccountId::from_uuid(row.try_get("account_id")?),
        earliest: row.try_get("poll_at")?,
    })
}

fn snapshot(row: &Row, publication_id: PublicationId) -> Result<Snapshot, Fault> {
    Ok(Snapshot {
        publication_id,
        at: row.try_get("at")?,
        state: word(row, "state")?,
        public: json(row, "public")?,
        private: json(row, "private")?,
    })
}

fn followed(row: &Row) -> Result<Followed, Fault> {
    let id = PublicationId::from_uuid(row.try_get("id")?);
    let has_metrics: Option<DateTime<Utc>> = row.try_get("at")?;
    let latest = match has_metrics {
        Some(_) => Some(snapshot(row, id)?),
        None => None,
    };
    Ok(Followed {
        id,
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        account_id: AccountId::from_uuid(row.try_get("account_id")?),
        post_id: PostId::from_uuid(row.try_get("post_id")?),
        remote_id: row.try_get("remote_id")?,
        url: row.try_get("url")?,
        published_at: row.try_get("published_at")?,
        poll_at: row.try_get("poll_at")?,
        latest,
    })
}
