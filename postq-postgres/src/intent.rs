//! The intent: the fenced record just before the creating call; and the lease.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::id::{AccountId, JobId, PostId};
use postq_core::intent::{Evidence, Intent, IntentAnswer, IntentState, PartEvidence};
use postq_core::job::{Applied, Held};
use uuid::Uuid;

use crate::accounts::same_identity;
use crate::args::args;
use crate::error::Fault;
use crate::evidence::{self, Part, unknown};
use crate::rows::{fence_number, micros};
use crate::tx::{Sql, Tx, together};

/// One after the other for the accounts of an identity.
pub(crate) const ALONE: &str = "SELECT pg_advisory_xact_lock(hashtextextended('{s} intents ' || coalesce(
         (SELECT a.platform || ' ' || a.remote_id FROM {s}.accounts a WHERE a.id = $1), $1::text), 0))";

/// The open intents of an account's identity, for the text and parent that are asked for, of lines in
/// which a job has not ended: the one that sent, or a replay.
pub(crate) const TWINS: &str = concat!(
    "SELECT 1 FROM {s}.evidence e
     WHERE e.account_id = ANY (ARRAY ",
    same_identity!("$1"),
    ") AND e.state = 'open' AND e.remote_id IS NULL
       AND e.root <> $2 AND e.text = $3 AND e.reply_to IS NOT DISTINCT FROM $4
       AND (EXISTS (
               SELECT 1 FROM {s}.job j WHERE j.id = e.job_id
                 AND NOT EXISTS (SELECT 1 FROM {s}.ended o WHERE o.job_id = j.id))
           OR EXISTS (
               SELECT 1 FROM {s}.job j WHERE j.root = e.root AND j.replay_of IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM {s}.ended o WHERE o.job_id = j.id)))
     LIMIT 1"
);

/// What an intent is about; none of it ever changes.
struct Subject {
    root: JobId,
    post: Option<PostId>,
    account: Option<AccountId>,
}

/// Records what is about to be sent, or tells why it must not be.
pub(crate) async fn intent(
    tx: &Tx<'_>,
    intent: &Intent,
    room: Duration,
) -> Result<IntentAnswer, Fault> {
    let Some(subject) = subject(tx.sql, intent.job).await? else { return Ok(IntentAnswer::Gone) };
    let locked = Locked::of(tx.sql, intent, &subject).await?;
    let Some(left) = locked.left else { return Ok(IntentAnswer::Stale) };
    if let Some(receipt) = locked.evidence.receipt(intent.part) {
        return Ok(IntentAnswer::AlreadyOut(receipt.clone()));
    }
    if let Some(open) = locked.evidence.open() {
        let repeated = open.intent.as_ref().filter(|known| is_repeated(known, intent));
        return Ok(match (repeated, open_parts(&locked.evidence)) {
            (Some(known), 1) => IntentAnswer::Recorded(known.made_at),
            _ => IntentAnswer::Unresolved,
        });
    }
    if locked.has_twin {
        return Ok(IntentAnswer::Twin);
    }
    if subject.post.is_some() {
        match locked.revision {
            None => return Ok(IntentAnswer::Gone),
            Some(revision) if revision != i64::from(intent.revision) => {
                return Ok(IntentAnswer::Edited);
            }
            Some(_) => {}
        }
    }
    if left < TimeDelta::microseconds(micros(room)) {
        return Ok(IntentAnswer::LeaseTooShort);
    }
    let intent = Intent { made_at: locked.now, ..intent.clone() };
    // A new intent begins with new counters.
    let known = PartEvidence {
        state: IntentState::Open,
        intent: Some(intent.clone()),
        ..unknown(intent.part)
    };
    let part = Part { root: subject.root, account: subject.account, known: &known };
    evidence::keep(tx.sql, &[part]).await?;
    Ok(IntentAnswer::Recorded(locked.now))
}

async fn subject(sql: Sql<'_>, job: JobId) -> Result<Option<Subject>, Fault> {
    let find = "SELECT root, post_id, account_id FROM {s}.job WHERE id = $1";
    let Some(row) = sql.first(find, args![job.as_uuid()]).await? else { return Ok(None) };
    let some_id = |column: &str| row.try_get::<_, Option<Uuid>>(column);
    Ok(Some(Subject {
        root: JobId::from_uuid(row.try_get("root")?),
        post: some_id("post_id")?.map(PostId::from_uuid),
        account: some_id("account_id")?.map(AccountId::from_uuid),
    }))
}

