//! The intent: the one fenced statement just before the creating call.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::id::JobId;
use postq_core::intent::{Evidence, Intent, IntentAnswer, IntentState, PartEvidence};
use postq_core::job::{Applied, Fence, Held, Job};
use postq_core::machine::JobState;
use rusqlite::{Row, params};

use crate::accounts::same_identity;
use crate::error::Fault;
use crate::rows::{blob, fence, word};
use crate::writer::Tx;

/// Records what is about to be sent, or tells why it must not be.
pub(crate) fn intent(tx: &Tx<'_>, intent: &Intent, room: Duration) -> Result<IntentAnswer, Fault> {
    let Some(stored) = tx.job(intent.job)? else { return Ok(IntentAnswer::Gone) };
    let job = &stored.job;
    let Some(left) = lease_left(tx, job, intent.fence)? else { return Ok(IntentAnswer::Stale) };
    let evidence = tx.evidence(job.root)?;
    if let Some(receipt) = evidence.receipt(intent.part) {
        return Ok(IntentAnswer::AlreadyOut(receipt.clone()));
    }
    if let Some(open) = evidence.open() {
        let repeated = open.intent.as_ref().filter(|known| is_repeated(known, intent));
        return Ok(match (repeated, open_parts(&evidence)) {
            (Some(known), 1) => IntentAnswer::Recorded(known.made_at),
            _ => IntentAnswer::Unresolved,
        });
    }
    if has_open_twin(tx, job, intent)? {
        return Ok(IntentAnswer::Twin);
    }
    if let Some(answer) = check_revision(tx, job, intent.revision)? {
        return Ok(answer);
    }
    if left < room {
        return Ok(IntentAnswer::LeaseTooShort);
    }
    tx.record_intent(job, intent)?;
    Ok(IntentAnswer::Recorded(tx.now))
}

/// What is left of the lease; none if it is not held under this fence or has ended.
fn lease_left(tx: &Tx<'_>, job: &Job, fence: Fence) -> Result<Option<Duration>, Fault> {
    if job.fence != fence || job.state != JobState::Running {
        return Ok(None);
    }
    let end = "SELECT ends_at FROM leases WHERE job_id = ?";
    let ends_at: Option<i64> = tx.get(end, [blob(job.id().as_uuid())], |row| row.get(0))?;
    let left = ends_at.map(|ends_at| ends_at.saturating_sub(tx.boot)).filter(|left| *left > 0);
    Ok(left.map(|left| Duration::from_millis(left.unsigned_abs())))
}

/// The very same intent, asked for again because the first answer was lost.
fn is_repeated(known: &Intent, asked: &Intent) -> bool {
    let at = |made_at: DateTime<Utc>| Intent { made_at, ..asked.clone() };
    *known == at(known.made_at)
}

/// The open intents of an account's identity, for the text and parent that are asked for, of lines in
/// which a job has not ended: the one that sent, or a replay.
pub(crate) const TWINS: &str = concat!(
    "SELECT 1 FROM evidence
     WHERE account_id IN ",
    same_identity!("?1"),
    " AND state = 'open' AND remote_id IS NULL
       AND root <> ?2 AND text = ?3 AND reply_to IS ?4
       AND (EXISTS (SELECT 1 FROM jobs WHERE jobs.id = evidence.job_id
                      AND jobs.state NOT IN ('succeeded', 'dead_letter', 'cancelled'))
            OR EXISTS (SELECT 1 FROM jobs WHERE jobs.root = evidence.root
                      AND jobs.replay_of IS NOT NULL
                      AND jobs.state NOT IN ('succeeded', 'dead_letter', 'cancelled')))"
);

/// Whether another job of the account's identity, not yet ended, has sent the same and knows no outcome.
fn has_open_twin(tx: &Tx<'_>, job: &Job, intent: &Intent) -> Result<bool, Fault> {
    let Some(account) = job.made.account_id else { return Ok(false) };
    let (account, root) = (blob(account.as_uuid()), blob(job.root.as_uuid()));
    Ok(tx.has(TWINS, params![account, root, intent.text, intent.reply_to])?)
}

fn open_parts(evidence: &Evidence) -> usize {
    let open = |part: &&PartEvidence| part.receipt.is_none() && part.state == IntentState::Open;
    evidence.0.iter().filter(open).count()
}

/// Whether the post is gone or was edited since it was loaded.
fn check_revision(tx: &Tx<'_>, job: &Job, revision: u32) -> Result<Option<IntentAnswer>, Fault> {
    let Some(post) = job.made.post_id else { return Ok(None) };
    let current = "SELECT revision FROM posts WHERE id = ?";
    let current: Option<u32> = tx.get(current, [blob(post.as_uuid())], |row| row.get(0))?;
    Ok(match current {
        None => Some(IntentAnswer::Gone),
        Some(current) if current != revision => Some(IntentAnswer::Edited),
        Some(_) => None,
    })
}

/// Makes the lease end so much from now, if it is still held.
pub(crate) fn renew(tx: &Tx<'_>, held: Held, lease: Duration) -> Result<Applied, Fault> {
    let job: Option<(Fence, JobState)> = current(tx, held.job)?;
    Ok(match job {
        None => Applied::Gone,
        Some((fence, JobState::Running)) if fence == held.fence => {
            let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
            let set = "UPDATE leases SET ends_at = ? WHERE job_id = ?";
            let id = blob(held.job.as_uuid());
            tx.run(set, params![tx.boot.saturating_add(lease), id])?;
            Applied::Applied
        }
        Some(_) => Applied::Stale,
    })
}

fn current(tx: &Tx<'_>, id: JobId) -> Result<Option<(Fence, JobState)>, Fault> {
    let read = |row: &Row<'_>| Ok((fence(row)?, word(row, "state")?));
    let sql = "SELECT fence, state FROM jobs WHERE id = ?";
    Ok(tx.get(sql, [blob(id.as_uuid())], read)?)
}
