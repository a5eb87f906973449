//! When a text on X is the one that was sent.
//!
//! X does not give back what it was given: links become `https://t.co/…`, signs are escaped, a link
//! to its own media is put behind the text. So both sides are brought to one form first.

use unicode_normalization::UnicodeNormalization;

use super::url::{invisible, links};

/// So much of a text is left where X cut it off: 280 light or 140 heavy characters, links included.
const LEAST_CUT: usize = 100;

/// A link of a post as X shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownLink {
    /// What stands in the text: `https://t.co/…`.
    pub(crate) short: String,
    /// What it leads to.
    pub(crate) target: String,
    /// X put it there itself, for the post's own media.
    pub(crate) own_media: bool,
}

/// The text of a post as X shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) text: &'a str,
    pub(crate) links: &'a [ShownLink],
    /// It answers another post: X may have put `@names` before it.
    pub(crate) is_reply: bool,
}

/// How alike two texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sameness {
    /// The same, but for what X changes in every text.
    Same,
    /// The same but for letter case, spaces, punctuation, links, leading `@names`, or cut off: a
    /// person has to look.
    Near,
    /// Surely not the same.
    Different,
}

/// Compares what was sent with what X shows.
pub(crate) fn compare(sent: &str, shown: Shown<'_>) -> Sameness {
    let exact = exact(sent);
    if readings(shown).contains(&exact) {
        return Sameness::Same;
    }
    let core = core(sent, shown.is_reply);
    let near = readings(shown).iter().any(|reading| {
        let theirs = self::core(reading, shown.is_reply);
        theirs == core || is_cut(reading, &theirs, &core)
    });
    if near { Sameness::Near } else { Sameness::Different }
}

/// What the author may have written for X to show this: with links opened or left (who writes a
/// `t.co` link gets it back), escapes undone or left (X's documentation does not say which).
fn readings(shown: Shown<'_>) -> [String; 4] {
    let opened = open_links(shown, true);
    let left = open_links(shown, false);
    [exact(&unescape(&opened)), exact(&unescape(&left)), exact(&opened), exact(&left)]
}

/// The text with its links opened, and without those to its own media.
fn open_links(shown: Shown<'_>, open: bool) -> String {
    let mut links: Vec<&ShownLink> =
        shown.links.iter().filter(|link| !link.short.is_empty()).collect();
    // The longest first: one short link may be the beginning of another.
    links.sort_by_key(|link| std::cmp::Reverse(link.short.len()));
    let mut text = shown.text.to_owned();
    for link in links {
        if link.own_media {
            text = text.replace(&link.short, "");
        } else if open {
            text = text.replace(&link.short, &link.target);
        }
    }
    text
}

