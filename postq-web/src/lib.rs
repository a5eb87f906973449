//! A mountable axum router for postq: JSON API, dashboard, live events, health, metrics.
//!
//! | module | what is in it |
//! |---|---|
//! | `web` | [`Web`]: what the router is made of, and what may be set |
//! | `router`, `document` | routes and their OpenAPI document, which are one thing |
//! | `guard` | what stands before the handlers: host and origin, tokens and scopes, limits, repeated requests |
//! | `api`, `views` | the handlers; what they show and take |
//! | `dashboard`, `cookie`, `came_back` | the pages for people, and how their session is kept |
//! | `events`, `others`, `health`, `reach` | live events, of other processes too; probes |
//! | `channel` | by which channels people are told |
//! | `metrics`, `gauges`, `tally` | what Prometheus asks for |
//! | `serve` | [`serve`]: a server with bounds |
//!
//! ```
//! use std::sync::Arc;
//!
//! use postq_core::clock::{Clock, SystemClock};
//! use postq_core::memory::{MemoryBackend, MemoryIdempotency, MemoryTokens};
//! use postq_engine::Engine;
//! use postq_web::Web;
//!
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock);
//! let backend = MemoryBackend::new(Arc::clone(&clock)).backend();
//! let engine = Engine::builder(backend).build().expect("the defaults fit together");
//! let tokens = Arc::new(MemoryTokens::default());
//! let idempotency = Arc::new(MemoryIdempotency::new(clock));
//!
//! let mine = axum::Router::<()>::new();
//! let all = mine.nest("/postq", postq_web::router(Web::new(engine, tokens, idempotency)));
//! # let _: axum::Router = all;
//! ```
//!
//! # Safe by default
//!
//! Every route needs a token of the scope that the document names, and a route that the document does
//! not know is refused. Without a token there is one way in: from this very host, through no proxy,
//! as long as no token was ever made. Requests by a host name that is not listed, and from pages of
//! other origins, are refused. No secret, token or post's text is in a log or an error.

mod answer;
mod api;
mod came_back;
mod channel;
mod cookie;
mod dashboard;
mod document;
mod events;
mod exposition;
mod extract;
mod gauges;
mod guard;
mod health;
mod incoming;
mod metrics;
mod others;
mod own_path;
mod paging;
mod problem;
mod reach;
mod router;
mod secret;
mod serve;
mod tally;
mod views;
mod web;

pub use self::channel::Channel;
pub use self::gauges::GAUGES;
pub use self::guard::access::Trusted;
pub use self::incoming::{Incoming, IncomingEvent};
pub use self::metrics::{RECORDED, Recorded};
pub use self::problem::Cause;
pub use self::reach::Reach;
pub use self::router::{probes, router};
pub use self::secret::{Issued, issue};
pub use self::serve::serve;
pub use self::web::{Identify, Settings, SignIn, Unguarded, Web};
