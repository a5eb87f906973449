//! Boards and their sections, by name or by id.
//!
//! Digits are taken for an id. What Pinterest listed is remembered for ten minutes; a name that is not in it
//! is looked for in a new list before it is said to be unknown, and after a Pin was refused for a place that is not
//! there nothing is remembered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postq_core::failure::Failure;
use postq_core::id::AccountId;
use postq_core::options::PostOptions;
use serde::Deserialize;

use crate::client::{Caller, Pinterest, is_id};

/// How long a list is remembered.
const FRESH: Duration = Duration::from_secs(600);
/// Lists that are remembered: of many more accounts than one app commonly has.
const MOST_LISTS: usize = 2_000;
/// Entries asked for at once: Pinterest's most.
const PAGE: &str = "250";
/// Pages of one list: Pinterest allows a user 2,000 boards.
const MOST_PAGES: usize = 8;
/// The longest page.
const MOST_OF_PAGE: usize = 2 * 1_024 * 1_024;
/// Names that are told where the one that was meant is not among them.
const MOST_NAMED: usize = 20;

/// Where a Pin goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The board's id.
    pub(crate) board: String,
    /// The section's id.
    pub(crate) section: Option<String>,
}

/// Why it is not known where a Pin goes.
#[derive(Debug)]
pub(crate) enum Unplaced {
    /// There is no such board or section, in words for its author.
    Wrong(String),
    /// Pinterest could not be asked.
    Failed(Failure),
}

impl From<Failure> for Unplaced {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A board or a section.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Named {
    /// The documentation has sections without one: nothing can go there.
    #[serde(default)]
    id: String,
    name: String,
}

/// One page of them.
#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Named>,
    bookmark: Option<String>,
}

type List = Arc<[Named]>;
/// Whose boards; or whose board's sections.
type Key = (AccountId, Option<String>);

/// What Pinterest listed lately.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<BTreeMap<Key, (Instant, List)>>);

impl Known {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, (Instant, List)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &Key) -> Option<List> {
        let known = self.lock();
        known.get(key).filter(|(at, _)| at.elapsed() < FRESH).map(|(_, list)| list.clone())
    }

    /// Forgets what was listed for an account.
    pub(crate) fn forget(&self, account: AccountId) {
        self.lock().retain(|(own, _), _| *own != account);
    }

    fn put(&self, key: Key, list: List) {
        let mut known = self.lock();
        if known.len() >= MOST_LISTS {
            known.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        if known.len() >= MOST_LISTS {
            known.clear();
        }
        known.insert(key, (Instant::now(), list));
    }
}

/// What is looked for.
pub(crate) struct Wanted<'a> {
    /// "board" or "section".
    pub(crate) what: &'static str,
    /// A name or an id.
    pub(crate) text: &'a str,
    /// The board whose section it is.
    pub(crate) of: Option<&'a str>,
}

impl Pinterest {
    /// Where a Pin with these options goes. Asks Pinterest only where a name is to be found.
    pub(crate) async fn place(
        &self,
        caller: &Caller<'_>,
        account: AccountId,
        options: &PostOptions,
    ) -> Result<Place, Unplaced> {
        let Some(text) = options.text("board").map(str::trim) else {
            return Err(Unplaced::Wrong("the option \"board\" is missing".to_owned()));
        };
        let board = match is_id(text) {
            true => text.to_owned(),
            false => self.find(caller, account, Wanted { what: "board", text, of: None }).await?,
        };
        let section = match options.text("section").map(str::trim) {
            None => None,
            Some(id) if is_id(id) => Some(id.to_owned()),
            Some(text) => {
                let wanted = Wanted { what: "section", text, of: Some(&board) };
                Some(self.find(caller, account, wanted).await?)
            }
        };
        Ok(Place { board, section })
    }

    /// The id of what is wanted.
    pub(crate) async fn find(
        &self,
        caller: &Caller<'_>,
        account: AccountId,
        wanted: Wanted<'_>,
    ) -> Result<String, Unplaced> {
        let key = (account, wanted.of.map(str::to_owned));
        if let Some(list) = self.known.get(&key)
            && let Ok(id) = wanted.among(&list)
        {
            return Ok(id);
        }
        let list: List = caller.list(wanted.of).await?.into();
        self.known.put(key, list.clone());
        wanted.among(&list).map_err(Unplaced::Wrong)
    }
}

