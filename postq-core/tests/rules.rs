//! Every numbered rule of a contract has its test, and every test is in its suite's macro.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The names in brackets at the end of the contracts' rules: ``(`like_this`, `and_this`)``.
fn rules(source: &str) -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    let docs: String = source
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("///"))
        .collect::<Vec<_>>()
        .join(" ");
    for bracket in docs.split('(').skip(1).filter_map(|rest| rest.split(')').next()) {
        let names: Vec<_> = bracket.split(',').map(str::trim).collect();
        let is_rule = |name: &&str| {
            name.len() > 8
                && name.starts_with('`')
                && name.ends_with('`')
                && name.contains('_')
                && name[1..name.len() - 1].chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        if names.iter().all(is_rule) {
            rules.extend(names.iter().map(|name| name.trim_matches('`').to_owned()));
        }
    }
    rules
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("it can be read")
}

/// What the macros of the suites list.
fn listed(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for list in source.split("conformance_rules! {").skip(1) {
        let Some(inner) = list.split('{').nth(1).and_then(|rest| rest.split('}').next()) else {
            continue;
        };
        names.extend(inner.split(',').map(|name| name.trim().to_owned()));
    }
    names.remove("");
    names
}

#[test]
fn every_rule_is_in_a_suite() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let suites: String = sources(&src.join("conformance")).iter().map(|path| read(path)).collect();
    let tests = listed(&suites);
    // The machine's own rules are tested beside it: it has one implementation.
    let own = read(&src.join("machine.rs"));
    let mut missing = Vec::new();
    let folders = [src.clone(), src.join("fallback")];
    let has_contracts = |path: &&PathBuf| folders.iter().any(|at| path.parent() == Some(at));
    for path in sources(&src).iter().filter(has_contracts) {
        for rule in rules(&read(path)) {
            if !tests.contains(&rule) && !own.contains(&format!("fn {rule}(")) {
                missing.push(format!("{}: {rule}", path.display()));
            }
        }
    }

    assert!(tests.len() > 90, "only {} tests are listed", tests.len());
    assert_eq!(missing, Vec::<String>::new(), "rules without a test");
}

#[test]
fn every_public_test_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
    let all: String = sources(&folder).iter().map(|path| read(path)).collect();
    let tests = listed(&all);
    let mut left_out = Vec::new();
    for path in sources(&folder) {
        // Helpers have a file of their own; what is left are the rules.
        if path.ends_with("fixtures.rs") || path.ends_with("conformance/mod.rs") {
            continue;
        }
        for line in read(&path).lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
            let name = line.split(['(', '<']).next().unwrap_or_default();
            if !tests.contains(name) {
                left_out.push(format!("{}: {name}", path.display()));
            }
        }
    }

    assert_eq!(left_out, Vec::<String>::new(), "tests that no macro runs");
}
