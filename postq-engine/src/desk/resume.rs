//! Letting an account go on.

use postq_core::account::Account;
use postq_core::id::AccountId;
use postq_core::job::Job;
use postq_core::machine::JobState;
use postq_core::store::{Block, BlockReason, JobFilter, Page};

use super::{Desk, DeskError};

/// Jobs on one page.
const PAGE: usize = 500;

/// Waiting jobs of an account that are looked through for those that were put off: only what was in
/// flight when the account came to a halt was, and that is among the oldest.
const MOST_PAGES: usize = 20;

impl Desk {
    /// Lets an account go on: whatever holds it back is lifted, and what holds back its whole app. What
    /// was put off because of it is due now.
    pub async fn resume(&self, account: &Account) -> Result<(), DeskError> {
        self.lift(account, |_| true).await
    }

    /// Lets an account with new credentials go on, unless something else holds it back.
    pub async fn reconnected(&self, account: &Account) -> Result<(), DeskError> {
        self.lift(account, |reason| reason == BlockReason::NeedsAttention).await
    }

    async fn lift(
        &self,
        account: &Account,
        lifts: impl Fn(BlockReason) -> bool,
    ) -> Result<(), DeskError> {
        let lane = account.lane();
        let covers = |block: &Block| block.scope == lane.as_str() || block.scope == lane.app();
        let mut app_goes_on = false;
        for block in self.backend.blocks.blocks().await? {
            if covers(&block) && lifts(block.reason) {
                self.backend.blocks.lift(&block.scope, block.reason).await?;
                app_goes_on |= block.scope == lane.app();
            }
        }
        self.make_due(account.id).await?;
        if app_goes_on {
            let accounts = self.backend.accounts.list(self.tenant()).await?;
            for other in
                accounts.iter().filter(|a| a.id != account.id && a.lane().app() == lane.app())
            {
                self.make_due(other.id).await?;
            }
        }
        Ok(())
    }

    /// Makes the jobs of an account due that were put off until later than they were planned for. Those
    /// that wait to be tried again after a failure, or to be looked for, keep their time.
    async fn make_due(&self, account: AccountId) -> Result<(), DeskError> {
        let filter = JobFilter {
            states: vec![JobState::Enqueued],
            account: Some(account),
            ..JobFilter::default()
        };
        let now = self.backend.jobs.now().await?;
        let was_put_off = |job: &&Job| job.made.planned_at <= now && job.run_at > now;
        let mut page = Page::first(PAGE);
        for _ in 0..MOST_PAGES {
            let jobs = self.backend.jobs.list(self.tenant(), &filter, page).await?;
            for job in jobs.iter().filter(was_put_off) {
                // Whoever claimed or cancelled it meanwhile knows better.
                let _ = self.backend.control.due_now(job.id()).await?;
            }
            match jobs.last().filter(|_| jobs.len() >= PAGE) {
                Some(last) => page.after = Some(last.id().as_uuid()),
                None => break,
            }
        }
        Ok(())
    }
}
