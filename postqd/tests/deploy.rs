//! What is shipped to deploy `postqd` sets only what there is to set.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::path::Path;

mod support;

use support::Place;

/// The names that a compose file or a Dockerfile gives to this program.
fn named(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    let ours =
        ["POSTQ_", "REDIS_", "X_API_", "DATABASE_URL", "DRY_RUN", "LOG_LEVEL", "ENVIRONMENT"];
    let is_ours = |word: &&str| ours.iter().any(|own| word.starts_with(own));
    words.filter(is_ours).map(str::to_owned).collect()
}

#[test]
fn every_setting_that_is_shipped_exists() {
    let config = Place::new().run(&["config", "--json"]).exits(0);
    let known: BTreeSet<String> = config.values()[0]
        .as_array()
        .unwrap()
        .iter()
        .map(|setting| setting["env"].as_str().unwrap().to_owned())
        .collect();

    for file in ["docker-compose.yml", "Dockerfile", "README.md"] {
        let unknown: Vec<String> = named(file).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
    assert!(named("docker-compose.yml").len() >= 5, "they are found");
}
