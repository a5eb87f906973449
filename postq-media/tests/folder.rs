//! The folder passes the published suite; what is left of a crash; a gigabyte in little memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use postq_core::error::ErrorKind;
use postq_core::media::{MediaReader, MediaStore};
use postq_media::FolderMedia;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

async fn fresh() -> (Arc<dyn MediaStore>, TempDir) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let store = FolderMedia::open(folder.path()).await.expect("a writable folder");
    (Arc::new(store), folder)
}

postq_core::media_conformance!(fresh);

fn files(folder: &std::path::Path) -> usize {
    let entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries.map(|it| if it.path().is_dir() { files(&it.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn a_put_leaves_one_file_and_nothing_beside_it() {
    let (store, folder) = fresh().await;

    let put = async |content: &'static [u8], most| store.put(Box::new(content), most).await;
    put(b"cat", 10).await.expect("put");
    put(b"cat", 10).await.expect("again");
    put(b"dog", 2).await.expect_err("too large");

    assert_eq!(files(folder.path()), 1);
}

#[tokio::test]
async fn what_cannot_be_written_says_where() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    std::fs::write(folder.path().join("file"), b"in the way").expect("a file");

    let error = FolderMedia::open(folder.path().join("file")).await.expect_err("no folder");

    assert!(error.to_string().contains("open the media folder"), "{error}");
}

#[tokio::test]
async fn a_disk_is_not_filled_up() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let store = FolderMedia::open(folder.path()).await.expect("a writable folder");
    let put = async |store: &FolderMedia| store.put(Box::new(&b"cat"[..]), 10).await;

    let full = put(&store.clone().keeping_free(u64::MAX)).await.expect_err("no room");

    assert_eq!(full.kind(), ErrorKind::Unavailable);
    assert!(full.to_string().contains("are free on its disk"), "{full}");
    assert_eq!(files(folder.path()), 0);
    put(&store).await.expect("there is room");
}

/// A gigabyte that is nowhere.
struct Zeros(u64);

impl AsyncRead for Zeros {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let give = usize::try_from(self.0).unwrap_or(usize::MAX).min(buf.remaining());
        buf.initialize_unfilled_to(give);
        buf.advance(give);
        self.0 -= give as u64;
        Poll::Ready(Ok(()))
    }
}

/// The most memory that this process ever had.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a high-water mark");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1_024
}

#[tokio::test]
#[ignore = "writes a gigabyte: run with --ignored"]
async fn a_gigabyte_needs_no_more_memory_than_a_page() {
    const GIGABYTE: u64 = 1_024 * 1_024 * 1_024;
    let (store, _folder) = fresh().await;
    let before = most_memory();

    let stored = store.put(Box::new(Zeros(GIGABYTE)), GIGABYTE).await.expect("put");
    let mut back: MediaReader = store.open(stored.id, None).await.expect("open").expect("there");
    let mut chunk = vec![0; 65_536];
    let mut read = 0;
    while let n @ 1.. = back.read(&mut chunk).await.expect("read") {
        read += n as u64;
    }

    assert_eq!(read, GIGABYTE);
    let grown = most_memory() - before;
    assert!(grown < 16 * 1_024 * 1_024, "memory grew by {grown} bytes");
}
