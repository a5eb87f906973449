//! `PostStore`.

use std::collections::BTreeSet;

use async_trait::async_trait;
use postq_core::content::{Content, Post, PostTally};
use postq_core::error::StoreError;
use postq_core::id::{PostId, TenantId};
use postq_core::store::{Edited, Page, PostStore};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::args::args;
use crate::error::Fault;
use crate::media::ensure_media;
use crate::rows::{Paged, json, number, whole};
use crate::store::PgStore;
use crate::takeback::{Owner, Taken};
use crate::tx::{Sql, Tx, read, write};

/// A page of posts with what their states are told from. Publications count as successes, so that a
/// post stays published when its jobs have been cleaned away.
pub(crate) const LIST: &str = "SELECT p.*,
         (SELECT count(*) FROM {s}.schedules s
          WHERE s.post_id = p.id AND s.timing <> '{\"kind\":\"unset\"}') AS schedules,
         (SELECT count(*) FROM {s}.schedules s
          WHERE s.post_id = p.id AND s.enabled AND s.next_run_at IS NOT NULL) AS live_schedules,
         t.waiting, t.dead,
         greatest(t.succeeded,
             (SELECT count(*) FROM {s}.published_posts o WHERE o.post_id = p.id)) AS succeeded
     FROM (SELECT * FROM {s}.posts
         WHERE tenant_id = $1 AND id {beyond} $2 ORDER BY id {way} LIMIT $3) AS p
     CROSS JOIN LATERAL (
         SELECT count(*) FILTER (WHERE e.job_id IS NULL) AS waiting,
             count(*) FILTER (WHERE e.state = 'succeeded'
                 OR e.state = 'dead_letter' AND e.resolution = 'marked_published') AS succeeded,
             count(*) FILTER (WHERE e.state = 'dead_letter' AND e.resolution IS NULL) AS dead
         FROM {s}.job j LEFT JOIN {s}.ended e ON e.job_id = j.id WHERE j.post_id = p.id) AS t
     ORDER BY p.id {way}";

/// Posts in one statement: its text must not get too long.
const BATCH: usize = 1_000;

#[async_trait]
impl PostStore for PgStore {
    async fn insert(&self, posts: &[Post]) -> Result<(), StoreError> {
        write!(self, "insert posts", |tx| insert(&tx, posts))
    }

    async fn load(&self, ids: &[PostId]) -> Result<Vec<Post>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        read!(self, "load posts", |sql| load(sql, &ids))
    }

    async fn with_keys(&self, tenant: TenantId, keys: &[String]) -> Result<Vec<Post>, StoreError> {
        let find = "SELECT * FROM {s}.posts WHERE tenant_id = $1 AND key = ANY($2)";
        let args = args![tenant.as_uuid(), keys.to_vec()];
        read!(self, "find posts by key", |sql| sql.all(find, args, post))
    }

    async fn list(
        &self,
        tenant: TenantId,
        page: Page,
    ) -> Result<Vec<(Post, PostTally)>, StoreError> {
        let page = Paged::of(page);
        let list = page.sql(LIST);
        let args = args![tenant.as_uuid(), page.after, page.limit];
        let read = |row: &Row| Ok((post(row)?, tally(row)?));
        read!(self, "list posts", |sql| sql.all(&list, args, read))
    }

    async fn edit(
        &self,
        id: PostId,
        revision: u32,
        content: &Content,
    ) -> Result<Edited, StoreError> {
        write!(self, "edit a post", |tx| edit(&tx, id, revision, content))
    }

    async fn remove(&self, id: PostId) -> Result<Edited, StoreError> {
        write!(self, "remove a post", |tx| remove(&tx, id))
    }
}

pub(crate) async fn insert(tx: &Tx<'_>, posts: &[Post]) -> Result<(), Fault> {
    for batch in posts.chunks(BATCH) {
        insert_batch(tx, batch).await?;
    }
    Ok(())
}

async fn insert_batch(tx: &Tx<'_>, posts: &[Post]) -> Result<(), Fault> {
    let insert =
        "INSERT INTO {s}.posts (id, tenant_id, key, content, has_media, revision, created_at)
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING id";
    // Two that insert the same keys meet in the same order, and none waits in a circle.
    let mut posts: Vec<&Post> = posts.iter().collect();
    posts.sort_by_key(|post| &post.key);
    let contents: Result<Vec<_>, _> =
        posts.iter().map(|post| serde_json::to_string(&post.content)).collect();
    let args = args![
        posts.iter().map(|post| post.id.as_uuid()).collect::<Vec<_>>(),
        posts.iter().map(|post| post.tenant_id.as_uuid()).collect::<Vec<_>>(),
        posts.iter().map(|post| post.key.as_deref()).collect::<Vec<_>>(),
        contents?,
        posts.iter().map(|post| post.content.has_media()).collect::<Vec<_>>(),
        posts.iter().map(|post| i64::from(post.revision)).collect::<Vec<_>>(),
        posts.iter().map(|post| whole(post.created_at)).collect::<Vec<_>>(),
    ];
    let made: Vec<Uuid> = tx.sql.all(insert, args, |row| Ok(row.try_get("id")?)).await?;
    let made: BTreeSet<Uuid> = made.into_iter().collect();
    let (new, known): (Vec<&Post>, Vec<&Post>) =
        posts.into_iter().partition(|post| made.contains(&post.id.as_uuid()));
    ensure_known(tx.sql, &known).await?;
    let with_media = new.iter().filter(|post| post.content.has_media());
    let with_media: Vec<Uuid> = with_media.map(|post| post.id.as_uuid()).collect();
    ensure_media(tx.sql, &with_media).await?;
    // A schedule may have been there first.
    let new: Vec<_> = new.into_iter().map(|post| (post.id, &post.content)).collect();
    plan_by_media(tx, &new).await
}

