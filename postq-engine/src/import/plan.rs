//! What would happen if calendars were loaded.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use postq_calendar::Rule;
use postq_core::account::Account;
use postq_core::content::{Content, Post, PostState};
use postq_core::id::{PostId, ScheduleId};
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::{JobFilter, Page};

use crate::desk::{
    AgendaItem, Checked, Desk, DeskError, Entry, Refused, Standing, Submission, first_schedule,
};

use super::cells::{OPTIONS, Place, VARIANTS};
use super::compare::{self, Change};
use super::read::{self, CalendarFile};
use super::row::Row;
use super::twins;

/// Keys in one query.
const CHUNK: usize = 500;

/// A message may be twice as long: none of ours is, but for what it quotes of a file.
const MOST_QUOTED: usize = 250;

/// Files as they were read, or why one could not be.
type Read = Vec<Result<CalendarFile, FileProblem>>;

/// Something that is wrong with a file, or worth a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileProblem {
    /// Where.
    pub place: Place,
    /// The field it is about, where it is about one.
    pub field: Option<Cow<'static, str>>,
    /// What is wrong and what was expected.
    pub message: String,
    /// How much of the file it spoils.
    pub extent: Extent,
}

/// How much of a file a problem spoils.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// One row: the others can be loaded without it.
    Row,
    /// All of it: no row could be read.
    File,
}

impl FileProblem {
    pub(super) fn new(
        place: &Place,
        field: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        let (field, message) = (field.map(Cow::Borrowed), shortened(message.into()));
        Self { place: place.clone(), field, message, extent: Extent::Row }
    }

    /// One about an option, or the options, of a platform: `reddit.subreddit`, `reddit`.
    pub(super) fn of_option(place: &Place, option: &str, message: impl Into<String>) -> Self {
        Self::named(place, format!("{OPTIONS}.{option}"), message)
    }

    /// One about what has a name of its own: `variants.x`.
    pub(super) fn named(place: &Place, name: String, message: impl Into<String>) -> Self {
        Self { field: Some(Cow::Owned(name)), ..Self::new(place, None, message) }
    }

    pub(super) fn of_file(place: &Place, message: impl Into<String>) -> Self {
        Self { extent: Extent::File, ..Self::new(place, None, message) }
    }
}

/// Keeps the beginning and the end of a message that quotes something long: what is wrong stands at
/// its beginning, and what was expected at its end.
fn shortened(message: String) -> String {
    let count = message.chars().count();
    if count <= 2 * MOST_QUOTED {
        return message;
    }
    let head: String = message.chars().take(MOST_QUOTED).collect();
    let tail: String = message.chars().skip(count - MOST_QUOTED).collect();
    format!("{head}…{tail}")
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}: {field}: {}", self.place, self.message),
            None => write!(f, "{}: {}", self.place, self.message),
        }
    }
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// It is new.
    Load {
        /// Its first occurrence.
        first: DateTime<Utc>,
    },
    /// It is known and says something else now, which can still be changed.
    Change {
        /// What differs: `text`, `options`, `time`, `zone`, `accounts`, `priority`.
        what: Vec<&'static str>,
    },
    /// It is known and stays as it is.
    Keep {
        /// Where its post stands.
        state: PostState,
        /// Why a difference is not taken over, or what else is worth knowing.
        note: Option<String>,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load { first } => write!(f, "new, first at {}", first.format("%F %T UTC")),
            Self::Change { what } => write!(f, "known, changes {}", what.join(", ")),
            Self::Keep { state, note } => {
                write!(f, "known, {}", state_word(*state))?;
                note.as_ref().map_or(Ok(()), |note| write!(f, "; {note}"))
            }
        }
    }
}

fn state_word(state: PostState) -> &'static str {
    match state {
        PostState::Scheduled => "scheduled",
        PostState::Published => "published",
        PostState::PartlyPublished => "partly published",
        PostState::Failed => "failed",
        _ => "nothing to come",
    }
}

