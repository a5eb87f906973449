//! [`Metrics`] for Instagram: what everybody sees of a post, and its insights, which may be two days late.
//!
//! A story can be asked for a day; then it is gone, and what was counted stays.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::failure::{Failure, FailureClass};
use postq_core::limiter::Rate;
use postq_core::platform::{
    Asked, Counts, Fetched, Identity, MetricField, MetricKind, Metrics, Pace,
};
use serde::Deserialize;

use super::Instagram;
use crate::client::{Token, is_id};
use crate::insights::Told;

/// Posts in one turn: each is some calls.
const BATCH: usize = 5;
/// What postq asks of one account at most, to leave most of its calls to publishing.
const PER_ACCOUNT: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
const WINDOW: Duration = Duration::from_secs(3_600);

const fn field(name: &'static str, kind: MetricKind, public: bool) -> MetricField {
    MetricField { name, kind, public }
}

/// What Instagram counts. `total_interactions` is its own sum: not added up with its parts.
const FIELDS: &[MetricField] = &[
    field("likes", MetricKind::Engagement, true),
    field("comments", MetricKind::Engagement, true),
    field("views", MetricKind::Reach, false),
    field("reach", MetricKind::Other, false),
    field("saved", MetricKind::Engagement, false),
    field("shares", MetricKind::Engagement, false),
    field("total_interactions", MetricKind::Other, false),
    field("ig_reels_video_view_total_time", MetricKind::Other, false),
];

/// Each is asked for by itself: what does not fit a kind of post fails its whole request.
const GROUPS: &[&[&str]] = &[&["views", "reach"], &["saved", "shares", "total_interactions"]];
const OF_REELS: &[&[&str]] = &[
    &["views", "reach"],
    &["saved", "shares", "total_interactions"],
    &["ig_reels_video_view_total_time"],
];
const OF_STORIES: &[&[&str]] = &[&["views", "reach"], &["shares", "total_interactions"]];

#[async_trait]
impl Metrics for Instagram {
    fn batch(&self) -> usize {
        BATCH
    }

    fn fields(&self) -> &'static [MetricField] {
        FIELDS
    }

    fn pace(&self) -> Pace {
        Pace {
            app: None,
            account: Some(Rate::per_window(PER_ACCOUNT, WINDOW)),
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
        let token = self.graph.token(who)?;
        let until = self.graph.deadline();
        let mut fetched: Vec<Fetched> = Vec::with_capacity(asked.len());
        for one in asked.iter().take(BATCH) {
            match self.counts_of(&one.remote_id, &token, until).await {
                Ok(told) => fetched.push(told),
                // What was read is not thrown away because the time is up.
                Err(failure) if failure.class == FailureClass::Network && !fetched.is_empty() => {
                    break;
                }
                Err(failure) => return Err(failure),
            }
        }
        fetched.resize(asked.len(), Fetched::Untold);
        Ok(fetched)
    }
}

impl Instagram {
    async fn counts_of(&self, id: &str, token: &Token, until: Instant) -> Result<Fetched, Failure> {
        if !is_id(id) {
            return Ok(Fetched::Untold);
        }
        let query = [("fields", "like_count,comments_count,media_product_type")];
        let shown = match self.graph.told::<Shown>(&format!("/{id}"), &query, token, until).await? {
            Told::Here(shown) => shown,
            Told::Missing => return Ok(Fetched::Gone),
            Told::Refused => return Ok(Fetched::Untold),
        };
        let groups = match shown.media_product_type.as_deref() {
            Some("REELS") => OF_REELS,
            Some("STORY") => OF_STORIES,
            _ => GROUPS,
        };
        let private = self.graph.insights(id, groups, token, until).await?;
        Ok(Fetched::Counts { public: shown.counts(), private })
    }
}

#[derive(Deserialize)]
struct Shown {
    /// Left out where the account hides it.
    like_count: Option<u64>,
    comments_count: Option<u64>,
    media_product_type: Option<String>,
}

impl Shown {
    fn counts(&self) -> Counts {
        let counts = [("likes", self.like_count), ("comments", self.comments_count)];
        counts.into_iter().filter_map(|(name, count)| Some((name.to_owned(), count?))).collect()
    }
}
