//! Settling: what became of an attempt.

use chrono::{DateTime, Utc};
use postq_core::failure::{Failure, Outcome};
use postq_core::feed::{Deferral, Settle, Settlement};
use postq_core::id::PublicationId;
use postq_core::intent::{IntentState, Receipt};
use postq_core::job::{Applied, DeadReason};
use postq_core::machine::JobState;
use postq_core::retry::RetryDecision;
use rusqlite::params;

use crate::error::Fault;
use crate::evidence::Kept;
use crate::rows::{blob, micros};
use crate::transition::Stored;
use crate::writer::Tx;

/// Why a job that came too late was cancelled.
pub(crate) const MISSED: &str = "missed";

/// Applies one settlement, if its claim is current.
pub(crate) fn settle(tx: &Tx<'_>, settlement: &Settlement) -> Result<Applied, Fault> {
    let Some(mut stored) = tx.job(settlement.held.job)? else { return Ok(Applied::Gone) };
    let digest = digest(&settlement.settle);
    if stored.job.fence != settlement.held.fence {
        return stale(tx, &stored, &settlement.settle);
    }
    if was_settled(tx, &stored, &settlement.settle, &digest)? {
        return Ok(Applied::Applied);
    }
    if stored.job.state != JobState::Running {
        return stale(tx, &stored, &settlement.settle);
    }
    let applied = match &settlement.settle {
        Settle::Part(receipt) => keep(tx, &stored, receipt)?,
        Settle::Absent { part } => absent(tx, &stored, *part)?,
        Settle::Succeeded(receipt) => succeeded(tx, &mut stored, receipt.as_ref(), settlement)?,
        Settle::Failed(failure, decision) => {
            failed(tx, &mut stored, failure, *decision, settlement)?
        }
        Settle::Deferred(at, why) => deferred(tx, &mut stored, *at, *why, settlement)?,
        Settle::Missed => missed(tx, &mut stored, settlement)?,
    };
    if applied == Applied::Applied {
        if stored.job.state != JobState::Running {
            stored.settled = Some(digest);
            tx.save(&stored)?;
            tx.end_asking(stored.job.id(), stored.job.state == JobState::Succeeded)?;
        }
        for job in &settlement.follow_ups {
            tx.enqueue_new(job, Some(settlement.node))?;
        }
    }
    Ok(applied)
}

/// The claim has passed to somebody newer: nothing changes but for a receipt, which is kept
/// whoever brings it.
fn stale(tx: &Tx<'_>, stored: &Stored, settle: &Settle) -> Result<Applied, Fault> {
    if let Settle::Part(receipt) | Settle::Succeeded(Some(receipt)) = settle {
        // Kept or not, the answer is the same.
        tx.keep_receipt(&stored.job, receipt)?;
    }
    Ok(Applied::Stale)
}

/// Whether this very settlement was applied before.
fn was_settled(
    tx: &Tx<'_>,
    stored: &Stored,
    settle: &Settle,
    digest: &[u8],
) -> Result<bool, Fault> {
    let evidence = || tx.evidence(stored.job.root);
    Ok(match settle {
        Settle::Part(receipt) => evidence()?.receipt(receipt.part) == Some(receipt),
        Settle::Absent { part } => {
            evidence()?.part(*part).is_some_and(|known| known.state == IntentState::Absent)
        }
        _ => stored.settled.as_deref() == Some(digest),
    })
}

fn keep(tx: &Tx<'_>, stored: &Stored, receipt: &Receipt) -> Result<Applied, Fault> {
    Ok(match tx.keep_receipt(&stored.job, receipt)? {
        Kept::Stored | Kept::HasOther => Applied::Applied,
        Kept::Foreign => Applied::Stale,
    })
}

fn absent(tx: &Tx<'_>, stored: &Stored, part: u16) -> Result<Applied, Fault> {
    tx.close_intents(stored.job.root, Some(part), IntentState::Absent)?;
    Ok(Applied::Applied)
}

fn succeeded(
    tx: &Tx<'_>,
    stored: &mut Stored,
    receipt: Option<&Receipt>,
    settlement: &Settlement,
) -> Result<Applied, Fault> {
    if let Some(receipt) = receipt
        && keep(tx, stored, receipt)? == Applied::Stale
    {
        return Ok(Applied::Stale);
    }
    if !publish(tx, stored)? {
        return Ok(Applied::Stale);
    }
    tx.step(stored, JobState::Succeeded, Some(settlement.node), settlement.reason.as_deref())?;
    Ok(Applied::Applied)
}

