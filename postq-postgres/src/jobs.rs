//! `JobStore`.

use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{AccountId, JobId, PostId, ScheduleId, TenantId};
use postq_core::job::{Job, NewJob, Topic};
use postq_core::machine::JobState;
use postq_core::store::{JobFilter, JobStore, JobStory, Page};
use uuid::Uuid;

use crate::args::{Arg, args};
use crate::error::Fault;
use crate::history;
use crate::make::Birth;
use crate::rows::{Paged, at_most, whole, word};
use crate::store::PgStore;
use crate::transition::job;
use crate::tx::{Sql, Tx, read, write};

/// The publish jobs of a span of time; without what an edit took back, which has lost its key, and without
/// letters that have a replay in their place. The answer about one job is no join: a join could read all
/// that have ended.
pub(crate) const PLANNED_IN: &str = "SELECT * FROM {s}.jobs WHERE id = ANY (ARRAY (
         SELECT j.id FROM {s}.job j
         WHERE j.tenant_id = $1 AND j.kind = 'publish' AND j.planned_at >= $2 AND j.planned_at < $3
             AND coalesce((SELECT NOT (e.state = 'cancelled' AND j.dedupe_key IS NULL)
                     AND e.resolution IS DISTINCT FROM 'replayed'
                 FROM {s}.ended e WHERE e.job_id = j.id), true)
         ORDER BY j.planned_at, j.id LIMIT $4))
     ORDER BY planned_at, id";

#[async_trait]
impl JobStore for PgStore {
    async fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.ask_time().await
    }

    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<JobId>, StoreError> {
        let births: Vec<Birth> = jobs.iter().map(|made| Birth::enqueued(made, None)).collect();
        write!(self, "insert jobs", |tx| insert(&tx, &births))
    }

    async fn list(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
        page: Page,
    ) -> Result<Vec<Job>, StoreError> {
        let (query, page) = (Query::of(tenant, filter), Paged::of(page));
        read!(self, "list jobs", |sql| query.list(sql, page))
    }

    async fn planned_in(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let args = args![tenant.as_uuid(), span.start, span.end, at_most(limit)];
        read!(self, "list the jobs of a time", |sql| sql.all(PLANNED_IN, args, job))
    }

    async fn count(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
    ) -> Result<Vec<(JobState, u64)>, StoreError> {
        let query = Query::of(tenant, filter);
        read!(self, "count jobs", |sql| query.count(sql))
    }

    async fn story(&self, id: JobId) -> Result<Option<JobStory>, StoreError> {
        read!(self, "tell a job's story", |sql| history::story(sql, id))
    }
}

async fn insert(tx: &Tx<'_>, births: &[Birth]) -> Result<Vec<JobId>, Fault> {
    let now = tx.sql.now().await?;
    tx.make(births, now).await
}

/// What a filter asks for, as SQL.
pub(crate) struct Query {
    /// About what a job was made from; `{j}` stands for the table.
    made: String,
    tenant: Uuid,
    states: Vec<JobState>,
    unresolved: bool,
    topic: Option<String>,
    lane: Option<String>,
    account: Option<Uuid>,
    post: Option<Uuid>,
    schedules: Option<Vec<Uuid>>,
    ended_since: Option<DateTime<Utc>>,
}

/// The states of jobs that have ended.
const ENDED: [JobState; 3] = [JobState::Succeeded, JobState::DeadLetter, JobState::Cancelled];

impl Query {
    pub(crate) fn of(tenant: TenantId, filter: &JobFilter) -> Self {
        let mut states = filter.states.clone();
        if states.is_empty() && filter.unresolved {
            states.push(JobState::DeadLetter);
        }
        states.sort_unstable();
        states.dedup();
        let schedules = |all: &Vec<ScheduleId>| all.iter().map(|id| id.as_uuid()).collect();
        let mut query = Self {
            made: "{j}tenant_id = $1".to_owned(),
            tenant: tenant.as_uuid(),
            states,
            unresolved: filter.unresolved,
            topic: filter.topic.as_ref().map(|topic: &Topic| topic.as_str().to_owned()),
            lane: filter.lane.as_ref().map(|lane| lane.as_str().to_owned()),
            account: filter.account.map(AccountId::as_uuid),
            post: filter.post.map(PostId::as_uuid),
            schedules: filter.schedules.as_ref().map(schedules),
            ended_since: filter.ended_since.map(whole),
        };
        let conditions = [
            (query.topic.is_some(), "topic = ("),
            (query.lane.is_some(), "lane = ("),
            (query.account.is_some(), "account_id = ("),
            (query.post.is_some(), "post_id = ("),
            (query.schedules.is_some(), "schedule_id = ANY("),
        ];
        let mut n = 1;
        for (_, condition) in conditions.into_iter().filter(|(is_asked, _)| *is_asked) {
            n += 1;
            query.made.push_str(&format!(" AND {{j}}{condition}${n})"));
        }
        if query.topic.as_deref() == Some(Topic::WEBHOOK) {
            // As in the index of the deliveries' lanes, which is taken only if it is told so.
            query.made.push_str(" AND {j}topic = 'webhook'");
        }
        query
    }

