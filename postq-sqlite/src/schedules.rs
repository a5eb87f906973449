//! `ScheduleStore`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{PostId, ScheduleId, TenantId};
use postq_core::job::CorrelationId;
use postq_core::schedule::{Resolver, Schedule, Timing};
use postq_core::store::{Edited, Page, PlanRequest, Planned, ScheduleEdit, ScheduleStore};
use rusqlite::{Row, params};

use crate::changes::About;
use crate::error::Fault;
use crate::evidence::FREEZES;
use crate::plan;
use crate::rows::{
    at_most, blob, hex_list, json, micros, some_micros, some_time, time, time_of, uuid,
};
use crate::store::SqliteStore;
use crate::takeback::{LIVE, Owner};
use crate::writer::Tx;

/// Schedules that repeat and whose next occurrence is before a time.
const REPEATING: &str = "SELECT * FROM schedules INDEXED BY schedules_repeating
     WHERE enabled = 1 AND next_run_at IS NOT NULL AND next_run_at < ?2
         AND substr(timing, 1, 18) <> '{\"kind\":\"one_shot\"' AND tenant_id = ?1
     ORDER BY next_run_at LIMIT ?3";

/// Schedules whose next occurrence is in a span of time, of posts that are planned early or not.
const NEXT_IN: &str = "SELECT * FROM schedules INDEXED BY schedules_due
     WHERE enabled = 1 AND next_run_at IS NOT NULL AND early = ?5
         AND next_run_at >= ?2 AND next_run_at < ?3 AND tenant_id = ?1
     ORDER BY next_run_at LIMIT ?4";

#[async_trait]
impl ScheduleStore for SqliteStore {
    async fn insert(&self, schedules: &[Schedule]) -> Result<(), StoreError> {
        let schedules = schedules.to_vec();
        self.write("insert schedules", move |tx| {
            schedules.iter().try_for_each(|schedule| insert(tx, schedule))
        })
        .await
    }

    async fn load(&self, ids: &[ScheduleId]) -> Result<Vec<Schedule>, StoreError> {
        let ids = hex_list(ids.iter().map(|id| id.as_uuid()));
        let sql = "SELECT * FROM schedules WHERE id IN (SELECT unhex(value) FROM json_each(?))";
        self.read("load schedules", move |tx| Ok(tx.all(sql, [ids], schedule)?)).await
    }

    async fn of_posts(&self, posts: &[PostId]) -> Result<Vec<Schedule>, StoreError> {
        let ids = hex_list(posts.iter().map(|id| id.as_uuid()));
        let sql = "SELECT * FROM schedules
                   WHERE post_id IN (SELECT unhex(value) FROM json_each(?)) ORDER BY id";
        self.read("load schedules", move |tx| Ok(tx.all(sql, [ids], schedule)?)).await
    }

    async fn list(&self, tenant: TenantId, page: Page) -> Result<Vec<Schedule>, StoreError> {
        let sql = "SELECT * FROM schedules
                   WHERE tenant_id = ? AND id {beyond} ? ORDER BY id {way} LIMIT ?";
        let page = crate::rows::Paged::of(page);
        let tenant = blob(tenant.as_uuid());
        self.read("list schedules", move |tx| {
            Ok(tx.all(&page.sql(sql), params![tenant, page.after, page.limit], schedule)?)
        })
        .await
    }

    async fn coming(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        let (tenant, most) = (blob(tenant.as_uuid()), at_most(limit));
        let (from, until) = (micros(span.start), micros(span.end));
        self.read("list the schedules of a time", move |tx| {
            let mut found = tx.all(REPEATING, params![tenant, from.min(until), most], schedule)?;
            for early in [false, true] {
                let of_span = params![tenant, from, until, most, early];
                found.extend(tx.all(NEXT_IN, of_span, schedule)?);
            }
            found.sort_by_key(|schedule| (schedule.next_run_at, schedule.id));
            found.truncate(limit);
            Ok(found)
        })
        .await
    }

