//! Media: pictures and videos, named by what they contain.
//!
//! | part | what is in it |
//! |---|---|
//! | here | [`MediaId`], [`MediaFile`]: which file, and what it is |
//! | `kind` | [`MediaKind`]: what a file is by its content |
//! | `keep` | [`MediaStore`]: the bytes |
//! | `pieces` | [`pieces`]: content that is given piece by piece |
//! | `catalog` | [`MediaCatalog`]: what is known of each file, and who needs it |
//! | `upload` | [`UploadStore`]: how far each upload to a platform is |
//! | `limits` | [`MediaLimits`]: what a platform takes, as data |
//! | `source` | [`MediaSource`], [`MediaEditor`]: where files come from, and what is done to them |
//!
//! A post names its media by `media:` and the id of a file that was added before, or by a URL.

mod catalog;
mod keep;
mod kind;
mod limits;
mod pieces;
mod source;
mod upload;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::TenantId;

pub use self::catalog::{CLAIM, MediaCatalog, Removal};
pub use self::keep::{MediaReader, MediaStore, Stored, whole};
pub use self::kind::{MediaClass, MediaKind};
pub use self::limits::{Attached, KindLimits, MediaLimits};
pub use self::pieces::{PieceSender, pieces};
pub use self::source::{Fit, MediaEditor, MediaSource};
pub use self::upload::{Upload, UploadKey, UploadStore};

/// Names a file by its content: the SHA-256 of its bytes. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MediaId([u8; 32]);

impl MediaId {
    /// What a source of a post's media begins with if it names a file that was added before.
    pub const SCHEME: &str = "media:";

    /// The id of content with this SHA-256.
    pub const fn of_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The SHA-256.
    pub const fn hash(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id in a source `media:ID`; none for a path or a URL.
    pub fn in_source(source: &str) -> Option<Self> {
        source.strip_prefix(Self::SCHEME)?.parse().ok()
    }

    /// How a post names the file: `media:ID`.
    pub fn as_source(&self) -> String {
        format!("{}{self}", Self::SCHEME)
    }
}

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaId({self})")
    }
}

/// A text that is no id of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no id of media; expected 64 hexadecimal digits, as `media list` shows them")]
pub struct BadMediaId;

impl FromStr for MediaId {
    type Err = BadMediaId;

    fn from_str(text: &str) -> Result<Self, BadMediaId> {
        let digits = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 64 || !text.bytes().all(digits) {
            return Err(BadMediaId);
        }
        let mut hash = [0; 32];
        for (byte, place) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[place..place + 2], 16).map_err(|_| BadMediaId)?;
        }
        Ok(Self(hash))
    }
}

impl TryFrom<String> for MediaId {
    type Error = BadMediaId;

    fn try_from(text: String) -> Result<Self, BadMediaId> {
        text.parse()
    }
}

impl From<MediaId> for String {
    fn from(id: MediaId) -> Self {
        id.to_string()
    }
}

/// What a file is, told by its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MediaFacts {
    /// What kind of file.
    pub kind: MediaKind,
    /// How wide it is shown, in pixels.
    pub width: u32,
    /// How high it is shown, in pixels.
    pub height: u32,
    /// How long it plays; none for a picture, and where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Of how many pictures an animation is made; none where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// What its pictures are coded in (`avc1`); none where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<String>,
    /// What its sound is coded in (`mp4a`); none without sound, and where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<String>,
    /// Whether it tells where it was taken, or may.
    #[serde(default)]
    pub located: bool,
}

impl MediaFacts {
    /// A picture of which only this is known.
    pub fn picture(kind: MediaKind, width: u32, height: u32) -> Self {
        Self {
            kind,
            width,
            height,
            duration: None,
            frames: None,
            video: None,
            audio: None,
            located: false,
        }
    }
}

/// A picture or video that was added: what it is, and what people say of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MediaFile {
    /// Which content.
    pub id: MediaId,
    /// Its place in lists: those added later come later.
    pub entry: Uuid,
    /// Whose it is. Two tenants with the same content have a file each; the bytes are kept once.
    pub tenant_id: TenantId,
    /// How large it is.
    pub bytes: u64,
    /// What it is.
    pub facts: MediaFacts,
    /// What it was called when it was added. Nothing follows from it.
    pub name: Option<String>,
    /// What it shows, for those who cannot see it: proposed where a post uses it.
    pub alt: Option<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

impl MediaFile {
    /// A file of the default tenant that has neither name nor description.
    pub fn new(stored: Stored, facts: MediaFacts, now: DateTime<Utc>) -> Self {
        Self {
            id: stored.id,
            entry: Uuid::now_v7(),
            tenant_id: TenantId::DEFAULT,
            bytes: stored.bytes,
            facts,
            name: None,
            alt: None,
            created_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = MediaId::of_hash(std::array::from_fn(|i| u8::try_from(i * 8).unwrap()));

        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(MediaId::in_source(&id.as_source()), Some(id));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<MediaId>(&json).unwrap(), id);
        for bad in ["", "media:", &"A".repeat(64), &"g".repeat(64), &"0".repeat(63), "é"] {
            assert!(bad.parse::<MediaId>().is_err(), "{bad}");
            assert_eq!(MediaId::in_source(bad), None);
        }
        assert!("ß".repeat(32).parse::<MediaId>().is_err(), "64 bytes, no digits");
    }
}
