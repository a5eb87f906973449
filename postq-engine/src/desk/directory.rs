//! Accounts by what people call them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use postq_calendar::near;
use postq_core::account::Account;
use postq_core::id::{AccountId, TenantId};

use crate::dry_run::DryRun;

/// All accounts of a tenant, and the dry-run accounts that come into being by being named.
#[derive(Debug)]
pub(crate) struct Directory {
    accounts: BTreeMap<AccountId, Account>,
    by_name: BTreeMap<String, AccountId>,
    fresh: BTreeSet<AccountId>,
    tenant: TenantId,
    now: DateTime<Utc>,
}

impl Directory {
    pub(crate) fn new(accounts: Vec<Account>, tenant: TenantId, now: DateTime<Utc>) -> Self {
        let by_name = accounts.iter().map(|a| (a.name.clone(), a.id)).collect();
        let accounts = accounts.into_iter().map(|account| (account.id, account)).collect();
        Self { accounts, by_name, fresh: BTreeSet::new(), tenant, now }
    }

    /// The account of this name or id; one that is named `dry_run:NAME` is made.
    pub(crate) fn find_or_make(&mut self, name: &str) -> Result<&Account, String> {
        if let Some(id) = self.id_of(name) {
            return Ok(&self.accounts[&id]);
        }
        let account = self.dry_run(name).ok_or_else(|| self.unknown(name))?;
        let id = account.id;
        self.fresh.insert(id);
        self.by_name.insert(name.to_owned(), id);
        Ok(self.accounts.entry(id).or_insert(account))
    }

    /// The account with this id.
    pub(crate) fn get(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    /// The id of the account of this name or id.
    pub(crate) fn id_of(&self, name: &str) -> Option<AccountId> {
        let by_id = || name.parse().ok().filter(|id| self.accounts.contains_key(id));
        self.by_name.get(name).copied().or_else(by_id)
    }

    /// Whether the account is one that has to be made.
    pub(crate) fn is_fresh(&self, id: AccountId) -> bool {
        self.fresh.contains(&id)
    }

    /// Why there is no account of this name.
    pub(crate) fn unknown(&self, name: &str) -> String {
        if name.is_empty() {
            return "an account has no name; expected one as postqd account list shows them"
                .to_owned();
        }
        if name == format!("{}:", DryRun::NAME) {
            return format!("\"{name}\" lacks a name; expected {name}NAME");
        }
        let hint = near::hint(name, self.by_name.keys().map(String::as_str));
        format!(
            "there is no account \"{name}\"{hint}; add it (postqd account add PLATFORM --name \
             {name}), or name dry_run:{name} to try without one"
        )
    }

    fn dry_run(&self, name: &str) -> Option<Account> {
        let alone = name.strip_prefix(DryRun::NAME)?.strip_prefix(':')?;
        if alone.is_empty() {
            return None;
        }
        let platform = DryRun::NAME.parse().ok()?;
        Some(Account { tenant_id: self.tenant, ..Account::new(name, platform, self.now) })
    }
}
