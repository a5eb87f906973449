//! [`Platform`] for X.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::connect::{Connect, Refresh};
use postq_core::content::{Draft, Part};
use postq_core::failure::{Failure, FailureClass};
use postq_core::intent::Receipt;
use postq_core::limiter::Rate;
use postq_core::platform::{
    Identity, Length, Measure, Media, Metrics, Outgoing, Pace, Platform, PlatformName, Published,
    Reconcile, Violation,
};
use postq_http::{Answer, Hidden, Token};
use serde::{Deserialize, Serialize};

use crate::client::{X, is_id};
use crate::error::unpublished;
use crate::limits::readings;
use crate::media::limits;
use crate::text::{forbidden, has_content, has_link, weighted_length};

/// What X allows one user: 100 posts in 15 minutes.
const PER_ACCOUNT: NonZeroU32 = NonZeroU32::new(100).expect("not zero");
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// The moment that X counts its ids' milliseconds from.
const SNOWFLAKE_EPOCH_MS: i64 = 1_288_834_974_657;
/// An id whose time is further from now than this tells no time.
const SANE: TimeDelta = TimeDelta::minutes(10);

#[async_trait]
impl Platform for X {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        let limited = self.config.rate_limit;
        Pace {
            daily: None,
            app: limited.then(|| self.config.tier.rate()),
            account: limited.then(|| Rate::per_window(PER_ACCOUNT, WINDOW)),
            send_timeout: self.config.send_timeout,
        }
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        let parts = draft.parts;
        if parts.is_empty() {
            return vec![Violation { part: 0, message: "there is no text".to_owned() }];
        }
        let numbered = (0..=u16::MAX).zip(parts);
        let mut violations: Vec<Violation> =
            numbered.flat_map(|(number, part)| self.violations(number, part)).collect();
        if let Some(more) = parts.len().checked_sub(MOST_PARTS + 1) {
            let message =
                format!("the thread has {} parts, at most {MOST_PARTS}", MOST_PARTS + 1 + more);
            violations.push(Violation { part: 0, message });
        }
        violations
    }

    fn most_parts(&self) -> usize {
        MOST_PARTS
    }

    fn connect(&self) -> Option<&dyn Connect> {
        Some(self)
    }

    fn refresh(&self) -> Option<&dyn Refresh> {
        // Without an app there is nobody to renew in the name of.
        self.config.client_id.is_some().then_some(self as &dyn Refresh)
    }

    async fn publish<'a>(&self, who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        if part.media.len() != part.prepared.len() {
            return Err(Failure::not_published(FailureClass::Internal, NOT_UPLOADED));
        }
        let token = Token::read(who.secret.as_ref())?;
        let hidden = Hidden::secret(token.expose()).with_texts([part.text]);
        let reply = part.reply_to.map(|id| Reply { in_reply_to_tweet_id: id });
        let ids: Vec<&str> = part.prepared.iter().map(|media| media.remote_id.as_str()).collect();
        let media = (!ids.is_empty()).then_some(Attached { media_ids: ids });
        // X refuses an empty text, but takes none where there is media.
        let text = (media.is_none() || has_content(part.text)).then_some(part.text);
        let body =
            serde_json::to_vec(&CreatePost { text, media, reply }).expect("some strings are JSON");

        let answer = self.create(&token, body).await.map_err(|lost| lost.into_failure(hidden))?;

        let now = self.server_now(&answer);
        let limits =
            if self.config.rate_limit { readings(&answer.headers, now) } else { Vec::new() };
        match self.receipt(&answer, part.part, now) {
            Some(receipt) => Ok(Published { receipt, limits }),
            None => Err(unpublished(&answer, hidden, now).with_limits(limits)),
        }
    }

    fn reconcile(&self) -> Option<&dyn Reconcile> {
        Some(self)
    }

    fn metrics(&self) -> Option<&dyn Metrics> {
        Some(self)
    }

    fn measure(&self) -> Option<&dyn Measure> {
        Some(self)
    }

    fn media(&self) -> Option<&dyn Media> {
        Some(self)
    }
}

impl Measure for X {
    fn measure(&self, text: &str) -> Length {
        Length { length: weighted_length(text), limit: self.config.max_length }
    }

    fn has_link(&self, text: &str) -> bool {
        has_link(text)
    }
}

/// The longest thread; X tells no limit of its own.
const MOST_PARTS: usize = 100;
const NOT_UPLOADED: &str = "the media of this part was not uploaded first";

impl X {
    fn violations(&self, number: u16, part: &Part) -> Vec<Violation> {
        let Length { length, limit: most } = Measure::measure(self, &part.text);
        let found = [
            limits().number_problem(part.media.len()),
            (part.media.is_empty() && !has_content(&part.text))
                .then(|| "the text is empty".to_owned()),
            (length > most)
                .then(|| format!("the text is {length} long as X counts, at most {most}")),
            forbidden(&part.text)
                .map(|c| format!("the text contains U+{:04X}, which X refuses", u32::from(c))),
        ];
        found.into_iter().flatten().map(|message| Violation { part: number, message }).collect()
    }

    fn receipt(&self, answer: &Answer, part: u16, now: DateTime<Utc>) -> Option<Receipt> {
        let created: Created = answer.read().filter(|_| answer.status.is_success())?;
        let id = created.data.id;
        is_id(&id).then(|| Receipt {
            part,
            url: Some(post_url(&id)),
            published_at: id_time(&id).filter(|at| (*at - now).abs() < SANE).unwrap_or(now),
            remote_id: id,
            dry_run: false,
        })
    }
}

/// Where people see a post; X leads on to the address with the user's name.
pub(crate) fn post_url(id: &str) -> String {
    format!("https://x.com/i/web/status/{id}")
}

/// When an id was made: the upper bits are milliseconds.
pub(crate) fn id_time(id: &str) -> Option<DateTime<Utc>> {
    let bits = id.parse::<u64>().ok()?;
    DateTime::from_timestamp_millis(i64::try_from(bits >> 22).ok()? + SNOWFLAKE_EPOCH_MS)
}

/// The body of `POST /2/tweets`: X refuses fields that it does not know.
#[derive(Serialize)]
struct CreatePost<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<Attached<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Reply<'a>>,
}

#[derive(Serialize)]
struct Attached<'a> {
    media_ids: Vec<&'a str>,
}

#[derive(Serialize)]
struct Reply<'a> {
    in_reply_to_tweet_id: &'a str,
}

#[derive(Deserialize)]
struct Created {
    data: CreatedPost,
}

#[derive(Deserialize)]
struct CreatedPost {
    id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_clock() {
        let at = id_time("1541815603606036480").expect("a snowflake");

        assert_eq!(at.to_rfc3339(), "2022-06-28T16:07:40.105+00:00");
        assert_eq!(id_time("a-word"), None);
        assert_eq!(id_time("99999999999999999999"), None);
    }
}
