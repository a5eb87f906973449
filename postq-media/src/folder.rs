//! [`MediaStore`] in a local folder.

use std::io::{self, ErrorKind as Io};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::{ErrorKind, MediaError};
use postq_core::job::Applied;
use postq_core::media::{MediaId, MediaKind, MediaReader, MediaStore, Stored};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// Read and written at once.
const CHUNK: usize = 256 * 1_024;
/// A file that is being written, below the folder.
const COMING: &str = "coming";
/// A disk keeps so much free, or a twentieth of all where that is less: the store may be on the same one, and a full
/// one would stop it, and with it every post.
const KEPT_FREE: u64 = 1_024 * 1_024 * 1_024;
/// What is free is looked at again after so many bytes of a file.
const LOOK_AGAIN: u64 = 16 * 1_024 * 1_024;

/// Keeps content in a folder: each file under its hash, in one of 256 folders.
///
/// A file is written beside its place, synced and renamed, so that a name that is there has the whole
/// content behind it, also after a power cut. Any number of processes may share the folder.
#[derive(Clone, Debug)]
pub struct FolderMedia {
    root: PathBuf,
    kept_free: Option<u64>,
}

impl FolderMedia {
    /// Opens a folder, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be made or written to.
    pub async fn open(root: impl AsRef<Path>) -> Result<Self, MediaError> {
        let root = root.as_ref().to_owned();
        let coming = root.join(COMING);
        tokio::fs::create_dir_all(&coming).await.map_err(|error| {
            let action = format!("open the media folder \"{}\"", root.display());
            MediaError::new(ErrorKind::Unavailable, action).caused_by(error)
        })?;
        Ok(Self { root, kept_free: None })
    }

