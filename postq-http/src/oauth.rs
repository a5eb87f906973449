//! What a token endpoint of OAuth 2 takes and gives: <https://www.rfc-editor.org/rfc/rfc6749>.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postq_core::connect::Grant;
use reqwest::header::HeaderValue;
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;

/// Far more than any token lives, a year: what is longer is a mistake in a unit.
const LONGEST_LIFE: u64 = 31_536_000;

/// The header by which an app shows its id and its secret. No log shows it.
pub fn basic(id: &str, secret: &str) -> HeaderValue {
    // By the book both are form-encoded first, which changes none of the characters that platforms use.
    let pair = Zeroizing::new(format!("{id}:{secret}"));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut header = HeaderValue::from_str(&text).expect("base64 is plain text");
    header.set_sensitive(true);
    header
}

/// A grant as it is written, by the names of RFC 6749, section 5.1.
#[derive(Deserialize)]
pub struct Granted {
    access_token: String,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
    scope: Option<String>,
}

/// Does not show the tokens.
impl std::fmt::Debug for Granted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Granted").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl From<Granted> for Grant {
    fn from(granted: Granted) -> Self {
        let scopes = granted.scope.unwrap_or_default();
        // Some platforms write commas between.
        let scopes = scopes.split([' ', ',']).filter(|scope| !scope.is_empty());
        Self {
            access_token: granted.access_token.into(),
            refresh_token: granted.refresh_token.filter(|token| !token.is_empty()).map(Into::into),
            expires_in: granted.expires_in.map(|s| Duration::from_secs(s.min(LONGEST_LIFE))),
            scopes: scopes.map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn grant(text: &str) -> Grant {
        serde_json::from_str::<Granted>(text).expect("a grant").into()
    }

    #[test]
    fn an_app_is_shown_and_not_printed() {
        let header = basic("id", "secret ż");

        assert_eq!(header.to_str().expect("text"), "Basic aWQ6c2VjcmV0IMW8");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[test]
    fn a_grant_is_read_as_it_is_meant() {
        let whole = grant(
            r#"{"access_token":"a","refresh_token":"r","expires_in":9999999999,"scope":"one,two three"}"#,
        );
        assert_eq!(whole.refresh_token.expect("one").expose_secret(), "r");
        assert_eq!(whole.expires_in, Some(Duration::from_secs(LONGEST_LIFE)));
        assert_eq!(whole.scopes, ["one", "two", "three"]);

        let bare = grant(r#"{"access_token":"a","refresh_token":""}"#);
        assert!(bare.refresh_token.is_none() && bare.expires_in.is_none());
        assert!(bare.scopes.is_empty());
        let granted: Granted = serde_json::from_str(r#"{"access_token":"hush"}"#).expect("one");
        assert!(!format!("{granted:?}").contains("hush"));
    }
}
