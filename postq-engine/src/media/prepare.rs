//! Uploading the files of one post to one platform, step by step.
//!
//! ```text
//! source -> file (added, or fetched now) -> fitted to the platform -> within its limits?
//!        -> upload: step, written down, step, written down ... -> ready
//! ```
//!
//! Whoever is cut off anywhere goes on where the last step was written down. What has been ready too long
//! begins anew.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::account::Account;
use postq_core::content::{MediaRef, Part};
use postq_core::error::chain;
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::{JobId, TenantId};
use postq_core::media::{Attached, Fit, MediaFile, MediaKind, Upload, UploadKey};
use postq_core::options::PostOptions;
use postq_core::platform::{Identity, Platform, PreparedMedia, Transfer, UploadFile, UploadStep};
use tokio::time::Instant;

use super::{Media, MediaDesk, NO_ADDRESS, kept, ours};
use crate::attempt::TimeLimit;
use crate::worker::StoreTime;

/// Steps of one upload in one turn. A turn ends by its time long before.
pub(super) const MOST_STEPS: usize = 10_000;
/// An upload that went on less long ago is in somebody else's hands.
pub(super) const SOMEBODY_AT_IT: TimeDelta = TimeDelta::seconds(8);
/// So often a step that takes long says that it goes on.
const STILL_AT_IT: Duration = Duration::from_secs(3);
/// A wait of the platform's that is longer than this is not waited for in the attempt.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// A step that may take longer is a mistake in a unit.
const LONGEST_STEP: Duration = Duration::from_secs(3 * 3_600);
/// A turn that ended goes on after so long.
pub(super) const BREATH: TimeDelta = TimeDelta::milliseconds(50);

/// Why the media of a post cannot be used yet, or ever.
#[derive(Debug)]
pub(crate) enum Unready {
    /// Not yet: this is tried again then, and it was nobody's fault.
    Later(DateTime<Utc>, String),
    /// A failure.
    Failed(Failure),
}

impl From<Failure> for Unready {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What the media of one publish job are prepared with.
#[derive(Debug)]
pub(crate) struct Preparation<'a> {
    pub(crate) media: &'a Media,
    pub(crate) platform: &'a Arc<dyn Platform>,
    pub(crate) account: &'a Account,
    pub(crate) who: &'a Identity,
    pub(crate) tenant: TenantId,
    /// The root of the publish job.
    pub(crate) root: JobId,
    /// When the post is due.
    pub(crate) due: DateTime<Utc>,
    pub(crate) time: StoreTime,
    /// How long the attempt may take.
    pub(crate) limit: &'a TimeLimit,
}

