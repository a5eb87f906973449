//! The job state machine: one table, checked by every store.
//!
//! ```text
//! planned  -> enqueued | cancelled
//! enqueued -> running  | cancelled
//! running  -> succeeded | failed | enqueued (deferred)
//! failed   -> running (retry) | dead_letter (give up)
//! succeeded, dead_letter, cancelled: terminal
//! ```
//!
//! `running -> enqueued` gives the attempt back: a limit, a pause, a shutdown, a waiting look-up, a
//! kind that this node does not know. A crash does not: it goes `running -> failed -> running`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Made; no queue knows of it yet.
    Planned,
    /// Claimable as soon as it is due.
    Enqueued,
    /// Held by one worker, under a lease.
    Running,
    /// Its last attempt failed; it waits for its retry.
    Failed,
    /// Done.
    Succeeded,
    /// Given up, with its whole history; a person decides.
    DeadLetter,
    /// Taken back before it ran.
    Cancelled,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Planned,
        Self::Enqueued,
        Self::Running,
        Self::Failed,
        Self::Succeeded,
        Self::DeadLetter,
        Self::Cancelled,
    ];

    /// The word for it in stores, APIs and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Enqueued => "enqueued",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
            Self::DeadLetter => "dead_letter",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing can follow. Same as [`JobMachine`]'s answer.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::DeadLetter | Self::Cancelled)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no job state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no job state; expected planned, enqueued, running, failed, succeeded, dead_letter or cancelled"
)]
pub struct UnknownState(String);

impl FromStr for JobState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| UnknownState(word.to_owned()))
    }
}

/// A table of allowed transitions.
///
/// # Contract
///
/// 1. A state without a way out is terminal, and only such a state is.  (`only_terminal_states_end`)
/// 2. From every state a terminal one can be reached.  (`every_state_can_end`)
pub trait StateMachine: fmt::Debug + Send + Sync + 'static {
    /// The states.
    type State: Copy + Eq + fmt::Debug;

    /// All states.
    fn states(&self) -> &'static [Self::State];

    /// The states that may follow `from`.
    fn next(&self, from: Self::State) -> &'static [Self::State];

    /// Whether nothing can follow.
    fn is_terminal(&self, state: Self::State) -> bool {
        self.next(state).is_empty()
    }

    /// Whether `to` may follow `from`.
    fn allows(&self, from: Self::State, to: Self::State) -> bool {
        self.next(from).contains(&to)
    }
}

/// The machine of jobs: the table on the module's page.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobMachine;

impl StateMachine for JobMachine {
    type State = JobState;

    fn states(&self) -> &'static [JobState] {
        &JobState::ALL
    }

    fn next(&self, from: JobState) -> &'static [JobState] {
        match from {
            JobState::Planned => &[JobState::Enqueued, JobState::Cancelled],
            JobState::Enqueued => &[JobState::Running, JobState::Cancelled],
            JobState::Running => &[JobState::Succeeded, JobState::Failed, JobState::Enqueued],
            JobState::Failed => &[JobState::Running, JobState::DeadLetter],
            JobState::Succeeded | JobState::DeadLetter | JobState::Cancelled => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_terminal_states_end() {
        for state in JobState::ALL {
            assert_eq!(JobMachine.is_terminal(state), state.is_terminal(), "{state}");
        }
    }

    #[test]
    fn every_state_can_end() {
        fn ends(state: JobState, depth: u8) -> bool {
            JobMachine.is_terminal(state)
                || (depth > 0 && JobMachine.next(state).iter().any(|&next| ends(next, depth - 1)))
        }

        assert!(JobState::ALL.into_iter().all(|state| ends(state, 7)));
    }

    #[test]
    fn nothing_skips_the_queue() {
        assert!(!JobMachine.allows(JobState::Planned, JobState::Running));
        assert!(!JobMachine.allows(JobState::Failed, JobState::Enqueued));
        assert!(!JobMachine.allows(JobState::Running, JobState::Cancelled));
        assert!(!JobMachine.allows(JobState::Running, JobState::DeadLetter));
    }

    #[test]
    fn words_and_states_are_one_to_one() {
        for state in JobState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("Running".parse::<JobState>().is_err());
    }
}
