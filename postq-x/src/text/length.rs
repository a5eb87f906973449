//! The weighted length of a text: version 3 of twitter-text's configuration.
//!
//! Every link weighs the same, since X replaces it by one of its own; an emoji weighs as much as one
//! wide character, however many code points it is made of.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::url::{invisible, links};

/// What a character outside [`LIGHT`] weighs, and an emoji.
const HEAVY_WEIGHT: usize = 2;
/// What a character in [`LIGHT`] weighs.
const LIGHT_WEIGHT: usize = 1;
/// What a link weighs.
const LINK_WEIGHT: usize = 23;
/// Latin, Greek, Cyrillic, Arabic and other alphabets, spaces and quotation marks.
const LIGHT: [(u32, u32); 4] = [(0, 4_351), (8_192, 8_205), (8_208, 8_223), (8_242, 8_247)];

/// One emoji, by the grammar of Unicode's report 51: a keycap, a flag, or pictures with their
/// variations and skin tones, joined. X knows a list of sequences; this is wider by those that no
/// font draws.
static EMOJI: LazyLock<Regex> = LazyLock::new(|| {
    let picture = r"\p{Extended_Pictographic}(?:\x{FE0F}?\p{Emoji_Modifier}|\x{FE0F})?";
    Regex::new(&format!(
        r"[0-9#*]\x{{FE0F}}?\x{{20E3}}|[\x{{1F1E6}}-\x{{1F1FF}}]{{2}}|{picture}(?:[\x{{E0020}}-\x{{E007E}}]+\x{{E007F}}|(?:\x{{200D}}{picture})+)?|\p{{Emoji_Modifier}}"
    ))
    .expect("a fixed pattern")
});

/// How long X counts the text: at most 280 for most accounts.
///
/// ```
/// assert_eq!(postq_x::weighted_length("Hi https://example.com/a/very/long/path"), 26);
/// assert_eq!(postq_x::weighted_length("日本"), 4);
/// ```
pub fn weighted_length(text: &str) -> usize {
    let text: String = text.nfc().collect();
    let mut skips: BTreeMap<usize, (usize, usize)> = EMOJI
        .find_iter(&text)
        // Alone, a sign as © is a letter; what makes it a picture is the variation selector.
        .filter(|found| found.as_str().chars().nth(1).is_some())
        .map(|found| (found.start(), (found.end(), HEAVY_WEIGHT)))
        .collect();
    skips.extend(links(&text).into_iter().map(|link| (link.start, (link.end, LINK_WEIGHT))));

    let mut length = 0;
    let mut until = 0;
    for (at, c) in text.char_indices() {
        if at < until {
            continue;
        }
        if let Some((end, weight)) = skips.get(&at) {
            until = *end;
            length += weight;
        } else {
            length += weight(c);
        }
    }
    length
}

/// Whether X would show a link in the text.
pub(crate) fn has_link(text: &str) -> bool {
    let text: String = text.nfc().collect();
    !links(&text).is_empty()
}

/// The first character that X takes in no text, if there is one.
pub(crate) fn forbidden(text: &str) -> Option<char> {
    text.chars().find(|&c| invisible(c))
}

/// Whether anything is left of the text when X has trimmed it.
pub(crate) fn has_content(text: &str) -> bool {
    !text.trim().is_empty()
}

fn weight(c: char) -> usize {
    let light = LIGHT.iter().any(|&(first, last)| (first..=last).contains(&u32::from(c)));
    if light { LIGHT_WEIGHT } else { HEAVY_WEIGHT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_of_joined_pictures_weighs_as_one() {
        let lengths = ["👨‍👩‍👧‍👦", "👍🏽", "☝️🏽", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇩🇪", "1️⃣", "🏳️‍🌈", "👍", "🏽"].map(weighted_length);

        assert_eq!(lengths, [2; 9]);
        assert_eq!(weighted_length("©"), 1);
        assert_eq!(weighted_length("©\u{fe0f}"), 2);
        assert_eq!(weighted_length("🇩🇪🇫"), 4);
    }

    #[test]
    fn accents_are_counted_as_part_of_their_letter() {
        assert_eq!(weighted_length("e\u{301}"), 1);
        assert_eq!(weighted_length(""), 0);
    }

    #[test]
    fn only_blank_text_has_no_content() {
        assert!(!has_content(" \n\u{3000}"));
        assert!(has_content(" . "));
    }
}
