//! `PostStore`.

use async_trait::async_trait;
use postq_core::content::{Content, Post, PostTally};
use postq_core::error::StoreError;
use postq_core::id::{PostId, TenantId};
use postq_core::store::{Edited, Page, PostStore};
use rusqlite::{Row, params};

use crate::error::Fault;
use crate::media::ensure_media;
use crate::rows::{Paged, blob, hex_list, json, micros, time, uuid};
use crate::store::SqliteStore;
use crate::takeback::Owner;
use crate::writer::Tx;

/// A page of posts with what their states are told from. Publications count as successes, so that
/// a post stays published when its jobs have been cleaned away.
const LIST: &str = "SELECT posts.*,
         (SELECT count(*) FROM schedules
          WHERE post_id = posts.id AND timing <> '{\"kind\":\"unset\"}') AS schedules,
         (SELECT count(*) FROM schedules
          WHERE post_id = posts.id AND enabled = 1 AND next_run_at IS NOT NULL) AS live_schedules,
         (SELECT count(*) FROM jobs WHERE post_id = posts.id
          AND state IN ('planned', 'enqueued', 'running', 'failed')) AS waiting,
         max((SELECT count(*) FROM jobs WHERE post_id = posts.id
              AND (state = 'succeeded'
                   OR state = 'dead_letter' AND resolution = 'marked_published')),
             (SELECT count(*) FROM published_posts WHERE post_id = posts.id)) AS succeeded,
         (SELECT count(*) FROM jobs WHERE post_id = posts.id
          AND state = 'dead_letter' AND resolution IS NULL) AS dead
     FROM posts WHERE tenant_id = ? AND id {beyond} ? ORDER BY id {way} LIMIT ?";

#[async_trait]
impl PostStore for SqliteStore {
    async fn insert(&self, posts: &[Post]) -> Result<(), StoreError> {
        let posts = posts.to_vec();
        self.write("insert posts", move |tx| posts.iter().try_for_each(|post| insert(tx, post)))
            .await
    }

    async fn load(&self, ids: &[PostId]) -> Result<Vec<Post>, StoreError> {
        let ids = hex_list(ids.iter().map(|id| id.as_uuid()));
        let sql = "SELECT * FROM posts WHERE id IN (SELECT unhex(value) FROM json_each(?))";
        // A post that cannot be read is as good as gone: its jobs end as dead letters.
        self.read("load posts", move |tx| Ok(tx.readable(sql, [ids], post)?.0)).await
    }

    async fn with_keys(&self, tenant: TenantId, keys: &[String]) -> Result<Vec<Post>, StoreError> {
        let (tenant, keys) = (blob(tenant.as_uuid()), keys.to_vec());
        let sql = "SELECT * FROM posts
                   WHERE tenant_id = ? AND key IN (SELECT value FROM json_each(?))";
        self.read("find posts by key", move |tx| {
            Ok(tx.all(sql, params![tenant, serde_json::to_string(&keys)?], post)?)
        })
        .await
    }

    async fn list(
        &self,
        tenant: TenantId,
        page: Page,
    ) -> Result<Vec<(Post, PostTally)>, StoreError> {
        let (tenant, page) = (blob(tenant.as_uuid()), Paged::of(page));
        let read = |row: &Row<'_>| Ok((post(row)?, tally(row)?));
        self.read("list posts", move |tx| {
            Ok(tx.all(&page.sql(LIST), params![tenant, page.after, page.limit], read)?)
        })
        .await
    }

    async fn edit(
        &self,
        id: PostId,
        revision: u32,
        content: &Content,
    ) -> Result<Edited, StoreError> {
        let content = content.clone();
        self.write("edit a post", move |tx| edit(tx, id, revision, &content)).await
    }

    async fn remove(&self, id: PostId) -> Result<Edited, StoreError> {
        self.write("remove a post", move |tx| remove(tx, id)).await
    }
}

