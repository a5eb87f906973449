//! Media.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::clock::{Clock, SystemClock};
use crate::content::Content;
use crate::error::{ErrorKind, MediaError, StoreError};
use crate::id::{JobId, TenantId};
use crate::job::Applied;
use crate::media::{
    CLAIM, MediaCatalog, MediaFile, MediaId, MediaKind, MediaReader, MediaStore, Removal, Stored,
    Upload, UploadStore,
};
use crate::memory::MemoryBackend;
use crate::memory::state::State;
use crate::store::Page;

/// Content, and when it was put.
type Files = BTreeMap<MediaId, (Arc<[u8]>, DateTime<Utc>)>;

/// A [`MediaStore`] in memory: the reference, for tests. Clones share what they keep.
#[derive(Clone, Debug)]
pub struct MemoryMedia {
    files: Arc<Mutex<Files>>,
    clock: Arc<dyn Clock>,
}

impl Default for MemoryMedia {
    fn default() -> Self {
        Self { files: Arc::default(), clock: Arc::new(SystemClock) }
    }
}

impl MemoryMedia {
    fn lock(&self) -> std::sync::MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }
}

#[async_trait]
impl MediaStore for MemoryMedia {
    async fn put(&self, content: MediaReader, at_most: u64) -> Result<Stored, MediaError> {
        let mut kept = Vec::new();
        let read = content.take(at_most.saturating_add(1)).read_to_end(&mut kept).await;
        read.map_err(|error| {
            MediaError::new(ErrorKind::Unavailable, "read the content").caused_by(error)
        })?;
        let bytes = kept.len() as u64;
        if bytes > at_most {
            let what = format!("the content has more than {at_most} bytes");
            return Err(MediaError::new(ErrorKind::Invalid, what));
        }
        let id = MediaId::of_hash(Sha256::digest(&kept).into());
        self.lock().insert(id, (kept.into(), self.clock.now()));
        Ok(Stored { id, bytes })
    }

    async fn open(
        &self,
        id: MediaId,
        range: Option<Range<u64>>,
    ) -> Result<Option<MediaReader>, MediaError> {
        let Some((content, _)) = self.lock().get(&id).cloned() else { return Ok(None) };
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        let range = range.map_or(0..content.len(), |range| place(range.start)..place(range.end));
        let part = content.get(range).unwrap_or_default().to_vec();
        Ok(Some(Box::new(std::io::Cursor::new(part))))
    }

    async fn size(&self, id: MediaId) -> Result<Option<u64>, MediaError> {
        Ok(self.lock().get(&id).map(|(content, _)| content.len() as u64))
    }

    async fn kept(
        &self,
        from: MediaId,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<MediaId>, MediaError> {
        let files = self.lock();
        let old = files.range(from..).filter(|(_, (_, put))| *put < before);
        Ok(old.map(|(id, _)| *id).take(limit).collect())
    }

    async fn remove(&self, id: MediaId) -> Result<Applied, MediaError> {
        Ok(match self.lock().remove(&id) {
            Some(_) => Applied::Applied,
            None => Applied::Gone,
        })
    }

    async fn link(
        &self,
        _id: MediaId,
        _kind: MediaKind,
        _within: Duration,
    ) -> Result<Option<String>, MediaError> {
        Ok(None)
    }
}

impl State {
    fn names(&self, tenant: TenantId, id: MediaId) -> bool {
        let posts = self.posts.values().filter(|post| post.tenant_id == tenant);
        posts.into_iter().any(|post| post.content.media_ids().contains(&id))
    }

    fn needs_content(&self, id: MediaId) -> bool {
        self.media.keys().any(|(_, other)| *other == id)
            || self.uploads.values().any(|upload| upload.media == id || upload.original == id)
    }

    fn ensure_not_claimed(&self, id: MediaId, now: DateTime<Utc>) -> Result<(), StoreError> {
        if self.is_claimed(id, now) {
            let what = "the same content is being taken away; try again in a minute";
            return Err(StoreError::new(ErrorKind::Conflict, what));
        }
        Ok(())
    }

    fn is_claimed(&self, id: MediaId, now: DateTime<Utc>) -> bool {
        self.claims.get(&id).is_some_and(|since| *since + CLAIM > now)
    }