/// A good row and what becomes of it.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedRow {
    /// Where it is written.
    pub place: Place,
    /// Its key.
    pub key: Option<String>,
    /// What becomes of it.
    #[serde(flatten)]
    pub action: Action,
    #[serde(skip)]
    pub(super) step: Step,
}

impl PlannedRow {
    /// The schedule that gets another time or other accounts.
    fn changing(&self) -> Option<ScheduleId> {
        match &self.step {
            Step::Change(change) if change.after.is_some() => Some(change.schedule),
            _ => None,
        }
    }

    /// The schedule that is new, or has another time or other accounts, as it will be.
    fn timed(&self) -> Option<&Schedule> {
        match &self.step {
            Step::Load(load) => Some(load.entry.schedule()),
            Step::Change(change) => change.after.as_ref(),
            Step::Nothing(..) => None,
        }
    }

    /// Where its time is written, and in which field.
    fn time_place(&self) -> (Place, &'static str) {
        match &self.step {
            Step::Load(load) => load.row.time_place(),
            Step::Change(change) => change.time_place.clone(),
            Step::Nothing(..) => (self.place.clone(), "at"),
        }
    }
}

/// How it is done.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Load(Box<Load>),
    Change(Box<Change>),
    Nothing(PostId, Vec<ScheduleId>),
}

/// What is written of a new row.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// As it was read, to be planned again should another process take it in first.
    pub(super) row: Row,
    pub(super) entry: Entry,
    /// What a post that is there already says from now on, where that is something else.
    pub(super) content: Option<Content>,
}

/// What would happen if these files were loaded now.
#[derive(Debug)]
pub struct Plan {
    /// The good rows, in the order of the files.
    pub rows: Vec<PlannedRow>,
    /// All that is wrong, in the order of the files.
    pub problems: Vec<FileProblem>,
    /// What is worth a look: rows without a key that look like something loaded before, rules that are hardly meant
    /// so, texts that are made to fit.
    pub notes: Vec<FileProblem>,
    pub(super) checked: Checked,
}

/// What the store knows of a row's key.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) post: Post,
    /// Its oldest schedule; none if loading was cut off before it was written, or it was removed.
    pub(super) schedule: Option<Schedule>,
    pub(super) standing: Standing,
    has_jobs: bool,
}

impl Known {
    fn is_half_loaded(&self) -> bool {
        self.schedule.is_none() && !self.has_jobs
    }
}

impl Desk {
    /// Reads calendars and tells what would happen if they were loaded now. Writes nothing.
    pub async fn plan_import(&self, files: &[PathBuf]) -> Result<Plan, DeskError> {
        let files = files.to_vec();
        self.plan(move || files.iter().map(|path| CalendarFile::read(path)).collect()).await
    }

    /// The same of calendars that were read already.
    pub async fn plan_import_of(&self, files: Vec<CalendarFile>) -> Result<Plan, DeskError> {
        self.plan(move || files.into_iter().map(Ok).collect()).await
    }

    /// What would happen if what is read so were loaded now.
    async fn plan(&self, read: impl FnOnce() -> Read + Send + 'static) -> Result<Plan, DeskError> {
        let reading = tokio::task::spawn_blocking(move || {
            let files = read();
            let expected = files.iter().flatten().flat_map(CalendarFile::expected).collect();
            (read_all(files), expected)
        });
        let ((rows, mut problems), expected) = reading.await.expect("reading files does not panic");
        let rows = without_doubles(rows, &mut problems);
        self.clone().expecting(expected).plan_rows(rows, problems).await
    }

