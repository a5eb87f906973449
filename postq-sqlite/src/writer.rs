//! The writer: one thread that commits in groups.
//!
//! Callers send pieces of work over a bounded queue. The thread opens one transaction, runs all that
//! is waiting, each piece in a savepoint of its own, commits once, and only then answers. One
//! `fsync` serves the whole group; a piece that fails spoils no other; and as a transaction begins
//! and ends on this thread, a caller that goes away leaves none open.
//!
//! If the commit itself fails (a full disk), the pieces are run again one by one: each then fails or
//! succeeds for itself. So every piece must be repeatable: `Fn`, not `FnOnce`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use postq_core::clock::Clock;
use postq_core::error::{ErrorKind, StoreError};
use postq_core::pool::PoolUse;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::boot;
use crate::changes::{About, Changes};
use crate::error::Fault;
use crate::rows::micros;
use crate::turn::Turns;

/// Pieces of work that may wait; more callers wait in line for a place.
const WAITING: usize = 1_024;

/// A group is closed at this many pieces, or after this time: what waits behind it must not wait long.
const GROUP: usize = 256;
const GROUP_TIME: Duration = Duration::from_millis(4);

/// What a piece of work sees: the open transaction and the time at which it runs.
pub(crate) struct Tx<'a> {
    conn: &'a Connection,
    /// The wall-clock time: decides what is due.
    pub(crate) now: DateTime<Utc>,
    /// Milliseconds since boot: decides whose lease has ended.
    pub(crate) boot: i64,
    touched: RefCell<BTreeSet<i64>>,
    woke: Cell<Woke>,
}

/// Whom a piece of work wakes once it is committed.
#[derive(Clone, Copy, Debug, Default)]
struct Woke {
    workers: bool,
    planners: bool,
}

impl Woke {
    fn and(self, other: Self) -> Self {
        Self { workers: self.workers | other.workers, planners: self.planners | other.planners }
    }
}

impl<'a> Tx<'a> {
    pub(crate) fn new(conn: &'a Connection, now: DateTime<Utc>) -> Self {
        let (touched, woke) = (RefCell::default(), Cell::default());
        Self { conn, now, boot: boot::millis(), touched, woke }
    }

    /// Executes a statement; answers how many rows it changed.
    pub(crate) fn run(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.conn.prepare_cached(sql)?.execute(params)
    }

    /// The first row, if there is one.
    pub(crate) fn get<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.conn.prepare_cached(sql)?.query_row(params, read).optional()
    }

    /// Whether there is a row.
    pub(crate) fn has(&self, sql: &str, params: impl Params) -> rusqlite::Result<bool> {
        self.conn.prepare_cached(sql)?.exists(params)
    }

    /// All rows.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.conn.prepare_cached(sql)?.query_map(params, read)?.collect()
    }

    /// The rows that can be read; and those that cannot, by the bytes of their column `id`, with why:
    /// one bad row must not take the others with it.
    pub(crate) fn readable<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<(Vec<T>, Vec<Unreadable>), Fault> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        self.walk(sql, params, |row| {
            match read(row).map_err(Fault::from) {
                Ok(read) => good.push(read),
                Err(fault) if fault.is_unreadable() => {
                    let (id, why) = (row.get("id")?, format!("its row cannot be read: {fault}"));
                    tracing::error!(id = %uuid::Uuid::from_bytes(id), why, "set aside");
                    bad.push((id, why));
                }
                Err(Fault::Sql(error)) => return Err(error),
                Err(Fault::Refused(_, what)) => {
                    return Err(rusqlite::Error::ToSqlConversionFailure(what.into()));
                }
            }
            Ok(true)
        })?;
        Ok((good, bad))
    }

    /// Makes a job whose row cannot be read a dead letter; the row is kept for whoever repairs it.
    pub(crate) fn set_job_aside(&self, id: [u8; 16], why: &str) -> Result<(), Fault> {
        let event =
            "INSERT INTO job_events (job_id, seq, at, from_state, to_state, fence, node, reason)
             SELECT id, events, ?2, state, 'dead_letter', fence, NULL, ?3 FROM jobs WHERE id = ?1";
        self.run(event, rusqlite::params![id, micros(self.now), why])?;
        let dead = "UPDATE jobs SET state = 'dead_letter', dead_reason = 'missing', reason = ?3,
                 finished_at = ?2, events = events + 1 WHERE id = ?1";
        self.run(dead, rusqlite::params![id, micros(self.now), why])?;
        Ok(())
    }

    /// The rows for as long as `read` wants more.
    pub(crate) fn walk(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            if !read(row)? {
                break;
            }
        }
        Ok(())
    }

    /// Notes that the cached head of this lane must be refreshed before the piece ends.
    pub(crate) fn touch(&self, lane: i64) {
        self.touched.borrow_mut().insert(lane);
    }

    /// Notes that a job may be claimable that was not.
    pub(crate) fn wake(&self) {
        self.woke.set(Woke { workers: true, ..self.woke.get() });
    }

    /// Notes that there may be something to plan that there was not.
    pub(crate) fn wake_planner(&self) {
        self.woke.set(Woke { planners: true, ..self.woke.get() });
    }

    pub(crate) fn refresh_touched(&self) -> Result<(), Fault> {
        for lane in self.touched.take() {
            self.refresh_lane(lane)?;
        }
        Ok(())
    }
}

