//! When a Pin on Pinterest says what was sent.
//!
//! Pinterest may give back what it was given in another form: signs escaped, spaces at the ends left out, a link
//! with what it adds for counting. So both sides are brought to one form first.

use unicode_normalization::UnicodeNormalization;

/// How alike two texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sameness {
    /// Surely not the same.
    Different,
    /// The same but for letter case, spaces and punctuation, or cut off: a person has to look.
    Near,
    /// The same, but for what is changed in every text.
    Same,
}

/// So many characters of a text that is shown cut off are enough to be like it.
const LEAST_CUT: usize = 40;

/// Compares a text that was sent with the one that is shown; none and an empty one are the same.
pub(crate) fn compare(sent: &str, shown: &str) -> Sameness {
    let ours = exact(sent);
    // The documentation does not say whether signs are escaped: who wrote `&amp;` may get it back.
    let readings = [exact(shown), exact(&unescape(shown))];
    if readings.contains(&ours) {
        return Sameness::Same;
    }
    let core = self::core(&ours);
    let near = readings.iter().any(|reading| {
        let theirs = self::core(reading);
        theirs == core || (theirs.chars().count() >= LEAST_CUT && core.starts_with(&theirs))
    });
    if near { Sameness::Near } else { Sameness::Different }
}

/// Compares links: the scheme, the host's case and a final slash do not matter. Where the path is the same and
/// the rest is not, or the link is not shown at all, they are near.
pub(crate) fn compare_links(sent: &str, shown: &str) -> Sameness {
    let (ours, theirs) = (bare(sent), bare(&unescape(shown)));
    if ours == theirs {
        return Sameness::Same;
    }
    let path = |link: &str| link.split(['?', '#']).next().unwrap_or_default().to_owned();
    let is_near = theirs.is_empty()
        || path(&ours).trim_end_matches('/') == path(&theirs).trim_end_matches('/');
    if is_near { Sameness::Near } else { Sameness::Different }
}

/// NFC, one kind of line end, trimmed.
fn exact(text: &str) -> String {
    let text: String = text.replace("\r\n", "\n").nfc().collect();
    text.trim().to_owned()
}

fn unescape(text: &str) -> String {
    // `&amp;` last: `&amp;lt;` stands for `&lt;`.
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// What is left of a text without what may be changed without changing what it says.
fn core(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).filter(|&c| tells(c)).collect()
}

fn tells(c: char) -> bool {
    let silent = c.is_whitespace()
        || c.is_control()
        || c.is_ascii_punctuation()
        || matches!(c, '…' | '\u{AD}' | '\u{200B}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}');
    !silent
}

fn bare(link: &str) -> String {
    let link = link.trim();
    let bare = link.split_once("://").map_or(link, |(_scheme, rest)| rest);
    let host = bare.find(['/', '?', '#', ':']).unwrap_or(bare.len());
    format!("{}{}", bare[..host].to_lowercase(), bare[host..].trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_in_every_text_is_no_difference() {
        for (sent, shown) in [
            ("", ""),
            ("Tea & <b>", "Tea &amp; &lt;b&gt;"),
            ("Tea &amp; cake", "Tea &amp; cake"),
            (" two\r\nlines ", "two\nlines"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("👩‍🍳 \"soup\"", "👩‍🍳 &quot;soup&quot;"),
        ] {
            assert_eq!(compare(sent, shown), Sameness::Same, "{sent:?} {shown:?}");
        }
    }

    #[test]
    fn what_a_person_would_take_for_the_same_is_near() {
        let long = "a long description of a recipe that goes on and on and on";
        for (sent, shown) in
            [("Soup!", "soup"), ("two lines", "two\n\nlines"), (long, &format!("{}…", &long[..50]))]
        {
            assert_eq!(compare(sent, shown), Sameness::Near, "{sent:?} {shown:?}");
        }
        for (sent, shown) in [("soup", "stew"), ("soup", ""), ("", "soup"), (long, &long[..20])] {
            assert_eq!(compare(sent, shown), Sameness::Different, "{sent:?} {shown:?}");
        }
    }

    #[test]
    fn links_are_compared_by_where_they_lead() {
        let same = |sent, shown| compare_links(sent, shown);

        assert_eq!(same("https://Example.com/a/", "http://example.com/a"), Sameness::Same);
        assert_eq!(same("https://e.com/?a=1&b=2", "https://e.com/?a=1&amp;b=2"), Sameness::Same);
        assert_eq!(same("", ""), Sameness::Same);
        assert_eq!(same("https://e.com/a", "https://e.com/a?utm_source=p"), Sameness::Near);
        assert_eq!(same("https://e.com/a", ""), Sameness::Near, "it may have been taken away");
        assert_eq!(same("https://e.com/a", "https://e.com/b"), Sameness::Different);
        assert_eq!(same("", "https://e.com/b"), Sameness::Different);
    }
}
