//! How many posts of 24 hours an account has left. Meta's pages name several numbers, so it is asked for.

use std::time::{Duration, Instant};

use postq_core::failure::{Failure, FailureClass, LimitReading, LimitScope};
use serde::Deserialize;

use super::Instagram;
use crate::client::{MOST_OF_ONE, Token};
use crate::error::DAILY;

/// The question takes at most this share of the time for a call: publishing does not depend on its answer.
const SHARE: u32 = 4;
/// What is left counts for so long; then it is asked for anew.
const FOR: Duration = Duration::from_secs(900);

/// Posts of an account in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    used: u32,
    total: u32,
}

impl Quota {
    /// The reading after `more` posts.
    pub(super) fn reading(self, more: u32) -> LimitReading {
        let remaining = self.total.saturating_sub(self.used.saturating_add(more));
        LimitReading { scope: LimitScope::Account, remaining, resets_in: FOR }
    }

    /// The failure to publish, if nothing is left.
    pub(super) fn used_up(self) -> Option<Failure> {
        let Self { used, total } = self;
        (used >= total).then(|| {
            let message = format!("the account has {used} posts of 24 hours, at most {total}");
            Failure::not_published(FailureClass::RateLimit, message)
                .with_wait(LimitScope::Account, DAILY)
                .with_limits(vec![self.reading(0)])
        })
    }
}

impl Instagram {
    /// Asks for it; none if Instagram does not tell now. It refuses the post itself where it must.
    pub(super) async fn quota(&self, node: &str, token: &Token, until: Instant) -> Option<Quota> {
        let left = until.saturating_duration_since(Instant::now());
        let until = Instant::now() + left / SHARE;
        let path = format!("/{node}/content_publishing_limit");
        let query = [("fields", "quota_usage,config")];
        let told: Told = self.graph.read(&path, &query, token, (MOST_OF_ONE, until)).await.ok()?;
        let told = told.data.into_iter().next()?;
        Some(Quota { used: told.quota_usage, total: told.config?.quota_total })
    }
}

#[derive(Deserialize)]
struct Told {
    data: Vec<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    quota_usage: u32,
    config: Option<QuotaConfig>,
}

#[derive(Deserialize)]
struct QuotaConfig {
    quota_total: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_counts_the_post_itself() {
        let quota = Quota { used: 3, total: 50 };

        assert_eq!(quota.reading(1).remaining, 46);
        assert_eq!(quota.used_up(), None);
        for used in [50, 51, u32::MAX] {
            let failure = Quota { used, total: 50 }.used_up().expect("nothing is left");
            assert_eq!(failure.wait.map(|wait| wait.for_), Some(DAILY));
            assert_eq!(failure.limits[0].remaining, 0);
        }
    }
}
