//! What posts with media need, put together as it is set.

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use postq_core::failure::Failure;
use postq_core::media::{MediaReader, MediaSource, MediaStore};
use postq_engine::media::{Media, MediaSettings};
use postq_media::{BucketMedia, Editor, EditorSettings, FolderMedia, Folders};
use postq_outbound::WebMedia;

use crate::config::Config;
use crate::outward;
use crate::store::Store;

/// The folder of media in the data folder.
const FOLDER: &str = "media";

/// Paths from the folders that may be read, everything else from the web.
#[derive(Debug)]
struct Sources {
    folders: Folders,
    web: WebMedia,
}

#[async_trait]
impl MediaSource for Sources {
    async fn open(&self, source: &str) -> Result<MediaReader, Failure> {
        match source.contains("://") {
            true => self.web.open(source).await,
            false => self.folders.open(source).await,
        }
    }
}

/// Everything for media, over a store.
pub(crate) async fn media(config: &Config, store: &Store) -> anyhow::Result<Media> {
    let set = &config.media;
    let files: Arc<dyn MediaStore> = match &set.bucket {
        Some(bucket) => {
            Arc::new(BucketMedia::new(bucket).context("media_bucket (POSTQ_MEDIA_BUCKET)")?)
        }
        None => Arc::new(FolderMedia::open(config.data_dir.join(FOLDER)).await?),
    };
    let editor = EditorSettings { keep_place: set.keep_place, ..EditorSettings::default() };
    let web = WebMedia::new(outward::outbound(&config.outward)?);
    Ok(Media {
        store: files,
        catalog: Arc::clone(&store.media),
        uploads: Arc::clone(&store.uploads),
        editor: Arc::new(Editor::new(editor)),
        source: Arc::new(Sources { folders: Folders::new(set.folders.clone()), web }),
        settings: MediaSettings { keep_unused: set.keep, ..MediaSettings::default() },
    })
}
