//! Adding, reading and removing files.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::error::{ErrorKind, MediaError, StoreError, chain};
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::TenantId;
use postq_core::media::{MediaFile, MediaId, MediaKind, MediaReader, Removal, whole};
use postq_core::store::Page;

use super::{BadLink, Media, kept, ours};

/// The longest description, in characters: longer than any platform takes.
const MOST_ALT: usize = 5_000;
/// How often, and how long each time, the end of a removal of the same content is waited for.
const MOST_WAITS: u32 = 25;
const WAIT: Duration = Duration::from_millis(200);
/// The longest name, in characters; more is cut off.
const MOST_NAME: usize = 200;

/// A file to be added.
#[derive(Clone, Debug, Default)]
pub struct Addition {
    /// What it is called. Nothing follows from it.
    pub name: Option<String>,
    /// What it shows, for those who cannot see it.
    pub alt: Option<String>,
}

/// Why a file was not added, found or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaDeskError {
    /// It is not what any platform takes, is too large, or broke off. Why, for a person.
    #[error("{0}")]
    Refused(String),
    /// There is no such file.
    #[error("there is no media file {0}; `media list` shows those that there are")]
    NotFound(MediaId),
    /// A post names it.
    #[error("the media file {0} is named by a post; edit or remove the post first")]
    InUse(MediaId),
    /// A link opens nothing.
    #[error(transparent)]
    Link(#[from] BadLink),
    /// The store has trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store of files has trouble.
    #[error(transparent)]
    Media(MediaError),
}

impl From<MediaError> for MediaDeskError {
    fn from(error: MediaError) -> Self {
        match error.kind() {
            ErrorKind::Invalid => Self::Refused(chain(&error)),
            _ => Self::Media(error),
        }
    }
}

/// Where files come in, and are read and removed.
#[derive(Clone, Debug)]
pub struct MediaDesk {
    media: Media,
    tenant: TenantId,
}

impl MediaDesk {
    /// A desk of one tenant.
    pub fn new(media: Media, tenant: TenantId) -> Self {
        Self { media, tenant }
    }

    /// Takes content in as it comes, looks into it and adds it; the same content again is the same file.
    ///
    /// # Errors
    ///
    /// If it is of no known type, damaged, too large, or breaks off: then nothing of it is kept.
    pub async fn add(
        &self,
        content: MediaReader,
        addition: Addition,
        now: DateTime<Utc>,
    ) -> Result<MediaFile, MediaDeskError> {
        if addition.alt.as_ref().is_some_and(|alt| alt.chars().count() > MOST_ALT) {
            let why = format!("the description is longer than {MOST_ALT} characters");
            return Err(MediaDeskError::Refused(why));
        }
        let most = self.media.settings.most_bytes;
        let taken = self.media.store.put(content, most);
        let stored = tokio::time::timeout(self.media.settings.within, taken).await;
        let stored = stored.map_err(|_| {
            let within = self.media.settings.within;
            MediaDeskError::Refused(format!("the content did not come whole within {within:?}"))
        });
        let name = addition.name.map(|name| shown(&name)).filter(|name| !name.is_empty());
        let named = |error| about(name.as_deref(), error);
        let stored = stored.and_then(|stored| Ok(stored?)).map_err(named)?;
        let facts = match self.media.editor.inspect(&*self.media.store, stored.id).await {
            Ok(facts) => facts,
            Err(failure) => {
                self.media.forget(stored.id).await?;
                return Err(named(refused(failure)));
            }
        };
        let alt = addition.alt.filter(|alt| !alt.trim().is_empty());
        let file = MediaFile::new(stored, facts, now);
        self.enter(&MediaFile { tenant_id: self.tenant, name, alt, ..file }).await
    }

    /// Writes a file down. The same content may be on its way out at this moment: that is waited for.
    async fn enter(&self, file: &MediaFile) -> Result<MediaFile, MediaDeskError> {
        let (catalog, store) = (&self.media.catalog, &self.media.store);
        let mut waits = 0;
        let entered = loop {
            match catalog.insert(file).await {
                Err(error) if error.kind() == ErrorKind::Conflict && waits < MOST_WAITS => {
                    waits += 1
                }
                entered => break entered?,
            }
            tokio::time::sleep(WAIT).await;
        };
        // It may have gone between being put and being written down. From here on nobody takes it away.
        if store.size(file.id).await?.is_none() {
            let _nobody_names_it_yet = catalog.remove(self.tenant, file.id).await?;
            let what = format!("the same content was taken away at this moment: {}", file.id);
            return Err(MediaDeskError::Media(MediaError::new(ErrorKind::Unavailable, what)));
        }
        Ok(entered)
    }

