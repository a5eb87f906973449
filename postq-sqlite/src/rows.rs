//! Row <-> type, for what several tables share: ids, times, words, JSON.

use chrono::{DateTime, Utc};
use postq_core::job::Fence;
use postq_core::store::{Order, Page};
use rusqlite::Row;
use rusqlite::types::{FromSqlError, Type};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// The 16 bytes of an id.
pub(crate) fn blob(id: Uuid) -> [u8; 16] {
    id.into_bytes()
}

/// Microseconds since the epoch.
pub(crate) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// The same of an optional time.
pub(crate) fn some_micros(time: Option<DateTime<Utc>>) -> Option<i64> {
    time.map(micros)
}

/// The time of so many microseconds.
pub(crate) fn time_of(micros: i64) -> rusqlite::Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| rusqlite::Error::from(FromSqlError::OutOfRange(micros)))
}

/// The id in a column.
pub(crate) fn uuid(row: &Row<'_>, column: &str) -> rusqlite::Result<Uuid> {
    row.get(column).map(Uuid::from_bytes)
}

/// The id in a column that may be empty.
pub(crate) fn some_uuid(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Uuid>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Uuid::from_bytes))
}

/// The time in a column.
pub(crate) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<DateTime<Utc>> {
    time_of(row.get(column)?)
}

/// The time in a column that may be empty.
pub(crate) fn some_time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<DateTime<Utc>>> {
    row.get::<_, Option<i64>>(column)?.map(time_of).transpose()
}

/// A fence as SQLite keeps numbers: with a sign.
pub(crate) fn fence_number(fence: Fence) -> i64 {
    i64::try_from(fence.0).unwrap_or(i64::MAX)
}

/// The fence in the column of that name.
pub(crate) fn fence(row: &Row<'_>) -> rusqlite::Result<Fence> {
    row.get::<_, i64>("fence").map(|fence| Fence(fence.unsigned_abs()))
}

/// The JSON in a column.
pub(crate) fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    parsed(row.get_ref(column)?.as_str()?, |text| serde_json::from_str(text))
}

/// The word of an enum in a column.
pub(crate) fn word<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    parsed(row.get_ref(column)?.as_str()?, |word| serde_json::from_value(word.into()))
}

/// The word of an enum in a column that may be empty.
pub(crate) fn some_word<T: DeserializeOwned>(
    row: &Row<'_>,
    column: &str,
) -> rusqlite::Result<Option<T>> {
    let Some(word) = row.get_ref(column)?.as_str_or_null()? else { return Ok(None) };
    parsed(word, |word| serde_json::from_value(word.into())).map(Some)
}

/// The word that serde has for a unit variant.
pub(crate) fn word_of<T: Serialize>(value: T) -> Result<String, serde_json::Error> {
    match serde_json::to_value(value)? {
        serde_json::Value::String(word) => Ok(word),
        other => Ok(other.to_string()),
    }
}

/// Ids as the one parameter of `IN (SELECT unhex(value) FROM json_each(?))`.
pub(crate) fn hex_list(ids: impl IntoIterator<Item = Uuid>) -> String {
    let mut list = String::from("[");
    for (n, id) in ids.into_iter().enumerate() {
        if n > 0 {
            list.push(',');
        }
        list.push('"');
        list.push_str(id.simple().encode_lower(&mut Uuid::encode_buffer()));
        list.push('"');
    }
    list.push(']');
    list
}

/// A limit as SQLite keeps numbers: with a sign.
pub(crate) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A page, as parameters.
#[derive(Clone, Debug)]
pub(crate) struct Paged {
    /// For `id {beyond} ?`. No id sorts before the empty blob, or after one that is longer and full.
    pub(crate) after: Vec<u8>,
    pub(crate) limit: i64,
    order: Order,
}

impl Paged {
    /// The most rows of a page.
    const MOST: usize = 1_000;

    pub(crate) fn of(page: Page) -> Self {
        let limit = i64::try_from(page.limit.min(Self::MOST)).unwrap_or(0);
        let start = match page.order {
            Order::Oldest => Vec::new(),
            Order::Newest => vec![0xff; 17],
        };
        let after = page.after.map_or(start, |after| blob(after).to_vec());
        Self { after, limit, order: page.order }
    }

    /// A statement with `id {beyond} ?` and `ORDER BY id {way}`.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let (beyond, way) = match self.order {
            Order::Oldest => (">", "ASC"),
            Order::Newest => ("<", "DESC"),
        };
        statement.replace("{beyond}", beyond).replace("{way}", way)
    }
}

fn parsed<'a, T, E: std::error::Error + Send + Sync + 'static>(
    text: &'a str,
    parse: impl FnOnce(&'a str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    parse(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
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
    fn a_list_of_ids_is_json() {
        let ids = [Uuid::nil(), Uuid::max()];

        let list: Vec<String> = serde_json::from_str(&hex_list(ids)).unwrap();

        assert_eq!(list, ids.map(|id| id.simple().to_string()));
        assert_eq!(hex_list([]), "[]");
    }
}