    /// Refuses content that names a file that is not there.
    pub(super) fn ensure_media(
        &self,
        tenant: TenantId,
        content: &Content,
    ) -> Result<(), StoreError> {
        match content.media_ids().into_iter().find(|id| !self.media.contains_key(&(tenant, *id))) {
            None => Ok(()),
            Some(id) => {
                let what =
                    format!("the post names the media file {id}, which is not there; add it again");
                Err(StoreError::new(ErrorKind::Conflict, what))
            }
        }
    }
}

#[async_trait]
impl MediaCatalog for MemoryBackend {
    async fn insert(&self, file: &MediaFile) -> Result<MediaFile, StoreError> {
        let mut state = self.lock();
        state.ensure_not_claimed(file.id, self.clock.now())?;
        let kept = state.media.entry((file.tenant_id, file.id)).or_insert_with(|| file.clone());
        if kept.name.is_none() {
            kept.name.clone_from(&file.name);
        }
        if kept.alt.is_none() {
            kept.alt.clone_from(&file.alt);
        }
        Ok(kept.clone())
    }

    async fn find(&self, tenant: TenantId, ids: &[MediaId]) -> Result<Vec<MediaFile>, StoreError> {
        let state = self.lock();
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.iter().filter_map(|id| state.media.get(&(tenant, *id)).cloned()).collect())
    }

    async fn list(&self, tenant: TenantId, page: Page) -> Result<Vec<MediaFile>, StoreError> {
        let state = self.lock();
        let mut files: Vec<_> =
            state.media.values().filter(|file| file.tenant_id == tenant).cloned().collect();
        files.sort_unstable_by_key(|file| file.entry);
        Ok(page.of(files.into_iter(), |file| file.entry))
    }

    async fn remove(&self, tenant: TenantId, id: MediaId) -> Result<Removal, StoreError> {
        let mut state = self.lock();
        if !state.media.contains_key(&(tenant, id)) {
            return Ok(Removal::Gone);
        }
        if state.names(tenant, id) {
            return Ok(Removal::InUse);
        }
        state.media.remove(&(tenant, id));
        Ok(if state.needs_content(id) { Removal::Shared } else { Removal::Last })
    }

    async fn claim(&self, id: MediaId) -> Result<bool, StoreError> {
        let (mut state, now) = (self.lock(), self.clock.now());
        if state.needs_content(id) || state.is_claimed(id, now) {
            return Ok(false);
        }
        state.claims.insert(id, now);
        Ok(true)
    }

    async fn release(&self, id: MediaId) -> Result<(), StoreError> {
        self.lock().claims.remove(&id);
        Ok(())
    }

    async fn unused(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<MediaFile>, StoreError> {
        let state = self.lock();
        let unused =
            |file: &&MediaFile| file.created_at < before && !state.names(file.tenant_id, file.id);
        let mut files: Vec<_> = state.media.values().filter(unused).cloned().collect();
        files.sort_unstable_by_key(|file| file.created_at);
        files.truncate(limit);
        Ok(files)
    }
}

#[async_trait]
impl UploadStore for MemoryBackend {
    async fn save(&self, upload: &Upload) -> Result<(), StoreError> {
        let (mut state, now) = (self.lock(), self.clock.now());
        state.ensure_not_claimed(upload.media, now)?;
        state.ensure_not_claimed(upload.original, now)?;
        state.uploads.insert(upload.key, upload.clone());
        Ok(())
    }

    async fn of_root(&self, root: JobId) -> Result<Vec<Upload>, StoreError> {
        let state = self.lock();
        Ok(state.uploads.values().filter(|upload| upload.key.root == root).cloned().collect())
    }

    async fn clean(&self, before: DateTime<Utc>, limit: usize) -> Result<Vec<MediaId>, StoreError> {
        let mut state = self.lock();
        let old = state.uploads.values().filter(|upload| upload.updated_at < before);
        let old: Vec<Upload> = old.take(limit).cloned().collect();
        for upload in &old {
            state.uploads.remove(&upload.key);
        }
        let mut files: Vec<_> = old.iter().flat_map(|up| [up.media, up.original]).collect();
        files.sort_unstable();
        files.dedup();
        files.retain(|id| !state.needs_content(*id));
        Ok(files)
    }
}
