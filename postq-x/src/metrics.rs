//! [`Metrics`] for X: up to 100 posts in one call.
//!
//! What only the author is told X gives for 30 days, and refuses for older posts; so posts younger than
//! that are asked for apart from the others. X has two dialects (see
//! [`Fields`](crate::Fields)); snapshots have the newer names, whichever it speaks.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::failure::{Failure, FailureClass};
use postq_core::limiter::Rate;
use postq_core::platform::{
    Asked, Counts, Fetched, Identity, MetricField, MetricKind, Metrics, Pace,
};
use postq_http::{Answer, Hidden, Token};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::client::{X, is_id};
use crate::config::Fields;
use crate::error::unread;

/// Posts in one call: X's most.
const BATCH: usize = 100;
/// The longest answer: 100 posts take about 60 KiB.
const MOST_OF_BATCH: usize = 1_024 * 1_024;
/// X tells the author more than others for 30 days; an hour less, so that two clocks do not matter.
const OWN: TimeDelta = TimeDelta::hours(30 * 24 - 1);
/// What X allows one user: 5,000 calls in 15 minutes. We stay far below.
const PER_ACCOUNT: NonZeroU32 = NonZeroU32::new(300).expect("not zero");
const WINDOW: Duration = Duration::from_secs(15 * 60);

const fn field(name: &'static str, kind: MetricKind, public: bool) -> MetricField {
    MetricField { name, kind, public }
}

/// What X counts. `engagements` is X's own sum, with clicks in it: not added up with its parts.
const FIELDS: &[MetricField] = &[
    field("impression_count", MetricKind::Reach, true),
    field("like_count", MetricKind::Engagement, true),
    field("reply_count", MetricKind::Engagement, true),
    field("repost_count", MetricKind::Engagement, true),
    field("quote_count", MetricKind::Engagement, true),
    field("bookmark_count", MetricKind::Engagement, true),
    field("url_link_clicks", MetricKind::Other, false),
    field("user_profile_clicks", MetricKind::Other, false),
    field("engagements", MetricKind::Other, false),
];

#[async_trait]
impl Metrics for X {
    fn batch(&self) -> usize {
        BATCH
    }

    fn fields(&self) -> &'static [MetricField] {
        FIELDS
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

    async fn fetch(
        &self,
        who: &Identity,
        asked: &[Asked],
        now: DateTime<Utc>,
    ) -> Result<Vec<Fetched>, Failure> {
        let token = Token::read(who.secret.as_ref())?;
        let deadline = Instant::now() + self.config.send_timeout;
        let ask = Ask { x: self, token: &token, deadline };
        let wants_private = self.config.groups.iter().any(|group| group.is_private());
        let is_own = |one: &&Asked| wants_private && one.published_at > now - OWN;
        let mut told = BTreeMap::new();
        for with_private in [true, false] {
            let ids = asked.iter().take(BATCH).filter(|one| is_own(one) == with_private);
            // What cannot be an id is asked for nowhere: it would spoil the others' answer.
            let ids: Vec<&str> =
                ids.map(|one| one.remote_id.as_str()).filter(|id| is_id(id)).collect();
            if !ids.is_empty() {
                ask.batch(&ids, with_private).await?.tell(&mut told);
            }
        }
        let told = asked.iter().map(|one| told.remove(&one.remote_id).unwrap_or(Fetched::Untold));
        Ok(told.collect())
    }
}

/// Calls for one answer.
struct Ask<'a> {
    x: &'a X,
    token: &'a Token,
    deadline: Instant,
}

impl Ask<'_> {
    /// One batch; without what only the author is told if X refuses that.
    async fn batch(&self, ids: &[&str], with_private: bool) -> Result<Shown, Failure> {
        let mut answer = self.in_dialect(ids, with_private).await?;
        let refused = [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN];
        if with_private && refused.contains(&answer.status) {
            answer = self.in_dialect(ids, false).await?;
        }
        let shown = answer.read::<Shown>().filter(|_| answer.status.is_success());
        shown.ok_or_else(|| unread(&answer, self.hidden(), self.x.server_now(&answer)))
    }

    /// Asks in the dialect that X wants.
    async fn in_dialect(&self, ids: &[&str], with_private: bool) -> Result<Answer, Failure> {
        let dialect = self.x.config.fields;
        let newer = match dialect {
            Fields::Auto => self.x.wants_post_fields.load(Ordering::Relaxed),
            Fields::Tweet => false,
            Fields::Post => true,
        };
        let answer = self.once(ids, with_private, newer).await?;
        if dialect != Fields::Auto || answer.status != StatusCode::BAD_REQUEST {
            return Ok(answer);
        }
        let other = self.once(ids, with_private, !newer).await?;
        if other.status.is_success() {
            self.x.wants_post_fields.store(!newer, Ordering::Relaxed);
        }
        Ok(other)
    }

    async fn once(&self, ids: &[&str], with_private: bool, newer: bool) -> Result<Answer, Failure> {
        let names = if newer { "post.fields" } else { "tweet.fields" };
        let groups = self.x.config.groups.iter();
        let groups: Vec<String> = groups
            .filter(|group| with_private || !group.is_private())
            .map(ToString::to_string)
            .collect();
        let (ids, groups) = (ids.join(","), groups.join(","));
        let mut query = vec![("ids", ids.as_str())];
        // Without any: whether it is there is told all the same.
        query.extend((!groups.is_empty()).then_some((names, groups.as_str())));
        let left = self.deadline.saturating_duration_since(Instant::now());
        let asked = self.x.get("/tweets", &query, self.token, MOST_OF_BATCH, left).await;
        // Nothing was to be created, so nothing can be out: whatever happened, it is known.
        asked.map_err(|lost| {
            let message = lost.into_failure(self.hidden()).message;
            Failure::not_published(FailureClass::Network, message)
        })
    }

    fn hidden(&self) -> Hidden<'_> {
        Hidden::secret(self.token.expose())
    }
}

