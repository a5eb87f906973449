//! Errors that point at the spot.

use postq_core::error::{ErrorKind, ScheduleError};

/// What an error shows of a text, at most.
const SHOWN: usize = 60;

/// A piece of a text and where it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'a> {
    /// The piece.
    pub(crate) text: &'a str,
    /// Its first character's number in the whole, from 1.
    pub(crate) column: usize,
}

impl<'a> Spot<'a> {
    /// A whole text.
    pub(crate) fn whole(text: &'a str) -> Self {
        Self { text, column: 1 }
    }

    /// From this byte on.
    pub(crate) fn from(self, byte: usize) -> Self {
        let before = self.text.get(..byte).unwrap_or_default().chars().count();
        Self { text: self.text.get(byte..).unwrap_or_default(), column: self.column + before }
    }

    /// Up to this byte.
    pub(crate) fn to(self, byte: usize) -> Self {
        Self { text: self.text.get(..byte).unwrap_or(self.text), ..self }
    }

    /// What stands before and after the first of this character.
    pub(crate) fn split_once(self, at: char) -> Option<(Self, Self)> {
        let byte = self.text.find(at)?;
        Some((self.to(byte), self.from(byte + at.len_utf8())))
    }

    /// The pieces between separators.
    pub(crate) fn split(self, at: char) -> impl Iterator<Item = Self> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let piece = rest.take()?;
            let Some((head, tail)) = piece.split_once(at) else {
                return Some(piece);
            };
            rest = Some(tail);
            Some(head)
        })
    }

    /// The pieces between blanks.
    pub(crate) fn words(self) -> Vec<Self> {
        let mut words = Vec::new();
        let mut rest = self;
        while let Some(start) = rest.text.find(|c: char| !c.is_whitespace()) {
            rest = rest.from(start);
            let end = rest.text.find(char::is_whitespace).unwrap_or(rest.text.len());
            words.push(rest.to(end));
            rest = rest.from(end);
        }
        words
    }

    /// `position 3, "22-4": <problem>`, as an error.
    pub(crate) fn refuse(self, problem: impl AsRef<str>) -> ScheduleError {
        let mut shown: String = self.text.chars().take(SHOWN).collect();
        if shown.len() < self.text.len() {
            shown.push('…');
        }
        let (column, problem) = (self.column, problem.as_ref());
        ScheduleError::new(ErrorKind::Invalid, format!("position {column}, \"{shown}\": {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_knows_its_column_in_characters() {
        let words = Spot::whole("  é *\t5,6").words();

        let columns: Vec<_> = words.iter().map(|word| (word.text, word.column)).collect();
        assert_eq!(columns, [("é", 3), ("*", 5), ("5,6", 7)]);
        let parts: Vec<_> = words[2].split(',').map(|part| (part.text, part.column)).collect();
        assert_eq!(parts, [("5", 7), ("6", 9)]);
    }

    #[test]
    fn a_long_piece_is_cut() {
        let long = "x".repeat(100);

        let error = Spot::whole(&long).refuse("is long").to_string();

        assert_eq!(error, format!("position 1, \"{}…\": is long", "x".repeat(60)));
    }
}
