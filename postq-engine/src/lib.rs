//! The flows of postq: planning, publishing once, looking before sending again. Knows traits alone.
//!
//! | module | what is in it |
//! |---|---|
//! | [`engine`], [`settings`] | putting an engine together and running it |
//! | `attempt` | **the life of an attempt**, in one function |
//! | `looking` | what is done when nobody knows whether something is out |
//! | `pauses` | how long an app stands still that is refused again and again |
//! | `planner`, `worker`, `keeper`, `sweeper` | the loops |
//! | `polls` | when metrics are polled, and as whose work |
//! | `presence` | what a node tells the others of itself |
//! | [`reseal`] | what is sealed with which key; sealing again with the one in force |
//! | [`tokens`] | credentials that are good for a call: renewed once, however many ask |
//! | `rezone` | what a new zone database moves |
//! | [`health`], [`metrics`], `readings` | when each loop last succeeded, what is measured, what platforms told of limits |
//! | [`analytics`] | what metrics say: pure |
//! | [`prices`] | what calls cost, and a budget |
//! | [`webhooks`] | who else is told of what happens |
//! | [`desk`], [`import`] | how posts and schedules come in |
//! | [`dry_run`], [`platforms`], [`handler`] | what an engine is given |

pub mod analytics;
mod attempt;
pub mod desk;
pub mod dry_run;
pub mod engine;
pub mod handler;
pub mod health;
pub mod import;
mod keeper;
mod looking;
pub mod media;
pub mod metrics;
mod pauses;
mod planner;
pub mod platforms;
mod polls;
mod preflight;
mod presence;
pub mod prices;
mod readings;
pub mod reseal;
mod rezone;
pub mod settings;
mod settle;
mod sweeper;
pub mod tokens;
pub mod webhooks;
mod worker;

pub use self::engine::{BuildError, Engine, EngineBuilder};
pub use self::platforms::Platforms;
pub use self::polls::Polling;
pub use self::presence::NodeFacts;
pub use self::readings::CallsLeft;
pub use self::settings::{Settings, TopicWorkers};
pub use self::settle::{Report, ReportResult};
pub use self::tokens::{Tokens, Unusable, Usable};
