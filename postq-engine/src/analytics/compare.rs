//! Publications beside one another, and beside what is usual for their account.

use chrono::{DateTime, Utc};
use postq_core::id::PublicationId;
use postq_core::metrics::Followed;
use postq_core::platform::MetricField;

use super::{engagement, reach};

/// A publication among others.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The publication.
    pub id: PublicationId,
    /// When it came out.
    pub published_at: DateTime<Utc>,
    /// What people did with it.
    pub engagement: u64,
    /// How many may have seen it.
    pub reach: Option<u64>,
    /// Engagement by reach; none where nobody may have seen it.
    pub rate: Option<f64>,
    /// Its engagement as a multiple of the median of all that it is compared with; none where that is 0.
    pub of_usual: Option<f64>,
}

/// Compares publications: the most engagement first. Those without metrics are left out.
pub fn compare(publications: &[Followed], fields: &[MetricField]) -> Vec<Compared> {
    let counted = publications.iter().filter_map(|one| Some((one, one.latest.as_ref()?.counts())));
    let mut all: Vec<Compared> = counted
        .map(|(one, counts)| {
            let (engagement, reach) = (engagement(&counts, fields), reach(&counts, fields));
            let seen = reach.filter(|reach| *reach > 0);
            let rate = seen.map(|reach| engagement as f64 / reach as f64);
            let (id, published_at) = (one.id, one.published_at);
            Compared { id, published_at, engagement, reach, rate, of_usual: None }
        })
        .collect();
    all.sort_by_key(|one| (std::cmp::Reverse(one.engagement), one.id));
    if let Some(usual) = median(&all).filter(|usual| *usual > 0.0) {
        for one in &mut all {
            one.of_usual = Some(one.engagement as f64 / usual);
        }
    }
    all
}

/// The median engagement of what is sorted by it.
fn median(sorted: &[Compared]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let at = |place: usize| sorted.get(place).map(|one| one.engagement as f64);
    match sorted.len() % 2 {
        0 => Some((at(middle.checked_sub(1)?)? + at(middle)?) / 2.0),
        _ => at(middle),
    }
}

#[cfg(test)]
mod tests {
    use postq_core::id::{AccountId, PostId, TenantId};
    use postq_core::metrics::Snapshot;
    use postq_core::platform::Counts;

    use super::*;

    fn one(likes: u64, views: u64) -> Followed {
        let (id, at) = (PublicationId::new(), DateTime::UNIX_EPOCH);
        let counts = [("like_count", likes), ("impression_count", views)];
        let counts: Counts = counts.map(|(name, count)| (name.to_owned(), count)).into();
        Followed {
            id,
            tenant_id: TenantId::DEFAULT,
            account_id: AccountId::new(),
            post_id: PostId::new(),
            remote_id: "1".to_owned(),
            url: None,
            published_at: at,
            poll_at: None,
            latest: Some(Snapshot::shown(id, at, counts)),
        }
    }

    #[test]
    fn the_best_comes_first_beside_what_is_usual() {
        let bare = Followed { latest: None, ..one(0, 0) };

        let all = compare(&[one(4, 100), bare, one(20, 0), one(10, 40)], &[]);

        let told: Vec<_> = all.iter().map(|one| (one.engagement, one.rate, one.of_usual)).collect();
        assert_eq!(
            told,
            [(20, None, Some(2.0)), (10, Some(0.25), Some(1.0)), (4, Some(0.04), Some(0.4)),]
        );
    }

    #[test]
    fn nothing_is_compared_with_nothing() {
        assert_eq!(compare(&[], &[]), []);
        assert_eq!(compare(&[one(0, 9), one(0, 1)], &[])[0].of_usual, None);
        assert_eq!(compare(&[one(2, 9), one(4, 1)], &[])[0].of_usual, Some(4.0 / 3.0));
    }
}
