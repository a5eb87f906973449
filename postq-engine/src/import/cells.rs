//! Rows before anybody knows what they mean: what all formats are read to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use postq_calendar::near;

use super::plan::FileProblem;

/// The fields of a row, in the order in which errors list them.
pub(super) const FIELDS: [&str; 13] = [
    "key", "at", "every", "cron", "rrule", "count", "until", "tz", "accounts", "text", "media",
    "alt", "priority",
];

/// Where something is written: `calendar.csv:7:12`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1; 0, and left out for programs, for the file as a whole.
    #[serde(skip_serializing_if = "is_none")]
    pub line: usize,
    /// The character in the line, from 1; 0, and left out for programs, for the line as a whole.
    #[serde(skip_serializing_if = "is_none")]
    pub column: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_none(number: &usize) -> bool {
    *number == 0
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        for number in [self.line, self.column] {
            if number == 0 {
                break;
            }
            write!(f, ":{number}")?;
        }
        Ok(())
    }
}

/// What a cell holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    One(String),
    Many(Vec<String>),
}

/// One cell and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// One row: its cells by field name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) place: Place,
    pub(super) by_field: BTreeMap<&'static str, Cell>,
}

impl Cells {
    pub(super) fn new(place: Place) -> Self {
        Self { place, by_field: BTreeMap::new() }
    }

    /// Where a field is written, or else where the row begins.
    pub(super) fn place_of(&self, field: &str) -> &Place {
        self.by_field.get(field).map_or(&self.place, |cell| &cell.place)
    }
}

/// The field of this name, however it is cased.
pub(super) fn field(name: &str, place: &Place) -> Result<&'static str, FileProblem> {
    let name = name.trim();
    let known = FIELDS.into_iter().find(|field| field.eq_ignore_ascii_case(name));
    known.ok_or_else(|| {
        let message = format!(
            "unknown column \"{name}\"{}; expected {}",
            near::hint(name, FIELDS),
            FIELDS.join(", ")
        );
        FileProblem::new(place, None, message)
    })
}
