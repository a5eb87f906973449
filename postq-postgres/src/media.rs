//! `MediaCatalog` and `UploadStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{JobId, TenantId};
use postq_core::media::{
    CLAIM, MediaCatalog, MediaFile, MediaId, Removal, Upload, UploadKey, UploadStore,
};
use postq_core::store::Page;
use tokio_postgres::Row;
use uuid::Uuid;

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
        write!(self, "add a media file", |tx| insert(tx.sql, file))
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

    async fn claim(&self, id: MediaId) -> Result<bool, StoreError> {
        write!(self, "claim media", |tx| claim(tx.sql, id))
    }

    async fn release(&self, id: MediaId) -> Result<(), StoreError> {
        let release = "DELETE FROM {s}.media_claims WHERE id = $1";
        read!(self, "release media", |sql| async move {
            sql.run(release, args![id.hash().as_slice()]).await.map(drop)
        })
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
    hold(sql, &[file.id]).await?;
    ensure_not_claimed(sql, file.id).await?;
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

async fn claim(sql: Sql<'_>, id: MediaId) -> Result<bool, Fault> {
    let claim = "INSERT INTO {s}.media_claims (id, since) VALUES ($1, clock_timestamp())
         ON CONFLICT (id) DO UPDATE SET since = excluded.since";
    hold(sql, &[id]).await?;
    if needed(sql, id).await? || is_claimed(sql, id).await? {
        return Ok(false);
    }
    sql.run(claim, args![id.hash().as_slice()]).await?;
    Ok(true)
}

/// Who claims content and who writes down that it is needed wait for each other, until the transaction ends.
async fn hold(sql: Sql<'_>, ids: &[MediaId]) -> Result<(), Fault> {
    let hold = "SELECT pg_advisory_xact_lock($1)";
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    for id in ids {
        let (first, _) = id.hash().split_at(8);
        let key = first.try_into().map(i64::from_be_bytes).unwrap_or_default();
        sql.rows(hold, args![key]).await?;
    }
    Ok(())
}

async fn is_claimed(sql: Sql<'_>, id: MediaId) -> Result<bool, Fault> {
    let claimed = "SELECT 1 FROM {s}.media_claims WHERE id = $1
         AND since > clock_timestamp() - $2 * interval '1 microsecond'";
    let micros = i64::try_from(CLAIM.as_micros()).unwrap_or(i64::MAX);
    sql.has(claimed, args![id.hash().as_slice(), micros]).await
}

async fn ensure_not_claimed(sql: Sql<'_>, id: MediaId) -> Result<(), Fault> {
    match is_claimed(sql, id).await? {
        true => Err(Fault::conflict("the same content is being taken away; try again in a minute")),
        false => Ok(()),
    }
}

/// Refuses posts that name a file that is not there. Locks the files until the transaction ends: who removes one
/// meanwhile waits, and finds that it is named.
pub(crate) async fn ensure_media(sql: Sql<'_>, posts: &[Uuid]) -> Result<(), Fault> {
    let lock = "SELECT 1 FROM {s}.media_files f WHERE (f.tenant_id, f.id) IN
             (SELECT u.tenant_id, u.media_id FROM {s}.media_uses u WHERE u.post_id = ANY($1))
         ORDER BY f.tenant_id, f.id FOR KEY SHARE OF f";
    let missing = "SELECT u.media_id FROM {s}.media_uses u WHERE u.post_id = ANY($1) AND NOT EXISTS
             (SELECT 1 FROM {s}.media_files f
              WHERE f.tenant_id = u.tenant_id AND f.id = u.media_id) LIMIT 1";
    if posts.is_empty() {
        return Ok(());
    }
    sql.rows(lock, args![posts.to_vec()]).await?;
    match sql.first(missing, args![posts.to_vec()]).await? {
        None => Ok(()),
        Some(row) => {
            let id = media_id(&row, "media_id")?;
            Err(Fault::conflict(format!(
                "the post names the media file {id}, which is not there; add it again"
            )))
        }
    }
}

#[async_trait]
impl UploadStore for PgStore {
    async fn save(&self, upload: &Upload) -> Result<(), StoreError> {
        write!(self, "write down an upload", |tx| save(tx.sql, upload))
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
    hold(sql, &[upload.media, upload.original]).await?;
    ensure_not_claimed(sql, upload.media).await?;
    ensure_not_claimed(sql, upload.original).await?;
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