impl Preparation<'_> {
    /// Brings the media of a part to the platform; answers what it knows them by. A platform that takes
    /// none ahead of time has nothing prepared.
    pub(crate) async fn part(
        &self,
        number: u16,
        part: &Part,
        options: &PostOptions,
    ) -> Result<Vec<PreparedMedia>, Unready> {
        let Some(uploader) = self.platform.media() else { return Ok(Vec::new()) };
        if part.media.is_empty() {
            return Ok(Vec::new());
        }
        let uploads = self.media.uploads.of_root(self.root).await.map_err(|e| ours(&e))?;
        let key = |index| UploadKey { root: self.root, part: number, index };
        let known = |index: u16, media: &MediaRef| {
            let same = |up: &&Upload| {
                up.key == key(index) && up.source == media.source && up.alt == media.alt
            };
            uploads.iter().find(same)
        };
        let numbered = || (0..=u16::MAX).zip(&part.media);
        let usable: Vec<_> = numbered().filter_map(|(i, m)| self.usable(known(i, m)?)).collect();
        if usable.len() == part.media.len() {
            return Ok(usable);
        }
        let until = Instant::now() + self.media.settings.turn;
        let limits = uploader.limits();
        let mut files = Vec::with_capacity(part.media.len());
        for (index, media) in numbered() {
            files.push(self.file(key(index), media, known(index, media), &limits).await?);
        }
        let attached: Vec<Attached<'_>> = files.iter().map(File::attached).collect();
        let mut problems = limits.problems(&attached);
        if problems.is_empty() {
            problems = uploader.problems(options, &attached);
        }
        if let Some(problem) = problems.first() {
            return Err(Failure::not_published(FailureClass::Content, problem.clone()).into());
        }
        let mut ready = Vec::with_capacity(files.len());
        for file in files {
            ready.push(match self.usable(&file.upload) {
                Some(prepared) => prepared,
                None => self.upload(file, until).await?,
            });
        }
        Ok(ready)
    }

    /// What a finished upload is known by, if it can be used when the post is due.
    pub(super) fn usable(&self, upload: &Upload) -> Option<PreparedMedia> {
        let needed = self.due.max(self.time.now()) + delta(self.media.settings.usable_for);
        upload.ready.clone().filter(|it| it.expires_at.is_none_or(|end| end > needed))
    }

    /// The file of one upload, fitted to the platform; what was begun before goes on.
    async fn file(
        &self,
        key: UploadKey,
        media: &MediaRef,
        known: Option<&Upload>,
        limits: &postq_core::media::MediaLimits,
    ) -> Result<File, Unready> {
        let (store, editor, now) = (&*self.media.store, &self.media.editor, self.time.now());
        if let Some(upload) = known {
            if upload.ready.is_none() && upload.state.is_some() {
                let again = upload.updated_at + SOMEBODY_AT_IT;
                if again > now {
                    return Err(Unready::Later(again, "its media are being uploaded".to_owned()));
                }
            }
            let size = store.size(upload.media).await.map_err(|e| kept(&e))?;
            if let Some(bytes) = size {
                let facts = editor.inspect(store, upload.media).await?;
                return Ok(File { upload: upload.clone(), bytes, facts });
            }
        }
        let desk = MediaDesk::new(self.media.clone(), self.tenant);
        let MediaFile { id, bytes, facts, .. } = desk.resolve(&media.source, now).await?;
        let fit = editor.fit(store, id, &facts, limits).await.map_err(|failure| Failure {
            message: format!("\"{}\": {}", media.source, failure.message),
            ..failure
        })?;
        let (made, bytes, facts) = match fit {
            Fit::AsItIs => (id, bytes, facts),
            Fit::Made(made, bytes, facts) => (made, bytes, facts),
        };
        let upload = Upload {
            key,
            source: media.source.clone(),
            alt: media.alt.clone(),
            media: made,
            original: id,
            state: None,
            ready: None,
            updated_at: now,
        };
        // Written down at once: from here on the files are needed.
        self.media.uploads.save(&upload).await.map_err(|e| ours(&e))?;
        Ok(File { upload, bytes, facts })
    }

    /// Steps until it is ready, or this turn is over.
    async fn upload(&self, file: File, until: Instant) -> Result<PreparedMedia, Unready> {
        let Some(uploader) = self.platform.media() else {
            return Err(Failure::not_published(FailureClass::Internal, "no uploads here").into());
        };
        let File { mut upload, bytes, facts } = file;
        let mut went_on = false;
        if upload.ready.take().is_some() {
            upload.state = None; // it would end before it is needed
        }
        let usual = self.platform.pace().send_timeout;
        let own = uploader.step_timeout(bytes).map(|own| own.clamp(usual, LONGEST_STEP.max(usual)));
        let within = own.unwrap_or(usual);
        for _ in 0..MOST_STEPS {
            let now = self.time.now();
            if let Some(own) = own {
                self.limit.make_room(own);
            }
            let url = match uploader.transfer() {
                Transfer::Sent => None,
                Transfer::Fetched => Some(self.address(&upload, facts.kind).await?),
            };
            let given = UploadFile {
                store: &*self.media.store,
                id: upload.media,
                bytes,
                facts: &facts,
                alt: upload.alt.as_deref(),
                url: url.as_deref(),
                now,
            };
            let step = uploader.step(self.who, given, upload.state.as_ref());
            let step = tokio::time::timeout(within, step);
            let step = match self.in_hand(&upload, step).await {
                Ok(Ok(step)) => step,
                Ok(Err(failure)) => return Err(self.failed(&upload, failure, went_on)),
                Err(_) => {
                    let message = format!("no answer within {within:?} to an upload");
                    let failure = Failure::not_published(FailureClass::Network, message);
                    return Err(self.failed(&upload, failure, went_on));
                }
            };
            upload.updated_at = self.time.now();
            let wait = match step {
                UploadStep::Ready(prepared) => {
                    upload.ready = Some(prepared.clone());
                    self.media.uploads.save(&upload).await.map_err(|e| ours(&e))?;
                    return Ok(prepared);
                }
                UploadStep::Going { state, wait } => {
                    went_on |= upload.state.as_ref() != Some(&state);
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
        Err(Unready::Later(again, "its media are being uploaded".to_owned()))
    }

    /// Makes a step, and writes down as long as it takes that somebody is at it.
    async fn in_hand<T>(&self, upload: &Upload, step: impl Future<Output = T>) -> T {
        let mut step = std::pin::pin!(step);
        loop {
            if let Ok(done) = tokio::time::timeout(STILL_AT_IT, &mut step).await {
                return done;
            }
            let still = Upload { updated_at: self.time.now(), ..upload.clone() };
            // Not written down, another attempt may begin the same step: twice the work, and no harm.
            if let Err(error) = self.media.uploads.save(&still).await {
                tracing::debug!(error = chain(&error), "an upload that goes on is not marked");
            }
        }
    }

    /// Where the platform can fetch a file.
    async fn address(&self, upload: &Upload, kind: MediaKind) -> Result<String, Failure> {
        let link = self.media.link(upload.media, kind, self.time.now()).await;
        link.map_err(|error| kept(&error))?.ok_or_else(|| {
            let message = format!("\"{}\": {NO_ADDRESS}", upload.source);
            Failure::not_published(FailureClass::Content, message)
        })
    }

    /// A failure after which less is left to do than before is nobody's attempt: a large file on a bad line
    /// gets there all the same.
    fn failed(&self, upload: &Upload, failure: Failure, went_on: bool) -> Unready {
        let message = format!("\"{}\": {}", upload.source, failure.message);
        if went_on && failure.class == FailureClass::Network {
            let again = self.time.now() + SOMEBODY_AT_IT + BREATH;
            return Unready::Later(again, message);
        }
        tracing::debug!(account = self.account.name, "an upload failed");
        Unready::Failed(Failure { message, ..failure })
    }
}

/// A file on its way to a platform.
#[derive(Debug)]
struct File {
    upload: Upload,
    bytes: u64,
    facts: postq_core::media::MediaFacts,
}

impl File {
    fn attached(&self) -> Attached<'_> {
        Attached {
            name: &self.upload.source,
            bytes: self.bytes,
            facts: &self.facts,
            alt: self.upload.alt.as_deref(),
        }
    }
}

fn delta(stretch: Duration) -> TimeDelta {
    TimeDelta::from_std(stretch).unwrap_or(TimeDelta::MAX)
}
