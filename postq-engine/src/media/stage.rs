//! Building a part at a platform ahead of its moment, step by step, as uploads go.
//!
//! How far it is, is kept beside the uploads of the part, under the hash of what is built: another text,
//! another picture begins anew.

use chrono::{DateTime, Utc};
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::{MediaId, Upload, UploadKey};
use postq_core::platform::{Outgoing, Stage, UploadStep};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::ours;
use super::prepare::{BREATH, MOST_STEPS, PATIENCE, Preparation, SOMEBODY_AT_IT, Unready};

/// The place of a part itself among its uploads.
const WHOLE: u16 = u16::MAX;

impl Preparation<'_> {
    /// What a part was built as; none where the platform builds nothing ahead of time.
    pub(crate) async fn container(&self, part: Outgoing<'_>) -> Result<Option<String>, Unready> {
        let Some(stage) = self.platform.stage() else { return Ok(None) };
        let (what, now) = (content(&part), self.time.now());
        let key = UploadKey { root: self.root, part: part.part, index: WHOLE };
        let known = self.media.uploads.of_root(self.root).await.map_err(|e| ours(&e))?;
        let known = known.into_iter().find(|upload| upload.key == key && upload.media == what);
        if let Some(known) = &known {
            if let Some(ready) = self.usable(known) {
                return Ok(Some(ready.remote_id));
            }
            let again = known.updated_at + SOMEBODY_AT_IT;
            if known.ready.is_none() && known.state.is_some() && again > now {
                return Err(Unready::Later(again, "it is being built".to_owned()));
            }
        }
        let mut upload = known.unwrap_or_else(|| begun(key, what, now));
        if upload.ready.take().is_some() {
            upload.state = None; // it would end before it is needed
        }
        self.build(stage, part, upload).await.map(Some)
    }

    /// Steps until it is built, or this turn is over.
    async fn build(
        &self,
        stage: &dyn Stage,
        part: Outgoing<'_>,
        mut upload: Upload,
    ) -> Result<String, Unready> {
        let until = Instant::now() + self.media.settings.turn;
        let within = self.platform.pace().send_timeout;
        for _ in 0..MOST_STEPS {
            let step = stage.step(self.who, part, upload.state.as_ref(), self.time.now());
            let step = tokio::time::timeout(within, step).await.unwrap_or_else(|_| {
                let message = format!("no answer within {within:?} while it was built");
                Err(Failure::not_published(FailureClass::Network, message))
            })?;
            upload.updated_at = self.time.now();
            let wait = match step {
                UploadStep::Ready(ready) => {
                    upload.ready = Some(ready.clone());
                    self.media.uploads.save(&upload).await.map_err(|e| ours(&e))?;
                    return Ok(ready.remote_id);
                }
                UploadStep::Going { state, wait } => {
                    upload.state = Some(state);
                    wait
                }
            };
            self.media.uploads.save(&upload).await.map_err(|e| ours(&e))?;
            if wait > PATIENCE || Instant::now() + wait >= until {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        let again = self.time.now() + SOMEBODY_AT_IT + BREATH;
        Err(Unready::Later(again, "it is being built".to_owned()))
    }

    /// What was made for a part was refused: the next attempt makes it anew.
    pub(crate) async fn forget(&self, part: u16, made: Made) -> Result<(), Failure> {
        let known = self.media.uploads.of_root(self.root).await.map_err(|e| ours(&e))?;
        let to_blame = |upload: &Upload| match upload.key.index {
            WHOLE => made.container,
            _ => made.media,
        };
        let mine = known.into_iter().filter(|upload| upload.key.part == part);
        for upload in mine.filter(to_blame) {
            let anew = Upload { state: None, ready: None, updated_at: self.time.now(), ..upload };
            self.media.uploads.save(&anew).await.map_err(|e| ours(&e))?;
        }
        Ok(())
    }

    /// It is given up. Whoever mends the cause and sends the post again must not meet what is stuck: what is half
    /// made is made anew then.
    pub(crate) async fn begin_anew(&self) -> Result<(), Failure> {
        let known = self.media.uploads.of_root(self.root).await.map_err(|e| ours(&e))?;
        for upload in known.into_iter().filter(|known| known.ready.is_none()) {
            let anew = Upload { state: None, updated_at: self.time.now(), ..upload };
            self.media.uploads.save(&anew).await.map_err(|e| ours(&e))?;
        }
        Ok(())
    }
}

/// What was made of a part ahead of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    /// The part itself.
    pub(crate) container: bool,
    /// Its files, as the platform has them.
    pub(crate) media: bool,
}

fn begun(key: UploadKey, what: MediaId, now: DateTime<Utc>) -> Upload {
    Upload {
        key,
        source: "the part itself".to_owned(),
        alt: None,
        media: what,
        original: what,
        state: None,
        ready: None,
        updated_at: now,
    }
}

/// The hash of all that a part is built of.
fn content(part: &Outgoing<'_>) -> MediaId {
    // Not the ids that the media were prepared under: some are made anew each time.
    let all = (part.text, part.options, part.media, part.reply_to);
    let all = serde_json::to_vec(&all).expect("texts are JSON");
    MediaId::of_hash(Sha256::digest(all).into())
}
