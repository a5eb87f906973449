//! Taking away what nobody needs.

use postq_core::error::chain;
use postq_core::media::{MediaId, Removal};

use super::Media;
use crate::engine::Shared;

/// Uploads and files in one round; what is left over waits for the next.
const BATCH: usize = 500;

/// Forgets old uploads, and files that no post names for long. No error of the round: what is not taken
/// away now is found again.
pub(crate) async fn clean(shared: &Shared) {
    let Some(media) = &shared.media else { return };
    if let Err(why) = round(shared, media).await {
        tracing::warn!(error = why, "media are not cleaned up; tried again");
    }
}

async fn round(shared: &Shared, media: &Media) -> Result<(), String> {
    let told = |error| chain(&error);
    let now = shared.bounded("tell the time", shared.backend.jobs.now()).await.map_err(told)?;
    let settings = &media.settings;
    let uploads = media.uploads.clean(now - settings.keep_uploads, BATCH);
    for id in shared.bounded("clean uploads", uploads).await.map_err(told)? {
        forget(media, id).await?;
    }
    let unused = media.catalog.unused(now - settings.keep_unused, BATCH);
    for file in shared.bounded("find unused media", unused).await.map_err(told)? {
        let removal = media.catalog.remove(file.tenant_id, file.id);
        if shared.bounded("remove media", removal).await.map_err(told)? == Removal::Last {
            forget(media, file.id).await?;
        }
    }
    Ok(())
}

/// Asked once more at the last moment: the same content may have come in again.
async fn forget(media: &Media, id: MediaId) -> Result<(), String> {
    if media.catalog.is_needed(id).await.map_err(|error| chain(&error))? {
        return Ok(());
    }
    media.store.remove(id).await.map(drop).map_err(|error| chain(&error))
}
