//! Keeps, reads and fits pictures and videos.
//!
//! | module | what is in it |
//! |---|---|
//! | `folder` | [`FolderMedia`]: files in a local folder, by their hash |
//! | `bucket` (feature `s3`) | [`BucketMedia`]: the same in S3 and what speaks its language |
//! | `editor` | [`Editor`]: what a file is; scaled down, converted, and without its place |
//! | `picture`, `video` | how it looks into both |
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use postq_core::media::MediaStore;
//! use postq_media::FolderMedia;
//!
//! let folder = tempfile::tempdir().expect("a folder");
//! let media = FolderMedia::open(folder.path()).await.expect("a writable folder");
//! let stored = media.put(Box::new(&b"a cat"[..]), 1_000).await.expect("put");
//! assert_eq!(media.size(stored.id).await.expect("size"), Some(5));
//! # });
//! ```

#[cfg(feature = "s3")]
mod bucket;
mod editor;
mod folder;
mod picture;
mod video;

#[cfg(feature = "s3")]
pub use self::bucket::{BucketConfig, BucketError, BucketMedia};
pub use self::editor::{Editor, EditorSettings};
pub use self::folder::FolderMedia;
