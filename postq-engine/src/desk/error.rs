//! Why the desk does not do as asked.

use std::fmt;

use postq_core::error::{ErrorKind, ScheduleError, StoreError};
use postq_core::platform::PlatformName;

/// The fields of what is about options, and about the texts for single platforms.
const OPTIONS: &str = "options";
pub(super) const VARIANTS: &str = "variants";

/// One thing that is wrong with a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field it is about, by its name in a content calendar: `accounts`, `at`, `text`, …
    pub field: &'static str,
    /// Which platform's option, or its options, or its text: `reddit.subreddit`, `reddit`; none if it is about
    /// something else.
    pub of: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, of: None, message: message.into() }
    }

    /// One about the options for a platform.
    pub(crate) fn of_options(platform: &PlatformName, message: impl Into<String>) -> Self {
        Self { of: Some(platform.to_string()), ..Self::new(OPTIONS, message) }
    }

    /// One about the text for a platform.
    pub(crate) fn of_variant(platform: &PlatformName, message: impl Into<String>) -> Self {
        Self { of: Some(platform.to_string()), ..Self::new(VARIANTS, message) }
    }

    /// One about an option of a platform.
    pub(crate) fn of_option(platform: &PlatformName, name: &str, message: &str) -> Self {
        Self { of: Some(format!("{platform}.{name}")), ..Self::new(OPTIONS, message) }
    }

    /// The field as a path: `accounts`, `options.reddit.subreddit`, `variants.x`.
    pub fn path(&self) -> String {
        match &self.of {
            Some(of) => format!("{}.{of}", self.field),
            None => self.field.to_owned(),
        }
    }
}

/// Everything that is wrong with a submission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// In the order in which they were found; at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let comma = if i == 0 { "" } else { "; " };
            write!(f, "{comma}{}: {}", problem.path(), problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// Why the desk does not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// It is being published, or its outcome is not known yet: too late to change it.
    #[error("{0} is being published, or its outcome is not known yet; nothing was changed")]
    AlreadyPublishing(String),
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// Somebody else keeps changing it.
    #[error("{0} was changed by somebody else meanwhile; look at it and try again")]
    Changed(String),
    /// Rows of a content calendar are bad.
    #[error("{0} problems in the files; nothing was loaded")]
    BadRows(usize),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DeskError {
    pub(crate) fn refused(field: &'static str, message: impl Into<String>) -> Self {
        Self::Refused(Refused { problems: vec![Problem::new(field, message)] })
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(_) | Self::NotFound(_) | Self::BadRows(_) => ErrorKind::Invalid,
            Self::AlreadyPublishing(_) | Self::Changed(_) => ErrorKind::Conflict,
            Self::Store(error) => error.kind(),
        }
    }
}

/// A rule that cannot be is a refusal of the time that was asked for.
impl From<ScheduleError> for DeskError {
    fn from(error: ScheduleError) -> Self {
        Self::refused("at", error.to_string())
    }
}
