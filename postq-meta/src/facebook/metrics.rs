//! [`Metrics`] for Facebook Pages: what everybody sees of a post, and its insights.
//!
//! A video has reactions and comments like a post, and no shares; its insights are of another kind and are
//! not read.

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

use super::Facebook;
use crate::client::{Token, is_id};
use crate::insights::Told;

/// Posts in one turn: each is some calls.
const BATCH: usize = 5;
/// What postq asks of one Page at most, to leave most of its calls to publishing.
const PER_PAGE: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
const WINDOW: Duration = Duration::from_secs(3_600);

const fn field(name: &'static str, kind: MetricKind, public: bool) -> MetricField {
    MetricField { name, kind, public }
}

const FIELDS: &[MetricField] = &[
    field("reactions", MetricKind::Engagement, true),
    field("comments", MetricKind::Engagement, true),
    field("shares", MetricKind::Engagement, true),
    field("post_media_view", MetricKind::Reach, false),
    field("post_total_media_view_unique", MetricKind::Other, false),
    field("post_clicks", MetricKind::Other, false),
];

/// Each is asked for by itself.
const GROUPS: &[&[&str]] =
    &[&["post_media_view"], &["post_total_media_view_unique"], &["post_clicks"]];

const OF_POST: &str =
    "reactions.summary(total_count).limit(0),comments.summary(true).limit(0),shares";
const OF_VIDEO: &str = "reactions.summary(total_count).limit(0),comments.summary(true).limit(0)";

#[async_trait]
impl Metrics for Facebook {
    fn batch(&self) -> usize {
        BATCH
    }

    fn fields(&self) -> &'static [MetricField] {
        FIELDS
    }

    fn pace(&self) -> Pace {
        Pace {
            app: None,
            account: Some(Rate::per_window(PER_PAGE, WINDOW)),
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

impl Facebook {
    async fn counts_of(&self, id: &str, token: &Token, until: Instant) -> Result<Fetched, Failure> {
        if !is_id(id) {
            return Ok(Fetched::Untold);
        }
        let is_post = id.contains('_');
        let fields = if is_post { OF_POST } else { OF_VIDEO };
        let path = format!("/{id}");
        let shown =
            match self.graph.told::<Shown>(&path, &[("fields", fields)], token, until).await? {
                Told::Here(shown) => shown,
                Told::Missing => return Ok(Fetched::Gone),
                Told::Refused => return Ok(Fetched::Untold),
            };
        let groups = if is_post { GROUPS } else { &[] };
        let private = self.graph.insights(id, groups, token, until).await?;
        Ok(Fetched::Counts { public: shown.counts(is_post), private })
    }
}

#[derive(Deserialize)]
struct Shown {
    reactions: Option<Edge>,
    comments: Option<Edge>,
    shares: Option<Shares>,
}

#[derive(Deserialize)]
struct Edge {
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    total_count: Option<u64>,
}

#[derive(Deserialize)]
struct Shares {
    count: u64,
}

impl Shown {
    fn counts(self, is_post: bool) -> Counts {
        let total = |edge: Option<Edge>| edge.and_then(|edge| edge.summary.total_count);
        // A post that nobody has shared has no such field.
        let shares = self.shares.map_or(0, |shares| shares.count);
        let counts = [
            ("reactions", total(self.reactions)),
            ("comments", total(self.comments)),
            ("shares", is_post.then_some(shares)),
        ];
        counts.into_iter().filter_map(|(name, count)| Some((name.to_owned(), count?))).collect()
    }
}
