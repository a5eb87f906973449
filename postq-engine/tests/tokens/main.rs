//! Tokens are renewed once however many need them, and no chain is lost but where nobody can help it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod connecting;
mod renewing;
mod revoking;
mod running;
mod trouble;
mod world;
