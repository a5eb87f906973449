//! What holds accounts back: each thing told once, with its end and the command that lifts it.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use postq_calendar::zone;
use postq_core::job::{Job, Lane};
use postq_core::machine::JobState;
use postq_core::store::{Block, BlockReason};
use serde::Serialize;

use crate::compose::Node;

/// Accounts that one line names.
const MOST_NAMED: usize = 5;

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeSet<(String, BlockReason, Option<DateTime<Utc>>)>);

/// Accounts that a block holds back, for people and programs.
#[derive(Debug, Serialize)]
pub(crate) struct Waits {
    event: &'static str,
    accounts: Vec<String>,
    reason: BlockReason,
    until: Option<DateTime<Utc>>,
    message: String,
    #[serde(skip)]
    now: DateTime<Utc>,
}

impl Waits {
    /// One account that a block holds back.
    pub(crate) fn of_one(name: &str, platform: &str, block: &Block, now: DateTime<Utc>) -> Self {
        Self {
            event: "waits",
            accounts: vec![name.to_owned()],
            reason: block.reason,
            until: block.until,
            message: remedy(name, platform, block),
            now,
        }
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  waits: {}", self.now.format("%H:%M:%SZ"), self.message)?;
        match self.accounts.len() {
            0 | 1 => Ok(()),
            n if n > MOST_NAMED => write!(f, " (and {} more accounts)", n - 1),
            _ => write!(f, " (and {})", self.accounts[1..].join(", ")),
        }
    }
}

impl Held {
    /// What holds one of these jobs back and was not told yet.
    pub(super) async fn news(
        &mut self,
        node: &Node,
        now: DateTime<Utc>,
        waiting: &[&Job],
    ) -> anyhow::Result<Vec<Waits>> {
        let mut news = Vec::new();
        if waiting.is_empty() {
            return Ok(news);
        }
        for block in node.backend.blocks.blocks().await? {
            let id = (block.scope.clone(), block.reason, block.until);
            let held = waiting.iter().filter(|job| holds(&block, job));
            let held: BTreeSet<_> = held.filter_map(|job| job.made.account_id).collect();
            if held.is_empty() || self.0.contains(&id) {
                continue;
            }
            let accounts = node.accounts().await?;
            let accounts: Vec<_> = accounts.iter().filter(|a| held.contains(&a.id)).collect();
            let Some(first) = accounts.first() else { continue };
            news.push(Waits {
                event: "waits",
                message: remedy(&first.name, first.platform.as_str(), &block),
                accounts: accounts.iter().map(|account| account.name.clone()).collect(),
                reason: block.reason,
                until: block.until,
                now,
            });
            self.0.insert(id);
        }
        Ok(news)
    }
}

/// Whether a job cannot go out when it is due because of a block.
fn holds(block: &Block, job: &Job) -> bool {
    job.state != JobState::Running
        && block.until.is_none_or(|until| until >= job.run_at)
        && job.made.lane.as_ref().is_some_and(|lane| covers(block, lane))
}

/// Whether a block is about a lane, or about all lanes of its app.
pub(crate) fn covers(block: &Block, lane: &Lane) -> bool {
    block.scope == lane.as_str() || block.scope == lane.app()
}

/// What holds an account back, until when, and the command that mends it.
pub(crate) fn remedy(name: &str, platform: &str, block: &Block) -> String {
    let note = match block.note.as_str() {
        "" => String::new(),
        note => format!(" ({note})"),
    };
    let until = match block.until {
        Some(until) => format!(" until {}", zone::show(until, None)),
        None => String::new(),
    };
    let name = Quoted(name);
    match block.reason {
        BlockReason::Paused => {
            format!("account {name:?} is paused{until}{note}; postqd account resume {name}")
        }
        BlockReason::NeedsAttention => format!(
            "account {name:?} needs attention{until}{note}; connect it again: postqd account connect \
             {platform} --name {name}, or with an access token: postqd account add {platform} --name \
             {name} --access-token-stdin"
        ),
        BlockReason::Credits => format!(
            "account {name:?} is held back{until}: the credits on {platform} are used up{note}; top \
             them up, then it goes on at once with: postqd account resume {name}"
        ),
        BlockReason::Budget => format!(
            "account {name:?} is held back{until}: the month's budget is used up; a higher POSTQ_BUDGET lets \
             it go on"
        ),
        BlockReason::RateLimit => format!(
            "account {name:?} is held back{until}: {platform} asked to wait{note}; it goes on by \
             itself, or sooner with: postqd account resume {name}"
        ),
        _ => format!(
            "account {name:?} is held back{until} ({}){note}; when that is mended: postqd account \
             resume {name}",
            block.reason.as_str()
        ),
    }
}

/// A name: in a sentence in quotes, in a command as a shell takes it.
struct Quoted<'a>(&'a str);

impl fmt::Debug for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_alphanumeric() || "-_.:/@".contains(c);
        match self.0.chars().all(plain) {
            true => f.write_str(self.0),
            false => write!(f, "'{}'", self.0.replace('\'', r"'\''")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_told_with_its_end_and_the_command_that_lifts_it() {
        let told = |reason, until: Option<&str>, note: &str| {
            let until = until.map(|until| until.parse().unwrap());
            let block = Block { scope: "x/".to_owned(), reason, until, note: note.to_owned() };
            remedy("our news", "x", &block)
        };
        let until = Some("2026-03-08T09:00:00.5Z");

        for (told, expected) in [
            (
                told(BlockReason::Credits, until, "402"),
                "account \"our news\" is held back until 2026-03-08 09:00:00 UTC: the credits on x \
                 are used up (402); top them up, then it goes on at once with: postqd account \
                 resume 'our news'",
            ),
            (
                told(BlockReason::RateLimit, until, ""),
                "account \"our news\" is held back until 2026-03-08 09:00:00 UTC: x asked to wait; \
                 it goes on by itself, or sooner with: postqd account resume 'our news'",
            ),
            (
                told(BlockReason::Paused, None, "holidays"),
                "account \"our news\" is paused (holidays); postqd account resume 'our news'",
            ),
            (
                told(BlockReason::NeedsAttention, None, "401"),
                "account \"our news\" needs attention (401); connect it again: postqd account connect \
                 x --name 'our news', or with an access token: postqd account add x --name 'our news' \
                 --access-token-stdin",
            ),
        ] {
            assert_eq!(told, expected);
        }
        assert_eq!(Quoted("it's").to_string(), r"'it'\''s'");
    }
}
