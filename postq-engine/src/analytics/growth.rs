//! How one publication has done since it came out.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::metrics::{Snapshot, Visibility};
use postq_core::platform::MetricField;

use super::{engagement, reach};

/// A publication at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The moment.
    pub at: DateTime<Utc>,
    /// How long it had been out.
    pub age: TimeDelta,
    /// Whether it could be seen.
    pub state: Visibility,
    /// All counts.
    pub counts: BTreeMap<String, u64>,
    /// What people had done with it.
    pub engagement: u64,
    /// How many may have seen it.
    pub reach: Option<u64>,
    /// Engagement per hour since the point before, or since it came out; it may fall.
    pub engagement_per_hour: f64,
}

/// The points of a publication from its snapshots, which come oldest first. A moment at which nothing was
/// shown has no counts and is no growth: what follows grows from the last that has.
pub fn growth(
    published_at: DateTime<Utc>,
    series: &[Snapshot],
    fields: &[MetricField],
) -> Vec<Point> {
    let (mut before, mut points) = ((published_at, 0), Vec::with_capacity(series.len()));
    for snapshot in series {
        let counts = snapshot.counts();
        let is_counted = snapshot.state == Visibility::Shown;
        let now = if is_counted { engagement(&counts, fields) } else { before.1 };
        let hours = (snapshot.at - before.0).num_milliseconds() as f64 / 3_600_000.0;
        let gained = now as f64 - before.1 as f64;
        points.push(Point {
            at: snapshot.at,
            age: snapshot.at - published_at,
            state: snapshot.state,
            engagement: now,
            reach: reach(&counts, fields),
            engagement_per_hour: if hours > 0.0 { gained / hours } else { 0.0 },
            counts,
        });
        if is_counted {
            before = (snapshot.at, now);
        }
    }
    points
}

/// How long it took to half of the engagement that it has: between two points, as if it had grown evenly.
/// None without any.
pub fn half_life(points: &[Point]) -> Option<TimeDelta> {
    let half = points.last().map(|last| last.engagement as f64 / 2.0).filter(|half| *half > 0.0)?;
    let (mut age, mut count) = (0.0, 0.0);
    for point in points {
        let (later, more) = (point.age.num_milliseconds() as f64, point.engagement as f64);
        if more >= half {
            let share = if more > count { (half - count) / (more - count) } else { 1.0 };
            return Some(TimeDelta::milliseconds((age + (later - age) * share).round() as i64));
        }
        (age, count) = (later, more);
    }
    None
}

#[cfg(test)]
mod tests {
    use postq_core::id::PublicationId;
    use postq_core::platform::Counts;

    use super::*;

    fn series(points: &[(i64, Option<u64>)]) -> Vec<Snapshot> {
        let id = PublicationId::new();
        let of = |&(minutes, likes): &(i64, Option<u64>)| {
            let at = DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
            match likes {
                Some(likes) => Snapshot::shown(id, at, Counts::from([("likes".to_owned(), likes)])),
                None => {
                    Snapshot { state: Visibility::Hidden, ..Snapshot::shown(id, at, Counts::new()) }
                }
            }
        };
        points.iter().map(of).collect()
    }

    fn grown(points: &[(i64, Option<u64>)]) -> Vec<Point> {
        growth(DateTime::UNIX_EPOCH, &series(points), &[])
    }

    #[test]
    fn growth_is_told_by_the_hour() {
        let points = grown(&[(30, Some(10)), (60, Some(40)), (180, Some(30))]);

        let rates: Vec<f64> = points.iter().map(|point| point.engagement_per_hour).collect();
        assert_eq!(rates, [20.0, 60.0, -5.0]);
        assert_eq!(points[2].age, TimeDelta::hours(3));
    }

    #[test]
    fn what_is_hidden_for_a_while_does_not_fall() {
        let points = grown(&[(60, Some(10)), (120, None), (180, Some(14))]);

        assert_eq!(points[1].engagement, 10);
        assert_eq!((points[1].engagement_per_hour, points[2].engagement_per_hour), (0.0, 2.0));
        assert!(points[1].counts.is_empty());
    }

    #[test]
    fn the_half_life_lies_between_two_points() {
        let points = grown(&[(60, Some(20)), (120, Some(60)), (1_440, Some(80))]);

        assert_eq!(half_life(&points), Some(TimeDelta::minutes(90)));
        assert_eq!(half_life(&grown(&[(60, Some(0))])), None);
        assert_eq!(half_life(&[]), None);
        assert_eq!(half_life(&grown(&[(60, Some(8))])), Some(TimeDelta::minutes(30)));
    }
}
