//! `MediaCatalog` and `UploadStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{JobId, TenantId};
use postq_core::media::{
    MediaCatalog, MediaFile, MediaId, Removal, Upload, UploadKey, UploadStore,
};
use postq_core::store::Page;
use tokio_postgres::Row;

use crate::args::args;
use crate::error::Fault;
use crate::rows::{Paged, at_most, json, kept, number, whole};
use crate::store::PgStore;
use crate::tx::{Sql, Tx, read, write};

impl PgStore {
    /// What is known of media.
    pub fn media_catalog(&self) -> Arc<dyn MediaCatalog> {
        Arc::new(self.clone())
    }

    /// How far uploads are.
    pub fn uploads(&self) -> Arc<dyn UploadStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl MediaCatalog for PgStore {
    async fn insert(&self, file: &MediaFile) -> Result<MediaFile, StoreError> {
        read!(self, "add a media file", |sql| insert(sql, file))
    }

    async fn find(&self, tenant: TenantId, ids: &[MediaId]) -> Result<Vec<MediaFile>, StoreError> {
        let find = "SELECT * FROM {s}.media_files WHERE tenant_id = $1 AND id = ANY($2)";
        let ids: Vec<&[u8]> = ids.iter().map(|id| id.hash().as_slice()).collect();
        read!(self, "find media", |sql| sql.all(
            find,
            args![tenant.as_uuid(), ids.clone()],
            media_file
        ))
    }

    async fn list(&self, tenant: TenantId, page: Page) -> Result<Vec<MediaFile>, StoreError> {
        let page = Paged::of(page);
        let list = page.sql(
            "SELECT * FROM {s}.media_files WHERE tenant_id = $1 AND entry {beyond} $2
             ORDER BY entry {way} LIMIT $3",
        );
        let args = args![tenant.as_uuid(), page.after, page.limit];
        read!(self, "list media", |sql| sql.all(&list, args, media_file))
    }

    async fn remove(&self, tenant: TenantId, id: MediaId) -> Result<Removal, StoreError> {
        write!(self, "remove a media file", |tx| remove(&tx, tenant, id))
    }

    async fn is_needed(&self, id: MediaId) -> Result<bool, StoreError> {
        read!(self, "look who needs a media file", |sql| needed(sql, id))
    }

    async fn unused(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<MediaFile>, StoreError> {
        let unused = "SELECT * FROM {s}.media_files f WHERE created_at < $1
             AND NOT EXISTS (SELECT 1 FROM {s}.media_uses u
                 WHERE u.tenant_id = f.tenant_id AND u.media_id = f.id)
             ORDER BY created_at LIMIT $2";
        let args = args![whole(before), at_most(limit)];
        read!(self, "find unused media", |sql| sql.all(unused, args, media_file))
    }
}

async fn insert(sql: Sql<'_>, file: &MediaFile) -> Result<MediaFile, Fault> {
    let insert = "INSERT INTO {s}.media_files AS f
             (tenant_id, id, entry, bytes, facts, name, alt, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (tenant_id, id) DO UPDATE SET name = coalesce(f.name, excluded.name),
             alt = coalesce(f.alt, excluded.alt)
         RETURNING *";
    let (name, alt) = (file.name.as_deref().map(kept), file.alt.as_deref().map(kept));
    let args = args![
        file.tenant_id.as_uuid(),
        file.id.hash().as_slice(),
        file.entry,
        i64::try_from(file.bytes).unwrap_or(i64::MAX),
        serde_json::to_string(&file.facts)?,
        name.as_deref(),
        alt.as_deref(),
        whole(file.created_at),
    ];
    match sql.first(insert, args).await? {
        Some(row) => media_file(&row),
        None => Ok(file.clone()),
    }
}

async fn remove(tx: &Tx<'_>, tenant: TenantId, id: MediaId) -> Result<Removal, Fault> {
    let key = || (tenant.as_uuid(), id.hash().as_slice());
    let lock = "SELECT 1 FROM {s}.media_files WHERE tenant_id = $1 AND id = $2 FOR UPDATE";
    if !tx.sql.has(lock, args![key().0, key().1]).await? {
        return Ok(Removal::Gone);
    }
    let used = "SELECT 1 FROM {s}.media_uses WHERE tenant_id = $1 AND media_id = $2 LIMIT 1";
    if tx.sql.has(used, args![key().0, key().1]).await? {
        return Ok(Removal::InUse);
    }
    let delete = "DELETE FROM {s}.media_files WHERE tenant_id = $1 AND id = $2";
    tx.sql.run(delete, args![key().0, key().1]).await?;
    Ok(if needed(tx.sql, id).await? { Removal::Shared } else { Removal::Last })
}

/// Whether anybody needs content: a file of any tenant, or an upload.
async fn needed(sql: Sql<'_>, id: MediaId) -> Result<bool, Fault> {
    let needed = "SELECT 1 WHERE EXISTS (SELECT 1 FROM {s}.media_files WHERE id = $1)
        OR EXISTS (SELECT 1 FROM {s}.media_uploads WHERE media_id = $1)
        OR EXISTS (SELECT 1 FROM {s}.media_uploads WHERE original = $1)";
    sql.has(needed, args![id.hash().as_slice()]).await
}

#[async_trait]
impl UploadStore for PgStore {
    async fn save(&self, upload: &Upload) -> Result<(), StoreError> {
        read!(self, "write down an upload", |sql| save(sql, upload))
    }

    async fn of_root(&self, root: JobId) -> Result<Vec<Upload>, StoreError> {
        let of_root = "SELECT * FROM {s}.media_uploads WHERE root = $1 ORDER BY part, place";
        read!(self, "find uploads", |sql| sql.all(of_root, args![root.as_uuid()], upload))
    }

    async fn clean(&self, before: DateTime<Utc>, limit: usize) -> Result<Vec<MediaId>, StoreError> {
        write!(self, "clean uploads", |tx| clean(&tx, before, limit))
    }
}

async fn save(sql: Sql<'_>, upload: &Upload) -> Result<(), Fault> {
    let save = "INSERT INTO {s}.media_uploads
             (root, part, place, source, alt, media_id, original, state, ready, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (root, part, place) DO UPDATE SET source = excluded.source,
             alt = excluded.alt, media_id = excluded.media_id, original = excluded.original,
             state = excluded.state, ready = excluded.ready, updated_at = excluded.updated_at";
    let state = upload.state.as_ref().map(serde_json::to_string).transpose()?;
    let ready = upload.ready.as_ref().map(serde_json::to_string).transpose()?;
    let (source, alt) = (kept(&upload.source), upload.alt.as_deref().map(kept));
    let args = args![
        upload.key.root.as_uuid(),
        i64::from(upload.key.part),
        i64::from(upload.key.index),
        &*source,
        alt.as_deref(),
        upload.media.hash().as_slice(),
        upload.original.hash().as_slice(),
        state,
        ready,
        whole(upload.updated_at),
    ];
    sql.run(save, args).await?;
    Ok(())
}

async fn clean(tx: &Tx<'_>, before: DateTime<Utc>, limit: usize) -> Result<Vec<MediaId>, Fault> {
    let clean = "DELETE FROM {s}.media_uploads WHERE (root, part, place) IN
             (SELECT root, part, place FROM {s}.media_uploads WHERE updated_at < $1
              ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING media_id, original";
    let args = args![whole(before), at_most(limit)];
    let pair = |row: &Row| Ok([media_id(row, "media_id")?, media_id(row, "original")?]);
    let mut freed = tx.sql.all(clean, args, pair).await?.concat();
    freed.sort_unstable();
    freed.dedup();
    let mut gone = Vec::with_capacity(freed.len());
    for id in freed {
        if !needed(tx.sql, id).await? {
            gone.push(id);
        }
    }
    Ok(gone)
}

fn media_id(row: &Row, column: &str) -> Result<MediaId, Fault> {
    let hash: &[u8] = row.try_get(column)?;
    let hash = hash.try_into().map_err(|_| {
        Fault::Unreadable(format!("the column \"{column}\" has {} bytes, expected 32", hash.len()))
    })?;
    Ok(MediaId::of_hash(hash))
}

fn media_file(row: &Row) -> Result<MediaFile, Fault> {
    Ok(MediaFile {
        id: media_id(row, "id")?,
        entry: row.try_get("entry")?,
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        bytes: number(row, "bytes")?,
        facts: json(row, "facts")?,
        name: row.try_get("name")?,
        alt: row.try_get("alt")?,
        created_at: row.try_get("created_at")?,
    })
}

fn upload(row: &Row) -> Result<Upload, Fault> {
    let some = |column: &str| -> Result<bool, Fault> {
        Ok(row.try_get::<_, Option<&str>>(column)?.is_some())
    };
    let key = UploadKey {
        root: JobId::from_uuid(row.try_get("root")?),
        part: number(row, "part")?,
        index: number(row, "place")?,
    };
    Ok(Upload {
        key,
        source: row.try_get("source")?,
        alt: row.try_get("alt")?,
        media: media_id(row, "media_id")?,
        original: media_id(row, "original")?,
        state: some("state")?.then(|| json(row, "state")).transpose()?,
        ready: some("ready")?.then(|| json(row, "ready")).transpose()?,
        updated_at: row.try_get("updated_at")?,
    })
}
