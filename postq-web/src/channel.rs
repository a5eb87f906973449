//! The channels by which people are told, for the API to show and to try.

use std::sync::Arc;

use postq_core::notifier::Notifier;

/// A channel by which people are told when something needs them.
#[derive(Clone, Debug)]
pub struct Channel {
    /// What tells.
    pub notifier: Arc<dyn Notifier>,
    /// Where it leads, as it may be shown: hosts or addresses, no path and no password. Empty for a log.
    pub to: Vec<String>,
}
