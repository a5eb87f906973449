//! What is never cut: links, names of sites, mentions, addresses of mail, hashtags.

use std::ops::Range;

/// Where they are, in order. They do not overlap.
///
/// Wider than what any one platform makes a link of, rather than narrower: nothing is lost by it.
pub(super) fn wholes(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    for (at, c) in text.char_indices() {
        if at < from {
            continue;
        }
        let whole = match c {
            '@' | '＠' => mention(text, from, at),
            '#' | '＃' => hashtag(text, at),
            ':' if text[at..].starts_with("://") => link(text, from, at),
            '.' => site(text, from, at),
            _ => None,
        };
        if let Some(whole) = whole {
            from = whole.end;
            found.push(whole);
        }
    }
    found
}

/// A link, around its `://`.
fn link(text: &str, from: usize, at: usize) -> Option<Range<usize>> {
    let in_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let start = begin(&text[from..at], in_scheme) + from;
    (start < at).then(|| start..end(text, at, in_address))
}

/// A mention as `@ada` and `@ada@b.example`, or an address of mail, around its `@`.
fn mention(text: &str, from: usize, at: usize) -> Option<Range<usize>> {
    let after = at + text[at..].chars().next()?.len_utf8();
    let to = end(text, after, |c| in_tag(c) || matches!(c, '-' | '.' | '@'));
    let in_mail = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-');
    let start = begin(&text[from..at], in_mail) + from;
    (to > after).then_some(start..to)
}

/// A hashtag, in any script.
fn hashtag(text: &str, at: usize) -> Option<Range<usize>> {
    let after = at + text[at..].chars().next()?.len_utf8();
    let to = end(text, after, in_tag);
    (to > after).then_some(at..to)
}

/// A site without a scheme, as `example.com` and `example.com/a-page`, around its first dot.
fn site(text: &str, from: usize, at: usize) -> Option<Range<usize>> {
    // Of scripts that put spaces between words: others begin and end nowhere.
    let in_host = |c: char| (c.is_alphanumeric() && c < '\u{600}') || matches!(c, '-' | '.');
    let start = begin(&text[from..at], in_host) + from;
    let host = end(text, at, in_host);
    let top = text[at..host].trim_end_matches(['.', '-']).rsplit('.').next()?;
    let is_mail = text[host..].starts_with('@');
    let is_site = start < at && top.len() > 1 && top.chars().all(char::is_alphabetic) && !is_mail;
    let goes_on = text[host..].starts_with(['/', '?', ':', '#']);
    is_site.then(|| start..if goes_on { end(text, host, in_address) } else { host })
}

/// Where the last run of such characters begins.
fn begin(text: &str, is_in: impl Fn(char) -> bool) -> usize {
    text.trim_end_matches(is_in).len()
}

/// Where the run of such characters from `at` on ends.
fn end(text: &str, at: usize, is_in: impl Fn(char) -> bool) -> usize {
    text[at..].find(|c| !is_in(c)).map_or(text.len(), |length| at + length)
}

/// Anything but what surely ends an address: a space, quotes, marks of scripts without spaces.
fn in_address(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '<' | '>') && !is_wide_mark(c)
}

/// Letters, digits and emoji; no punctuation but `_`.
fn in_tag(c: char) -> bool {
    let is_mark = c.is_ascii_punctuation() && c != '_';
    let is_general = ('\u{2010}'..='\u{205E}').contains(&c);
    in_address(c) && !is_mark && !is_general && !matches!(c, '«' | '»' | '¡' | '¿')
}

/// Punctuation of Chinese, Japanese and Korean.
fn is_wide_mark(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{3004}' | '\u{3008}'..='\u{3020}' | '\u{FF01}' | '\u{FF08}' | '\u{FF09}'
        | '\u{FF0C}' | '\u{FF0E}' | '\u{FF1A}' | '\u{FF1B}' | '\u{FF1F}' | '\u{FF61}'..='\u{FF64}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_cut_is_found() {
        for (text, expected) in [
            ("see https://a.example/b-c?d=e, there", &["https://a.example/b-c?d=e,"][..]),
            (
                "(http://a.example/b) or <https://c.example>.",
                &["http://a.example/b)", "https://c.example"],
            ),
            ("見てhttps://a.example/日本語のページ。次", &["https://a.example/日本語のページ"]),
            ("go to example.com/a-page or b.example.", &["example.com/a-page", "b.example."]),
            ("mail ada.love@b.example now", &["ada.love@b.example"]),
            (
                "@ada, @ada@b.example and @ada.b.social!",
                &["@ada", "@ada@b.example", "@ada.b.social"],
            ),
            ("#one,#two #हिन्दी #عيد_الفطر", &["#one", "#two", "#हिन्दी", "#عيد_الفطر"]),
            ("今日＃日本語タグ、＠ada。", &["＃日本語タグ", "＠ada"]),
            ("C# is 3.14, e.g. # or @ :// .", &[]),
            ("#🏳️‍🌈pride “#quoted”", &["#🏳️‍🌈pride", "#quoted"]),
        ] {
            let found: Vec<&str> = wholes(text).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
