//! Rows before anybody knows what they mean: what all formats are read to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use postq_calendar::near;
use postq_core::platform::PlatformName;

use super::plan::FileProblem;

/// The fields of a row, in the order in which errors list them.
pub(super) const FIELDS: [&str; 14] = [
    "key", "at", "every", "cron", "rrule", "count", "until", "tz", "accounts", "text", "media",
    "alt", "fit", "priority",
];

/// What problems with options are told as, and what holds them in TOML and JSON.
pub(super) const OPTIONS: &str = "options";

/// What problems with the texts of single platforms are told as, and what holds them in every format.
pub(super) const VARIANTS: &str = "variants";

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

impl Cell {
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.value, Value::One(text) if text.trim().is_empty())
    }
}

/// One row: its cells by field name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) place: Place,
    pub(super) by_field: BTreeMap<&'static str, Cell>,
    /// By platform and name, as `reddit.subreddit`. An empty one sets nothing, and is here to have its column
    /// checked: in the first row of a file.
    pub(super) options: BTreeMap<(PlatformName, String), Cell>,
    /// The texts for single platforms; empty ones likewise.
    pub(super) variants: BTreeMap<PlatformName, Cell>,
    /// Whether it says for which platforms there are such texts, if for any.
    pub(super) tells_variants: bool,
}

impl Cells {
    pub(super) fn new(place: Place) -> Self {
        let (by_field, options, variants) = Default::default();
        Self { place, by_field, options, variants, tells_variants: false }
    }

    /// Where a field is written, or else where the row begins.
    pub(super) fn place_of(&self, field: &str) -> &Place {
        self.by_field.get(field).map_or(&self.place, |cell| &cell.place)
    }

    /// Where the text for a platform is written, or else where the row begins.
    pub(super) fn place_of_variant(&self, platform: &str) -> &Place {
        let cell = self.variants.iter().find(|(name, _)| name.as_str() == platform);
        cell.map_or(&self.place, |(_, cell)| &cell.place)
    }

    /// Where an option is written, as `reddit.subreddit`; the first that says something of the platform for
    /// `reddit`; or else where the row begins.
    pub(super) fn place_of_option(&self, option: &str) -> &Place {
        let (platform, name) = option.split_once('.').unwrap_or((option, ""));
        let is_it = |(on, own): &(PlatformName, String)| {
            on.as_str() == platform && (name.is_empty() || own == name)
        };
        let its = || self.options.iter().filter(|(key, _)| is_it(key)).map(|(_, cell)| cell);
        let cell = its().find(|cell| !cell.is_empty()).or_else(|| its().next());
        cell.map_or(&self.place, |cell| &cell.place)
    }
}

/// The field of this name, however it is cased, of a table or object.
pub(super) fn field(name: &str, place: &Place) -> Result<&'static str, FileProblem> {
    let hint = near::hint(name, FIELDS.into_iter().chain([OPTIONS, VARIANTS]));
    known_field(name).ok_or_else(|| {
        let all = FIELDS.join(", ");
        let message =
            format!("unknown name \"{name}\"{hint}; expected {all}, {OPTIONS} or {VARIANTS}");
        FileProblem::new(place, None, message)
    })
}

fn known_field(name: &str) -> Option<&'static str> {
    FIELDS.into_iter().find(|field| field.eq_ignore_ascii_case(name.trim()))
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Field(&'static str),
    Option(PlatformName, String),
    Variant(PlatformName),
}

impl Column {
    /// The column of this name: a field, an option as `reddit.subreddit`, or a platform's text as `variants.x`.
    pub(super) fn named(name: &str, place: &Place) -> Result<Self, FileProblem> {
        match name.trim().split_once('.') {
            Some((word, platform)) if word.trim().eq_ignore_ascii_case(VARIANTS) => {
                variant_of(platform, place).map(Self::Variant)
            }
            Some((platform, option)) => option_of(platform, option, place)
                .map(|(platform, option)| Self::Option(platform, option)),
            None => known_field(name).map(Self::Field).ok_or_else(|| {
                let (name, all) = (name.trim(), FIELDS.join(", "));
                let message = format!(
                    "unknown column \"{name}\"{}; expected {all}, an option of a platform as \
                     reddit.subreddit, or its own text as variants.x",
                    near::hint(name, FIELDS)
                );
                FileProblem::new(place, None, message)
            }),
        }
    }
}

/// An option of a platform, if it can be one.
pub(super) fn option_of(
    platform: &str,
    option: &str,
    place: &Place,
) -> Result<(PlatformName, String), FileProblem> {
    let (platform, option) = (platform.trim().to_ascii_lowercase(), option.trim());
    match platform.parse() {
        Ok(platform) if !option.is_empty() => Ok((platform, option.to_owned())),
        _ => {
            let message =
                format!("\"{platform}.{option}\" cannot be; expected a platform and its option");
            Err(FileProblem::new(place, Some(OPTIONS), message))
        }
    }
}

/// The platform that a text is for, if it can be one.
pub(super) fn variant_of(platform: &str, place: &Place) -> Result<PlatformName, FileProblem> {
    platform.trim().to_ascii_lowercase().parse().map_err(|_| {
        let message = format!("\"{platform}\" cannot be; expected the name of a platform");
        FileProblem::new(place, Some(VARIANTS), message)
    })
}

/// A text that is empty on purpose, where a name would be left out if nothing were meant: of pictures that go
/// without one.
pub(super) fn said(value: Value) -> Value {
    match value {
        Value::One(text) if text.trim().is_empty() => Value::Many(vec![text]),
        other => other,
    }
}