/// Makes the publication from all receipts of the job's line; false if another publication has its
/// remote id or key.
fn publish(tx: &Tx<'_>, stored: &Stored) -> Result<bool, Fault> {
    let made = &stored.job.made;
    let (Some(post), Some(account)) = (made.post_id, made.account_id) else { return Ok(true) };
    let evidence = tx.evidence(stored.job.root)?;
    let parts: Vec<Receipt> = evidence.0.into_iter().filter_map(|part| part.receipt).collect();
    let Some(first) = parts.first() else { return Ok(true) };
    let made_one = tx.run(
        "INSERT OR IGNORE INTO published_posts (id, tenant_id, job_id, post_id, account_id, dedupe_key,
             remote_id, url, published_at, parts)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            blob(PublicationId::new().as_uuid()),
            blob(made.tenant_id.as_uuid()),
            blob(made.id.as_uuid()),
            blob(post.as_uuid()),
            blob(account.as_uuid()),
            made.dedupe_key.as_ref().map(postq_core::job::DedupeKey::as_str),
            first.remote_id,
            first.url,
            micros(first.published_at),
            serde_json::to_string(&parts)?,
        ],
    )?;
    Ok(made_one == 1)
}

fn failed(
    tx: &Tx<'_>,
    stored: &mut Stored,
    failure: &Failure,
    decision: RetryDecision,
    settlement: &Settlement,
) -> Result<Applied, Fault> {
    if failure.duplicate {
        tx.note_duplicate(stored.job.root)?;
    }
    if failure.outcome == Outcome::NotPublished {
        tx.close_intents(stored.job.root, None, IntentState::NotPublished)?;
    }
    let said = failure.to_string();
    let reason = Some(settlement.reason.as_deref().unwrap_or(&said));
    let node = Some(settlement.node);
    stored.job.slot = None;
    match decision {
        RetryDecision::RetryAt(at) => {
            stored.job.run_at = at;
            tx.step(stored, JobState::Failed, node, reason)?;
        }
        RetryDecision::GiveUp(why) => {
            tx.step(stored, JobState::Failed, node, reason)?;
            give_up(tx, stored, why, node, reason)?;
        }
    }
    Ok(Applied::Applied)
}

/// Takes a failed job to its end.
pub(crate) fn give_up(
    tx: &Tx<'_>,
    stored: &mut Stored,
    why: DeadReason,
    node: Option<postq_core::id::NodeId>,
    reason: Option<&str>,
) -> Result<(), Fault> {
    stored.job.dead_reason = Some(why);
    tx.step(stored, JobState::DeadLetter, node, reason)
}

fn deferred(
    tx: &Tx<'_>,
    stored: &mut Stored,
    at: DateTime<Utc>,
    why: Deferral,
    settlement: &Settlement,
) -> Result<Applied, Fault> {
    match why {
        Deferral::Slot => stored.job.slot = Some(at),
        Deferral::Refused => {
            stored.job.slot = None;
            tx.close_intents(stored.job.root, None, IntentState::NotPublished)?;
        }
        Deferral::Looking { absent } => tx.count_look(stored.job.root, absent)?,
        Deferral::Wait | Deferral::Shutdown | Deferral::UnknownKind | Deferral::Again => {}
    }
    stored.job.run_at = at;
    give_back(tx, stored, settlement, settlement.reason.as_deref())?;
    Ok(Applied::Applied)
}

fn missed(tx: &Tx<'_>, stored: &mut Stored, settlement: &Settlement) -> Result<Applied, Fault> {
    let reason = settlement.reason.as_deref().unwrap_or(MISSED);
    give_back(tx, stored, settlement, Some(reason))?;
    tx.step(stored, JobState::Cancelled, Some(settlement.node), Some(reason))?;
    Ok(Applied::Applied)
}

fn give_back(
    tx: &Tx<'_>,
    stored: &mut Stored,
    settlement: &Settlement,
    reason: Option<&str>,
) -> Result<(), Fault> {
    stored.job.attempt = stored.job.attempt.saturating_sub(1);
    tx.step(stored, JobState::Enqueued, Some(settlement.node), reason)
}

/// Tells one settlement from another: FNV-1a over its debug form, 128 bits. It only has to tell a
/// repeated call of one worker from another call of the same worker.
fn digest(settle: &Settle) -> Vec<u8> {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    let text = format!("{settle:?}");
    let hash =
        text.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    hash.to_be_bytes().to_vec()
}
