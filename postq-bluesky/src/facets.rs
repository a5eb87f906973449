//! Links, mentions and hashtags of a text: where they are, in bytes.
//!
//! A server shows a text as it is and looks for nothing in it: what is to be a link must be said. Positions are
//! those of the text's UTF-8 bytes, the end is not part of it.

use std::ops::Range;

use reqwest::Url;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

/// The longest hashtag, in graphemes, and in bytes.
pub(crate) const MOST_OF_TAG: (usize, usize) = (64, 640);
/// The longest handle.
const MOST_OF_HANDLE: usize = 253;

/// Something in a text that leads somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) place: Range<usize>,
    pub(crate) what: What,
}

/// Where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A page.
    Link(String),
    /// An account, by its handle, in lower case.
    Mention(String),
    /// Posts with this tag, which has no `#`.
    Tag(String),
}

/// All of a text, in order.
pub(crate) fn spans(text: &str) -> Vec<Span> {
    let mut spans = links(text);
    let taken: Vec<Range<usize>> = spans.iter().map(|span| span.place.clone()).collect();
    let is_free = |place: &Range<usize>| {
        taken.iter().all(|other| place.end <= other.start || other.end <= place.start)
    };
    spans.extend(
        words(text).filter_map(|(at, word)| marked(at, word)).filter(|s| is_free(&s.place)),
    );
    spans.retain(|span| cuts_nothing(text, &span.place));
    spans.sort_by_key(|span| span.place.start);
    spans
}

/// Whether a place begins and ends between graphemes: what is shown as one sign is not a link by half. A joiner
/// that is not seen may follow: Bluesky's own app ends tags there too.
fn cuts_nothing(text: &str, place: &Range<usize>) -> bool {
    [place.start, place.end].into_iter().all(|at| {
        let is_between = GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0);
        is_between.unwrap_or(false) || text[at..].starts_with('\u{200c}')
    })
}

/// Handles that a text mentions, each once.
pub(crate) fn handles(text: &str) -> Vec<String> {
    let mut handles = Vec::new();
    for span in spans(text) {
        if let What::Mention(handle) = span.what
            && !handles.contains(&handle)
        {
            handles.push(handle);
        }
    }
    handles
}

/// Only what says its scheme: whether `example.com` is a page or the end of a sentence nobody can tell.
fn links(text: &str) -> Vec<Span> {
    let mut links = Vec::new();
    let mut from = 0;
    while let Some(at) = next_scheme(text, from) {
        let end = text[at..]
            .find(|c: char| c.is_whitespace() || is_unseen(c) || matches!(c, '<' | '>' | '"'))
            .map_or(text.len(), |length| at + length);
        let link = without_tail(&text[at..end]);
        from = at + link.len().max(1);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        if is_page(link) {
            let place = at..at + link.len();
            links.push(Span { place, what: What::Link(link.to_owned()) });
        }
    }
    links
}

/// Where the next `http://` or `https://` begins that is not the end of a word.
fn next_scheme(text: &str, from: usize) -> Option<usize> {
    let mut from = from;
    loop {
        let found = text.get(from..)?.find("://")? + from;
        let begins = ["https", "http"].into_iter().find_map(|scheme| {
            let at = found.checked_sub(scheme.len())?;
            let is_it = text.get(at..found)?.eq_ignore_ascii_case(scheme);
            let before = text[..at].chars().next_back();
            let is_apart = !before.is_some_and(|c| c.is_ascii_alphanumeric());
            (is_it && is_apart).then_some(at)
        });
        match begins {
            Some(at) if at >= from => return Some(at),
            _ => from = found + 3,
        }
    }
}