fn insert(tx: &Tx<'_>, post: &Post) -> Result<(), Fault> {
    let id = blob(post.id.as_uuid());
    if tx.has("SELECT 1 FROM posts WHERE id = ?", [id])? {
        return Ok(());
    }
    let tenant = blob(post.tenant_id.as_uuid());
    if let Some(key) = &post.key
        && tx.has("SELECT 1 FROM posts WHERE tenant_id = ? AND key = ?", params![tenant, key])?
    {
        return Err(Fault::conflict(format!("another post has the key \"{key}\"")));
    }
    tx.run(
        "INSERT INTO posts (id, tenant_id, key, content, has_media, revision, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            id,
            tenant,
            post.key,
            serde_json::to_string(&post.content)?,
            post.content.has_media(),
            post.revision,
            micros(post.created_at),
        ],
    )?;
    if post.content.has_media() {
        ensure_media(tx, post.id)?;
    }
    // A schedule may have been there first.
    plan_by_media(tx, post.id, &post.content)
}

fn edit(tx: &Tx<'_>, id: PostId, revision: u32, content: &Content) -> Result<Edited, Fault> {
    let Some(current) = revision_of(tx, id)? else { return Ok(Edited::Gone) };
    if current != revision {
        return Ok(Edited::Changed { revision: current });
    }
    if tx.is_frozen(Owner::Post(id))? {
        return Ok(Edited::AlreadyPublishing);
    }
    let revision = revision + 1;
    tx.run(
        "UPDATE posts SET content = ?, has_media = ?, revision = ? WHERE id = ?",
        params![serde_json::to_string(content)?, content.has_media(), revision, blob(id.as_uuid())],
    )?;
    if content.has_media() {
        ensure_media(tx, id)?;
    }
    plan_by_media(tx, id, content)?;
    Ok(Edited::Applied { revision })
}

fn remove(tx: &Tx<'_>, id: PostId) -> Result<Edited, Fault> {
    let Some(revision) = revision_of(tx, id)? else { return Ok(Edited::Gone) };
    if tx.is_in_flight(Owner::Post(id))? {
        return Ok(Edited::AlreadyPublishing);
    }
    tx.take_back_jobs(Owner::Post(id), "the post was removed")?;
    let key = [blob(id.as_uuid())];
    tx.run("DELETE FROM schedules WHERE post_id = ?", key)?;
    tx.run("DELETE FROM posts WHERE id = ?", key)?;
    Ok(Edited::Applied { revision })
}

fn revision_of(tx: &Tx<'_>, id: PostId) -> Result<Option<u32>, Fault> {
    let sql = "SELECT revision FROM posts WHERE id = ?";
    Ok(tx.get(sql, [blob(id.as_uuid())], |row| row.get(0))?)
}

/// Posts with media are planned earlier, so their schedules know.
fn plan_by_media(tx: &Tx<'_>, id: PostId, content: &Content) -> Result<(), Fault> {
    let early = "UPDATE schedules SET early = ?1 WHERE post_id = ?2 AND early <> ?1";
    if tx.run(early, params![content.has_media(), blob(id.as_uuid())])? > 0 {
        tx.wake_planner();
    }
    Ok(())
}

fn post(row: &Row<'_>) -> rusqlite::Result<Post> {
    Ok(Post {
        id: PostId::from_uuid(uuid(row, "id")?),
        tenant_id: TenantId::from_uuid(uuid(row, "tenant_id")?),
        key: row.get("key")?,
        content: json(row, "content")?,
        revision: row.get("revision")?,
        created_at: time(row, "created_at")?,
    })
}

fn tally(row: &Row<'_>) -> rusqlite::Result<PostTally> {
    Ok(PostTally {
        schedules: row.get("schedules")?,
        live_schedules: row.get("live_schedules")?,
        waiting: row.get("waiting")?,
        succeeded: row.get("succeeded")?,
        dead: row.get("dead")?,
    })
}
