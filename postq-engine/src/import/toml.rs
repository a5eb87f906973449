//! TOML: one table `[[post]]` for each row.

use std::sync::Arc;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::cells::{Cell, Cells, OPTIONS, VARIANTS, Value, field, option_of, said, variant_of};
use super::lines::Lines;
use super::plan::FileProblem;
use super::read::{MOST_PROBLEMS, is_too_much};

/// The rows; none if it is no TOML.
pub(super) fn rows(
    file: &Arc<str>,
    text: &str,
    problems: &mut Vec<FileProblem>,
) -> Option<Vec<Cells>> {
    let lines = Lines::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors.iter().take(MOST_PROBLEMS) {
        let place = lines.place(error.span().map_or(0, |span| span.start));
        problems.push(FileProblem::new(&place, None, format!("no TOML: {}", error.message())));
    }
    // A text that is not TOML was put in order by guessing: what it seems to say is not to be used.
    if !errors.is_empty() {
        return None;
    }
    let mut rows = Vec::new();
    for (name, value) in table.get_ref() {
        let posts = value.get_ref().as_array().filter(|_| name.get_ref() == "post");
        let Some(posts) = posts else {
            let place = lines.place(name.span().start);
            let message = match name.get_ref().as_ref() {
                "post" => "post is no list of tables; expected [[post]] above each".to_owned(),
                other => format!("unknown name \"{other}\"; expected [[post]]"),
            };
            problems.push(FileProblem::new(&place, None, message));
            if is_too_much(file, 0, problems) {
                return None;
            }
            continue;
        };
        for post in posts.iter() {
            rows.extend(row(&lines, post, problems));
            if is_too_much(file, rows.len(), problems) {
                return None;
            }
        }
    }
    Some(rows)
}

fn row(
    lines: &Lines<'_>,
    post: &Spanned<DeValue<'_>>,
    problems: &mut Vec<FileProblem>,
) -> Option<Cells> {
    let place = lines.place(post.span().start);
    let Some(table) = post.get_ref().as_table() else {
        problems.push(FileProblem::new(&place, None, "is no table; expected [[post]]"));
        return None;
    };
    let before = problems.len();
    let mut cells = Cells::new(place);
    for (name, value) in table {
        if problems.len() > MOST_PROBLEMS {
            break; // which is told where the rows are counted
        }
        if name.get_ref() == OPTIONS {
            options(lines, value, &mut cells, problems);
            continue;
        }
        if name.get_ref() == VARIANTS {
            variants(lines, value, &mut cells, problems);
            continue;
        }
        let field = match field(name.get_ref(), &lines.place(name.span().start)) {
            Ok(field) => field,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let place = lines.place(value.span().start);
        match read(value.get_ref()) {
            Ok(value) => {
                cells.by_field.insert(field, Cell { place, value });
            }
            Err(message) => problems.push(FileProblem::new(&place, Some(field), message)),
        }
    }
    (problems.len() == before).then_some(cells)
}

/// What is in `[post.options.reddit]`.
fn options(
    lines: &Lines<'_>,
    platforms: &Spanned<DeValue<'_>>,
    cells: &mut Cells,
    problems: &mut Vec<FileProblem>,
) {
    let tables = |value: &Spanned<DeValue<'_>>, problems: &mut Vec<FileProblem>| {
        if value.get_ref().as_table().is_none() {
            let place = lines.place(value.span().start);
            let message = "is no table; expected [post.options.PLATFORM]";
            problems.push(FileProblem::new(&place, Some(OPTIONS), message));
        }
    };
    tables(platforms, problems);
    for (platform, values) in platforms.get_ref().as_table().into_iter().flatten() {
        tables(values, problems);
        for (name, value) in values.get_ref().as_table().into_iter().flatten() {
            let place = lines.place(value.span().start);
            let option = option_of(platform.get_ref(), name.get_ref(), &place);
            let read = match value.get_ref() {
                DeValue::Boolean(flag) => Ok(Value::One(flag.to_string())),
                value => read(value),
            };
            match (option, read) {
                (Ok(option), Ok(_)) if cells.options.contains_key(&option) => {
                    problems.push(FileProblem::new(&place, Some(OPTIONS), "is there twice"));
                }
                (Ok(option), Ok(value)) => {
                    cells.options.insert(option, Cell { place, value });
                }
                (Err(problem), _) => problems.push(problem),
                (_, Err(message)) => {
                    problems.push(FileProblem::new(&place, Some(OPTIONS), message));
                }
            }
        }
    }
}

