//! What posts with media need, put together as it is set.

use std::sync::Arc;

use anyhow::Context;
use postq_core::media::MediaStore;
use postq_engine::media::{LinkKey, Media, MediaLinks, MediaSettings};
use postq_media::{BucketMedia, Editor, EditorSettings, FolderMedia};
use postq_outbound::WebMedia;

use crate::compose::Node;
use crate::config::Config;
use crate::outward;

/// The folder of media in the data folder.
pub(crate) const FOLDER: &str = "media";

/// Where files are kept.
pub(crate) async fn files(config: &Config) -> anyhow::Result<Arc<dyn MediaStore>> {
    Ok(match &config.media.bucket {
        Some(bucket) => {
            Arc::new(BucketMedia::new(bucket).context("media_bucket (POSTQ_MEDIA_BUCKET)")?)
        }
        None => Arc::new(FolderMedia::open(config.data_dir.join(FOLDER)).await?),
    })
}

/// Everything for media. Without keys links are not signed: nothing is published from here.
pub(crate) fn media(node: &Node, keys: Vec<LinkKey>) -> anyhow::Result<Media> {
    let (config, set) = (&node.config, &node.config.media);
    let editor = EditorSettings { keep_place: set.keep_place, ..EditorSettings::default() };
    Ok(Media {
        store: Arc::clone(&node.files),
        catalog: Arc::clone(&node.store.media),
        uploads: Arc::clone(&node.store.uploads),
        editor: Arc::new(Editor::new(editor)),
        source: Arc::new(WebMedia::new(outward::outbound(&config.outward)?)),
        links: set.public_url.as_deref().map(|base| MediaLinks::new(base, keys)),
        settings: MediaSettings { keep_unused: set.keep, ..MediaSettings::default() },
    })
}
