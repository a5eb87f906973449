//! The words, traits and pure policies of postq; its in-memory reference backend and its
//! conformance suites. Knows no database, no platform and no clock of its own.
//!
//! | module | what is in it |
//! |---|---|
//! | [`id`], [`content`], [`account`], [`schedule`], [`job`] | the words |
//! | [`machine`] | the job state machine |
//! | [`failure`], [`retry`], [`cadence`] | pure policies |
//! | [`metrics`], [`slot`] | what is counted of what is out; when accounts like to publish |
//! | [`price`] | what calls come to where a platform bills by the call |
//! | [`intent`] | intents, receipts, evidence: what keeps a post from going out twice |
//! | [`store`], [`feed`], [`queue`], [`lock`], [`limiter`], [`cache`] | what a backend implements |
//! | [`token`], [`idempotency`] | what an API needs of a backend |
//! | [`node`], [`pool`] | which processes share a store; how its connections are used |
//! | [`media`] | pictures and videos: what they are, where they are kept, what platforms take |
//! | [`webhook`], [`courier`] | who is told of events, and how it gets there |
//! | [`connect`], [`connecting`], [`credentials`] | connecting accounts and renewing what that brought |
//! | [`platform`], [`vault`], [`notifier`], [`clock`] | what else an engine is given |
//! | [`witness`] | finding a post again among an account's own |
//! | [`backend`], [`memory`], [`composed`] | the bundle an adapter makes, the reference one, and a feed over queue and store |
//! | [`fallback`] | going on without a queue or limiter that is away |
//! | `conformance` (feature) | one public test per rule of each trait's contract |
//!
//! ```
//! use postq_core::machine::{JobMachine, JobState, StateMachine};
//!
//! assert!(JobMachine.allows(JobState::Failed, JobState::Running));
//! assert!(!JobMachine.allows(JobState::Succeeded, JobState::Running));
//! ```

pub mod account;
pub mod backend;
pub mod cache;
pub mod cadence;
pub mod clock;
pub mod composed;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod connect;
pub mod connecting;
pub mod content;
pub mod courier;
pub mod credentials;
pub mod error;
pub mod failure;
pub mod fallback;
pub mod feed;
pub mod fit;
pub mod id;
pub mod idempotency;
pub mod intent;
pub mod job;
pub mod limiter;
pub mod lock;
pub mod machine;
pub mod media;
pub mod memory;
pub mod metrics;
pub mod node;
pub mod notifier;
pub mod options;
pub mod platform;
pub mod pool;
pub mod price;
pub mod queue;
pub mod retry;
pub mod schedule;
pub mod slot;
pub mod store;
pub mod token;
pub mod vault;
pub mod webhook;
pub mod witness;
