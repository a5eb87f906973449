//! Making a text fit a platform that takes shorter ones: cut at a sentence or a word, or split to a thread.
//!
//! A link, a mention, a hashtag and an emoji are never cut in half. Where a text may be cut follows Unicode's
//! rules for words, sentences and graphemes (UAX 29); how long it is, the platform's own [`Measure`] tells.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use crate::platform::Measure;

/// What is done with a text that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fitting {
    /// Its end is left out. A link at its end stays.
    Shorten,
    /// It is split to a thread; left out is the end where the platform has no threads.
    Thread,
}

/// A text that cannot be made to fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// Something that is never cut is too long by itself.
    #[error("\"{0}\" is too long by itself, and is not cut in half")]
    Whole(String),
    /// The thread would have too many parts.
    #[error("the text needs more than {0} parts")]
    Parts(usize),
}

/// Marks that something was left out.
const ELLIPSIS: &str = "…";

/// Of a text that is cut at a sentence or paragraph, at least this much of the room is used, in percent.
const WORTH: usize = 50;

/// The longest that an error shows of a text, in characters.
const SHOWN: usize = 40;

/// The text without its end, as long as the platform takes it; none if it fits as it is.
///
/// Cut after a sentence, if that leaves at least half of the room; else after a word, with "…".
pub fn shorten(text: &str, measure: &dyn Measure) -> Result<Option<String>, Unfit> {
    if fits(measure, text) {
        return Ok(None);
    }
    let (body, link) = trailing_link(text);
    let tail = |end: &str| if link.is_empty() { end.to_owned() } else { format!("{end} {link}") };
    if !link.is_empty() && !fits(measure, &tail(ELLIPSIS)) {
        return shorten(body, measure).map(|cut| Some(cut.unwrap_or_else(|| body.to_owned())));
    }
    let cuts = Cuts::of(body);
    let fits_up_to = |end: &str| {
        let end = tail(end);
        move |at: usize| fits(measure, &format!("{}{end}", body[..at].trim_end()))
    };
    let whole = cuts.last_fitting(Rank::Sentence, 0, fits_up_to(""));
    let word = cuts.last_fitting(Rank::Word, 0, fits_up_to(ELLIPSIS));
    let word = word.or_else(|| cuts.last_fitting(Rank::Grapheme, 0, fits_up_to(ELLIPSIS)));
    match (whole, word) {
        (Some(whole), word) if is_worth(whole, word.unwrap_or(0)) => {
            Ok(Some(format!("{}{}", body[..whole].trim_end(), tail(""))))
        }
        (_, Some(word)) => {
            let kept = body[..word].trim_end().trim_end_matches([',', ';', ':', '-', '–', '—']);
            Ok(Some(format!("{}{}", kept.trim_end(), tail(ELLIPSIS))))
        }
        (_, None) => Err(cuts.whole(0)),
    }
}

/// The text in parts of which each fits, at most `most`; one part if it fits as it is.
///
/// Split between paragraphs, else between sentences, if that leaves a part at least half full; else between
/// words.
pub fn thread(text: &str, measure: &dyn Measure, most: usize) -> Result<Vec<String>, Unfit> {
    let cuts = Cuts::of(text);
    let mut parts = Vec::new();
    let mut from = 0;
    while !text[from..].trim().is_empty() {
        if parts.len() == most {
            return Err(Unfit::Parts(most));
        }
        from += text[from..].len() - text[from..].trim_start().len();
        let fits_up_to = |at: usize| fits(measure, text[from..at].trim_end());
        let at = if fits(measure, text[from..].trim_end()) {
            text.len()
        } else {
            let last = |rank| cuts.last_fitting(rank, from, fits_up_to);
            let word = last(Rank::Word).or_else(|| last(Rank::Grapheme));
            let Some(word) = word else { return Err(cuts.whole(from)) };
            let better = [Rank::Paragraph, Rank::Sentence].into_iter().filter_map(last);
            better.into_iter().find(|at| is_worth(at - from, word - from)).unwrap_or(word)
        };
        parts.push(text[from..at].trim_end().to_owned());
        from = at;
    }
    Ok(parts)
}

fn fits(measure: &dyn Measure, text: &str) -> bool {
    let told = measure.measure(text);
    told.length <= told.limit
}

fn is_worth(part: usize, all: usize) -> bool {
    part > 0 && part * 100 >= all * WORTH
}

/// The text and the link at its end; an empty one if it ends otherwise.
fn trailing_link(text: &str) -> (&str, &str) {
    let text = text.trim_end();
    let last = text.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let last = last + text[last..].find(|c: char| !c.is_whitespace()).unwrap_or(0);
    let is_link = text[last..].starts_with("https://") || text[last..].starts_with("http://");
    if is_link && last > 0 { (text[..last].trim_end(), &text[last..]) } else { (text, "") }
}

