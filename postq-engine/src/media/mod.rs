//! Media: taken in at the desk, prepared before their moment, cleaned when nobody needs them.
//!
//! | part | what is in it |
//! |---|---|
//! | here | [`Media`]: what an engine needs for media, and what can be set |
//! | `desk` | [`MediaDesk`]: adding, reading and removing files |
//! | `prepare` | uploading the files of one post to one platform |
//! | `ahead` | the `media.prepare` jobs, made before a post is due |
//! | `link` | [`MediaLinks`]: where platforms that fetch files themselves find them |
//! | `upkeep` | taking away what nobody needs |

pub(crate) mod ahead;
mod desk;
mod link;
pub(crate) mod prepare;
pub(crate) mod stage;
pub(crate) mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::error::{ErrorKind, MediaError, StoreError, chain};
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::{
    MediaCatalog, MediaEditor, MediaId, MediaKind, MediaSource, MediaStore, UploadStore,
};

pub use self::desk::{Addition, MediaDesk, MediaDeskError};
pub use self::link::{BadLink, LinkKey, MediaLinks};

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
    /// What opens URLs that posts name.
    pub source: Arc<dyn MediaSource>,
    /// Where platforms that fetch files themselves find them; without it, where the store serves its files.
    pub links: Option<MediaLinks>,
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
    /// The longest that taking a file in may take. Defaults to 20 min: a gigabyte at 1 MB/s, and some.
    pub within: Duration,
    /// Content that nothing is known of, left by a crash, is kept so long. Defaults to 1 day: longer than taking
    /// a file in takes.
    pub keep_orphans: Duration,
    /// It is looked for so often. Defaults to 1 h.
    pub look_through: Duration,
}

impl Default for MediaSettings {
    fn default() -> Self {
        Self {
            most_bytes: 1_024 * 1_024 * 1_024,
            keep_unused: Duration::from_secs(30 * 86_400),
            keep_uploads: Duration::from_secs(7 * 86_400),
            usable_for: Duration::from_secs(600),
            turn: Duration::from_secs(120),
            within: Duration::from_secs(20 * 60),
            keep_orphans: Duration::from_secs(86_400),
            look_through: Duration::from_secs(3_600),
        }
    }
}

/// Why a platform that fetches files itself gets none.
pub(crate) const NO_ADDRESS: &str = "the platform fetches pictures and videos itself, and there is no address where \
     it finds them; set POSTQ_PUBLIC_URL (public_url) to the address by which this postq is reached, or keep media in \
     a bucket";
/// A link for a platform is good for so long: it fetches soon after it was told.
const LINK_LIVES: Duration = Duration::from_secs(3_600);
/// Removing content takes at most so long: less than a claim lasts.
const REMOVAL: Duration = Duration::from_secs(120);

impl Media {
    /// Whether a platform that fetches files itself can be told where.
    pub async fn can_be_fetched(&self) -> bool {
        let any = MediaId::of_hash([0; 32]);
        self.links.is_some()
            || matches!(self.store.link(any, MediaKind::Jpeg, LINK_LIVES).await, Ok(Some(_)))
    }

    /// Where a platform can fetch a file for a while.
    pub(crate) async fn link(
        &self,
        id: MediaId,
        kind: MediaKind,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, MediaError> {
        let ours = self.links.as_ref().and_then(|links| links.sign(id, kind, now + LINK_LIVES));
        match ours {
            Some(link) => Ok(Some(link)),
            None => self.store.link(id, kind, LINK_LIVES).await,
        }
    }

    /// Takes content away that nobody needs; what is needed meanwhile stays.
    pub(crate) async fn forget(&self, id: MediaId) -> Result<(), MediaDeskError> {
        if !self.catalog.claim(id).await? {
            return Ok(());
        }
        // Cut off, it may still be going on: then the claim is left to end by itself.
        let removed = tokio::time::timeout(REMOVAL, self.store.remove(id)).await.map_err(|_| {
            let what = format!("the file {id} was not removed within {REMOVAL:?}");
            MediaDeskError::Media(MediaError::new(ErrorKind::Unavailable, what))
        })?;
        self.catalog.release(id).await?;
        Ok(removed.map(drop)?)
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
