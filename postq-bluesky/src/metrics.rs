//! [`Metrics`] for Bluesky: up to 25 posts in one call, of whoever counts for the network.
//!
//! Counts are public and asked for without a token. A post that is not told of may not be counted yet: that takes
//! a while after it came out, and for so long nothing is said of it. Of an older one the account's own server is
//! asked whether it is still there.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::failure::Failure;
use postq_core::limiter::Rate;
use postq_core::platform::{
    Asked, Counts, Fetched, Identity, MetricField, MetricKind, Metrics, Pace,
};
use postq_http::Hidden;
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Bluesky, Deadline, not_published};
use crate::error::unread;
use crate::reconcile::Place;
use crate::record::StrongRef;
use crate::session::Session;

/// Posts in one call: Bluesky's most.
const BATCH: usize = 25;
/// The longest answer: a post with its author takes about 10 KiB.
const MOST_OF_BATCH: usize = 1_024 * 1_024;
/// So long after it came out a post may not be counted yet.
const YOUNG: TimeDelta = TimeDelta::hours(1);
/// The account's server is asked for so many of a batch; the others' turn comes with their next poll.
const MOST_ASKED_FOR: usize = 5;
/// What Bluesky allows one address, for all calls: 3,000 in 5 minutes. We stay far below.
const FOR_ALL: NonZeroU32 = NonZeroU32::new(300).expect("not zero");
const WINDOW: Duration = Duration::from_secs(300);

const fn field(name: &'static str, kind: MetricKind) -> MetricField {
    MetricField { name, kind, public: true }
}

/// What is counted, and what Bluesky calls it.
const NAMES: [(&str, &str); 5] = [
    ("like_count", "likeCount"),
    ("reply_count", "replyCount"),
    ("repost_count", "repostCount"),
    ("quote_count", "quoteCount"),
    ("bookmark_count", "bookmarkCount"),
];
const FIELDS: &[MetricField] = &[
    field(NAMES[0].0, MetricKind::Engagement),
    field(NAMES[1].0, MetricKind::Engagement),
    field(NAMES[2].0, MetricKind::Engagement),
    field(NAMES[3].0, MetricKind::Engagement),
    field(NAMES[4].0, MetricKind::Engagement),
];

#[async_trait]
impl Metrics for Bluesky {
    fn batch(&self) -> usize {
        BATCH
    }

    fn fields(&self) -> &'static [MetricField] {
        FIELDS
    }

    fn pace(&self) -> Pace {
        Pace {
            app: self.config.rate_limit.then(|| Rate::per_window(FOR_ALL, WINDOW)),
            send_timeout: self.config.send_timeout,
            ..Pace::default()
        }
    }

    async fn fetch(
        &self,
        who: &Identity,
        asked: &[Asked],
        now: DateTime<Utc>,
    ) -> Result<Vec<Fetched>, Failure> {
        let deadline = self.deadline();
        // What cannot be an id is asked for nowhere: it would spoil the others' answer.
        let read = |one: &Asked| StrongRef::parse(&one.remote_id).map(|post| post.uri);
        let uris: Vec<Option<String>> = asked.iter().take(BATCH).map(read).collect();
        let mut told = self.counted(uris.iter().flatten(), deadline).await?;
        let mut left = MOST_ASKED_FOR;
        let mut fetched = Vec::with_capacity(asked.len());
        for (uri, one) in uris.iter().zip(asked) {
            let counts = uri.as_ref().and_then(|uri| told.remove(uri));
            let is_young = one.published_at > now - YOUNG;
            fetched.push(match (counts, uri) {
                (Some(public), _) => Fetched::Counts { public, private: Counts::new() },
                (None, Some(uri)) if !is_young && left > 0 => {
                    left -= 1;
                    self.standing(who, uri, deadline).await
                }
                _ => Fetched::Untold,
            });
        }
        fetched.resize(asked.len(), Fetched::Untold);
        Ok(fetched)
    }
}

impl Bluesky {
    /// How a post stands that nobody counts. A question that fails says nothing.
    async fn standing(&self, who: &Identity, uri: &str, deadline: Deadline) -> Fetched {
        let session = Session::read(who.secret.as_ref(), &self.places);
        let mut pieces = uri.trim_start_matches("at://").split('/');
        let (Ok(session), Some(did), Some(rkey)) = (session, pieces.next(), pieces.next_back())
        else {
            return Fetched::Untold;
        };
        match self.stored(Place { pds: &session.pds, did, rkey }, deadline).await {
            Ok((None, _)) => Fetched::Gone,
            Ok((Some(_), _)) => Fetched::Hidden,
            Err(_) => Fetched::Untold,
        }
    }

    /// The counts of what is told of, by its address.
    async fn counted(
        &self,
        uris: impl Iterator<Item = &String>,
        deadline: Deadline,
    ) -> Result<BTreeMap<String, Counts>, Failure> {
        let query: Vec<(&str, &str)> = uris.map(|uri| ("uris", uri.as_str())).collect();
        if query.is_empty() {
            return Ok(BTreeMap::new());
        }
        let request = self.get(&self.places.appview, "app.bsky.feed.getPosts").query(&query);
        let answer = deadline
            .ask(request, MOST_OF_BATCH)
            .await
            .map_err(|lost| not_published(lost.into_failure(Hidden::default())))?;
        match answer.success::<Shown>() {
            Some(shown) => {
                let counted = shown.posts.into_iter().map(|post| (post.uri, counts(&post.counts)));
                Ok(counted.collect())
            }
            None => {
                Err(not_published(unread(&answer, Hidden::default(), self.server_now(&answer))))
            }
        }
    }
}

#[derive(Deserialize)]
struct Shown {
    posts: Vec<Post>,
}

#[derive(Deserialize)]
struct Post {
    uri: String,
    #[serde(flatten)]
    counts: BTreeMap<String, Value>,
}

/// Those that are told: older servers know fewer.
fn counts(told: &BTreeMap<String, Value>) -> Counts {
    let count = |(name, theirs): (&str, &str)| Some((name.to_owned(), told.get(theirs)?.as_u64()?));
    NAMES.into_iter().filter_map(count).collect()
}
