//! What a row means.

use std::num::NonZeroU32;
use std::str::FromStr;

use postq_calendar::{At, duration, zone};
use postq_core::content::{Content, MediaRef, Part};
use postq_core::fit::Fitting;

use crate::desk::{Submission, When};

use super::cells::{Cell, Cells, Place, VARIANTS, Value};
use super::plan::FileProblem;

/// The line that divides the parts of a thread.
const DIVIDER: &str = "---";

/// The fields that make a row repeat: one of them.
const RULES: [&str; 3] = ["every", "cron", "rrule"];

/// A row that was understood.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) cells: Cells,
    pub(super) submission: Submission,
}

impl Row {
    pub(super) fn place(&self) -> &Place {
        &self.cells.place
    }

    /// Where its time is written, and in which field.
    pub(super) fn time_place(&self) -> (Place, &'static str) {
        let field = self.submission.when.field();
        (self.cells.place_of(field).clone(), field)
    }
}

/// What the cells mean; all that is wrong with them is added to the problems.
pub(super) fn read(cells: &Cells, problems: &mut Vec<FileProblem>) -> Option<Row> {
    let mut reader = Reader { cells, problems: Vec::new() };
    let submission = reader.submission();
    let good = reader.problems.is_empty();
    problems.append(&mut reader.problems);
    good.then(|| Row { cells: cells.clone(), submission })
}

struct Reader<'a> {
    cells: &'a Cells,
    problems: Vec<FileProblem>,
}

