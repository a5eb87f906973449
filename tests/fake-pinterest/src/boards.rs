//! Boards and their sections.

use fake_http::{Answer, form};
use serde_json::{Value, json};

use crate::answers::{answer, invalid, not_found};

/// The boards of every user, by id and name.
pub const BOARDS: [(&str, &str); 2] =
    [("549755885175", "Summer recipes"), ("549755885176", "Travel")];
/// The section of the first board, by id and name.
pub const SECTION: (&str, &str) = ("1000000000001", "Salads");

#[derive(Debug)]
pub(crate) struct Boards {
    /// By id and name.
    all: Vec<(String, String)>,
    /// By board, id and name.
    sections: Vec<(String, String, String)>,
}

impl Default for Boards {
    fn default() -> Self {
        let mut boards = Self { all: Vec::new(), sections: Vec::new() };
        boards.set(&BOARDS);
        let (id, name) = SECTION;
        boards.sections.push((BOARDS[0].0.to_owned(), id.to_owned(), name.to_owned()));
        boards
    }
}

impl Boards {
    pub(crate) fn set(&mut self, boards: &[(&str, &str)]) {
        self.all = boards.iter().map(|&(id, name)| (id.to_owned(), name.to_owned())).collect();
        self.sections.clear();
    }

    pub(crate) fn has(&self, board: &str) -> bool {
        self.all.iter().any(|(id, _)| id == board)
    }

    pub(crate) fn has_section(&self, board: &str, section: &str) -> bool {
        self.sections.iter().any(|(of, id, _)| of == board && id == section)
    }

    /// Answers `GET /v5/boards`.
    pub(crate) fn list(&self, query: &str, user: &str) -> Answer {
        let owner = json!({ "username": user });
        let boards = self.all.iter().map(|(id, name)| {
            json!({
                "id": id, "name": name, "description": null, "privacy": "PUBLIC", "pin_count": 0,
                "created_at": "2024-01-31T12:00:00", "owner": owner,
            })
        });
        page(boards.collect(), query)
    }

    /// Answers `GET /v5/boards/{id}/sections`.
    pub(crate) fn list_sections(&self, board: &str, query: &str) -> Answer {
        if !self.has(board) {
            return not_found("Board not found.");
        }
        let own = self.sections.iter().filter(|(of, ..)| of == board);
        page(own.map(|(_, id, name)| json!({ "id": id, "name": name })).collect(), query)
    }
}

/// The page of a list that a query asks for; a bookmark is a number here.
pub(crate) fn page(items: Vec<Value>, query: &str) -> Answer {
    let (mut size, mut skip) = (25, 0);
    for (name, value) in form(query) {
        let number = value.parse::<usize>();
        match (name.as_str(), number) {
            ("page_size", Ok(number @ 1..=250)) => size = number,
            ("bookmark", Ok(number)) => skip = number,
            _ => return invalid(&format!("The query parameter {name} is not valid.")),
        }
    }
    let more = items.len() > skip + size;
    let page: Vec<Value> = items.into_iter().skip(skip).take(size).collect();
    let bookmark = more.then(|| (skip + size).to_string());
    answer(200, &json!({ "items": page, "bookmark": bookmark }))
}