/// A link without what ends the sentence it stands in.
fn without_tail(link: &str) -> &str {
    let mut link = link;
    while let Some(last) = link.chars().next_back() {
        let opens =
            |open: char, close: char| link.matches(open).count() < link.matches(close).count();
        let ends = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '…' | '’' | '”' | '“' | '»' | '›' | '。'
            | '、' | '，' | '！' | '？' | '」' | '』' | '）' | '】' | '،' | '؛' | '؟' | '।'
            | '۔' => true,
            ')' => opens('(', ')'),
            ']' => opens('[', ']'),
            '}' => opens('{', '}'),
            _ => false,
        };
        if !ends {
            return link;
        }
        link = &link[..link.len() - last.len_utf8()];
    }
    link
}

/// Whether this is an address of a page, by `http` or `https`, at a host.
pub(crate) fn is_page(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let host = url.host_str().unwrap_or_default();
        matches!(url.scheme(), "http" | "https") && !host.is_empty()
    })
}

/// The words of a text, with the place of each.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(char::is_whitespace).filter(|word| !word.is_empty()).map(move |word| {
        let at = word.as_ptr() as usize - text.as_ptr() as usize;
        (at, word)
    })
}

/// What a word marks that begins with `@` or `#`, or with an opening bracket before it.
fn marked(at: usize, word: &str) -> Option<Span> {
    let opens = |c: char| {
        is_unseen(c)
            || matches!(c, '(' | '[' | '{' | '"' | '\'' | '“' | '„' | '‘' | '«' | '「' | '（')
    };
    let inner = word.trim_start_matches(opens);
    let at = at + (word.len() - inner.len());
    let mark = inner.chars().next()?;
    let rest = &inner[mark.len_utf8()..];
    match mark {
        '@' => {
            let handle = handle(rest)?;
            let place = at..at + mark.len_utf8() + handle.len();
            Some(Span { place, what: What::Mention(handle.to_ascii_lowercase()) })
        }
        '#' | '＃' => {
            let tag = tag(rest)?;
            let place = at..at + mark.len_utf8() + tag.len();
            Some(Span { place, what: What::Tag(tag.to_owned()) })
        }
        _ => None,
    }
}

/// The handle that a word begins with: labels of letters, digits and hyphens with dots between.
fn handle(word: &str) -> Option<&str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let end = word.find(|c| !fits(c)).unwrap_or(word.len());
    // What goes on after it makes it something else: an address of mail, say.
    if word[end..].starts_with(['@', '_', '/', ':']) {
        return None;
    }
    let handle = word[..end].trim_end_matches(['.', '-']);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = handle.rsplit('.').next()?;
    let is_handle = handle.len() <= MOST_OF_HANDLE
        && handle.contains('.')
        && handle.split('.').all(is_label)
        && last.starts_with(|c: char| c.is_ascii_alphabetic());
    is_handle.then_some(handle)
}

/// The hashtag that a word begins with: anything that has a letter in it, without what ends the sentence.
fn tag(word: &str) -> Option<&str> {
    // A keycap: the digit's emoji, not a tag.
    if word.starts_with('\u{fe0f}') || word.starts_with('\u{20e3}') {
        return None;
    }
    let end = word.find(|c: char| is_invisible(c) || matches!(c, '#' | '＃')).unwrap_or(word.len());
    let tag = word[..end].trim_end_matches(|c: char| is_punctuation(c));
    let has_content = tag.chars().any(tells);
    let (graphemes, bytes) = MOST_OF_TAG;
    let is_short = tag.len() <= bytes && tag.graphemes(true).count() <= graphemes;
    (has_content && is_short).then_some(tag)
}

/// Whether a sign makes a tag of what it is in: a letter, an emoji, any symbol; not what only joins or dresses
/// others.
fn tells(c: char) -> bool {
    !is_punctuation(c) && !c.is_numeric() && !matches!(c, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}')
}

fn is_invisible(c: char) -> bool {
    is_unseen(c) || matches!(c, '\u{ad}' | '\u{200a}' | '\u{200c}' | '\u{20e2}')
}

