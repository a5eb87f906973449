//! `JobStore`.

use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{JobId, NodeId, TenantId};
use postq_core::job::{Job, NewJob, Topic};
use postq_core::machine::JobState;
use postq_core::store::{JobFilter, JobStore, JobStory, Page};
use rusqlite::types::Value;
use rusqlite::{Row, params, params_from_iter};

use crate::error::Fault;
use crate::rows::{Paged, at_most, blob, hex_list, micros, word};
use crate::store::SqliteStore;
use crate::transition::job;
use crate::writer::Tx;

/// The publish jobs of a span of time; without what an edit took back, which has lost its key, and without
/// letters that have a replay in their place.
const PLANNED_IN: &str = "SELECT * FROM jobs INDEXED BY jobs_by_time
     WHERE tenant_id = ? AND kind = 'publish' AND planned_at >= ? AND planned_at < ?
         AND NOT (state = 'cancelled' AND dedupe_key IS NULL) AND resolution IS NOT 'replayed'
     ORDER BY planned_at, id LIMIT ?";

#[async_trait]
impl JobStore for SqliteStore {
    async fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        Ok(self.time())
    }

    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<JobId>, StoreError> {
        let jobs = jobs.to_vec();
        self.write("insert jobs", move |tx| {
            let made = jobs.iter().map(|job| Ok(tx.enqueue_new(job, None)?.then_some(job.id)));
            made.filter_map(Result::transpose).collect()
        })
        .await
    }

    async fn list(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
        page: Page,
    ) -> Result<Vec<Job>, StoreError> {
        let query = Query::of(tenant, filter).page(Paged::of(page));
        self.read("list jobs", move |tx| {
            Ok(tx.all(&query.sql, params_from_iter(query.params), job)?)
        })
        .await
    }

    async fn planned_in(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let (tenant, limit) = (blob(tenant.as_uuid()), at_most(limit));
        let (from, until) = (micros(span.start), micros(span.end));
        self.read("list the jobs of a time", move |tx| {
            Ok(tx.all(PLANNED_IN, params![tenant, from, until, limit], job)?)
        })
        .await
    }

    async fn count(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
    ) -> Result<Vec<(JobState, u64)>, StoreError> {
        let query = Query::of(tenant, filter);
        let sql = query.count();
        let read =
            |row: &Row<'_>| Ok((word(row, "state")?, row.get::<_, i64>("jobs")?.unsigned_abs()));
        self.read("count jobs", move |tx| Ok(tx.all(&sql, params_from_iter(query.params), read)?))
            .await
    }

    async fn story(&self, id: JobId) -> Result<Option<JobStory>, StoreError> {
        self.read("tell a job's story", move |tx| tx.story(id)).await
    }
}

impl Tx<'_> {
    /// Makes a job and enqueues it, unless it is there already.
    pub(crate) fn enqueue_new(&self, job: &NewJob, node: Option<NodeId>) -> Result<bool, Fault> {
        self.enqueue_made(&Job::from_new(job.clone()), node, None)
    }

    /// The same for a job that begins with more than its maker gave.
    pub(crate) fn enqueue_made(
        &self,
        job: &Job,
        node: Option<NodeId>,
        reason: Option<&str>,
    ) -> Result<bool, Fault> {
        let Some(mut stored) = self.make(job, node)? else { return Ok(false) };
        self.step(&mut stored, JobState::Enqueued, node, reason)?;
        self.save(&stored)?;
        Ok(true)
    }
}

/// The condition that a filter makes.
struct Query {
    sql: String,
    params: Vec<Value>,
    /// Something but a tenant's states, of which there is an index.
    narrower: bool,
    /// The table, with the index that must serve where the planner could take another one.
    table: &'static str,
}

impl Query {
    fn of(tenant: TenantId, filter: &JobFilter) -> Self {
        let params = vec![Value::Blob(blob(tenant.as_uuid()).into())];
        let unresolved = [JobState::DeadLetter];
        let asked = &filter.states[..];
        let states = if asked.is_empty() && filter.unresolved { &unresolved } else { asked };
        let narrower = filter.account.is_some()
            || filter.post.is_some()
            || filter.schedules.is_some()
            || filter.lane.is_some()
            || filter.ended_since.is_some();
        // What ended lately is a few jobs, wherever they are by their ids.
        let table = match filter.ended_since {
            Some(_) => "jobs INDEXED BY jobs_by_end",
            None => "jobs",
        };
        let mut query = Self { sql: String::new(), params, narrower, table };
        // The index of a tenant's states helps only where states are asked for and nothing narrower
        // is. The plus hides the column from the planner, which would take it otherwise, and sort.
        query.sql.push_str(if states.is_empty() || narrower {
            "+tenant_id = ?"
        } else {
            "tenant_id = ?"
        });
        match states {
            [] => {}
            [one] => query.and("state = ?", one.as_str().to_owned()),
            many => {
                let words: Vec<_> = many.iter().map(|state| state.as_str()).collect();
                let list = serde_json::json!(words).to_string();
                query.and("state IN (SELECT value FROM json_each(?))", list);
            }
        }
        match &filter.topic {
            // To the letter as in the index of the deliveries' lanes, or it would not be taken.
            Some(topic) if topic.as_str() == Topic::WEBHOOK => {
                query.sql.push_str(" AND topic = 'webhook'");
            }
            Some(topic) => query.and("topic = ?", topic.as_str().to_owned()),
            None => {}
        }
        if let Some(lane) = &filter.lane {
            query.and("lane = ?", lane.as_str().to_owned());
        }
        if let Some(account) = filter.account {
            query.and("account_id = ?", blob(account.as_uuid()).to_vec());
        }
        if let Some(post) = filter.post {
            query.and("post_id = ?", blob(post.as_uuid()).to_vec());
        }
        if let Some(schedules) = &filter.schedules {
            let list = hex_list(schedules.iter().map(|id| id.as_uuid()));
            query.and("schedule_id IN (SELECT unhex(value) FROM json_each(?))", list);
        }
        if let Some(since) = filter.ended_since {
            query.and("finished_at >= ?", micros(since));
        }
        if filter.unresolved {
            query.sql.push_str(" AND state = 'dead_letter' AND resolution IS NULL");
        }
        query
    }

