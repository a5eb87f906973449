//! JSON: a list of objects.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::cells::{
    Cell, Cells, OPTIONS, Place, VARIANTS, Value, field, option_of, said, variant_of,
};
use super::lines::Lines;
use super::plan::FileProblem;
use super::read::{MOST_PROBLEMS, is_too_much};

/// The rows; none if it is no list.
pub(super) fn rows(
    file: &Arc<str>,
    text: &str,
    problems: &mut Vec<FileProblem>,
) -> Option<Vec<Cells>> {
    let source = Source { text, lines: Lines::new(file, text), file };
    let posts: Vec<&RawValue> = match serde_json::from_str(text) {
        Ok(posts) => posts,
        Err(error) => {
            problems.push(source.refused(&error));
            return None;
        }
    };
    let mut rows = Vec::new();
    for post in posts {
        rows.extend(row(&source, post, problems));
        if is_too_much(file, rows.len(), problems) {
            return None;
        }
    }
    Some(rows)
}

struct Source<'a> {
    text: &'a str,
    lines: Lines<'a>,
    file: &'a Arc<str>,
}

impl Source<'_> {
    /// Where a value begins: raw values are slices of the text.
    fn place(&self, value: &RawValue) -> Place {
        let offset = value.get().as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        self.lines.place(offset)
    }

    fn refused(&self, error: &serde_json::Error) -> FileProblem {
        let (line, column) = (error.line(), error.column().max(1));
        let place = Place { file: Arc::clone(self.file), line, column };
        if error.is_data() {
            return FileProblem::new(&place, None, "expected a list of objects: [{...}, {...}]");
        }
        let text = error.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        FileProblem::new(&place, None, format!("no JSON: {what}"))
    }
}

fn row(source: &Source<'_>, post: &RawValue, problems: &mut Vec<FileProblem>) -> Option<Cells> {
    let place = source.place(post);
    let Ok(object) = serde_json::from_str::<Object<'_>>(post.get()) else {
        problems.push(FileProblem::new(&place, None, "is no object; expected {\"text\": ...}"));
        return None;
    };
    let before = problems.len();
    let mut cells = Cells::new(place);
    for (name, value) in object.0 {
        let place = source.place(value);
        if name == OPTIONS {
            options(source, value, &mut cells, problems);
            continue;
        }
        if name == VARIANTS {
            variants(source, value, &mut cells, problems);
            continue;
        }
        match field(&name, &place).map(|field| (field, read(value))) {
            Ok((field, _)) if cells.by_field.contains_key(field) => {
                problems.push(FileProblem::new(&place, Some(field), "is there twice"));
            }
            Ok((_, Ok(None))) => {}
            Ok((field, Ok(Some(value)))) => {
                cells.by_field.insert(field, Cell { place, value });
            }
            Ok((field, Err(message))) => {
                problems.push(FileProblem::new(&place, Some(field), message));
            }
            Err(problem) => problems.push(problem),
        }
        if problems.len() > MOST_PROBLEMS {
            break; // which is told where the rows are counted
        }
    }
    (problems.len() == before).then_some(cells)
}

/// What is in `{"options": {"reddit": {...}}}`.
fn options(
    source: &Source<'_>,
    platforms: &RawValue,
    cells: &mut Cells,
    problems: &mut Vec<FileProblem>,
) {
    let object = |raw, problems: &mut Vec<FileProblem>| {
        let told = object(source, raw);
        let expected = "is no object; expected {\"PLATFORM\": {\"OPTION\": ...}}";
        told.unwrap_or_else(|place| {
            problems.push(FileProblem::new(&place, Some(OPTIONS), expected));
            Vec::new()
        })
    };
    for (platform, values) in object(platforms, problems) {
        for (name, value) in object(values, problems) {
            let place = source.place(value);
            let read = match value.get() {
                flag @ ("true" | "false") => Ok(Some(Value::One(flag.to_owned()))),
                _ => read(value),
            };
            let told = match (option_of(&platform, &name, &place), read) {
                (Ok(option), Ok(_)) if cells.options.contains_key(&option) => {
                    Err(FileProblem::new(&place, Some(OPTIONS), "is there twice"))
                }
                (Ok(option), Ok(value)) => {
                    let cell = value.map(|value| Cell { place, value });
                    cells.options.extend(cell.map(|cell| (option, cell)));
                    Ok(())
                }
                (Err(problem), _) => Err(problem),
                (_, Err(message)) => Err(FileProblem::new(&place, Some(OPTIONS), message)),
            };
            problems.extend(told.err());
        }
    }
}

