//! Evidence: what was sent and what is out, per root job and part.

use std::collections::{BTreeMap, BTreeSet};

use postq_core::id::{AccountId, JobId};
use postq_core::intent::{Evidence, Intent, IntentState, PartEvidence, PlatformKey, Receipt};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::args::args;
use crate::aside::{Broken, readable};
use crate::error::Fault;
use crate::rows::{fence, fence_number, json, kept, number, whole, word, word_of};
use crate::tx::Sql;

/// The line of replays has an open intent or a receipt: its content is frozen.
pub(crate) const FREEZES: &str = "(e.remote_id IS NOT NULL OR e.state = 'open')";

/// All that is known of some lines of replays, by root.
pub(crate) type Known = BTreeMap<JobId, Evidence>;

/// All that is known of these lines of replays; those of which nothing is known are left out.
pub(crate) async fn of_roots(sql: Sql<'_>, roots: &BTreeSet<JobId>) -> Result<Known, Fault> {
    let roots: Vec<Uuid> = roots.iter().map(|root| root.as_uuid()).collect();
    let all = "SELECT * FROM {s}.evidence WHERE root = ANY($1) ORDER BY root, part";
    Ok(by_root(sql.all(all, args![roots], with_root).await?))
}

/// The same; apart from it, the roots of which something cannot be read.
pub(crate) async fn readable_of_roots(
    sql: Sql<'_>,
    roots: &BTreeSet<JobId>,
) -> Result<(Known, Broken), Fault> {
    let roots: Vec<Uuid> = roots.iter().map(|root| root.as_uuid()).collect();
    let all = "SELECT *, root AS id FROM {s}.evidence WHERE root = ANY($1) ORDER BY root, part";
    let (parts, broken) = readable(&sql.rows(all, args![roots]).await?, with_root)?;
    Ok((by_root(parts), broken))
}

/// The same of the lines of these jobs, locked.
pub(crate) async fn lock_of_jobs(sql: Sql<'_>, jobs: &[Uuid]) -> Result<Known, Fault> {
    let all = "SELECT e.* FROM {s}.evidence e
         WHERE e.root = ANY (ARRAY (SELECT j.root FROM {s}.job j WHERE j.id = ANY($1)))
         ORDER BY root, part FOR UPDATE";
    Ok(by_root(sql.all(all, args![jobs.to_vec()], with_root).await?))
}

/// All that is known of one line of replays.
pub(crate) async fn of_root(sql: Sql<'_>, root: JobId) -> Result<Evidence, Fault> {
    let known = of_roots(sql, &BTreeSet::from([root])).await?;
    Ok(known.into_values().next().unwrap_or_default())
}

fn by_root(parts: Vec<(JobId, PartEvidence)>) -> Known {
    let mut known = Known::new();
    for (root, part) in parts {
        known.entry(root).or_default().0.push(part);
    }
    known
}

/// A part as it shall be kept.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) root: JobId,
    pub(crate) account: Option<AccountId>,
    pub(crate) known: &'a PartEvidence,
}

