//! [`Platform`] for Reddit.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::connect::{Connect, Refresh};
use postq_core::content::Draft;
use postq_core::failure::{Failure, FailureClass};
use postq_core::intent::Receipt;
use postq_core::limiter::Rate;
use postq_core::options::OptionField;
use postq_core::platform::{
    Identity, Length, Measure, Media, Metrics, Outgoing, Pace, Platform, PlatformName, Preflight,
    Published, Reconcile, Violation,
};
use postq_http::{Answer, Hidden};
use serde_json::Value;

use crate::client::{Reddit, is_id, token_of};
use crate::error::{Reply, unpublished};
use crate::limits::readings;
use crate::media::{Taken, limits};
use crate::options::{FIELDS, Wanted};
use crate::submit::Submission;

/// The longest text, in characters.
const MOST_TEXT: usize = 40_000;
/// Of Reddit's quota, 100 calls a minute over ten minutes for an app, half is left for reading.
const PER_APP: NonZeroU32 = NonZeroU32::new(500).expect("not zero");
const WINDOW: Duration = Duration::from_secs(600);
/// The longest address that is believed.
const MOST_URL: usize = 1_000;
const NOT_UPLOADED: &str = "the media of this part was not uploaded first";

#[async_trait]
impl Platform for Reddit {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        let limited = self.config.rate_limit;
        Pace {
            app: limited.then(|| Rate::per_window(PER_APP, WINDOW)),
            // How fast an account may post Reddit says only when it refuses.
            account: None,
            daily: None,
            send_timeout: self.config.send_timeout,
        }
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        let of_part = |part: u16| move |message: String| Violation { part, message };
        let Some(first) = draft.parts.first() else {
            return vec![of_part(0)("there is no post".to_owned())];
        };
        let wanted = Wanted::read(draft.options);
        let problems = wanted.problems(first.media.len()).into_iter();
        let mut violations: Vec<Violation> = problems.map(of_part(0)).collect();
        violations.extend(limits().number_problem(first.media.len()).map(of_part(0)));
        let Length { length, limit } = Measure::measure(self, &first.text);
        if length > limit {
            let message = format!("the text is {length} characters long, at most {limit}");
            violations.push(of_part(0)(message));
        }
        if draft.parts.len() > 1 {
            let message = format!("{} parts, at most 1: there are no threads", draft.parts.len());
            violations.push(of_part(1)(message));
        }
        violations
    }

    fn options(&self) -> &'static [OptionField] {
        FIELDS
    }

    async fn publish<'a>(&self, who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        if part.media.len() != part.prepared.len() {
            return Err(Failure::not_published(FailureClass::Internal, NOT_UPLOADED));
        }
        let token = token_of(who.secret.as_ref())?;
        let wanted = Wanted::read(part.options);
        let hidden = Hidden::secret(token.expose()).with_texts([&wanted.title, part.text]);
        let files = part.prepared.iter().map(Taken::read).collect::<Result<Vec<_>, _>>()?;
        let refused = |why| Failure::not_published(FailureClass::Content, why);
        if let Some(problem) = wanted.problems(files.len()).into_iter().next() {
            return Err(refused(problem));
        }
        let kind = wanted.kind_of(&files).map_err(refused)?;
        let submission = Submission::new(&wanted, kind, part.text, (&files, part.media));

        let body = (submission.content_type, submission.body);
        let answer = self
            .post(submission.path, body, &token)
            .await
            .map_err(|lost| lost.into_failure(hidden))?;

        let now = self.server_now(&answer);
        let limits = if self.config.rate_limit { readings(&answer.headers) } else { Vec::new() };
        match Submitted::read(&answer) {
            Submitted::Out { id, url } => {
                let url = url.unwrap_or_else(|| post_url(&wanted.community, &id));
                let receipt = receipt(part.part, id, url, now);
                Ok(Published { receipt, limits })
            }
            Submitted::Taken => {
                Err(Failure::unknown(FailureClass::Platform, TAKEN).with_limits(limits))
            }
            Submitted::Not => Err(unpublished(&answer, hidden, now).with_limits(limits)),
        }
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

    fn connect(&self) -> Option<&dyn Connect> {
        Some(self)
    }

    fn refresh(&self) -> Option<&dyn Refresh> {
        // Without an app there is nobody to renew in the name of.
        self.config.client_id.is_some().then_some(self as &dyn Refresh)
    }

    fn preflight(&self) -> Option<&dyn Preflight> {
        Some(self)
    }

    fn measure(&self) -> Option<&dyn Measure> {
        Some(self)
    }
}

impl Measure for Reddit {
    fn measure(&self, text: &str) -> Length {
        Length { length: text.chars().count(), limit: MOST_TEXT }
    }
}

/// A picture or video is accepted before the post is made, and its id is not told.
const TAKEN: &str = "reddit took it and does not say yet which post it is; it is looked for";

/// What a creating call came to.
enum Submitted {
    /// It is out.
    Out { id: String, url: Option<String> },
    /// It will be out when Reddit has worked on it.
    Taken,
    /// The answer does not say so.
    Not,
}

impl Submitted {
    fn read(answer: &Answer) -> Self {
        let reply = Reply::read(answer).filter(|_| answer.status.is_success());
        let is_refusal = reply.as_ref().is_some_and(Reply::is_refusal);
        let Some(data) = reply.and_then(|reply| reply.data) else { return Self::Not };
        let text = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
        // One endpoint tells the bare id, another one the full name under the same key.
        let id = text("id").or_else(|| text("name")).map(|id| bare(&id).to_owned());
        match id.filter(|id| is_id(id)) {
            // An id beside errors: it is there, whatever else was wrong.
            Some(id) => Self::Out { id, url: text("url").filter(|url| is_address(url)) },
            None if is_refusal => Self::Not,
            None if ["websocket_url", "user_submitted_page"]
                .iter()
                .any(|key| data.get(key).is_some()) =>
            {
                Self::Taken
            }
            None => Self::Not,
        }
    }
}

/// The id in a full name.
pub(crate) fn bare(name: &str) -> &str {
    name.strip_prefix("t3_").unwrap_or(name)
}

/// Where people see a post; Reddit leads on to the address with the title.
pub(crate) fn post_url(community: &str, id: &str) -> String {
    format!("https://www.reddit.com/r/{community}/comments/{id}/")
}

fn is_address(url: &str) -> bool {
    url.starts_with("https://") && url.len() <= MOST_URL && !url.chars().any(char::is_whitespace)
}

fn receipt(part: u16, remote_id: String, url: String, published_at: DateTime<Utc>) -> Receipt {
    Receipt { part, remote_id, url: Some(url), published_at, dry_run: false }
}
