//! A row that was loaded before, against what became of it.

use std::collections::BTreeSet;

use postq_calendar::{At, zone};
use postq_core::account::Account;
use postq_core::content::{Content, PostState};
use postq_core::id::{AccountId, PostId, ScheduleId};
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::ScheduleEdit;

use crate::desk::{
    Checked, Desk, Directory, Fitted, Notice, Problem, Refused, When, after, local_in,
    newly_unmeant,
};

use super::cells::Place;
use super::plan::{Action, Known, PlannedRow, Step};
use super::row::Row;

/// What is to be changed of something known.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) post: PostId,
    pub(super) schedule: ScheduleId,
    pub(super) content: Option<Content>,
    pub(super) edit: ScheduleEdit,
    /// The schedule as it will be, if it gets another time or other accounts.
    pub(super) after: Option<Schedule>,
    /// Where its time is written, and in which field.
    pub(super) time_place: (Place, &'static str),
    /// Where it says what is done with a text that is too long, and what was done.
    pub(super) fit: (Place, Vec<Notice>),
}

/// What becomes of a known row.
pub(super) fn compare(
    desk: &Desk,
    row: &Row,
    known: &Known,
    checked: &mut Checked,
) -> Result<PlannedRow, Refused> {
    let keep = |schedules, state, note: Option<String>| PlannedRow {
        place: row.place().clone(),
        key: row.submission.key.clone(),
        action: Action::Keep { state, note },
        step: Step::Nothing(known.post.id, schedules),
    };
    let Some(schedule) = &known.schedule else {
        let note = Some("its schedule was removed".to_owned());
        return Ok(keep(Vec::new(), PostState::Draft, note));
    };
    let state = known.standing.state(schedule);
    let keep = |note| Ok(keep(vec![schedule.id], state, note));
    let fitted = wanted(desk, row, &known.post.content, &checked.directory);
    let what = differences(row, &fitted.content, known, schedule, checked);
    if what.is_empty() {
        return keep(standing_note(schedule));
    }
    let listed = what.join(", ");
    if !schedule.enabled {
        return keep(Some(format!(
            "not changed ({listed}): it is switched off; postqd schedule enable {}",
            schedule.id
        )));
    }
    if known.standing.is_over(schedule) {
        return keep(Some(format!(
            "not changed ({listed}): it is over; give the row another key to publish it again"
        )));
    }
    let change = change(desk, row, fitted, known, schedule, &what, checked)?;
    Ok(PlannedRow {
        place: row.place().clone(),
        key: row.submission.key.clone(),
        action: Action::Change { what },
        step: Step::Change(Box::new(change)),
    })
}

fn standing_note(schedule: &Schedule) -> Option<String> {
    let why = schedule.problem.clone().or_else(|| {
        (!schedule.enabled).then(|| format!("switched off; postqd schedule enable {}", schedule.id))
    });
    why.map(|why| format!("not to come: {why}"))
}

/// What the row says, made to fit its platforms if it asks for that, as what was loaded was. Where it says nothing
/// of texts for single platforms, those stay that somebody wrote.
fn wanted(desk: &Desk, row: &Row, known: &Content, directory: &Directory) -> Fitted {
    let submission = &row.submission;
    let mut content = submission.content.clone();
    if !row.cells.tells_variants {
        let made = desk.made_to_fit(known);
        let own = known.variants.iter().filter(|(name, _)| !made.contains_key(*name));
        content.variants = own.map(|(name, parts)| (name.clone(), parts.clone())).collect();
    }
    let ids = submission.accounts.iter().filter_map(|name| directory.id_of(name));
    let accounts: Vec<Account> = ids.filter_map(|id| directory.get(id).cloned()).collect();
    desk.fitted(&content, submission.fitting, &accounts)
}

fn differences(
    row: &Row,
    content: &Content,
    known: &Known,
    schedule: &Schedule,
    checked: &Checked,
) -> Vec<&'static str> {
    let submission = &row.submission;
    let same_time = same_time(&submission.when, &schedule.timing, checked);
    [
        ("text", same_text(content, &known.post.content)),
        ("options", content.options == known.post.content.options),
        ("time", same_time),
        // A row without a zone says nothing of it.
        ("zone", submission.tz.is_none() || submission.tz == schedule.tz),
        ("accounts", same_accounts(&submission.accounts, schedule, &checked.directory)),
        ("priority", submission.priority == schedule.priority),
    ]
    .into_iter()
    .filter_map(|(what, same)| (!same).then_some(what))
    .collect()
}

fn same_text(content: &Content, known: &Content) -> bool {
    content.parts == known.parts && content.variants == known.variants
}

