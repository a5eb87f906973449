//! What rows say to single platforms: their options, as they read them, and whether there are such platforms.

use std::collections::BTreeMap;
use std::sync::Arc;

use postq_calendar::near;
use postq_core::options::{self, OptionField, OptionValue, PostOptions};
use postq_core::platform::{Platform, PlatformName};

use crate::desk::Desk;

use super::cells::{Cells, VARIANTS, Value};
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
            for (platform, cell) in &row.cells.variants {
                if let Err(why) = self.its_platform(platform) {
                    let variant = format!("{VARIANTS}.{platform}");
                    problems.push(FileProblem::named(&cell.place, variant, why));
                }
            }
            problems.len() == before
        });
        rows
    }

    fn its_platform(&self, name: &PlatformName) -> Result<&Arc<dyn Platform>, String> {
        self.platforms().get(name).ok_or_else(|| self.unknown_platform(name))
    }

    fn options_of(
        &self,
        cells: &Cells,
        problems: &mut Vec<FileProblem>,
    ) -> BTreeMap<PlatformName, PostOptions> {
        let mut all: BTreeMap<PlatformName, PostOptions> = BTreeMap::new();
        for ((platform, name), cell) in &cells.options {
            let its = self.its_platform(platform);
            let its = its.map_err(|why| why + &near::hint(platform.as_str(), [VARIANTS]));
            let read = its.and_then(|known| {
                let field = known.options().iter().find(|field| field.name == name);
                let says_nothing = field.is_some() && cell.is_empty();
                if says_nothing { Ok(None) } else { read(field, &cell.value).map(Some) }
            });
            match read {
                Ok(None) => {}
                Ok(Some(value)) => all.entry(platform.clone()).or_default().set(name, value),
                Err(message) => {
                    let message = options::told(&message).map_or(&*message, |(_, what)| what);
                    let option = format!("{platform}.{name}");
                    problems.push(FileProblem::of_option(&cell.place, &option, message));
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
    async fn a_platform_may_have_a_text_of_its_own_in_every_format() {
        let desk = strict().await;
        let at = "2026-03-09T09:00Z";

        let csv = format!(
            "key,at,accounts,text,Variants.Strict,strict.board,media\n\
             a,{at},acme,\"one\n---\ntwo\",own,b,https://example.com/a.png\n\
             n,2026-03-19T09:00Z,acme,all,,b,\n"
        );
        load(&desk, "a.csv", &csv).await;
        let toml = format!(
            "[[post]]\nkey = \"b\"\nat = \"{at}\"\naccounts = \"acme\"\ntext = \"hi\"\n\
             [post.options.strict]\nboard = \"b\"\n[post.variants]\nstrict = \"own\"\n"
        );
        load(&desk, "b.toml", &toml).await;
        let json = format!(
            r#"[{{"key": "c", "at": "{at}", "accounts": "acme", "text": "hi",
                 "options": {{"strict": {{"board": "b"}}}}, "variants": {{"strict": ["own"]}}}}]"#
        );
        load(&desk, "c.json", &json).await;

        for key in ["a", "b", "c"] {
            let content = stored(&desk, key).await;
            let own = &content.variants[&strict_name()];
            assert_eq!((own.len(), own[0].text.as_str()), (1, "own"), "{key}");
            assert_eq!(own[0].media, content.parts[0].media, "{key}: the same files");
        }
        assert_eq!(stored(&desk, "a").await.parts[0].media.len(), 1);
        assert!(stored(&desk, "n").await.variants.is_empty());
        // The same again is no change; another text of its own is one.
        let again = load(&desk, "a.csv", &csv).await;
        assert_eq!(again.rows[0].action.to_string(), "known, scheduled");
        let other = load(&desk, "a.csv", &csv.replace(",own,", ",new,")).await;
        assert_eq!(other.rows[0].action.to_string(), "known, changes text");
        let without = load(&desk, "a.csv", &csv.replace(",own,", ",,")).await;
        assert_eq!(without.rows[0].action.to_string(), "known, changes text");
        assert!(stored(&desk, "a").await.variants.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_of_its_own_stays_where_the_calendar_says_nothing_of_any() {
        let desk = strict().await;
        let at = "2026-03-09T09:00Z";
        let csv = format!("key,at,accounts,text,strict.board\na,{at},acme,hi,b\n");
        load(&desk, "a.csv", &csv).await;
        let post = desk.find_post("a").await.unwrap();
        let mut content = post.content.clone();
        content.variants.insert(strict_name(), vec![Part::text("own")]);
        desk.edit_content(post.id, &content).await.unwrap();

        let again = load(&desk, "a.csv", &csv).await;
        let other = load(&desk, "a.csv", &csv.replace(",hi,", ",ho,")).await;

        assert_eq!(again.rows[0].action.to_string(), "known, scheduled");
        assert_eq!(other.rows[0].action.to_string(), "known, changes text");
        let content = stored(&desk, "a").await;
        assert_eq!(content.parts[0].text, "ho");
        assert_eq!(content.variants[&strict_name()][0].text, "own");
        let toml = format!(
            "[[post]]\nkey = \"a\"\nat = \"{at}\"\naccounts = \"acme\"\ntext = \"ho\"\n\
             options.strict.board = \"b\"\nvariants = {{}}\n"
        );
        load(&desk, "a.toml", &toml).await;
        assert!(stored(&desk, "a").await.variants.is_empty(), "it says that there is none");
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_row_gets_nothing_for_where_it_does_not_go() {
        let desk = strict().await;
        let at = "2026-03-09T09:00Z";
        let csv = format!("key,at,accounts,text,strict.board\na,{at},acme,hi,b\n");
        load(&desk, "a.csv", &csv).await;

        let other =
            format!("key,at,accounts,text,strict.board,variants.dry_run\na,{at},acme,hi,b,own\n");
        let told = told(&desk, "a.csv", &other).await;

        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("variants.dry_run: none of the accounts is on dry_run"),
            "{told:?}"
        );
        let post = desk.find_post("a").await.unwrap();
        let mut content = post.content.clone();
        content.variants.insert("dry_run".parse().unwrap(), vec![Part::text("own")]);
        let refused = desk.edit_seen(post, content, None).await.unwrap_err().to_string();
        assert!(refused.contains("variants.dry_run: none of the accounts"), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_of_its_own_may_be_none() {
        let desk = strict().await;
        let json = |media: &str| {
            format!(
                r#"[{{"key": "a", "at": "2026-03-09T09:00Z", "accounts": "acme", "text": "hi",
                "options": {{"strict": {{"board": "b"}}}}, "variants": {{"strict": ""}}, "media": [{media}]}}]"#
            )
        };

        let told = told(&desk, "a.json", &json("")).await;
        assert!(told[0].contains("variants.strict: part 1 of 1 is empty"), "{told:?}");
        load(&desk, "a.json", &json(r#""https://example.com/a.png""#)).await;

        let own = &stored(&desk, "a").await.variants[&strict_name()];
        assert_eq!((own[0].text.as_str(), own[0].media.len()), ("", 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_column_that_is_wrong_is_told_once_where_its_cells_are_empty() {
        let desk = strict().await;
        let row = "2026-03-09T09:00Z,acme,hi,b,,\n";
        let csv =
            format!("at,accounts,text,strict.board,strikt.a,variants.strikt\n{row}{row}{row}");

        let told = told(&desk, "f.csv", &csv).await;

        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|one| one.starts_with("f.csv:2:")), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn pictures_alone_have_an_empty_list_of_texts() {
        let desk = strict().await;
        let json = r#"[{"key": "a", "at": "2026-03-09T09:00Z", "accounts": "acme", "text": [],
            "options": {"strict": {"board": "b"}}, "media": ["https://example.com/a.png"]}]"#;

        load(&desk, "a.json", json).await;

        assert_eq!(stored(&desk, "a").await.parts[0].media.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_with_a_text_of_its_own_is_told_at_its_place() {
        let desk = strict().await;
        let csv = |column: &str, value: &str| {
            let cells = format!("2026-03-09T09:00Z,acme,hi,b,\"{value}\"");
            format!("at,accounts,text,strict.board,{column}\n{cells}\n")
        };

        for (column, value, expected) in [
            (
                "variants.strikt",
                "a",
                "f.csv:2:29: variants.strikt: unknown platform \"strikt\"; did",
            ),
            (
                "variants.strikt",
                "",
                "f.csv:2:29: variants.strikt: unknown platform \"strikt\"; did",
            ),
            ("variants.", "a", "f.csv:1:31: variants: \"\" cannot be"),
            ("variants.strict,variants.Strict", "a\",\"b", "f.csv:1:47: variants: is there twice"),
            ("variants.strict", "a\n---\n", "variants.strict: part 2 of 2 is empty"),
            (
                "variants.dry_run",
                "a",
                "f.csv:2:29: variants.dry_run: none of the accounts is on dry_run",
            ),
            ("variants", "a", "or its own text as variants.x"),
            (
                "variant.strict",
                "a",
                "unknown platform \"variant\"; there is dry_run, strict; did you mean \"variants\"?",
            ),
            (
                "variants.strict",
                "a text that is far too long",
                "f.csv:2:29: variants.strict: too long",
            ),
        ] {
            let told = told(&desk, "f.csv", &csv(column, value)).await;
            assert!(told.iter().any(|one| one.contains(expected)), "{column}: {told:?}");
        }
        let toml = "[[post]]\nvariants = 3\n[[post]]\n[post.variants]\nstrict = true\n\"A B\" = \"a\"\n\
            [[post]]\n[post.variants]\nstrict = \"a\"\nStrict = \"b\"\n\
            [[post]]\n[post.options.strict]\nboard = \"a\"\n[post.options.Strict]\nboard = \"b\"\n";
        let all = told(&desk, "f.toml", toml).await;
        assert!(all[0].starts_with("f.toml:2:12: variants: is no table"), "{all:?}");
        assert!(
            all[1].starts_with("f.toml:5:10: variants: is a boolean, expected a text"),
            "{all:?}"
        );
        assert!(all[2].starts_with("f.toml:6:9: variants: \"A B\" cannot be"), "{all:?}");
        let twice =
            |what: &str| all.iter().any(|one| one.ends_with(&format!("{what}: is there twice")));
        assert!(twice("variants") && twice("options"), "{all:?}");
        assert!(all[3..].iter().all(|one| !one.contains("as reddit.subreddit")), "{all:?}");
        let json = r#"[{"variants": 3}, {"variants": {"strict": {}}},
            {"variants": {"strict": "a", "strict": "b"}}]"#;
        let all = told(&desk, "f.json", json).await;
        assert!(all[0].starts_with("f.json:1:15: variants: is no object"), "{all:?}");
        assert!(all[1].contains("variants: expected a text"), "{all:?}");
        assert!(all[2].contains("variants: is there twice"), "{all:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_is_told_at_its_place() {
        let desk = strict().await;
        let csv = |column: &str, value: &str| {
            format!("at,accounts,text,{column}\n2026-03-09T09:00Z,acme,hi,{value}\n")
        };

        for (column, value, expected) in [
            ("strict.board", "abcdef", "f.csv:2:27: options.strict.board: is 6 characters"),
            ("strict.bored", "a", "f.csv:2:27: options.strict.bored: is not known; expected board"),
            ("strikt.board", "a", "f.csv:2:27: options.strikt.board: unknown platform \"strikt\""),
            // A column is as wrong where nothing is in it.
            ("strikt.board", "", "f.csv:2:27: options.strikt.board: unknown platform \"strikt\""),
            ("strict.bored", "", "f.csv:2:27: options.strict.bored: is not known; expected board"),
            ("strict.", "a", "f.csv:1:18: options: \"strict.\" cannot be"),
            ("board", "a", "an option of a platform as reddit.subreddit"),
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

    #[tokio::test(start_paused = true)]
    async fn a_day_that_is_full_is_told_at_the_row_that_fills_it() {
        let desk = strict().await;
        let row = |key: &str, at: &str| format!("{key},{at},acme,hi\n");
        let csv = |rows: &[String]| format!("key,at,accounts,text\n{}", rows.concat());
        let day = |hour: u32| format!("2026-03-12T{hour:02}:00Z");
        let four: Vec<String> = (8..12).map(|h| row(&format!("k{h}"), &day(h))).collect();

        let all = told(&desk, "f.csv", &csv(&four)).await;

        assert_eq!(all.len(), 1, "{all:?}");
        assert!(
            all[0].starts_with("f.csv:5:5: at: Thursday, 2026-03-12 11:00:00 UTC, breaks"),
            "{all:?}"
        );
        load(&desk, "f.csv", &csv(&four[..3])).await;
        // One that is known and moves there is too much as well; not if another one goes.
        let there = row("later", "2026-03-20T09:00Z");
        load(&desk, "g.csv", &csv(std::slice::from_ref(&there))).await;
        let comes = row("later", &day(15));
        let all = told(&desk, "g.csv", &csv(std::slice::from_ref(&comes))).await;
        assert!(all[0].starts_with("g.csv:2:7: at: Thursday, 2026-03-12 15:00:00 UTC"), "{all:?}");
        let goes = row("k8", "2026-03-20T09:00Z");
        let loaded =
            load(&desk, "h.csv", &csv(&[comes, goes, row("new", "2026-03-20T10:00Z")])).await;
        let actions: Vec<String> = loaded.rows.iter().map(|one| one.action.to_string()).collect();
        assert_eq!(actions[..2], ["known, changes time", "known, changes time"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_made_to_fit_is_told_at_its_row() {
        let desk = strict().await;
        let csv = |text: &str, fit: &str| {
            format!("key,at,accounts,text,fit\na,2026-03-09T09:00Z,acme,{text},{fit}\n")
        };

        for fit in ["shorten", "thread"] {
            let all = told(&desk, "f.csv", &csv("https://example.com/a-page", fit)).await;
            let told =
                "f.csv:2:53: fit: strict: \"https://example.com/a-page\" is too long by itself";
            assert!(all.iter().any(|one| one.starts_with(told)), "{all:?}");
        }
        let all = told(&desk, "f.csv", &csv("hi", "tight")).await;
        assert_eq!(all, ["f.csv:2:29: fit: \"tight\" cannot be; expected shorten or thread"]);
        load(&desk, "f.csv", &csv("One is out. Two is not out yet", "shorten")).await;
        let all = told(&desk, "f.csv", &csv("https://example.com/a-page", "shorten")).await;
        assert!(
            all[0].contains(": fit: strict: \"https://example.com/a-page\" is too long"),
            "{all:?}"
        );
    }
}
