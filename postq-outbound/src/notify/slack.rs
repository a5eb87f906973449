//! Notices for a chat: Slack's incoming webhooks, and those of others that take the same.

use async_trait::async_trait;
use postq_core::error::NotifyError;
use postq_core::id::JobId;
use postq_core::notifier::{Notice, Notifier};
use reqwest::header::CONTENT_TYPE;
use secrecy::SecretString;
use serde_json::json;

use super::message::subject;
use super::{Own, Place};
use crate::call::Outbound;
use crate::guard::Refused;
use crate::header::HeaderValue;

/// The channel `slack`: posts each notice as `{"text": ...}`, which Slack, Mattermost, Rocket.Chat and
/// others take alike.
#[derive(Debug)]
pub struct Slack {
    own: Own,
    place: Place,
}

impl Slack {
    /// Posts to this incoming webhook.
    ///
    /// # Errors
    ///
    /// A URL that cannot be called.
    pub fn new(outbound: Outbound, url: &SecretString, place: Place) -> Result<Self, Refused> {
        Ok(Self { own: Own::new(outbound, url)?, place })
    }
}

#[async_trait]
impl Notifier for Slack {
    fn channel(&self) -> &str {
        "slack"
    }

    async fn notify(&self, _id: JobId, notice: &Notice) -> Result<(), NotifyError> {
        let body = json!({ "text": text(notice, &self.place) }).to_string().into_bytes();
        self.own.post(body, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))]).await
    }
}

fn text(notice: &Notice, place: &Place) -> String {
    let mut text = format!("*{}*\n{}", escaped(&subject(notice)), escaped(&notice.message));
    if let Some(link) = place.link(notice) {
        text.push_str(&format!("\n<{}>", escaped(&link)));
    }
    if let Some(command) = Place::command(notice) {
        text.push_str(&format!("\n`{}`", escaped(&command)));
    }
    if let Some(post) = &notice.text {
        text.push_str("\nReady to be posted by hand:\n");
        text.push_str(&verbatim(post));
    }
    text
}

/// Text in which nothing is a link, a mention or a channel:
/// <https://docs.slack.dev/messaging/formatting-message-text/#escaping>.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Text as it stands, fenced; where it holds a fence itself, each line of it quoted.
fn verbatim(text: &str) -> String {
    let text = escaped(text);
    if text.contains("```") {
        return text.lines().map(|line| format!(">{line}\n")).collect();
    }
    format!("```\n{text}\n```")
}

#[cfg(test)]
mod tests {
    use postq_core::notifier::NoticeKind;

    use super::*;

    #[test]
    fn nothing_in_it_is_markup() {
        let notice = Notice {
            account_name: Some("<!channel>".to_owned()),
            platform: Some("x".parse().expect("a name")),
            text: Some("Q&A <now> <@U1>".to_owned()),
            ..Notice::new(NoticeKind::AccountNeedsAttention, "see <https://evil|here> & there")
        };

        let text = text(&notice, &Place::default());

        assert_eq!(
            text,
            "*postq: an account needs a person (&lt;!channel&gt; on x)*\n\
             see &lt;https://evil|here&gt; &amp; there\n\
             `postqd account show '&lt;!channel&gt;'`\n\
             Ready to be posted by hand:\n\
             ```\nQ&amp;A &lt;now&gt; &lt;@U1&gt;\n```"
        );
    }

    #[test]
    fn a_fence_in_a_post_ends_nothing() {
        assert_eq!(verbatim("a\n```\nb"), ">a\n>```\n>b\n");
    }
}
