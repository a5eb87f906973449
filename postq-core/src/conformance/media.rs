//! The rules of [`MediaStore`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::clock::{Clock, SystemClock};
use crate::error::ErrorKind;
use crate::job::Applied;
use crate::media::{MediaId, MediaReader, MediaStore, whole};

/// Writes one test per rule of [`MediaStore`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! media_conformance {
    ($fresh:expr) => {
        mod media_rules {
            $crate::conformance_rules! { $fresh, media {
                what_was_put_comes_back,
                the_same_content_is_one_file,
                a_range_is_those_bytes,
                what_breaks_off_leaves_nothing,
                what_is_too_large_is_refused,
                what_was_removed_is_gone,
                what_is_kept_is_told_in_order,
            } }
        }
    };
}

const MOST: u64 = 64 * 1_024 * 1_024;

fn content(bytes: usize, seed: u8) -> Vec<u8> {
    let byte = |i: usize| u8::try_from((i * 31 + i / 251) % 251).expect("below 251") ^ seed;
    (0..bytes).map(byte).collect()
}

fn reader(content: &[u8]) -> MediaReader {
    Box::new(std::io::Cursor::new(content.to_vec()))
}

fn id_of(content: &[u8]) -> MediaId {
    MediaId::of_hash(Sha256::digest(content).into())
}

/// Gives some bytes, then fails.
struct Broken(usize);

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let give = self.0.min(buf.remaining());
        if give == 0 {
            return Poll::Ready(Err(std::io::Error::other("the line is dead")));
        }
        buf.put_slice(&vec![7; give]);
        self.0 -= give;
        Poll::Ready(Ok(()))
    }
}

/// What was put is named by its SHA-256, and comes back whole: nothing, a little, and more than any
/// buffer holds.
pub async fn what_was_put_comes_back(store: Arc<dyn MediaStore>) {
    for bytes in [0, 1, 70_000, 9 * 1_024 * 1_024 + 1] {
        let content = content(bytes, 0);

        let stored = store.put(reader(&content), MOST).await.expect("put");

        assert_eq!((stored.id, stored.bytes), (id_of(&content), bytes as u64));
        assert_eq!(store.size(stored.id).await.expect("size"), Some(bytes as u64));
        let back = whole(&*store, stored.id, None, MOST).await.expect("open");
        assert!(back == content, "{bytes} bytes came back otherwise");
    }
    let unknown = id_of(b"never put");
    assert!(store.open(unknown, None).await.expect("open").is_none());
    assert_eq!(store.size(unknown).await.expect("size"), None);
}

/// The same content is one file, however many put it at once.
pub async fn the_same_content_is_one_file(store: Arc<dyn MediaStore>) {
    let content = content(300_000, 1);
    let mut putting = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, reader) = (Arc::clone(&store), reader(&content));
        putting.spawn(async move { store.put(reader, MOST).await.expect("put").id });
    }
    for id in putting.join_all().await {
        assert_eq!(id, id_of(&content));
    }

    let id = id_of(&content);
    assert!(whole(&*store, id, None, MOST).await.expect("open") == content);
    assert_eq!(store.remove(id).await.expect("remove"), Applied::Applied);
    assert_eq!(store.size(id).await.expect("size"), None, "there was one");
}

/// A range is exactly those bytes, also where its end lies past the content's.
pub async fn a_range_is_those_bytes(store: Arc<dyn MediaStore>) {
    let content = content(100_000, 2);
    let id = store.put(reader(&content), MOST).await.expect("put").id;

    for range in [0..1, 99_999..100_000, 4_095..70_001, 0..100_000] {
        let part = whole(&*store, id, Some(range.clone()), MOST).await.expect("open");
        let (from, to) = (range.start as usize, range.end as usize);
        assert!(part == content[from..to], "{range:?}");
    }
    let past = whole(&*store, id, Some(99_990..u64::MAX), MOST).await.expect("open");
    assert_eq!(past, content[99_990..]);
}

/// Content that breaks off leaves nothing behind.
pub async fn what_breaks_off_leaves_nothing(store: Arc<dyn MediaStore>) {
    let failed = store.put(Box::new(Broken(200_000)), MOST).await.expect_err("it broke off");

    assert_eq!(failed.kind(), ErrorKind::Unavailable);
    assert_eq!(store.size(id_of(&[7; 200_000])).await.expect("size"), None);
}

/// Content that is larger than allowed is refused, and not read to its end.
pub async fn what_is_too_large_is_refused(store: Arc<dyn MediaStore>) {
    let content = content(50_000, 3);
    let refused = store.put(reader(&content), 49_999).await.expect_err("one byte too many");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(store.size(id_of(&content)).await.expect("size"), None);
    assert_eq!(store.put(reader(&content), 50_000).await.expect("just fits").bytes, 50_000);

    let endless = Box::new(tokio::io::repeat(1).take(1 << 40));
    let refused = store.put(endless, 100_000).await.expect_err("it has no end");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

/// What was removed is gone, and may be put again.
pub async fn what_was_removed_is_gone(store: Arc<dyn MediaStore>) {
    let (content, other) = (content(10_000, 4), content(10_000, 5));
    let id = store.put(reader(&content), MOST).await.expect("put").id;
    store.put(reader(&other), MOST).await.expect("put");

    assert_eq!(store.remove(id).await.expect("remove"), Applied::Applied);
    assert_eq!(store.remove(id).await.expect("again"), Applied::Gone);

    assert!(store.open(id, None).await.expect("open").is_none());
    assert_eq!(store.size(id_of(&other)).await.expect("size"), Some(10_000));
    assert_eq!(store.put(reader(&content), MOST).await.expect("put again").id, id);
}

/// What is kept is told in the order of ids, from one on, and if it was put before a time.
pub async fn what_is_kept_is_told_in_order(store: Arc<dyn MediaStore>) {
    let mut ids = Vec::new();
    for seed in 6..12 {
        ids.push(store.put(reader(&content(500, seed)), MOST).await.expect("put").id);
    }
    ids.sort_unstable();
    let kept = async |from: MediaId, before: DateTime<Utc>, limit| {
        store.kept(from, before, limit).await.expect("kept")
    };
    // A server's clock may be a little off, and may tell whole seconds.
    let (later, earlier) = (minutes(2), minutes(-2));
    let first = MediaId::of_hash([0; 32]);

    assert_eq!(kept(first, later, 100).await, ids);
    assert_eq!(kept(ids[2], later, 3).await, ids[2..5]);
    let mut past = *ids[5].hash();
    past[31] = past[31].wrapping_add(1);
    assert_eq!(kept(MediaId::of_hash(past), later, 100).await, []);
    assert_eq!(kept(first, earlier, 100).await, [], "they were put just now");
}

fn minutes(from_now: i64) -> DateTime<Utc> {
    SystemClock.now() + TimeDelta::minutes(from_now)
}