    /// What would happen if these rows were loaded now; what is wrong is added to the problems.
    pub(super) async fn plan_rows(
        &self,
        rows: Vec<Row>,
        mut problems: Vec<FileProblem>,
    ) -> Result<Plan, DeskError> {
        let rows = self.with_options(rows, &mut problems);
        let known = self.known(&rows).await?;
        let named = self.named(rows.iter().map(|row| &row.submission.content)).await?;
        let is_new = |row: &Row| known_of(&known, row).is_none_or(Known::is_half_loaded);
        let (new, old): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(is_new);

        let submissions: Vec<Submission> = new.iter().map(|row| row.submission.clone()).collect();
        let mut checked = self.check_with(&submissions, named).await?;
        let mut planned = Vec::with_capacity(new.len() + old.len());
        for (row, entry) in new.iter().zip(std::mem::take(&mut checked.entries)) {
            match entry {
                Ok(entry) => planned.push(load(row, entry, known_of(&known, row))),
                Err(refused) => problems.extend(refused_at(row, refused)),
            }
        }
        for row in &old {
            let known = known_of(&known, row).expect("a row that is not new is known");
            match compare::compare(self, row, known, &mut checked) {
                Ok(row) => planned.push(row),
                Err(refused) => problems.extend(refused_at(row, refused)),
            }
        }
        let mut planned = self.without_full_days(planned, &checked, &mut problems).await?;
        let mut notes = twins::find(self, &planned).await?;
        notes.extend(planned.iter().flat_map(rule_notes));
        notes.extend(planned.iter().flat_map(fit_notes));
        planned.sort_by(|a, b| a.place.cmp(&b.place));
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        Ok(Plan { rows: planned, problems, notes, checked })
    }

    /// The rows without those that are more in a day than a platform takes, which is told.
    async fn without_full_days(
        &self,
        planned: Vec<PlannedRow>,
        checked: &Checked,
        problems: &mut Vec<FileProblem>,
    ) -> Result<Vec<PlannedRow>, DeskError> {
        let changing: BTreeSet<ScheduleId> =
            planned.iter().filter_map(PlannedRow::changing).collect();
        let timed: Vec<&Schedule> = planned.iter().filter_map(PlannedRow::timed).collect();
        let accounts: BTreeSet<_> = timed.iter().flat_map(|one| one.accounts.clone()).collect();
        let accounts = accounts.into_iter().filter_map(|id| checked.directory.get(id).cloned());
        let accounts: Vec<Account> = accounts.collect();
        let makes_way = |item: &AgendaItem| item.schedule.is_some_and(|id| changing.contains(&id));
        let full = self.full_days(&accounts, &timed, &makes_way, checked.now).await?;
        let mut full = full.into_iter();
        let mut good = Vec::with_capacity(planned.len());
        for row in planned {
            match row.timed().and_then(|_| full.next().flatten()) {
                Some(problem) => {
                    let (place, field) = row.time_place();
                    problems.push(FileProblem::new(&place, Some(field), problem.message));
                }
                None => good.push(row),
            }
        }
        Ok(good)
    }

    /// What the store knows of the keys of these rows.
    async fn known(&self, rows: &[Row]) -> Result<BTreeMap<String, Known>, DeskError> {
        let keys: Vec<String> = rows.iter().filter_map(|r| r.submission.key.clone()).collect();
        let mut posts: Vec<Post> = Vec::new();
        for keys in keys.chunks(CHUNK) {
            posts.extend(self.backend().posts.with_keys(self.tenant(), keys).await?);
        }
        let ids: Vec<PostId> = posts.iter().map(|post| post.id).collect();
        let mut schedules = self.schedules_of(&ids).await?;
        let of_all: Vec<ScheduleId> = schedules.values().flatten().map(|s| s.id).collect();
        let standings = self.standings(&of_all).await?;
        let mut known = BTreeMap::new();
        for post in posts {
            let Some(key) = post.key.clone() else { continue };
            let mut own = schedules.remove(&post.id).unwrap_or_default();
            let schedule = (!own.is_empty()).then(|| own.swap_remove(0));
            let standing = schedule.as_ref().and_then(|s| standings.get(&s.id)).copied();
            let has_jobs = schedule.is_some() || self.has_jobs(post.id).await?;
            let standing = standing.unwrap_or_default();
            known.insert(key, Known { post, schedule, standing, has_jobs });
        }
        Ok(known)
    }

    async fn has_jobs(&self, post: PostId) -> Result<bool, DeskError> {
        let filter = JobFilter { post: Some(post), ..JobFilter::default() };
        let jobs = self.backend().jobs.list(self.tenant(), &filter, Page::first(1)).await?;
        Ok(!jobs.is_empty())
    }
}