impl Caller<'_> {
    /// All boards, or all sections of one.
    async fn list(&self, of: Option<&str>) -> Result<Vec<Named>, Failure> {
        let path = match of {
            None => "/boards".to_owned(),
            Some(board) => format!("/boards/{board}/sections"),
        };
        let (mut all, mut bookmark) = (Vec::new(), None::<String>);
        for _ in 0..MOST_PAGES {
            let mut query = vec![("page_size", PAGE)];
            query.extend(bookmark.as_deref().map(|mark| ("bookmark", mark)));
            let asked = self.get(&path, &query, MOST_OF_PAGE).await;
            let answer = asked.map_err(|lost| lost.into_failure(self.hidden()))?;
            let page: Option<Page> = answer.read().filter(|_| answer.status.is_success());
            let page = page.ok_or_else(|| self.unread(&answer))?;
            all.extend(page.items.into_iter().filter(|item| is_id(&item.id)));
            bookmark = page.bookmark.filter(|mark| !mark.is_empty());
            if bookmark.is_none() {
                break;
            }
        }
        Ok(all)
    }
}

impl Wanted<'_> {
    /// By id if it is one; else by name, exactly or, if that is one alone, without letter case.
    fn among(&self, list: &[Named]) -> Result<String, String> {
        if is_id(self.text) && list.iter().any(|item| item.id == self.text) {
            return Ok(self.text.to_owned());
        }
        let exact = |item: &&Named| !is_id(self.text) && item.name.trim() == self.text;
        let alike = |item: &&Named| {
            !is_id(self.text) && item.name.trim().to_lowercase() == self.text.to_lowercase()
        };
        let mut found: Vec<&Named> = list.iter().filter(exact).collect();
        if found.is_empty() {
            found = list.iter().filter(alike).collect();
        }
        match found.as_slice() {
            [one] => Ok(one.id.clone()),
            [] => Err(self.unknown(list)),
            several => {
                let ids: Vec<&str> = several.iter().map(|item| item.id.as_str()).collect();
                let (what, text, ids) = (self.what, self.text, ids.join(", "));
                Err(format!("several {what}s are named \"{text}\"; give the id: {ids}"))
            }
        }
    }

    fn unknown(&self, list: &[Named]) -> String {
        let (what, text) = (self.what, self.text);
        if list.is_empty() {
            return format!("there is no {what} \"{text}\", and no other one either");
        }
        let names: Vec<String> = list
            .iter()
            .take(MOST_NAMED)
            .map(|item| format!("\"{}\" ({})", item.name, item.id))
            .collect();
        let names = names.join(", ");
        match list.len().saturating_sub(MOST_NAMED) {
            0 => format!("there is no {what} \"{text}\"; there are {names}"),
            more => format!("there is no {what} \"{text}\"; there are {names} and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(text: &str, list: &[(&str, &str)]) -> Result<String, String> {
        let list: Vec<Named> = list
            .iter()
            .map(|(id, name)| Named { id: (*id).into(), name: (*name).into() })
            .collect();
        Wanted { what: "board", text, of: None }.among(&list)
    }

    #[test]
    fn a_board_is_found_by_id_or_name() {
        let boards = [("1", "Cats"), ("2", "cats"), ("3", "Dogs "), ("4", "77")];

        assert_eq!(among("1", &boards), Ok("1".into()));
        assert_eq!(among("cats", &boards), Ok("2".into()), "exactly, before without case");
        assert_eq!(among("DOGS", &boards), Ok("3".into()));
        assert!(among("77", &boards).is_err(), "digits are an id");
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let error = among("Birds", &[("1", "Cats"), ("2", "Dogs")]).expect_err("unknown");
        assert_eq!(error, "there is no board \"Birds\"; there are \"Cats\" (1), \"Dogs\" (2)");
        let error = among("a", &[("1", "A"), ("2", "A")]).expect_err("two");
        assert_eq!(error, "several boards are named \"a\"; give the id: 1, 2");
        let many: Vec<(String, String)> =
            (0..25).map(|n| (n.to_string(), format!("b{n}"))).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert!(among("x", &many).expect_err("unknown").ends_with(" and 5 more"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let known = Known::default();
        for _ in 0..=MOST_LISTS {
            known.put((AccountId::new(), None), Arc::new([]));
        }
        assert!(known.lock().len() <= MOST_LISTS);
    }
}
