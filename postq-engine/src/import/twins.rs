//! Rows without a key that look like something loaded before.
//!
//! Such a row is new each time its file is loaded: a person who loads a file twice should be told.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use postq_core::content::{Content, Post};
use postq_core::id::{AccountId, PostId};
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::Page;

use crate::desk::{Desk, DeskError};

use super::plan::{FileProblem, PlannedRow, Step};

/// Rows of the store on one page, and ids in one query.
const PAGE: usize = 500;

/// Schedules that are looked at, oldest first: a bound on the work, far above a calendar's size.
const MOST_PAGES: usize = 200;

/// Looks for the twins of a row among so many of its account's posts.
const MOST_COMPARED: usize = 1_000;

/// Two posts of an account that say nearly the same this near to each other are twins.
const NEAR: TimeDelta = TimeDelta::hours(24);

/// What two posts are compared by.
struct Look {
    name: String,
    at: DateTime<Utc>,
    words: BTreeSet<String>,
}

/// A note for each new row without a key that has a twin, in the store or in a row before it.
pub(super) async fn find(desk: &Desk, rows: &[PlannedRow]) -> Result<Vec<FileProblem>, DeskError> {
    let new = |row: &&PlannedRow| matches!(row.step, Step::Load(..));
    if !rows.iter().filter(new).any(|row| row.key.is_none()) {
        return Ok(Vec::new());
    }
    let mut seen = in_store(desk, rows).await?;
    let mut notes = Vec::new();
    for row in rows {
        let Step::Load(load) = &row.step else { continue };
        let entry = &load.entry;
        let look = || Look {
            name: row.place.to_string(),
            at: entry.first(),
            words: words(&entry.post.content),
        };
        if row.key.is_none()
            && let Some(twin) = twin(&look(), &entry.schedule.accounts, &seen)
        {
            let message = format!(
                "looks like {twin}: the same account, nearly the same text and time; it is loaded \
                 as new, for it has no key"
            );
            notes.push(FileProblem::new(&row.place, None, message));
        }
        for account in &entry.schedule.accounts {
            seen.entry(*account).or_default().push(look());
        }
    }
    Ok(notes)
}

/// What was loaded before for the accounts of the new rows.
async fn in_store(
    desk: &Desk,
    rows: &[PlannedRow],
) -> Result<BTreeMap<AccountId, Vec<Look>>, DeskError> {
    let entries = rows.iter().filter_map(|row| match &row.step {
        Step::Load(load) if row.key.is_none() => Some(&load.entry),
        _ => None,
    });
    let times: Vec<_> = entries.clone().map(|entry| entry.first()).collect();
    let accounts: BTreeSet<AccountId> =
        entries.flat_map(|entry| entry.schedule.accounts.iter().copied()).collect();
    let concerns = |schedule: &Schedule| {
        let at = begins(schedule);
        schedule.accounts.iter().any(|account| accounts.contains(account))
            && times.iter().any(|time| (*time - at).abs() <= NEAR)
    };
    let mut near: Vec<Schedule> = Vec::new();
    let mut page = Page::first(PAGE);
    for _ in 0..MOST_PAGES {
        let schedules = desk.backend().schedules.list(desk.tenant(), page).await?;
        let last = schedules.last().filter(|_| schedules.len() >= PAGE).map(|s| s.id.as_uuid());
        near.extend(schedules.into_iter().filter(concerns));
        match last {
            Some(last) => page.after = Some(last),
            None => break,
        }
    }
    looks(desk, near).await
}

async fn looks(
    desk: &Desk,
    schedules: Vec<Schedule>,
) -> Result<BTreeMap<AccountId, Vec<Look>>, DeskError> {
    let ids: Vec<PostId> = schedules.iter().map(|schedule| schedule.post_id).collect();
    let mut posts: BTreeMap<PostId, Post> = BTreeMap::new();
    for ids in ids.chunks(PAGE) {
        posts.extend(desk.backend().posts.load(ids).await?.into_iter().map(|post| (post.id, post)));
    }
    let mut looks: BTreeMap<AccountId, Vec<Look>> = BTreeMap::new();
    for schedule in &schedules {
        let Some(post) = posts.get(&schedule.post_id) else { continue };
        for account in &schedule.accounts {
            looks.entry(*account).or_default().push(Look {
                name: format!("post {}", post.key.clone().unwrap_or_else(|| post.id.to_string())),
                at: begins(schedule),
                words: words(&post.content),
            });
        }
    }
    Ok(looks)
}

/// The name of the latest one that is a twin.
fn twin(
    look: &Look,
    accounts: &[AccountId],
    seen: &BTreeMap<AccountId, Vec<Look>>,
) -> Option<String> {
    let others = accounts.iter().filter_map(|account| seen.get(account));
    let mut others = others.flat_map(|looks| looks.iter().rev().take(MOST_COMPARED));
    let twin = others
        .find(|other| (look.at - other.at).abs() <= NEAR && are_near(&look.words, &other.words))?;
    Some(twin.name.clone())
}

/// Whether at least four of five words are in both.
fn are_near(a: &BTreeSet<String>, b: &BTreeSet<String>) -> bool {
    let both = a.intersection(b).count();
    let all = a.len() + b.len() - both;
    both * 5 >= all * 4
}

/// The words, however they are cased and punctuated.
fn words(content: &Content) -> BTreeSet<String> {
    let texts = content.parts.iter().map(|part| part.text.to_lowercase());
    let texts: Vec<String> = texts.collect();
    let words = texts.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Where a schedule is compared: its start, or for a rule without one where it stands.
fn begins(schedule: &Schedule) -> DateTime<Utc> {
    match &schedule.timing {
        Timing::OneShot { at, .. } => *at,
        Timing::Interval { anchor, .. } => *anchor,
        // The same rule, loaded again now, would begin with its next occurrence.
        _ => schedule.next_run_at.or(schedule.last_run_at).unwrap_or(schedule.created_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_texts_are_near_and_others_are_not() {
        let near =
            |a: &str, b: &str| are_near(&words(&Content::text(a)), &words(&Content::text(b)));

        assert!(near("Spring sale: 20 % off!", "spring sale 20% OFF"));
        assert!(near("one two three four five", "one two three four five."));
        assert!(!near("Episode 41 is out now", "Episode 42 is out now"));
        assert!(!near("good morning", "good night"));
    }
}