/// What is never seen and belongs to no word: controls, zero-width spaces, and the marks that editors put around
/// what is written from right to left. Joiners do belong to words, and to emoji.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}' | '\u{feff}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What ends a sentence or a bracket, in the scripts that people write in most.
fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() && c != '_'
        || matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3003}')
        || matches!(
            c,
            '\u{3008}'..='\u{3011}' | '！' | '？' | '，' | '．' | '：' | '；' | '（' | '）'
        )
        || matches!(c, '«' | '»' | '¡' | '¿' | '·' | '\u{60c}' | '\u{61b}' | '\u{61f}')
        || matches!(c, '\u{6d4}' | '\u{964}' | '\u{965}' | '\u{ff61}'..='\u{ff65}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is found, as it stands in the text and as it is told.
    fn found(text: &str) -> Vec<(&str, String)> {
        let tell = |span: Span| {
            let told = match span.what {
                What::Link(uri) => uri,
                What::Mention(handle) => format!("@{handle}"),
                What::Tag(tag) => format!("#{tag}"),
            };
            (&text[span.place], told)
        };
        spans(text).into_iter().map(tell).collect()
    }

    /// What is found, as it stands in the text.
    fn places(text: &str) -> Vec<&str> {
        spans(text).into_iter().map(|span| &text[span.place]).collect()
    }

    #[test]
    fn links_end_where_the_sentence_does() {
        for (text, expected) in [
            ("https://a.example", vec!["https://a.example"]),
            (
                "see https://a.example/b, and http://c.example.",
                vec!["https://a.example/b", "http://c.example"],
            ),
            ("(https://a.example/b)", vec!["https://a.example/b"]),
            ("https://a.example/b_(c)", vec!["https://a.example/b_(c)"]),
            ("(https://a.example/b_(c))!", vec!["https://a.example/b_(c)"]),
            ("<https://a.example/?q=1&r=%20#x>", vec!["https://a.example/?q=1&r=%20#x"]),
            ("詳細はhttps://a.example/b。次", vec!["https://a.example/b。次"]),
            ("詳細はhttps://a.example/b。 次", vec!["https://a.example/b"]),
            ("HTTPS://A.example", vec!["HTTPS://A.example"]),
            (
                "\u{1f9d1}\u{200d}\u{1f680} https://a.example/é\u{1f680}",
                vec!["https://a.example/é\u{1f680}"],
            ),
            ("xhttps://a.example", vec![]),
            ("https://", vec![]),
            ("http:// and ftp://a.example and a.example", vec![]),
            ("https://a.example,https://b.example", vec!["https://a.example,https://b.example"]),
            ("://://https://a.example", vec!["https://a.example"]),
            ("https://a.example/b).", vec!["https://a.example/b"]),
            ("“https://a.example/b”", vec!["https://a.example/b"]),
            ("راجع https://a.example/ب؟ ثم", vec!["https://a.example/ب"]),
            ("\u{2067}https://a.example/b\u{2069}", vec!["https://a.example/b"]),
            ("https://a.example/b\u{200f}!", vec!["https://a.example/b"]),
            ("https://a.example/b\u{200b}c", vec!["https://a.example/b"]),
            ("https://a.example/e\u{301}.", vec!["https://a.example/e\u{301}"]),
        ] {
            assert_eq!(places(text), expected, "{text}");
        }
    }

    #[test]
    fn mentions_are_handles() {
        for (text, expected) in [
            ("@alice.bsky.social", vec!["@alice.bsky.social"]),
            ("hi @Alice.test, (@bob.example.com)!", vec!["@Alice.test", "@bob.example.com"]),
            ("thanks @alice.test's", vec!["@alice.test"]),
            ("@alice.test.", vec!["@alice.test"]),
            ("mail me@alice.test or @alice", vec![]),
            ("@alice.test@mastodon.example", vec![]),
            ("@a_b.test @-a.test @a.1st @.test @a..test", vec![]),
            ("@ @@alice.test", vec![]),
            (
                "\u{200f}@alice.test\u{200f} \u{2067}@bob.test\u{2069}",
                vec!["@alice.test", "@bob.test"],
            ),
            ("@alice.testさん", vec!["@alice.test"]),
            ("@alice.test\u{1f44b}\u{1f3fd}", vec!["@alice.test"]),
            ("@alice.test\u{301} @bob.test\u{fe0f}", vec![]),
        ] {
            assert_eq!(places(text), expected, "{text}");
        }
        assert_eq!(found("@Alice.Test")[0].1, "@alice.test");
        assert_eq!(handles("@b.test @a.test @B.test"), ["b.test", "a.test"]);
    }

    #[test]
    fn hashtags_have_a_letter() {
        for (text, expected) in [
            ("#rust", vec!["#rust"]),
            ("#rust, #web3! (#a_b) #1st.", vec!["#rust", "#web3", "#a_b", "#1st"]),
            ("＃日本語。 #日本語", vec!["＃日本語", "#日本語"]),
            (
                "#cafe\u{301} #\u{1f431} #\u{1f468}\u{200d}\u{1f469}",
                vec!["#cafe\u{301}", "#\u{1f431}", "#\u{1f468}\u{200d}\u{1f469}"],
            ),
            ("#1 #2026 #! # ## a#b", vec![]),
            ("#\u{fe0f}\u{20e3}", vec![]),
            ("#a#b", vec!["#a"]),
            ("https://a.example/#top #top", vec!["https://a.example/#top", "#top"]),
            ("#a\u{200b}b", vec!["#a"]),
            ("\u{200f}#שלום\u{200f}, \u{2067}#سلام\u{2069}؟", vec!["#שלום", "#سلام"]),
            ("#٢٠٢٦ #１２３ #\u{200d} #\u{fe0f}a #\u{fe0f}", vec![]),
            ("#क्या। #हाँ॥", vec!["#क्या", "#हाँ"]),
            ("#1\u{fe0f}\u{20e3}", vec!["#1\u{fe0f}\u{20e3}"]),
        ] {
            assert_eq!(places(text), expected, "{text}");
        }
        assert_eq!(found("＃rust")[0].1, "#rust");
        assert_eq!(places(&format!("#{}", "a".repeat(64))).len(), 1);
        assert_eq!(places(&format!("#{}", "a".repeat(65))).len(), 0);
    }

    #[test]
    fn positions_are_bytes() {
        let text = "\u{1f469}\u{200d}\u{1f680} e\u{301} #b";
        assert_eq!(spans(text)[0].place, 16..18);
    }

    proptest! {
        #[test]
        fn whatever_is_found_is_a_part_of_the_text(
            text in r"(\PC|https?://[a-z.]{1,9}|[@#][a-z.]{1,9}|[ \n().,]){0,40}"
        ) {
            let spans = spans(&text);
            for span in &spans {
                prop_assert!(text.get(span.place.clone()).is_some_and(|part| !part.is_empty()));
            }
            prop_assert!(spans.is_sorted_by(|a, b| a.place.end <= b.place.start));
        }

        /// No emoji and no letter with its marks is cut in half, before or behind.
        #[test]
        fn what_is_found_begins_and_ends_between_graphemes(
            text in r"(\PC|[@#]|https://a\.b/|a\.test|[\u{301}\u{200d}\u{fe0f}\u{200f}\u{20e3}👩🚀🇩🇪 .,!)]){0,40}"
        ) {
            let ends: Vec<usize> =
                text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
            // A word joiner is left out of a tag, as Bluesky's own app does: it ends nothing that is seen.
            for Span { place, .. } in spans(&text).iter().filter(|_| !text.contains('\u{200c}')) {
                prop_assert!(ends.contains(&place.start), "{place:?} in {text:?}");
                prop_assert!(ends.contains(&place.end), "{place:?} in {text:?}");
            }
        }
    }
}
