//! CSV by RFC 4180, read strictly: every cell with its place, every stray quote an error.
//!
//! Written here because an error must name the line and column of the cell, or of the quote, that
//! is wrong; readers made for data pass over stray quotes and swallow the rest of the file.

use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;

use super::cells::{Cell, Cells, Column, OPTIONS, Place, VARIANTS, Value};
use super::plan::FileProblem;
use super::read::is_too_much;

/// The rows below the header; none if that cannot be used.
pub(super) fn rows(
    file: &Arc<str>,
    text: &str,
    problems: &mut Vec<FileProblem>,
) -> Option<Vec<Cells>> {
    let mut reader = Reader::new(file, text);
    let Some(header) = reader.record(problems) else {
        let place = Place { file: Arc::clone(file), line: 0, column: 0 };
        problems.push(FileProblem::new(&place, None, "is empty; expected a header line"));
        return None;
    };
    let columns = columns(&header, problems)?;
    let tells_variants = columns.iter().any(|column| matches!(column, Column::Variant(_)));
    let mut rows = Vec::new();
    while let Some(record) = reader.record(problems) {
        let row = row(&columns, record, rows.is_empty(), problems);
        rows.extend(row.map(|cells| Cells { tells_variants, ..cells }));
        if is_too_much(file, rows.len(), problems) {
            return None;
        }
    }
    Some(rows)
}

/// What the header says; none if it cannot be used.
fn columns(header: &Record, problems: &mut Vec<FileProblem>) -> Option<Vec<Column>> {
    let mut columns = Vec::new();
    let before = problems.len();
    if let [(place, only)] = header.cells.as_slice()
        && only.contains([';', '\t'])
    {
        let message = "the columns are not divided by commas; save the file as CSV with \",\"";
        problems.push(FileProblem::new(place, None, message));
        return None;
    }
    for (place, name) in &header.cells {
        match Column::named(name, place) {
            Ok(column) if columns.contains(&column) => {
                let field = match column {
                    Column::Field(field) => field,
                    Column::Option(..) => OPTIONS,
                    Column::Variant(_) => VARIANTS,
                };
                problems.push(FileProblem::new(place, Some(field), "is there twice"));
            }
            Ok(column) => columns.push(column),
            Err(problem) => problems.push(problem),
        }
        if is_too_much(&place.file, 0, problems) {
            return None;
        }
    }
    (header.whole && problems.len() == before).then_some(columns)
}

fn row(
    columns: &[Column],
    record: Record,
    is_first: bool,
    problems: &mut Vec<FileProblem>,
) -> Option<Cells> {
    if !record.whole {
        return None;
    }
    let place = record.cells.first()?.0.clone();
    if record.cells.len() != columns.len() {
        let message = format!(
            "has {} columns, expected {} as the header has; put quotes around text with a comma",
            record.cells.len(),
            columns.len()
        );
        problems.push(FileProblem::new(&Place { column: 0, ..place }, None, message));
        return None;
    }
    let mut cells = Cells::new(Place { column: 0, ..place });
    for (column, (place, text)) in columns.iter().zip(record.cells) {
        let cell = Cell { place, value: Value::One(text) };
        let is_kept = is_first && !matches!(column, Column::Field(_));
        match column {
            _ if cell.is_empty() && !is_kept => None,
            Column::Field(field) => cells.by_field.insert(field, cell),
            Column::Option(platform, name) => {
                cells.options.insert((platform.clone(), name.clone()), cell)
            }
            Column::Variant(platform) => cells.variants.insert(platform.clone(), cell),
        };
    }
    Some(cells)
}

/// One line of a table, which a quoted cell may spread over several lines of the file.
#[derive(Debug, Default)]
struct Record {
    cells: Vec<(Place, String)>,
    /// Whether it was read without a problem.
    whole: bool,
}

struct Reader<'a> {
    file: Arc<str>,
    chars: Peekable<Chars<'a>>,
    line: usize,
    column: usize,
}

impl<'a> Reader<'a> {
    fn new(file: &Arc<str>, text: &'a str) -> Self {
        Self { file: Arc::clone(file), chars: text.chars().peekable(), line: 1, column: 1 }
    }

    /// The next record that is not an empty line; none at the end.
    fn record(&mut self, problems: &mut Vec<FileProblem>) -> Option<Record> {
        while matches!(self.chars.peek()?, '\n' | '\r') {
            self.step();
        }
        let mut record = Record { cells: Vec::new(), whole: true };
        loop {
            let place = self.place();
            match self.cell() {
                Ok(text) => record.cells.push((place, text)),
                Err(problem) => {
                    problems.push(problem);
                    record.whole = false;
                    self.skip_line();
                    return Some(record);
                }
            }
            match self.step() {
                Some(',') => {}
                _ => return Some(record),
            }
        }
    }

