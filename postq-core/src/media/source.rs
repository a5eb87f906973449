//! Where media come from, and what is done to them.

use std::fmt;

use async_trait::async_trait;

use super::{KindLimits, MediaFacts, MediaId, MediaLimits, MediaReader, MediaStore};
use crate::failure::Failure;

/// Opens what a post names that is no file of ours: a URL. A post never names a path.
///
/// Who implements it decides what may be read: never an address that only postq can reach, unless a person who
/// runs postq has allowed it.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait MediaSource: fmt::Debug + Send + Sync + 'static {
    /// Opens it. A failure of class `content` says that it never will be there.
    async fn open(&self, source: &str) -> Result<MediaReader, Failure>;
}

/// What came of fitting a file to a platform.
#[derive(Clone, Debug, PartialEq)]
pub enum Fit {
    /// It goes as it is.
    AsItIs,
    /// This was made of it, and is in the store beside it.
    Made(MediaId, u64, MediaFacts),
}

/// Looks into files, and makes others of them.
#[async_trait]
pub trait MediaEditor: fmt::Debug + Send + Sync + 'static {
    /// What a file is, told by its content. A failure of class `content` names what is wrong with it.
    async fn inspect(&self, store: &dyn MediaStore, id: MediaId) -> Result<MediaFacts, Failure>;

    /// Makes of a picture what the platform takes, and takes out where it was taken. The original stays.
    async fn fit(
        &self,
        store: &dyn MediaStore,
        id: MediaId,
        facts: &MediaFacts,
        limits: &MediaLimits,
    ) -> Result<Fit, Failure>;
}

/// Whether a picture is larger than a platform takes, in a way that scaling it down mends.
impl KindLimits {
    /// The size to scale down to; none if it fits.
    pub fn scaled(&self, width: u32, height: u32) -> Option<(u32, u32)> {
        let (most_w, most_h) = (self.width.unwrap_or(u32::MAX), self.height.unwrap_or(u32::MAX));
        if width <= most_w && height <= most_h {
            return None;
        }
        let by = (f64::from(most_w) / f64::from(width)).min(f64::from(most_h) / f64::from(height));
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "smaller than what it is made from"
        )]
        let scale = |side: u32| ((f64::from(side) * by).floor() as u32).max(1);
        Some((scale(width), scale(height)))
    }
}

const _OBJECT_SAFE: fn(&dyn MediaSource, &dyn MediaEditor) = |_, _| {};