    /// The whole statement for a count. Nothing is sorted, so the index of a tenant's states serves where
    /// there is none for something narrower; it has all that is looked at.
    fn count(&self) -> String {
        let condition = match self.narrower {
            true => &self.sql,
            false => self.sql.trim_start_matches('+'),
        };
        format!(
            "SELECT state, count(*) AS jobs FROM {} WHERE {condition} GROUP BY state ORDER BY state",
            self.table
        )
    }

    /// The whole statement for a page.
    fn page(mut self, page: Paged) -> Self {
        self.sql = page.sql(&format!(
            "SELECT * FROM {} WHERE {} AND id {{beyond}} ? ORDER BY id {{way}} LIMIT {}",
            self.table, self.sql, page.limit
        ));
        self.params.push(Value::Blob(page.after));
        self
    }

    fn and(&mut self, condition: &str, param: impl Into<Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.params.push(param.into());
    }
}

#[cfg(test)]
mod tests {
    use postq_core::id::{AccountId, PostId, WebhookId};
    use postq_core::job::Lane;
    use postq_core::store::Order;

    use super::*;
    use crate::tests::{database, query_plan};

    #[test]
    fn a_page_is_found_and_not_sorted() {
        let conn = database();
        let all = JobFilter::default;
        let failed = vec![JobState::Failed];
        let lane = Some(Lane::of_webhook(WebhookId::new()));
        let of_lane = JobFilter { topic: Some(Topic::webhook()), lane, ..all() };
        let expect = [
            (all(), "(id>?)"),
            (JobFilter { topic: Some(Topic::publish()), ..all() }, "(id>?)"),
            (JobFilter { states: failed.clone(), ..all() }, "jobs_by_state"),
            (JobFilter { unresolved: true, ..all() }, "jobs_by_state"),
            (
                JobFilter { account: Some(AccountId::new()), states: failed.clone(), ..all() },
                "jobs_by_account",
            ),
            (JobFilter { states: failed, ..of_lane.clone() }, "jobs_by_webhook_lane"),
            (of_lane, "jobs_by_webhook_lane"),
        ];

        for (filter, index) in expect {
            let plan = query_plan(&conn, &page_sql(&filter));
            let back = Page::first(10).ordered(Order::Newest);
            let back = query_plan(&conn, &sql(&filter, back)).replace("(id<?)", "(id>?)");

            for plan in [plan, back] {
                assert!(plan.contains(index), "{filter:?}\n{plan}");
                let is_slow = plan.contains("TEMP B-TREE") || plan.contains("SCAN");
                assert!(!is_slow, "{filter:?}\n{plan}");
            }
        }
        let ended = JobFilter { ended_since: Some(DateTime::UNIX_EPOCH), ..all() };
        assert!(query_plan(&conn, &page_sql(&ended)).contains("jobs_by_end (finished_at>?)"));
        // The few jobs of one post are sorted.
        let of_post = JobFilter { post: Some(PostId::new()), ..all() };
        assert!(query_plan(&conn, &page_sql(&of_post)).contains("jobs_by_post"));
    }

    #[test]
    fn the_jobs_of_a_time_are_found_and_not_sorted() {
        let plan = query_plan(&database(), PLANNED_IN);

        assert!(plan.contains("(tenant_id=? AND planned_at>? AND planned_at<?)"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{plan}");
    }

    #[test]
    fn counting_reads_an_index_alone() {
        let conn = database();
        let letters = JobFilter { unresolved: true, ..JobFilter::default() };
        let of_topic = JobFilter { topic: Some(Topic::publish()), ..JobFilter::default() };
        let both = JobFilter { unresolved: true, ..of_topic.clone() };

        for filter in [JobFilter::default(), letters, of_topic, both] {
            let plan = query_plan(&conn, &Query::of(TenantId::DEFAULT, &filter).count());

            assert!(plan.contains("COVERING INDEX jobs_by_state"), "{filter:?}\n{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{filter:?}\n{plan}");
        }
    }

    fn page_sql(filter: &JobFilter) -> String {
        sql(filter, Page::first(10))
    }

    fn sql(filter: &JobFilter, page: Page) -> String {
        Query::of(TenantId::DEFAULT, filter).page(Paged::of(page)).sql
    }
}