impl Reader<'_> {
    fn submission(&mut self) -> Submission {
        let tz = self.tz();
        let when = self.when(tz.as_deref());
        Submission {
            key: self.one("key").map(|key| key.trim().to_owned()),
            content: self.content(),
            accounts: self.accounts(),
            tz,
            fitting: self.fit(),
            priority: self.number("priority", "a whole number from -32768 to 32767").unwrap_or(0),
            ..Submission::new(Content::default(), [""; 0], when)
        }
    }

    fn tz(&mut self) -> Option<String> {
        let name = self.one("tz")?;
        zone::check(name.trim()).map_err(|error| self.wrong("tz", error.to_string())).ok()
    }

    fn when(&mut self, tz: Option<&str>) -> When {
        let rules: Vec<_> = RULES.into_iter().filter(|field| self.has(field)).collect();
        if let [first, others @ ..] = rules.as_slice() {
            for other in others {
                self.wrong(other, format!("is there besides {first}; expected one of them"));
            }
        }
        match rules.first() {
            Some(&"rrule") => self.rrule(),
            Some(&rule) => self.repeating(rule, tz),
            None => self.once(tz),
        }
    }

    fn once(&mut self, tz: Option<&str>) -> When {
        for field in ["count", "until"] {
            if self.has(field) {
                self.wrong(field, "is there without every or cron; expected both, or neither");
            }
        }
        if !self.has("at") {
            self.wrong("at", "is missing; expected a time (at), or a rule (every, cron, rrule)");
        }
        self.at("at", tz).map_or(When::Now, When::At)
    }

    /// By `every` or `cron`.
    fn repeating(&mut self, rule: &'static str, tz: Option<&str>) -> When {
        let from = self.at("at", tz);
        let text = self.one(rule).unwrap_or_default();
        let count = self.number::<NonZeroU32>("count", "a whole number from 1");
        let until = self.at("until", tz);
        if rule == "cron" {
            return When::Cron { expr: text.trim().to_owned(), from, count, until };
        }
        let every = duration::parse(&text).map_err(|error| self.wrong(rule, error.to_string()));
        When::Every { every: every.unwrap_or_default(), from, count, until }
    }

    /// The lines of a recurrence, which says itself where it begins and ends.
    fn rrule(&mut self) -> When {
        for (field, instead) in [("at", "DTSTART"), ("count", "COUNT"), ("until", "UNTIL")] {
            if self.has(field) {
                self.wrong(field, format!("is there besides rrule; write it as its {instead}"));
            }
        }
        let expr = match self.cells.by_field.get("rrule").map(|cell| &cell.value) {
            Some(Value::One(text)) => text.trim().to_owned(),
            Some(Value::Many(lines)) => lines.join("\n"),
            None => String::new(),
        };
        When::Rrule { expr }
    }

    fn at(&mut self, field: &'static str, tz: Option<&str>) -> Option<At> {
        let text = self.one(field)?;
        match At::parse(&text, tz) {
            Ok(at) => Some(at),
            // With a zone that is not known, which was told already, any zone shows the rest.
            Err(_) if tz.is_none() && self.has("tz") && At::parse(&text, Some("UTC")).is_ok() => {
                None
            }
            Err(error) => {
                self.wrong(field, error.to_string());
                None
            }
        }
    }

    fn fit(&mut self) -> Option<Fitting> {
        match self.one("fit")?.trim() {
            "shorten" => Some(Fitting::Shorten),
            "thread" => Some(Fitting::Thread),
            other => {
                self.wrong("fit", format!("\"{other}\" cannot be; expected shorten or thread"));
                None
            }
        }
    }

    fn accounts(&mut self) -> Vec<String> {
        let names = self.list("accounts");
        if names.is_empty() {
            self.wrong("accounts", "is missing; expected account names, with ; between");
        }
        names
    }

    fn content(&mut self) -> Content {
        let cells = self.cells;
        let media = self.media();
        let has_options = cells.options.values().any(|cell| !cell.is_empty());
        // A title or a link may be all that there is: its platform says whether that will do.
        let text = cells.by_field.get("text").filter(|cell| cell.value != Value::Many(Vec::new()));
        let parts = match text {
            Some(cell) => self.parts("text", cell, &media),
            None => {
                if media.is_empty() && !has_options {
                    self.wrong("text", "is missing; expected what the post says");
                }
                vec![Part { text: String::new(), media: media.clone() }]
            }
        };
        let variants = cells.variants.iter().filter(|(_, cell)| !cell.is_empty());
        let variants = variants.map(|(platform, cell)| {
            let field = format!("{VARIANTS}.{platform}");
            (platform.clone(), self.parts(&field, cell, &media))
        });
        let variants = variants.collect();
        Content { parts, variants, ..Content::default() }
    }

    /// The parts of a text, the first with the media.
    fn parts(&mut self, field: &str, cell: &Cell, media: &[MediaRef]) -> Vec<Part> {
        let mut parts: Vec<Part> = texts(&cell.value).into_iter().map(Part::text).collect();
        if parts.is_empty() {
            parts.push(Part::default()); // a list without entries
        }
        parts[0].media = media.to_vec();
        let count = parts.len();
        if count == 1 && field != "text" && !media.is_empty() {
            return parts; // without a text on purpose
        }
        for (i, _) in parts.iter().enumerate().filter(|(_, part)| part.text.is_empty()) {
            let message = format!("part {} of {count} is empty", i + 1);
            self.problems.push(FileProblem::named(&cell.place, field.to_owned(), message));
        }
        parts
    }

    fn media(&mut self) -> Vec<MediaRef> {
        let sources = self.list("media");
        let alts = self.items("alt");
        if alts.len() > sources.len() {
            let message = format!("has {} texts for {} media", alts.len(), sources.len());
            self.wrong("alt", message);
        }
        let mut alts = alts.into_iter();
        let mut alt = || alts.next().filter(|alt| !alt.is_empty());
        sources.into_iter().map(|source| MediaRef { source, alt: alt() }).collect()
    }

    fn list(&self, field: &str) -> Vec<String> {
        self.items(field).into_iter().filter(|item| !item.is_empty()).collect()
    }

    /// What stands between the semicolons, or the items of a list; empty ones too.
    fn items(&self, field: &str) -> Vec<String> {
        let items = match self.cells.by_field.get(field).map(|cell| &cell.value) {
            None => Vec::new(),
            Some(Value::One(text)) => text.split(';').map(str::to_owned).collect(),
            Some(Value::Many(items)) => items.clone(),
        };
        items.iter().map(|item| item.trim().to_owned()).collect()
    }

    fn has(&self, field: &str) -> bool {
        self.cells.by_field.contains_key(field)
    }

    fn number<N: FromStr>(&mut self, field: &'static str, expected: &str) -> Option<N> {
        let text = self.one(field)?;
        let number = text.trim().parse().ok();
        if number.is_none() {
            self.wrong(field, format!("\"{}\" cannot be; expected {expected}", text.trim()));
        }
        number
    }

    fn one(&mut self, field: &'static str) -> Option<String> {
        match &self.cells.by_field.get(field)?.value {
            Value::One(text) => Some(text.clone()),
            Value::Many(_) => {
                self.wrong(field, "is a list; expected one value");
                None
            }
        }
    }

    fn wrong(&mut self, field: &'static str, message: impl Into<String>) {
        let place = self.cells.place_of(field);
        self.problems.push(FileProblem::new(place, Some(field), message));
    }
}