/// The id of a row that cannot be read, and why.
pub(crate) type Unreadable = ([u8; 16], String);

/// The sending side of a writer thread.
pub(crate) struct Writer {
    path: PathBuf,
    places: Arc<Semaphore>,
    sender: Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a writer thread is given.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) path: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) changes: Changes,
    pub(crate) turns: Arc<Turns>,
    pub(crate) urgent: bool,
}

enum Message {
    Work(Box<dyn Piece>),
    Stop,
}

impl Writer {
    /// Starts the thread on this connection.
    pub(crate) fn start(name: &str, conn: Connection, context: Context) -> Result<Self, Fault> {
        let (sender, receiver) = channel();
        let path = context.path.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || serve(conn, &receiver, &context))
            .map_err(|error| {
                let what = format!("the thread \"{name}\" cannot be started: {error}");
                Fault::Refused(ErrorKind::Unavailable, what)
            })?;
        let places = Arc::new(Semaphore::new(WAITING));
        Ok(Self { path, places, sender, thread: Mutex::new(Some(thread)) })
    }

    /// Runs the work in the next group and answers when it is committed. Dropping the future before
    /// the work began leaves it undone; afterwards it runs to its end.
    pub(crate) async fn write<T, W>(&self, action: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Fn(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let closed =
            || StoreError::new(ErrorKind::Unavailable, format!("{action}: the store is closed"));
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let piece = Typed { action, work, done: None, reply, place };
        self.sender.send(Message::Work(Box::new(piece))).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// How it is used now: what is handed to it is done one after the other, in groups.
    pub(crate) fn usage(&self) -> PoolUse {
        let handed_in = WAITING - self.places.available_permits().min(WAITING);
        let in_use = handed_in.min(1);
        PoolUse { pool: "writer", in_use, idle: 1 - in_use, waiting: handed_in - in_use, most: 1 }
    }

    /// Does what is waiting, then ends the thread and waits for it. Blocks.
    pub(crate) fn stop(&self) {
        // An error means that the thread has ended already.
        let _ = self.sender.send(Message::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(path = %self.path.display(), "the writer thread panicked");
        }
    }
}

/// A piece of work with the way to answer it.
trait Piece: Send {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
    /// Runs it and keeps its result.
    fn run(&mut self, tx: &Tx<'_>) -> Result<(), Fault>;
    /// Answers it: with its result, or why it failed.
    fn answer(self: Box<Self>, path: &Path, failed: Option<Fault>);
}

struct Typed<T, W> {
    action: &'static str,
    work: W,
    done: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    place: OwnedSemaphorePermit,
}

impl<T, W> Piece for Typed<T, W>
where
    T: Send,
    W: Fn(&Tx<'_>) -> Result<T, Fault> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, tx: &Tx<'_>) -> Result<(), Fault> {
        let run = AssertUnwindSafe(|| {
            let done = (self.work)(tx)?;
            tx.refresh_touched()?;
            Ok(done)
        });
        // A panic here (a resolver is foreign code) must not end the only writer.
        let done = catch_unwind(run)
            .unwrap_or_else(|_| Err(Fault::internal("the work panicked; see the log")))?;
        self.done = Some(done);
        Ok(())
    }

    fn answer(self: Box<Self>, path: &Path, failed: Option<Fault>) {
        drop(self.place);
        let result = match (failed, self.done) {
            (None, Some(done)) => Ok(done),
            (Some(fault), _) => Err(fault.during(self.action, path)),
            (None, None) => Err(Fault::internal("the work was not run").during(self.action, path)),
        };
        // Whoever went away needs no answer.
        let _ = self.reply.send(result);
    }
}

fn serve(mut conn: Connection, receiver: &Receiver<Message>, context: &Context) {
    let mut open = true;
    while open {
        match receiver.recv() {
            Ok(Message::Work(first)) => open = serve_group(&mut conn, first, receiver, context),
            Ok(Message::Stop) | Err(_) => open = false,
        }
    }
    // What was sent before the end is done as well.
    while let Ok(Message::Work(piece)) = receiver.try_recv() {
        alone(&conn, piece, context);
    }
    checkpoint(&conn);
}

/// Moves the log into the file, so that a clean close leaves one file behind. Whether it succeeds
/// does not matter: the log is as durable as the file.
fn checkpoint(conn: &Connection) {
    if let Err(error) = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
        tracing::debug!(%error, "the log was not moved into the file");
    }
}

type Outcome = (Box<dyn Piece>, Option<Fault>);

