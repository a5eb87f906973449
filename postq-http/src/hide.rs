//! Keeps secrets and content out of what is told to people.

use std::fmt;

/// So many characters in a row of a post are content.
const TELLING: usize = 12;
/// The longest message, in characters.
const MOST: usize = 300;
/// The most texts that one message is kept free of.
pub const MOST_TEXTS: usize = 4;

/// What a message must not show: a secret, and the texts of a post.
#[derive(Clone, Copy, Default)]
pub struct Hidden<'a> {
    secret: &'a str,
    texts: [&'a str; MOST_TEXTS],
}

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hidden").finish_non_exhaustive()
    }
}

impl<'a> Hidden<'a> {
    /// Hides this secret: a token, a code, a password.
    pub fn secret(secret: &'a str) -> Self {
        Self { secret, ..Self::default() }
    }

    /// Hides these texts as well, in place of others: at most [`MOST_TEXTS`], or it does not compile.
    #[must_use]
    pub fn with_texts<const N: usize>(mut self, texts: [&'a str; N]) -> Self {
        const { assert!(N <= MOST_TEXTS, "more texts than a message is kept free of") };
        self.texts = [""; MOST_TEXTS];
        self.texts[..N].copy_from_slice(&texts);
        self
    }

    /// The words on one line, cut to 300 characters, with `…` for the secret, for what stands behind the `?` of an
    /// address, and for every stretch that comes from a text.
    pub fn hide(self, words: &str) -> String {
        let words = match self.secret {
            "" => words.to_owned(),
            secret => words.replace(secret, "…"),
        };
        let words: Vec<char> = without_queries(&one_line(&words)).chars().take(MOST).collect();
        let mut quoted = vec![false; words.len()];
        for text in self.texts {
            mark(&mut quoted, &words, &one_line(text));
        }
        let mut shown = String::new();
        for (i, &c) in words.iter().enumerate() {
            if !quoted[i] {
                shown.push(c);
            } else if i == 0 || !quoted[i - 1] {
                shown.push('…');
            }
        }
        shown
    }
}

/// Marks which of the characters are from the text.
fn mark(quoted: &mut [bool], words: &[char], text: &str) {
    let length = text.chars().count();
    let window = length.min(TELLING);
    if window == 0 || window > words.len() {
        return;
    }
    for start in 0..=words.len() - window {
        let stretch: String = words[start..start + window].iter().collect();
        // A short text is content as a whole word alone: "a" is in most sentences.
        let stands_alone = length >= TELLING
            || !(start > 0 && words[start - 1].is_alphanumeric()
                || words.get(start + window).is_some_and(|c| c.is_alphanumeric()));
        if stands_alone && text.contains(&stretch) {
            quoted[start..start + window].fill(true);
        }
    }
}

/// An address without what is behind its `?`: that may open a file to whoever reads it.
fn without_queries(words: &str) -> String {
    let plain = |word: &str| match word.split_once('?') {
        Some((address, _)) if address.contains("://") => format!("{address}?…"),
        _ => word.to_owned(),
    };
    words.split(' ').map(plain).collect::<Vec<_>>().join(" ")
}

fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hide(words: &str, text: &str) -> String {
        Hidden::secret("tok-1").with_texts([text]).hide(words)
    }

    #[test]
    fn what_comes_from_the_text_is_left_out() {
        let text = "Our launch is\non Tuesday at nine, tell nobody";

        assert_eq!(hide("bad: Our launch is on Tuesday at nine!", text), "bad: …!");
        assert_eq!(hide("bad: …day at nine, tell nobody", text), "bad: ……");
        assert_eq!(hide("Forbidden", text), "Forbidden");
        assert_eq!(hide("refused: hi", "hi"), "refused: …");
        assert_eq!(hide("this is it", "hi"), "this is it");
        assert_eq!(hide("anything", ""), "anything");
    }

    #[test]
    fn each_text_is_left_out() {
        let texts = ["a description that is long", "Soup", "https://example.com/soup", "a bowl"];
        let hidden = Hidden::default().with_texts(texts);

        let told = hidden.hide("no Soup with https://example.com/soup and a bowl, sorry");
        assert_eq!(told, "no … with … and …, sorry");
        let title = Hidden::default().with_texts(["A secret plan of ours", "and its text"]);
        assert_eq!(title.hide("no \"A secret plan of ours\""), "no \"…\"");
        assert_eq!(title.with_texts(["other"]).hide("no other"), "no …");
    }

    #[test]
    fn an_address_opens_nothing() {
        let words = "not fetched: https://post.example.com/a.jpg?until=1&signature=2 why?";

        assert_eq!(hide(words, ""), "not fetched: https://post.example.com/a.jpg?… why?");
    }

    #[test]
    fn the_secret_is_left_out_and_the_message_is_short() {
        assert_eq!(hide("bad token tok-1\r\n\u{1b}[1m", "text"), "bad token … [1m");
        assert_eq!(hide(&"long ".repeat(1_000), "text").chars().count(), MOST);
        assert_eq!(Hidden::secret("s3cret").hide("not s3cret"), "not …");
        let shown = format!("{:?}", Hidden::secret("s3cret").with_texts(["text"]));
        assert_eq!(shown, "Hidden { .. }");
    }
}
