//! Private servers for tests: real ones, each with a data directory, socket and port of its own.
//!
//! - [`Postgres::shared`] is for tests that only need a server: all test processes share one, each test
//!   works in a schema of its own. `POSTQ_TEST_DATABASE_URL` names another one.
//! - [`Postgres::start`] is for tests that kill, freeze or restart it: it is theirs alone.
//! - [`Redis::start`] is for every test, as it takes milliseconds; [`Redis::given`] tells of another one, named
//!   by `POSTQ_TEST_REDIS_URL`.
//! - [`ChromeDriver::start`] is for tests that use the dashboard, each with a browser of its own.
//! - [`free_port`] is for all that a test starts itself.
//!
//! The server runs as an unprivileged user when the tests run as root. One that cannot be started
//! fails the test: no quiet skip.

mod chromedriver;
mod ports;
mod postgres;
mod process;
mod redis;
mod shared;
mod user;

pub use crate::chromedriver::ChromeDriver;
pub use crate::ports::free_port;
pub use crate::postgres::Postgres;
pub use crate::redis::Redis;
pub use crate::shared::SharedPostgres;
