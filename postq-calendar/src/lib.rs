//! When a post goes out: rules, zones, misfire policies, and times as people write them.
//!
//! Everything here is pure: no clock, no I/O, no zone of the host, no environment. The zone database
//! is built in; [`zone::tzdb_version`] tells which one.
//!
//! | item | what it is |
//! |---|---|
//! | [`Calendar`] | resolves schedules to occurrences, misfire policies applied |
//! | [`Rule`] | one rule: its occurrences, what it says in words, whether it is too often |
//! | [`Kind`] | a rule as people write it: a kind and a text |
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
//! assert_eq!(Calendar::new().next(&schedule, None)?, Some(at));
//! assert_eq!(Calendar::new().next(&schedule, Some(at))?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What all rules have in common
//!
//! An occurrence is strictly later than the instant that is asked about; occurrences are sorted and
//! distinct. A zone is written down with a rule, never taken from the host. Only names that the database
//! knows are zones: no abbreviations as `EST`, no offsets.
//!
//! # Cron
//!
//! 1. Five fields: minute, hour, day of month, month, day of week. Six: a second first. Seven: a year last,
//!    1970 to 2100, and nothing runs after 2100. `@yearly @annually @monthly @weekly @daily @midnight
//!    @hourly`.
//! 2. Days of the week are 0 to 7, and 0 and 7 are Sunday, in all forms: `5-7`, `6-0`, `SAT-SUN`.
//! 3. Where both day fields are restricted, a day matches by either. A field that begins with `*`, also
//!    `*/2`, or is `?`, is not restricted; then a day must match both.
//! 4. Lists, ranges, steps, names; `a/b` goes to the field's end. Backward ranges, a step larger than the
//!    number of a field's values, and the `L`, `W`, `#`, `H` of other programs are errors with a hint.
//! 5. Where the seconds, minutes or hours begin with `*`, it follows the clocks: nothing in a gap, both passes
//!    of an overlap, in real order.
//! 6. Otherwise it runs once: in a gap at the first instant after it, in an overlap in the first pass.
//! 7. What has no occurrence in the next 40 years is refused by [`Rule::begin`].
//!
//! # RRULE
//!
//! 1. What repeats is what the clocks of `DTSTART`'s zone show, also within a day. In a gap the offset before
//!    it counts, in an overlap the first pass (RFC 5545, 3.3.5); equal instants are one.
//! 2. `COUNT` counts before `EXDATE` and before equal instants are merged. `RDATE` and `EXDATE` are sets of
//!    instants. `DTSTART` belongs to the set only if it matches, or if there is no `RRULE`.
//! 3. `UNTIL` is inclusive: in UTC, or local in `DTSTART`'s zone, or a day to its end. Dates without a zone are
//!    in `DTSTART`'s. A day in `EXDATE` leaves out that local day; a day in `RDATE` needs a `DTSTART` at
//!    midnight.
//! 4. What RFC 5545 forbids is an error, and so are two rules, `COUNT` with `UNTIL`, `EXRULE`, `RSCALE`, what is
//!    not ASCII, a rule of more than 4 KB, and more than 1,000 dates.
//! 5. [`Rule::closest`] tells how often it runs; what is too often is the caller's decision.
//! 6. Every 90 minutes, whatever the clocks do, is an interval: [`Rule::notes`] says so.
//!
//! # What it costs
//!
//! An occurrence takes one to ten microseconds, whatever the age of the rule. Reading an `RRULE` with a `COUNT`
//! walks it once, at most 100,000 occurrences; reading one that never matches looks as far as there are
//! years, some 20 milliseconds.

pub mod duration;
pub mod near;
pub mod zone;

mod at;
mod calendar;
mod cron;
mod even;
mod kind;
mod misfire;
mod recurrence;
mod rule;
mod series;
mod spot;
mod words;

pub use self::at::At;
pub use self::calendar::Calendar;
pub use self::kind::Kind;
pub use self::rule::Rule;
