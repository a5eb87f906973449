//! `--variant x="Short."`: texts of their own for single platforms.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::post::{divided, with_media};
use crate::api::shown::Part;
use crate::output::Usage;

/// Parts by platform; none takes them away.
#[derive(Clone, Debug, Default)]
pub(super) struct Variants(BTreeMap<String, Option<Vec<Part>>>);

impl Variants {
    /// What was written. Whether there are such platforms, the server says.
    pub(super) fn read(written: &[String]) -> Result<Self, Usage> {
        let mut all = BTreeMap::new();
        for one in written {
            let wrong = |why: &str| Usage(format!("--variant {one}: {why}"));
            let Some((platform, text)) = one.split_once('=') else {
                return Err(wrong("expected PLATFORM=TEXT, as x=\"Short.\""));
            };
            let parts = (!text.trim().is_empty()).then(|| divided(text));
            if all.insert(platform.trim().to_owned(), parts).is_some() {
                return Err(wrong("is there twice"));
            }
        }
        Ok(Self(all))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The platforms that get a text, and do not only lose one.
    pub(super) fn set(&self) -> impl Iterator<Item = &str> {
        let set = self.0.iter().filter(|(_, parts)| parts.is_some());
        set.map(|(platform, _)| platform.as_str())
    }

    /// The variants that a post has, with these over them: with the files that they had, or else those of the
    /// parts for all.
    pub(super) fn over(&self, mut old: Map<String, Value>, parts: &[Part]) -> Map<String, Value> {
        for (platform, new) in &self.0 {
            let had = old.remove(platform).and_then(|had| serde_json::from_value(had).ok());
            if let Some(new) = new {
                let had: Vec<Part> = had.unwrap_or_else(|| parts.to_vec());
                old.insert(platform.clone(), json!(with_media(&had, new)));
            }
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &[&str]) -> Result<Variants, String> {
        let written: Vec<String> = written.iter().map(|one| (*one).to_owned()).collect();
        Variants::read(&written).map_err(|error| error.0)
    }

    #[test]
    fn a_text_of_its_own_goes_over_what_was_there_with_its_files() {
        let file = json!({ "source": "https://example.com/a.png" });
        let other = json!({ "source": "https://example.com/b.png" });
        let all = [Part { text: "for all".to_owned(), media: vec![file.clone()] }];
        let old =
            json!({ "x": [{ "text": "old" }], "y": [{ "text": "y", "media": [other] }], "z": [] });

        let new = read(&["x=", "y= One = 1\n---\nTwo", "w=w"]).unwrap();
        let over = new.over(old.as_object().unwrap().clone(), &all);

        assert_eq!(new.set().collect::<Vec<_>>(), ["w", "y"]);
        let expected = json!({
            "w": [{ "text": "w", "media": [file] }],
            "y": [{ "text": "One = 1", "media": [other] }, { "text": "Two" }],
            "z": [],
        });
        assert_eq!(Value::from(over), expected);
    }

    #[test]
    fn what_cannot_be_is_told() {
        assert!(read(&["x"]).unwrap_err().contains("expected PLATFORM=TEXT"));
        assert!(read(&["x=a", " x = b"]).unwrap_err().contains("--variant  x = b: is there twice"));
        assert!(read(&[]).unwrap().is_empty());
    }
}
