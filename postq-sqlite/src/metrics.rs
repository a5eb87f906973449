//! `MetricsStore`.

use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use postq_core::error::StoreError;
use postq_core::id::{AccountId, PostId, PublicationId, TenantId};
use postq_core::job::Applied;
use postq_core::metrics::{
    Added, DayTotals, DuePolls, Followed, Follows, MetricsStore, Reading, Snapshot, TotalKey,
    by_day, follows,
};
use postq_core::price::{CallKind, Spent, add_up};
use rusqlite::types::FromSqlError;
use rusqlite::{Row, params};

use crate::error::Fault;
use crate::rows::{
    at_most, blob, hex_list, json, micros, some_micros, some_time, time, uuid, word, word_of,
};
use crate::store::SqliteStore;
use crate::writer::Tx;

/// A publication with its latest counts, to be followed by a condition.
const FOLLOWED: &str = "SELECT p.id, p.tenant_id, p.account_id, p.post_id, p.remote_id, p.url,
        p.published_at, p.poll_at, m.at, m.state, m.public, m.private
    FROM published_posts p LEFT JOIN metrics_latest m ON m.publication_id = p.id ";

/// The newest publications of an account that have metrics.
const OF_ACCOUNT: &str = "SELECT p.id, p.tenant_id, p.account_id, p.post_id, p.remote_id, p.url,
        p.published_at, p.poll_at, m.at, m.state, m.public, m.private
    FROM metrics_latest m INDEXED BY metrics_latest_by_time
        CROSS JOIN published_posts p ON p.id = m.publication_id
    WHERE m.account_id = ? AND m.published_at >= ? AND m.published_at < ?
    ORDER BY m.published_at DESC, m.publication_id DESC LIMIT ?";

/// The accounts that have polls due.
const DUE: &str = "SELECT tenant_id, account_id, min(poll_at) AS poll_at
    FROM published_posts INDEXED BY published_polls
    WHERE poll_at > 0 AND poll_at <= ? GROUP BY account_id LIMIT ?";

/// What nobody has planned.
fn unplanned() -> String {
    format!("{FOLLOWED} WHERE p.poll_at = 0 LIMIT ?")
}

/// What is due of an account, the earliest first.
fn polls() -> String {
    format!(
        "{FOLLOWED} WHERE p.account_id = ? AND p.poll_at > 0 AND p.poll_at <= ?
         ORDER BY p.poll_at, p.id LIMIT ?"
    )
}

#[async_trait]
impl MetricsStore for SqliteStore {
    async fn insert(&self, snapshots: &[Snapshot]) -> Result<(), StoreError> {
        let snapshots = snapshots.to_vec();
        self.write("insert snapshots", move |tx| {
            snapshots.iter().try_for_each(|snapshot| tx.take_in(snapshot))
        })
        .await
    }

    async fn of(&self, publication: PublicationId) -> Result<Vec<Snapshot>, StoreError> {
        let id = blob(publication.as_uuid());
        let sql = "SELECT * FROM metrics_snapshots WHERE publication_id = ? ORDER BY at";
        self.read("load snapshots", move |tx| {
            Ok(tx.all(sql, [id], |row| snapshot(row, publication))?)
        })
        .await
    }

    async fn find(&self, ids: &[PublicationId]) -> Result<Vec<Followed>, StoreError> {
        let ids = hex_list(ids.iter().map(|id| id.as_uuid()));
        let sql = format!("{FOLLOWED} WHERE p.id IN (SELECT unhex(value) FROM json_each(?))");
        self.read("load metrics", move |tx| Ok(tx.all(&sql, [ids], followed)?)).await
    }

