//! How far each upload to a platform is.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::MediaId;
use crate::error::StoreError;
use crate::id::JobId;
use crate::platform::PreparedMedia;

/// What an upload is for: one picture or video of one part that one publish job brings out.
///
/// By job and not by file: some platforms take what was uploaded for one post alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UploadKey {
    /// The root of the publish job: a replay goes on with what its letter had uploaded.
    pub root: JobId,
    /// Which part, from 0.
    pub part: u16,
    /// Which of its media, from 0.
    pub index: u16,
}

/// One upload, as far as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// What it is for.
    pub key: UploadKey,
    /// What the post named: another source begins anew.
    pub source: String,
    /// What was said of it: another description begins anew.
    pub alt: Option<String>,
    /// The file that is uploaded: what was fetched, or what was made of it for the platform.
    pub media: MediaId,
    /// The file that the source named, before anything was made of it.
    pub original: MediaId,
    /// How far the adapter is, in its own words; none before its first step.
    pub state: Option<serde_json::Value>,
    /// The platform's answer; none while it is on its way.
    pub ready: Option<PreparedMedia>,
    /// When it last went on.
    pub updated_at: DateTime<Utc>,
}

/// Keeps how far uploads are, so that what was cut off goes on and is not begun again.
///
/// # Contract
///
/// 1. One upload for each key: another one replaces it.  (`an_upload_replaces_its_like`)
/// 2. `of_root` has all uploads of a job, by part and index, and no others.
///    (`uploads_are_found_by_their_job`)
/// 3. `clean` takes away those that did not go on since a time, up to a number, and no others.
///    (`old_uploads_are_cleaned`)
///
/// Each rule is a public test in `conformance::media_catalog`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait UploadStore: fmt::Debug + Send + Sync + 'static {
    /// Writes down how far an upload is.
    async fn save(&self, upload: &Upload) -> Result<(), StoreError>;

    /// The uploads of a publish job.
    async fn of_root(&self, root: JobId) -> Result<Vec<Upload>, StoreError>;

    /// Takes old ones away; answers the files they were of.
    async fn clean(&self, before: DateTime<Utc>, limit: usize) -> Result<Vec<MediaId>, StoreError>;
}

const _OBJECT_SAFE: fn(&dyn UploadStore) = |_| {};
