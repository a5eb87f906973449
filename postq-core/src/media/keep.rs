//! The bytes of media.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{MediaId, MediaKind};
use crate::error::{ErrorKind, MediaError};
use crate::job::Applied;

/// Content that is read as it comes.
pub type MediaReader = Box<dyn AsyncRead + Send + Unpin>;

/// What a store took in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The content's name.
    pub id: MediaId,
    /// How large it is.
    pub bytes: u64,
}

/// Keeps content by its hash.
///
/// # Contract
///
/// 1. What was put is named by its SHA-256, and comes back whole.  (`what_was_put_comes_back`)
/// 2. The same content is one file, however many put it.  (`the_same_content_is_one_file`)
/// 3. A range is exactly those bytes; its end may lie past the content's.  (`a_range_is_those_bytes`)
/// 4. Content that breaks off leaves nothing behind.  (`what_breaks_off_leaves_nothing`)
/// 5. Content of more than `at_most` bytes is refused as invalid, and not read to its end.
///    (`what_is_too_large_is_refused`)
/// 6. What was removed is gone, and may be put again.  (`what_was_removed_is_gone`)
/// 7. `kept` has the content that was put before a time, from an id on and in the order of ids; content that was
///    put again counts from then.  (`what_is_kept_is_told_in_order`)
/// 8. Content goes in and out as it comes: a gigabyte needs no more memory than a page.
///
/// Each rule but the last is a public test in `conformance::media`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait MediaStore: fmt::Debug + Send + Sync + 'static {
    /// Takes content in; it is durable when this answers.
    async fn put(&self, content: MediaReader, at_most: u64) -> Result<Stored, MediaError>;

    /// Opens content, or a range of it; none if it is not there.
    async fn open(
        &self,
        id: MediaId,
        range: Option<Range<u64>>,
    ) -> Result<Option<MediaReader>, MediaError>;

    /// How large it is; none if it is not there.
    async fn size(&self, id: MediaId) -> Result<Option<u64>, MediaError>;

    /// Up to `limit` of what was put before a time, with ids from `from` on. Tidies up on the way what a crash left
    /// of content that was coming in before that time.
    async fn kept(
        &self,
        from: MediaId,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<MediaId>, MediaError>;

    /// Takes it away.
    async fn remove(&self, id: MediaId) -> Result<Applied, MediaError>;

    /// Where anybody can fetch it for so long, if the store itself serves it.
    async fn link(
        &self,
        id: MediaId,
        kind: MediaKind,
        within: Duration,
    ) -> Result<Option<String>, MediaError>;
}

const _OBJECT_SAFE: fn(&dyn MediaStore) = |_| {};

/// All of some content, or of a range of it: for what is known to be small.
///
/// # Errors
///
/// If it is not there, cannot be read, or is larger than `at_most`.
pub async fn whole(
    store: &dyn MediaStore,
    id: MediaId,
    range: Option<Range<u64>>,
    at_most: u64,
) -> Result<Vec<u8>, MediaError> {
    let gone = || MediaError::new(ErrorKind::Invalid, format!("the file {id} is gone"));
    let reader = store.open(id, range).await?.ok_or_else(gone)?;
    let mut content = Vec::new();
    let read = reader.take(at_most.saturating_add(1)).read_to_end(&mut content).await;
    read.map_err(|error| {
        MediaError::new(ErrorKind::Unavailable, format!("read the file {id}")).caused_by(error)
    })?;
    if content.len() as u64 > at_most {
        let what = format!("the file {id} is larger than {at_most} bytes");
        return Err(MediaError::new(ErrorKind::Invalid, what));
    }
    Ok(content)
}
