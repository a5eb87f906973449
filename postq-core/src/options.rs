//! What some platforms want to know besides text and media: a board, a title, a community.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The most options of one platform in one post.
const MOST: usize = 32;
/// The longest value, in characters, where a platform says nothing shorter.
const LONGEST: usize = 4_000;
/// The longest that a message shows of what somebody wrote, in characters.
const SHOWN: usize = 40;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "an option is true or false, a whole number, a text or a list of texts"
)]
pub enum OptionValue {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// Several texts, in order.
    List(Vec<String>),
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::List(texts) => f.write_str(&texts.join(", ")),
        }
    }
}

/// Values by name, for the post of one platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PostOptions(BTreeMap<String, OptionValue>);

/// No options.
pub static NO_OPTIONS: PostOptions = PostOptions(BTreeMap::new());

impl PostOptions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &OptionValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Sets one.
    pub fn set(&mut self, name: impl Into<String>, value: OptionValue) {
        self.0.insert(name.into(), value);
    }

    /// A text; none where it is missing, empty, or something else.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            OptionValue::Text(text) => Some(text.as_str()).filter(|text| !text.trim().is_empty()),
            _ => None,
        }
    }

    /// Whether a flag is set.
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name) == Some(&OptionValue::Flag(true))
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.0.get(name)? {
            OptionValue::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Several texts; none where it is missing.
    pub fn list(&self, name: &str) -> &[String] {
        match self.0.get(name) {
            Some(OptionValue::List(texts)) => texts,
            _ => &[],
        }
    }

    /// What a platform that knows these fields would not take; each names the option, what is expected and
    /// what is there.
    pub fn problems(&self, fields: &[OptionField]) -> Vec<String> {
        let mut problems = Vec::new();
        if self.0.len() > MOST {
            problems.push(format!("{} options, at most {MOST}", self.0.len()));
        }
        // Of thousands nobody reads more.
        for (name, value) in self.0.iter().take(MOST) {
            let field = fields.iter().find(|field| field.name == name);
            let name: String = name.chars().take(SHOWN).collect();
            match field {
                Some(field) => problems.extend(field.problem(value)),
                None if fields.is_empty() => {
                    problems.push(format!("the option \"{name}\" is not known: there are none"));
                }
                None => {
                    let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
                    let known = known.join(", ");
                    problems.push(format!("the option \"{name}\" is not known; expected {known}"));
                }
            }
        }
        problems.extend(self.missing(fields));
        problems
    }

    /// The same, but for what is missing: of options for a platform that the post does not go to yet.
    pub fn malformed(&self, fields: &[OptionField]) -> Vec<String> {
        let missing = self.missing(fields).count();
        let mut problems = self.problems(fields);
        problems.truncate(problems.len() - missing);
        problems
    }

    fn missing(&self, fields: &[OptionField]) -> impl Iterator<Item = String> {
        let missing = fields.iter().filter(|field| field.required && self.lacks(field.name));
        missing.map(|field| format!("the option \"{}\" is missing: {}", field.name, field.about))
    }

    fn lacks(&self, name: &str) -> bool {
        match self.0.get(name) {
            None => true,
            Some(OptionValue::Text(text)) => text.trim().is_empty(),
            Some(OptionValue::List(texts)) => texts.is_empty(),
            Some(_) => false,
        }
    }
}

/// The option that a violation is about, where its message names one as `the option "NAME"`, and what is wrong:
/// the message, without the name where it begins with that.
pub fn told(message: &str) -> Option<(&str, &str)> {
    let (before, after) = message.split_once("the option \"")?;
    let (name, rest) = after.split_once('"')?;
    Some((name, if before.is_empty() { rest.trim_start() } else { message }))
}

