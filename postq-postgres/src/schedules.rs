//! `ScheduleStore`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::content::Post;
use postq_core::error::StoreError;
use postq_core::id::{AccountId, PostId, ScheduleId, TenantId};
use postq_core::job::CorrelationId;
use postq_core::schedule::{Resolver, Schedule, Timing};
use postq_core::store::{Edited, Page, PlanRequest, Planned, ScheduleEdit, ScheduleStore};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::args::args;
use crate::changes::About;
use crate::error::Fault;
use crate::evidence::FREEZES;
use crate::plan;
use crate::posts;
use crate::rows::{Paged, at_most, json, number, whole};
use crate::store::PgStore;
use crate::takeback::{IS_LIVE, Owner, Taken};
use crate::tx::{Sql, Tx, read, write};
use crate::wake;

/// Schedules in one statement: its text must not get too long.
const BATCH: usize = 1_000;

/// Schedules that repeat and whose next occurrence is before a time.
pub(crate) const REPEATING: &str = r#"SELECT * FROM {s}.schedules
     WHERE enabled AND next_run_at < $2 AND left(timing, 18) <> '{"kind":"one_shot"' AND tenant_id = $1
     ORDER BY next_run_at LIMIT $3"#;

#[async_trait]
impl ScheduleStore for PgStore {
    async fn insert(&self, schedules: &[Schedule]) -> Result<(), StoreError> {
        write!(self, "insert schedules", |tx| insert(&tx, schedules))
    }

    async fn load(&self, ids: &[ScheduleId]) -> Result<Vec<Schedule>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let load = "SELECT * FROM {s}.schedules WHERE id = ANY($1)";
        read!(self, "load schedules", |sql| sql.all(load, args![ids], schedule))
    }

    async fn of_posts(&self, posts: &[PostId]) -> Result<Vec<Schedule>, StoreError> {
        let posts: Vec<Uuid> = posts.iter().map(|id| id.as_uuid()).collect();
        let load = "SELECT * FROM {s}.schedules WHERE post_id = ANY($1) ORDER BY id";
        read!(self, "load schedules", |sql| sql.all(load, args![posts], schedule))
    }

    async fn list(&self, tenant: TenantId, page: Page) -> Result<Vec<Schedule>, StoreError> {
        let page = Paged::of(page);
        let list = page.sql(
            "SELECT * FROM {s}.schedules
             WHERE tenant_id = $1 AND id {beyond} $2 ORDER BY id {way} LIMIT $3",
        );
        let args = args![tenant.as_uuid(), page.after, page.limit];
        read!(self, "list schedules", |sql| sql.all(&list, args, schedule))
    }

    async fn coming(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        let (tenant, most) = (tenant.as_uuid(), at_most(limit));
        let (from, until) = (span.start, span.end);
        let mut found = read!(self, "list the schedules of a time", |sql| async move {
            let before = args![tenant, from.min(until), most];
            let mut found = sql.all(REPEATING, before, schedule).await?;
            for early in [false, true] {
                let of_span = args![tenant, from, until, most];
                found.extend(sql.all(&next_in_sql(early), of_span, schedule).await?);
            }
            Ok::<_, Fault>(found)
        })?;
        found.sort_by_key(|schedule| (schedule.next_run_at, schedule.id));
        found.truncate(limit);
        Ok(found)
    }

    async fn movable(&self, ids: &[ScheduleId]) -> Result<Vec<ScheduleId>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let read = |row: &Row| Ok(ScheduleId::from_uuid(row.try_get("id")?));
        let (movable, args) = (movable_sql(), args![ids]);
        read!(self, "ask which schedules can be moved", |sql| sql.all(&movable, args, read))
    }

    async fn edit(
        &self,
        id: ScheduleId,
        revision: u32,
        edit: &ScheduleEdit,
    ) -> Result<Edited, StoreError> {
        write!(self, "edit a schedule", |tx| change(&tx, id, revision, edit))
    }

    async fn remove(&self, id: ScheduleId) -> Result<Edited, StoreError> {
        write!(self, "remove a schedule", |tx| remove(&tx, id))
    }

    async fn plan(
        &self,
        request: &PlanRequest,
        resolver: &Arc<dyn Resolver>,
    ) -> Result<Planned, StoreError> {
        let mark = self.changes().mark(About::Schedules);
        write!(self, "plan schedules", |tx| plan::plan(&tx, request, &**resolver, mark))
    }
}

