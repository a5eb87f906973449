//! Making a text fit a platform that takes shorter ones: cut at a sentence or a word, or split to a thread.
//!
//! A link, a mention, a hashtag and an emoji are never cut in half. Where a text may be cut follows Unicode's
//! rules for words, sentences and graphemes (UAX 29); how long it is, the platform's own [`Measure`] tells.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use crate::platform::Measure;

mod whole;

use whole::wholes;

/// What is done with a text that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fitting {
    /// Its end is left out. A link at its end stays, with the hashtags after it.
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
/// Cut after a sentence, if that leaves at least half of the room; else after a word, with "…". A link at its
/// end stays, with the hashtags after it.
pub fn shorten(text: &str, measure: &dyn Measure) -> Result<Option<String>, Unfit> {
    if fits(measure, text) {
        return Ok(None);
    }
    let (body, tail) = with_tail(text, measure)?;
    // What it begins with may leave no room for the link at its end.
    cut_off(body, &tail, measure).or_else(|_| cut_off(text, "", measure)).map(Some)
}

/// The text without its end, and what follows all the same.
fn cut_off(text: &str, tail: &str, measure: &dyn Measure) -> Result<String, Unfit> {
    let cuts = Cuts::of(text);
    let fits_whole = |at: usize| fits(measure, &format!("{}{tail}", cuts.up_to(at)));
    let fits_broken_off = |at: usize| fits(measure, &format!("{}{tail}", cuts.broken_off(at)));
    let whole = cuts.last_fitting(Rank::Sentence, 0, fits_whole);
    let word = cuts.last_fitting(Rank::Word, 0, fits_broken_off);
    let word = word.or_else(|| cuts.last_fitting(Rank::Grapheme, 0, fits_broken_off));
    let kept = match (whole, word) {
        (Some(whole), word) if is_worth(whole, word.unwrap_or(0)) => cuts.up_to(whole),
        (_, Some(word)) => cuts.broken_off(word),
        (_, None) => return Err(cuts.whole(0)),
    };
    Ok(format!("{kept}{tail}"))
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

/// The text, and the link at its end with what divides the two and the hashtags after it, as many as leave half of
/// the room to the text; an empty one if it ends otherwise.
fn with_tail<'a>(text: &'a str, measure: &dyn Measure) -> Result<(&'a str, String), Unfit> {
    let text = text.trim_end();
    let Some(at) = tail(text) else { return Ok((text, String::new())) };
    let (body, tail) = (text[..at].trim_end(), &text[at..]);
    let lines = text[body.len()..at].matches('\n').count().min(2);
    let between = if lines == 0 { " " } else { &"\n\n"[..lines] };
    let kept = |end: usize| format!("{between}{}", tail[..end].trim_end());
    let spaces = tail.match_indices(char::is_whitespace).map(|(end, _)| end);
    let ends: Vec<_> = spaces.chain([tail.len()]).collect();
    let leaves_half = |end: &usize| {
        let told = measure.measure(&kept(*end));
        told.length * 2 <= told.limit
    };
    let tagged = kept(ends[ends.partition_point(leaves_half).saturating_sub(1)]);
    if !fits(measure, &format!("{ELLIPSIS}{tagged}")) {
        return Err(Unfit::whole(tail));
    }
    Ok((body, tagged))
}

/// Where the link begins that ends a text, but for hashtags; none if nothing comes before it.
fn tail(text: &str) -> Option<usize> {
    let mut rest = text;
    loop {
        let at = rest.trim_end_matches(|c: char| !c.is_whitespace()).len();
        let (before, word) = (rest[..at].trim_end(), &rest[at..]);
        if before.is_empty() {
            return None;
        }
        if word.starts_with("https://") || word.starts_with("http://") {
            return Some(at);
        }
        if !word.starts_with(['#', '＃']) {
            return None;
        }
        rest = before;
    }
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
    wholes: Vec<Range<usize>>,
}

impl<'a> Cuts<'a> {
    fn of(text: &'a str) -> Self {
        let wholes = wholes(text);
        let is_inside = |at: usize| {
            let next = wholes.partition_point(|range| range.end <= at);
            wholes.get(next).is_some_and(|range| range.start < at)
        };
        let ends = text.grapheme_indices(true).map(|(at, grapheme)| at + grapheme.len());
        let mut places: Vec<_> =
            ends.filter(|at| !is_inside(*at)).map(|at| (at, Rank::Grapheme)).collect();
        let words = text.split_word_bound_indices().map(|(at, word)| at + word.len());
        raise(&mut places, words.filter(|at| is_between_words(text, *at)), Rank::Word);
        let sentences = text.split_sentence_bound_indices().map(|(at, one)| at + one.len());
        let sentences = sentences.filter(|at| *at == text.len() || !is_abbreviated(&text[..*at]));
        raise(&mut places, sentences, Rank::Sentence);
        let lines = text.match_indices('\n').map(|(at, _)| at + 1);
        raise(&mut places, lines, Rank::Paragraph);
        Self { text, places, wholes }
    }