    /// A file.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn find(&self, id: MediaId) -> Result<MediaFile, MediaDeskError> {
        let found = self.media.catalog.find(self.tenant, &[id]).await?;
        found.into_iter().next().ok_or(MediaDeskError::NotFound(id))
    }

    /// A page of files.
    ///
    /// # Errors
    ///
    /// If the store has trouble.
    pub async fn list(&self, page: Page) -> Result<Vec<MediaFile>, MediaDeskError> {
        Ok(self.media.catalog.list(self.tenant, page).await?)
    }

    /// Opens a file's content, or a range of it.
    ///
    /// # Errors
    ///
    /// If there is no such file.
    pub async fn open(
        &self,
        id: MediaId,
        range: Option<Range<u64>>,
    ) -> Result<MediaReader, MediaDeskError> {
        self.media.store.open(id, range).await?.ok_or(MediaDeskError::NotFound(id))
    }

    /// The file that a link opens: what it is and how large.
    ///
    /// # Errors
    ///
    /// If the link is not good, or the file is gone.
    pub async fn linked(
        &self,
        name: &str,
        until: i64,
        signature: &str,
        now: DateTime<Utc>,
    ) -> Result<(MediaId, MediaKind, u64), MediaDeskError> {
        let links = self.media.links.as_ref().ok_or(BadLink::Forged)?;
        let id = links.open(name, until, signature, now)?;
        // By its content: what was made for a platform stands in no list.
        let store = &*self.media.store;
        let gone = || MediaDeskError::NotFound(id);
        let bytes = store.size(id).await?.ok_or_else(gone)?;
        let head = MediaKind::HEAD as u64;
        let head = whole(store, id, Some(0..head), head).await?;
        let kind = MediaKind::of_content(&head).ok_or_else(gone)?;
        Ok((id, kind, bytes))
    }

    /// Takes a file away that no post names.
    ///
    /// # Errors
    ///
    /// If a post names it, or there is none.
    pub async fn remove(&self, id: MediaId) -> Result<(), MediaDeskError> {
        match self.media.catalog.remove(self.tenant, id).await? {
            Removal::Last => self.media.forget(id).await,
            Removal::Shared => Ok(()),
            Removal::InUse => Err(MediaDeskError::InUse(id)),
            Removal::Gone => Err(MediaDeskError::NotFound(id)),
        }
    }

    /// Opens what a post names: a file that was added, or one that is fetched and added now.
    pub(crate) async fn resolve(
        &self,
        source: &str,
        now: DateTime<Utc>,
    ) -> Result<MediaFile, Failure> {
        if source.starts_with(MediaId::SCHEME) {
            let gone = || {
                Failure::not_published(
                    FailureClass::Content,
                    format!("\"{source}\" is no file that was added"),
                )
            };
            let id = MediaId::in_source(source).ok_or_else(gone)?;
            let found = self.media.catalog.find(self.tenant, &[id]).await;
            return found.map_err(|error| ours(&error))?.into_iter().next().ok_or_else(gone);
        }
        let content = self.media.source.open(source).await?;
        let name = source.split(['?', '#']).next().and_then(|path| path.rsplit('/').next());
        let addition = Addition { name: name.map(str::to_owned), alt: None };
        self.add(content, addition, now).await.map_err(|error| match error {
            // It names the file already, by the end of its address.
            MediaDeskError::Refused(why) => {
                let message = match why.starts_with('"') {
                    true => why,
                    false => format!("\"{source}\": {why}"),
                };
                Failure::not_published(FailureClass::Content, message)
            }
            MediaDeskError::Store(error) => ours(&error),
            MediaDeskError::Media(error) => kept(&error),
            other => Failure::not_published(FailureClass::Internal, other.to_string()),
        })
    }
}

/// The same of a file with a name: a person may have sent several.
fn about(name: Option<&str>, error: MediaDeskError) -> MediaDeskError {
    match (name, error) {
        (Some(name), MediaDeskError::Refused(why)) => {
            MediaDeskError::Refused(format!("\"{name}\": {why}"))
        }
        (_, error) => error,
    }
}

fn refused(failure: Failure) -> MediaDeskError {
    match failure.class {
        FailureClass::Content => MediaDeskError::Refused(failure.message),
        _ => MediaDeskError::Media(MediaError::new(ErrorKind::Unavailable, failure.message)),
    }
}

/// A name as it can be shown: without a path, escapes, or more than a line.
fn shown(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|c| !c.is_control()).take(MOST_NAME).collect()
}
