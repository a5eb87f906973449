//! What goes wrong.

use std::time::Duration;

/// How long what hangs takes to be answered: longer than any test waits.
pub(crate) const HANG: Duration = Duration::from_secs(60);
/// How long a slow store takes.
pub(crate) const SLOW: Duration = Duration::from_millis(600);
/// When something late is accepted.
pub(crate) const LATE: Duration = Duration::from_millis(300);

/// What may happen to one request to create a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut, nothing is accepted.
    CutBefore,
    /// It is accepted, then the connection is cut.
    CutAfter,
    /// It is accepted; the answer comes after a minute.
    HangAfter,
    /// 503 with a page, nothing is accepted.
    UnavailableBefore,
    /// It is accepted, then answered with 503 and a page.
    UnavailableAfter,
    /// It is accepted, then answered with 200 and neither errors nor data.
    NoData,
    /// It is accepted, then answered with 200 and a page.
    PageAfter,
    /// The connection is cut at once; it is accepted 300 ms later.
    Late,
    /// The account posts too fast: seconds and a sentence.
    Limited,
}

/// What may happen to one request of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaFault {
    /// No lease is given: 503.
    NoLease,
    /// The connection to the store is cut while a file is sent.
    CutFile,
    /// The store has trouble: 503.
    StoreUnavailable,
    /// The lease has ended: 403.
    LeaseEnded,
    /// The store takes 600 ms for a file.
    SlowStore,
    /// The file is too large for the store.
    TooLarge,
}
