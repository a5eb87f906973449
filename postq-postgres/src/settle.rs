//! Settling: what became of attempts. A batch is loaded and locked at once, decided in memory, and
//! written at once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use postq_core::failure::{Failure, Outcome};
use postq_core::feed::{Deferral, Settle, Settlement};
use postq_core::id::{AccountId, JobId, NodeId, PublicationId};
use postq_core::intent::{Evidence, IntentState, PartEvidence, Receipt};
use postq_core::job::{Applied, DeadReason, DedupeKey};
use postq_core::machine::JobState;
use postq_core::retry::RetryDecision;
use uuid::Uuid;

use crate::accounts::same_identity;
use crate::args::args;
use crate::asking::asked;
use crate::error::Fault;
use crate::evidence::{self, Known, Part, as_kept, part_of};
use crate::make::Birth;
use crate::plain::{plain_of, settle_plain};
use crate::rows::whole;
use crate::transition::{Stored, load, stored};
use crate::tx::{Tx, together};

/// Why a job that came too late was cancelled.
pub(crate) const MISSED: &str = "missed";

/// The jobs of a batch, locked, and what they are. The view leaves out the tables of other phases.
pub(crate) const LOCK: &str =
    "SELECT 1 FROM {s}.running WHERE job_id = ANY($1) ORDER BY job_id FOR UPDATE";
pub(crate) const RUNNING: &str = "SELECT * FROM {s}.jobs WHERE phase = 'running' AND id = ANY($1)";

/// The accounts of jobs that share their identity with others, each with a number that stands for it.
/// Two settlements of one identity must not overlook each other's remote ids: one after the other.
/// `OFFSET` keeps the server from a join, which could read all accounts.
pub(crate) const SHARING: &str = "SELECT id, identity, pg_advisory_xact_lock(identity) FROM (
         SELECT DISTINCT a.id,
             hashtextextended('{s} receipts ' || a.platform || ' ' || a.remote_id, 0) AS identity
         FROM {s}.job j CROSS JOIN LATERAL (
             SELECT * FROM {s}.accounts o WHERE o.id = j.account_id AND EXISTS (
                 SELECT 1 FROM {s}.identities i WHERE i.platform = o.platform
                     AND i.remote_id = o.remote_id AND i.account_id <> o.id) OFFSET 0) AS a
         WHERE j.id = ANY($1)
         ORDER BY identity) AS sharing";