/// What is in `[post.variants]`.
fn variants(
    lines: &Lines<'_>,
    platforms: &Spanned<DeValue<'_>>,
    cells: &mut Cells,
    problems: &mut Vec<FileProblem>,
) {
    let Some(table) = platforms.get_ref().as_table() else {
        let place = lines.place(platforms.span().start);
        let message = "is no table; expected [post.variants]";
        problems.push(FileProblem::new(&place, Some(VARIANTS), message));
        return;
    };
    cells.tells_variants = true;
    for (platform, value) in table {
        let place = lines.place(value.span().start);
        match (variant_of(platform.get_ref(), &place), read(value.get_ref())) {
            (Ok(platform), Ok(_)) if cells.variants.contains_key(&platform) => {
                problems.push(FileProblem::new(&place, Some(VARIANTS), "is there twice"));
            }
            (Ok(platform), Ok(value)) => {
                cells.variants.insert(platform, Cell { place, value: said(value) });
            }
            (Err(problem), _) => problems.push(problem),
            (_, Err(message)) => {
                problems.push(FileProblem::new(&place, Some(VARIANTS), message));
            }
        }
    }
}

fn read(value: &DeValue<'_>) -> Result<Value, String> {
    match value {
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| scalar(item.get_ref())).collect::<Result<_, _>>();
            texts.map(Value::Many)
        }
        value => scalar(value).map(Value::One),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) => Ok(number.as_str().to_owned()),
        DeValue::Datetime(time) => Ok(time.to_string()),
        other => Err(format!("is a {}, expected a text or a list of texts", other.type_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Cells>, Vec<String>) {
        let mut problems = Vec::new();
        let rows = rows(&Arc::from("f.toml"), text, &mut problems);
        (rows.unwrap_or_default(), problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn tables_become_rows() {
        let (rows, problems) = read(
            "[[post]]\nat = 2026-03-08T09:00:00Z\naccounts = [\"a\", \"b\"]\npriority = -3\n\n\
             [[post]]\ntext = \"\"\"\none\n---\ntwo\"\"\"\n",
        );

        assert_eq!(problems, [""; 0]);
        assert_eq!(rows[0].by_field["at"].value, Value::One("2026-03-08T09:00:00Z".to_owned()));
        assert_eq!(
            rows[0].by_field["accounts"].value,
            Value::Many(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(rows[0].by_field["priority"].value, Value::One("-3".to_owned()));
        assert_eq!(rows[1].by_field["text"].value, Value::One("one\n---\ntwo".to_owned()));
        assert_eq!(rows[1].by_field["text"].place.to_string(), "f.toml:7:8");
    }

    #[test]
    fn errors_have_their_place() {
        let (rows, problems) = read("[[post]]\ntxt = \"x\"\nat = true\n");
        assert!(rows.is_empty());
        assert!(problems[0].starts_with("f.toml:3:6: at: is a boolean"), "{problems:?}");
        assert!(problems[1].contains("f.toml:2:1: unknown name \"txt\""), "{problems:?}");

        let (_, problems) = read("[[post]]\ntext = \"x\n");
        assert!(problems[0].starts_with("f.toml:2:"), "{problems:?}");

        let (_, problems) = read("[[posts]]\ntext = \"x\"\n");
        assert!(problems[0].contains("unknown name \"posts\"; expected [[post]]"), "{problems:?}");
    }
}
