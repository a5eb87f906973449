//! What a command tells: lines for people on standard output, or JSON for programs.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use postq_core::error::chain;
use serde::Serialize;

/// A command, or a configuration, that cannot be: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Where a command's words go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    /// Something could not be written, and that was told. One per process, so that it can be copied.
    lost: &'static AtomicBool,
}

impl Output {
    /// For people, or as JSON.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, lost: Box::leak(Box::default()) }
    }

    /// Whether something of the answer is lost: the disk that it goes to is full, say.
    pub(crate) fn is_lost(self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether a program reads it.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Tells one thing: to people in one line or more, to programs as one value.
    pub(crate) fn tell(self, people: impl Display, programs: &impl Serialize) {
        if self.json {
            self.value(programs);
        } else {
            self.answer(&people.to_string());
        }
    }

    /// Tells programs alone.
    pub(crate) fn emit(self, value: &impl Serialize) {
        if self.json {
            self.value(value);
        }
    }

    /// Tells people alone.
    pub(crate) fn say(self, line: impl Display) {
        if !self.json {
            self.answer(&line.to_string());
        }
    }

    /// Tells people what is not the answer to their question.
    pub(crate) fn note(self, line: impl Display) {
        if !self.json {
            aside(&line.to_string());
        }
    }

    /// Tells everybody what may harm them.
    pub(crate) fn warn(self, line: impl Display) {
        aside(&format!("warning: {line}"));
    }

    /// Shows a list: to people as a table, to programs as one array.
    pub(crate) fn list<T: Serialize, const N: usize>(
        self,
        columns: [&str; N],
        items: &[T],
        row: impl Fn(&T) -> [String; N],
    ) {
        if self.json {
            return self.value(&items);
        }
        let rows: Vec<[String; N]> = items.iter().map(row).collect();
        self.answer(table(columns, &rows).trim_end());
    }

    /// Tells why a command failed.
    pub(crate) fn error(self, error: &anyhow::Error) {
        let line = chain(error.as_ref());
        if self.json {
            self.value(&serde_json::json!({ "error": line }));
        }
        aside(&format!("error: {line}"));
    }

    fn answer(self, line: &str) {
        self.put(&harmless(line));
    }

    fn put(self, line: &str) {
        let Err(error) = write(&mut stdout(), line) else { return };
        if !self.lost.swap(true, Ordering::Relaxed) {
            aside(&format!(
                "error: standard output cannot be written ({error}); what was asked for goes on, and \
                 its answer is lost"
            ));
        }
    }

    fn value(self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(line) => self.put(&without_controls(line)),
            Err(error) => aside(&format!("error: cannot be shown as JSON: {error}")),
        }
    }
}

/// Tells on standard error. If even that cannot be written, there is nobody left to tell.
fn aside(line: &str) {
    let _ = write(&mut stderr(), &harmless(line));
}

/// A text that a terminal only shows: names, posts and answers may come from anybody, and what is a
/// command to a terminal could change its title, its clipboard or what stands there already.
fn harmless(text: &str) -> String {
    let is_command = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    text.chars().map(|c| if is_command(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// JSON in which no control character stands as it is: serde leaves those that JSON lets it.
fn without_controls(json: String) -> String {
    if !json.contains(char::is_control) {
        return json;
    }
    let escaped = |c: char| match c.is_control() {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    json.chars().map(escaped).collect()
}

/// So many of something: `1 row`, `2 rows`.
pub(crate) fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// The name that programs know a value by, in words: `not published`.
pub(crate) fn word(value: &impl Serialize) -> String {
    let name = serde_json::to_value(value).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().replace('_', " ")
}

/// The first line of a text, cut to a width.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= width && line.len() == text.trim_end().len() {
        return line.to_owned();
    }
    let head: String = line.chars().take(width.saturating_sub(1)).collect();
    format!("{head}…")
}

/// A reader that went away, as `head` does, must not stop what is being published: what it does not
/// want to read is not written.
fn write(to: &mut dyn Write, line: &str) -> std::io::Result<()> {
    match writeln!(to, "{line}").and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn table<const N: usize>(columns: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = columns.map(|column| column.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let header = columns.map(str::to_uppercase);
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let gap = width - cell.chars().count() + 2;
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', gap));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_by_characters() {
        let rows = [["é".to_owned(), "x".to_owned()], ["long".to_owned(), String::new()]];

        assert_eq!(table(["a", "b"], &rows), "A     B\né     x\nlong\n");
    }

    #[test]
    fn nothing_that_is_told_commands_a_terminal() {
        let text = "a\x1b[31mé\u{9b}2J\r\x07\u{7f}\n\tb";

        assert_eq!(harmless(text), "a\u{fffd}[31mé\u{fffd}2J\u{fffd}\u{fffd}\u{fffd}\n\tb");
        let json = without_controls(serde_json::to_string(text).unwrap());
        assert!(!json.contains(char::is_control), "{json:?}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn what_is_counted_agrees_with_its_number() {
        assert_eq!(count(0, "row"), "0 rows");
        assert_eq!(count(1, "row"), "1 row");
        assert_eq!(count(2, "row"), "2 rows");
    }

    #[test]
    fn a_value_is_told_in_words() {
        use postq_core::intent::IntentState;
        use postq_core::job::Resolution;

        assert_eq!(word(&IntentState::NotPublished), "not published");
        assert_eq!(word(&Resolution::MarkedPublished), "marked published");
    }

    #[test]
    fn a_cut_text_says_so() {
        assert_eq!(cut("short", 10), "short");
        assert_eq!(cut("two\nlines", 10), "two…");
        assert_eq!(cut("much too long", 5), "much…");
    }
}