    fn args(&self) -> Vec<Arg<'_>> {
        let mut args: Vec<Arg<'_>> = vec![&self.tenant];
        args.extend(self.topic.as_ref().map(|topic| topic as Arg<'_>));
        args.extend(self.lane.as_ref().map(|lane| lane as Arg<'_>));
        args.extend(self.account.as_ref().map(|account| account as Arg<'_>));
        args.extend(self.post.as_ref().map(|post| post as Arg<'_>));
        args.extend(self.schedules.as_ref().map(|schedules| schedules as Arg<'_>));
        args.extend(self.ended_since.as_ref().map(|since| since as Arg<'_>));
        args
    }

    fn made(&self, table: &str) -> String {
        self.made.replace("{j}", table)
    }

    /// The condition on the end of a job: its time is the last of [`args`](Self::args).
    fn ended(&self, column: &str) -> String {
        match self.ended_since {
            Some(_) => format!(" AND {column} >= ${}", self.args().len()),
            None => String::new(),
        }
    }

    /// The whole condition, for the view.
    fn condition(&self) -> String {
        let mut condition = self.made("") + &self.ended("finished_at");
        if !self.states.is_empty() {
            let words: Vec<_> = self.states.iter().map(|state| format!("'{state}'")).collect();
            condition.push_str(&format!(" AND state IN ({})", words.join(", ")));
        }
        if self.unresolved {
            condition.push_str(" AND state = 'dead_letter' AND resolution IS NULL");
        }
        condition
    }

    /// The statement for a page, with its parameters. The server merges no ordered scans of the view's
    /// tables, so each is asked for its first ids by itself.
    pub(crate) fn page<'a>(&'a self, page: &'a Paged) -> (String, Vec<Arg<'a>>) {
        let mut args = self.args();
        args.extend([&page.after as Arg<'_>, &page.limit]);
        let (after, limit) = (args.len() - 1, args.len());
        let ids = if self.post.is_some() || self.schedules.is_some() {
            // Few, and sorted.
            format!(
                "SELECT id FROM {{s}}.jobs WHERE {} AND id {{beyond}} ${after}",
                self.condition()
            )
        } else if self.ended_since.is_some() {
            // Those of a short time, wherever they are by their ids: `OFFSET` keeps the server from
            // walking through all ids until it has a page of them.
            let words: Vec<_> = ENDED.iter().filter(|state| self.shows(**state)).collect();
            let words: Vec<_> = words.iter().map(|state| format!("'{state}'")).collect();
            format!(
                "SELECT p.job_id AS id FROM {{s}}.ended p JOIN {{s}}.job j ON j.id = p.job_id
                 WHERE {} AND p.tenant_id = $1 AND p.state = ANY (ARRAY[{}]::text[]) {} {}
                     AND p.job_id {{beyond}} ${after} OFFSET 0",
                self.made("j."),
                words.join(", "),
                self.ended("p.finished_at"),
                if self.unresolved { "AND p.resolution IS NULL" } else { "" },
            )
        } else if self.states.is_empty() {
            let made = self.made("");
            format!(
                "SELECT id FROM {{s}}.job WHERE {made} AND id {{beyond}} ${after} ORDER BY id {{way}} LIMIT ${limit}"
            )
        } else {
            let made = self.made("j.");
            let of_state = |(phase, condition): (&str, String)| {
                format!(
                    "(SELECT p.job_id AS id FROM {{s}}.{phase} p JOIN {{s}}.job j ON j.id = p.job_id
                      WHERE {made} AND {condition} AND p.job_id {{beyond}} ${after}
                      ORDER BY p.job_id {{way}} LIMIT ${limit})"
                )
            };
            let parts: Vec<_> =
                self.states.iter().flat_map(|state| self.phases(*state)).map(of_state).collect();
            parts.join(" UNION ALL ")
        };
        let sql = format!(
            "SELECT * FROM {{s}}.jobs WHERE id = ANY (ARRAY (
                 SELECT id FROM ({ids}) AS ids ORDER BY id {{way}} LIMIT ${limit})) ORDER BY id {{way}}"
        );
        (page.sql(&sql), args)
    }

    fn shows(&self, state: JobState) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }

    /// The tables that hold jobs of a state, with the condition for it there.
    fn phases(&self, state: JobState) -> Vec<(&'static str, String)> {
        let is = format!("p.state = '{state}'");
        match state {
            JobState::Planned => vec![("planned", "true".to_owned())],
            JobState::Enqueued | JobState::Failed => vec![("later", is.clone()), ("due", is)],
            JobState::Running => vec![("running", "true".to_owned())],
            JobState::Succeeded | JobState::DeadLetter | JobState::Cancelled => {
                let unresolved = if self.unresolved { "AND p.resolution IS NULL" } else { "" };
                vec![("ended", format!("p.tenant_id = $1 AND {is} {unresolved}"))]
            }
        }
    }

    async fn list(&self, sql: Sql<'_>, page: Paged) -> Result<Vec<Job>, Fault> {
        let (statement, args) = self.page(&page);
        sql.all(&statement, &args, job).await
    }

    async fn count(&self, sql: Sql<'_>) -> Result<Vec<(JobState, u64)>, Fault> {
        let count = format!(
            "SELECT state, count(*) AS jobs FROM {{s}}.jobs WHERE {} GROUP BY state",
            self.condition()
        );
        let mut counts = sql
            .all(&count, &self.args(), |row| {
                Ok((word(row, "state")?, row.try_get::<_, i64>("jobs")?.unsigned_abs()))
            })
            .await?;
        counts.sort_unstable();
        Ok(counts)
    }
}
