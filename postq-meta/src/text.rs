//! When the text that Meta shows is the one that was sent.

use unicode_normalization::UnicodeNormalization;

/// How much two texts are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sameness {
    /// The same, but for spaces and how characters are put together.
    Same,
    /// Much alike: nobody can tell.
    Near,
    /// Something else.
    Different,
}

/// A beginning of so many letters is telling: Meta may show less than the whole.
const TELLING: usize = 40;

/// Compares what was sent with what is shown. Two empty texts are near: they say nothing.
pub(crate) fn compare(sent: &str, shown: &str) -> Sameness {
    let (ours, theirs) = (normal(sent), normal(shown));
    if ours == theirs {
        return if ours.is_empty() { Sameness::Near } else { Sameness::Same };
    }
    if seen(&ours) == seen(&theirs) {
        return Sameness::Near;
    }
    let (ours, theirs) = (letters(&ours), letters(&theirs));
    let is_cut = theirs.chars().count() >= TELLING && ours.starts_with(&theirs);
    let is_like = ours == theirs && !ours.is_empty();
    if is_like || is_cut { Sameness::Near } else { Sameness::Different }
}

/// Composed, and with one space between words.
fn normal(text: &str) -> String {
    let text: String = text.nfc().collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is left without spaces, and without what nobody sees by itself: joiners, marks of direction, selectors of
/// a form.
fn seen(text: &str) -> String {
    let is_unseen = |c: char| {
        matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{e0000}'..='\u{e0fff}')
    };
    text.chars().filter(|c| !c.is_whitespace() && !is_unseen(*c)).collect()
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_composition_do_not_matter() {
        for (sent, shown) in [
            (" Hello\r\nworld ", "Hello\nworld"),
            ("cafe\u{301}", "caf\u{e9}"),
            (
                "\u{1f468}\u{200d}\u{1f469} \u{1f44d}\u{1f3fd}",
                "\u{1f468}\u{200d}\u{1f469} \u{1f44d}\u{1f3fd}",
            ),
        ] {
            assert_eq!(compare(sent, shown), Sameness::Same, "{sent}");
        }
    }

    #[test]
    fn what_is_much_alike_is_told_apart_from_what_is_not() {
        let long = "A sentence that goes on for more than forty letters, and then some more";
        for (sent, shown) in [
            ("Hello, world!", "hello world"),
            (long, &long[..50]),
            ("", " "),
            // No letters, and a difference that nobody sees.
            ("\u{2764}\u{fe0f}", "\u{2764}"),
            ("\u{1f389} \u{200b}\u{1f389}", "\u{1f389}\u{1f389}"),
        ] {
            assert_eq!(compare(sent, shown), Sameness::Near, "{sent}");
        }
        for (sent, shown) in [
            ("Hello", "Help"),
            ("Hello world", "Hello"),
            (long, &long[..9]),
            ("", "a"),
            ("\u{1f44d}", "\u{1f389}"),
            ("\u{1f44d}", ""),
        ] {
            assert_eq!(compare(sent, shown), Sameness::Different, "{sent}");
        }
    }
}