    /// The last place after `from`, at least that good, up to which it fits.
    fn last_fitting(&self, rank: Rank, from: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let first = self.places.partition_point(|(at, _)| *at <= from);
        let good: Vec<usize> =
            self.places[first..].iter().filter(|(_, of)| *of >= rank).map(|(at, _)| *at).collect();
        // By doubling: a text that is far too long is not measured again and again as a whole.
        let mut within = 1;
        while within < good.len() && fits(good[within - 1]) {
            within *= 2;
        }
        // Longer texts are longer: but for what a platform counts in its own way, at the very end.
        let mut most = good[..within.min(good.len())].partition_point(|at| fits(*at));
        while most > 0 && !fits(good[most - 1]) {
            most -= 1;
        }
        let at = *good.get(most.checked_sub(1)?)?;
        (!self.text[from..at].trim().is_empty()).then_some(at)
    }

    /// The text up to there.
    fn up_to(&self, at: usize) -> String {
        self.text[..at].trim_end().to_owned()
    }

    /// The text up to there, with the sign that something is left out: never a part of a link or a tag.
    fn broken_off(&self, at: usize) -> String {
        let kept = self.text[..at].trim_end();
        if self.wholes.iter().any(|whole| whole.end == kept.len()) {
            return format!("{} {ELLIPSIS}", kept.trim_end_matches([',', ';', ':']));
        }
        format!("{}{ELLIPSIS}", kept.trim_end_matches(is_pausing).trim_end())
    }

    fn whole(&self, from: usize) -> Unfit {
        let next = self.wholes.iter().find(|whole| whole.start == from);
        Unfit::whole(next.map_or(&self.text[from..], |whole| &self.text[whole.clone()]))
    }
}

impl Unfit {
    /// The first thing of a text that is not cut.
    fn whole(text: &str) -> Self {
        let text = text.trim_start();
        let whole = text.split_whitespace().next().unwrap_or(text);
        let shown: String = whole.chars().take(SHOWN).collect();
        Self::Whole(if shown.len() < whole.len() { shown + ELLIPSIS } else { shown })
    }
}

/// What nobody breaks off after.
fn is_pausing(c: char) -> bool {
    matches!(c, ',' | ';' | ':' | '-' | '–' | '—' | '、' | '，')
}

fn raise(places: &mut [(usize, Rank)], better: impl Iterator<Item = usize>, to: Rank) {
    for at in better {
        if let Ok(place) = places.binary_search_by_key(&at, |(place, _)| *place) {
            places[place].1 = to;
        }
    }
}

/// English and German words that a dot follows within a sentence: the rules of UAX 29 know none. Where one of
/// them does end a sentence, the text is cut at another place; nothing worse comes of it.
const ABBREVIATED: [&str; 18] = [
    "approx", "bzw", "ca", "capt", "dr", "evtl", "ggf", "hr", "inkl", "jr", "mr", "mrs", "ms",
    "nr", "prof", "st", "tel", "vs",
];

/// Whether the dot that a text ends with is one of an abbreviation, or of an initial.
fn is_abbreviated(text: &str) -> bool {
    let Some(text) = text.trim_end().strip_suffix('.') else { return false };
    let word = text.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let is_initial = word.chars().count() == 1 && word.starts_with(char::is_alphabetic);
    is_initial || ABBREVIATED.contains(&word.to_lowercase().as_str())
}