    async fn movable(&self, ids: &[ScheduleId]) -> Result<Vec<ScheduleId>, StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let read = |row: &Row<'_>| uuid(row, "id").map(ScheduleId::from_uuid);
        self.read("ask which schedules can be moved", move |tx| {
            Ok(tx.all(&movable_sql(), [serde_json::to_string(&ids)?], read)?)
        })
        .await
    }

    async fn edit(
        &self,
        id: ScheduleId,
        revision: u32,
        edit: &ScheduleEdit,
    ) -> Result<Edited, StoreError> {
        let change = edit.clone();
        self.write("edit a schedule", move |tx| self::edit(tx, id, revision, &change)).await
    }

    async fn remove(&self, id: ScheduleId) -> Result<Edited, StoreError> {
        self.write("remove a schedule", move |tx| remove(tx, id)).await
    }

    async fn plan(
        &self,
        request: &PlanRequest,
        resolver: &Arc<dyn Resolver>,
    ) -> Result<Planned, StoreError> {
        let mark = self.changes().mark(About::Schedules);
        let (request, resolver) = (request.clone(), Arc::clone(resolver));
        self.write("plan schedules", move |tx| plan::plan(tx, &request, &*resolver, mark)).await
    }
}

fn insert(tx: &Tx<'_>, schedule: &Schedule) -> Result<(), Fault> {
    let accounts: Vec<_> = schedule.accounts.iter().map(|id| id.as_uuid()).collect();
    tx.run(
        "INSERT OR IGNORE INTO schedules (id, tenant_id, post_id, accounts, timing, tz, tzdb,
             priority, misfire, grace, enabled, problem, next_run_at, last_run_at, revision,
             created_at, correlation_id, early)
         VALUES (?, ?, ?3, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
             ifnull((SELECT has_media FROM posts WHERE posts.id = ?3), 0))",
        params![
            blob(schedule.id.as_uuid()),
            blob(schedule.tenant_id.as_uuid()),
            blob(schedule.post_id.as_uuid()),
            serde_json::to_string(&accounts)?,
            serde_json::to_string(&schedule.timing)?,
            schedule.tz,
            schedule.tzdb,
            schedule.priority,
            serde_json::to_string(&schedule.misfire)?,
            i64::try_from(schedule.grace.as_micros()).unwrap_or(i64::MAX),
            schedule.enabled,
            schedule.problem,
            some_micros(schedule.next_run_at),
            some_micros(schedule.last_run_at),
            schedule.revision,
            micros(schedule.created_at),
            schedule.correlation_id.as_ref().map(CorrelationId::as_str),
        ],
    )?;
    tx.wake_planner();
    Ok(())
}

fn find(tx: &Tx<'_>, id: ScheduleId) -> Result<Option<Schedule>, Fault> {
    Ok(tx.get("SELECT * FROM schedules WHERE id = ?", [blob(id.as_uuid())], schedule)?)
}

fn edit(tx: &Tx<'_>, id: ScheduleId, revision: u32, edit: &ScheduleEdit) -> Result<Edited, Fault> {
    let Some(mut schedule) = find(tx, id)? else { return Ok(Edited::Gone) };
    if schedule.revision != revision {
        return Ok(Edited::Changed { revision: schedule.revision });
    }
    let owner = Owner::Schedule(id);
    if tx.is_in_flight(owner)? {
        return Ok(Edited::AlreadyPublishing);
    }
    if edit.timing.is_some() && is_spent(tx, &schedule)? {
        return Ok(Edited::AlreadyPublishing);
    }
    let freed = tx.take_back_jobs(owner, "the schedule was changed")?;
    if let Some((timing, first)) = &edit.timing {
        schedule.timing = timing.clone();
        schedule.next_run_at = *first;
    } else {
        // What was taken back is computed again, for the accounts that it has now.
        let again = freed.map(time_of).transpose()?;
        schedule.next_run_at = schedule.next_run_at.into_iter().chain(again).min();
    }
    edit.apply_but_timing(&mut schedule);
    save(tx, &schedule)?;
    tx.wake_planner();
    Ok(Edited::Applied { revision: schedule.revision })
}

/// Whether the one occurrence of a one-shot is out, or may be: moved, it would go out again.
fn is_spent(tx: &Tx<'_>, schedule: &Schedule) -> Result<bool, Fault> {
    if !matches!(schedule.timing, Timing::OneShot { .. }) {
        return Ok(false);
    }
    let sent = format!(
        "SELECT 1 FROM jobs JOIN evidence ON evidence.root = jobs.root
         WHERE jobs.schedule_id = ? AND ({FREEZES})"
    );
    if tx.has(&sent, [blob(schedule.id.as_uuid())])? {
        return Ok(true);
    }
    // Keys begin with the schedule's id and outlive the jobs; ';' follows ':'.
    let out = "SELECT 1 FROM published_posts WHERE dedupe_key >= ? AND dedupe_key < ?";
    let id = schedule.id;
    Ok(tx.has(out, [format!("{id}:"), format!("{id};")])?)
}

