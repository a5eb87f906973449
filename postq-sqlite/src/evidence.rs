//! Evidence: what was sent and what is out, per root job and part.

use postq_core::id::{AccountId, JobId};
use postq_core::intent::{Evidence, Intent, IntentState, PartEvidence, PlatformKey, Receipt};
use postq_core::job::Job;
use rusqlite::{Row, params};

use crate::accounts::same_identity;
use crate::error::Fault;
use crate::rows::{
    blob, fence, fence_number, json, micros, some_time, some_uuid, time_of, word, word_of,
};
use crate::writer::Tx;

/// What became of a receipt that somebody brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is stored, now or since an earlier call.
    Stored,
    /// The part has another one already; that one stays.
    HasOther,
    /// Another line of jobs of the account's identity has this remote id: nothing was changed.
    Foreign,
}

/// One intent of a line of replays is open: something may be out.
pub(crate) const OPEN: &str =
    "SELECT 1 FROM evidence WHERE root = ? AND state = 'open' AND remote_id IS NULL";

/// The line of replays has an open intent or a receipt: its content is frozen.
pub(crate) const FREEZES: &str = "evidence.remote_id IS NOT NULL OR evidence.state = 'open'";

/// The receipts with a remote id that other lines of jobs of an account's identity have.
pub(crate) const FOREIGN: &str = concat!(
    "SELECT 1 FROM evidence WHERE account_id IN ",
    same_identity!("?1"),
    " AND remote_id = ?2 AND root <> ?3"
);

impl Tx<'_> {
    /// All that is known of a line of replays.
    pub(crate) fn evidence(&self, root: JobId) -> Result<Evidence, Fault> {
        let all = "SELECT * FROM evidence WHERE root = ? ORDER BY part";
        Ok(Evidence(self.all(all, [blob(root.as_uuid())], part)?))
    }

    /// Writes an intent down in the place of the part's last one.
    pub(crate) fn record_intent(&self, job: &Job, intent: &Intent) -> Result<(), Fault> {
        self.run(
            "INSERT OR REPLACE INTO evidence (root, part, account_id, job_id, fence, key, text,
                 options, media, reply_to, container, revision, made_at, state)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open')",
            params![
                blob(job.root.as_uuid()),
                intent.part,
                job.made.account_id.map(|id| blob(id.as_uuid())),
                blob(intent.job.as_uuid()),
                fence_number(intent.fence),
                intent.key.as_str(),
                intent.text,
                serde_json::to_string(&intent.options)?,
                serde_json::to_string(&intent.media)?,
                intent.reply_to,
                intent.container,
                intent.revision,
                micros(self.now),
            ],
        )?;
        Ok(())
    }

    /// Keeps a receipt, unless the part has one or another line of jobs has this remote id; closes
    /// the part's open intent.
    pub(crate) fn keep_receipt(&self, job: &Job, receipt: &Receipt) -> Result<Kept, Fault> {
        let evidence = self.evidence(job.root)?;
        if let Some(known) = evidence.receipt(receipt.part) {
            return Ok(if known == receipt { Kept::Stored } else { Kept::HasOther });
        }
        if self.is_foreign(job.root, job.made.account_id, &receipt.remote_id)? {
            return Ok(Kept::Foreign);
        }
        self.store_receipt(job.root, job.made.account_id, receipt)?;
        Ok(Kept::Stored)
    }

    /// Stores a receipt for a part that has none.
    pub(crate) fn store_receipt(
        &self,
        root: JobId,
        account: Option<AccountId>,
        receipt: &Receipt,
    ) -> Result<(), Fault> {
        self.run(
            "INSERT INTO evidence
                 (root, part, account_id, state, remote_id, url, published_at, dry_run)
             VALUES (?, ?, ?, 'published', ?, ?, ?, ?)
             ON CONFLICT (root, part) DO UPDATE SET
                 state = 'published', remote_id = excluded.remote_id, url = excluded.url,
                 published_at = excluded.published_at, dry_run = excluded.dry_run",
            params![
                blob(root.as_uuid()),
                receipt.part,
                account.map(|id| blob(id.as_uuid())),
                receipt.remote_id,
                receipt.url,
                micros(receipt.published_at),
                receipt.dry_run,
            ],
        )?;
        Ok(())
    }

    /// Whether a receipt of another line of jobs of the account's identity has this remote id.
    fn is_foreign(
        &self,
        root: JobId,
        account: Option<AccountId>,
        remote_id: &str,
    ) -> Result<bool, Fault> {
        let Some(account) = account else { return Ok(false) };
        let key = params![blob(account.as_uuid()), remote_id, blob(root.as_uuid())];
        Ok(self.has(FOREIGN, key)?)
    }

    /// Closes the open intents of a line of replays, of one part or of all.
    pub(crate) fn close_intents(
        &self,
        root: JobId,
        part: Option<u16>,
        as_state: IntentState,
    ) -> Result<(), Fault> {
        let close = "UPDATE evidence SET state = ?
                     WHERE root = ? AND state = 'open' AND (?3 IS NULL OR part = ?3)";
        let word = word_of(as_state)?;
        self.run(close, params![word, blob(root.as_uuid()), part])?;
        Ok(())
    }

    /// Counts a look at the open intent.
    pub(crate) fn count_look(&self, root: JobId, absent: bool) -> Result<(), Fault> {
        let count = "UPDATE evidence SET looks = looks + 1, absent_looks = absent_looks + ?
                     WHERE root = ? AND state = 'open' AND remote_id IS NULL";
        self.run(count, params![absent, blob(root.as_uuid())])?;
        Ok(())
    }

    /// Notes that the platform refused the open intent as a duplicate.
    pub(crate) fn note_duplicate(&self, root: JobId) -> Result<(), Fault> {
        let note = "UPDATE evidence SET duplicate = 1
                    WHERE root = ? AND state = 'open' AND remote_id IS NULL";
        self.run(note, [blob(root.as_uuid())])?;
        Ok(())
    }

    /// Gives another line of replays the receipts of this one.
    pub(crate) fn copy_receipts(&self, from: JobId, to: JobId) -> Result<(), Fault> {
        self.run(
            "INSERT INTO evidence (root, part, account_id, job_id, fence, key, text, options,
                 media, reply_to, container, revision, made_at, state, looks, absent_looks, duplicate, remote_id,
                 url, published_at, dry_run)
             SELECT ?, part, account_id, job_id, fence, key, text, options, media, reply_to,
                 container, revision, made_at, state, looks, absent_looks, duplicate, remote_id, url, published_at,
                 dry_run
             FROM evidence WHERE root = ? AND remote_id IS NOT NULL",
            params![blob(to.as_uuid()), blob(from.as_uuid())],
        )?;
        Ok(())
    }
}

