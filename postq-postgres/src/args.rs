//! Statement parameters with their types, so that every statement goes out unnamed and in one round
//! trip: planned for its own parameters, and through any pooler.

use chrono::{DateTime, NaiveDate, Utc};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// A parameter.
pub(crate) type Arg<'a> = &'a dyn Typed;

/// What knows its type of Postgres.
pub(crate) trait Typed: Sync {
    fn kind(&self) -> Type;

    fn sql(&self) -> &(dyn ToSql + Sync);
}

/// What there are columns and arrays of.
pub(crate) trait Element: ToSql + Sync {
    const ONE: Type;
    const MANY: Type;
}

macro_rules! elements {
    ($($rust:ty => $one:ident, $many:ident;)*) => {$(
        impl Element for $rust {
            const ONE: Type = Type::$one;
            const MANY: Type = Type::$many;
        }

        impl Typed for $rust {
            fn kind(&self) -> Type {
                Self::ONE
            }

            fn sql(&self) -> &(dyn ToSql + Sync) {
                self
            }
        }
    )*};
}

elements! {
    bool => BOOL, BOOL_ARRAY;
    i16 => INT2, INT2_ARRAY;
    i32 => INT4, INT4_ARRAY;
    i64 => INT8, INT8_ARRAY;
    Uuid => UUID, UUID_ARRAY;
    DateTime<Utc> => TIMESTAMPTZ, TIMESTAMPTZ_ARRAY;
    NaiveDate => DATE, DATE_ARRAY;
    String => TEXT, TEXT_ARRAY;
    &str => TEXT, TEXT_ARRAY;
    &[u8] => BYTEA, BYTEA_ARRAY;
}

impl<T: Element> Element for Option<T> {
    const ONE: Type = T::ONE;
    const MANY: Type = T::MANY;
}

impl<T: Element> Typed for Option<T> {
    fn kind(&self) -> Type {
        T::ONE
    }

    fn sql(&self) -> &(dyn ToSql + Sync) {
        self
    }
}

impl<T: Element> Typed for Vec<T> {
    fn kind(&self) -> Type {
        T::MANY
    }

    fn sql(&self) -> &(dyn ToSql + Sync) {
        self
    }
}

/// The parameters of a statement.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$(&$value as $crate::args::Arg<'_>),*] };
}
pub(crate) use args;
