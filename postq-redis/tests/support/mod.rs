//! A server for a test.

use postq_redis::{Config, Redis};
use uuid::Uuid;

/// What must live as long as the test: a server of its own, unless one was given.
pub(crate) type Keeper = Option<std::sync::Arc<test_servers::Redis>>;

/// A fresh place: on a server of the test's own, or under a prefix of its own on the given one.
pub(crate) fn redis() -> (Redis, Keeper) {
    let (url, keeper) = match test_servers::Redis::given() {
        Some(url) => (url, None),
        None => {
            let server = test_servers::Redis::start();
            (server.url(), Some(server.into()))
        }
    };
    let prefix = format!("test-{}", Uuid::new_v4().simple());
    let config = Config::new(url).with_prefix(prefix);
    (Redis::new(config).expect("settings that fit"), keeper)
}
