//! What the API shows and takes, apart from how postq keeps it.

pub(crate) mod account;
pub(crate) mod analytics;
pub(crate) mod calendar;
pub(crate) mod connect;
pub(crate) mod cost;
pub(crate) mod import;
pub(crate) mod job;
pub(crate) mod media;
pub(crate) mod post;
pub(crate) mod preview;
pub(crate) mod publication;
pub(crate) mod schedule;
pub(crate) mod token;
pub(crate) mod webhook;
