//! `MediaCatalog` and `UploadStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{JobId, PostId, TenantId};
use postq_core::media::{
    CLAIM, MediaCatalog, MediaFile, MediaId, Removal, Upload, UploadKey, UploadStore,
};
use postq_core::store::Page;
use rusqlite::{Row, params};

use crate::error::Fault;
use crate::rows::{Paged, at_most, blob, json, micros, time, uuid};
use crate::store::SqliteStore;
use crate::writer::Tx;

impl SqliteStore {
    /// What is known of media.
    pub fn media_catalog(&self) -> Arc<dyn MediaCatalog> {
        Arc::new(self.clone())
    }

    /// How far uploads are.
    pub fn uploads(&self) -> Arc<dyn UploadStore> {
        Arc::new(self.clone())
    }
}

/// Whether anybody needs content: a file of any tenant, or an upload.
const NEEDED: &str = "SELECT 1 WHERE EXISTS (SELECT 1 FROM media_files WHERE id = ?1)
    OR EXISTS (SELECT 1 FROM media_uploads WHERE media_id = ?1)
    OR EXISTS (SELECT 1 FROM media_uploads WHERE original = ?1)";

#[async_trait]
impl MediaCatalog for SqliteStore {
    async fn insert(&self, file: &MediaFile) -> Result<MediaFile, StoreError> {
        let file = file.clone();
        let sql =
            "INSERT INTO media_files (tenant_id, id, entry, bytes, facts, name, alt, created_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                   ON CONFLICT DO UPDATE SET name = ifnull(name, excluded.name),
                       alt = ifnull(alt, excluded.alt)
                   RETURNING *";
        self.write("add a media file", move |tx| {
            ensure_not_claimed(tx, file.id)?;
            let kept = tx.get(
                sql,
                params![
                    blob(file.tenant_id.as_uuid()),
                    file.id.hash(),
                    blob(file.entry),
                    i64::try_from(file.bytes).unwrap_or(i64::MAX),
                    serde_json::to_string(&file.facts)?,
                    file.name,
                    file.alt,
                    micros(file.created_at),
                ],
                media_file,
            )?;
            Ok(kept.unwrap_or_else(|| file.clone()))
        })
        .await
    }

    async fn find(&self, tenant: TenantId, ids: &[MediaId]) -> Result<Vec<MediaFile>, StoreError> {
        let ids = serde_json::to_string(ids).unwrap_or_default();
        let sql = "SELECT * FROM media_files WHERE tenant_id = ?
                   AND id IN (SELECT unhex(value) FROM json_each(?))";
        let tenant = blob(tenant.as_uuid());
        self.read("find media", move |tx| Ok(tx.all(sql, params![tenant, ids], media_file)?)).await
    }

    async fn list(&self, tenant: TenantId, page: Page) -> Result<Vec<MediaFile>, StoreError> {
        const LIST: &str = "SELECT * FROM media_files WHERE tenant_id = ? AND entry {beyond} ?
                            ORDER BY entry {way} LIMIT ?";
        let (tenant, page) = (blob(tenant.as_uuid()), Paged::of(page));
        self.read("list media", move |tx| {
            Ok(tx.all(&page.sql(LIST), params![tenant, page.after, page.limit], media_file)?)
        })
        .await
    }

    async fn remove(&self, tenant: TenantId, id: MediaId) -> Result<Removal, StoreError> {
        let tenant = blob(tenant.as_uuid());
        self.write("remove a media file", move |tx| {
            let key = params![tenant, id.hash()];
            let used = "SELECT 1 FROM media_uses WHERE tenant_id = ? AND media_id = ?";
            if !tx.has("SELECT 1 FROM media_files WHERE tenant_id = ? AND id = ?", key)? {
                return Ok(Removal::Gone);
            }
            if tx.has(used, key)? {
                return Ok(Removal::InUse);
            }
            tx.run("DELETE FROM media_files WHERE tenant_id = ? AND id = ?", key)?;
            Ok(if needed(tx, id)? { Removal::Shared } else { Removal::Last })
        })
        .await
    }

    async fn claim(&self, id: MediaId) -> Result<bool, StoreError> {
        let claim = "INSERT OR REPLACE INTO media_claims (id, since) VALUES (?, ?)";
        self.write("claim media", move |tx| {
            if needed(tx, id)? || is_claimed(tx, id)? {
                return Ok(false);
            }
            tx.run(claim, params![id.hash(), micros(tx.now)])?;
            Ok(true)
        })
        .await
    }

    async fn release(&self, id: MediaId) -> Result<(), StoreError> {
        self.write("release media", move |tx| {
            tx.run("DELETE FROM media_claims WHERE id = ?", [id.hash()])?;
            Ok(())
        })
        .await
    }

