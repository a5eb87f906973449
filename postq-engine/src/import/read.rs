//! From a file to rows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use postq_core::content::{Content, MediaRef};
use postq_core::media::MediaId;

use super::cells::{Cells, Place};
use super::plan::{Extent, FileProblem};
use super::row::{self, Row};
use super::{csv, json, toml};

/// The largest file.
const MOST_BYTES: u64 = 16 * 1_024 * 1_024;

/// Rows in all files of one load, good or bad.
pub(super) const MOST_ROWS: usize = 100_000;

/// Problems in all files of one load, after which nothing more is read.
pub(super) const MOST_PROBLEMS: usize = 10_000;

/// Whether that is more than is read of files: then this is told as well, and the file is not used.
pub(super) fn is_too_much(file: &Arc<str>, rows: usize, problems: &mut Vec<FileProblem>) -> bool {
    let message = match (rows > MOST_ROWS, problems.len() > MOST_PROBLEMS) {
        (true, _) => "has more than 100,000 rows; divide it, and load the parts one by one",
        (_, true) => "was not read on: more than 10,000 problems were found; mend these first",
        _ => return false,
    };
    problems.push(FileProblem::of_file(&whole(file), message));
    true
}

/// Reads one format: none if not one row can be told.
type Format = fn(&Arc<str>, &str, &mut Vec<FileProblem>) -> Option<Vec<Cells>>;

/// A content calendar: what it is called, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarFile {
    /// Its name, which tells its format, and by which problems name it.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// What became of the pictures and videos that its rows name by a path. Who reads the calendar adds them
    /// first: a path that is not here is refused.
    pub media: BTreeMap<String, LocalMedia>,
}

/// What became of a picture or video that a calendar names by a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalMedia {
    /// It is this file: added, or to be added before the calendar is loaded.
    Is(MediaId),
    /// Why it cannot be added.
    Wrong(String),
}

impl CalendarFile {
    /// A calendar that was read.
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), bytes, media: BTreeMap::new() }
    }

    /// The paths by which its good rows name pictures and videos.
    pub fn paths(&self) -> BTreeSet<String> {
        let named = rows(self.clone(), &mut Vec::new())
            .into_iter()
            .flat_map(|row| row.submission.content.parts.into_iter().flat_map(|part| part.media));
        named.filter(MediaRef::is_path).map(|media| media.source).collect()
    }

    /// The files that are there when it is loaded.
    pub(super) fn expected(&self) -> impl Iterator<Item = MediaId> {
        self.media.values().filter_map(|media| match media {
            LocalMedia::Is(id) => Some(*id),
            LocalMedia::Wrong(_) => None,
        })
    }

    /// Reads a file; of one that is too large no more than that shows.
    ///
    /// # Errors
    ///
    /// What is wrong with the file as a whole, as a plan would tell it.
    pub fn read(path: &Path) -> Result<Self, FileProblem> {
        let name = path.display().to_string();
        let whole = whole(&name);
        ensure_file(path, &whole)?;
        let unreadable = |error: std::io::Error| unreadable(&whole, &error);
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(Self::new(name, bytes))
    }
}

/// The good rows of a file; what is wrong is added to the problems.
pub(super) fn rows(file: CalendarFile, problems: &mut Vec<FileProblem>) -> Vec<Row> {
    let whole = whole(&file.name);
    let extension = Path::new(&file.name).extension().and_then(|e| e.to_str());
    let format: Format = match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => csv::rows,
        Some("toml") => toml::rows,
        Some("json") => json::rows,
        _ => {
            let message = "is of an unknown kind; expected a file .csv, .toml or .json";
            problems.push(FileProblem::of_file(&whole, message));
            return Vec::new();
        }
    };
    let media = file.media;
    match text(file.bytes, &whole) {
        Ok(text) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            if text.trim().is_empty() {
                problems.push(FileProblem::of_file(&whole, "is empty; expected posts"));
                return Vec::new();
            }
            let before = problems.len();
            let rows = format(&whole.file, text, problems);
            let rows = rows.and_then(|cells| {
                let mut rows = Vec::with_capacity(cells.len());
                for cells in cells {
                    let row = row::read(&cells, problems);
                    rows.extend(row.and_then(|row| with_files(row, &media, problems)));
                    if is_too_much(&whole.file, rows.len(), problems) {
                        return None;
                    }
                }
                Some(rows)
            });
            rows.unwrap_or_else(|| {
                problems[before..].iter_mut().for_each(|problem| problem.extent = Extent::File);
                Vec::new()
            })
        }
        Err(problem) => {
            problems.push(problem);
            Vec::new()
        }
    }
}

/// A row with files in the place of paths; none if one of them cannot be added.
fn with_files(
    mut row: Row,
    files: &BTreeMap<String, LocalMedia>,
    problems: &mut Vec<FileProblem>,
) -> Option<Row> {
    let mut is_good = true;
    let Content { parts, variants, .. } = &mut row.submission.content;
    // Which have the same files as the text for all.
    for media in variants.values_mut().flatten().flat_map(|part| &mut part.media) {
        if let Some(LocalMedia::Is(id)) = files.get(&media.source).filter(|_| media.is_path()) {
            media.source = id.as_source();
        }
    }
    for media in parts.iter_mut().flat_map(|part| &mut part.media) {
        match files.get(&media.source).filter(|_| media.is_path()) {
            Some(LocalMedia::Is(id)) => media.source = id.as_source(),
            Some(LocalMedia::Wrong(why)) => {
                let message = format!("\"{}\": {why}", media.source);
                problems.push(FileProblem::new(
                    row.cells.place_of("media"),
                    Some("media"),
                    message,
                ));
                is_good = false;
            }
            None => {}
        }
    }
    is_good.then_some(row)
}

fn whole(name: &str) -> Place {
    Place { file: name.into(), line: 0, column: 0 }
}

fn ensure_file(path: &Path, whole: &Place) -> Result<(), FileProblem> {
    match std::fs::metadata(path) {
        Ok(facts) if facts.is_dir() => {
            Err(FileProblem::of_file(whole, "is a folder; name the files in it"))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(unreadable(whole, &error)),
    }
}

fn unreadable(whole: &Place, error: &std::io::Error) -> FileProblem {
    let why = match error.kind() {
        ErrorKind::NotFound => "is not there; look at its name and folder".to_owned(),
        ErrorKind::PermissionDenied => "cannot be read by this user; chmod u+r it".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    FileProblem::of_file(whole, why)
}

fn text(bytes: Vec<u8>, whole: &Place) -> Result<String, FileProblem> {
    if bytes.len() as u64 > MOST_BYTES {
        let message = "is larger than 16 MiB; divide it into several files";
        return Err(FileProblem::of_file(whole, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let place = Place { line, ..whole.clone() };
        FileProblem::of_file(&place, "is not UTF-8; save the file as UTF-8")
    })
}
