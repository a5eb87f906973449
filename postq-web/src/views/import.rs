//! Content calendars.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use postq_core::content::PostState;
use postq_core::media::MediaId;
use postq_engine::import::{
    Action, CalendarFile, Extent, FileProblem, Loaded, LoadedRow, LocalMedia, Place, Plan,
    PlannedRow,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;

/// Content calendars to be loaded, all or none.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewImport {
    /// The calendars.
    #[schema(min_items = 1, max_items = 100)]
    pub(crate) files: Vec<ImportFile>,
    /// Loads them; only tells what would happen if left out.
    #[serde(default)]
    pub(crate) apply: bool,
    /// Loads the good rows of files with bad ones.
    #[serde(default)]
    pub(crate) skip_bad: bool,
}

/// A content calendar. It has either `text` or `base64`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportFile {
    /// Its name, by whose end its format is known: `.csv`, `.toml` or `.json`.
    #[schema(max_length = 1000, example = "march.csv")]
    name: String,
    /// What is in it.
    text: Option<String>,
    /// The same in base64: for a file that may not be UTF-8.
    base64: Option<String>,
    /// What became of the pictures and videos that its rows name by a path: whoever sends a calendar adds them
    /// first (`POST /api/media`). A path that is not here is refused.
    #[serde(default)]
    media: BTreeMap<String, ImportMedia>,
}

/// A picture or video that a calendar names by a path. It has either `media` or `problem`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportMedia {
    /// The file that was added, or is added before the calendar is loaded: `media:9f86...`.
    media: Option<String>,
    /// Why it could not be added: told with the row's place, as what else is wrong.
    problem: Option<String>,
}

impl ImportMedia {
    fn read(self) -> Result<LocalMedia, Problem> {
        let invalid = |why: &str| Problem::invalid("files", why);
        match (self.media, self.problem) {
            (Some(source), None) => {
                let id = MediaId::in_source(&source);
                Ok(LocalMedia::Is(id.ok_or_else(|| invalid("media: expected media: and an id"))?))
            }
            (None, Some(why)) => Ok(LocalMedia::Wrong(why.chars().take(MOST_NAME).collect())),
            _ => Err(invalid("media: expected media or problem in each, and not both")),
        }
    }
}

/// The longest name of a file, in characters.
const MOST_NAME: usize = 1_000;

impl ImportFile {
    pub(crate) fn read(self) -> Result<CalendarFile, Problem> {
        let invalid = |why: &str| Problem::invalid("files", why);
        if self.name.chars().count() > MOST_NAME || self.name.chars().any(char::is_control) {
            return Err(invalid("a name is too long, or has a control character"));
        }
        let bytes = match (self.text, self.base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => {
                STANDARD.decode(base64).map_err(|_| invalid("base64 cannot be read"))?
            }
            _ => return Err(invalid("expected text or base64 in each, and not both")),
        };
        let media = self.media.into_iter().map(|(path, media)| Ok((path, media.read()?)));
        let media = media.collect::<Result<_, Problem>>()?;
        Ok(CalendarFile { media, ..CalendarFile::new(self.name, bytes) })
    }
}

/// What became of content calendars, or would.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ImportReport {
    /// Whether it was loaded: not without `apply`, and not if something is wrong.
    pub(crate) applied: bool,
    /// The good rows, in the order of the files.
    pub(crate) rows: Vec<ImportRow>,
    /// All that is wrong. With one of these nothing is loaded, unless `skip_bad` says so.
    pub(crate) problems: Vec<ImportProblem>,
    /// What is worth a look.
    pub(crate) notes: Vec<ImportProblem>,
    /// So many of all these are not shown: where the same request is answered again.
    pub(crate) left_out: usize,
}

impl ImportReport {
    /// How many lines it has.
    pub(crate) fn lines(&self) -> usize {
        self.rows.len() + self.problems.len() + self.notes.len()
    }

    /// The same with at most so many of each kind.
    pub(crate) fn cut(mut self, most: usize) -> Self {
        let before = self.lines();
        self.rows.truncate(most);
        self.problems.truncate(most);
        self.notes.truncate(most);
        self.left_out = before - self.lines();
        self
    }

