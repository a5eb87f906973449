//! `--option reddit.subreddit=rust`: what else a platform wants to know, read as the platform says.

use std::collections::BTreeMap;

use postq_calendar::near;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::api::shown::Shown;
use crate::output::Usage;

/// Values by name, by platform. Null takes one away.
#[derive(Clone, Debug, Default)]
pub(super) struct Options(BTreeMap<String, BTreeMap<String, Value>>);

#[derive(Debug, Deserialize)]
struct Platforms {
    items: Vec<Shown<Platform>>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    platform: String,
    options: Vec<Known>,
}

/// An option as its platform tells it.
#[derive(Debug, Deserialize)]
struct Known {
    name: String,
    kind: String,
}

impl Options {
    /// What was written, by what the platforms know. Asks for that only if something was.
    pub(super) async fn read(api: &Api, written: &[String]) -> anyhow::Result<Self> {
        if written.is_empty() {
            return Ok(Self::default());
        }
        let known = api.get::<Platforms>("/api/platforms").await?.it;
        let known: Vec<&Platform> = known.items.iter().map(|platform| &platform.it).collect();
        Ok(Self::of(&known, written)?)
    }

    fn of(known: &[&Platform], written: &[String]) -> Result<Self, Usage> {
        let mut all = Self::default();
        for text in written {
            let (platform, name, value) = one(known, text)?;
            let values = all.0.entry(platform.to_owned()).or_default();
            if values.insert(name.to_owned(), value).is_some() {
                return Err(Usage(format!("--option: {platform}.{name} is there twice")));
            }
        }
        Ok(all)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The platforms of which something is set, and not only taken away.
    pub(super) fn set(&self) -> impl Iterator<Item = &str> {
        let has_value =
            |values: &BTreeMap<String, Value>| values.values().any(|one| !one.is_null());
        let set = self.0.iter().filter(move |(_, values)| has_value(values));
        set.map(|(platform, _)| platform.as_str())
    }

    /// The options that a post has, with these over them.
    pub(super) fn over(&self, old: &Value) -> Value {
        let mut all = old.as_object().cloned().unwrap_or_default();
        for (platform, values) in &self.0 {
            let own = all.entry(platform.clone()).or_insert_with(|| json!({}));
            let mut own: Map<String, Value> = own.as_object().cloned().unwrap_or_default();
            own.extend(values.clone());
            own.retain(|_, value| !value.is_null());
            all.insert(platform.clone(), own.into());
        }
        all.retain(|_, values| values.as_object().is_some_and(|values| !values.is_empty()));
        all.into()
    }
}

/// The options of a post in lines: `reddit.subreddit = rust`.
pub(super) fn lines(options: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (platform, values) in options.as_object().into_iter().flatten() {
        for (name, value) in values.as_object().into_iter().flatten() {
            lines.push(format!("{platform}.{name} = {}", shown(value)));
        }
    }
    lines
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// One option: its platform, its name and its value.
fn one<'a>(known: &[&Platform], text: &'a str) -> Result<(&'a str, &'a str, Value), Usage> {
    let wrong = |why: String| Usage(format!("--option {text}: {why}"));
    let parts = text.split_once('=').and_then(|(key, value)| {
        let (platform, name) = key.split_once('.')?;
        Some((platform.trim(), name.trim(), value.trim()))
    });
    let Some((platform, name, value)) = parts else {
        return Err(wrong("expected PLATFORM.NAME=VALUE, as reddit.subreddit=rust".to_owned()));
    };
    let Some(its) = known.iter().find(|one| one.platform == platform) else {
        let names: Vec<&str> = known.iter().map(|one| one.platform.as_str()).collect();
        let hint = near::hint(platform, names.iter().copied());
        let names = names.join(", ");
        return Err(wrong(format!("unknown platform \"{platform}\"{hint}; there is {names}")));
    };
    let Some(option) = its.options.iter().find(|option| option.name == name) else {
        let names: Vec<&str> = its.options.iter().map(|option| option.name.as_str()).collect();
        let hint = near::hint(name, names.iter().copied());
        let expected = match names.as_slice() {
            [] => "it has none".to_owned(),
            names => format!("expected {}", names.join(", ")),
        };
        return Err(wrong(format!("{platform} has no option \"{name}\"{hint}; {expected}")));
    };
    let value = if value.is_empty() { Value::Null } else { typed(option, value).map_err(wrong)? };
    Ok((platform, name, value))
}

/// A value by its kind. Whether it is within its bounds, the platform says.
fn typed(option: &Known, text: &str) -> Result<Value, String> {
    match option.kind.as_str() {
        "flag" => match text {
            "true" | "yes" | "1" => Ok(true.into()),
            "false" | "no" | "0" => Ok(false.into()),
            _ => Err("expected true or false".to_owned()),
        },
        "number" => match text.parse::<i64>() {
            Ok(number) => Ok(number.into()),
            Err(_) => Err("expected a whole number".to_owned()),
        },
        "list" if text.starts_with('[') => match serde_json::from_str::<Vec<String>>(text) {
            Ok(texts) => Ok(texts.into()),
            Err(_) => Err("expected texts with commas between, or a JSON list of texts".to_owned()),
        },
        "list" => {
            let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
            Ok(texts.collect::<Vec<_>>().into())
        }
        // Whatever it looks like: a title may be 42.
        _ => Ok(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &[&str]) -> Result<Value, String> {
        let option = |name: &str, kind: &str| Known { name: name.into(), kind: kind.into() };
        let options = vec![
            option("subreddit", "text"),
            option("nsfw", "flag"),
            option("days", "number"),
            option("tags", "list"),
        ];
        let reddit = Platform { platform: "reddit".into(), options };
        let x = Platform { platform: "x".into(), options: Vec::new() };
        let written: Vec<String> = written.iter().map(|text| (*text).to_owned()).collect();
        let read = Options::of(&[&reddit, &x], &written);
        read.map(|options| options.over(&Value::Null)).map_err(|error| error.0)
    }

    #[test]
    fn values_are_of_the_kind_that_the_platform_says() {
        let told = read(&[
            "reddit.subreddit=42",
            "reddit.nsfw=yes",
            "reddit.days = 7",
            "reddit.tags=a, b=c",
        ]);

        let expected = json!({ "subreddit": "42", "nsfw": true, "days": 7, "tags": ["a", "b=c"] });
        assert_eq!(told.unwrap(), json!({ "reddit": expected }));
        let list = read(&["reddit.tags=[\"a, b\"]"]).unwrap();
        assert_eq!(list["reddit"]["tags"], json!(["a, b"]));
    }

    #[test]
    fn what_cannot_be_is_told_with_what_can() {
        for (written, expected) in [
            ("subreddit=rust", "expected PLATFORM.NAME=VALUE"),
            ("reddit.subreddit", "expected PLATFORM.NAME=VALUE"),
            ("redit.subreddit=rust", "there is reddit, x"),
            ("reddit.subredit=rust", "expected subreddit, nsfw, days, tags"),
            ("x.title=a", "it has none"),
            ("reddit.nsfw=perhaps", "expected true or false"),
            ("reddit.days=many", "expected a whole number"),
            ("reddit.tags=[1]", "a JSON list of texts"),
        ] {
            let told = read(&[written]).unwrap_err();
            assert!(told.contains(expected), "{written}: {told}");
        }
        assert!(read(&["reddit.days=1", "reddit.days=2"]).unwrap_err().contains("twice"));
    }

    #[test]
    fn options_go_over_those_that_are_there() {
        let old = json!({ "reddit": { "subreddit": "rust", "nsfw": true }, "x": { "a": 1 } });
        let reddit = [("nsfw".to_owned(), Value::Null), ("days".to_owned(), json!(2))];
        let x = [("a".to_owned(), Value::Null)];
        let all = [("reddit".to_owned(), reddit.into()), ("x".to_owned(), x.into())];

        let new = Options(all.into()).over(&old);

        assert_eq!(new, json!({ "reddit": { "subreddit": "rust", "days": 2 } }));
        assert_eq!(lines(&new), ["reddit.days = 2", "reddit.subreddit = rust"]);
    }
}