impl FromIterator<(String, OptionValue)> for PostOptions {
    fn from_iter<I: IntoIterator<Item = (String, OptionValue)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

/// What an option may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// Yes or no.
    Flag,
    /// A whole number.
    Number {
        /// The least.
        least: i64,
        /// The most.
        most: i64,
    },
    /// A text.
    Text {
        /// The longest, in characters.
        most: usize,
    },
    /// One of these words.
    Choice {
        /// The words.
        of: &'static [&'static str],
    },
    /// Several texts.
    List {
        /// How many.
        most: usize,
    },
}

/// An option that a platform knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionField {
    /// Its name: `title`, `board`.
    pub name: &'static str,
    /// What it may be.
    pub kind: OptionKind,
    /// Whether every post needs it.
    pub required: bool,
    /// What it is, for a person.
    pub about: &'static str,
}

impl OptionField {
    /// A field that may be left out.
    pub const fn new(name: &'static str, kind: OptionKind, about: &'static str) -> Self {
        Self { name, kind, required: false, about }
    }

    /// The same, needed by every post.
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// Reads a value as people write it: `true`, `3`, `a text`, `one, another`.
    pub fn read(&self, text: &str) -> Result<OptionValue, String> {
        let text = text.trim();
        let value = match self.kind {
            OptionKind::Flag => match text {
                "true" | "yes" | "1" => OptionValue::Flag(true),
                "false" | "no" | "0" => OptionValue::Flag(false),
                _ => return Err(self.expected("true or false", text)),
            },
            OptionKind::Number { .. } => match text.parse() {
                Ok(number) => OptionValue::Number(number),
                Err(_) => return Err(self.expected("a whole number", text)),
            },
            OptionKind::Text { .. } | OptionKind::Choice { .. } => {
                OptionValue::Text(text.to_owned())
            }
            OptionKind::List { .. } => {
                let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
                OptionValue::List(texts.map(str::to_owned).collect())
            }
        };
        self.problem(&value).map_or(Ok(value), Err)
    }

    fn problem(&self, value: &OptionValue) -> Option<String> {
        let too_long = |text: &str, most: usize| {
            let length = text.chars().count();
            let name = self.name;
            (length > most).then(|| {
                format!("the option \"{name}\" is {length} characters long, at most {most}")
            })
        };
        match (self.kind, value) {
            (OptionKind::Flag, OptionValue::Flag(_)) => None,
            (OptionKind::Number { least, most }, OptionValue::Number(number)) => {
                let fits = (least..=most).contains(number);
                (!fits).then(|| self.expected(&format!("{least} to {most}"), &number.to_string()))
            }
            (OptionKind::Text { most }, OptionValue::Text(text)) => too_long(text, most),
            (OptionKind::Choice { of }, OptionValue::Text(text)) => {
                (!of.contains(&text.as_str())).then(|| self.expected(&of.join(", "), text))
            }
            (OptionKind::List { most }, OptionValue::List(texts)) => {
                if texts.len() > most {
                    let (name, texts) = (self.name, texts.len());
                    return Some(format!(
                        "the option \"{name}\" has {texts} entries, at most {most}"
                    ));
                }
                texts.iter().find_map(|text| too_long(text, LONGEST))
            }
            (kind, value) => Some(self.expected(kind.words(), &value.to_string())),
        }
    }

    fn expected(&self, expected: &str, actual: &str) -> String {
        let actual: String = actual.chars().take(SHOWN).collect();
        format!("the option \"{}\" is \"{actual}\", expected {expected}", self.name)
    }
}