/// Serves one group; false when the last message was to stop.
fn serve_group(
    conn: &mut Connection,
    first: Box<dyn Piece>,
    receiver: &Receiver<Message>,
    context: &Context,
) -> bool {
    let turn = context.turns.take(context.urgent);
    if let Err(error) = begin(conn) {
        drop(turn);
        return refuse_waiting(first, &error, receiver, context);
    }
    let began = Instant::now();
    let (mut ran, mut open, mut woke) = (Vec::new(), true, Woke::default());
    let mut next = Some(first);
    while let Some(mut piece) = next {
        if !piece.is_abandoned() {
            let (failed, wakes) = in_savepoint(conn, piece.as_mut(), context);
            woke = woke.and(wakes);
            ran.push((piece, failed));
        }
        // SQLite ends the transaction by itself on some errors, among them a full disk.
        if conn.is_autocommit() || ran.len() >= GROUP || began.elapsed() >= GROUP_TIME {
            break;
        }
        next = match receiver.try_recv() {
            Ok(Message::Work(piece)) => Some(piece),
            Ok(Message::Stop) => {
                open = false;
                None
            }
            Err(_) => None,
        };
    }
    let committed = commit(conn);
    drop(turn);
    match committed {
        Ok(()) => answer_all(ran, woke, context),
        Err(error) => after_lost_group(conn, ran, error, context),
    }
    open
}

/// The lock was not to be had in its time. All who wait have waited as long, so all are told now,
/// rather than one after the other.
fn refuse_waiting(
    first: Box<dyn Piece>,
    error: &rusqlite::Error,
    receiver: &Receiver<Message>,
    context: &Context,
) -> bool {
    first.answer(&context.path, Some(Fault::Sql(copy(error))));
    for _ in 0..WAITING {
        match receiver.try_recv() {
            Ok(Message::Work(piece)) => piece.answer(&context.path, Some(Fault::Sql(copy(error)))),
            Ok(Message::Stop) => return false,
            Err(_) => break,
        }
    }
    true
}

/// SQLite's errors cannot be cloned; this keeps what decides about them.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            rusqlite::Error::SqliteFailure(*code, message.clone())
        }
        other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
    }
}

fn answer_all(ran: Vec<Outcome>, woke: Woke, context: &Context) {
    if woke.workers {
        context.changes.bump(About::Jobs);
    }
    if woke.planners {
        context.changes.bump(About::Schedules);
    }
    for (piece, failed) in ran {
        piece.answer(&context.path, failed);
    }
}

/// The group's transaction is lost: nothing of it happened. Those that had failed anyway keep their
/// error; the others get a transaction each.
fn after_lost_group(
    conn: &Connection,
    mut ran: Vec<Outcome>,
    error: rusqlite::Error,
    context: &Context,
) {
    if ran.len() == 1
        && let Some((piece, failed)) = ran.pop()
    {
        return piece.answer(&context.path, Some(failed.unwrap_or(error.into())));
    }
    for (piece, failed) in ran {
        match failed {
            Some(failed) => piece.answer(&context.path, Some(failed)),
            None => alone(conn, piece, context),
        }
    }
}

fn alone(conn: &Connection, mut piece: Box<dyn Piece>, context: &Context) {
    let turn = context.turns.take(context.urgent);
    let outcome = begin(conn).map_err(Fault::from).and_then(|()| {
        let (failed, woke) = in_savepoint(conn, piece.as_mut(), context);
        let committed = commit(conn);
        match failed {
            Some(fault) => Err(fault),
            None => committed.map(|()| woke).map_err(Fault::from),
        }
    });
    drop(turn);
    match outcome {
        Ok(woke) => answer_all(vec![(piece, None)], woke, context),
        Err(fault) => piece.answer(&context.path, Some(fault)),
    }
}

fn begin(conn: &Connection) -> rusqlite::Result<()> {
    // IMMEDIATE: the write lock is taken here, where waiting for it is possible, and not in the
    // middle, where SQLite could only fail.
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
}

fn commit(conn: &Connection) -> rusqlite::Result<()> {
    let committed = conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    if committed.is_err() && !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK")?;
    }
    committed.map(drop)
}

/// Runs a piece; what it did before it failed is taken back. Tells also whom it wakes.
fn in_savepoint(
    conn: &Connection,
    piece: &mut dyn Piece,
    context: &Context,
) -> (Option<Fault>, Woke) {
    let tx = Tx::new(conn, context.clock.now());
    let mut run = || {
        tx.run("SAVEPOINT piece", [])?;
        piece.run(&tx)?;
        tx.run("RELEASE piece", [])?;
        Ok(())
    };
    match run() {
        Ok(()) => (None, tx.woke.get()),
        Err(fault) => {
            take_back(conn);
            (Some(fault), Woke::default())
        }
    }
}

fn take_back(conn: &Connection) {
    if conn.is_autocommit() {
        return;
    }
    if conn.execute_batch("ROLLBACK TO piece; RELEASE piece").is_err() {
        // Half a piece must never be committed with the group.
        let _ = conn.execute_batch("ROLLBACK");
    }
}
