//! `PublicationStore`.

use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{AccountId, JobId, PostId, PublicationId, TenantId};
use postq_core::job::DedupeKey;
use postq_core::store::{Page, Publication, PublicationStore};
use rusqlite::{Row, params};

use crate::accounts::same_identity;
use crate::rows::{Paged, at_most, blob, hex_list, json, micros, time, uuid};
use crate::store::SqliteStore;

const WITHOUT_JOB: &str = "SELECT * FROM published_posts INDEXED BY published_by_time
     WHERE tenant_id = ? AND published_at >= ? AND published_at < ?
         AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = published_posts.job_id)
     ORDER BY published_at, id LIMIT ?";

pub(crate) const CLAIMED: &str = concat!(
    "SELECT DISTINCT remote_id FROM evidence WHERE account_id IN ",
    same_identity!("?1"),
    " AND remote_id IS NOT NULL AND published_at >= ?2"
);

pub(crate) const WITH_TEXT: &str = concat!(
    "SELECT 1 FROM evidence WHERE account_id IN ",
    same_identity!("?1"),
    " AND remote_id IS NOT NULL AND published_at < ?2 AND text = ?3"
);

#[async_trait]
impl PublicationStore for SqliteStore {
    async fn list(&self, tenant: TenantId, page: Page) -> Result<Vec<Publication>, StoreError> {
        let (tenant, page) = (blob(tenant.as_uuid()), Paged::of(page));
        let sql = "SELECT * FROM published_posts
                   WHERE tenant_id = ? AND id {beyond} ? ORDER BY id {way} LIMIT ?";
        self.read("list publications", move |tx| {
            Ok(tx.all(&page.sql(sql), params![tenant, page.after, page.limit], publication)?)
        })
        .await
    }

    async fn without_job(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Publication>, StoreError> {
        let (tenant, limit) = (blob(tenant.as_uuid()), at_most(limit));
        let (from, until) = (micros(span.start), micros(span.end));
        self.read("list the publications of a time", move |tx| {
            Ok(tx.all(WITHOUT_JOB, params![tenant, from, until, limit], publication)?)
        })
        .await
    }

    async fn of_jobs(&self, jobs: &[JobId]) -> Result<Vec<Publication>, StoreError> {
        let ids = hex_list(jobs.iter().map(|id| id.as_uuid()));
        let sql = "SELECT * FROM published_posts
                   WHERE job_id IN (SELECT unhex(value) FROM json_each(?)) ORDER BY id";
        self.read("load publications", move |tx| Ok(tx.all(sql, [ids], publication)?)).await
    }

    async fn claimed(
        &self,
        account: AccountId,
        since: DateTime<Utc>,
    ) -> Result<Vec<String>, StoreError> {
        let account = blob(account.as_uuid());
        self.read("list claimed remote ids", move |tx| {
            Ok(tx.all(CLAIMED, params![account, micros(since)], |row| row.get(0))?)
        })
        .await
    }

    async fn has_text(
        &self,
        account: AccountId,
        text: &str,
        before: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let (account, text) = (blob(account.as_uuid()), text.to_owned());
        self.read("look for a published text", move |tx| {
            Ok(tx.has(WITH_TEXT, params![account, micros(before), text])?)
        })
        .await
    }
}

fn publication(row: &Row<'_>) -> rusqlite::Result<Publication> {
    Ok(Publication {
        id: PublicationId::from_uuid(uuid(row, "id")?),
        tenant_id: TenantId::from_uuid(uuid(row, "tenant_id")?),
        job_id: JobId::from_uuid(uuid(row, "job_id")?),
        post_id: PostId::from_uuid(uuid(row, "post_id")?),
        account_id: AccountId::from_uuid(uuid(row, "account_id")?),
        dedupe_key: row.get::<_, Option<String>>("dedupe_key")?.map(DedupeKey::new),
        remote_id: row.get("remote_id")?,
        url: row.get("url")?,
        published_at: time(row, "published_at")?,
        parts: json(row, "parts")?,
    })
}

#[cfg(test)]
mod tests {
    use super::WITHOUT_JOB;
    use crate::tests::{database, query_plan};

    #[test]
    fn the_publications_of_a_time_are_found_and_not_sorted() {
        let plan = query_plan(&database(), WITHOUT_JOB);

        assert!(plan.contains("published_by_time (tenant_id=? AND published_at>?"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{plan}");
    }
}
