//! The data folder, and the SQLite file in it.

use postq_core::error::chain;
use postq_sqlite::SqliteStore;

use super::Finding;
use crate::config::Config;
use crate::output::count;
use crate::{compose, folder};

/// The data folder and the file in it.
pub(super) fn file(config: &Config) -> [Finding; 2] {
    let folder = match folder::probe(&config.data_dir) {
        Ok(room) if room.is_little => Finding::warning("folder", room.told),
        Ok(room) => Finding::ok("folder", room.told),
        Err(error) => Finding::broken("folder", error.to_string()),
    };
    [folder, database(config)]
}

fn database(config: &Config) -> Finding {
    let path = compose::database(config);
    if !path.exists() {
        let message = format!("\"{}\" is made on first use", path.display());
        return Finding::ok("database", message);
    }
    if path.is_dir() {
        return Finding::broken(
            "database",
            format!("\"{0}\" is a folder; move it away: mv '{0}' '{0}.old'", path.display()),
        );
    }
    match SqliteStore::check(&path) {
        Err(error) => Finding::broken("database", chain(&error)),
        Ok(facts) if facts.is_sound() => Finding::ok(
            "database",
            format!(
                "\"{}\": {} KiB, schema {} of {}, SQLite {}",
                path.display(),
                facts.bytes / 1_024,
                facts.schema_version.unwrap_or_default(),
                facts.our_version,
                facts.sqlite
            ),
        ),
        Ok(facts) if facts.problems.is_empty() => Finding::broken(
            "database",
            format!(
                "\"{}\" was written by a newer postqd (schema {}, this one knows {}); use that one",
                path.display(),
                facts.schema_version.unwrap_or_default(),
                facts.our_version
            ),
        ),
        Ok(facts) => Finding::broken(
            "database",
            format!(
                "\"{}\" is damaged: {}; stop postqd, keep a copy, and restore a backup",
                path.display(),
                some_of(&facts.problems)
            ),
        ),
    }
}

/// The first of them in one line, and how many more there are.
fn some_of(problems: &[String]) -> String {
    let lines: Vec<&str> = problems.iter().flat_map(|problem| problem.lines()).collect();
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.starts_with("***")).collect();
    let first = lines.first().copied().unwrap_or("it does not say where");
    match lines.len() {
        0 | 1 => first.to_owned(),
        n => format!("{first}, and {} more", count(n - 1, "place")),
    }
}