    /// What would happen.
    pub(crate) fn planned(plan: &Plan) -> Self {
        let problems = |all: &[FileProblem]| all.iter().map(ImportProblem::from).collect();
        Self {
            applied: false,
            rows: plan.rows.iter().map(ImportRow::planned).collect(),
            problems: problems(&plan.problems),
            notes: problems(&plan.notes),
            left_out: 0,
        }
    }

    /// What has happened.
    pub(crate) fn loaded(mut self, loaded: &Loaded) -> Self {
        self.applied = true;
        self.rows = loaded.rows.iter().map(ImportRow::loaded).collect();
        self
    }
}

/// Where something is written.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Place)]
pub(crate) struct PlaceView {
    file: String,
    /// From 1; none for the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line: Option<usize>,
    /// The character in the line, from 1; none for the line as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    column: Option<usize>,
}

impl From<&Place> for PlaceView {
    fn from(place: &Place) -> Self {
        let number = |number: usize| (number > 0).then_some(number);
        Self {
            file: place.file.to_string(),
            line: number(place.line),
            column: number(place.column),
        }
    }
}

/// Something that is wrong with a calendar, or worth a look.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ImportProblem {
    place: PlaceView,
    /// The field it is about, where it is about one.
    field: Option<Cow<'static, str>>,
    /// What is wrong and what was expected.
    message: String,
    /// How much of the file it spoils.
    extent: ExtentView,
}

impl From<&FileProblem> for ImportProblem {
    fn from(problem: &FileProblem) -> Self {
        Self {
            place: PlaceView::from(&problem.place),
            field: problem.field.clone(),
            message: problem.message.clone(),
            extent: match problem.extent {
                Extent::Row => ExtentView::Row,
                Extent::File => ExtentView::File,
            },
        }
    }
}

/// How much of a file a problem spoils.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Extent)]
pub(crate) enum ExtentView {
    /// One row: the others can be loaded without it.
    Row,
    /// All of it: no row could be read.
    File,
}

/// A good row, and what becomes of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ImportRow {
    place: PlaceView,
    key: Option<String>,
    action: ActionView,
    /// The same in words.
    message: String,
    /// Of a new row, its first occurrence.
    first: Option<DateTime<Utc>>,
    /// Of one that changes, what: `text`, `time`, `zone`, `accounts`, `priority`.
    what: Vec<&'static str>,
    /// Of one that stays as it is, where its post stands.
    #[schema(value_type = Option<String>, example = "scheduled")]
    state: Option<PostState>,
    /// Why a difference is not taken over, or what else is worth knowing.
    note: Option<String>,
    /// Its post, once it was loaded.
    post: Option<Uuid>,
    /// Its schedules, once it was loaded.
    schedules: Vec<Uuid>,
}

/// What becomes of a row.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ImportAction)]
pub(crate) enum ActionView {
    /// It is new.
    Load,
    /// It is known and says something else now, which can still be changed.
    Change,
    /// It is known and stays as it is.
    Keep,
}

impl ImportRow {
    fn new(place: &Place, key: Option<&String>, action: &Action) -> Self {
        let mut row = Self {
            place: place.into(),
            key: key.cloned(),
            action: ActionView::Keep,
            message: action.to_string(),
            first: None,
            what: Vec::new(),
            state: None,
            note: None,
            post: None,
            schedules: Vec::new(),
        };
        match action {
            Action::Load { first } => {
                (row.action, row.first) = (ActionView::Load, Some(*first));
            }
            Action::Change { what } => {
                (row.action, row.what) = (ActionView::Change, what.clone());
            }
            Action::Keep { state, note } => {
                (row.state, row.note) = (Some(*state), note.clone());
            }
            _ => {}
        }
        row
    }

    fn planned(row: &PlannedRow) -> Self {
        Self::new(&row.place, row.key.as_ref(), &row.action)
    }

    fn loaded(row: &LoadedRow) -> Self {
        Self {
            post: Some(row.post.as_uuid()),
            schedules: row.schedules.iter().map(|id| id.as_uuid()).collect(),
            ..Self::new(&row.place, row.key.as_ref(), &row.action)
        }
    }
}
