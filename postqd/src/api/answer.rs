//! Answers of the API, and what a person is told of those that refuse.

use std::fmt;

use anyhow::Context;
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::shown::Shown;

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) is_json: bool,
    pub(super) retry_after: Option<u64>,
    pub(super) body: Vec<u8>,
    /// What the store said, where that was why: told to this very program alone.
    pub(super) cause: Option<String>,
}

/// Why the API did not do as asked.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The stable word for it.
    pub(crate) code: String,
    message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

impl Refused {
    /// Whether an error is a refusal of this code.
    pub(crate) fn is(error: &anyhow::Error, code: &str) -> bool {
        error.downcast_ref::<Self>().is_some_and(|refused| refused.code == code)
    }
}

/// Problem details (RFC 9457), as postq answers them.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    pub(super) code: String,
    detail: String,
    field: Option<String>,
    remedy: String,
    #[serde(default)]
    errors: Vec<Field>,
}

/// One thing that is wrong with what was asked.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Field {
    field: String,
    message: String,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As it is written on the command line.
        let field = match self.field.split_once('.') {
            Some(("options", option)) => format!("--option {option}"),
            Some(("variants", platform)) => format!("--variant {platform}"),
            _ => self.field.clone(),
        };
        write!(f, "{field}: {}", self.message)
    }
}

/// What is read of an answer.
pub(super) fn read<T: DeserializeOwned>(answer: Answer) -> anyhow::Result<Shown<T>> {
    serde_json::from_slice(&answer.body).context(
        "the answer is not what this version of postqd knows; is the server's another one?",
    )
}

impl Answer {
    /// The problem that it tells, if it tells one.
    pub(super) fn problem(&self) -> Option<Problem> {
        if self.status.is_success() || !self.is_json {
            return None;
        }
        serde_json::from_slice(&self.body).ok()
    }

    /// The answer, if it did as asked.
    pub(super) fn good(self) -> anyhow::Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        let Some(problem) = self.problem() else {
            let code = self.status.as_str().to_owned();
            let message = format!("answered {}, and not as the API of postq does", self.status);
            return Err(Refused { code, message }.into());
        };
        let message = self.cause.unwrap_or_else(|| problem.told());
        Err(Refused { code: problem.code, message }.into())
    }
}

impl Problem {
    /// The same for a person at a command line.
    fn told(&self) -> String {
        let Self { code, detail, field, remedy, errors } = self;
        match code.as_str() {
            "invalid" if !errors.is_empty() => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                errors.join("; ")
            }
            "invalid" => match field {
                // It begins with the file's own name.
                Some(field) if field == "file" => detail.clone(),
                // As the option is called.
                Some(field) => format!("{}: {detail}", field.trim_start_matches("schedule.")),
                None => detail.clone(),
            },
            "not_found" => match shows_all(detail) {
                Some(command) => format!("{detail}; {command} shows what there is"),
                None => detail.clone(),
            },
            "unauthorized" => {
                "the server wants a good token: set POSTQ_TOKEN to one of postqd token \
                               create"
                    .to_owned()
            }
            "forbidden" => format!("{detail}; set POSTQ_TOKEN to one of that scope"),
            "already_publishing" => detail.clone(),
            "ended" => format!("{detail}; postqd dead list shows what can be replayed"),
            "changed" => format!("{detail}; look at it and try again"),
            _ => format!("{detail}; {remedy}"),
        }
    }
}

/// The command that shows what there is of something that is not there.
fn shows_all(detail: &str) -> Option<&'static str> {
    let kinds = [
        ("there is no job", "postqd job list"),
        ("there is no post", "postqd post list"),
        ("there is no schedule", "postqd schedule list"),
        ("there is no account", "postqd account list"),
        ("there is no token", "postqd token list"),
    ];
    kinds.into_iter().find(|(start, _)| detail.starts_with(start)).map(|(_, command)| command)
}