/// The parts of a text, without the blank lines around each.
fn texts(value: &Value) -> Vec<String> {
    let tidy = |text: &str| text.trim_matches(['\n', '\r', ' ', '\t']).to_owned();
    match value {
        Value::Many(parts) => parts.iter().map(|part| tidy(part)).collect(),
        Value::One(text) => {
            let lines: Vec<&str> = text.lines().collect();
            let divided = lines.split(|line| line.trim() == DIVIDER);
            divided.map(|lines| tidy(&lines.join("\n"))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::import::cells::{Cell, FIELDS};

    fn row(fields: &[(&str, &str)]) -> Result<Submission, Vec<String>> {
        let file: Arc<str> = "f.csv".into();
        let by_field: BTreeMap<_, _> = fields
            .iter()
            .enumerate()
            .map(|(column, (name, text))| {
                let field = FIELDS.into_iter().find(|field| field == name).unwrap();
                let place = Place { file: Arc::clone(&file), line: 2, column };
                (field, Cell { place, value: Value::One((*text).to_owned()) })
            })
            .collect();
        let place = Place { file, line: 2, column: 0 };
        let cells = Cells { by_field, ..Cells::new(place) };
        let mut problems = Vec::new();
        let read = read(&cells, &mut problems);
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        read.map(|row| row.submission).ok_or(problems)
    }

    #[test]
    fn a_full_row_is_understood() {
        let row = row(&[
            ("key", " spring-1 "),
            ("at", "2026-03-08T09:00"),
            ("tz", "europe/berlin"),
            ("accounts", "acme; dry_run:news;"),
            ("text", "\none \n---\n\ntwo\n"),
            ("media", "a.png;https://example.com/b.png;c.png"),
            ("alt", "first;;third"),
            ("fit", "thread"),
            ("priority", "-7"),
        ])
        .unwrap();

        assert_eq!(row.key.as_deref(), Some("spring-1"));
        assert_eq!(row.tz.as_deref(), Some("Europe/Berlin"));
        assert_eq!(row.accounts, ["acme", "dry_run:news"]);
        let texts: Vec<_> = row.content.parts.iter().map(|part| part.text.as_str()).collect();
        assert_eq!(texts, ["one", "two"]);
        let alts: Vec<_> = row.content.parts[0].media.iter().map(|m| m.alt.as_deref()).collect();
        assert_eq!(alts, [Some("first"), None, Some("third")]);
        assert_eq!((row.fitting, row.priority), (Some(Fitting::Thread), -7));
        assert!(matches!(row.when, When::At(At::Local { .. })));
    }

    #[test]
    fn a_repeating_row_is_understood() {
        let row = row(&[
            ("at", "+5s"),
            ("every", "1h30m"),
            ("count", "3"),
            ("until", "2027-01-01T00:00Z"),
            ("accounts", "a"),
            ("text", "x"),
        ])
        .unwrap();

        let When::Every { every, from, count, until } = row.when else { panic!("{row:?}") };
        assert_eq!(every, Duration::from_secs(5_400));
        assert_eq!(from, Some(At::After(Duration::from_secs(5))));
        assert_eq!(count.map(NonZeroU32::get), Some(3));
        assert!(matches!(until, Some(At::Instant(_))));
    }

    #[test]
    fn every_error_of_a_row_is_told_at_once() {
        let problems = row(&[
            ("at", "soon"),
            ("tz", "Nowhere/City"),
            ("text", "one\n---\n"),
            ("alt", "what"),
            ("priority", "high"),
            ("fit", "tight"),
            ("until", "2027-01-01T00:00Z"),
        ])
        .unwrap_err();

        let all = problems.join("\n");
        for expected in [
            "f.csv:2: at: \"soon\" is no time",
            "f.csv:2:1: tz: unknown time zone \"Nowhere/City\"",
            "text: part 2 of 2 is empty",
            "alt: has 1 texts for 0 media",
            "priority: \"high\" cannot be; expected a whole number",
            "fit: \"tight\" cannot be; expected shorten or thread",
            "until: is there without every",
            "f.csv:2: accounts: is missing",
        ] {
            assert!(all.contains(expected), "{expected} in {all}");
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let all = row(&[("key", "k")]).unwrap_err().join("\n");

        for expected in ["at: is missing", "accounts: is missing", "text: is missing"] {
            assert!(all.contains(expected), "{expected} in {all}");
        }
        let count = row(&[("every", "1h"), ("count", "0"), ("accounts", "a"), ("text", "x")]);
        assert!(count.unwrap_err()[0].contains("count: \"0\" cannot be"));
    }
}