impl PgStore {
    /// Adds posts and schedules in a transaction of the caller's own, on this database: they are there
    /// with the caller's rows or not at all. The schedules must have been resolved: an enabled one
    /// without `next_run_at` never fires. Planners of all nodes are woken by the commit.
    ///
    /// # Errors
    ///
    /// As [`PostStore::insert`](postq_core::store::PostStore::insert) and
    /// [`ScheduleStore::insert`]; the transaction can only be rolled back then.
    pub async fn schedule_in(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
        posts: &[Post],
        schedules: &[Schedule],
    ) -> Result<(), StoreError> {
        let action = "schedule in a transaction";
        let tx = Tx::new(Sql::new(transaction.client(), self.schema()));
        let all = async {
            posts::insert(&tx, posts).await?;
            insert(&tx, schedules).await?;
            wake::tell_at_commit(tx.sql, self.channel()).await
        };
        all.await.map_err(|fault| fault.during(action))
    }
}

pub(crate) async fn insert(tx: &Tx<'_>, schedules: &[Schedule]) -> Result<(), Fault> {
    for batch in schedules.chunks(BATCH) {
        insert_batch(tx.sql, batch).await?;
    }
    if !schedules.is_empty() {
        tx.wake_planners();
    }
    Ok(())
}

async fn insert_batch(sql: Sql<'_>, schedules: &[Schedule]) -> Result<(), Fault> {
    // `unnest` would take an array of arrays apart, so the accounts go as text.
    let insert = "INSERT INTO {s}.schedules (id, tenant_id, post_id, accounts, timing, tz, tzdb,
             priority, misfire, grace, enabled, problem, next_run_at, last_run_at, revision,
             created_at, correlation_id, early)
         SELECT g.id, g.tenant_id, g.post_id, g.accounts::uuid[], g.timing, g.tz, g.tzdb, g.priority,
             g.misfire, g.grace, g.enabled, g.problem, g.next_run_at, g.last_run_at, g.revision,
             g.created_at, g.correlation_id, coalesce(p.has_media, false)
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
             AS g (id, tenant_id, post_id, accounts, timing, tz, tzdb, priority, misfire, grace,
                 enabled, problem, next_run_at, last_run_at, revision, created_at, correlation_id)
         LEFT JOIN {s}.posts p ON p.id = g.post_id ORDER BY g.id
         ON CONFLICT (id) DO NOTHING";
    let timings: Result<Vec<_>, _> =
        schedules.iter().map(|one| serde_json::to_string(&one.timing)).collect();
    let misfires: Result<Vec<_>, _> =
        schedules.iter().map(|one| serde_json::to_string(&one.misfire)).collect();
    let args = args![
        schedules.iter().map(|one| one.id.as_uuid()).collect::<Vec<_>>(),
        schedules.iter().map(|one| one.tenant_id.as_uuid()).collect::<Vec<_>>(),
        schedules.iter().map(|one| one.post_id.as_uuid()).collect::<Vec<_>>(),
        schedules.iter().map(accounts_as_text).collect::<Vec<_>>(),
        timings?,
        schedules.iter().map(|one| one.tz.as_deref()).collect::<Vec<_>>(),
        schedules.iter().map(|one| one.tzdb.as_deref()).collect::<Vec<_>>(),
        schedules.iter().map(|one| one.priority).collect::<Vec<_>>(),
        misfires?,
        schedules.iter().map(grace).collect::<Vec<_>>(),
        schedules.iter().map(|one| one.enabled).collect::<Vec<_>>(),
        schedules.iter().map(|one| one.problem.as_deref()).collect::<Vec<_>>(),
        schedules.iter().map(|one| one.next_run_at.map(whole)).collect::<Vec<_>>(),
        schedules.iter().map(|one| one.last_run_at.map(whole)).collect::<Vec<_>>(),
        schedules.iter().map(|one| i64::from(one.revision)).collect::<Vec<_>>(),
        schedules.iter().map(|one| whole(one.created_at)).collect::<Vec<_>>(),
        schedules.iter().map(asked_by).collect::<Vec<_>>(),
    ];
    sql.run(insert, args).await?;
    Ok(())
}

