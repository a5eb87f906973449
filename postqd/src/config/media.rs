//! Where media are kept, and where platforms find them.

use std::time::Duration;

use postq_media::BucketConfig;
use secrecy::ExposeSecret;

use super::Values;

/// What is set of media.
#[derive(Clone, Debug)]
pub(crate) struct MediaConfig {
    /// The address by which platforms that fetch files themselves reach this postq.
    pub(crate) public_url: Option<String>,
    /// A file that no post names is kept so long.
    pub(crate) keep: Duration,
    /// Whether what tells where a picture was taken stays in it.
    pub(crate) keep_place: bool,
    /// The bucket that files are kept in; the data folder if none.
    pub(crate) bucket: Option<BucketConfig>,
}

impl Values {
    pub(super) fn media(&self) -> anyhow::Result<MediaConfig> {
        let text = |key| self.set(key).map(|value| value.text.clone());
        let bucket = text("media_bucket").map(|bucket| BucketConfig {
            bucket,
            region: text("media_bucket_region"),
            endpoint: text("media_bucket_endpoint"),
            prefix: text("media_bucket_prefix").unwrap_or_default(),
            access_key: text("media_bucket_key_id"),
            secret_key: self.secret("media_bucket_key").map(|key| key.expose_secret().to_owned()),
        });
        Ok(MediaConfig {
            public_url: text("public_url"),
            keep: self.duration("media_keep")?,
            keep_place: self.switch("media_keep_place")?,
            bucket,
        })
    }
}
