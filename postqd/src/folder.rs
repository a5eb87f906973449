//! Whether the data folder takes what is written: tried, not guessed.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};

/// So much is written, and taken away again: about what a few posts need.
const PROBE: usize = 64 * 1_024;

/// With less than this free, the log beside the database has no room to grow.
const TOO_LITTLE: u64 = 1_024 * 1_024;

/// With less than this free, it is time to make room.
const LITTLE: u64 = 64 * TOO_LITTLE;

/// What was found of a folder that can be written.
#[derive(Debug)]
pub(crate) struct Room {
    /// What to tell a person.
    pub(crate) told: String,
    /// Whether it is time to make room.
    pub(crate) is_little: bool,
}

/// Tries the folder, or the place where it would be made. What is wrong is told with its remedy.
pub(crate) fn probe(folder: &Path) -> anyhow::Result<Room> {
    let place = nearest(folder).map_err(|(path, error)| unusable(&path, &error))?;
    let tried = write(&place).and_then(|()| free(&place));
    let free = tried.map_err(|error| unusable(&place, &error))?;
    let shown = folder.display();
    if free < TOO_LITTLE {
        bail!("\"{shown}\": {} free is too little; {}", size(free), make_room(&place));
    }
    let is_little = free < LITTLE;
    let told = match is_little {
        true => format!("\"{shown}\": only {} free; {}", size(free), make_room(&place)),
        false => {
            let can = if place == folder { "written" } else { "made" };
            format!("\"{shown}\" can be {can}, {} free", size(free))
        }
    };
    Ok(Room { told, is_little })
}

/// Makes the folder, for its owner alone.
pub(crate) fn make(folder: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| match nearest(folder) {
        Ok(above) => unusable(&above, &error),
        Err((path, error)) => unusable(&path, &error),
    })
}

/// The folder, or the nearest one above it that is there.
fn nearest(folder: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
    for path in folder.ancestors() {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match fs::metadata(path) {
            Ok(facts) if facts.is_dir() => return Ok(path.to_owned()),
            Ok(_) => return Err((path.to_owned(), ErrorKind::NotADirectory.into())),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err((path.to_owned(), error)),
        }
    }
    Err((folder.to_owned(), ErrorKind::NotFound.into()))
}

fn write(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".postqd-doctor-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let written = file.write_all(&[0; PROBE]).and_then(|()| file.sync_all());
    let removed = fs::remove_file(&path);
    written.and(removed)
}

fn free(folder: &Path) -> io::Result<u64> {
    let facts = rustix::fs::statvfs(folder)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// What is wrong with a place, and the command that mends it.
fn unusable(path: &Path, error: &io::Error) -> anyhow::Error {
    let shown = path.display();
    let another = "or set POSTQ_DATA_DIR to another folder";
    anyhow!(
        "{}",
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                format!("the disk of \"{shown}\" is full; {}", make_room(path))
            }
            ErrorKind::PermissionDenied => format!(
                "\"{shown}\" cannot be written by this user; sudo chown \"$(id -un)\" '{shown}', \
                 {another}"
            ),
            ErrorKind::ReadOnlyFilesystem => format!(
                "\"{shown}\" is on a disk that is mounted read-only; sudo mount -o remount,rw \"$(df \
                 --output=target '{shown}' | tail -1)\", {another}"
            ),
            ErrorKind::NotADirectory => {
                format!(
                    "\"{shown}\" is a file; move it away: mv '{shown}' '{shown}.old', {another}"
                )
            }
            _ => format!("\"{shown}\" cannot be used ({error}); mend that, {another}"),
        }
    )
}

fn make_room(path: &Path) -> String {
    format!(
        "free some space (df -h '{}' shows it), or move the folder and set POSTQ_DATA_DIR",
        path.display()
    )
}

fn size(bytes: u64) -> String {
    match bytes / 1_024 / 1_024 {
        0 => format!("{} KiB", bytes / 1_024),
        mib @ 1..10_240 => format!("{mib} MiB"),
        mib => format!("{} GiB", mib / 1_024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_folder_is_found_and_a_file_in_the_way_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();

        assert_eq!(nearest(&folder.path().join("a/b")).unwrap(), folder.path());
        assert_eq!(nearest(Path::new("there-is-no-such-folder")).unwrap(), Path::new("."));
        let (named, error) = nearest(&file.join("below")).unwrap_err();
        assert_eq!((named, error.kind()), (file, ErrorKind::NotADirectory));
    }

    #[test]
    fn each_fault_has_its_remedy() {
        for (kind, expected) in [
            (ErrorKind::StorageFull, "the disk of \"/d\" is full; free some space (df -h '/d'"),
            (ErrorKind::PermissionDenied, "chown \"$(id -un)\" '/d'"),
            (ErrorKind::ReadOnlyFilesystem, "mount -o remount,rw"),
            (ErrorKind::NotADirectory, "mv '/d' '/d.old'"),
            (ErrorKind::Interrupted, "POSTQ_DATA_DIR"),
        ] {
            let told = unusable(Path::new("/d"), &kind.into()).to_string();
            assert!(told.contains(expected), "{told} lacks {expected}");
        }
    }

    #[test]
    fn what_was_tried_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();

        write(folder.path()).unwrap();

        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(free(folder.path()).unwrap() > 0);
    }
}