/// An array of Postgres in text.
fn accounts_as_text(schedule: &Schedule) -> String {
    let accounts: Vec<String> = schedule.accounts.iter().map(ToString::to_string).collect();
    format!("{{{}}}", accounts.join(","))
}

fn asked_by(schedule: &Schedule) -> Option<&str> {
    schedule.correlation_id.as_ref().map(CorrelationId::as_str)
}

fn grace(schedule: &Schedule) -> i64 {
    i64::try_from(schedule.grace.as_micros()).unwrap_or(i64::MAX)
}

fn accounts(schedule: &Schedule) -> Vec<Uuid> {
    schedule.accounts.iter().map(|id| id.as_uuid()).collect()
}

async fn lock(sql: Sql<'_>, id: ScheduleId) -> Result<Option<Schedule>, Fault> {
    let lock = "SELECT * FROM {s}.schedules WHERE id = $1 FOR UPDATE";
    sql.first(lock, args![id.as_uuid()]).await?.as_ref().map(schedule).transpose()
}

async fn change(
    tx: &Tx<'_>,
    id: ScheduleId,
    revision: u32,
    edit: &ScheduleEdit,
) -> Result<Edited, Fault> {
    let Some(mut schedule) = lock(tx.sql, id).await? else { return Ok(Edited::Gone) };
    if schedule.revision != revision {
        return Ok(Edited::Changed { revision: schedule.revision });
    }
    if edit.timing.is_some() && is_spent(tx.sql, &schedule).await? {
        return Ok(Edited::AlreadyPublishing);
    }
    let why = "the schedule was changed";
    let Taken::Back { freed } = tx.take_back_jobs(Owner::Schedule(id), why).await? else {
        return Ok(Edited::AlreadyPublishing);
    };
    if let Some((timing, first)) = &edit.timing {
        schedule.timing = timing.clone();
        schedule.next_run_at = *first;
    } else {
        // What was taken back is computed again, for the accounts that it has now.
        schedule.next_run_at = schedule.next_run_at.into_iter().chain(freed).min();
    }
    edit.apply_but_timing(&mut schedule);
    save(tx.sql, &schedule).await?;
    tx.wake_planners();
    Ok(Edited::Applied { revision: schedule.revision })
}

/// Whether the one occurrence of a one-shot is out, or may be: moved, it would go out again.
async fn is_spent(sql: Sql<'_>, schedule: &Schedule) -> Result<bool, Fault> {
    if !matches!(schedule.timing, Timing::OneShot { .. }) {
        return Ok(false);
    }
    let sent = format!(
        "SELECT 1 FROM {{s}}.job j JOIN {{s}}.evidence e ON e.root = j.root
         WHERE j.schedule_id = $1 AND {FREEZES} LIMIT 1"
    );
    if sql.has(&sent, args![schedule.id.as_uuid()]).await? {
        return Ok(true);
    }
    // Keys begin with the schedule's id and outlive the jobs; ';' follows ':'.
    let out =
        "SELECT 1 FROM {s}.published_posts WHERE dedupe_key >= $1 AND dedupe_key < $2 LIMIT 1";
    let id = schedule.id;
    sql.has(out, args![format!("{id}:"), format!("{id};")]).await
}

/// Schedules whose next occurrence is in a span of time, of posts that are planned early or not.
pub(crate) fn next_in_sql(early: bool) -> String {
    let early = plan::planned_early(early);
    format!(
        "SELECT * FROM {{s}}.schedules
         WHERE enabled AND {early} AND next_run_at >= $2 AND next_run_at < $3 AND tenant_id = $1
         ORDER BY next_run_at LIMIT $4"
    )
}

