//! Media: taken in at the desk, prepared before their moment, cleaned when nobody needs them.
//!
//! | part | what is in it |
//! |---|---|
//! | here | [`Media`]: what an engine needs for media, and what can be set |
//! | `desk` | [`MediaDesk`]: adding, reading and removing files |
//! | `prepare` | uploading the files of one post to one platform |
//! | `ahead` | the `media.prepare` jobs, made before a post is due |
//! | `upkeep` | taking away what nobody needs |

pub(crate) mod ahead;
mod desk;
pub(crate) mod prepare;
mod stage;
pub(crate) mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use postq_core::error::{ErrorKind, MediaError, StoreError, chain};
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::{MediaCatalog, MediaEditor, MediaSource, MediaStore, UploadStore};

pub use self::desk::{Addition, MediaDesk, MediaDeskError};

/// What an engine needs for posts with media. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Media {
    /// The bytes.
    pub store: Arc<dyn MediaStore>,
    /// What is known of each file.
    pub catalog: Arc<dyn MediaCatalog>,
    /// How far uploads are.
    pub uploads: Arc<dyn UploadStore>,
    /// Looks into files, and makes others of them.
    pub editor: Arc<dyn MediaEditor>,
    /// What opens paths and URLs that posts name.
    pub source: Arc<dyn MediaSource>,
    /// What else can be set.
    pub settings: MediaSettings,
}

/// What can be set of media.
#[derive(Clone, Debug)]
pub struct MediaSettings {
    /// The largest file that is taken in. Defaults to 1 GiB.
    pub most_bytes: u64,
    /// A file that no post names is kept so long. Defaults to 30 days.
    pub keep_unused: Duration,
    /// An upload is forgotten so long after it last went on. Defaults to 7 days.
    pub keep_uploads: Duration,
    /// What is uploaded must stay usable so long after the post is due. Defaults to 10 min.
    pub usable_for: Duration,
    /// One attempt uploads for so long, then lets others go on. Defaults to 2 min; less than the engine's
    /// time limit.
    pub turn: Duration,
    /// The longest that taking a file in may take. Defaults to 10 min.
    pub within: Duration,
}

impl Default for MediaSettings {
    fn default() -> Self {
        Self {
            most_bytes: 1_024 * 1_024 * 1_024,
            keep_unused: Duration::from_secs(30 * 86_400),
            keep_uploads: Duration::from_secs(7 * 86_400),
            usable_for: Duration::from_secs(600),
            turn: Duration::from_secs(120),
            within: Duration::from_secs(600),
        }
    }
}

/// Trouble of ours, as a failure of an attempt.
fn ours(error: &StoreError) -> Failure {
    Failure::not_published(FailureClass::Internal, chain(error))
}

/// The same of the store of files: what it refuses stays refused.
fn kept(error: &MediaError) -> Failure {
    let class = match error.kind() {
        ErrorKind::Invalid => FailureClass::Content,
        _ => FailureClass::Internal,
    };
    Failure::not_published(class, chain(error))
}