/// How good a place to cut is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Grapheme,
    Word,
    Sentence,
    Paragraph,
}

/// Where a text may be cut, in order.
struct Cuts<'a> {
    text: &'a str,
    places: Vec<(usize, Rank)>,
}

impl<'a> Cuts<'a> {
    fn of(text: &'a str) -> Self {
        let guarded = guarded(text);
        let is_inside = |at: usize| {
            let next = guarded.partition_point(|range| range.end <= at);
            guarded.get(next).is_some_and(|range| range.start < at)
        };
        let ends = text.grapheme_indices(true).map(|(at, grapheme)| at + grapheme.len());
        let mut places: Vec<_> =
            ends.filter(|at| !is_inside(*at)).map(|at| (at, Rank::Grapheme)).collect();
        let words = text.split_word_bound_indices().map(|(at, word)| at + word.len());
        raise(&mut places, words.filter(|at| is_between_words(text, *at)), Rank::Word);
        let sentences = text.split_sentence_bound_indices();
        raise(&mut places, sentences.map(|(at, one)| at + one.len()), Rank::Sentence);
        let lines = text.match_indices('\n').map(|(at, _)| at + 1);
        raise(&mut places, lines, Rank::Paragraph);
        Self { text, places }
    }

    /// The last place after `from`, at least that good, up to which it fits.
    fn last_fitting(&self, rank: Rank, from: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let first = self.places.partition_point(|(at, _)| *at <= from);
        let good: Vec<usize> =
            self.places[first..].iter().filter(|(_, of)| *of >= rank).map(|(at, _)| *at).collect();
        // Longer texts are longer: but for what a platform counts in its own way, at the very end.
        let mut most = good.partition_point(|at| fits(*at));
        while most > 0 && !fits(good[most - 1]) {
            most -= 1;
        }
        let at = *good.get(most.checked_sub(1)?)?;
        (!self.text[from..at].trim().is_empty()).then_some(at)
    }

    fn whole(&self, from: usize) -> Unfit {
        let rest = self.text[from..].trim_start();
        let whole = rest.split_whitespace().next().unwrap_or(rest);
        Unfit::Whole(whole.chars().take(SHOWN).collect())
    }
}

fn raise(places: &mut [(usize, Rank)], better: impl Iterator<Item = usize>, to: Rank) {
    for at in better {
        if let Ok(place) = places.binary_search_by_key(&at, |(place, _)| *place) {
            places[place].1 = to;
        }
    }
}

/// A word ends where a space follows or came before, or where a script without spaces has its bounds.
fn is_between_words(text: &str, at: usize) -> bool {
    let (before, after) = (text[..at].chars().next_back(), text[at..].chars().next());
    let (Some(before), Some(after)) = (before, after) else { return true };
    let dense =
        |c: char| ('\u{2E80}'..='\u{9FFF}').contains(&c) || ('\u{E00}'..='\u{EFF}').contains(&c);
    // A mark at the end of a clause stays with it.
    let clings =
        |c: char| matches!(c, '、' | '。' | '，' | '．' | '！' | '？' | '」' | '）' | '』');
    before.is_whitespace()
        || after.is_whitespace()
        || ((dense(before) || dense(after)) && !clings(after))
}

/// What is never cut: links, mentions, hashtags, names of sites.
fn guarded(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, first)) = chars.next() {
        if first.is_whitespace() || !is_dense_free(first) {
            continue;
        }
        let mut end = start + first.len_utf8();
        while let Some((at, c)) = chars.next_if(|(_, c)| !c.is_whitespace() && is_dense_free(*c)) {
            end = at + c.len_utf8();
        }
        let run = &text[start..end];
        let open = run.len() - run.trim_start_matches(is_opening).len();
        let is_link = run.contains("://") || is_site(run.trim_matches(is_around));
        match run[open..].chars().next() {
            Some('@' | '#') => {
                // A hashtag may go on in any script.
                let tag = text[end..].find(|c: char| !c.is_alphanumeric() && c != '_');
                let tag = tag.unwrap_or(text.len() - end);
                found.push(start..end + tag);
            }
            _ if is_link => found.push(start..end),
            _ => {}
        }
    }
    found
}

/// Characters of scripts that put spaces between words, and signs.
fn is_dense_free(c: char) -> bool {
    c < '\u{600}'
}

fn is_opening(c: char) -> bool {
    matches!(c, '(' | '[' | '{' | '"' | '\'' | '<' | '«')
}