/// What X shows of a batch: posts, and what is wrong with single ones.
#[derive(Debug, Deserialize)]
struct Shown {
    data: Option<Vec<Post>>,
    errors: Option<Vec<Problem>>,
}

#[derive(Debug, Deserialize)]
struct Post {
    id: String,
    public_metrics: Option<BTreeMap<String, Value>>,
    non_public_metrics: Option<BTreeMap<String, Value>>,
    organic_metrics: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    #[serde(rename = "type", default)]
    kind: String,
    resource_id: Option<String>,
    value: Option<Value>,
}

impl Shown {
    /// Adds what it tells of each post.
    fn tell(self, told: &mut BTreeMap<String, Fetched>) {
        for problem in self.errors.unwrap_or_default() {
            let Some(fetched) = problem.means() else { continue };
            if let Some(id) = problem.about() {
                told.insert(id, fetched);
            }
        }
        // A post that is shown is there, whatever is wrong with one of its fields.
        for post in self.data.unwrap_or_default() {
            let groups = [post.organic_metrics, post.non_public_metrics];
            if post.public_metrics.is_none() && groups.iter().all(Option::is_none) {
                continue;
            }
            let public = post.public_metrics.map(counts).unwrap_or_default();
            let private = groups.into_iter().flatten().flat_map(counts).collect();
            told.insert(post.id, Fetched::Counts { public, private });
        }
    }
}

impl Problem {
    /// The type's last part, since its host varies.
    fn means(&self) -> Option<Fetched> {
        match self.kind.rsplit('/').next().unwrap_or_default() {
            "resource-not-found" => Some(Fetched::Gone),
            "not-authorized-for-resource" | "resource-unavailable" | "disallowed-resource" => {
                Some(Fetched::Hidden)
            }
            _ => None,
        }
    }

    fn about(&self) -> Option<String> {
        let value = || self.value.as_ref()?.as_str().map(str::to_owned);
        self.resource_id.clone().or_else(value)
    }
}

/// Counts by their newer names; what is no count is left out.
fn counts(shown: BTreeMap<String, Value>) -> Counts {
    let counts = shown.into_iter().filter_map(|(name, count)| {
        let name = if name == "retweet_count" { "repost_count".to_owned() } else { name };
        Some((name, count.as_u64()?))
    });
    counts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> BTreeMap<String, Fetched> {
        let mut told = BTreeMap::new();
        serde_json::from_str::<Shown>(body).expect("the shape").tell(&mut told);
        told
    }

    #[test]
    fn both_dialects_have_one_name_for_a_count() {
        for name in ["retweet_count", "repost_count"] {
            let body = format!(
                r#"{{"data":[{{"id":"7","text":"t","public_metrics":{{"{name}":3,"like_count":"x"}}}}]}}"#
            );

            let public = Counts::from([("repost_count".to_owned(), 3)]);
            assert_eq!(told(&body)["7"], Fetched::Counts { public, private: Counts::new() });
        }
    }

    #[test]
    fn what_is_wrong_with_one_spoils_no_other() {
        let told = told(
            r#"{"data":[{"id":"1","public_metrics":{"like_count":1}},{"id":"5"}],"errors":[
              {"type":"https://api.twitter.com/2/problems/resource-not-found","resource_id":"2"},
              {"type":"https://api.x.com/2/problems/not-authorized-for-resource","value":"3"},
              {"type":"https://api.x.com/2/problems/not-authorized-for-field","resource_id":"1"},
              {"type":"https://api.x.com/2/problems/internal-error","resource_id":"4"}]}"#,
        );

        assert!(matches!(told["1"], Fetched::Counts { .. }));
        assert_eq!((&told["2"], &told["3"]), (&Fetched::Gone, &Fetched::Hidden));
        assert_eq!(told.len(), 3, "nothing is said of 4 and 5");
    }

    #[test]
    fn of_two_private_groups_the_fuller_one_counts() {
        let told = told(
            r#"{"data":[{"id":"1","organic_metrics":{"like_count":2,"url_link_clicks":3},
              "non_public_metrics":{"url_link_clicks":4}}]}"#,
        );

        let private = Counts::from([("like_count".into(), 2), ("url_link_clicks".into(), 4)]);
        assert_eq!(told["1"], Fetched::Counts { public: Counts::new(), private });
    }
}
