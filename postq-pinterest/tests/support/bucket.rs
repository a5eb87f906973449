//! A bucket, as far as this crate asks one.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::MediaError;
use postq_core::job::Applied;
use postq_core::media::{MediaId, MediaKind, MediaReader, MediaStore, Stored};
use postq_core::memory::MemoryMedia;

/// A store that serves its files itself, and may be stuck.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) files: MemoryMedia,
    /// It serves files of this kind alone.
    pub(crate) only: Option<MediaKind>,
    pub(crate) stuck: bool,
}

impl Bucket {
    pub(crate) fn over(files: &MemoryMedia) -> Self {
        Self { files: files.clone(), only: None, stuck: false }
    }
}

#[async_trait]
impl MediaStore for Bucket {
    async fn put(&self, content: MediaReader, at_most: u64) -> Result<Stored, MediaError> {
        self.files.put(content, at_most).await
    }

    async fn open(
        &self,
        id: MediaId,
        range: Option<Range<u64>>,
    ) -> Result<Option<MediaReader>, MediaError> {
        if self.stuck {
            std::future::pending::<()>().await;
        }
        self.files.open(id, range).await
    }

    async fn size(&self, id: MediaId) -> Result<Option<u64>, MediaError> {
        self.files.size(id).await
    }

    async fn kept(
        &self,
        from: MediaId,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<MediaId>, MediaError> {
        self.files.kept(from, before, limit).await
    }

    async fn remove(&self, id: MediaId) -> Result<Applied, MediaError> {
        self.files.remove(id).await
    }

    async fn link(
        &self,
        id: MediaId,
        kind: MediaKind,
        within: Duration,
    ) -> Result<Option<String>, MediaError> {
        assert_eq!(within, Duration::from_secs(3_600));
        let serves = self.only.is_none_or(|only| only == kind);
        Ok(serves.then(|| format!("https://bucket.example.com/{id}.{kind}")))
    }
}
