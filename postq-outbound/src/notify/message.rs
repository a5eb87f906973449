//! What a notice says, in words that every channel shares.

use postq_core::notifier::{Notice, NoticeKind};
use reqwest::Url;

/// The longest subject, in characters.
const MOST_SUBJECT: usize = 120;

/// Where a person finds what a notice is about: below the address by which people reach this postq, else
/// on the command line.
#[derive(Clone, Debug, Default)]
pub struct Place {
    base: Option<Url>,
}

impl Place {
    /// Below this address, as `https://postq.example.com`.
    ///
    /// # Errors
    ///
    /// A text that is no such address.
    pub fn at(base: &str) -> Result<Self, PlaceError> {
        let url = Url::parse(base).map_err(|_| PlaceError)?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        is_plain.then_some(Self { base: Some(url) }).ok_or(PlaceError)
    }

    /// A link to its page in the dashboard, if this postq has an address and it is about something that
    /// has a page.
    pub(crate) fn link(&self, notice: &Notice) -> Option<String> {
        let base = self.base.as_ref()?.as_str().trim_end_matches('/');
        let path = match (notice.kind, notice.job, notice.account) {
            (NoticeKind::Test, ..) => "/".to_owned(),
            (NoticeKind::WebhookPaused, ..) => "/settings".to_owned(),
            (NoticeKind::AccountNeedsAttention | NoticeKind::TokenNotRenewed, _, Some(account)) => {
                format!("/accounts/{account}")
            }
            (NoticeKind::AppNeedsAttention, ..) => "/accounts".to_owned(),
            (_, Some(job), _) => format!("/jobs/{job}"),
            (_, _, Some(account)) => format!("/accounts/{account}"),
            _ => return None,
        };
        Some(format!("{base}{path}"))
    }

    /// The command that shows it and what can be done.
    pub(crate) fn command(notice: &Notice) -> Option<String> {
        match (notice.kind, notice.job, notice.account_name.as_deref()) {
            (NoticeKind::AccountNeedsAttention | NoticeKind::TokenNotRenewed, _, Some(name)) => {
                Some(format!("postqd account show {}", quoted(name)))
            }
            (NoticeKind::AppNeedsAttention, ..) => Some("postqd account list".to_owned()),
            (_, Some(job), _) => Some(format!("postqd dead show {job}")),
            _ => None,
        }
    }
}

/// An address that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the address by which people reach this postq, as https://postq.example.com")]
pub struct PlaceError;

/// One line: what happened, and to whom.
pub(crate) fn subject(notice: &Notice) -> String {
    let what = match notice.kind {
        NoticeKind::JobDead => "a job gave up",
        NoticeKind::OutcomeUnknown => "a post may or may not be out",
        NoticeKind::AccountNeedsAttention => "an account needs a person",
        NoticeKind::TokenNotRenewed => "a token cannot be renewed",
        NoticeKind::AppNeedsAttention => "an app stands still",
        NoticeKind::WebhookPaused => "a webhook is paused",
        NoticeKind::Test => "a test",
        _ => "a notice",
    };
    let whose = match (&notice.account_name, &notice.platform) {
        (Some(name), Some(platform)) => format!(" ({name} on {platform})"),
        (None, Some(platform)) => format!(" ({platform})"),
        _ => String::new(),
    };
    one_line(&format!("postq: {what}{whose}"), MOST_SUBJECT)
}

/// A text without line breaks and control characters, cut to a length: what goes into a header.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
}

/// The whole of it as plain text.
pub(crate) fn plain(notice: &Notice, place: &Place) -> String {
    let mut text = notice.message.clone();
    let ways = [place.link(notice), Place::command(notice)];
    for way in ways.into_iter().flatten() {
        text.push_str("\n\n");
        text.push_str(&way);
    }
    if let Some(post) = &notice.text {
        text.push_str("\n\nReady to be posted by hand:\n\n");
        text.push_str(post);
    }
    text.push('\n');
    text
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@+:/".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use postq_core::id::{AccountId, JobId};

    use super::*;

    fn dead() -> Notice {
        Notice {
            job: Some(JobId::new()),
            account: Some(AccountId::new()),
            account_name: Some("main".to_owned()),
            platform: Some("x".parse().expect("a name")),
            text: Some("hello\n---\nworld".to_owned()),
            ..Notice::new(NoticeKind::JobDead, "publish for \"main\" gave up")
        }
    }

    #[test]
    fn a_notice_leads_to_what_can_be_done() {
        let place = Place::at("https://postq.example.com/below/").expect("an address");
        let notice = dead();
        let (job, account) = (notice.job.expect("a job"), notice.account.expect("an account"));

        let text = plain(&notice, &place);

        assert!(text.starts_with("publish for \"main\" gave up\n\n"), "{text}");
        assert!(text.contains(&format!("\nhttps://postq.example.com/below/jobs/{job}\n")));
        assert!(text.contains(&format!("\npostqd dead show {job}\n")), "{text}");
        assert!(text.ends_with("by hand:\n\nhello\n---\nworld\n"), "{text}");
        let needs = Notice { kind: NoticeKind::AccountNeedsAttention, ..dead() };
        let needs = Notice { account: Some(account), text: None, ..needs };
        let text = plain(&needs, &place);
        assert!(text.contains(&format!("/below/accounts/{account}\n")), "{text}");
        assert!(text.ends_with("\npostqd account show main\n"), "{text}");
        let trouble = Notice { kind: NoticeKind::TokenNotRenewed, ..needs };
        assert_eq!(plain(&trouble, &place), text);
        for (kind, page) in [
            (NoticeKind::WebhookPaused, "settings"),
            (NoticeKind::AppNeedsAttention, "accounts"),
            (NoticeKind::Test, ""),
        ] {
            let link = place.link(&Notice { kind, ..dead() });
            assert_eq!(link, Some(format!("https://postq.example.com/below/{page}")), "{kind:?}");
        }
        assert!(!plain(&notice, &Place::default()).contains("http"));
    }

    #[test]
    fn a_subject_is_one_short_line() {
        let notice = Notice {
            account_name: Some(format!("a\r\nBcc: everybody@example.com\u{0}{}", "é".repeat(300))),
            ..dead()
        };

        let subject = subject(&notice);

        assert!(subject.starts_with("postq: a job gave up (a  Bcc: everybody@example.com "));
        assert_eq!(subject.chars().count(), MOST_SUBJECT);
        assert!(!subject.chars().any(char::is_control));
    }

    #[test]
    fn a_name_is_safe_in_a_shell() {
        for (name, word) in [
            ("main", "main"),
            ("my account", "'my account'"),
            ("$(rm -rf /)", "'$(rm -rf /)'"),
            ("it's", r"'it'\''s'"),
            ("-x", "'-x'"),
        ] {
            assert_eq!(quoted(name), word);
        }
    }

    #[test]
    fn an_address_is_plain() {
        for bad in ["postq.example.com", "ftp://a", "https://a:b@c", "https://a/?b", "https://a#b"]
        {
            assert_eq!(Place::at(bad).err(), Some(PlaceError), "{bad}");
        }
    }
}