    async fn of_account(
        &self,
        account: AccountId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Followed>, StoreError> {
        let (from, until) = (micros(span.start), micros(span.end));
        self.read("list metrics", move |tx| {
            let key = params![blob(account.as_uuid()), from, until, at_most(limit)];
            Ok(tx.all(OF_ACCOUNT, key, followed)?)
        })
        .await
    }

    async fn unplanned(&self, limit: usize) -> Result<Vec<Followed>, StoreError> {
        let (sql, limit) = (unplanned(), at_most(limit));
        self.read("list unplanned polls", move |tx| Ok(tx.all(&sql, [limit], followed)?)).await
    }

    async fn due(&self, until: DateTime<Utc>, limit: usize) -> Result<Vec<DuePolls>, StoreError> {
        self.read("list due polls", move |tx| {
            Ok(tx.all(DUE, params![micros(until), at_most(limit)], due)?)
        })
        .await
    }

    async fn polls(
        &self,
        account: AccountId,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Followed>, StoreError> {
        let sql = polls();
        self.read("list an account's due polls", move |tx| {
            let key = params![blob(account.as_uuid()), micros(until), at_most(limit)];
            Ok(tx.all(&sql, key, followed)?)
        })
        .await
    }

    async fn record(&self, readings: &[Reading]) -> Result<Vec<Applied>, StoreError> {
        let readings = readings.to_vec();
        self.write("record metrics", move |tx| {
            let answers = readings.iter().map(|reading| tx.record_reading(reading));
            let answers = answers.collect::<Result<Vec<_>, _>>()?;
            let applied = readings.iter().zip(&answers).filter(|(_, a)| **a == Applied::Applied);
            tx.spend(&add_up(applied.flat_map(|(reading, _)| &reading.spent)))?;
            Ok(answers)
        })
        .await
    }

    async fn spent(&self, month: NaiveDate) -> Result<Vec<Spent>, StoreError> {
        let sql = "SELECT * FROM spending WHERE month = ?";
        self.read("add up spending", move |tx| {
            let mut spent = tx.all(sql, [day_number(month)], spent)?;
            spent.sort_by(|a, b| (&a.platform, a.kind).cmp(&(&b.platform, b.kind)));
            Ok(spent)
        })
        .await
    }

    async fn totals(
        &self,
        account: AccountId,
        days: &Range<NaiveDate>,
    ) -> Result<Vec<DayTotals>, StoreError> {
        let (from, until) = (day_number(days.start), day_number(days.end));
        let sql = "SELECT day, name, made, gained FROM metrics_days
                   WHERE account_id = ? AND day >= ? AND day < ?";
        self.read("add up metrics", move |tx| {
            let key = params![blob(account.as_uuid()), from, until];
            Ok(by_day(tx.all(sql, key, total)?))
        })
        .await
    }

    async fn version(&self, account: AccountId) -> Result<u64, StoreError> {
        let sql = "SELECT version FROM metrics_versions WHERE account_id = ?";
        self.read("read the version of metrics", move |tx| {
            let version = tx.get(sql, [blob(account.as_uuid())], |row| row.get::<_, i64>(0))?;
            Ok(version.unwrap_or_default().unsigned_abs())
        })
        .await
    }
}

impl Tx<'_> {
    fn record_reading(&self, reading: &Reading) -> Result<Applied, Fault> {
        let id = blob(reading.publication_id.as_uuid());
        let apply = "UPDATE published_posts SET poll_at = ? WHERE id = ? AND poll_at = ?";
        if self.run(apply, params![some_micros(reading.next), id, micros(reading.poll_at)])? == 0 {
            let there = self.has("SELECT 1 FROM published_posts WHERE id = ?", [id])?;
            return Ok(if there { Applied::Stale } else { Applied::Gone });
        }
        if let Some(snapshot) = &reading.snapshot {
            self.take_in(snapshot)?;
        }
        Ok(Applied::Applied)
    }

    fn spend(&self, all: &[Spent]) -> Result<(), Fault> {
        let add = "INSERT INTO spending (month, platform, kind, calls, micros)
             VALUES (?, ?, ?, ?, ?) ON CONFLICT (month, platform, kind)
             DO UPDATE SET calls = calls + excluded.calls, micros = micros + excluded.micros";
        for spent in all {
            let new = params![
                day_number(spent.month),
                spent.platform.as_str(),
                word_of(spent.kind)?,
                number(spent.calls),
                number(spent.micros),
            ];
            self.run(add, new)?;
        }
        Ok(())
    }

    /// Keeps a snapshot, and what follows from it.
    fn take_in(&self, snapshot: &Snapshot) -> Result<(), Fault> {
        let publication = snapshot.publication_id;
        let id = blob(publication.as_uuid());
        let of = "SELECT account_id, published_at FROM published_posts WHERE id = ?";
        let of = self.get(of, [id], |row| {
            Ok((AccountId::from_uuid(uuid(row, "account_id")?), time(row, "published_at")?))
        })?;
        let Some((account, published_at)) = of else { return Ok(()) };
        let keep = "INSERT OR IGNORE INTO metrics_snapshots
             (publication_id, at, state, public, private) VALUES (?, ?, ?, ?, ?)";
        let kept = params![
            id,
            micros(snapshot.at),
            word_of(snapshot.state)?,
            serde_json::to_string(&snapshot.public)?,
            serde_json::to_string(&snapshot.private)?,
        ];
        if self.run(keep, kept)? == 0 {
            return Ok(());
        }
        let version = "INSERT INTO metrics_versions (account_id, version) VALUES (?, 1)
             ON CONFLICT (account_id) DO UPDATE SET version = version + 1";
        self.run(version, [blob(account.as_uuid())])?;
        let before =
            "SELECT at, state, public, private FROM metrics_latest WHERE publication_id = ?";
        let before = self.get(before, [id], |row| self::snapshot(row, publication))?;
        match follows(published_at, before.as_ref(), snapshot) {
            Some(follows) => self.take_in_totals(account, published_at, &follows),
            None => Ok(()),
        }
    }

    fn take_in_totals(
        &self,
        account: AccountId,
        published_at: DateTime<Utc>,
        follows: &Follows,
    ) -> Result<(), Fault> {
        let (account, latest) = (blob(account.as_uuid()), &follows.latest);
        let replace = "INSERT OR REPLACE INTO metrics_latest
             (publication_id, account_id, published_at, at, state, public, private)
             VALUES (?, ?, ?, ?, ?, ?, ?)";
        let new = params![
            blob(latest.publication_id.as_uuid()),
            account,
            micros(published_at),
            micros(latest.at),
            word_of(latest.state)?,
            serde_json::to_string(&latest.public)?,
            serde_json::to_string(&latest.private)?,
        ];
        self.run(replace, new)?;
        let add = "INSERT INTO metrics_days (account_id, day, name, made, gained)
             VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (account_id, day, name)
             DO UPDATE SET made = made + excluded.made, gained = gained + excluded.gained";
        for ((day, name), added) in &follows.added {
            let day = day_number(*day);
            self.run(add, params![account, day, name, added.made, added.gained])?;
        }
        Ok(())
    }
}

/// Days since 1970.
fn day_number(day: NaiveDate) -> i64 {
    (day - NaiveDate::default()).num_days()
}

fn day_of(number: i64) -> rusqlite::Result<NaiveDate> {
    let day =
        TimeDelta::try_days(number).and_then(|days| NaiveDate::default().checked_add_signed(days));
    day.ok_or_else(|| rusqlite::Error::from(FromSqlError::OutOfRange(number)))
}

fn total(row: &Row<'_>) -> rusqlite::Result<(TotalKey, Added)> {
    let key = (day_of(row.get("day")?)?, row.get("name")?);
    Ok((key, Added { made: row.get("made")?, gained: row.get("gained")? }))
}

/// So much that nobody spends it.
fn number(count: u64) -> i64 {
    const MOST: i64 = 1 << 53;
    i64::try_from(count).map_or(MOST, |count| count.min(MOST))
}

fn spent(row: &Row<'_>) -> rusqlite::Result<Spent> {
    let count = |name| row.get::<_, i64>(name).map(i64::unsigned_abs);
    Ok(Spent {
        month: day_of(row.get("month")?)?,
        platform: word(row, "platform")?,
        kind: word::<CallKind>(row, "kind")?,
        calls: count("calls")?,
        micros: count("micros")?,
    })
}

fn due(row: &Row<'_>) -> rusqlite::Result<DuePolls> {
    Ok(DuePolls {
        tenant_id: TenantId::from_uuid(uuid(row, "tenant_id")?),
        account_id: AccountId::from_uuid(uuid(row, "account_id")?),
        earliest: time(row, "poll_at")?,
    })
}

fn snapshot(row: &Row<'_>, publication_id: PublicationId) -> rusqlite::Result<Snapshot> {
    Ok(Snapshot {
        publication_id,
        at: time(row, "at")?,
        state: word(row, "state")?,
        public: json(row, "public")?,
        private: json(row, "private")?,
    })
}

fn followed(row: &Row<'_>) -> rusqlite::Result<Followed> {
    let id = PublicationId::from_uuid(uuid(row, "id")?);
    let latest = match some_time(row, "at")? {
        Some(_) => Some(snapshot(row, id)?),
        None => None,
    };
    Ok(Followed {
        id,
        tenant_id: TenantId::from_uuid(uuid(row, "tenant_id")?),
        account_id: AccountId::from_uuid(uuid(row, "account_id")?),
        post_id: PostId::from_uuid(uuid(row, "post_id")?),
        remote_id: row.get("remote_id")?,
        url: row.get("url")?,
        published_at: time(row, "published_at")?,
        poll_at: some_time(row, "poll_at")?,
        latest,
    })
}

#[cfg(test)]
mod tests {
    use super::{DUE, OF_ACCOUNT, polls, unplanned};
    use crate::tests::{database, query_plan};

    #[test]
    fn the_newest_of_an_account_are_found_and_not_sorted() {
        let plan = query_plan(&database(), OF_ACCOUNT);

        let by_time = "metrics_latest_by_time (account_id=? AND published_at>? AND published_at<?)";
        assert!(plan.contains(by_time), "{plan}");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{plan}");
    }

    #[test]
    fn what_is_due_is_found_without_what_is_not() {
        let plan = query_plan(&database(), DUE);

        assert!(plan.contains("published_polls (poll_at>? AND poll_at<?)"), "{plan}");
    }

    #[test]
    fn what_is_unplanned_and_what_is_due_of_one_cost_no_more_than_they_are() {
        let database = database();

        let (plan, of_one) = (query_plan(&database, &unplanned()), query_plan(&database, &polls()));

        assert!(plan.contains("published_polls (poll_at=?)"), "{plan}");
        let by_time = "published_polls_of_account (account_id=? AND poll_at>? AND poll_at<?)";
        assert!(of_one.contains(by_time), "{of_one}");
        for plan in [plan, of_one] {
            assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
