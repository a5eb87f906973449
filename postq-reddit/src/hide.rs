//! Keeps secrets and content out of what is told to people.

/// So many characters in a row of a post are content.
const TELLING: usize = 12;
/// The longest message.
const MOST: usize = 300;

/// What a message must not show.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hidden<'a> {
    /// The token, or whatever else is secret.
    pub(crate) token: &'a str,
    /// The title of the post.
    pub(crate) title: &'a str,
    /// Its text.
    pub(crate) text: &'a str,
}

impl<'a> Hidden<'a> {
    /// Only a secret is hidden.
    pub(crate) fn secret(token: &'a str) -> Self {
        Self { token, ..Self::default() }
    }

    /// The words on one line, cut to a bound, with `…` for the token and for every stretch that
    /// comes from the title or the text.
    pub(crate) fn hide(self, words: &str) -> String {
        let words =
            if self.token.is_empty() { words.to_owned() } else { words.replace(self.token, "…") };
        let words: Vec<char> = one_line(&words).chars().take(MOST).collect();
        let [in_title, in_text] =
            [self.title, self.text].map(|content| quoted(&words, &one_line(content)));
        let is_quoted = |i: usize| in_title[i] || in_text[i];
        let mut shown = String::new();
        for (i, &c) in words.iter().enumerate() {
            if !is_quoted(i) {
                shown.push(c);
            } else if i == 0 || !is_quoted(i - 1) {
                shown.push('…');
            }
        }
        shown
    }
}

/// Which of the characters are from the content.
fn quoted(words: &[char], content: &str) -> Vec<bool> {
    let mut quoted = vec![false; words.len()];
    let length = content.chars().count();
    let window = length.min(TELLING);
    if window == 0 || window > words.len() {
        return quoted;
    }
    for start in 0..=words.len() - window {
        let stretch: String = words[start..start + window].iter().collect();
        // Short content is content as a whole word alone: "a" is in most sentences.
        let stands_alone = length >= TELLING
            || !(start > 0 && words[start - 1].is_alphanumeric()
                || words.get(start + window).is_some_and(|c| c.is_alphanumeric()));
        if stands_alone && content.contains(&stretch) {
            quoted[start..start + window].fill(true);
        }
    }
    quoted
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

    fn hide(words: &str, title: &str, text: &str) -> String {
        Hidden { token: "tok-1", title, text }.hide(words)
    }

    #[test]
    fn what_comes_from_the_content_is_left_out() {
        let text = "Our launch is\non Tuesday at nine, tell nobody";

        assert_eq!(hide("bad: Our launch is on Tuesday!", "", text), "bad: …!");
        assert_eq!(hide("no \"A secret plan of ours\"", "A secret plan of ours", text), "no \"…\"");
        assert_eq!(hide("Forbidden", "a title", text), "Forbidden");
        assert_eq!(hide("refused: hi", "", "hi"), "refused: …");
        assert_eq!(hide("this is it", "hi", ""), "this is it");
        assert_eq!(hide("anything", "", ""), "anything");
    }

    #[test]
    fn the_token_is_left_out_and_the_message_is_short() {
        assert_eq!(hide("bad token tok-1\r\n\u{1b}[1m", "", "text"), "bad token … [1m");
        assert_eq!(hide(&"long ".repeat(1_000), "", "text").chars().count(), MOST);
    }
}
