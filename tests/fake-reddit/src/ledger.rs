//! What was really accepted: the truth that a test compares with.

use chrono::{DateTime, Utc};

/// A post that is out, or will be when it was worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its id in base 36, without `t3_`.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// Where it is.
    pub subreddit: String,
    /// Its title, as it was sent.
    pub title: String,
    /// Its text.
    pub text: String,
    /// What kind it is: `self`, `link`, `image`, `video`, `gallery`.
    pub kind: String,
    /// What it leads to.
    pub url: Option<String>,
    /// Its files, by asset or address.
    pub media: Vec<String>,
    /// The captions of a gallery.
    pub captions: Vec<String>,
    /// Its flair: id and text.
    pub flair: (Option<String>, Option<String>),
    /// Whether it is not for everybody.
    pub nsfw: bool,
    /// Whether it is hidden until somebody wants to see it.
    pub spoiler: bool,
    /// Whether comments come to the inbox.
    pub send_replies: bool,
    /// When it is, or will be, out.
    pub accepted_at: DateTime<Utc>,
}

/// How a post stands to those who ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is shown with these counts.
    Shown {
        /// The score.
        score: i64,
        /// The comments.
        comments: u64,
        /// Whether comments are over.
        locked: bool,
    },
    /// Somebody removed it: `moderator`, `automod_filtered`, `deleted`.
    Removed(String),
    /// There is none of this id.
    Missing,
}

impl Default for Standing {
    fn default() -> Self {
        Self::Shown { score: 1, comments: 0, locked: false }
    }
}

/// A ledger being written.
#[derive(Debug, Default)]
pub(crate) struct Book {
    accepted: Vec<Accepted>,
    standings: Vec<(String, Standing)>,
}

impl Book {
    pub(crate) fn accepted(&self) -> &[Accepted] {
        &self.accepted
    }

    /// Accepts a post, which gets its id here.
    pub(crate) fn accept(&mut self, post: Accepted) -> Accepted {
        // The first id of Reddit's own examples.
        let id = base36(260_000_000 + self.accepted.len());
        self.accepted.push(Accepted { id, ..post });
        self.accepted.last().cloned().expect("one was just put in")
    }

    pub(crate) fn set_standing(&mut self, id: &str, standing: Standing) {
        self.standings.retain(|(own, _)| own != id);
        self.standings.push((id.to_owned(), standing));
    }

    pub(crate) fn standing(&self, id: &str) -> Standing {
        let known = self.standings.iter().find(|(own, _)| own == id);
        known.map(|(_, standing)| standing.clone()).unwrap_or_default()
    }
}

fn base36(mut number: usize) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        let digit = u32::try_from(number % 36).expect("below 36");
        digits.push(char::from_digit(digit, 36).expect("below 36"));
        number /= 36;
    }
    digits.iter().rev().collect()
}
