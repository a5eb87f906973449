//! Pools: how a store's connections are used.

use std::fmt;

/// How the connections of a pool are used at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// What the pool is for, in a word.
    pub pool: &'static str,
    /// Connections that somebody has.
    pub in_use: usize,
    /// Open ones that nobody has.
    pub idle: usize,
    /// Calls that wait for one.
    pub waiting: usize,
    /// Connections that there may be.
    pub most: usize,
}

/// Tells how the connections of a store are used. It costs no I/O and never blocks.
pub trait Pools: fmt::Debug + Send + Sync + 'static {
    /// Each pool, now.
    fn pools(&self) -> Vec<PoolUse>;
}

const _OBJECT_SAFE: fn(&dyn Pools) = |_| {};