fn is_around(c: char) -> bool {
    is_opening(c) || matches!(c, ')' | ']' | '}' | '>' | '»' | '.' | ',' | '!' | '?' | ':' | ';')
}

/// Whether it is written as a site's name: `example.com`, `example.com/a-page`.
fn is_site(word: &str) -> bool {
    let host = word.split(['/', '?', ':']).next().unwrap_or(word);
    let Some((name, top)) = host.rsplit_once('.') else { return false };
    let is_label = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
    !name.is_empty()
        && name.chars().all(is_label)
        && top.len() > 1
        && top.chars().all(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use crate::platform::Length;

    use super::*;

    /// Counts graphemes, as Bluesky does.
    #[derive(Debug)]
    struct Graphemes(usize);

    impl Measure for Graphemes {
        fn measure(&self, text: &str) -> Length {
            Length { length: text.graphemes(true).count(), limit: self.0 }
        }
    }

    fn short(text: &str, limit: usize) -> String {
        shorten(text, &Graphemes(limit)).unwrap().unwrap_or_else(|| text.to_owned())
    }

    fn parts(text: &str, limit: usize) -> Vec<String> {
        thread(text, &Graphemes(limit), 100).unwrap()
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        assert_eq!(shorten("a b ", &Graphemes(4)), Ok(None));
        assert_eq!(parts("a b", 3), ["a b"]);
        assert_eq!(parts("", 3), [""; 0]);
    }

    #[test]
    fn it_is_cut_after_a_sentence_or_a_word() {
        assert_eq!(short("One is out. Two is not out yet.", 20), "One is out.");
        assert_eq!(short("No. This goes on for a while longer.", 20), "No. This goes on…");
        assert_eq!(short("One, two, three, four", 12), "One, two…");
        assert_eq!(short("Wasserfallwanderung", 8), "Wasserf…");
    }

    #[test]
    fn nothing_is_cut_in_half() {
        assert_eq!(short("see @somebody@mastodon.social", 20), "see…");
        assert_eq!(short("look at #caturday today", 14), "look at…");
        assert_eq!(short("hi 👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 6), "hi…");
        assert_eq!(short("👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 2), "👩‍👩‍👧‍👦…");
        assert_eq!(short("go to example.com/a-long-page", 20), "go to…");
        assert_eq!(
            shorten("https://example.com/a-long-page", &Graphemes(20)),
            Err(Unfit::Whole("https://example.com/a-long-page".to_owned()))
        );
    }

    #[test]
    fn a_link_at_the_end_stays() {
        let text = "This is a long story about cats. And it goes on. https://a.example/b";
        assert_eq!(short(text, 52), "This is a long story about cats. https://a.example/b");
        assert_eq!(
            short("one two three four https://a.example/b", 30),
            "one two… https://a.example/b"
        );
    }

    #[test]
    fn a_thread_has_whole_sentences() {
        let text = "First one. Second one.\n\nThird is here. Fourth.";
        assert_eq!(parts(text, 24), ["First one. Second one.", "Third is here. Fourth."]);
        assert_eq!(
            parts("One two. Three four five six.", 12),
            ["One two.", "Three four", "five six."]
        );
        assert_eq!(parts("aaaa bbbb cccc", 4), ["aaaa", "bbbb", "cccc"]);
        assert_eq!(thread("a b c d", &Graphemes(1), 3), Err(Unfit::Parts(3)));
    }

    #[test]
    fn scripts_without_spaces_are_cut_between_words() {
        for part in parts("今日は天気がいいですね。散歩に行きましょう。", 12)
        {
            assert!(part.ends_with('。'), "{part}");
        }
        assert_eq!(parts("今日 #日本語タグ", 8), ["今日", "#日本語タグ"]);
    }

    #[test]
    fn all_of_it_is_there_and_every_part_fits() {
        let words = [
            "cat",
            "https://a.example/x?y=z",
            "@ada@b.social",
            "👩‍👩‍👧‍👦",
            "ok.",
            "\n\n",
            "日本語の文",
            "e\u{301}a",
            "#tag",
        ];
        for seed in 0..500_usize {
            let text: Vec<&str> =
                (0..40).map(|n| words[(seed * 31 + n * n * 7 + seed * n) % words.len()]).collect();
            let text = text.join(" ");
            let parts = parts(&text, 24 + seed % 40);
            let squeezed = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(squeezed(&parts.concat()), squeezed(&text), "{text}");
            for part in &parts {
                assert!(part.graphemes(true).count() <= 24 + seed % 40, "{part}");
                for whole in words.iter().filter(|word| word.contains("://")) {
                    assert_eq!(
                        part.matches("https:").count(),
                        part.matches(whole).count(),
                        "{part}"
                    );
                }
            }
        }
    }
}
