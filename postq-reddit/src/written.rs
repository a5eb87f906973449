//! The rules that a community writes for people, as short lines: shown, and never checked.

use serde::Deserialize;
use serde_json::Value;

use crate::rules::or_default;

/// Of a community's rules, so many are told.
const MOST_TOLD: usize = 20;
/// The characters of one: a name and some sentences. The rest stands on the community's page.
const MOST_OF_ONE: usize = 500;

/// From `GET /r/{sr}/about/rules`. What is missing, null or something else says nothing.
#[derive(Debug, Deserialize)]
pub(crate) struct Written {
    #[serde(default, deserialize_with = "or_default")]
    rules: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    #[serde(default, deserialize_with = "or_default")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    short_name: String,
    #[serde(default, deserialize_with = "or_default")]
    description: String,
    #[serde(default, deserialize_with = "or_default")]
    priority: Option<f64>,
}

impl Written {
    /// Those for posts, in the community's order; what has no place in it comes last, as told.
    pub(crate) fn lines(self) -> Vec<String> {
        let rules = self.rules.into_iter().filter_map(|rule| serde_json::from_value(rule).ok());
        let mut rules: Vec<Rule> = rules.filter(|rule: &Rule| rule.kind != "comment").collect();
        let place = |rule: &Rule| rule.priority.unwrap_or(f64::INFINITY);
        rules.sort_by(|one, other| place(one).total_cmp(&place(other)));
        rules.iter().filter_map(Rule::line).take(MOST_TOLD).collect()
    }
}

impl Rule {
    fn line(&self) -> Option<String> {
        let (name, more) = (folded(&self.short_name), folded(&self.description));
        let whole = match (name.as_str(), more.as_str()) {
            ("", "") => return None,
            (one, "") | ("", one) => one.to_owned(),
            // Some write the name again, and go on.
            (name, more) if more.starts_with(name) => more.to_owned(),
            (name, more) => format!("{name}: {more}"),
        };
        Some(cut(whole))
    }
}

/// The text in one line, without control characters.
fn folded(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn cut(line: String) -> String {
    match line.char_indices().nth(MOST_OF_ONE) {
        None => line,
        Some(_) => line.chars().take(MOST_OF_ONE - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(rules: &Value) -> Vec<String> {
        let told: Written = serde_json::from_value(json!({ "rules": rules })).expect("an answer");
        told.lines()
    }

    #[test]
    fn rules_for_posts_are_told_in_the_order_of_the_community() {
        let told = lines(&json!([
            { "kind": "all", "short_name": "Later", "description": "", "priority": 7 },
            { "kind": "comment", "short_name": "No shouting", "description": "x", "priority": 0 },
            { "kind": "link", "short_name": "On topic", "description": "Rust alone.", "priority": 1 },
            { "short_name": "", "description": "No name.", "priority": null },
            { "short_name": "Be kind", "description": "Be kind. Always.", "priority": "first" },
        ]));

        let expected = ["On topic: Rust alone.", "Later", "No name.", "Be kind. Always."];
        assert_eq!(told, expected);
    }

    #[test]
    fn whatever_is_odd_spoils_nothing_else() {
        for nothing in [json!(null), json!({}), json!("none"), json!(7)] {
            assert_eq!(lines(&nothing), [""; 0], "{nothing}");
        }
        let missing: Written = serde_json::from_str("{}").expect("an answer");
        assert_eq!(missing.lines(), [""; 0]);
        let told = lines(&json!([
            null,
            "a rule",
            {},
            { "kind": 1, "short_name": ["x"], "description": null },
            { "kind": null, "short_name": "Good", "description": { "a": 1 }, "priority": {} },
        ]));
        assert_eq!(told, ["Good"]);
    }

    #[test]
    fn a_rule_is_one_line() {
        let told = lines(&json!([{
            "short_name": " No\tspam ",
            "description": "One.\r\n\r\n* Two\u{2028}three\u{1b}[31m \0",
        }]));

        assert_eq!(told, ["No spam: One. * Two three [31m"]);
    }

    #[test]
    fn many_rules_and_long_ones_are_cut() {
        let long = "é👍".repeat(400);
        let rule = json!({ "short_name": "Long", "description": long });

        let told = lines(&json!(vec![rule; 25]));

        assert_eq!(told.len(), 20);
        assert_eq!(told[0].chars().count(), 500);
        assert!(told[0].starts_with("Long: é👍") && told[0].ends_with("é…"), "{}", told[0]);
        let just = "x".repeat(500);
        assert_eq!(lines(&json!([{ "description": just }])), [just]);
    }
}