/// Those of remote ids that another line of jobs of the same identity has. `OFFSET` as above: it could read
/// all that an account has out.
pub(crate) const FOREIGN: &str = concat!(
    "SELECT j.account_id, g.remote_id FROM unnest($1, $2) AS g (job_id, remote_id)
     JOIN {s}.job j ON j.id = g.job_id
     WHERE EXISTS (SELECT 1 FROM {s}.evidence e WHERE e.account_id = ANY (ARRAY ",
    same_identity!("j.account_id"),
    ") AND e.remote_id = g.remote_id AND e.root <> j.root OFFSET 0)"
);

/// Applies settlements, each if its claim is current. No answer for those that look plain and could not
/// be settled so: they are for a transaction of their own, for [`carefully`] waits for the rows it locks,
/// and whoever does that with other rows in hand may wait in a circle.
pub(crate) async fn settle(
    tx: &Tx<'_>,
    settlements: &[Settlement],
) -> Result<Vec<Option<Applied>>, Fault> {
    let plain = plain_of(settlements);
    let rest: Vec<&Settlement> =
        settlements.iter().filter(|one| !plain.contains(&one.held)).collect();
    let mut rest = carefully(tx, &rest).await?.into_iter();
    let done = settle_plain(tx, settlements, &plain).await?;
    let answer = |one: &Settlement| match plain.contains(&one.held) {
        true => done.contains(&one.held).then_some(Applied::Applied),
        false => rest.next(),
    };
    Ok(settlements.iter().map(answer).collect())
}

/// Applies settlements of any kind; one answer each, in order.
pub(crate) async fn carefully(
    tx: &Tx<'_>,
    settlements: &[&Settlement],
) -> Result<Vec<Applied>, Fault> {
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    let mut batch = Batch::load(tx, settlements).await?;
    let mut answers = Vec::with_capacity(settlements.len());
    for settlement in settlements {
        answers.push(batch.settle(settlement)?);
    }
    batch.write(tx).await?;
    Ok(answers)
}

/// What a batch is about.
struct Batch {
    now: DateTime<Utc>,
    jobs: BTreeMap<JobId, Stored>,
    /// What is known of the lines of replays of these jobs.
    known: Known,
    /// Parts of which more is known now.
    learnt: BTreeSet<(JobId, u16)>,
    /// Remote ids that receipts bring and other lines of the same identity have.
    foreign: BTreeSet<(AccountId, String)>,
    /// The accounts that share their identity, and which receipts this batch has kept for whom.
    sharing: BTreeMap<AccountId, i64>,
    shared: BTreeMap<(i64, String), JobId>,
    /// What publications would collide with.
    published: Published,
    /// Jobs that went first, each with its app.
    asked: Vec<(JobId, String)>,
    /// Jobs that have left `running`.
    moved: BTreeSet<JobId>,
    publications: Vec<Publication>,
    births: Vec<Birth>,
}

/// Keys of publications.
#[derive(Default)]
struct Published {
    jobs: BTreeSet<JobId>,
    keys: BTreeSet<DedupeKey>,
    remote_ids: BTreeSet<(AccountId, String)>,
}

/// A publication to be kept.
struct Publication {
    job: JobId,
    parts: Vec<Receipt>,
}

impl Batch {
    /// Loads and locks everything.
    async fn load(tx: &Tx<'_>, settlements: &[&Settlement]) -> Result<Self, Fault> {
        let ids: BTreeSet<JobId> = settlements.iter().map(|one| one.held.job).collect();
        let ids: Vec<Uuid> = ids.into_iter().map(JobId::as_uuid).collect();
        let brought =
            settlements.iter().filter_map(|one| Some((one.held.job, brought(&one.settle)?)));
        let (of, receipts): (Vec<Uuid>, Vec<String>) =
            brought.map(|(job, receipt)| (job.as_uuid(), as_kept(receipt).remote_id)).unzip();
        let succeeded = settlements.iter().filter(|o| matches!(o.settle, Settle::Succeeded(_)));
        let succeeded: Vec<Uuid> = succeeded.map(|one| one.held.job.as_uuid()).collect();
        let (sharing, _, running, now, known, foreign, published, asked) = together!(
            sharing(tx, &of),
            tx.sql.rows(LOCK, args![ids]),
            tx.sql.all(RUNNING, args![ids], stored),
            tx.sql.now(),
            evidence::lock_of_jobs(tx.sql, &ids),
            foreign(tx, &of, &receipts),
            Published::load(tx, &succeeded, &receipts),
            asked(tx.sql, &ids),
        )?;
        let mut jobs: BTreeMap<_, _> =
            running.into_iter().map(|stored| (stored.job.id(), stored)).collect();
        // Whoever is not running was settled before, or taken away; that cannot be undone, so no lock.
        let rest: Vec<JobId> =
            ids.into_iter().map(JobId::from_uuid).filter(|id| !jobs.contains_key(id)).collect();
        if !rest.is_empty() {
            let rest = load(tx.sql, &rest).await?;
            jobs.extend(rest.into_iter().map(|stored| (stored.job.id(), stored)));
        }
        Ok(Self {
            now,
            jobs,
            known,
            learnt: BTreeSet::new(),
            foreign,
            sharing,
            shared: BTreeMap::new(),
            published,
            asked,
            moved: BTreeSet::new(),
            publications: Vec::new(),
            births: Vec::new(),
        })
    }

    fn settle(&mut self, settlement: &Settlement) -> Result<Applied, Fault> {
        let Some(stored) = self.jobs.get(&settlement.held.job) else { return Ok(Applied::Gone) };
        let digest = digest(&settlement.settle);
        let is_current = stored.job.fence == settlement.held.fence;
        if is_current && self.was_settled(stored, &settlement.settle, &digest) {
            return Ok(Applied::Applied);
        }
        if !is_current || stored.job.state != JobState::Running {
            // The claim has passed to somebody newer: nothing changes but for a receipt, which is
            // kept whoever brings it.
            if let Some(receipt) = brought(&settlement.settle) {
                // Kept or not, the answer is the same.
                let _ = self.keep_receipt(settlement.held.job, receipt);
            }
            return Ok(Applied::Stale);
        }
        let mut stored = stored.clone();
        let applied = match &settlement.settle {
            Settle::Part(receipt) => self.keep_receipt(stored.job.id(), receipt),
            Settle::Absent { part } => {
                self.close(stored.job.root, Some(*part), IntentState::Absent);
                Applied::Applied
            }
            Settle::Succeeded(receipt) => {
                self.succeed(&mut stored, receipt.as_ref(), settlement)?
            }
            Settle::Failed(failure, decision) => {
                self.fail(&mut stored, failure, *decision, settlement)?
            }
            Settle::Deferred(at, why) => self.defer(&mut stored, *at, *why, settlement)?,
            Settle::Missed => self.miss(&mut stored, settlement)?,
        };
        if applied == Applied::Applied {
            if stored.job.state != JobState::Running {
                stored.settled = Some(digest);
                self.moved.insert(stored.job.id());
            }
            self.jobs.insert(stored.job.id(), stored);
            let node = Some(settlement.node);
            self.births
                .extend(settlement.follow_ups.iter().map(|made| Birth::enqueued(made, node)));
        }
        Ok(applied)
    }

    /// Whether this very settlement was applied before.
    fn was_settled(&self, stored: &Stored, settle: &Settle, digest: &[u8]) -> bool {
        let known = self.known.get(&stored.job.root);
        match settle {
            Settle::Part(receipt) => {
                known.and_then(|known| known.receipt(receipt.part)) == Some(&as_kept(receipt))
            }
            Settle::Absent { part } => known
                .and_then(|known| known.part(*part))
                .is_some_and(|known| known.state == IntentState::Absent),
            _ => stored.settled.as_deref() == Some(digest),
        }
    }

    /// Keeps a receipt unless its part has one; [`Applied::Stale`] if another line of jobs of the
    /// account's identity has its remote id.
    fn keep_receipt(&mut self, job: JobId, receipt: &Receipt) -> Applied {
        let Some(job) = self.jobs.get(&job).map(|stored| &stored.job) else { return Applied::Gone };
        let (root, account, receipt) = (job.root, job.made.account_id, as_kept(receipt));
        if self.known.get(&root).is_some_and(|known| known.receipt(receipt.part).is_some()) {
            return Applied::Applied;
        }
        if account.is_some_and(|id| self.foreign.contains(&(id, receipt.remote_id.clone()))) {
            return Applied::Stale;
        }
        if let Some(identity) = account.and_then(|id| self.sharing.get(&id)) {
            let key = (*identity, receipt.remote_id.clone());
            if *self.shared.entry(key).or_insert(root) != root {
                return Applied::Stale;
            }
        }
        let part = receipt.part;
        self.learn(root, part, |known| {
            known.state = IntentState::Published;
            known.receipt = Some(receipt);
        });
        Applied::Applied
    }

    fn learn(&mut self, root: JobId, part: u16, change: impl FnOnce(&mut PartEvidence)) {
        change(part_of(self.known.entry(root).or_default(), part));
        self.learnt.insert((root, part));
    }

    /// Closes the open intents of a line of replays, of one part or of all.
    fn close(&mut self, root: JobId, part: Option<u16>, state: IntentState) {
        for open in self.open_parts(root) {
            if part.is_none_or(|part| part == open) {
                self.learn(root, open, |known| known.state = state);
            }
        }
    }

    fn open_parts(&self, root: JobId) -> Vec<u16> {
        let known = self.known.get(&root).into_iter().flat_map(|known| &known.0);
        let open = known.filter(|part| part.receipt.is_none() && part.state == IntentState::Open);
        open.map(|part| part.part).collect()
    }

    fn succeed(
        &mut self,
        stored: &mut Stored,
        receipt: Option<&Receipt>,
        settlement: &Settlement,
    ) -> Result<Applied, Fault> {
        if let Some(receipt) = receipt
            && self.keep_receipt(stored.job.id(), receipt) == Applied::Stale
        {
            return Ok(Applied::Stale);
        }
        if !self.publish(stored) {
            return Ok(Applied::Stale);
        }
        let node = Some(settlement.node);
        stored.step(JobState::Succeeded, self.now, node, settlement.reason.as_deref())?;
        Ok(Applied::Applied)
    }

    /// Makes the publication from all receipts of the job's line; false if another publication has
    /// its remote id or key.
    fn publish(&mut self, stored: &Stored) -> bool {
        let made = &stored.job.made;
        let (Some(_), Some(account)) = (made.post_id, made.account_id) else { return true };
        let known = self.known.get(&stored.job.root).unwrap_or(const { &Evidence(Vec::new()) });
        let parts: Vec<Receipt> = known.0.iter().filter_map(|part| part.receipt.clone()).collect();
        let Some(first) = parts.first() else { return true };
        let remote_id = (account, first.remote_id.clone());
        let key = made.dedupe_key.clone();
        let published = &mut self.published;
        if published.jobs.contains(&made.id)
            || published.remote_ids.contains(&remote_id)
            || key.as_ref().is_some_and(|key| published.keys.contains(key))
        {
            return false;
        }
        published.remote_ids.insert(remote_id);
        published.keys.extend(key);
        self.publications.push(Publication { job: made.id, parts });
        true
    }

    fn fail(
        &mut self,
        stored: &mut Stored,
        failure: &Failure,
        decision: RetryDecision,
        settlement: &Settlement,
    ) -> Result<Applied, Fault> {
        let root = stored.job.root;
        if failure.duplicate {
            for open in self.open_parts(root) {
                self.learn(root, open, |known| known.duplicate = true);
            }
        }
        if failure.outcome == Outcome::NotPublished {
            self.close(root, None, IntentState::NotPublished);
        }
        let said = failure.to_string();
        let reason = Some(settlement.reason.as_deref().unwrap_or(&said));
        let node = Some(settlement.node);
        stored.job.slot = None;
        match decision {
            RetryDecision::RetryAt(at) => {
                stored.job.run_at = whole(at);
                stored.step(JobState::Failed, self.now, node, reason)?;
            }
            RetryDecision::GiveUp(why) => {
                stored.step(JobState::Failed, self.now, node, reason)?;
                give_up(stored, why, self.now, node, reason)?;
            }
        }
        Ok(Applied::Applied)
    }

    fn defer(
        &mut self,
        stored: &mut Stored,
        at: DateTime<Utc>,
        why: Deferral,
        settlement: &Settlement,
    ) -> Result<Applied, Fault> {
        let (root, at) = (stored.job.root, whole(at));
        match why {
            Deferral::Slot => stored.job.slot = Some(at),
            Deferral::Refused => {
                stored.job.slot = None;
                self.close(root, None, IntentState::NotPublished);
            }
            Deferral::Looking { absent } => {
                for open in self.open_parts(root) {
                    self.learn(root, open, |known| {
                        known.looks += 1;
                        known.absent_looks += u32::from(absent);
                    });
                }
            }
            Deferral::Wait | Deferral::Shutdown | Deferral::UnknownKind | Deferral::Again => {}
        }
        stored.job.run_at = at;
        self.give_back(stored, settlement, settlement.reason.as_deref())?;
        Ok(Applied::Applied)
    }

    fn miss(&mut self, stored: &mut Stored, settlement: &Settlement) -> Result<Applied, Fault> {
        let reason = Some(settlement.reason.as_deref().unwrap_or(MISSED));
        self.give_back(stored, settlement, reason)?;
        stored.step(JobState::Cancelled, self.now, Some(settlement.node), reason)?;
        Ok(Applied::Applied)
    }

    fn give_back(
        &self,
        stored: &mut Stored,
        settlement: &Settlement,
        reason: Option<&str>,
    ) -> Result<(), Fault> {
        stored.job.attempt = stored.job.attempt.saturating_sub(1);
        stored.step(JobState::Enqueued, self.now, Some(settlement.node), reason)
    }

    /// Writes all that has changed.
    async fn write(self, tx: &Tx<'_>) -> Result<(), Fault> {
        let Self { now, jobs, known, learnt, asked, moved, publications, births, .. } = self;
        for (job, app) in asked.iter().filter(|(job, _)| moved.contains(job)) {
            let succeeded = jobs.get(job).is_some_and(|j| j.job.state == JobState::Succeeded);
            tx.end_asking(*job, app, succeeded).await?;
        }
        // The jobs of a root have one account.
        let accounts: BTreeMap<JobId, Option<AccountId>> =
            jobs.values().map(|stored| (stored.job.root, stored.job.made.account_id)).collect();
        let parts = learnt.iter().filter_map(|(root, part)| {
            let account = accounts.get(root).copied().flatten();
            Some(Part { root: *root, account, known: known.get(root)?.part(*part)? })
        });
        evidence::keep(tx.sql, &parts.collect::<Vec<_>>()).await?;
        publish(tx, &publications, &jobs).await?;
        tx.make(&births, now).await?;
        let mut moved: Vec<Stored> =
            jobs.into_values().filter(|stored| moved.contains(&stored.job.id())).collect();
        tx.move_all(&mut moved, now).await
    }
}

/// The receipt that a settlement brings.
fn brought(settle: &Settle) -> Option<&Receipt> {
    match settle {
        Settle::Part(receipt) | Settle::Succeeded(Some(receipt)) => Some(receipt),
        _ => None,
    }
}

/// Takes a failed job to its end.
pub(crate) fn give_up(
    stored: &mut Stored,
    why: DeadReason,
    now: DateTime<Utc>,
    node: Option<NodeId>,
    reason: Option<&str>,
) -> Result<(), Fault> {
    stored.job.dead_reason = Some(why);
    stored.step(JobState::DeadLetter, now, node, reason)
}

/// The accounts of these jobs that share their identity, locked.
async fn sharing(tx: &Tx<'_>, jobs: &[Uuid]) -> Result<BTreeMap<AccountId, i64>, Fault> {
    if jobs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let read = |row: &tokio_postgres::Row| {
        Ok((AccountId::from_uuid(row.try_get("id")?), row.try_get("identity")?))
    };
    Ok(tx.sql.all(SHARING, args![jobs.to_vec()], read).await?.into_iter().collect())
}

/// Those of the remote ids that another line of jobs of the same identity has.
async fn foreign(
    tx: &Tx<'_>,
    jobs: &[Uuid],
    remote_ids: &[String],
) -> Result<BTreeSet<(AccountId, String)>, Fault> {
    if jobs.is_empty() {
        return Ok(BTreeSet::new());
    }
    let read = |row: &tokio_postgres::Row| {
        Ok((AccountId::from_uuid(row.try_get("account_id")?), row.try_get("remote_id")?))
    };
    let found = tx.sql.all(FOREIGN, args![jobs.to_vec(), remote_ids.to_vec()], read).await?;
    Ok(found.into_iter().collect())
}

impl Published {
    /// The publications that those of these jobs would collide with.
    async fn load(tx: &Tx<'_>, jobs: &[Uuid], remote_ids: &[String]) -> Result<Self, Fault> {
        let mut published = Self::default();
        if jobs.is_empty() {
            return Ok(published);
        }
        let sql = "SELECT p.job_id, p.dedupe_key, p.account_id, p.remote_id
             FROM {s}.job j CROSS JOIN LATERAL (
                 SELECT o.* FROM {s}.published_posts o WHERE o.job_id = j.id
                 UNION ALL SELECT o.* FROM {s}.published_posts o WHERE o.dedupe_key = j.dedupe_key
                 UNION ALL SELECT o.* FROM {s}.published_posts o
                     WHERE o.account_id = j.account_id AND o.remote_id = ANY($2)
                 UNION ALL SELECT o.* FROM {s}.evidence e JOIN {s}.published_posts o
                     ON o.account_id = j.account_id AND o.remote_id = e.remote_id
                     WHERE e.root = j.root) AS p
             WHERE j.id = ANY($1) AND j.post_id IS NOT NULL";
        for row in tx.sql.rows(sql, args![jobs.to_vec(), remote_ids.to_vec()]).await? {
            published.jobs.insert(JobId::from_uuid(row.try_get("job_id")?));
            let key: Option<String> = row.try_get("dedupe_key")?;
            published.keys.extend(key.map(DedupeKey::new));
            let account = AccountId::from_uuid(row.try_get("account_id")?);
            published.remote_ids.insert((account, row.try_get("remote_id")?));
        }
        Ok(published)
    }
}

/// Keeps publications.
async fn publish(
    tx: &Tx<'_>,
    publications: &[Publication],
    jobs: &BTreeMap<JobId, Stored>,
) -> Result<(), Fault> {
    if publications.is_empty() {
        return Ok(());
    }
    let made: Vec<_> = publications
        .iter()
        .filter_map(|one| {
            let made = &jobs.get(&one.job)?.job.made;
            Some((made, made.post_id?, made.account_id?, one.parts.first()?, &one.parts))
        })
        .collect();
    let parts: Result<Vec<_>, _> =
        made.iter().map(|(.., parts)| serde_json::to_string(parts)).collect();
    let kept = tx
        .sql
        .run(
            "INSERT INTO {s}.published_posts (id, tenant_id, job_id, post_id, account_id, dedupe_key,
                 remote_id, url, published_at, parts)
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
            args![
                made.iter().map(|_| PublicationId::new().as_uuid()).collect::<Vec<_>>(),
                made.iter().map(|(made, ..)| made.tenant_id.as_uuid()).collect::<Vec<_>>(),
                made.iter().map(|(made, ..)| made.id.as_uuid()).collect::<Vec<_>>(),
                made.iter().map(|(_, post, ..)| post.as_uuid()).collect::<Vec<_>>(),
                made.iter().map(|(_, _, account, ..)| account.as_uuid()).collect::<Vec<_>>(),
                made.iter()
                    .map(|(made, ..)| made.dedupe_key.as_ref().map(DedupeKey::as_str))
                    .collect::<Vec<_>>(),
                made.iter().map(|(.., first, _)| first.remote_id.as_str()).collect::<Vec<_>>(),
                made.iter().map(|(.., first, _)| first.url.as_deref()).collect::<Vec<_>>(),
                made.iter().map(|(.., first, _)| first.published_at).collect::<Vec<_>>(),
                parts?,
            ],
        )
        .await?;
    if kept == made.len() as u64 {
        return Ok(());
    }
    // Somebody else published under the same key in this very moment: seen in the next try.
    Err(Fault::Again("another job published the same"))
}

/// Tells one settlement from another: FNV-1a over its debug form, 128 bits. It only has to tell a
/// repeated call of one worker from another call of the same worker.
pub(crate) fn digest(settle: &Settle) -> Vec<u8> {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    let text = format!("{settle:?}");
    let hash =
        text.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    hash.to_be_bytes().to_vec()
}
