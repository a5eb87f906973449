//! What posts with media need, put together as it is set.

use std::sync::Arc;

use anyhow::Context;
use postq_core::media::MediaStore;
use postq_engine::media::{LinkKey, Media, MediaLinks, MediaSettings};
use postq_media::{BucketMedia, Editor, EditorSettings, FolderMedia};
use postq_outbound::WebMedia;

use crate::config::Config;
use crate::outward;
use crate::store::Store;

/// The folder of media in the data folder.
pub(crate) const FOLDER: &str = "media";

/// Everything for media, over a store. Without keys links are not signed: nothing is published from here.
pub(crate) async fn media(
    config: &Config,
    store: &Store,
    keys: Vec<LinkKey>,
) -> anyhow::Result<Media> {
    let set = &config.media;
    let files: Arc<dyn MediaStore> = match &set.bucket {
        Some(bucket) => {
            Arc::new(BucketMedia::new(bucket).context("media_bucket (POSTQ_MEDIA_BUCKET)")?)
        }
        None => Arc::new(FolderMedia::open(config.data_dir.join(FOLDER)).await?),
    };
    let editor = EditorSettings { keep_place: set.keep_place, ..EditorSettings::default() };
    Ok(Media {
        store: files,
        catalog: Arc::clone(&store.media),
        uploads: Arc::clone(&store.uploads),
        editor: Arc::new(Editor::new(editor)),
        source: Arc::new(WebMedia::new(outward::outbound(&config.outward)?)),
        links: set.public_url.as_deref().map(|base| MediaLinks::new(base, keys)),
        settings: MediaSettings { keep_unused: set.keep, ..MediaSettings::default() },
    })
}
