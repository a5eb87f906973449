//! Taking away what nobody needs.

use std::time::Duration;

use postq_core::error::chain;
use postq_core::media::{MediaId, Removal};
use tokio::time::Instant;

use super::Media;
use crate::engine::Shared;

/// Uploads and files in one round; what is left over waits for the next.
const BATCH: usize = 500;
/// A look through what is kept takes at most so long.
const PATIENCE: Duration = Duration::from_secs(60);

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
        media.forget(id).await.map_err(|error| chain(&error))?;
    }
    let unused = media.catalog.unused(now - settings.keep_unused, BATCH);
    for file in shared.bounded("find unused media", unused).await.map_err(told)? {
        let removal = media.catalog.remove(file.tenant_id, file.id);
        if shared.bounded("remove media", removal).await.map_err(told)? == Removal::Last {
            media.forget(file.id).await.map_err(|error| chain(&error))?;
        }
    }
    Ok(())
}

/// Looks for content that nothing is known of: a crash came after it was put and before it was written down.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    last: Option<Instant>,
    /// Where the look goes on; at the beginning if none.
    from: Option<MediaId>,
}

impl Orphans {
    /// Looks on, if it is time: some of what is kept, the rest in the rounds to come.
    pub(crate) async fn again(&mut self, shared: &Shared) {
        let Some(media) = &shared.media else { return };
        let every = media.settings.look_through;
        if !shared.settings.plan || self.last.is_some_and(|last| last.elapsed() < every) {
            return;
        }
        self.last = Some(Instant::now());
        if let Err(why) = self.round(shared, media).await {
            tracing::warn!(error = why, "media are not cleaned up; tried again");
        }
    }

    async fn round(&mut self, shared: &Shared, media: &Media) -> Result<(), String> {
        let now = shared.bounded("tell the time", shared.backend.jobs.now()).await;
        let before = now.map_err(|error| chain(&error))? - media.settings.keep_orphans;
        let from = self.from.take().unwrap_or(MediaId::of_hash([0; 32]));
        let looking = tokio::time::timeout(PATIENCE, media.store.kept(from, before, BATCH)).await;
        let kept = looking.map_err(|_| format!("no answer within {PATIENCE:?}"))?;
        let kept = kept.map_err(|error| chain(&error))?;
        // The last one is looked at twice.
        self.from = kept.last().copied().filter(|_| kept.len() == BATCH);
        for id in kept {
            media.forget(id).await.map_err(|error| chain(&error))?;
        }
        Ok(())
    }
}
