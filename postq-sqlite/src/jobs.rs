//! `JobStore`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{JobId, NodeId, TenantId};
use postq_core::job::{Job, NewJob};
use postq_core::machine::JobState;
use postq_core::store::{JobFilter, JobStore, JobStory, Page};
use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use crate::error::Fault;
use crate::rows::{Paged, blob, hex_list, word};
use crate::store::SqliteStore;
use crate::transition::job;
use crate::writer::Tx;

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

    async fn count(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
    ) -> Result<Vec<(JobState, u64)>, StoreError> {
        let query = Query::of(tenant, filter);
        let sql = format!(
            "SELECT state, count(*) AS jobs FROM jobs WHERE {} GROUP BY state ORDER BY state",
            query.sql
        );
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
}

impl Query {
    fn of(tenant: TenantId, filter: &JobFilter) -> Self {
        let params = vec![Value::Blob(blob(tenant.as_uuid()).into())];
        let mut query = Self { sql: String::new(), params };
        let unresolved = [JobState::DeadLetter];
        let asked = &filter.states[..];
        let states = if asked.is_empty() && filter.unresolved { &unresolved } else { asked };
        let narrower =
            filter.account.is_some() || filter.post.is_some() || filter.schedules.is_some();
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
        if let Some(topic) = &filter.topic {
            query.and("topic = ?", topic.as_str().to_owned());
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
        if filter.unresolved {
            query.sql.push_str(" AND state = 'dead_letter' AND resolution IS NULL");
        }
        query
    }

    /// The whole statement for a page; no id sorts before the empty blob.
    fn page(mut self, page: Paged) -> Self {
        self.and("id > ?", page.after.map_or(Vec::new(), Vec::from));
        self.sql =
            format!("SELECT * FROM jobs WHERE {} ORDER BY id LIMIT {}", self.sql, page.limit);
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
    use postq_core::id::{AccountId, PostId};
    use postq_core::job::Topic;

    use super::*;
    use crate::tests::{database, query_plan};

    #[test]
    fn a_page_is_found_and_not_sorted() {
        let conn = database();
        let all = JobFilter::default;
        let failed = vec![JobState::Failed];
        let expect = [
            (all(), "(id>?)"),
            (JobFilter { topic: Some(Topic::publish()), ..all() }, "(id>?)"),
            (JobFilter { states: failed.clone(), ..all() }, "jobs_by_state"),
            (JobFilter { unresolved: true, ..all() }, "jobs_by_state"),
            (
                JobFilter { account: Some(AccountId::new()), states: failed, ..all() },
                "jobs_by_account",
            ),
        ];

        for (filter, index) in expect {
            let plan = query_plan(&conn, &page_sql(&filter));

            assert!(plan.contains(index), "{filter:?}\n{plan}");
            assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{filter:?}\n{plan}");
        }
        // The few jobs of one post are sorted.
        let of_post = JobFilter { post: Some(PostId::new()), ..all() };
        assert!(query_plan(&conn, &page_sql(&of_post)).contains("jobs_by_post"));
    }

    fn page_sql(filter: &JobFilter) -> String {
        Query::of(TenantId::DEFAULT, filter).page(Paged::of(Page::first(10))).sql
    }
}