/// Whether a schedule fires once: what it is stands first in its rule.
const IS_ONE_SHOT: &str = r#"substr(s.timing, 1, 18) = '{"kind":"one_shot"'"#;

/// What an edit with new timing asks of one schedule, of many: whether nothing of it runs or may be out
/// (`Tx::is_in_flight`), and whether it is spent ([`is_spent`]).
fn movable_sql() -> String {
    format!(
        "SELECT s.id FROM json_each(?) AS asked JOIN schedules AS s ON s.id = unhex(asked.value, '-')
         WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE schedule_id = s.id AND state = 'running')
             AND NOT EXISTS (SELECT 1 FROM jobs JOIN evidence ON evidence.root = jobs.root
                 WHERE jobs.schedule_id = s.id AND ({FREEZES})
                     AND (jobs.state IN {LIVE} OR {IS_ONE_SHOT}))
             AND NOT ({IS_ONE_SHOT} AND EXISTS (
                 SELECT 1 FROM published_posts
                 WHERE dedupe_key >= asked.value || ':' AND dedupe_key < asked.value || ';'))"
    )
}

fn save(tx: &Tx<'_>, schedule: &Schedule) -> Result<(), Fault> {
    let accounts: Vec<_> = schedule.accounts.iter().map(|id| id.as_uuid()).collect();
    tx.run(
        "UPDATE schedules SET accounts = ?, timing = ?, tz = ?, tzdb = ?, priority = ?, enabled = ?,
             problem = ?, next_run_at = ?, revision = ?
         WHERE id = ?",
        params![
            serde_json::to_string(&accounts)?,
            serde_json::to_string(&schedule.timing)?,
            schedule.tz,
            schedule.tzdb,
            schedule.priority,
            schedule.enabled,
            schedule.problem,
            some_micros(schedule.next_run_at),
            schedule.revision,
            blob(schedule.id.as_uuid()),
        ],
    )?;
    Ok(())
}

fn remove(tx: &Tx<'_>, id: ScheduleId) -> Result<Edited, Fault> {
    let Some(schedule) = find(tx, id)? else { return Ok(Edited::Gone) };
    let owner = Owner::Schedule(id);
    if tx.is_in_flight(owner)? {
        return Ok(Edited::AlreadyPublishing);
    }
    tx.take_back_jobs(owner, "the schedule was removed")?;
    tx.run("DELETE FROM schedules WHERE id = ?", [blob(id.as_uuid())])?;
    Ok(Edited::Applied { revision: schedule.revision })
}

/// Reads a whole row of `schedules`.
pub(crate) fn schedule(row: &Row<'_>) -> rusqlite::Result<Schedule> {
    Ok(Schedule {
        id: ScheduleId::from_uuid(uuid(row, "id")?),
        tenant_id: TenantId::from_uuid(uuid(row, "tenant_id")?),
        post_id: PostId::from_uuid(uuid(row, "post_id")?),
        accounts: json(row, "accounts")?,
        timing: json(row, "timing")?,
        tz: row.get("tz")?,
        tzdb: row.get("tzdb")?,
        priority: row.get("priority")?,
        misfire: json(row, "misfire")?,
        grace: Duration::from_micros(row.get::<_, i64>("grace")?.unsigned_abs()),
        enabled: row.get("enabled")?,
        problem: row.get("problem")?,
        next_run_at: some_time(row, "next_run_at")?,
        last_run_at: some_time(row, "last_run_at")?,
        revision: row.get("revision")?,
        correlation_id: row.get::<_, Option<String>>("correlation_id")?.map(CorrelationId::new),
        created_at: time(row, "created_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{NEXT_IN, REPEATING, movable_sql};
    use crate::tests::{database, query_plan};

    #[test]
    fn what_is_coming_is_found_and_not_sorted() {
        let conn = database();

        for (sql, index) in [(REPEATING, "schedules_repeating"), (NEXT_IN, "schedules_due")] {
            let plan = query_plan(&conn, sql);

            assert!(plan.contains(index) && plan.contains("next_run_at<?"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{plan}");
        }
    }

    #[test]
    fn whether_schedules_can_be_moved_is_found_by_indexes() {
        let plan = query_plan(&database(), &movable_sql());

        assert!(plan.contains("jobs_by_schedule") && plan.contains("dedupe_key>?"), "{plan}");
        let scans = plan.matches("SCAN").count();
        assert_eq!((scans, plan.contains("SCAN asked")), (1, true), "{plan}");
    }
}
