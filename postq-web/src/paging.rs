//! Pages: a list is read from a cursor on, and what is added meanwhile shifts nothing.

use postq_core::store::Page;
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
}

/// A page of a list, oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Listed<T> {
    /// What is on it.
    pub(crate) items: Vec<T>,
    /// The cursor of the next page; null where there is none.
    pub(crate) next: Option<String>,
}

/// The same where a query has fields of its own.
pub(crate) fn paged(limit: Option<usize>, cursor: Option<&str>) -> Result<Paged, Problem> {
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid("limit", format!("is {limit}, expected 1 to {MOST}")));
    }
    let after = cursor.map(str::parse::<Uuid>).transpose().map_err(|_| {
        Problem::invalid("cursor", "is none of this list; expected `next` of the page before")
    })?;
    Ok(Paged { after, limit })
}

/// A page that was found good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paged {
    after: Option<Uuid>,
    limit: usize,
}

impl Paging {
    pub(crate) fn page(&self) -> Result<Paged, Problem> {
        paged(self.limit, self.cursor.as_deref())
    }
}

impl Paged {
    /// One more than is asked for: so that it is known whether there is a next page.
    pub(crate) fn and_one(self) -> Page {
        Page { after: self.after, limit: self.limit + 1 }
    }

    /// The page of what was found so.
    pub(crate) fn list<F, T>(
        self,
        mut found: Vec<F>,
        id: impl Fn(&F) -> Uuid,
        show: impl FnMut(F) -> T,
    ) -> Listed<T> {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
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
        all.retain(|one| self.after.is_none_or(|after| id(one) > after));
        all.sort_by_key(&id);
        self.list(all, id, show)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_next_page_only_if_there_is_more() {
        let ids: Vec<Uuid> = (1..=5).map(Uuid::from_u128).rev().collect();
        let page = |cursor: Option<&str>| {
            paged(Some(2), cursor).unwrap().of_all(ids.clone(), |id| *id, |id| id.as_u128())
        };

        let first = page(None);
        let second = page(first.next.as_deref());
        let third = page(second.next.as_deref());

        assert_eq!([first.items, second.items].concat(), [1, 2, 3, 4]);
        assert_eq!((third.items, third.next), (vec![5], None));
        assert!(paged(Some(0), None).is_err() && paged(None, Some("x")).is_err());
    }
}
