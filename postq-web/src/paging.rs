//! Pages: a list is read from a cursor on, and what is added meanwhile shifts nothing.

use postq_core::store::{Order, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::problem::Problem;

/// The most that one page shows.
pub(crate) const MOST: usize = 500;

const USUAL: usize = 50;

/// Which page of a list is asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// At most so many; 50 if left out.
    #[param(minimum = 1, maximum = 500)]
    pub(crate) limit: Option<usize>,
    /// `next` of the page before; from the start if left out.
    pub(crate) cursor: Option<String>,
    /// Which way the list goes; `oldest` first if left out. A cursor goes on the way of its page.
    #[param(inline)]
    pub(crate) order: Option<Way>,
}

/// Which way a list goes.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    Oldest,
    Newest,
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Listed<T> {
    /// What is on it.
    pub(crate) items: Vec<T>,
    /// The cursor of the next page; null where there is none.
    pub(crate) next: Option<String>,
}

/// The same where a query has fields of its own.
pub(crate) fn paged(
    limit: Option<usize>,
    cursor: Option<&str>,
    order: Option<Way>,
) -> Result<Paged, Problem> {
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid("limit", format!("is {limit}, expected 1 to {MOST}")));
    }
    let after = cursor.map(str::parse::<Uuid>).transpose().map_err(|_| {
        Problem::invalid("cursor", "is none of this list; expected `next` of the page before")
    })?;
    let order = match order {
        Some(Way::Newest) => Order::Newest,
        Some(Way::Oldest) | None => Order::Oldest,
    };
    Ok(Paged(Page { after, ..Page::first(limit).ordered(order) }))
}

/// A page that was found good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paged(Page);

impl Paging {
    pub(crate) fn page(&self) -> Result<Paged, Problem> {
        paged(self.limit, self.cursor.as_deref(), self.order)
    }
}

impl Paged {
    /// One more than is asked for: so that it is known whether there is a next page.
    pub(crate) fn and_one(self) -> Page {
        Page { limit: self.0.limit + 1, ..self.0 }
    }

    /// The page of what was found so.
    pub(crate) fn list<F, T>(
        self,
        mut found: Vec<F>,
        id: impl Fn(&F) -> Uuid,
        show: impl FnMut(F) -> T,
    ) -> Listed<T> {
        let more = found.len() > self.0.limit;
        found.truncate(self.0.limit);
        let next = found.last().filter(|_| more).map(|last| id(last).to_string());
        Listed { items: found.into_iter().map(show).collect(), next }
    }

    /// The page of a list that was loaded as a whole, in any order.
    pub(crate) fn of_all<F, T>(
        self,
        mut all: Vec<F>,
        id: impl Fn(&F) -> Uuid,
        show: impl FnMut(F) -> T,
    ) -> Listed<T> {
        all.sort_by_key(&id);
        let found = self.and_one().of(all.into_iter(), &id);
        self.list(found, id, show)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_next_page_only_if_there_is_more() {
        let ids: Vec<Uuid> = (1..=5).map(Uuid::from_u128).rev().collect();
        let page = |cursor: Option<&str>| {
            paged(Some(2), cursor, None).unwrap().of_all(ids.clone(), |id| *id, |id| id.as_u128())
        };

        let first = page(None);
        let second = page(first.next.as_deref());
        let third = page(second.next.as_deref());

        assert_eq!([first.items, second.items].concat(), [1, 2, 3, 4]);
        assert_eq!((third.items, third.next), (vec![5], None));
        assert!(paged(Some(0), None, None).is_err() && paged(None, Some("x"), None).is_err());
    }

    #[test]
    fn the_newest_come_first_on_the_other_way() {
        let ids: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
        let page = |cursor: Option<&str>| {
            let page = paged(Some(2), cursor, Some(Way::Newest)).unwrap();
            page.of_all(ids.clone(), |id| *id, |id| id.as_u128())
        };

        let first = page(None);
        let second = page(first.next.as_deref());

        assert_eq!((first.items, second.items, second.next), (vec![3, 2], vec![1], None));
    }
}
