//! Forms without files, as token endpoints want them.

use std::fmt::Write as _;

use secrecy::zeroize::Zeroizing;

/// The fields as `application/x-www-form-urlencoded`. Wiped from memory when it is dropped.
pub fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    // With room for all of it from the start: a text that grows is moved, and leaves pieces behind.
    let room = fields.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    let mut form = Zeroizing::new(String::with_capacity(room));
    for (name, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        push_encoded(&mut form, value);
    }
    form
}

fn push_encoded(form: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                form.push(char::from(byte));
            }
            _ => write!(form, "%{byte:02X}").expect("a text takes what is written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded() {
        let fields = [("a", "b c&=+%"), ("é", "é"), ("grant_type", "refresh_token")];
        assert_eq!(form(&fields).as_str(), "a=b%20c%26%3D%2B%25&é=%C3%A9&grant_type=refresh_token");
        assert_eq!(form(&[]).as_str(), "");
    }
}
