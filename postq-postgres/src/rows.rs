//! Row <-> type, for what several tables share: ids, times, words, JSON, texts.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use postq_core::job::Fence;
use postq_core::store::{Order, Page};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Fault;

/// What is kept of a time: whole microseconds.
pub(crate) fn whole(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}

/// Microseconds of a duration; at most ten years, so that a time and one of them is still a time.
pub(crate) fn micros(duration: Duration) -> i64 {
    const LONGEST: i64 = 10 * 366 * 86_400 * 1_000_000;
    i64::try_from(duration.as_micros()).map_or(LONGEST, |micros| micros.min(LONGEST))
}

/// A fence as Postgres keeps numbers: with a sign.
pub(crate) fn fence_number(fence: Fence) -> i64 {
    i64::try_from(fence.0).unwrap_or(i64::MAX)
}

/// The fence in the column of that name.
pub(crate) fn fence(row: &Row) -> Result<Fence, Fault> {
    Ok(Fence(row.try_get::<_, i64>("fence")?.unsigned_abs()))
}

/// A number that is kept in a wider column.
pub(crate) fn number<T: TryFrom<i64>>(row: &Row, column: &str) -> Result<T, Fault> {
    let wide: i64 = row.try_get(column)?;
    T::try_from(wide).map_err(|_| unreadable(column, &format!("{wide} is out of range")))
}

/// The JSON in a column that was selected as text.
pub(crate) fn json<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T, Fault> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(|error| unreadable(column, &error.to_string()))
}

/// The word of an enum in a column.
pub(crate) fn word<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T, Fault> {
    let word: &str = row.try_get(column)?;
    parse_word(column, word)
}

/// The word of an enum in a column that may be empty.
pub(crate) fn some_word<T: DeserializeOwned>(row: &Row, column: &str) -> Result<Option<T>, Fault> {
    let word: Option<&str> = row.try_get(column)?;
    word.map(|word| parse_word(column, word)).transpose()
}

fn parse_word<T: DeserializeOwned>(column: &str, word: &str) -> Result<T, Fault> {
    serde_json::from_value(word.into()).map_err(|error| unreadable(column, &error.to_string()))
}

/// The word that serde has for a unit variant.
pub(crate) fn word_of<T: Serialize>(value: T) -> Result<String, Fault> {
    match serde_json::to_value(value)? {
        serde_json::Value::String(word) => Ok(word),
        other => Ok(other.to_string()),
    }
}

/// A text that came from outside, as Postgres can keep it: it knows no NUL character.
pub(crate) fn kept(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() }
}

fn unreadable(column: &str, why: &str) -> Fault {
    Fault::Unreadable(format!("column \"{column}\" cannot be read: {why}"))
}

/// A limit as Postgres keeps numbers: with a sign.
pub(crate) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A page, as parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paged {
    /// For `id {beyond} $`. Nothing sorts before the nil id or after the full one, and nothing has them.
    pub(crate) after: Uuid,
    pub(crate) limit: i64,
    order: Order,
}

impl Paged {
    /// The most rows of a page.
    const MOST: usize = 1_000;

    pub(crate) fn of(page: Page) -> Self {
        let limit = i64::try_from(page.limit.min(Self::MOST)).unwrap_or(0);
        let start = match page.order {
            Order::Oldest => Uuid::nil(),
            Order::Newest => Uuid::max(),
        };
        Self { after: page.after.unwrap_or(start), limit, order: page.order }
    }

    /// A statement with `id {beyond} $` and `ORDER BY id {way}`.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let (beyond, way) = match self.order {
            Order::Oldest => (">", "ASC"),
            Order::Newest => ("<", "DESC"),
        };
        statement.replace("{beyond}", beyond).replace("{way}", way)
    }
}

#[cfg(test)]
mod tests {
    use postq_core::job::DeadReason;

    use super::*;

    #[test]
    fn a_word_is_the_one_that_people_see() {
        assert_eq!(word_of(DeadReason::OutcomeUnknown).unwrap(), "outcome_unknown");
    }

    #[test]
    fn a_text_keeps_all_but_nul() {
        assert_eq!(kept("a\0b"), "a\u{FFFD}b");
        assert_eq!(kept("żółw 🦉\n"), "żółw 🦉\n");
    }

    #[test]
    fn an_endless_duration_is_cut() {
        assert!(micros(Duration::MAX) < i64::MAX / 1_000);
        assert_eq!(micros(Duration::from_secs(1)), 1_000_000);
    }
}
