//! The writer under faults that only a look inside can make.

use std::path::PathBuf;
use std::sync::Arc;

use postq_core::clock::SystemClock;
use postq_core::error::{ErrorKind, chain};
use rusqlite::Connection;

use crate::changes::Changes;
use crate::connect;
use crate::error::Fault;
use crate::turn::Turns;
use crate::writer::{Context, Writer};

struct Bench {
    writer: Arc<Writer>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bench.db");
    let wait = std::time::Duration::from_millis(200);
    let conn = connect::unprepared(&path, wait).expect("open");
    connect::prepare_writer(&conn, wait).expect("prepare");
    conn.execute_batch("CREATE TABLE notes (text TEXT NOT NULL UNIQUE)").expect("a table");
    let context = Context {
        path: path.clone(),
        clock: Arc::new(SystemClock),
        changes: Changes::default(),
        turns: Arc::new(Turns::default()),
        urgent: false,
    };
    let writer = Arc::new(Writer::start("bench", conn, context).expect("start"));
    Bench { writer, path, _folder: folder }
}

impl Bench {
    async fn write(&self, text: String) -> Result<(), postq_core::error::StoreError> {
        let insert = "INSERT INTO notes (text) VALUES (?)";
        self.writer.write("write a note", move |tx| Ok(tx.run(insert, [&text]).map(drop)?)).await
    }

    fn notes(&self) -> i64 {
        let conn = Connection::open(&self.path).expect("open");
        conn.query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).expect("count")
    }

    async fn limit_pages(&self, pages: u32) {
        let limit = format!("PRAGMA max_page_count = {pages}");
        self.writer
            .write("limit the file", move |tx| Ok(tx.get(&limit, [], |_| Ok(())).map(drop)?))
            .await
            .expect("limit");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_is_got_over() {
    let bench = bench();
    bench.write("before".to_owned()).await.expect("room for one");
    bench.limit_pages(8).await;

    // Several at once, so that the large ones fail in one group with small ones.
    let large = |n: usize| bench.write(format!("{n}{}", "x".repeat(60_000)));
    let (a, b, small, c) =
        tokio::join!(large(1), large(2), bench.write("small".to_owned()), large(3));

    for result in [a, b, c] {
        let error = result.expect_err("there is no room");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let line = chain(&error);
        assert!(line.contains("free some space"), "{line}");
        assert!(line.contains(&*bench.path.to_string_lossy()), "{line}");
    }
    small.expect("there is room for a small one");
    assert_eq!(bench.notes(), 2, "what was acknowledged is there, what was refused is not");

    bench.limit_pages(100_000).await;
    large(4).await.expect("there is room again");
    assert_eq!(bench.notes(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_or_panicking_piece_spoils_no_other() {
    let bench = bench();
    bench.write("taken".to_owned()).await.expect("first");

    let panics = bench.writer.write("panic", |tx| {
        tx.run("INSERT INTO notes (text) VALUES ('half done')", [])?;
        assert!(tx.boot < 0, "foreign code may panic");
        Ok(())
    });
    let refuses = bench.writer.write("refuse", |tx| {
        tx.run("INSERT INTO notes (text) VALUES ('refused')", [])?;
        Err::<(), _>(Fault::conflict("no"))
    });
    let (good, taken, panicked, refused, last) = tokio::join!(
        bench.write("good".to_owned()),
        bench.write("taken".to_owned()),
        panics,
        refuses,
        bench.write("last".to_owned()),
    );

    good.expect("untouched by the others");
    last.expect("untouched by the others");
    assert_eq!(taken.expect_err("unique").kind(), ErrorKind::Conflict);
    assert_eq!(panicked.expect_err("it panicked").kind(), ErrorKind::Internal);
    assert_eq!(refused.expect_err("it refused").kind(), ErrorKind::Conflict);
    assert_eq!(bench.notes(), 3, "no half of a failed piece is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_caller_leaves_no_transaction_open() {
    let bench = bench();
    for round in 0..50 {
        let (writer, text) = (Arc::clone(&bench.writer), format!("note {round}"));
        let call = tokio::spawn(async move {
            let insert = "INSERT INTO notes (text) VALUES (?)";
            let work = move |tx: &crate::writer::Tx<'_>| Ok(tx.run(insert, [&text]).map(drop)?);
            writer.write("write a note", work).await
        });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        call.abort();
        // The result does not matter: it was aborted, or just before that it was done.
        let _ = call.await;
    }
    bench.write("at the end".to_owned()).await.expect("the writer goes on");

    let other = Connection::open(&bench.path).expect("open");
    other.busy_timeout(std::time::Duration::ZERO).expect("no waiting");
    other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").expect("nobody holds the write lock");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_held_too_long_is_told_to_all_who_wait() {
    let bench = bench();
    let other = Connection::open(&bench.path).expect("open");
    other.execute_batch("BEGIN IMMEDIATE").expect("lock");

    let began = std::time::Instant::now();
    let (a, b, c) = tokio::join!(
        bench.write("a".to_owned()),
        bench.write("b".to_owned()),
        bench.write("c".to_owned()),
    );

    for result in [a, b, c] {
        let error = result.expect_err("locked");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(chain(&error).contains("another process holds the write lock"), "{error}");
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "not one after the other");
    other.execute_batch("ROLLBACK").expect("unlock");
    bench.write("d".to_owned()).await.expect("free again");
}
