//! [`Platform`] for Instagram: publishes a container that was built before.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::connect::{Connect, Refresh};
use postq_core::content::{Draft, Part};
use postq_core::failure::{Failure, FailureClass};
use postq_core::intent::Receipt;
use postq_core::options::{OptionField, PostOptions};
use postq_core::platform::{
    Identity, Length, Measure, Media, Metrics, Outgoing, Pace, Platform, PlatformName, Published,
    Reconcile, Stage, Violation,
};
use postq_http::Hidden;
use serde::Deserialize;
use serde_json::json;

use super::Instagram;
use super::container::{Kind, OPTIONS};
use super::media::{CAROUSEL, limits};
use crate::client::{Created, MOST_OF_ONE, Token, is_address, is_id};
use crate::error::{not_published, unpublished};
use crate::limits::readings;

/// The longest caption, in characters, and what it may have of hashtags and mentions.
const MOST_TEXT: usize = 2_200;
const MOST_HASHTAGS: usize = 30;
const MOST_MENTIONS: usize = 20;
/// The longest that the address of a post is asked for, once it is out.
const FOR_ADDRESS: Duration = Duration::from_secs(3);

#[async_trait]
impl Platform for Instagram {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace { daily: self.config.daily, send_timeout: self.config.send_timeout, ..Pace::default() }
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        let found = match draft.parts {
            [] => vec!["there is no media: Instagram takes no text alone".to_owned()],
            [part] => problems(part, draft.options),
            more => {
                let parts = more.len();
                vec![format!("the post has {parts} parts, at most 1: Instagram has no threads")]
            }
        };
        found.into_iter().map(|message| Violation { part: 0, message }).collect()
    }

    fn options(&self) -> &'static [OptionField] {
        OPTIONS
    }

    async fn publish<'a>(&self, who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let until = self.graph.deadline();
        let Some(container) = part.container.filter(|id| is_id(id)) else {
            let message = "nothing was built of this part first";
            return Err(Failure::not_published(FailureClass::Internal, message));
        };
        let token = self.graph.token(who)?;
        let node = self.node(who, &token, until).await.map_err(not_published)?;
        let quota = self.quota(&node, &token, until).await;
        if let Some(failure) = quota.and_then(|quota| quota.used_up()) {
            return Err(failure);
        }
        let hidden = Hidden::secret(token.expose()).with_texts([part.text]);
        let (path, body) = (format!("/{node}/media_publish"), json!({ "creation_id": container }));

        let sent = self.graph.post(&path, &body, &token, until).await;

        let answer = sent.map_err(|lost| lost.into_failure(hidden))?;
        let mut limits = readings(&answer.headers);
        let Some(id) = Created::of(&answer) else {
            return Err(unpublished(&answer, (self.graph.name, hidden)).with_limits(limits));
        };
        limits.extend(quota.map(|quota| quota.reading(1)));
        let now = self.graph.now(&answer);
        let receipt = self.receipt(id, (part.part, now), &token, until).await;
        Ok(Published { receipt, limits })
    }

    fn reconcile(&self) -> Option<&dyn Reconcile> {
        Some(self)
    }

    fn metrics(&self) -> Option<&dyn Metrics> {
        Some(self)
    }

    fn media(&self) -> Option<&dyn Media> {
        Some(self)
    }

    fn stage(&self) -> Option<&dyn Stage> {
        Some(self)
    }

    fn connect(&self) -> Option<&dyn Connect> {
        Some(self)
    }

    fn refresh(&self) -> Option<&dyn Refresh> {
        Some(self)
    }

    fn measure(&self) -> Option<&dyn Measure> {
        Some(self)
    }
}

impl Measure for Instagram {
    fn measure(&self, text: &str) -> Length {
        Length { length: text.chars().count(), limit: MOST_TEXT }
    }
}

