//! The official vectors of twitter-text: see `tests/data/twitter-text/README.md`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::length::{forbidden, weighted_length};
use super::url::links;

const LIMIT: usize = 280;

#[derive(Deserialize)]
struct Vectors {
    tests: BTreeMap<String, Vec<Vector>>,
}

#[derive(Deserialize)]
struct Vector {
    description: String,
    text: serde_yaml_ng::Value,
    expected: serde_yaml_ng::Value,
}

impl Vector {
    fn text(&self) -> &str {
        self.text.as_str().expect("a text")
    }

    fn expected<T: for<'de> Deserialize<'de>>(&self) -> T {
        serde_yaml_ng::from_value(self.expected.clone()).expect("the shape of the group")
    }
}

#[derive(Deserialize)]
struct Length {
    #[serde(rename = "weightedLength")]
    weighted: usize,
    valid: bool,
}

#[derive(Deserialize)]
struct Link {
    url: String,
    indices: [usize; 2],
}

fn group(file: &str, name: &str) -> Vec<Vector> {
    let mut vectors: Vectors = serde_yaml_ng::from_str(file).expect("a file of vectors");
    vectors.tests.remove(name).expect("a group of the file")
}

const VALIDATE: &str = include_str!("../../tests/data/twitter-text/validate.yml");
const EXTRACT: &str = include_str!("../../tests/data/twitter-text/extract.yml");
const TLDS: &str = include_str!("../../tests/data/twitter-text/tlds.yml");

#[test]
fn lengths_are_those_of_the_official_vectors() {
    let groups =
        ["WeightedTweetsWithDiscountedEmojiCounterTest", "UnicodeDirectionalMarkerCounterTest"];
    let vectors: Vec<_> = groups.iter().flat_map(|name| group(VALIDATE, name)).collect();
    assert!(vectors.len() > 20, "{} vectors", vectors.len());
    for vector in vectors {
        let expected: Length = vector.expected();
        let length = weighted_length(vector.text());
        let valid = (1..=LIMIT).contains(&length) && forbidden(vector.text()).is_none();

        assert_eq!(length, expected.weighted, "{}", vector.description);
        assert_eq!(valid, expected.valid, "{}", vector.description);
    }
}

#[test]
fn links_are_those_of_the_official_vectors() {
    let vectors = ["urls", "tco_urls_with_params"].iter().flat_map(|name| group(EXTRACT, name));
    let tlds = ["country", "generic"].iter().flat_map(|name| group(TLDS, name));
    for vector in vectors.chain(tlds) {
        let text = vector.text();
        let found: Vec<&str> = links(text).into_iter().map(|link| &text[link]).collect();

        assert_eq!(found, vector.expected::<Vec<String>>(), "{}: {text}", vector.description);
    }
}

#[test]
fn links_are_where_the_official_vectors_have_them() {
    let groups = ["urls_with_indices", "urls_with_directional_markers"];
    for vector in groups.iter().flat_map(|name| group(EXTRACT, name)) {
        let text = vector.text();
        let found = links(text);
        let expected: Vec<Link> = vector.expected();

        assert_eq!(found.len(), expected.len(), "{}", vector.description);
        for (link, expected) in found.into_iter().zip(expected) {
            let start = text[..link.start].chars().count();
            let end = start + text[link.clone()].chars().count();
            assert_eq!(text[link], expected.url, "{}", vector.description);
            assert_eq!([start, end], expected.indices, "{}", vector.description);
        }
    }
}

/// The weights that the counter has built in are those of the official configuration.
#[test]
fn the_configuration_is_version_3() {
    let config: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(include_str!("../../tests/data/twitter-text/v3.json"))
            .expect("JSON");
    let scale = config["scale"].as_u64().expect("a scale");
    for range in config["ranges"].as_sequence().expect("ranges") {
        let (start, end) = (range["start"].as_u64().unwrap(), range["end"].as_u64().unwrap());
        for edge in [start.max(1), end] {
            let c = char::from_u32(u32::try_from(edge).unwrap()).unwrap();
            let expected = range["weight"].as_u64().unwrap() / scale;
            assert_eq!(weighted_length(&c.to_string()) as u64, expected, "U+{edge:04X}");
        }
    }
    for outside in [4_352u32, 8_206, 8_207, 8_224, 8_241, 8_248] {
        let c = char::from_u32(outside).unwrap();
        assert_eq!(weighted_length(&c.to_string()), 2, "U+{outside:04X}");
    }
}
