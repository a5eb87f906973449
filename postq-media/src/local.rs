//! Which paths of the host may be read.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::{MediaReader, MediaSource};

/// Opens paths below folders that whoever runs postq has named; none without any.
///
/// A path is followed to where it really leads before it is compared: neither `..` nor a link leads out.
#[derive(Clone, Debug, Default)]
pub struct Folders {
    allowed: Vec<PathBuf>,
    /// What paths are relative to.
    base: Option<PathBuf>,
}

impl Folders {
    /// These folders and what is below them.
    pub fn new(allowed: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { allowed: allowed.into_iter().collect(), base: None }
    }

    /// Relative paths are meant from here: the folder of an imported file, say.
    #[must_use]
    pub fn relative_to(mut self, base: impl Into<PathBuf>) -> Self {
        self.base = Some(base.into());
        self
    }

    fn find(&self, source: &str) -> Result<PathBuf, Failure> {
        let refuse = |why: &str| {
            Failure::not_published(FailureClass::Content, format!("\"{source}\" {why}"))
        };
        if self.allowed.is_empty() {
            return Err(refuse(
                "is a path, and no folder may be read; add the file with `postqd media add`, or name \
                 its folder in media_folders (POSTQ_MEDIA_FOLDERS)",
            ));
        }
        let path = self.base.as_deref().unwrap_or(Path::new(".")).join(source);
        let path =
            path.canonicalize().map_err(|error| refuse(&format!("cannot be read: {error}")))?;
        let below = |folder: &PathBuf| folder.canonicalize().is_ok_and(|it| path.starts_with(it));
        if !self.allowed.iter().any(below) {
            return Err(refuse(
                "is in none of the folders that may be read: media_folders (POSTQ_MEDIA_FOLDERS)",
            ));
        }
        if !path.is_file() {
            return Err(refuse("is no file"));
        }
        Ok(path)
    }
}

#[async_trait]
impl MediaSource for Folders {
    async fn open(&self, source: &str) -> Result<MediaReader, Failure> {
        let (this, named) = (self.clone(), source.to_owned());
        let found = tokio::task::spawn_blocking(move || this.find(&named)).await;
        let path = found.map_err(|error| {
            Failure::not_published(FailureClass::Internal, format!("look for a file: {error}"))
        })??;
        match tokio::fs::File::open(&path).await {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => {
                let message = format!("\"{source}\" cannot be read: {error}");
                Err(Failure::not_published(FailureClass::Content, message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(folders: &Folders, source: &str) -> String {
        match folders.open(source).await {
            Ok(_) => panic!("{source} was opened"),
            Err(failure) => failure.message,
        }
    }

    #[tokio::test]
    async fn only_what_is_below_an_allowed_folder_is_read() {
        let all = tempfile::tempdir().expect("a folder");
        let (open, secret) = (all.path().join("open"), all.path().join("open-secret"));
        for folder in [&open, &secret] {
            std::fs::create_dir_all(folder.join("sub")).expect("a folder");
            std::fs::write(folder.join("sub/cat.png"), b"cat").expect("a file");
        }
        std::os::unix::fs::symlink(secret.join("sub/cat.png"), open.join("link.png"))
            .expect("a link");
        let folders = Folders::new([open.clone()]).relative_to(&open);

        assert!(folders.open("sub/cat.png").await.is_ok());
        assert!(folders.open(open.join("sub/cat.png").to_str().expect("UTF-8")).await.is_ok());
        for source in ["../open-secret/sub/cat.png", "link.png", "/etc/passwd"] {
            assert!(refused(&folders, source).await.contains("POSTQ_MEDIA_FOLDERS"), "{source}");
        }
        assert!(refused(&folders, "sub").await.contains("is no file"));
        assert!(refused(&folders, "dog.png").await.contains("cannot be read"));
        let none = refused(&Folders::default(), "/etc/passwd").await;
        assert!(none.contains("no folder may be read"), "{none}");
    }
}
