//! From a place in a text to its line and column.

use std::sync::Arc;

use super::cells::Place;

/// Where the lines of a text begin.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    file: Arc<str>,
    text: &'a str,
    starts: Vec<usize>,
    /// Characters before each block of the text: a file may be one line of megabytes.
    before: Vec<usize>,
}

/// The bytes of a block.
const BLOCK: usize = 1_024;

impl<'a> Lines<'a> {
    pub(super) fn new(file: &Arc<str>, text: &'a str) -> Self {
        let after_breaks =
            text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        let starts = std::iter::once(0).chain(after_breaks).collect();
        let blocks = text.as_bytes().chunks(BLOCK).map(characters);
        let sum = |sum: &mut usize, block: usize| Some(std::mem::replace(sum, *sum + block));
        let before = blocks.chain([0]).scan(0, sum).collect();
        Self { file: Arc::clone(file), text, starts, before }
    }

    /// The characters before a byte.
    fn until(&self, byte: usize) -> usize {
        let block = (byte / BLOCK).min(self.before.len() - 1);
        let rest = self.text.as_bytes().get(block * BLOCK..byte).unwrap_or_default();
        self.before[block] + characters(rest)
    }

    /// The place of a byte.
    pub(super) fn place(&self, byte: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = self.starts[line - 1];
        let column = self.until(byte).saturating_sub(self.until(start)) + 1;
        Place { file: Arc::clone(&self.file), line, column }
    }
}

/// The characters that begin in these bytes of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
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

    #[test]
    fn a_long_line_is_counted_as_a_short_one() {
        let text = format!("\n{}", "aç€".repeat(5 * BLOCK));
        let lines = Lines::new(&Arc::from("f"), &text);

        for (n, (byte, _)) in text.char_indices().skip(1).enumerate() {
            let place = lines.place(byte);
            assert_eq!((place.line, place.column), (2, n + 1), "{byte}");
        }
        let end = lines.place(text.len());
        assert_eq!(end.column, 1 + 15 * BLOCK);
        assert_eq!(Lines::new(&Arc::from("f"), "").place(0).to_string(), "f:1:1");
        let whole = "a".repeat(2 * BLOCK);
        assert_eq!(Lines::new(&Arc::from("f"), &whole).place(2 * BLOCK).column, 2 * BLOCK + 1);
    }
}