    /// A cell, up to the comma or line break that ends it.
    fn cell(&mut self) -> Result<String, FileProblem> {
        if self.chars.peek() == Some(&'"') {
            return self.quoted();
        }
        let mut text = String::new();
        while let Some(&c) = self.chars.peek() {
            match c {
                ',' | '\n' | '\r' => break,
                '"' => {
                    let message = "a quote inside a cell that does not begin with one; put \
                                   quotes around the whole cell and double those inside";
                    return Err(FileProblem::new(&self.place(), None, message));
                }
                _ => text.extend(self.step()),
            }
        }
        Ok(text)
    }

    fn quoted(&mut self) -> Result<String, FileProblem> {
        let opening = self.place();
        self.step();
        let mut text = String::new();
        loop {
            match self.step() {
                Some('"') if self.chars.peek() == Some(&'"') => text.extend(self.step()),
                Some('"') => break,
                Some(c) => text.push(c),
                None => {
                    let message = "this quote is never closed; expected another one at the \
                                   cell's end";
                    return Err(FileProblem::new(&opening, None, message));
                }
            }
        }
        match self.chars.peek() {
            None | Some(',' | '\n' | '\r') => Ok(text),
            Some(_) => {
                let message = "text after a closing quote; expected a comma or the line's end, \
                               and doubled quotes inside a cell";
                Err(FileProblem::new(&self.place(), None, message))
            }
        }
    }

    /// Takes one character; a line break of any kind is `\n`.
    fn step(&mut self) -> Option<char> {
        let mut c = self.chars.next()?;
        if c == '\r' {
            self.chars.next_if_eq(&'\n');
            c = '\n';
        }
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip_line(&mut self) {
        while self.step().is_some_and(|c| c != '\n') {}
    }

    fn place(&self) -> Place {
        Place { file: Arc::clone(&self.file), line: self.line, column: self.column }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    fn read(text: &str) -> (Vec<Cells>, Vec<String>) {
        let mut problems = Vec::new();
        let rows = rows(&Arc::from("f.csv"), text, &mut problems);
        (rows.unwrap_or_default(), problems.iter().map(ToString::to_string).collect())
    }

    fn problem(text: &str) -> String {
        let (_, problems) = read(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].clone()
    }

    #[test]
    fn cells_know_their_places() {
        let (rows, problems) =
            read("Key , text\r\na,\"one\r\ntwo, \"\"three\"\"\"\r\n\r\nb,four\n");

        assert_eq!(problems, [""; 0]);
        assert_eq!(rows.len(), 2);
        let text = &rows[0].by_field["text"];
        assert_eq!(text.value, Value::One("one\ntwo, \"three\"".to_owned()));
        assert_eq!(text.place.to_string(), "f.csv:2:3");
        assert_eq!(rows[1].by_field["key"].place.to_string(), "f.csv:5:1");
    }

    #[test]
    fn an_empty_cell_is_no_cell() {
        let (rows, _) = read("key,text\n , x\n");

        assert!(!rows[0].by_field.contains_key("key"));
    }

    #[test]
    fn stray_quotes_are_named_with_their_place() {
        assert!(problem("text\nsay \"hi\"\n").starts_with("f.csv:2:5: a quote inside"));
        assert!(problem("key,text\na,\"hi\" there\n").starts_with("f.csv:2:7: text after"));
        assert!(problem("key,text\na,\"hi\nb,c\n").starts_with("f.csv:2:3: this quote is never"));
    }

    #[test]
    fn a_bad_row_leaves_the_others() {
        let (rows, problems) = read("key,text\na\"b,c\nd,e,f\ng,h\n");

        assert_eq!(rows.len(), 1);
        assert!(problems[1].starts_with("f.csv:3: has 3 columns, expected 2"), "{problems:?}");
    }

    #[test]
    fn a_bad_header_is_told_and_nothing_is_read() {
        assert!(problem("txt\nx\n").contains("unknown column \"txt\"; did you mean \"text\""));
        assert!(problem("text,TEXT\nx,y\n").contains("is there twice"));
        assert!(problem("key;text\nx;y\n").contains("not divided by commas"));
    }

    proptest! {
        #[test]
        fn what_a_csv_writer_writes_is_read(
            table in proptest::collection::vec(proptest::array::uniform3("[ -~äß,\"\n]{0,8}x"), 1..8)
        ) {
            let mut writer = ::csv::Writer::from_writer(Vec::new());
            writer.write_record(["key", "text", "accounts"]).unwrap();
            table.iter().for_each(|row| writer.write_record(row).unwrap());
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();

            let (rows, problems) = read(&text);

            prop_assert_eq!(problems, Vec::<String>::new());
            let read: Vec<_> = rows
                .iter()
                .map(|row| ["key", "text", "accounts"].map(|f| row.by_field[f].value.clone()))
                .collect();
            let written: Vec<_> = table.into_iter().map(|row| row.map(Value::One)).collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn no_text_panics(text in "[a-z,;\"\r\n\t]{0,80}") {
            read(&format!("key,text\n{text}"));
        }
    }
}
