//! The known name that a person may have meant: for errors that help.

use std::collections::BTreeSet;

/// At most so many suggestions.
const MOST: usize = 3;

/// No name is as long as this, in bytes: to compare it would only take time.
const LONGEST: usize = 1_000;

/// The known names nearest to what was written, nearest first; none if nothing is near.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    if written.len() > LONGEST {
        return Vec::new();
    }
    let written = written.to_lowercase();
    let mut near: BTreeSet<(usize, &str)> = BTreeSet::new();
    for name in known {
        let folded = name.to_lowercase();
        // People leave out what stands before the last slash: `Berlin`, `New_York`.
        let tail = folded.rsplit('/').next().unwrap_or(&folded);
        let distance = strsim::osa_distance(&written, &folded)
            .min(strsim::osa_distance(&written.replace(' ', "_"), tail) + 1);
        if distance <= allowed(&written) {
            near.insert((distance, name));
        }
    }
    near.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// `; did you mean "a" or "b"?`, or nothing.
pub fn hint<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = nearest(written, known);
    if near.is_empty() {
        return String::new();
    }
    let quoted: Vec<_> = near.iter().map(|name| format!("\"{name}\"")).collect();
    format!("; did you mean {}?", quoted.join(" or "))
}

/// A third of the letters may be wrong, and one at least.
fn allowed(written: &str) -> usize {
    (written.chars().count() / 3).clamp(1, 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_nearest_first() {
        let known = ["acme", "acme_news", "other"];

        assert_eq!(nearest("acm", known), ["acme"]);
        assert_eq!(nearest("acme_new", known), ["acme_news"]);
        assert_eq!(hint("ACMW", known), "; did you mean \"acme\"?");
        assert_eq!(hint("zebra", known), "");
    }

    #[test]
    fn the_tail_of_a_zone_is_enough() {
        assert_eq!(nearest("berlin", ["Europe/Berlin", "Europe/Dublin"]), ["Europe/Berlin"]);
        assert_eq!(nearest("New York", ["America/New_York"]), ["America/New_York"]);
    }
}
