//! What the options of rows mean: as their platforms read them.

use std::collections::BTreeMap;

use postq_calendar::near;
use postq_core::options::{OptionField, OptionValue, PostOptions};
use postq_core::platform::PlatformName;

use crate::desk::Desk;

use super::cells::{Cells, OPTIONS, Value};
use super::plan::FileProblem;
use super::row::Row;

impl Desk {
    /// The rows with their options. A row of which one cannot be read is left out, which is told.
    pub(super) fn with_options(
        &self,
        mut rows: Vec<Row>,
        problems: &mut Vec<FileProblem>,
    ) -> Vec<Row> {
        rows.retain_mut(|row| {
            let before = problems.len();
            row.submission.content.options = self.options_of(&row.cells, problems);
            problems.len() == before
        });
        rows
    }

    fn options_of(
        &self,
        cells: &Cells,
        problems: &mut Vec<FileProblem>,
    ) -> BTreeMap<PlatformName, PostOptions> {
        let mut all: BTreeMap<PlatformName, PostOptions> = BTreeMap::new();
        for ((platform, name), cell) in &cells.options {
            let read = match self.platforms().get(platform) {
                Some(known) => {
                    let field = known.options().iter().find(|field| field.name == name);
                    read(field, &cell.value)
                }
                None => {
                    let names: Vec<&str> =
                        self.platforms().names().map(PlatformName::as_str).collect();
                    let hint = near::hint(platform.as_str(), names.iter().copied());
                    let known = names.join(", ");
                    Err(format!("unknown platform \"{platform}\"{hint}; there is {known}"))
                }
            };
            match read {
                Ok(value) => all.entry(platform.clone()).or_default().set(name, value),
                Err(message) => {
                    problems.push(FileProblem::new(&cell.place, Some(OPTIONS), message));
                }
            }
        }
        all
    }
}

/// A value by its kind. One that the platform does not know stays a text: it is refused where the post is checked.
fn read(field: Option<&OptionField>, value: &Value) -> Result<OptionValue, String> {
    match (value, field) {
        (Value::One(text), Some(field)) => field.read(text),
        (Value::One(text), None) => Ok(OptionValue::Text(text.trim().to_owned())),
        (Value::Many(texts), _) => Ok(OptionValue::List(texts.clone())),
    }
}

#[cfg(test)]
mod tests {
    use postq_core::content::{Content, Part};

    use super::*;
    use crate::desk::tests::fits::strict;
    use crate::import::{CalendarFile, Loaded};

    fn strict_name() -> PlatformName {
        "strict".parse().unwrap()
    }

    async fn told(desk: &Desk, name: &str, text: &str) -> Vec<String> {
        let file = CalendarFile::new(name, text.as_bytes().to_vec());
        let plan = desk.plan_import_of(vec![file]).await.unwrap();
        plan.problems.iter().map(ToString::to_string).collect()
    }

    async fn load(desk: &Desk, name: &str, text: &str) -> Loaded {
        let file = CalendarFile::new(name, text.as_bytes().to_vec());
        let plan = desk.plan_import_of(vec![file]).await.unwrap();
        assert_eq!(plan.problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
        desk.apply_import(plan).await.unwrap()
    }

    async fn stored(desk: &Desk, key: &str) -> Content {
        desk.find_post(key).await.unwrap().content
    }

    #[tokio::test(start_paused = true)]
    async fn options_come_from_every_format() {
        let desk = strict().await;
        let at = "2026-03-09T09:00Z";

        let csv = format!("key,at,accounts,text,Strict.board\na,{at},acme,hi,42\n");
        load(&desk, "a.csv", &csv).await;
        let toml = format!(
            "[[post]]\nkey = \"b\"\nat = \"{at}\"\naccounts = \"acme\"\ntext = \"hi\"\n\
             [post.options.strict]\nboard = 42\n"
        );
        load(&desk, "b.toml", &toml).await;
        let json = format!(
            r#"[{{"key": "c", "at": "{at}", "accounts": "acme", "text": "hi",
                 "options": {{"strict": {{"board": "42"}}}}}}]"#
        );
        load(&desk, "c.json", &json).await;

        for key in ["a", "b", "c"] {
            let options = stored(&desk, key).await.options;
            assert_eq!(options[&strict_name()].text("board"), Some("42"), "{key}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_is_told_at_its_place() {
        let desk = strict().await;
        let csv = |column: &str, value: &str| {
            format!("at,accounts,text,{column}\n2026-03-09T09:00Z,acme,hi,{value}\n")
        };

        for (column, value, expected) in [
            ("strict.board", "abcdef", "f.csv:2:27: options: the option \"board\" is 6 characters"),
            ("strict.bored", "a", "the option \"bored\" is not known; expected board"),
            ("strikt.board", "a", "f.csv:2:27: options: unknown platform \"strikt\""),
            ("strict.", "a", "f.csv:1:18: options: \"strict.\" cannot be"),
            ("board", "a", "or an option of a platform as reddit.subreddit"),
        ] {
            let told = told(&desk, "f.csv", &csv(column, value)).await;
            assert!(told[0].contains(expected), "{column}: {told:?}");
        }
        let twice = csv("strict.board,strict.board", "a,b");
        assert!(told(&desk, "f.csv", &twice).await[0].contains("options: is there twice"));
        let toml = "[[post]]\noptions = 3\n[[post]]\n[post.options]\nstrict = 4\n";
        let all = told(&desk, "f.toml", toml).await;
        assert!(all[0].starts_with("f.toml:2:11: options: is no table"), "{all:?}");
        assert!(all[1].starts_with("f.toml:5:10: options: is no table"), "{all:?}");
        let json = r#"[{"options": 3}, {"options": {"strict": {"board": {}}}},
            {"options": {"strict": {"board": "a", "board": "b"}}}]"#;
        let all = told(&desk, "f.json", json).await;
        assert!(all[0].starts_with("f.json:1:14: options: is no object"), "{all:?}");
        assert!(all[1].contains("options: expected a text, a number"), "{all:?}");
        assert!(all[2].contains("options: is there twice"), "{all:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn other_options_are_a_change_and_the_same_are_none() {
        let desk = strict().await;
        let csv = |board: &str| {
            format!("key,at,accounts,text,strict.board\na,2026-03-09T09:00Z,acme,hi,{board}\n")
        };

        load(&desk, "a.csv", &csv("one")).await;
        let same = load(&desk, "a.csv", &csv("one")).await;
        let other = load(&desk, "a.csv", &csv("two")).await;

        assert_eq!(same.rows[0].action.to_string(), "known, scheduled");
        assert_eq!(other.rows[0].action.to_string(), "known, changes options");
        let options = stored(&desk, "a").await.options;
        assert_eq!(options[&strict_name()].text("board"), Some("two"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_that_is_made_to_fit_is_known_again() {
        let desk = strict().await;
        let csv = |text: &str| {
            format!("key,at,accounts,text,fit\na,2026-03-09T09:00Z,acme,{text},thread\n")
        };
        let long = "One is out. Two is not out yet";

        load(&desk, "a.csv", &csv(long)).await;
        let again = load(&desk, "a.csv", &csv(long)).await;
        let other = load(&desk, "a.csv", &csv("One is out. Two is out now.")).await;

        assert_eq!(again.rows[0].action.to_string(), "known, scheduled");
        assert_eq!(other.rows[0].action.to_string(), "known, changes text");
        let parts = &stored(&desk, "a").await.variants[&strict_name()];
        assert_eq!(parts, &[Part::text("One is out."), Part::text("Two is out now.")]);
    }
}
