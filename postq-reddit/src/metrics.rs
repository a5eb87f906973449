//! [`Metrics`] for Reddit: counts of up to 100 posts in one call.
//!
//! The score is fuzzed by Reddit: it may move both ways, and two reads need not agree. The share of up-votes
//! is no count and is left out.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::failure::{Failure, FailureClass};
use postq_core::limiter::Rate;
use postq_core::platform::{
    Asked, Counts, Fetched, Identity, MetricField, MetricKind, Metrics, Pace,
};
use postq_http::Hidden;
use serde_json::Value;

use crate::client::{Reddit, is_id, token_of};
use crate::error::unread;
use crate::listing::{Listing, ShownPost};

/// Posts in one call: Reddit's most.
const BATCH: usize = 100;
/// The longest answer: 100 posts, a few of them with long texts.
const MOST_OF_BATCH: usize = 16 * 1_024 * 1_024;
/// Of Reddit's quota, 100 calls a minute over ten minutes for an app, half is left for publishing.
const PER_APP: NonZeroU32 = NonZeroU32::new(300).expect("not zero");
const WINDOW: Duration = Duration::from_secs(600);

const fn field(name: &'static str, kind: MetricKind) -> MetricField {
    MetricField { name, kind, public: true }
}

/// What Reddit counts. `locked` is 1 where a moderator has ended the comments.
const FIELDS: &[MetricField] = &[
    field("score", MetricKind::Engagement),
    field("num_comments", MetricKind::Engagement),
    field("num_crossposts", MetricKind::Engagement),
    field("locked", MetricKind::Other),
];

#[async_trait]
impl Metrics for Reddit {
    fn batch(&self) -> usize {
        BATCH
    }

    fn fields(&self) -> &'static [MetricField] {
        FIELDS
    }

    fn pace(&self) -> Pace {
        Pace {
            app: self.config.rate_limit.then(|| Rate::per_window(PER_APP, WINDOW)),
            account: None,
            daily: None,
            send_timeout: self.config.send_timeout,
        }
    }

    async fn fetch(
        &self,
        who: &Identity,
        asked: &[Asked],
        _now: DateTime<Utc>,
    ) -> Result<Vec<Fetched>, Failure> {
        let token = token_of(who.secret.as_ref())?;
        let hidden = Hidden::secret(token.expose());
        // What cannot be an id is asked for nowhere: it would spoil the others' answer.
        let ids = asked.iter().take(BATCH).map(|one| one.remote_id.as_str());
        let names: Vec<String> = ids.filter(|id| is_id(id)).map(|id| format!("t3_{id}")).collect();
        if names.is_empty() {
            return Ok(vec![Fetched::Untold; asked.len()]);
        }
        let query = [("id", names.join(","))];
        let query = query.each_ref().map(|(name, value)| (*name, value.as_str()));
        let got = self.get("/api/info", &query, &token, MOST_OF_BATCH, self.patience()).await;
        // Nothing was to be created, so nothing can be out: whatever happened, it is known.
        let answer = got.map_err(|lost| {
            Failure::not_published(FailureClass::Network, lost.into_failure(hidden).message)
        })?;
        let page = Listing::read(&answer)
            .ok_or_else(|| unread(&answer, hidden, self.server_now(&answer)))?;
        // What cannot be read may be any of them; and if none of several is there, Reddit has trouble.
        let says_nothing = page.is_partial || (names.len() > 1 && page.posts.is_empty());
        let missing = if says_nothing { Fetched::Untold } else { Fetched::Gone };
        let told: BTreeMap<&str, Fetched> =
            page.posts.iter().map(|post| (post.id(), fetched(post))).collect();
        let answers = asked.iter().enumerate().map(|(place, one)| {
            if place >= BATCH || !is_id(&one.remote_id) {
                return Fetched::Untold;
            }
            told.get(one.remote_id.as_str()).unwrap_or(&missing).clone()
        });
        Ok(answers.collect())
    }
}

fn fetched(post: &ShownPost) -> Fetched {
    match post.removed_by() {
        Some("deleted") => return Fetched::Gone,
        Some(_) => return Fetched::Hidden,
        None if post.author.as_deref() == Some("[deleted]") => return Fetched::Gone,
        None => {}
    }
    let told = [
        ("score", &post.score),
        ("num_comments", &post.num_comments),
        ("num_crossposts", &post.num_crossposts),
    ];
    let told = told.into_iter().filter_map(|(name, value)| Some((name, count(value.as_ref()?)?)));
    let locked = post.locked.map(|locked| ("locked", u64::from(locked)));
    let public: Counts = told.chain(locked).map(|(name, n)| (name.to_owned(), n)).collect();
    match public.is_empty() {
        true => Fetched::Untold,
        false => Fetched::Counts { public, private: Counts::new() },
    }
}

/// A count; a score below zero is none.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_i64().map(|_| 0))
}
