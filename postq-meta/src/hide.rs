//! Keeps secrets and content out of what is told to people.

/// So many characters in a row of a post are content.
const TELLING: usize = 12;
/// The longest message.
const MOST: usize = 300;

/// What a message must not show.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hidden<'a> {
    /// The access token.
    pub(crate) token: &'a str,
    /// The text of the post.
    pub(crate) text: &'a str,
}

impl Hidden<'_> {
    /// The words on one line, cut to a bound, with `…` for the token and for every stretch that
    /// comes from the text.
    pub(crate) fn hide(self, words: &str) -> String {
        let words =
            if self.token.is_empty() { words.to_owned() } else { words.replace(self.token, "…") };
        let words: Vec<char> = without_queries(&one_line(&words)).chars().take(MOST).collect();
        let text = one_line(self.text);
        let quoted = quoted(&words, &text);
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

/// Which of the characters are from the text.
fn quoted(words: &[char], text: &str) -> Vec<bool> {
    let mut quoted = vec![false; words.len()];
    let length = text.chars().count();
    let window = length.min(TELLING);
    if window == 0 || window > words.len() {
        return quoted;
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
    quoted
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
        Hidden { token: "tok-1", text }.hide(words)
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
    fn an_address_opens_nothing() {
        let words = "not fetched: https://post.example.com/a.jpg?until=1&signature=2 why?";

        assert_eq!(hide(words, ""), "not fetched: https://post.example.com/a.jpg?… why?");
    }

    #[test]
    fn the_token_is_left_out_and_the_message_is_short() {
        assert_eq!(hide("bad token tok-1\r\n\u{1b}[1m", "text"), "bad token … [1m");
        assert_eq!(hide(&"long ".repeat(1_000), "text").chars().count(), MOST);
    }
}
