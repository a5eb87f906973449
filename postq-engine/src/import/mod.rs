//! Content calendars: posts written in CSV, TOML or JSON files.
//!
//! | format | rows |
//! |---|---|
//! | `.csv` | a header names the columns, in any order |
//! | `.toml` | one table `[[post]]` each |
//! | `.json` | a list of objects |
//!
//! | field | what it is |
//! |---|---|
//! | `key` | a stable name: what is loaded again under it is the same post |
//! | `at` | once: `2026-03-08T09:00Z`, `2026-03-08T09:00` with `tz`, or `+5s` from loading |
//! | `every` | again and again: `1h30m`; the first at `at`, or at once |
//! | `cron` | again and again: `0 9 * * 1-5`, in the zone `tz`; none before `at` |
//! | `count`, `until` | where that ends |
//! | `rrule` | content lines of RFC 5545, `DTSTART` among them; line breaks, or `\n` between |
//! | `tz` | the IANA zone of local times, and of rules |
//! | `accounts` | names, `;` between; `dry_run:NAME` needs no set-up |
//! | `text` | the parts of a thread are divided by a line `---` |
//! | `media`, `alt` | paths (below the calendar's folder, or absolute), `media:` ids or URLs, and what they show, `;` between |
//! | `fit` | what is done with a text that is too long for a platform: `shorten` or `thread` |
//! | `priority` | higher goes first |
//! | `reddit.subreddit` | what else a platform wants to know: its name, a dot, and the option; a list has `,` between |
//! | `variants.x` | the text for one platform, with the same media, instead of `text` |
//!
//! In TOML and JSON, `accounts`, `text` (the parts), `rrule` (the lines), `media` and `alt` may also be
//! lists, and options are in a table of their platform: `[post.options.reddit]`, `{"options": {"reddit": {}}}`;
//! texts for single platforms likewise: `[post.variants]`, `{"variants": {"x": "..."}}`.
//!
//! [`Desk::plan_import`](crate::desk::Desk::plan_import) reads files and tells what would happen
//! ([`plan_import_of`](crate::desk::Desk::plan_import_of) has them read already);
//! [`Desk::apply_import`](crate::desk::Desk::apply_import) makes it so. All errors of all files are told at once, each with its
//! place. If there is one, nothing at all is loaded, unless bad rows are to be skipped.

mod apply;
mod cells;
mod compare;
mod csv;
mod json;
mod lines;
mod options;
mod plan;
mod read;
mod row;
#[cfg(test)]
mod tests;
mod toml;
mod twins;

pub use self::apply::{Loaded, LoadedRow};
pub use self::cells::Place;
pub use self::plan::{Action, Extent, FileProblem, Plan, PlannedRow};
pub use self::read::{CalendarFile, LocalMedia};