    /// The same that leaves so many bytes of its disk free. Defaults to 1 GiB, or a twentieth of the disk where that
    /// is less.
    #[must_use]
    pub fn keeping_free(mut self, bytes: u64) -> Self {
        self.kept_free = Some(bytes);
        self
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn place(&self, id: MediaId) -> PathBuf {
        let name = id.to_string();
        self.root.join(&name[..2]).join(name)
    }

    async fn write(&self, content: MediaReader, at_most: u64) -> Result<Stored, Failed> {
        let coming = self.root.join(COMING);
        // Dropped before it is renamed, it takes its file with it.
        let file = blocking(move || NamedTempFile::new_in(coming)).await.map_err(Failed::Write)?;
        let mut out = File::from_std(file.as_file().try_clone().map_err(Failed::Write)?);
        let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
        let mut content = content.take(at_most.saturating_add(1));
        let mut chunk = vec![0; CHUNK];
        let mut look_at = 0;
        loop {
            let read = content.read(&mut chunk).await.map_err(Failed::Read)?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
            if bytes > at_most {
                return Err(Failed::TooLarge(at_most));
            }
            if bytes >= look_at {
                self.ensure_room().await?;
                look_at = bytes + LOOK_AGAIN;
            }
            hash.update(&chunk[..read]);
            out.write_all(&chunk[..read]).await.map_err(Failed::Write)?;
        }
        out.flush().await.map_err(Failed::Write)?;
        out.sync_all().await.map_err(Failed::Write)?;
        drop(out);
        let id = MediaId::of_hash(hash.finalize().into());
        let place = self.place(id);
        blocking(move || settle(file, &place)).await.map_err(Failed::Write)?;
        Ok(Stored { id, bytes })
    }

    /// Refuses to fill the disk up.
    async fn ensure_room(&self) -> Result<(), Failed> {
        let root = self.root.clone();
        let looked = blocking(move || Ok(rustix::fs::statvfs(root)?)).await;
        let disk = looked.map_err(Failed::Write)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        let usual = KEPT_FREE.min(bytes(disk.f_blocks) / 20);
        let least = self.kept_free.unwrap_or(usual);
        if bytes(disk.f_bavail) < least { Err(Failed::NoRoom(least)) } else { Ok(()) }
    }
}

/// Gives a written file its name. The same content may have it already: then it is replaced by itself.
fn settle(file: NamedTempFile, place: &Path) -> io::Result<()> {
    let folder = place.parent().unwrap_or(place);
    std::fs::create_dir_all(folder)?;
    file.persist(place).map_err(|error| error.error)?;
    // The name is durable when its folder is.
    std::fs::File::open(folder)?.sync_all()
}

/// What was put before a time, in the order of ids: one of the 256 folders after the other.
fn kept(root: &Path, from: MediaId, before: SystemTime, limit: usize) -> io::Result<Vec<MediaId>> {
    let mut found = Vec::new();
    for folder in from.hash()[0]..=u8::MAX {
        let mut here = Vec::new();
        for (name, _) in old_files(&root.join(format!("{folder:02x}")), before)? {
            here.extend(name.parse::<MediaId>().ok().filter(|id| *id >= from));
        }
        here.sort_unstable();
        found.extend(here);
        if found.len() >= limit {
            found.truncate(limit);
            break;
        }
    }
    Ok(found)
}

/// Takes away what a crash left of files that were coming in.
fn tidy(coming: &Path, before: SystemTime) -> io::Result<()> {
    for (_, path) in old_files(coming, before)? {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != Io::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The files of a folder that were last written before a time; none if there is no such folder.
fn old_files(folder: &Path, before: SystemTime) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == Io::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut old = Vec::new();
    for entry in entries {
        let entry = entry?;
        let facts = match entry.metadata() {
            Ok(facts) => facts,
            Err(error) if error.kind() == Io::NotFound => continue,
            Err(error) => return Err(error),
        };
        if facts.is_file() && facts.modified()? < before {
            old.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    Ok(old)
}

/// Why content was not taken in.
enum Failed {
    Read(io::Error),
    Write(io::Error),
    TooLarge(u64),
    NoRoom(u64),
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn trouble(action: String, error: io::Error) -> MediaError {
    MediaError::new(ErrorKind::Unavailable, action).caused_by(error)
}

#[async_trait]
impl MediaStore for FolderMedia {
    async fn put(&self, content: MediaReader, at_most: u64) -> Result<Stored, MediaError> {
        self.write(content, at_most).await.map_err(|failed| match failed {
            Failed::Read(error) => trouble("read the content".to_owned(), error),
            Failed::Write(error) => {
                trouble(format!("write to the media folder \"{}\"", self.root.display()), error)
            }
            Failed::NoRoom(least) => {
                let action = format!(
                    "write to the media folder \"{}\": less than {least} bytes are free on its disk",
                    self.root.display()
                );
                MediaError::new(ErrorKind::Unavailable, action)
            }
            Failed::TooLarge(most) => {
                let what =
                    format!("the content has more than {most} bytes, the most that is taken");
                MediaError::new(ErrorKind::Invalid, what)
            }
        })
    }

    async fn open(
        &self,
        id: MediaId,
        range: Option<Range<u64>>,
    ) -> Result<Option<MediaReader>, MediaError> {
        let failed = |error| trouble(format!("read the file {id}"), error);
        let mut file = match File::open(self.place(id)).await {
            Ok(file) => file,
            Err(error) if error.kind() == Io::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let Some(range) = range else { return Ok(Some(Box::new(file))) };
        file.seek(io::SeekFrom::Start(range.start)).await.map_err(failed)?;
        Ok(Some(Box::new(file.take(range.end.saturating_sub(range.start)))))
    }

    async fn size(&self, id: MediaId) -> Result<Option<u64>, MediaError> {
        match tokio::fs::metadata(self.place(id)).await {
            Ok(facts) => Ok(Some(facts.len())),
            Err(error) if error.kind() == Io::NotFound => Ok(None),
            Err(error) => Err(trouble(format!("look at the file {id}"), error)),
        }
    }

    async fn kept(
        &self,
        from: MediaId,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<MediaId>, MediaError> {
        let (root, before) = (self.root.clone(), SystemTime::from(before));
        let looked = blocking(move || {
            tidy(&root.join(COMING), before)?;
            kept(&root, from, before, limit)
        });
        looked.await.map_err(|error| {
            trouble(format!("look through the media folder \"{}\"", self.root.display()), error)
        })
    }

    async fn remove(&self, id: MediaId) -> Result<Applied, MediaError> {
        match tokio::fs::remove_file(self.place(id)).await {
            Ok(()) => Ok(Applied::Applied),
            Err(error) if error.kind() == Io::NotFound => Ok(Applied::Gone),
            Err(error) => Err(trouble(format!("remove the file {id}"), error)),
        }
    }

    async fn link(
        &self,
        _id: MediaId,
        _kind: MediaKind,
        _within: Duration,
    ) -> Result<Option<String>, MediaError> {
        Ok(None)
    }
}
