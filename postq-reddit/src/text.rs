//! When a text that Reddit shows is the one that was sent.

use unicode_normalization::UnicodeNormalization;

/// How alike two texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sameness {
    /// The same, but for what Reddit changes in every text.
    Same,
    /// The same but for letter case, spaces and punctuation: a person has to look.
    Near,
    /// Surely not the same.
    Different,
}

/// Compares a text that was sent with what is shown, escaped as HTML or not.
pub(crate) fn compare(sent: &str, shown: &str) -> Sameness {
    let readings = [shown.to_owned(), unescape(shown)];
    let (exact, core) = (self::exact(sent), self::core(sent));
    if readings.iter().any(|shown| self::exact(shown) == exact) {
        return Sameness::Same;
    }
    match readings.iter().any(|shown| self::core(shown) == core) {
        true => Sameness::Near,
        false => Sameness::Different,
    }
}

/// What a removed text or title is replaced with.
pub(crate) fn is_blotted_out(shown: &str) -> bool {
    let gone = ["[removed]", "[deleted]", "[deleted by user]", "[ Removed by Reddit ]"];
    gone.contains(&shown.trim())
}

fn unescape(text: &str) -> String {
    // `&amp;` last: `&amp;lt;` stands for `&lt;`.
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}

/// NFC, one kind of line end, no spaces at the end of a line or of the whole.
fn exact(text: &str) -> String {
    let text: String = text.nfc().collect();
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// What is left without everything that could be changed without changing what is said.
fn core(text: &str) -> String {
    let text = text.nfkc().flat_map(char::to_lowercase);
    let is_said = |c: &char| !c.is_whitespace() && !c.is_control() && !c.is_ascii_punctuation();
    text.filter(|c| is_said(c) && !is_unseen(*c)).collect()
}

/// What nobody sees by itself: joiners, marks of direction, soft hyphens, selectors of a form.
const fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_itself_escaped_or_not(text in ".{0,80}") {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");

            prop_assert_eq!(compare(&text, &text), Sameness::Same);
            prop_assert_eq!(compare(&text, &escaped), Sameness::Same);
            prop_assert_eq!(compare(&text, text.trim_end()), Sameness::Same);
        }
    }

    #[test]
    fn what_is_changed_in_every_text_makes_no_difference() {
        assert_eq!(compare(" café \r\n& <b>  \n", "cafe\u{301}\n&amp; &lt;b&gt;"), Sameness::Same);
        assert_eq!(compare("literally &amp;", "literally &amp;"), Sameness::Same);
        assert_eq!(compare("literally &amp;", "literally &amp;amp;"), Sameness::Same);
        assert_eq!(compare("👩‍👩‍👧 e\u{301}", "👩‍👩‍👧 é"), Sameness::Same);
    }

    #[test]
    fn small_changes_are_near_and_others_are_not() {
        assert_eq!(compare("Hello, world!", "hello  world"), Sameness::Near);
        assert_eq!(compare("a\u{200b}b \u{feff}c\u{ad}d", "ab cd"), Sameness::Near);
        assert_eq!(
            compare("\u{2764}\u{fe0f} \u{1f469}\u{200d}\u{1f467}", "\u{2764} \u{1f469}\u{1f467}"),
            Sameness::Near
        );
        assert_eq!(compare("Hello world 1", "Hello world 2"), Sameness::Different);
        assert_eq!(compare("👍", "👎"), Sameness::Different);
        assert_eq!(compare("something", ""), Sameness::Different);
        assert!(is_blotted_out("[removed]") && !is_blotted_out("removed"));
    }
}
