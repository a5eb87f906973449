//! What is known of each file, and who needs it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{MediaFile, MediaId};
use crate::error::StoreError;
use crate::id::TenantId;
use crate::store::Page;

/// What became of taking a file away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Removal {
    /// It is gone, and so may be its content: no tenant has it any more, and no upload needs it.
    Last,
    /// It is gone; its content is still needed.
    Shared,
    /// Refused: a post names it.
    InUse,
    /// There is no such file.
    Gone,
}

/// A claim ends after so long: whoever held it is gone. Longer than any store takes to remove a file.
pub const CLAIM: Duration = Duration::from_secs(600);

/// Keeps what is known of media.
///
/// # Contract
///
/// 1. A file is added once for each tenant: again leaves it as it is, but for a name or a description
///    that it did not have, and answers it as it is then.  (`a_file_is_added_once`)
/// 2. A file that a post of the tenant names as `media:ID` is not removed; it is when the post names
///    another, or is removed.  (`a_file_that_a_post_names_stays`)
/// 3. A removal, and a claim, tell whether the content can go: not while another tenant has the file, nor while an
///    upload is of it.  (`content_goes_with_the_last_who_needs_it`)
/// 4. `unused` has what was added before a time and no post names, oldest first.
///    (`what_nobody_names_is_found`)
/// 5. `list` shows the files of a tenant in the order in which they were added, or the other way round.
///    (`files_are_listed_by_tenant`)
/// 6. Content that is claimed gets no file and no upload until it is released: what is taken away is not
///    needed again at the same moment. A claim has one holder, and ends by itself after [`CLAIM`].
///    (`claimed_content_gets_no_file`)
/// 7. A post is not stored, nor changed, with a file that is not there: a conflict. Of a removal and a post that
///    come at one moment, one is refused.  (`a_post_names_no_file_that_is_gone`,
///    `of_a_removal_and_a_post_one_is_refused`)
///
/// Each rule is a public test in `conformance::media_catalog`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait MediaCatalog: fmt::Debug + Send + Sync + 'static {
    /// Adds a file; answers it as it is kept.
    async fn insert(&self, file: &MediaFile) -> Result<MediaFile, StoreError>;

    /// The files with these ids, in any order; those that the tenant does not have are left out.
    async fn find(&self, tenant: TenantId, ids: &[MediaId]) -> Result<Vec<MediaFile>, StoreError>;

    /// A page of files, by their `entry`.
    async fn list(&self, tenant: TenantId, page: Page) -> Result<Vec<MediaFile>, StoreError>;

    /// Takes a file away that no post names.
    async fn remove(&self, tenant: TenantId, id: MediaId) -> Result<Removal, StoreError>;

    /// Claims content, to take it away: false if a tenant has it, an upload is of it, or somebody else has claimed
    /// it.
    async fn claim(&self, id: MediaId) -> Result<bool, StoreError>;

    /// Ends a claim: the content is gone, or stays.
    async fn release(&self, id: MediaId) -> Result<(), StoreError>;

    /// Up to `limit` files, of any tenant, that were added before a time and that no post names.
    async fn unused(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<MediaFile>, StoreError>;
}

const _OBJECT_SAFE: fn(&dyn MediaCatalog) = |_| {};