fn same_accounts(names: &[String], schedule: &Schedule, directory: &Directory) -> bool {
    let ids: Option<BTreeSet<AccountId>> = names.iter().map(|n| directory.id_of(n)).collect();
    ids.is_some_and(|ids| ids == schedule.accounts.iter().copied().collect())
}

/// Whether a time means what was planned. A time that counts from loading meant its first loading.
fn same_time(when: &When, timing: &Timing, checked: &Checked) -> bool {
    let same = |at: &At, planned| {
        at.is_relative() || at.instant(checked.now).is_ok_and(|instant| instant == planned)
    };
    let same_end = |until: Option<&At>, end: Option<_>| match (until, end) {
        (None, None) => true,
        (Some(until), Some(end)) => same(until, end),
        _ => false,
    };
    match (when, timing) {
        (When::At(at), Timing::OneShot { at: planned, .. }) => same(at, *planned),
        (
            When::Every { every, from, count, until },
            Timing::Interval { every: planned_every, anchor, count: planned_count, until: end },
        ) => {
            let same_start = from.as_ref().is_none_or(|from| same(from, *anchor));
            let same_rest = every == planned_every && count == planned_count;
            same_rest && same_start && same_end(until.as_ref(), *end)
        }
        (
            When::Cron { expr, from, count, until },
            Timing::Cron { expr: planned, from: start, count: planned_count, until: end },
        ) => {
            // Without a start of its own, a count was counted from its first loading.
            let same_start = match (from, start) {
                (Some(from), Some(start)) => same(from, *start),
                (Some(_), None) => false,
                (None, start) => start.is_none() || count.is_some(),
            };
            let same_rest = expr == planned && count == planned_count;
            same_rest && same_start && same_end(until.as_ref(), *end)
        }
        (When::Rrule { expr }, Timing::Rrule { expr: planned }) => lines(expr).eq(lines(planned)),
        _ => false,
    }
}

/// The lines of a recurrence, however they are divided.
fn lines(expr: &str) -> impl Iterator<Item = &str> {
    let lines = expr.split('\n').flat_map(|line| line.split("\\n"));
    lines.map(str::trim_end).filter(|line| !line.is_empty())
}

fn change(
    desk: &Desk,
    row: &Row,
    Fitted { content, notices, unfit }: Fitted,
    known: &Known,
    schedule: &Schedule,
    what: &[&'static str],
    checked: &mut Checked,
) -> Result<Change, Refused> {
    let accounts = accounts(&row.submission.accounts, &mut checked.directory)?;
    let is_other = ["text", "options"].iter().any(|one| what.contains(one));
    if is_other || what.contains(&"accounts") {
        if !unfit.is_empty() {
            return Err(Refused { problems: unfit });
        }
        let unmeant = newly_unmeant(&content, &known.post.content, &accounts);
        if !unmeant.is_empty() {
            return Err(Refused { problems: unmeant });
        }
        desk.content_is_good(&content, &accounts, &checked.named)?;
    }
    let content = is_other.then_some(content);
    let mut edit = ScheduleEdit::default();
    let tz = row.submission.tz.as_deref();
    let zoned = tz.filter(|_| what.contains(&"zone"));
    if let Some(tz) = zoned {
        edit.tz = Some((tz.to_owned(), zone::tzdb_version().to_owned()));
        if let Timing::OneShot { at, local: Some(_) } = schedule.timing {
            // The same instant is another local time there.
            let timing = Timing::OneShot { at, local: local_in(at, tz) };
            edit.timing = Some((timing, Some(at)));
        }
    }
    if what.contains(&"priority") {
        edit.priority = Some(row.submission.priority);
    }
    let when = &row.submission.when;
    // What a cron expression or a recurrence means depends on its zone.
    let is_local = matches!(when, When::Cron { .. } | When::Rrule { .. });
    if what.contains(&"time") || (zoned.is_some() && is_local) {
        desk.move_to(&mut edit, schedule, when, tz, &accounts, checked.now)?;
    }
    if what.contains(&"accounts") {
        edit.accounts = Some(accounts.iter().map(|account| account.id).collect());
    }
    let is_moved = edit.timing.is_some() || edit.accounts.is_some();
    let after = is_moved.then(|| after(schedule, &edit));
    let (post, schedule, time_place) = (known.post.id, schedule.id, row.time_place());
    let fit = (row.cells.place_of("fit").clone(), notices);
    Ok(Change { post, schedule, content, edit, after, time_place, fit })
}

fn accounts(names: &[String], directory: &mut Directory) -> Result<Vec<Account>, Refused> {
    let mut problems = Vec::new();
    let mut found: Vec<Account> = Vec::new();
    for name in names {
        match directory.find_or_make(name) {
            Ok(account) => found.push(account.clone()),
            Err(why) => problems.push(Problem::new("accounts", why)),
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(Refused { problems }) }
}
