//! What metrics say: growth, totals, comparison, good times. Pure: snapshots and totals in, answers out.
//!
//! | module | what is in it |
//! |---|---|
//! | [`growth`] | how one publication has done since it came out |
//! | [`totals`] | what an account came to in a span of days |
//! | [`compare`] | publications beside one another and beside their account's usual |
//! | [`best_times`] | at which hours of the local week an account's posts did well, and how sure that is |
//!
//! What counts as engagement is said by the platform, in its
//! [`MetricField`]s.

pub mod best_times;
pub mod compare;
pub mod growth;
pub mod totals;

use postq_core::metrics::{Followed, Snapshot};
use postq_core::platform::{Counts, MetricField, MetricKind};

use self::best_times::Sample;

/// What people did with a publication: the sum of what the platform calls engagement. Where it is not
/// known which counts these are, the sum of all that are not plainly views.
pub fn engagement(counts: &Counts, fields: &[MetricField]) -> u64 {
    sum(counts, |name| match kind(name, fields) {
        Some(kind) => kind == MetricKind::Engagement,
        None => fields.is_empty() && !is_plainly_a_view(name),
    })
}

/// How many may have seen it: none if nobody counted.
pub fn reach(counts: &Counts, fields: &[MetricField]) -> Option<u64> {
    let reach = |name: &str| match kind(name, fields) {
        Some(kind) => kind == MetricKind::Reach,
        None => fields.is_empty() && is_plainly_a_view(name),
    };
    counts.iter().filter(|(name, _)| reach(name)).map(|(_, count)| *count).max()
}

/// Publications as far as times are concerned; those without metrics are left out.
pub fn samples(publications: &[Followed], fields: &[MetricField]) -> Vec<Sample> {
    let counted = publications.iter().filter_map(|one| Some((one, one.latest.as_ref()?)));
    let sample = |(one, latest): (&Followed, &Snapshot)| Sample {
        published_at: one.published_at,
        engagement: engagement(&latest.counts(), fields),
    };
    counted.map(sample).collect()
}

fn kind(name: &str, fields: &[MetricField]) -> Option<MetricKind> {
    fields.iter().find(|field| field.name == name).map(|field| field.kind)
}

fn is_plainly_a_view(name: &str) -> bool {
    ["impression", "view", "reach", "click", "engagements"].iter().any(|word| name.contains(word))
}

fn sum(counts: &Counts, wanted: impl Fn(&str) -> bool) -> u64 {
    let wanted = counts.iter().filter(|(name, _)| wanted(name)).map(|(_, count)| *count);
    wanted.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[MetricField] = &[
        MetricField { name: "views", kind: MetricKind::Reach, public: true },
        MetricField { name: "likes", kind: MetricKind::Engagement, public: true },
        MetricField { name: "clicks", kind: MetricKind::Other, public: false },
    ];

    fn counts() -> Counts {
        [("views", 100), ("likes", 7), ("clicks", 9), ("shares", 2)]
            .map(|(name, count)| (name.to_owned(), count))
            .into()
    }

    #[test]
    fn the_platform_says_what_engagement_is() {
        assert_eq!((engagement(&counts(), FIELDS), reach(&counts(), FIELDS)), (7, Some(100)));
    }

    #[test]
    fn where_nobody_says_it_views_and_clicks_are_none() {
        assert_eq!((engagement(&counts(), &[]), reach(&counts(), &[])), (9, Some(100)));
        assert_eq!((engagement(&Counts::new(), &[]), reach(&Counts::new(), &[])), (0, None));
    }
}