/// What is in `{"variants": {"x": ...}}`.
fn variants(
    source: &Source<'_>,
    platforms: &RawValue,
    cells: &mut Cells,
    problems: &mut Vec<FileProblem>,
) {
    let wrong = |place: &Place, message| FileProblem::new(place, Some(VARIANTS), message);
    let pairs = object(source, platforms).unwrap_or_else(|place| {
        problems.push(wrong(&place, "is no object; expected {\"PLATFORM\": ...}"));
        Vec::new()
    });
    cells.tells_variants = true;
    for (platform, value) in pairs {
        let place = source.place(value);
        match (variant_of(&platform, &place), read(value)) {
            (Ok(platform), Ok(_)) if cells.variants.contains_key(&platform) => {
                problems.push(wrong(&place, "is there twice"));
            }
            (Ok(platform), Ok(value)) => {
                let cell = value.map(|value| Cell { place, value: said(value) });
                cells.variants.extend(cell.map(|cell| (platform, cell)));
            }
            (Err(problem), _) => problems.push(problem),
            (_, Err(message)) => problems.push(wrong(&place, message)),
        }
    }
}

/// The pairs of an object; where it is, if it is something else.
fn object<'a>(
    source: &Source<'_>,
    raw: &'a RawValue,
) -> Result<Vec<(String, &'a RawValue)>, Place> {
    let object = serde_json::from_str::<Object<'a>>(raw.get());
    object.map(|object| object.0).map_err(|_| source.place(raw))
}

/// A value; none for `null`.
fn read(raw: &RawValue) -> Result<Option<Value>, &'static str> {
    const EXPECTED: &str = "expected a text, a number or a list of texts";
    match serde_json::from_str(raw.get()).map_err(|_| EXPECTED)? {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::String(text) => Ok(Some(Value::One(text))),
        serde_json::Value::Number(number) => Ok(Some(Value::One(number.to_string()))),
        serde_json::Value::Array(items) => {
            let texts = items.into_iter().map(|item| match item {
                serde_json::Value::String(text) => Ok(text),
                _ => Err(EXPECTED),
            });
            texts.collect::<Result<_, _>>().map(|texts| Some(Value::Many(texts)))
        }
        serde_json::Value::Bool(_) | serde_json::Value::Object(_) => Err(EXPECTED),
    }
}

/// An object with its names in order, doubled ones too: a map would keep the last and say nothing.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Object(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Cells>, Vec<String>) {
        let mut problems = Vec::new();
        let rows = rows(&Arc::from("f.json"), text, &mut problems);
        (rows.unwrap_or_default(), problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn objects_become_rows() {
        let (rows, problems) = read(
            "[\n {\"text\": \"caf\\u00e9\", \"priority\": 5, \"key\": null},\n \
             {\"text\": [\"one\", \"two\"]}\n]",
        );

        assert_eq!(problems, [""; 0]);
        assert_eq!(rows[0].by_field["text"].value, Value::One("café".to_owned()));
        assert_eq!(rows[0].by_field["priority"].value, Value::One("5".to_owned()));
        assert!(!rows[0].by_field.contains_key("key"));
        assert_eq!(
            rows[1].by_field["text"].value,
            Value::Many(vec!["one".to_owned(), "two".to_owned()])
        );
        assert_eq!(rows[1].by_field["text"].place.to_string(), "f.json:3:11");
    }

    #[test]
    fn errors_have_their_place() {
        for (text, expected) in [
            ("[\n{\"txt\": 1}]", "f.json:2:9: unknown name \"txt\""),
            ("[\n{\"text\": {}}]", "f.json:2:10: text: expected a text"),
            ("[{\"text\": \"a\", \"Text\": \"b\"}]", "f.json:1:24: text: is there twice"),
            ("[\n1]", "f.json:2:1: is no object"),
            ("{}", "f.json:1:1: expected a list of objects"),
            ("[\n{\"text\" 1}]", "f.json:2:9: no JSON: expected `:`"),
            ("", "no JSON: EOF"),
        ] {
            let (rows, problems) = read(text);

            assert!(rows.is_empty());
            assert!(problems[0].contains(expected), "{text}: {problems:?}");
        }
    }
}