impl OptionKind {
    const fn words(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Number { .. } => "a whole number",
            Self::Text { .. } => "a text",
            Self::Choice { .. } => "a word",
            Self::List { .. } => "a list of texts",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [OptionField; 5] = [
        OptionField::new("board", OptionKind::Text { most: 5 }, "which board").required(),
        OptionField::new("nsfw", OptionKind::Flag, "not for everybody"),
        OptionField::new("days", OptionKind::Number { least: 1, most: 7 }, "how long"),
        OptionField::new("kind", OptionKind::Choice { of: &["self", "link"] }, "what it is"),
        OptionField::new("langs", OptionKind::List { most: 2 }, "its languages"),
    ];

    fn read(json: &str) -> PostOptions {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn good_options_have_no_problem() {
        let options =
            read(r#"{"board":"cats","nsfw":true,"days":7,"kind":"link","langs":["de","en"]}"#);

        assert_eq!(options.problems(&FIELDS), [""; 0]);
        assert_eq!(options.text("board"), Some("cats"));
        assert!(options.flag("nsfw") && !options.flag("board"));
        assert_eq!(options.number("days"), Some(7));
        assert_eq!(options.list("langs"), ["de", "en"]);
        assert_eq!(serde_json::to_string(&options).unwrap().matches("cats").count(), 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, expected) in [
            ("{}", "the option \"board\" is missing: which board"),
            (r#"{"board":" "}"#, "the option \"board\" is missing: which board"),
            (r#"{"board":"abcdef"}"#, "the option \"board\" is 6 characters long, at most 5"),
            (r#"{"board":"a","nsfw":"x"}"#, "the option \"nsfw\" is \"x\", expected true or false"),
            (r#"{"board":"a","days":9}"#, "the option \"days\" is \"9\", expected 1 to 7"),
            (r#"{"board":"a","kind":"x"}"#, "the option \"kind\" is \"x\", expected self, link"),
            (
                r#"{"board":"a","langs":["a","b","c"]}"#,
                "the option \"langs\" has 3 entries, at most 2",
            ),
            (
                r#"{"board":"a","boards":1}"#,
                "the option \"boards\" is not known; expected board, nsfw, days, kind, langs",
            ),
        ] {
            assert_eq!(read(json).problems(&FIELDS), [expected], "{json}");
        }
        assert_eq!(
            read(r#"{"a":1}"#).problems(&[]),
            ["the option \"a\" is not known: there are none"]
        );
    }

    #[test]
    fn of_very_many_options_few_are_told() {
        let many = |name: &str| {
            let all = (0..10_000).map(|n| (format!("{name}{n}"), OptionValue::Flag(true)));
            all.collect::<PostOptions>().malformed(&FIELDS)
        };

        let told = many("");
        assert_eq!(told[0], "10000 options, at most 32");
        assert_eq!(told.len(), 33, "the first, and no more");
        let long = many(&"x".repeat(1_000));
        assert!(long.iter().all(|one| one.len() < 200), "{}", long[1]);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_name() {
        let told_all = |problems: &[String]| -> Vec<(String, String)> {
            let told = problems.iter().filter_map(|one| told(one));
            told.map(|(name, what)| (name.to_owned(), what.to_owned())).collect()
        };
        let options = read(r#"{"nsfw":"x"}"#);

        let problems = told_all(&options.problems(&FIELDS));
        let malformed = told_all(&options.malformed(&FIELDS));

        let nsfw = ("nsfw".to_owned(), "is \"x\", expected true or false".to_owned());
        let board = ("board".to_owned(), "is missing: which board".to_owned());
        assert_eq!(problems, [nsfw.clone(), board]);
        assert_eq!(malformed, [nsfw]);
        let card = "a card needs the option \"card_url\"";
        assert_eq!(told(card), Some(("card_url", card)));
        assert_eq!(told("the text is 301 long, at most 300"), None);
    }

    #[test]
    fn people_write_values_as_text() {
        assert_eq!(FIELDS[1].read("yes"), Ok(OptionValue::Flag(true)));
        assert_eq!(FIELDS[2].read(" 3 "), Ok(OptionValue::Number(3)));
        let langs = OptionValue::List(vec!["de".into(), "en".into()]);
        assert_eq!(FIELDS[4].read("de, en"), Ok(langs));
        assert!(FIELDS[1].read("perhaps").is_err());
        assert!(FIELDS[2].read("8").is_err());
    }
}