impl Instagram {
    /// The receipt of what is out. Where people see it only Instagram can tell; what it does not tell in time
    /// is left out.
    async fn receipt(
        &self,
        remote_id: String,
        (part, now): (u16, DateTime<Utc>),
        token: &Token,
        until: Instant,
    ) -> Receipt {
        let until = until.min(Instant::now() + FOR_ADDRESS);
        let path = format!("/{remote_id}");
        let query = [("fields", "permalink,timestamp")];
        let shown = self.graph.read::<Shown>(&path, &query, token, (MOST_OF_ONE, until)).await;
        let shown = shown.unwrap_or_default();
        Receipt {
            part,
            remote_id,
            url: shown.permalink.filter(|url| is_address(url)),
            published_at: shown.timestamp.unwrap_or(now),
            dry_run: false,
        }
    }
}

#[derive(Default, Deserialize)]
struct Shown {
    permalink: Option<String>,
    #[serde(default, deserialize_with = "crate::time::read")]
    timestamp: Option<DateTime<Utc>>,
}

fn problems(part: &Part, options: &PostOptions) -> Vec<String> {
    let files = part.media.len();
    let kind = Kind::asked(options).or_else(|| Kind::of_count(files));
    let length = part.text.chars().count();
    let (hashtags, mentions) = (tagged(&part.text, '#'), tagged(&part.text, '@'));
    let is_reel = matches!(kind, None | Some(Kind::Reel));
    let of_reels = ["share_to_feed", "cover_url", "thumb_offset"];
    let named = |names: &[&str]| options.iter().map(|(name, _)| name).find(|n| names.contains(n));
    let misplaced = named(&of_reels);
    let unfit = named(&["location_id", "collaborators"]);
    let found = [
        (files == 0).then(|| "there is no media: Instagram takes no text alone".to_owned()),
        limits().number_problem(files),
        match kind {
            Some(Kind::Carousel) if files == 1 => {
                let (least, most) = CAROUSEL;
                Some(format!("a carousel has 1 file, expected {least} to {most}"))
            }
            Some(Kind::Image | Kind::Reel | Kind::Story) if files > 1 => {
                Some(format!("there are {files} files, expected 1"))
            }
            _ => None,
        },
        (length > MOST_TEXT)
            .then(|| format!("the text is {length} characters long, at most {MOST_TEXT}")),
        (hashtags > MOST_HASHTAGS)
            .then(|| format!("the text has {hashtags} hashtags, at most {MOST_HASHTAGS}")),
        (mentions > MOST_MENTIONS)
            .then(|| format!("the text has {mentions} mentions, at most {MOST_MENTIONS}")),
        (kind == Some(Kind::Story) && !part.text.trim().is_empty()).then(|| {
            "a story shows no text: leave it empty, or write it into the picture".to_owned()
        }),
        misplaced.filter(|_| !is_reel).map(|name| format!("the option \"{name}\" is for reels")),
        unfit
            .filter(|_| kind == Some(Kind::Story))
            .map(|name| format!("the option \"{name}\" is not for stories")),
    ];
    found.into_iter().flatten().collect()
}

/// Words that begin with a sign: `#postq`, `@postq`. An address of mail is no mention; one hashtag may follow
/// another without a space.
fn tagged(text: &str, sign: char) -> usize {
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    let mut count = 0;
    while let Some(c) = chars.next() {
        let begins = before != sign && (sign == '#' || !before.is_alphanumeric());
        let goes_on = chars.peek().is_some_and(|next| next.is_alphanumeric() || *next == '_');
        count += usize::from(c == sign && begins && goes_on);
        before = c;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_counted_and_addresses_of_mail_are_not() {
        for (text, hashtags, mentions) in [
            ("", 0, 0),
            ("#a #b#c ##d # e #", 3, 0),
            ("hi @ann, me@example.com (@bob) @ @@", 0, 2),
            ("#tag\u{301}\u{1f600}#\u{65e5}\u{672c}", 2, 0),
        ] {
            assert_eq!((tagged(text, '#'), tagged(text, '@')), (hashtags, mentions), "{text}");
        }
    }
}
