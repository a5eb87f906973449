//! Asking platforms for their own rules before a post is taken in, and for what is to be read before.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::content::Content;
use postq_core::platform::PlatformName;
use tokio::time::Instant;

use super::check::violation_problem;
use super::{Desk, Directory, Entry, Problem, Refused};
use crate::preflight::{advice, refused};

/// Posts of one call that are asked for, and after how long no further post, or account of one, is: what is left
/// is asked for before it is sent.
const MOST: usize = 100;
const WITHIN: Duration = Duration::from_secs(10);

impl Desk {
    /// Refuses what the platforms would refuse.
    pub(super) async fn ask_platforms(
        &self,
        entries: &mut [Result<Entry, Refused>],
        directory: &Directory,
        now: DateTime<Utc>,
    ) {
        let until = Instant::now() + WITHIN;
        let mut asked = 0;
        for one in entries {
            let Ok(entry) = one else { continue };
            let ids = entry.schedule.accounts.iter();
            let accounts: Vec<Account> = ids.filter_map(|id| directory.get(*id).cloned()).collect();
            if !accounts.iter().any(|account| self.has_preflight(account)) {
                continue;
            }
            asked += 1;
            if asked > MOST || Instant::now() >= until {
                return;
            }
            let problems = self.preflight(&entry.post.content, &accounts, now).await;
            if !problems.is_empty() {
                *one = Err(Refused { problems });
            }
        }
    }

    /// What the platforms of these accounts say.
    pub(super) async fn preflight(
        &self,
        content: &Content,
        accounts: &[Account],
        now: DateTime<Utc>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let Some(tokens) = &self.tokens else { return problems };
        let until = Instant::now() + WITHIN;
        for account in accounts.iter().filter(|account| self.has_preflight(account)) {
            if Instant::now() >= until {
                break;
            }
            let Some(platform) = self.platforms.get(&account.platform) else { continue };
            // Without credentials nobody can ask; the account tells of that itself.
            let Ok(usable) = tokens.usable(account, now).await else { continue };
            let draft = content.draft_for(&account.platform);
            let violations = refused(&**platform, account, &usable.who, draft).await;
            problems.extend(violations.into_iter().map(|violation| {
                violation_problem("text", account, draft.parts.len(), &violation)
            }));
        }
        problems
    }

    /// What these platforms want a person to read before this is posted there. Told by the first account of
    /// each that is answered; none where none is.
    pub(super) async fn advice(
        &self,
        content: &Content,
        accounts: &[Account],
        now: DateTime<Utc>,
    ) -> BTreeMap<PlatformName, Vec<String>> {
        let mut told = BTreeMap::new();
        let Some(tokens) = &self.tokens else { return told };
        let until = Instant::now() + WITHIN;
        for account in accounts.iter().filter(|account| self.has_preflight(account)) {
            if told.contains_key(&account.platform) {
                continue;
            }
            if Instant::now() >= until {
                break;
            }
            let Some(platform) = self.platforms.get(&account.platform) else { continue };
            let Ok(usable) = tokens.usable(account, now).await else { continue };
            let draft = content.draft_for(&account.platform);
            if let Some(lines) = advice(&**platform, account, &usable.who, draft).await {
                told.insert(account.platform.clone(), lines);
            }
        }
        told
    }

    fn has_preflight(&self, account: &Account) -> bool {
        let platform = self.platforms.get(&account.platform);
        platform.is_some_and(|platform| platform.preflight().is_some())
    }
}
