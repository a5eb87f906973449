//! All that the server knows.

use std::collections::BTreeMap;

use fake_http::{Prepared, Record};

use crate::faults::Faults;
use crate::grants::Grants;
use crate::ledger::{Accepted, Ledger};

/// Of a body, so much is remembered: files are kept with what they are of.
const MOST_REMEMBERED: usize = 64 * 1_024;

/// A photo of a Page that nobody sees until a post attaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// Whose it is.
    pub page: String,
    /// What it shows.
    pub alt: Option<String>,
    /// Its bytes.
    pub content: Vec<u8>,
    /// Whether a post has it.
    pub used: bool,
}

/// An upload of a video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoSession {
    /// Whose it is.
    pub page: String,
    /// The id of the video.
    pub video: String,
    /// How large it was said to be.
    pub size: u64,
    /// What has come.
    pub content: Vec<u8>,
    /// Whether it is published.
    pub finished: bool,
}

/// A container of Instagram's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Whose it is.
    pub account: String,
    /// What it was made of.
    pub fields: BTreeMap<String, String>,
    /// Questions that are still answered with `IN_PROGRESS`.
    pub working: u32,
    /// How it stands after that.
    pub status_code: &'static str,
    /// The words for it.
    pub status: String,
}

/// All that the server knows. A test may change all of it.
#[derive(Debug)]
pub struct World {
    /// What is out.
    pub ledger: Ledger,
    /// What goes wrong.
    pub faults: Faults,
    /// Photos, by id.
    pub photos: BTreeMap<String, Photo>,
    /// Uploads of videos, by session.
    pub sessions: BTreeMap<String, VideoSession>,
    /// The most bytes of a video that are asked for at once. Defaults to 1 MiB.
    pub chunk: u64,
    /// Whether a list of posts tells the ids and addresses of what is attached. Defaults to yes.
    pub tells_ids: bool,
    /// Containers, by id.
    pub containers: BTreeMap<String, Container>,
    /// So many questions are answered before a video's container is ready. Defaults to 1.
    pub polls: u32,
    /// Posts of 24 hours that an account may have. Defaults to 50.
    pub quota: u32,
    /// Fields of a post that are counted, by its id: `like_count`, `shares` and so on.
    pub counted: BTreeMap<String, serde_json::Value>,
    /// Insights, by the post's id.
    pub insights: BTreeMap<String, BTreeMap<String, u64>>,
    /// The app and its grants.
    pub grants: Grants,
    pub(crate) record: Record,
    /// Answers of the test's own, by method and last part of the path.
    pub(crate) canned: Prepared<String>,
    last_id: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            faults: Faults::default(),
            photos: BTreeMap::new(),
            sessions: BTreeMap::new(),
            chunk: 1_024 * 1_024,
            tells_ids: true,
            containers: BTreeMap::new(),
            polls: 1,
            quota: 50,
            counted: BTreeMap::new(),
            insights: BTreeMap::new(),
            grants: Grants::default(),
            record: Record::new(crate::SHAPES, MOST_REMEMBERED),
            canned: Prepared::default(),
            last_id: 0,
        }
    }
}

impl World {
    /// An id that nothing else has.
    pub fn next_id(&mut self) -> String {
        self.last_id += 1;
        (17_900_000_000_000_000 + self.last_id).to_string()
    }

    /// What is out of an account, newest first.
    pub(crate) fn out_of<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Accepted> {
        self.ledger.accepted.iter().rev().filter(move |post| post.account == account)
    }

    /// What is out under an id.
    pub(crate) fn out(&self, id: &str) -> Option<&Accepted> {
        self.ledger.accepted.iter().find(|post| post.id == id || post.listed_as == id)
    }
}