/// A word ends where a space follows or came before, or where a script without spaces has its bounds.
fn is_between_words(text: &str, at: usize) -> bool {
    let (before, after) = (text[..at].chars().next_back(), text[at..].chars().next());
    let (Some(before), Some(after)) = (before, after) else { return true };
    // Thai and Lao, Myanmar, Khmer, Chinese and Japanese.
    let dense = |c: char| {
        matches!(c, '\u{E00}'..='\u{EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
            | '\u{2E80}'..='\u{9FFF}' | '\u{20000}'..='\u{3FFFF}')
    };
    // A mark at the end of a clause stays with it.
    let clings =
        |c: char| matches!(c, '、' | '。' | '，' | '．' | '！' | '？' | '」' | '）' | '』');
    before.is_whitespace()
        || after.is_whitespace()
        || ((dense(before) || dense(after)) && !clings(after))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

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
        assert_eq!(short("It was Dr. Sommer who baked it.", 20), "It was Dr. Sommer…");
        assert_eq!(short("By J. R. Sommer, our baker of old.", 16), "By J. R. Sommer…");
        assert_eq!(short("So it was. Ask Dr. Sommer of us.", 20), "So it was.");
        assert_eq!(short("Wasserfallwanderung", 8), "Wasserf…");
    }

    #[test]
    fn nothing_is_cut_in_half() {
        assert_eq!(short("see @somebody@mastodon.social", 20), "see…");
        assert_eq!(short("look at #caturday today", 14), "look at…");
        assert_eq!(short("hi 👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 6), "hi…");
        assert_eq!(short("👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 2), "👩‍👩‍👧‍👦…");
        assert_eq!(short("🇩🇪🇫🇷🇮🇹🇪🇸", 3), "🇩🇪🇫🇷…");
        assert_eq!(short("👋🏽👋🏿👋🏻", 2), "👋🏽…");
        assert_eq!(short("go to example.com/a-long-page", 20), "go to…");
        assert_eq!(short("今日＃日本語タグ、です", 8), "今日…");
        assert_eq!(short("見て https://a.example/日本語のページ 次", 12), "見て…");
    }

    #[test]
    fn a_link_that_is_broken_off_after_is_still_the_same_link() {
        // "…" and "-" would be parts of it elsewhere.
        assert_eq!(
            short("at https://a.example/b- and more of it", 30),
            "at https://a.example/b- and…"
        );
        assert_eq!(short("at https://a.example/b- andmoreofit", 28), "at https://a.example/b- …");
        assert_eq!(short("at https://a.example/b, andmoreofit", 28), "at https://a.example/b …");
        assert_eq!(short("for #cats, dogs and mice", 12), "for #cats…");
    }

    #[test]
    fn what_cannot_be_cut_and_is_too_long_is_named() {
        let link = "https://example.com/a-long-page-with-a-long-name-and-more";
        let told = "\"https://example.com/a-long-page-with-a-l…\" is too long by itself, and is not cut in half";
        let measure = Graphemes(20);

        for text in [link.to_owned(), format!("A story: {link}"), format!("{link} is a story")] {
            assert_eq!(shorten(&text, &measure).unwrap_err().to_string(), told, "{text}");
            assert_eq!(thread(&text, &measure, 9).unwrap_err().to_string(), told, "{text}");
        }
        assert_eq!(thread("a b c d", &Graphemes(1), 3), Err(Unfit::Parts(3)));
        assert!(shorten("ab", &Graphemes(0)).is_err());
    }

    #[test]
    fn a_link_at_the_end_stays() {
        let text = "This is a long story about cats. And it goes on. https://a.example/b";
        assert_eq!(short(text, 52), "This is a long story about cats. https://a.example/b");
        assert_eq!(
            short("one two three four https://a.example/b", 30),
            "one two… https://a.example/b"
        );
        // With its hashtags, as many as leave half of the room.
        let tagged = "one two three four five six seven https://a.b #tea #coffee";
        assert_eq!(short(tagged, 52), "one two three four five… https://a.b #tea #coffee");
        assert_eq!(short(tagged, 49), "one two three four five six… https://a.b #tea");
        assert_eq!(short(tagged, 25), "one two… https://a.b");
        assert_eq!(short("one two three #tea #coffee", 20), "one two three #tea …");
        // Not if what it begins with leaves no room.
        let both = "https://first.example/a and https://last.example/b";
        assert_eq!(short(both, 30), "https://first.example/a and…");
        // On a line of its own, if it was.
        assert_eq!(
            short("one two three four\n \n\nhttps://a.example/b", 30),
            "one two…\n\nhttps://a.example/b"
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
    }

    #[test]
    fn scripts_without_spaces_are_cut_between_words() {
        for part in parts("今日は天気がいいですね。散歩に行きましょう。", 12)
        {
            assert!(part.ends_with('。'), "{part}");
        }
        assert_eq!(parts("今日 #日本語タグ", 8), ["今日", "#日本語タグ"]);
    }

    /// What is never cut, and what may be.
    const WHOLES: [&str; 14] = [
        "https://a.example/x?y=z-",
        "http://b.example/日本語",
        "example.com/a-page",
        "@ada@b.social",
        "@bob",
        "mail.to@c.example",
        "#tag",
        "#हिन्दी",
        "＃日本語",
        "👩‍👩‍👧‍👦",
        "🇩🇪",
        "👋🏽",
        "🏳️‍🌈",
        "e\u{301}",
    ];
    const WORDS: [&str; 8] =
        ["cat", "ok.", "Really?", "日本語の文。", "ภาษาไทย", "a", "donaudampfschifffahrt", "שלום"];
    const BETWEEN: [&str; 5] = [" ", "  ", "\n", "\n\n", "\u{a0} "];

    /// A text of those, and where those that are never cut are in it.
    fn made(seed: u64) -> (String, Vec<Range<usize>>) {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        let (mut text, mut wholes) = (String::new(), Vec::new());
        for _ in 0..1 + next(40) {
            if next(2) == 0 {
                let whole = WHOLES[next(WHOLES.len())];
                wholes.push(text.len()..text.len() + whole.len());
                text.push_str(whole);
            } else {
                text.push_str(WORDS[next(WORDS.len())]);
            }
            text.push_str(BETWEEN[next(BETWEEN.len())]);
        }
        (text, wholes)
    }

    /// Where a text goes on after so many of its characters that are no spaces.
    fn place_of(text: &str, letters: usize) -> usize {
        let found = text.char_indices().filter(|(_, c)| !c.is_whitespace()).nth(letters);
        found.map_or(text.len(), |(at, _)| at)
    }

    fn letters(text: &str) -> String {
        text.split_whitespace().collect()
    }

    #[test]
    fn of_a_thread_nothing_is_lost_and_nothing_is_cut_in_half() {
        for seed in 0..3_000 {
            let (text, wholes) = made(seed);
            let limit = 24 + usize::try_from(seed).unwrap() % 60;

            let parts = parts(&text, limit);

            assert_eq!(letters(&parts.concat()), letters(&text), "{text:?}");
            let mut before = 0;
            for part in &parts {
                assert!(part.graphemes(true).count() <= limit, "{part:?} of {text:?}");
                before += letters(part).chars().count();
                let cut = place_of(&text, before);
                let inside = wholes.iter().find(|whole| whole.start < cut && cut < whole.end);
                assert_eq!(inside, None, "{part:?} of {text:?}");
            }
        }
    }

    #[test]
    fn what_is_shortened_begins_as_it_did_and_ends_with_something_whole() {
        for seed in 0..3_000 {
            let (text, wholes) = made(seed);
            let limit = 30 + usize::try_from(seed).unwrap() % 60;

            let Some(short) = shorten(&text, &Graphemes(limit)).unwrap() else { continue };

            assert!(short.graphemes(true).count() <= limit, "{short:?} of {text:?}");
            let (_, tail) = with_tail(&text, &Graphemes(limit)).unwrap();
            let kept = short.strip_suffix(&tail).unwrap_or(&short);
            let kept = kept.trim_end_matches(['…', ' ']);
            assert!(text.starts_with(kept), "{short:?} of {text:?}");
            let inside = wholes.iter().find(|it| it.start < kept.len() && kept.len() < it.end);
            assert_eq!(inside, None, "{short:?} of {text:?}");
        }
    }

    /// Counts the bytes that it is given, too.
    #[derive(Debug)]
    struct Counting(Graphemes, AtomicUsize);

    impl Measure for Counting {
        fn measure(&self, text: &str) -> Length {
            self.1.fetch_add(text.len(), Ordering::Relaxed);
            self.0.measure(text)
        }
    }

    #[test]
    fn a_long_text_is_not_measured_again_and_again() {
        let work = |text: &str, limit: usize, make: &dyn Fn(&str, &dyn Measure)| {
            let measure = Counting(Graphemes(limit), AtomicUsize::new(0));
            make(text, &measure);
            measure.1.into_inner() / text.len()
        };
        let text = "Twelve bytes ".repeat(2_000);
        let tags = format!("So it is. https://a.example/b {}", "#tea ".repeat(5_000));

        assert_eq!(thread(&text, &Graphemes(200), 100), Err(Unfit::Parts(100)));
        let threads = work(&text, 1_500, &|text, measure| {
            assert!(thread(text, measure, 100).is_ok());
        });
        let cut = work(&text, 200, &|text, measure| drop(shorten(text, measure)));
        let tagged = work(&tags, 200, &|text, measure| drop(shorten(text, measure)));

        // So many times its length: 30, 2 and 2, of a thread of 17 parts.
        assert!(threads <= 40 && cut <= 4 && tagged <= 4, "{threads}, {cut}, {tagged}");
    }
}