fn unescape(text: &str) -> String {
    // `&amp;` last: `&amp;lt;` stands for `&lt;`.
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// NFC, one kind of line end, links without scheme and final slash, trimmed.
fn exact(text: &str) -> String {
    let text: String = text.replace("\r\n", "\n").nfc().collect();
    let mut plain = String::with_capacity(text.len());
    let mut rest = 0;
    for link in links(&text) {
        plain.push_str(&text[rest..link.start]);
        plain.push_str(&bare(&text[link.clone()]));
        rest = link.end;
    }
    plain.push_str(&text[rest..]);
    plain.trim().to_owned()
}

fn bare(link: &str) -> String {
    let bare = match link.split_once("://") {
        Some((_scheme, rest)) => rest,
        None => link,
    };
    let host = bare.find(['/', '?', '#', ':']).unwrap_or(bare.len());
    format!("{}{}", bare[..host].to_lowercase(), bare[host..].trim_end_matches('/'))
}

/// What is left of a text without everything that X or a person may change without changing what it
/// says: compatibility forms, letter case, links, spaces, punctuation and invisible signs.
fn core(text: &str, is_reply: bool) -> String {
    let text: String = text.nfc().collect();
    let mut kept = String::with_capacity(text.len());
    let mut rest = if is_reply { text.len() - without_mentions(&text).len() } else { 0 };
    for link in links(&text).into_iter().filter(|link| link.start >= rest).collect::<Vec<_>>() {
        kept.push_str(&text[rest..link.start]);
        rest = link.end;
    }
    kept.push_str(&text[rest..]);
    kept.nfkc().flat_map(char::to_lowercase).filter(|&c| tells(c)).collect()
}

fn tells(c: char) -> bool {
    let silent = c.is_whitespace()
        || c.is_control()
        || c.is_ascii_punctuation()
        || invisible(c)
        || matches!(c, '\u{AD}' | '\u{200B}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}');
    !silent
}

fn without_mentions(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some(name) = rest.strip_prefix('@') {
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
        rest = name[end..].trim_start();
    }
    rest
}

/// Whether X shows the beginning of our text and cut the rest off, with or without a mark.
fn is_cut(reading: &str, theirs: &str, ours: &str) -> bool {
    let marked = reading.contains('…') && !theirs.is_empty();
    (marked || theirs.chars().count() >= LEAST_CUT) && ours.starts_with(theirs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn what_x_makes_of_any_text_is_the_same_text(text in ".{0,80}") {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");

            prop_assert_eq!(compare_plain(&text, &text), Sameness::Same);
            prop_assert_eq!(compare_plain(&text, escaped.trim()), Sameness::Same);
        }

        #[test]
        fn links_are_apart_and_in_order(text in r"([a-z.:/@#?(_ 日-]|http://|\.com|\.jp){0,40}") {
            let found = links(&text);

            prop_assert!(found.iter().all(|link| link.start < link.end && text.get(link.clone()).is_some()));
            prop_assert!(found.is_sorted_by(|one, other| one.end <= other.start), "{:?}", found);
        }
    }

    fn compare_plain(sent: &str, shown: &str) -> Sameness {
        compare(sent, Shown { text: shown, links: &[], is_reply: false })
    }

    fn link(short: &str, target: &str) -> ShownLink {
        ShownLink { short: short.into(), target: target.into(), own_media: false }
    }

    fn compare_with(sent: &str, shown: &str, links: &[ShownLink]) -> Sameness {
        compare(sent, Shown { text: shown, links, is_reply: false })
    }

    #[test]
    fn what_x_changes_in_every_text_makes_no_difference() {
        assert_eq!(
            compare_plain(" café \r\n& <b> ", "cafe\u{301} \n&amp; &lt;b&gt;"),
            Sameness::Same
        );
        assert_eq!(compare_plain("a & b", "a & b"), Sameness::Same);
        assert_eq!(compare_plain("literally &amp;", "literally &amp;amp;"), Sameness::Same);
        assert_eq!(compare_plain("literally &amp;", "literally &amp;"), Sameness::Same);
    }

    #[test]
    fn links_are_compared_by_what_they_lead_to() {
        let short = "https://t.co/aB3";
        let same = |sent: &str, target: &str| {
            compare_with(sent, &format!("see {short} now"), &[link(short, target)])
        };

        assert_eq!(same("see https://example.com/ now", "https://example.com"), Sameness::Same);
        assert_eq!(same("see example.com now", "http://example.com"), Sameness::Same);
        assert_eq!(same("see Example.COM/Path now", "http://example.com/Path"), Sameness::Same);
        assert_eq!(same("see https://t.co/aB3 now", "https://example.com"), Sameness::Same);
        assert_eq!(
            same("see https://a.com/?x=1&y=2 now", "https://a.com/?x=1&amp;y=2"),
            Sameness::Same
        );
        assert_eq!(same("see example.com/a now", "http://example.com/b"), Sameness::Near);
    }

    #[test]
    fn one_short_link_may_begin_another() {
        let links =
            [link("https://t.co/a", "https://one.com"), link("https://t.co/ab", "https://two.com")];

        let found = compare_with("one.com two.com", "https://t.co/a https://t.co/ab", &links);

        assert_eq!(found, Sameness::Same);
    }

    #[test]
    fn the_link_to_the_own_media_is_left_out() {
        let media = ShownLink {
            own_media: true,
            ..link("https://t.co/m", "https://x.com/a/status/1/photo/1")
        };

        assert_eq!(compare_with("a view", "a view https://t.co/m", &[media]), Sameness::Same);
    }

    #[test]
    fn small_changes_are_near_and_others_are_not() {
        assert_eq!(compare_plain("Hello, world!", "hello  world"), Sameness::Near);
        assert_eq!(compare_plain("Hello world https://a.com", "Hello world"), Sameness::Near);
        assert_eq!(compare_plain("Hello world", "Hello moon"), Sameness::Different);
        assert_eq!(compare_plain("Hello world 1", "Hello world 2"), Sameness::Different);
        assert_eq!(compare_plain("👍", "👎"), Sameness::Different);
    }

    #[test]
    fn a_text_that_x_cut_off_is_near() {
        let long = "one two three four five six seven eight nine ten eleven twelve thirteen";

        assert_eq!(
            compare_plain(long, &format!("{}… https://t.co/x", &long[..60])),
            Sameness::Near
        );
        assert_eq!(compare_plain(&long.repeat(3), &long.repeat(2)), Sameness::Near);
        assert_eq!(compare_plain(long, "one two three"), Sameness::Different);
    }

    #[test]
    fn names_before_a_reply_are_near() {
        let shown = Shown { text: "@us @them part two", links: &[], is_reply: true };

        assert_eq!(compare("part two", shown), Sameness::Near);
        assert_eq!(compare("part two", Shown { is_reply: false, ..shown }), Sameness::Different);
    }
}
