//! What is out, and its metrics.

use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::id::{AccountId, JobId, TenantId};
use crate::intent::PartEvidence;
use crate::memory::MemoryBackend;
use crate::memory::state::State;
use crate::store::{Page, Publication, PublicationStore};

impl State {
    /// The parts of every root of an account's identity that have a receipt.
    pub(super) fn receipts_of(&self, account: AccountId) -> impl Iterator<Item = &PartEvidence> {
        let same = self.same_identity(account);
        let roots = self.owners.iter().filter(move |(_, owner)| same.contains(owner));
        let known = roots.filter_map(|(root, _)| self.evidence.get(root));
        known.flat_map(|known| &known.0).filter(|part| part.receipt.is_some())
    }
}

#[async_trait]
impl PublicationStore for MemoryBackend {
    async fn list(&self, tenant: TenantId, page: Page) -> Result<Vec<Publication>, StoreError> {
        let state = self.lock();
        let of_tenant = state.publications.values().filter(|out| out.tenant_id == tenant);
        Ok(page.of(of_tenant, |out| out.id.as_uuid()).into_iter().cloned().collect())
    }

    async fn without_job(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Publication>, StoreError> {
        let state = self.lock();
        let of_span = |out: &&Publication| {
            out.tenant_id == tenant
                && span.contains(&out.published_at)
                && !state.jobs.contains_key(&out.job_id)
        };
        let mut found: Vec<_> = state.publications.values().filter(of_span).collect();
        found.sort_by_key(|out| (out.published_at, out.id));
        Ok(found.into_iter().take(limit).cloned().collect())
    }

    async fn of_jobs(&self, jobs: &[JobId]) -> Result<Vec<Publication>, StoreError> {
        let state = self.lock();
        let of_jobs = state.publications.values().filter(|out| jobs.contains(&out.job_id));
        Ok(of_jobs.cloned().collect())
    }

    async fn claimed(
        &self,
        account: AccountId,
        since: DateTime<Utc>,
    ) -> Result<Vec<String>, StoreError> {
        let state = self.lock();
        let receipts = state.receipts_of(account).filter_map(|part| part.receipt.as_ref());
        let recent = receipts.filter(|receipt| receipt.published_at >= since);
        Ok(recent.map(|receipt| receipt.remote_id.clone()).collect())
    }

    async fn has_text(
        &self,
        account: AccountId,
        text: &str,
        before: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let state = self.lock();
        let found = state.receipts_of(account).any(|part| {
            part.intent.as_ref().is_some_and(|intent| intent.text == text)
                && part.receipt.as_ref().is_some_and(|receipt| receipt.published_at < before)
        });
        Ok(found)
    }
}
