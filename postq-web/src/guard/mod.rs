//! What stands before the handlers, outermost first: correlation, measures, headers, host and origin,
//! time, token and scope, rate limit, repeated requests.

pub(crate) mod access;
pub(crate) mod correlation;
pub(crate) mod headers;
pub(crate) mod limit;
pub(crate) mod measure;
pub(crate) mod once;
pub(crate) mod origin;
pub(crate) mod time;