/// Keeps these parts, in the place of what was known of them; but a receipt that is there stays.
pub(crate) async fn keep(sql: Sql<'_>, parts: &[Part<'_>]) -> Result<(), Fault> {
    if parts.is_empty() {
        return Ok(());
    }
    let states: Result<Vec<_>, _> = parts.iter().map(|part| word_of(part.known.state)).collect();
    let all = |texts: Vec<Option<serde_json::Result<String>>>| {
        texts.into_iter().map(Option::transpose).collect::<Result<Vec<_>, _>>()
    };
    let options = all(intent(parts, |intent| serde_json::to_string(&intent.options)))?;
    let media = all(intent(parts, |intent| serde_json::to_string(&intent.media)))?;
    fn column<'a, T>(parts: &'a [Part<'_>], value: impl Fn(&'a Part<'_>) -> T) -> Vec<T> {
        parts.iter().map(value).collect()
    }
    fn intent<'a, T>(parts: &'a [Part<'_>], value: impl Fn(&'a Intent) -> T) -> Vec<Option<T>> {
        parts.iter().map(|part| part.known.intent.as_ref().map(&value)).collect()
    }
    fn receipt<'a, T>(parts: &'a [Part<'_>], value: impl Fn(&'a Receipt) -> T) -> Vec<Option<T>> {
        parts.iter().map(|part| part.known.receipt.as_ref().map(&value)).collect()
    }
    let flat = |values: Vec<Option<Option<String>>>| -> Vec<Option<String>> {
        values.into_iter().map(Option::flatten).collect()
    };
    sql.run(
        "INSERT INTO {s}.evidence (root, part, account_id, job_id, fence, key, text, options, media,
             reply_to, container, revision, made_at, state, looks, absent_looks, duplicate, remote_id, url,
             published_at, dry_run)
         SELECT g.root, g.part, g.account_id, g.job_id, g.fence, g.key, g.text, coalesce(g.options, '{}'),
             coalesce(g.media, '[]'), g.reply_to, g.container, g.revision, g.made_at, g.state, g.looks, g.absent_looks, g.duplicate,
             g.remote_id, g.url, g.published_at, coalesce(g.dry_run, false)
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
             $19, $20, $21) AS g (root, part, account_id, job_id, fence, key, text, options, media, reply_to,
             container, revision, made_at, state, looks, absent_looks, duplicate, remote_id, url, published_at, dry_run)
         ON CONFLICT (root, part) DO UPDATE SET account_id = excluded.account_id,
             job_id = excluded.job_id, fence = excluded.fence, key = excluded.key,
             text = excluded.text, options = excluded.options, media = excluded.media, reply_to = excluded.reply_to, container = excluded.container,
             revision = excluded.revision, made_at = excluded.made_at, state = excluded.state,
             looks = excluded.looks, absent_looks = excluded.absent_looks,
             duplicate = excluded.duplicate, remote_id = excluded.remote_id, url = excluded.url,
             published_at = excluded.published_at, dry_run = excluded.dry_run
         WHERE evidence.remote_id IS NULL",
        args![
            column(parts, |part| part.root.as_uuid()),
            column(parts, |part| i32::from(part.known.part)),
            column(parts, |part| part.account.map(AccountId::as_uuid)),
            intent(parts, |intent| intent.job.as_uuid()),
            intent(parts, |intent| fence_number(intent.fence)),
            intent(parts, |intent| intent.key.as_str()),
            intent(parts, |intent| intent.text.as_str()),
            options,
            media,
            flat(intent(parts, |intent| intent.reply_to.clone())),
            flat(intent(parts, |intent| intent.container.clone())),
            intent(parts, |intent| i64::from(intent.revision)),
            intent(parts, |intent| intent.made_at),
            states?,
            column(parts, |part| i64::from(part.known.looks)),
            column(parts, |part| i64::from(part.known.absent_looks)),
            column(parts, |part| part.known.duplicate),
            receipt(parts, |receipt| receipt.remote_id.as_str()),
            flat(receipt(parts, |receipt| receipt.url.clone())),
            receipt(parts, |receipt| receipt.published_at),
            receipt(parts, |receipt| receipt.dry_run),
        ],
    )
    .await?;
    Ok(())
}

/// A receipt as it comes back from the store.
pub(crate) fn as_kept(receipt: &Receipt) -> Receipt {
    Receipt {
        remote_id: kept(&receipt.remote_id).into_owned(),
        url: receipt.url.as_deref().map(|url| kept(url).into_owned()),
        published_at: whole(receipt.published_at),
        ..receipt.clone()
    }
}

/// What is known of a part, made if nothing is.
pub(crate) fn part_of(evidence: &mut Evidence, part: u16) -> &mut PartEvidence {
    let known = &mut evidence.0;
    let place = known.binary_search_by_key(&part, |known| known.part).unwrap_or_else(|place| {
        known.insert(place, unknown(part));
        place
    });
    &mut known[place]
}

/// A part of which nothing is known: nothing is open.
pub(crate) fn unknown(part: u16) -> PartEvidence {
    PartEvidence {
        part,
        intent: None,
        state: IntentState::NotPublished,
        absent_looks: 0,
        looks: 0,
        duplicate: false,
        receipt: None,
    }
}

fn with_root(row: &Row) -> Result<(JobId, PartEvidence), Fault> {
    Ok((JobId::from_uuid(row.try_get("root")?), part(row)?))
}

fn part(row: &Row) -> Result<PartEvidence, Fault> {
    let wide: i32 = row.try_get("part")?;
    let part = u16::try_from(wide)
        .map_err(|_| Fault::Unreadable(format!("{wide} is no part of a thread")))?;
    let receipt = receipt(row, part)?;
    Ok(PartEvidence {
        part,
        intent: intent(row, part)?,
        state: if receipt.is_some() { IntentState::Published } else { word(row, "state")? },
        absent_looks: number(row, "absent_looks")?,
        looks: number(row, "looks")?,
        duplicate: row.try_get("duplicate")?,
        receipt,
    })
}

fn intent(row: &Row, part: u16) -> Result<Option<Intent>, Fault> {
    let Some(job) = row.try_get::<_, Option<Uuid>>("job_id")? else { return Ok(None) };
    Ok(Some(Intent {
        job: JobId::from_uuid(job),
        fence: fence(row)?,
        part,
        key: PlatformKey::from_raw(row.try_get::<_, String>("key")?),
        text: row.try_get("text")?,
        options: json(row, "options")?,
        media: json(row, "media")?,
        reply_to: row.try_get("reply_to")?,
        container: row.try_get("container")?,
        revision: number(row, "revision")?,
        made_at: row.try_get("made_at")?,
    }))
}

fn receipt(row: &Row, part: u16) -> Result<Option<Receipt>, Fault> {
    let Some(remote_id) = row.try_get("remote_id")? else { return Ok(None) };
    let Some(published_at) = row.try_get("published_at")? else { return Ok(None) };
    Ok(Some(Receipt {
        part,
        remote_id,
        url: row.try_get("url")?,
        published_at,
        dry_run: row.try_get("dry_run")?,
    }))
}