    async fn unused(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<MediaFile>, StoreError> {
        let sql = "SELECT * FROM media_files WHERE created_at < ?
                   AND NOT EXISTS (SELECT 1 FROM media_uses AS u
                       WHERE u.tenant_id = media_files.tenant_id AND u.media_id = media_files.id)
                   ORDER BY created_at LIMIT ?";
        let args = (micros(before), at_most(limit));
        self.read("find unused media", move |tx| Ok(tx.all(sql, args, media_file)?)).await
    }
}

fn needed(tx: &Tx<'_>, id: MediaId) -> Result<bool, Fault> {
    Ok(tx.has(NEEDED, params![id.hash()])?)
}

fn is_claimed(tx: &Tx<'_>, id: MediaId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM media_claims WHERE id = ? AND since > ?";
    Ok(tx.has(sql, params![id.hash(), micros(tx.now - CLAIM)])?)
}

fn ensure_not_claimed(tx: &Tx<'_>, id: MediaId) -> Result<(), Fault> {
    match is_claimed(tx, id)? {
        true => Err(Fault::conflict("the same content is being taken away; try again in a minute")),
        false => Ok(()),
    }
}

/// Refuses a post that names a file that is not there.
pub(crate) fn ensure_media(tx: &Tx<'_>, post: PostId) -> Result<(), Fault> {
    let sql = "SELECT media_id FROM media_uses AS u WHERE post_id = ? AND NOT EXISTS
                   (SELECT 1 FROM media_files AS f WHERE f.tenant_id = u.tenant_id AND f.id = u.media_id)";
    match tx.get(sql, [blob(post.as_uuid())], |row| media_id(row, "media_id"))? {
        None => Ok(()),
        Some(id) => Err(Fault::conflict(format!(
            "the post names the media file {id}, which is not there; add it again"
        ))),
    }
}

#[async_trait]
impl UploadStore for SqliteStore {
    async fn save(&self, upload: &Upload) -> Result<(), StoreError> {
        let upload = upload.clone();
        let sql = "INSERT OR REPLACE INTO media_uploads (root, part, place, source, alt, media_id,
                       original, state, ready, updated_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        self.write("write down an upload", move |tx| {
            ensure_not_claimed(tx, upload.media)?;
            ensure_not_claimed(tx, upload.original)?;
            let state = upload.state.as_ref().map(serde_json::to_string).transpose()?;
            let ready = upload.ready.as_ref().map(serde_json::to_string).transpose()?;
            tx.run(
                sql,
                params![
                    blob(upload.key.root.as_uuid()),
                    upload.key.part,
                    upload.key.index,
                    upload.source,
                    upload.alt,
                    upload.media.hash(),
                    upload.original.hash(),
                    state,
                    ready,
                    micros(upload.updated_at),
                ],
            )?;
            Ok(())
        })
        .await
    }

    async fn of_root(&self, root: JobId) -> Result<Vec<Upload>, StoreError> {
        let sql = "SELECT * FROM media_uploads WHERE root = ? ORDER BY part, place";
        let root = [blob(root.as_uuid())];
        self.read("find uploads", move |tx| Ok(tx.all(sql, root, upload)?)).await
    }

    async fn clean(&self, before: DateTime<Utc>, limit: usize) -> Result<Vec<MediaId>, StoreError> {
        let sql = "DELETE FROM media_uploads WHERE (root, part, place) IN
                       (SELECT root, part, place FROM media_uploads WHERE updated_at < ?
                        ORDER BY updated_at LIMIT ?)
                   RETURNING media_id, original";
        let args = (micros(before), at_most(limit));
        self.write("clean uploads", move |tx| {
            let pair = |row: &Row<'_>| Ok([media_id(row, "media_id")?, media_id(row, "original")?]);
            let mut freed = tx.all(sql, args, pair)?.concat();
            freed.sort_unstable();
            freed.dedup();
            let mut gone = Vec::with_capacity(freed.len());
            for id in freed {
                if !needed(tx, id)? {
                    gone.push(id);
                }
            }
            Ok(gone)
        })
        .await
    }
}

fn media_id(row: &Row<'_>, column: &str) -> rusqlite::Result<MediaId> {
    row.get(column).map(MediaId::of_hash)
}

fn media_file(row: &Row<'_>) -> rusqlite::Result<MediaFile> {
    Ok(MediaFile {
        id: media_id(row, "id")?,
        entry: uuid(row, "entry")?,
        tenant_id: TenantId::from_uuid(uuid(row, "tenant_id")?),
        bytes: row.get::<_, i64>("bytes")?.unsigned_abs(),
        facts: json(row, "facts")?,
        name: row.get("name")?,
        alt: row.get("alt")?,
        created_at: time(row, "created_at")?,
    })
}

fn upload(row: &Row<'_>) -> rusqlite::Result<Upload> {
    let some = |column: &str| {
        row.get_ref(column).map(|value| value.as_str_or_null().is_ok_and(|v| v.is_some()))
    };
    let key = UploadKey {
        root: JobId::from_uuid(uuid(row, "root")?),
        part: row.get("part")?,
        index: row.get("place")?,
    };
    Ok(Upload {
        key,
        source: row.get("source")?,
        alt: row.get("alt")?,
        media: media_id(row, "media_id")?,
        original: media_id(row, "original")?,
        state: some("state")?.then(|| json(row, "state")).transpose()?,
        ready: some("ready")?.then(|| json(row, "ready")).transpose()?,
        updated_at: time(row, "updated_at")?,
    })
}
