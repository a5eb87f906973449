//! From a place in a text to its line and column.

use std::sync::Arc;

use super::cells::Place;

/// Where the lines of a text begin.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    file: Arc<str>,
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(file: &Arc<str>, text: &'a str) -> Self {
        let after_breaks =
            text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        let starts = std::iter::once(0).chain(after_breaks).collect();
        Self { file: Arc::clone(file), text, starts }
    }

    /// The place of a byte.
    pub(super) fn place(&self, byte: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = self.starts[line - 1];
        let before = self.text.get(start..byte).unwrap_or_default();
        Place { file: Arc::clone(&self.file), line, column: before.chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let lines = Lines::new(&Arc::from("f"), "ab\nçd\n");

        assert_eq!(lines.place(0).to_string(), "f:1:1");
        assert_eq!(lines.place(3).to_string(), "f:2:1");
        assert_eq!(lines.place(5).to_string(), "f:2:2");
        assert_eq!(lines.place(7).to_string(), "f:3:1");
    }
}
