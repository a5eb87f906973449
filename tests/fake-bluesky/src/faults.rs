//! What goes wrong.

/// What may happen to one request to write a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut, nothing is written.
    CutBefore,
    /// It is written, then the connection is cut.
    CutAfter,
    /// It is written; the answer hangs.
    HangAfter,
    /// 503, nothing is written.
    UnavailableBefore,
    /// It is written, then answered with 502.
    UnavailableAfter,
    /// It is written, then answered with 400 `InvalidSwap`, as if somebody else had been faster.
    SwapAfter,
    /// It is written, then answered with 200 and nothing that says so.
    NoData,
    /// 429, with the time at which the limit starts afresh.
    Limited,
    /// The connection is cut at once; it is written 300 ms later.
    Late,
}

/// What may happen to one request to renew a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantFault {
    /// 503, nothing is renewed.
    Unavailable,
    /// The connection is cut, nothing is renewed.
    CutBefore,
    /// It is renewed, then the connection is cut.
    CutAfter,
    /// It is renewed; the answer hangs.
    HangAfter,
}

/// What may happen to one video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoFault {
    /// It is answered as known: 409 with the job that worked on it.
    Known,
    /// The job fails.
    Fails,
    /// The job is answered by itself, and not inside `jobStatus`.
    Bare,
}