/// What decides about an intent, locked against change.
struct Locked {
    /// What is left of the lease; none if it is not held under this fence or has ended.
    left: Option<TimeDelta>,
    revision: Option<i64>,
    evidence: Evidence,
    has_twin: bool,
    now: DateTime<Utc>,
}

impl Locked {
    /// Locks the identity's intents, the post and the job, in this order, then looks at them.
    async fn of(sql: Sql<'_>, intent: &Intent, subject: &Subject) -> Result<Self, Fault> {
        let account = subject.account.map(AccountId::as_uuid);
        let post = subject.post.map(PostId::as_uuid);
        let (job, root) = (intent.job.as_uuid(), subject.root.as_uuid());
        let keep_post = "SELECT revision FROM {s}.posts WHERE id = $1 FOR SHARE";
        let keep_job =
            "SELECT lease_until FROM {s}.running WHERE job_id = $1 AND fence = $2 FOR UPDATE";
        let lines = [job];
        let (_, revision, lease, now, known, has_twin) = together!(
            // Two intents of one identity must not overlook each other as twins.
            sql.rows(ALONE, args![account]),
            sql.first(keep_post, args![post]),
            sql.first(keep_job, args![job, fence_number(intent.fence)]),
            sql.now(),
            evidence::lock_of_jobs(sql, &lines),
            sql.has(TWINS, args![account, root, intent.text, intent.reply_to]),
        )?;
        let until: Option<DateTime<Utc>> =
            lease.map(|row| row.try_get("lease_until")).transpose()?;
        let left = until.map(|until| until - now).filter(|left| *left > TimeDelta::zero());
        let revision = revision.map(|row| row.try_get("revision")).transpose()?;
        let evidence = known.into_values().next().unwrap_or_default();
        Ok(Self { left, revision, evidence, has_twin, now })
    }
}

/// The very same intent, asked for again because the first answer was lost.
fn is_repeated(known: &Intent, asked: &Intent) -> bool {
    let at = |made_at: DateTime<Utc>| Intent { made_at, ..asked.clone() };
    *known == at(known.made_at)
}

fn open_parts(evidence: &Evidence) -> usize {
    let open = |part: &&PartEvidence| part.receipt.is_none() && part.state == IntentState::Open;
    evidence.0.iter().filter(open).count()
}

/// Makes leases end so much from now, where they are still held. The rows are locked by id, as
/// everybody does.
pub(crate) const RENEW: &str = "WITH held AS MATERIALIZED (
         SELECT r.job_id FROM unnest($1, $2) AS h (job_id, fence)
         JOIN {s}.running r ON r.job_id = h.job_id AND r.fence = h.fence
         ORDER BY r.job_id FOR UPDATE OF r),
     renewed AS (
         UPDATE {s}.running SET lease_until = clock_timestamp() + $3 * interval '1 microsecond'
         WHERE job_id = ANY (ARRAY (SELECT job_id FROM held)) RETURNING job_id, fence)
     SELECT j.id, (SELECT r.fence FROM renewed r WHERE r.job_id = j.id) AS renewed
     FROM {s}.job j WHERE j.id = ANY($1)";

/// Renews leases; one answer per claim, in order.
pub(crate) async fn renew(
    sql: Sql<'_>,
    held: &[Held],
    lease: Duration,
) -> Result<Vec<Applied>, Fault> {
    let ids: Vec<Uuid> = held.iter().map(|held| held.job.as_uuid()).collect();
    let fences: Vec<i64> = held.iter().map(|held| fence_number(held.fence)).collect();
    let found = sql
        .all(RENEW, args![ids, fences, micros(lease)], |row| {
            Ok((row.try_get::<_, Uuid>("id")?, row.try_get::<_, Option<i64>>("renewed")?))
        })
        .await?;
    let answer = |held: &Held| match found.iter().find(|(id, _)| *id == held.job.as_uuid()) {
        None => Applied::Gone,
        Some((_, Some(fence))) if *fence == fence_number(held.fence) => Applied::Applied,
        Some(_) => Applied::Stale,
    };
    Ok(held.iter().map(answer).collect())
}