fn part(row: &Row<'_>) -> rusqlite::Result<PartEvidence> {
    let part = row.get("part")?;
    let receipt = receipt(row, part)?;
    Ok(PartEvidence {
        part,
        intent: intent(row, part)?,
        state: if receipt.is_some() { IntentState::Published } else { word(row, "state")? },
        absent_looks: row.get("absent_looks")?,
        looks: row.get("looks")?,
        duplicate: row.get("duplicate")?,
        receipt,
    })
}

fn intent(row: &Row<'_>, part: u16) -> rusqlite::Result<Option<Intent>> {
    let Some(job) = some_uuid(row, "job_id")? else { return Ok(None) };
    Ok(Some(Intent {
        job: JobId::from_uuid(job),
        fence: fence(row)?,
        part,
        key: PlatformKey::from_raw(row.get::<_, String>("key")?),
        text: row.get("text")?,
        options: json(row, "options")?,
        media: json(row, "media")?,
        reply_to: row.get("reply_to")?,
        container: row.get("container")?,
        revision: row.get("revision")?,
        made_at: time_of(row.get("made_at")?)?,
    }))
}

fn receipt(row: &Row<'_>, part: u16) -> rusqlite::Result<Option<Receipt>> {
    let Some(remote_id) = row.get("remote_id")? else { return Ok(None) };
    let Some(published_at) = some_time(row, "published_at")? else { return Ok(None) };
    Ok(Some(Receipt {
        part,
        remote_id,
        url: row.get("url")?,
        published_at,
        dry_run: row.get("dry_run")?,
    }))
}
