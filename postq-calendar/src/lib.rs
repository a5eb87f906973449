//! When a post goes out: rules, zones, misfire policies, and times as people write them.
//!
//! Everything here is pure: no clock, no I/O, no zone of the host, no environment. The zone database
//! is built in; [`zone::tzdb_version`] tells which one.
//!
//! | item | what it is |
//! |---|---|
//! | [`Calendar`] | resolves schedules to occurrences, misfire policies applied |
//! | [`duration`] | `90s`, `1h30m`, `PT90M` |
//! | [`At`] | `2026-03-08T09:00Z`, `2026-03-08T09:00` with a zone, `+5s` |
//! | [`zone`] | IANA zones by name, and instants as their people read them |
//! | [`near`] | the known name that a person may have meant |
//!
//! ```
//! use postq_calendar::{At, Calendar};
//! use postq_core::id::PostId;
//! use postq_core::schedule::{Resolver, Schedule, Timing};
//!
//! let now = "2026-03-01T00:00:00Z".parse()?;
//! // Clocks in New York go from 02:00 to 03:00 that night: 02:30 is shifted by the gap.
//! let at = At::parse("2026-03-08T02:30", Some("America/New_York"))?.instant(now)?;
//! assert_eq!(at.to_rfc3339(), "2026-03-08T07:30:00+00:00");
//!
//! let schedule = Schedule::new(PostId::new(), vec![], Timing::OneShot { at, local: None }, now);
//! assert_eq!(Calendar.next(&schedule, None)?, Some(at));
//! assert_eq!(Calendar.next(&schedule, Some(at))?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod duration;
pub mod near;
pub mod zone;

mod at;
mod calendar;
mod misfire;
mod series;

pub use self::at::At;
pub use self::calendar::Calendar;