/// Whether a schedule fires once: what it is stands first in its rule.
const IS_ONE_SHOT: &str = r#"left(s.timing, 18) = '{"kind":"one_shot"'"#;

/// What an edit with new timing asks of one schedule (`Tx::take_back_jobs`, [`is_spent`]), of many.
/// `OFFSET` keeps the server from joins, which could read all jobs.
pub(crate) fn movable_sql() -> String {
    format!(
        "SELECT s.id FROM {{s}}.schedules s WHERE s.id = ANY($1)
             AND NOT EXISTS (SELECT 1 FROM {{s}}.job j JOIN {{s}}.running r ON r.job_id = j.id
                 WHERE j.schedule_id = s.id OFFSET 0)
             AND NOT EXISTS (SELECT 1 FROM {{s}}.job j JOIN {{s}}.evidence e ON e.root = j.root
                 WHERE j.schedule_id = s.id AND {FREEZES} AND ({IS_LIVE} OR {IS_ONE_SHOT}) OFFSET 0)
             AND NOT ({IS_ONE_SHOT} AND EXISTS (SELECT 1 FROM {{s}}.published_posts p
                 WHERE p.dedupe_key >= s.id::text || ':' AND p.dedupe_key < s.id::text || ';'
                 OFFSET 0))"
    )
}

async fn save(sql: Sql<'_>, schedule: &Schedule) -> Result<(), Fault> {
    let save =
        "UPDATE {s}.schedules SET accounts = $2, timing = $3, tz = $4, tzdb = $5, priority = $6,
             enabled = $7, problem = $8, next_run_at = $9, revision = $10
         WHERE id = $1";
    let args = args![
        schedule.id.as_uuid(),
        accounts(schedule),
        serde_json::to_string(&schedule.timing)?,
        schedule.tz,
        schedule.tzdb,
        schedule.priority,
        schedule.enabled,
        schedule.problem,
        schedule.next_run_at.map(whole),
        i64::from(schedule.revision),
    ];
    sql.run(save, args).await?;
    Ok(())
}

async fn remove(tx: &Tx<'_>, id: ScheduleId) -> Result<Edited, Fault> {
    let Some(schedule) = lock(tx.sql, id).await? else { return Ok(Edited::Gone) };
    let taken = tx.take_back_jobs(Owner::Schedule(id), "the schedule was removed").await?;
    if matches!(taken, Taken::InFlight) {
        return Ok(Edited::AlreadyPublishing);
    }
    tx.sql.run("DELETE FROM {s}.schedules WHERE id = $1", args![id.as_uuid()]).await?;
    tx.wake_planners();
    Ok(Edited::Applied { revision: schedule.revision })
}

/// Reads a whole row of `schedules`.
pub(crate) fn schedule(row: &Row) -> Result<Schedule, Fault> {
    let accounts: Vec<Uuid> = row.try_get("accounts")?;
    Ok(Schedule {
        id: ScheduleId::from_uuid(row.try_get("id")?),
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        post_id: PostId::from_uuid(row.try_get("post_id")?),
        accounts: accounts.into_iter().map(AccountId::from_uuid).collect(),
        timing: json(row, "timing")?,
        tz: row.try_get("tz")?,
        tzdb: row.try_get("tzdb")?,
        priority: row.try_get("priority")?,
        misfire: json(row, "misfire")?,
        grace: Duration::from_micros(row.try_get::<_, i64>("grace")?.unsigned_abs()),
        enabled: row.try_get("enabled")?,
        problem: row.try_get("problem")?,
        next_run_at: row.try_get("next_run_at")?,
        last_run_at: row.try_get("last_run_at")?,
        revision: number(row, "revision")?,
        correlation_id: row.try_get::<_, Option<String>>("correlation_id")?.map(CorrelationId::new),
        created_at: row.try_get("created_at")?,
    })
}
