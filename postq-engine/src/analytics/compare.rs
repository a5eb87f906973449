//! Publications beside one another: as they are now beside what is usual for their account, or all as they
//! were at one age.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::id::PublicationId;
use postq_core::metrics::{Followed, Visibility};
use postq_core::platform::{Counts, MetricField};

use super::growth::Point;
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
    let sorted: Vec<u64> = all.iter().map(|one| one.engagement).collect();
    if let Some(usual) = median(&sorted).filter(|usual| *usual > 0.0) {
        for one in &mut all {
            one.of_usual = Some(one.engagement as f64 / usual);
        }
    }
    all
}

/// The median of what is sorted; none of nothing.
pub fn median(sorted: &[u64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let at = |place: usize| sorted.get(place).map(|count| *count as f64);
    match sorted.len() % 2 {
        0 => Some((at(middle.checked_sub(1)?)? + at(middle)?) / 2.0),
        _ => at(middle),
    }
}

/// A publication at some age: between two points as if its counts had grown evenly, from nothing on.
#[derive(Clone, Debug, PartialEq)]
pub struct AtAge {
    /// All counts.
    pub counts: Counts,
    /// What people had done with it.
    pub engagement: u64,
    /// How many may have seen it.
    pub reach: Option<u64>,
    /// Engagement by reach; none where nobody may have seen it.
    pub rate: Option<f64>,
}

/// The age up to which all of these publications were counted that were counted at all; none if none was.
pub fn common_age<'a>(all: impl IntoIterator<Item = &'a [Point]>) -> Option<TimeDelta> {
    all.into_iter().filter_map(|points| counted(points).last().map(|last| last.age)).min()
}

/// What a publication came to at an age; none if it was not counted for so long.
pub fn at_age(points: &[Point], age: TimeDelta, fields: &[MetricField]) -> Option<AtAge> {
    let nothing = Counts::new();
    let mut before = (TimeDelta::zero(), &nothing);
    let after = counted(points).find_map(|point| {
        let is_after = point.age >= age;
        if !is_after {
            before = (point.age, &point.counts);
        }
        is_after.then_some((point.age, &point.counts))
    })?;
    let counts = between(before, after, age);
    let (engagement, reach) = (engagement(&counts, fields), reach(&counts, fields));
    let seen = reach.filter(|reach| *reach > 0);
    let rate = seen.map(|reach| engagement as f64 / reach as f64);
    Some(AtAge { counts, engagement, reach, rate })
}

/// The points at which something was counted.
fn counted(points: &[Point]) -> impl Iterator<Item = &Point> {
    points.iter().filter(|point| point.state == Visibility::Shown)
}

fn between(before: (TimeDelta, &Counts), after: (TimeDelta, &Counts), age: TimeDelta) -> Counts {
    let millis = |span: TimeDelta| i128::from(span.num_milliseconds());
    let (gone, whole) = (millis(age - before.0), millis(after.0 - before.0).max(1));
    let count = |(name, later): (&String, &u64)| {
        let earlier = i128::from(before.1.get(name).copied().unwrap_or_default());
        let grown = (i128::from(*later) - earlier) * gone.clamp(0, whole) / whole;
        (name.clone(), u64::try_from(earlier + grown).unwrap_or_default())
    };
    after.1.iter().map(count).collect::<BTreeMap<_, _>>()
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

    fn points(series: &[(i64, Option<u64>)]) -> Vec<Point> {
        let id = PublicationId::new();
        let of = |&(minutes, likes): &(i64, Option<u64>)| {
            let at = DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
            let counts = |likes| [("like_count", likes), ("impression_count", likes * 10)];
            let shown = Snapshot::shown(id, at, Counts::new());
            match likes {
                Some(likes) => {
                    let public = counts(likes).map(|(name, count)| (name.to_owned(), count));
                    Snapshot { public: public.into(), ..shown }
                }
                None => Snapshot { state: Visibility::Hidden, ..shown },
            }
        };
        let series: Vec<Snapshot> = series.iter().map(of).collect();
        crate::analytics::growth::growth(DateTime::UNIX_EPOCH, &series, &[])
    }

    #[test]
    fn posts_are_compared_as_they_were_at_one_age() {
        let one = points(&[(15, Some(10)), (30, Some(40)), (60, Some(40))]);
        let other = points(&[(16, Some(8)), (33, None), (45, Some(37))]);

        let age = common_age([one.as_slice(), &other, &[]]).expect("two are counted");
        assert_eq!(age, TimeDelta::minutes(45), "what was not shown says nothing");
        let likes = |points: &[Point], minutes| {
            let at = at_age(points, TimeDelta::minutes(minutes), &[])?;
            assert_eq!(
                (at.reach, at.counts["like_count"]),
                (Some(at.engagement * 10), at.engagement)
            );
            Some(at.engagement)
        };
        assert_eq!((likes(&one, 45), likes(&other, 45)), (Some(40), Some(37)));
        assert_eq!((likes(&one, 20), likes(&one, 3)), (Some(20), Some(2)), "grown evenly");
        assert_eq!(likes(&other, 46), None, "nobody knows");
        assert_eq!((common_age([&[][..]]), at_age(&[], TimeDelta::zero(), &[])), (None, None));
    }

    #[test]
    fn a_count_may_fall_between_two_points() {
        let points = points(&[(10, Some(30)), (20, Some(10))]);

        assert_eq!(at_age(&points, TimeDelta::minutes(15), &[]).expect("counted").engagement, 20);
    }
}
