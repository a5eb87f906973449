//! `PublicationStore`.

use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{AccountId, JobId, PostId, PublicationId, TenantId};
use postq_core::job::DedupeKey;
use postq_core::store::{Page, Publication, PublicationStore};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::accounts::same_identity;
use crate::args::args;
use crate::error::Fault;
use crate::rows::{Paged, at_most, json};
use crate::store::PgStore;
use crate::tx::read;

/// `OFFSET` keeps the server from a join, which could read all jobs.
pub(crate) const WITHOUT_JOB: &str = "SELECT * FROM {s}.published_posts p
     WHERE tenant_id = $1 AND published_at >= $2 AND published_at < $3
         AND NOT EXISTS (SELECT 1 FROM {s}.job j WHERE j.id = p.job_id OFFSET 0)
     ORDER BY published_at, id LIMIT $4";

pub(crate) const CLAIMED: &str = concat!(
    "SELECT DISTINCT remote_id FROM {s}.evidence WHERE account_id = ANY (ARRAY ",
    same_identity!("$1"),
    ") AND remote_id IS NOT NULL AND published_at >= $2"
);

pub(crate) const WITH_TEXT: &str = concat!(
    "SELECT 1 FROM {s}.evidence WHERE account_id = ANY (ARRAY ",
    same_identity!("$1"),
    ") AND remote_id IS NOT NULL AND published_at < $2 AND text = $3 LIMIT 1"
);

#[async_trait]
impl PublicationStore for PgStore {
    async fn list(&self, tenant: TenantId, page: Page) -> Result<Vec<Publication>, StoreError> {
        let page = Paged::of(page);
        let list = page.sql(
            "SELECT * FROM {s}.published_posts
             WHERE tenant_id = $1 AND id {beyond} $2 ORDER BY id {way} LIMIT $3",
        );
        let args = args![tenant.as_uuid(), page.after, page.limit];
        read!(self, "list publications", |sql| sql.all(&list, args, publication))
    }

    async fn without_job(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Publication>, StoreError> {
        let args = args![tenant.as_uuid(), span.start, span.end, at_most(limit)];
        read!(self, "list the publications of a time", |sql| {
            sql.all(WITHOUT_JOB, args, publication)
        })
    }

    async fn of_jobs(&self, jobs: &[JobId]) -> Result<Vec<Publication>, StoreError> {
        let ids: Vec<Uuid> = jobs.iter().map(|id| id.as_uuid()).collect();
        let load = "SELECT * FROM {s}.published_posts WHERE job_id = ANY($1) ORDER BY id";
        read!(self, "load publications", |sql| sql.all(load, args![ids], publication))
    }

    async fn claimed(
        &self,
        account: AccountId,
        since: DateTime<Utc>,
    ) -> Result<Vec<String>, StoreError> {
        let args = args![account.as_uuid(), since];
        read!(self, "list claimed remote ids", |sql| {
            sql.all(CLAIMED, args, |row| Ok(row.try_get("remote_id")?))
        })
    }

    async fn has_text(
        &self,
        account: AccountId,
        text: &str,
        before: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let args = args![account.as_uuid(), before, text];
        read!(self, "look for a published text", |sql| sql.has(WITH_TEXT, args))
    }
}

fn publication(row: &Row) -> Result<Publication, Fault> {
    Ok(Publication {
        id: PublicationId::from_uuid(row.try_get("id")?),
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        job_id: JobId::from_uuid(row.try_get("job_id")?),
        post_id: PostId::from_uuid(row.try_get("post_id")?),
        account_id: AccountId::from_uuid(row.try_get("account_id")?),
        dedupe_key: row.try_get::<_, Option<String>>("dedupe_key")?.map(DedupeKey::new),
        remote_id: row.try_get("remote_id")?,
        url: row.try_get("url")?,
        published_at: row.try_get("published_at")?,
        parts: json(row, "parts")?,
    })
}
