//! What was really accepted: the truth that a test compares with.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Posts that are kept; more are refused.
const MOST_POSTS: usize = 1_000_000;
/// The moment that ids count from.
const SNOWFLAKE_EPOCH_MS: i64 = 1_288_834_974_657;

/// A post that is out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Its place in the order of acceptance, over all users, from 0.
    pub seq: u64,
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// Its text, as it was sent.
    pub text: String,
    /// The ids of its media.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    /// The post that it answers.
    pub reply_to: Option<String>,
    /// When its request arrived.
    pub received_at: DateTime<Utc>,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
}

/// A copy of what the server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Every post that was really accepted, in order.
    pub accepted: Vec<Accepted>,
    /// Requests to create, whatever became of them.
    pub creates: u64,
    /// The same, by user.
    pub creates_by_user: BTreeMap<String, u64>,
    /// The most requests to create that a user had in flight at once.
    pub most_in_flight: BTreeMap<String, u64>,
}

/// A ledger being written.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) ledger: Ledger,
    by_user: HashMap<String, Vec<usize>>,
    by_id: HashMap<String, usize>,
    in_flight: HashMap<String, u64>,
    last_id: u64,
    file: Option<File>,
}

impl Book {
    /// A book that also appends each post to a file, as a line of JSON.
    pub(crate) fn writing_to(file: Option<File>) -> Self {
        Self { file, ..Self::default() }
    }

    /// Accepts a post. It is in the file before anybody is told.
    pub(crate) fn accept(
        &mut self,
        user: &str,
        (text, media): (&str, &[String]),
        reply_to: Option<&str>,
        received_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> io::Result<Accepted> {
        let seq = self.ledger.accepted.len();
        if seq >= MOST_POSTS {
            return Err(io::Error::other(format!("the ledger holds {MOST_POSTS} posts")));
        }
        let accepted = Accepted {
            seq: seq as u64,
            id: self.next_id(now).to_string(),
            user: user.to_owned(),
            text: text.to_owned(),
            media: media.to_vec(),
            reply_to: reply_to.map(str::to_owned),
            received_at,
            accepted_at: now,
        };
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_vec(&accepted)?;
            line.push(b'\n');
            file.write_all(&line)?;
        }
        self.by_user.entry(user.to_owned()).or_default().push(seq);
        self.by_id.insert(accepted.id.clone(), seq);
        self.ledger.accepted.push(accepted.clone());
        Ok(accepted)
    }

    /// The posts of a user, newest first.
    pub(crate) fn of(&self, user: &str) -> impl Iterator<Item = &Accepted> {
        let places = self.by_user.get(user).map_or(&[][..], Vec::as_slice);
        places.iter().rev().map(|&place| &self.ledger.accepted[place])
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub(crate) fn begin(&mut self, user: &str) {
        self.ledger.creates += 1;
        *self.ledger.creates_by_user.entry(user.to_owned()).or_default() += 1;
        let now = self.in_flight.entry(user.to_owned()).or_default();
        *now += 1;
        let most = self.ledger.most_in_flight.entry(user.to_owned()).or_default();
        *most = (*most).max(*now);
    }

    pub(crate) fn end(&mut self, user: &str) {
        if let Some(now) = self.in_flight.get_mut(user) {
            *now = now.saturating_sub(1);
        }
    }

    /// As X makes them: milliseconds, then a counter.
    fn next_id(&mut self, now: DateTime<Utc>) -> u64 {
        let ms = u64::try_from(now.timestamp_millis() - SNOWFLAKE_EPOCH_MS).unwrap_or_default();
        self.last_id = (ms << 22).max(self.last_id + 1);
        self.last_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_even_within_a_millisecond() {
        let mut book = Book::default();
        let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a time");

        let ids: Vec<u64> = (0..3)
            .map(|_| {
                book.accept("u", ("t", &[]), None, now, now).expect("accepted").id.parse().unwrap()
            })
            .collect();

        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        assert_eq!((ids[0] >> 22) as i64 + SNOWFLAKE_EPOCH_MS, now.timestamp_millis());
    }

    #[test]
    fn what_is_in_flight_is_counted_by_user() {
        let mut book = Book::default();
        for user in ["a", "a", "b"] {
            book.begin(user);
        }
        book.end("a");
        book.begin("a");

        assert_eq!(book.ledger.most_in_flight["a"], 2);
        assert_eq!(book.ledger.most_in_flight["b"], 1);
        assert_eq!(book.ledger.creates_by_user["a"], 3);
    }
}