fn read_all(files: Read) -> (Vec<Row>, Vec<FileProblem>) {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        match file {
            Ok(file) => {
                let name: Arc<str> = file.name.as_str().into();
                // What was found before counts: nothing is read after too much of it.
                if read::is_too_much(&name, 0, &mut problems) {
                    continue;
                }
                let found = read::rows(file, &mut problems);
                let in_all = rows.len() + found.len();
                if found.is_empty() || !read::is_too_much(&name, in_all, &mut problems) {
                    rows.extend(found);
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    (rows, problems)
}

fn known_of<'a>(known: &'a BTreeMap<String, Known>, row: &Row) -> Option<&'a Known> {
    known.get(row.submission.key.as_ref()?)
}

/// Leaves out every further row with a key that an earlier one has.
fn without_doubles(rows: Vec<Row>, problems: &mut Vec<FileProblem>) -> Vec<Row> {
    let mut seen: BTreeMap<String, Place> = BTreeMap::new();
    let mut kept = Vec::with_capacity(rows.len());
    for row in rows {
        let key = row.submission.key.clone().unwrap_or_default();
        match seen.get(&key).filter(|_| !key.is_empty()) {
            Some(first) => problems.push(FileProblem::new(
                row.cells.place_of("key"),
                Some("key"),
                format!("\"{key}\" is the key of {first} too; expected one of its own"),
            )),
            None => {
                seen.insert(key, row.place().clone());
                kept.push(row);
            }
        }
    }
    kept
}

fn load(row: &Row, mut entry: Entry, half: Option<&Known>) -> PlannedRow {
    let mut content = None;
    if let Some(half) = half {
        content = (half.post.content != entry.post.content).then(|| entry.post.content.clone());
        entry.schedule.post_id = half.post.id;
        entry.schedule.id = first_schedule(half.post.id);
        entry.post = half.post.clone();
        entry.post_exists = true;
    }
    PlannedRow {
        place: row.place().clone(),
        key: row.submission.key.clone(),
        action: Action::Load { first: entry.first() },
        step: Step::Load(Box::new(Load { row: row.clone(), entry, content })),
    }
}

fn refused_at(row: &Row, refused: Refused) -> impl Iterator<Item = FileProblem> {
    refused.problems.into_iter().map(|problem| match &problem.of {
        Some(platform) if problem.field == VARIANTS => {
            let place = row.cells.place_of_variant(platform);
            FileProblem::named(place, problem.path(), problem.message)
        }
        Some(option) => {
            FileProblem::of_option(row.cells.place_of_option(option), option, problem.message)
        }
        None => {
            let place = row.cells.place_of(problem.field);
            FileProblem::new(place, Some(problem.field), problem.message)
        }
    })
}

/// What was done to make a row's text fit.
fn fit_notes(planned: &PlannedRow) -> Vec<FileProblem> {
    let (place, notices) = match &planned.step {
        Step::Load(load) => (load.row.cells.place_of("fit"), &load.entry.notices),
        Step::Change(change) => (&change.fit.0, &change.fit.1),
        Step::Nothing(..) => return Vec::new(),
    };
    let told = notices.iter().map(|notice| {
        let message = format!("{}: {}", notice.platform, notice.message);
        FileProblem::new(place, Some("fit"), message)
    });
    told.collect()
}

/// What is allowed in the rule of a new row but hardly meant.
fn rule_notes(planned: &PlannedRow) -> Vec<FileProblem> {
    let Step::Load(load) = &planned.step else { return Vec::new() };
    let schedule = load.entry.schedule();
    let Timing::Rrule { .. } = schedule.timing else { return Vec::new() };
    let Ok(rule) = Rule::new(&schedule.timing, schedule.tz.as_deref()) else { return Vec::new() };
    let place = load.row.cells.place_of("rrule");
    rule.notes().iter().map(|note| FileProblem::new(place, Some("rrule"), note.clone())).collect()
}
