//! What goes back over a connection, or that nothing does.

use hyper::Response;
use hyper::body::Bytes;

/// What goes back over a connection.
pub type Answer = Response<Bytes>;

/// The connection is cut without an answer: hyper drops it when its service fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is cut")]
pub struct Cut;