/// What was not inserted must be there already: its key belongs to another post otherwise.
async fn ensure_known(sql: Sql<'_>, posts: &[&Post]) -> Result<(), Fault> {
    if posts.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = posts.iter().map(|post| post.id.as_uuid()).collect();
    let find = "SELECT id FROM {s}.posts WHERE id = ANY($1)";
    let there = sql.all(find, args![ids], |row| Ok(row.try_get::<_, Uuid>("id")?)).await?;
    let there: BTreeSet<Uuid> = there.into_iter().collect();
    match posts.iter().find(|post| !there.contains(&post.id.as_uuid())) {
        None => Ok(()),
        Some(post) => {
            let key = post.key.as_deref().unwrap_or_default();
            Err(Fault::conflict(format!("another post has the key \"{key}\"")))
        }
    }
}

/// A post that cannot be read is as good as gone: its jobs end as dead letters.
async fn load(sql: Sql<'_>, ids: &[Uuid]) -> Result<Vec<Post>, Fault> {
    let rows = sql.rows("SELECT * FROM {s}.posts WHERE id = ANY($1)", args![ids.to_vec()]).await?;
    let mut posts = Vec::with_capacity(rows.len());
    for row in &rows {
        match post(row) {
            Ok(post) => posts.push(post),
            Err(fault) if fault.is_unreadable() => {
                let id: Uuid = row.try_get("id")?;
                tracing::error!(post_id = %id, %fault, "a post's row cannot be read; repair it");
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(posts)
}

async fn lock(sql: Sql<'_>, id: PostId) -> Result<Option<u32>, Fault> {
    let lock = "SELECT revision FROM {s}.posts WHERE id = $1 FOR UPDATE";
    let row = sql.first(lock, args![id.as_uuid()]).await?;
    row.map(|row| number(&row, "revision")).transpose()
}

async fn edit(tx: &Tx<'_>, id: PostId, revision: u32, content: &Content) -> Result<Edited, Fault> {
    lock_schedules(tx.sql, id).await?;
    let Some(current) = lock(tx.sql, id).await? else { return Ok(Edited::Gone) };
    if current != revision {
        return Ok(Edited::Changed { revision: current });
    }
    if tx.is_frozen(Owner::Post(id)).await? {
        return Ok(Edited::AlreadyPublishing);
    }
    let revision = revision + 1;
    let edit = "UPDATE {s}.posts SET content = $2, has_media = $3, revision = $4 WHERE id = $1";
    let text = serde_json::to_string(content)?;
    let args = args![id.as_uuid(), text, content.has_media(), i64::from(revision)];
    tx.sql.run(edit, args).await?;
    if content.has_media() {
        ensure_media(tx.sql, &[id.as_uuid()]).await?;
    }
    plan_by_media(tx, &[(id, content)]).await?;
    Ok(Edited::Applied { revision })
}

async fn remove(tx: &Tx<'_>, id: PostId) -> Result<Edited, Fault> {
    lock_schedules(tx.sql, id).await?;
    let Some(revision) = lock(tx.sql, id).await? else { return Ok(Edited::Gone) };
    let taken = tx.take_back_jobs(Owner::Post(id), "the post was removed").await?;
    if matches!(taken, Taken::InFlight) {
        return Ok(Edited::AlreadyPublishing);
    }
    tx.sql.run("DELETE FROM {s}.schedules WHERE post_id = $1", args![id.as_uuid()]).await?;
    tx.sql.run("DELETE FROM {s}.posts WHERE id = $1", args![id.as_uuid()]).await?;
    Ok(Edited::Applied { revision })
}

/// Schedules are locked before posts, by everybody.
async fn lock_schedules(sql: Sql<'_>, post: PostId) -> Result<(), Fault> {
    let lock = "SELECT 1 FROM {s}.schedules WHERE post_id = $1 ORDER BY id FOR UPDATE";
    sql.rows(lock, args![post.as_uuid()]).await?;
    Ok(())
}

/// Posts with media are planned earlier, so their schedules know.
async fn plan_by_media(tx: &Tx<'_>, posts: &[(PostId, &Content)]) -> Result<(), Fault> {
    let early = "UPDATE {s}.schedules s SET early = p.has_media
         FROM unnest($1, $2) AS p (id, has_media) WHERE s.post_id = p.id AND s.early <> p.has_media";
    let (ids, has_media): (Vec<_>, Vec<_>) =
        posts.iter().map(|(id, content)| (id.as_uuid(), content.has_media())).unzip();
    if !posts.is_empty() && tx.sql.run(early, args![ids, has_media]).await? > 0 {
        tx.wake_planners();
    }
    Ok(())
}

fn post(row: &Row) -> Result<Post, Fault> {
    Ok(Post {
        id: PostId::from_uuid(row.try_get("id")?),
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        key: row.try_get("key")?,
        content: json(row, "content")?,
        revision: number(row, "revision")?,
        created_at: row.try_get("created_at")?,
    })
}

fn tally(row: &Row) -> Result<PostTally, Fault> {
    Ok(PostTally {
        schedules: number(row, "schedules")?,
        live_schedules: number(row, "live_schedules")?,
        waiting: number(row, "waiting")?,
        succeeded: number(row, "succeeded")?,
        dead: number(row, "dead")?,
    })
}
