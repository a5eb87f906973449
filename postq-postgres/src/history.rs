//! History: what is kept of jobs that are cleaned up.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use postq_core::id::JobId;
use postq_core::job::JobEvent;
use postq_core::store::JobStory;
use uuid::Uuid;

use crate::args::args;
use crate::error::Fault;
use crate::evidence;
use crate::trail::Trail;
use crate::transition::{Stored, load, load_readable};
use crate::tx::{Sql, together};

/// Keeps stories; one that is there already is of an earlier job of that id.
const KEEP: &str = "INSERT INTO {s}.job_history (job_id, tenant_id, finished_at, story)
     SELECT g.job_id, g.tenant_id, g.finished_at, g.story
     FROM unnest($1, $2, $3, $4) AS g (job_id, tenant_id, finished_at, story)
     ON CONFLICT (job_id) DO UPDATE SET tenant_id = excluded.tenant_id,
         finished_at = excluded.finished_at, story = excluded.story";

/// Removes some of the oldest histories of jobs that ended by then.
pub(crate) const FORGET: &str = "DELETE FROM {s}.job_history WHERE job_id = ANY (ARRAY (
         SELECT job_id FROM {s}.job_history WHERE finished_at <= $1
         ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// All that is known of a job, whether it is still there or not.
pub(crate) async fn story(sql: Sql<'_>, id: JobId) -> Result<Option<JobStory>, Fault> {
    let Some(stored) = load(sql, &[id]).await?.pop() else { return kept(sql, id).await };
    let ids = [id.as_uuid()];
    let (old, evidence) =
        together!(old_trails(sql, &ids), evidence::of_root(sql, stored.job.root))?;
    let events = events(&stored, old.get(&id))?;
    Ok(Some(JobStory { job: stored.job, events, evidence }))
}

async fn kept(sql: Sql<'_>, id: JobId) -> Result<Option<JobStory>, Fault> {
    let kept = "SELECT story FROM {s}.job_history WHERE job_id = $1";
    let Some(row) = sql.first(kept, args![id.as_uuid()]).await? else { return Ok(None) };
    Ok(serde_json::from_str(row.try_get("story")?)?)
}

/// Keeps the stories of jobs that are about to be removed, of those that ended after `past`. Those that
/// cannot be read are lost with the jobs: they must not hold up the others.
pub(crate) async fn keep(
    sql: Sql<'_>,
    ids: &[Uuid],
    past: Option<DateTime<Utc>>,
) -> Result<(), Fault> {
    let jobs: Vec<JobId> = ids.iter().copied().map(JobId::from_uuid).collect();
    let ((mut jobs, broken), old) = together!(load_readable(sql, &jobs), old_trails(sql, ids))?;
    jobs.retain(|stored| stored.job.finished_at > past);
    if jobs.is_empty() && broken.is_empty() {
        return Ok(());
    }
    let roots: BTreeSet<JobId> = jobs.iter().map(|stored| stored.job.root).collect();
    let (known, broken_roots) = evidence::readable_of_roots(sql, &roots).await?;
    let broken_roots: BTreeMap<JobId, String> = broken_roots.into_iter().collect();
    let mut lost = broken;
    let (mut ids, mut tenants, mut times, mut texts) = (vec![], vec![], vec![], vec![]);
    for stored in jobs {
        let (id, root) = (stored.job.id(), stored.job.root);
        let events = match (broken_roots.get(&root), events(&stored, old.get(&id))) {
            (None, Ok(events)) => events,
            (Some(why), _) => {
                lost.push((id, why.clone()));
                continue;
            }
            (None, Err(fault)) => {
                lost.push((id, fault.to_string()));
                continue;
            }
        };
        let Some(finished_at) = stored.job.finished_at else { continue };
        let evidence = known.get(&root).cloned().unwrap_or_default();
        ids.push(id.as_uuid());
        tenants.push(stored.job.made.tenant_id.as_uuid());
        times.push(finished_at);
        texts.push(serde_json::to_string(&JobStory { job: stored.job, events, evidence })?);
    }
    for (id, why) in lost {
        tracing::warn!(job_id = %id, error = why, "its history cannot be read and is not kept");
    }
    sql.run(KEEP, args![ids, tenants, times, texts]).await?;
    Ok(())
}

/// Removes histories of jobs that ended by `past`; answers how many.
pub(crate) async fn forget(sql: Sql<'_>, past: DateTime<Utc>, limit: i64) -> Result<i64, Fault> {
    let removed = sql.run(FORGET, args![past, limit]).await?;
    Ok(i64::try_from(removed).unwrap_or(i64::MAX))
}

type OldTrails = BTreeMap<JobId, Vec<Trail>>;

/// What has left the trails of these jobs, in order.
async fn old_trails(sql: Sql<'_>, ids: &[Uuid]) -> Result<OldTrails, Fault> {
    let all = "SELECT job_id, trail FROM {s}.old_trails WHERE job_id = ANY($1) ORDER BY job_id, n";
    let read = |row: &tokio_postgres::Row| {
        Ok((JobId::from_uuid(row.try_get("job_id")?), Trail(row.try_get("trail")?)))
    };
    let mut old = OldTrails::new();
    for (job, trail) in sql.all(all, args![ids.to_vec()], read).await? {
        old.entry(job).or_default().push(trail);
    }
    Ok(old)
}

fn events(stored: &Stored, old: Option<&Vec<Trail>>) -> Result<Vec<JobEvent>, Fault> {
    let mut events = Vec::new();
    for trail in old.into_iter().flatten().chain([&stored.trail]) {
        events.extend(trail.events(stored.job.id())?);
    }
    Ok(events)
}
