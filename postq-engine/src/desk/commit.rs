//! Writing what was found good.

use std::collections::{BTreeMap, BTreeSet};

use postq_core::account::Account;
use postq_core::content::Post;
use postq_core::error::{ErrorKind, StoreError};
use postq_core::id::AccountId;
use postq_core::schedule::Schedule;
use tokio::task::JoinSet;

use super::{Checked, Desk, DeskError, Directory, Entry, Submission, Submitted};

/// Posts, and then schedules, in one transaction each.
pub(crate) const CHUNK: usize = 500;

/// Accounts that are made at once: a store that commits in groups takes them in one commit.
const AT_ONCE: usize = 64;

impl Desk {
    /// Takes a post in, or refuses it.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, DeskError> {
        let mut checked = self.check(&[submission]).await?;
        let entry = checked.entries.pop().expect("one submission gives one entry")?;
        let key = entry.post.key.clone();
        self.ensure_key_is_free(key.as_deref()).await?;
        match self.commit(&checked, vec![entry]).await {
            Ok(mut submitted) => Ok(submitted.pop().expect("one entry gives one post")),
            Err(error) => {
                // Of two that came at the same moment the store refused the second: this says why.
                if error.kind() == ErrorKind::Conflict {
                    self.ensure_key_is_free(key.as_deref()).await?;
                }
                Err(error)
            }
        }
    }

    /// A key is one post's for good.
    async fn ensure_key_is_free(&self, key: Option<&str>) -> Result<(), DeskError> {
        let Some(key) = key else { return Ok(()) };
        let taken = self.backend.posts.with_keys(self.tenant(), &[key.to_owned()]).await?;
        match taken.first() {
            None => Ok(()),
            Some(post) => Err(DeskError::refused(
                "key",
                format!(
                    "\"{key}\" is the key of post {}, which is not taken in twice; postqd post edit \
                     changes it, another key makes another post",
                    post.id
                ),
            )),
        }
    }

    /// Writes entries that a check found good, in few transactions. A post is written before its
    /// schedule: what is cut off in between is completed when it is handed in again under its key.
    pub async fn commit(
        &self,
        checked: &Checked,
        mut entries: Vec<Entry>,
    ) -> Result<Vec<Submitted>, DeskError> {
        let accounts = entries.iter_mut().flat_map(|entry| &mut entry.schedule.accounts);
        self.make_accounts(&checked.directory, accounts).await?;
        for chunk in entries.chunks(CHUNK) {
            self.write(chunk.iter()).await?;
        }
        Ok(entries.into_iter().map(submitted).collect())
    }

    /// Writes one portion of entries whose accounts are there: all posts or none, then the schedules.
    pub(crate) async fn write(
        &self,
        entries: impl Iterator<Item = &Entry> + Clone,
    ) -> Result<(), StoreError> {
        let new = entries.clone().filter(|entry| !entry.post_exists);
        let posts: Vec<Post> = new.map(|entry| entry.post.clone()).collect();
        let schedules: Vec<Schedule> = entries.map(|entry| entry.schedule.clone()).collect();
        if !posts.is_empty() {
            self.backend.posts.insert(&posts).await?;
        }
        self.backend.schedules.insert(&schedules).await
    }

    /// Makes those of the accounts that came into being by being named; where another process was
    /// faster, its account takes the place of ours.
    pub(crate) async fn make_accounts(
        &self,
        directory: &Directory,
        accounts: impl Iterator<Item = &mut AccountId>,
    ) -> Result<(), DeskError> {
        let used: Vec<&mut AccountId> = accounts.filter(|id| directory.is_fresh(**id)).collect();
        let fresh: BTreeSet<AccountId> = used.iter().map(|id| **id).collect();
        let fresh: Vec<&Account> = fresh.into_iter().filter_map(|id| directory.get(id)).collect();
        let mut made: BTreeMap<AccountId, AccountId> = BTreeMap::new();
        for accounts in fresh.chunks(AT_ONCE) {
            let mut makers = JoinSet::new();
            for account in accounts {
                let (desk, account) = (self.clone(), (*account).clone());
                makers.spawn(async move { (account.id, desk.make_account(&account).await) });
            }
            while let Some(joined) = makers.join_next().await {
                let (ours, real) = joined.expect("making an account does not panic");
                made.insert(ours, real?);
            }
        }
        for id in used {
            *id = made.get(id).copied().unwrap_or(*id);
        }
        Ok(())
    }

    /// Makes an account; answers the one of its name that another process has just made, if so.
    async fn make_account(&self, account: &Account) -> Result<AccountId, DeskError> {
        let Err(error) = self.backend.accounts.insert(account).await else {
            return Ok(account.id);
        };
        if error.kind() != ErrorKind::Conflict {
            return Err(error.into());
        }
        let accounts = self.backend.accounts.list(self.tenant()).await?;
        let theirs = accounts.into_iter().find(|other| other.name == account.name);
        theirs.map(|other| other.id).ok_or_else(|| error.into())
    }
}

fn submitted(entry: Entry) -> Submitted {
    Submitted {
        first: entry.first(),
        post: entry.post.id,
        schedule: entry.schedule.id,
        key: entry.post.key,
    }
}
