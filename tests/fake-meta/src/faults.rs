//! What goes wrong.

use std::collections::VecDeque;
use std::time::Duration;

/// What may happen to one creating call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is accepted and answered.
    Ok,
    /// The connection is cut, nothing is accepted.
    CutBefore,
    /// It is accepted, then the connection is cut.
    CutAfter,
    /// It is accepted; the answer comes after [`Faults::hang`].
    HangAfter,
    /// 503 with a page of HTML, nothing is accepted.
    UnavailableBefore,
    /// It is accepted, then answered with 503 and a page of HTML.
    UnavailableAfter,
    /// It is accepted, then answered with code 1, which may mean anything.
    UnknownErrorAfter,
    /// It is accepted, then refused with code 100: a lie that no caller can see through.
    RefusedAfter,
    /// It is accepted, then answered with 200 and no id.
    NoData,
    /// The account's limit, with its header.
    LimitedAccount,
    /// The app's limit, without a header.
    LimitedApp,
    /// Code 506: a copy of the last post.
    Duplicate,
    /// The connection is cut at once; it is accepted after [`Faults::late`].
    Late,
}

/// What goes wrong. Nothing, by default.
#[derive(Clone, Debug)]
pub struct Faults {
    /// What happens to the next creating calls, one each; then nothing.
    pub script: VecDeque<Fault>,
    /// How long [`Fault::HangAfter`] hangs. Defaults to 60 s.
    pub hang: Duration,
    /// How long after its request a [`Fault::Late`] one is accepted. Defaults to 300 ms.
    pub late: Duration,
    /// How long lists do not show a new post. Defaults to none.
    pub hide: Duration,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            script: VecDeque::new(),
            hang: Duration::from_secs(60),
            late: Duration::from_millis(300),
            hide: Duration::ZERO,
        }
    }
}
