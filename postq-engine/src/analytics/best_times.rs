//! At which hours of the local week an account's posts did well, and how sure that is.
//!
//! The score of a post is `ln(1 + engagement)`, and one that lies far from the account's median (three
//! standard deviations, told from the median distance) counts as if it lay there: what went round the
//! world counts for more, not for everything. An hour with few posts says little, so its mean is drawn to the account's: with `n` posts
//! by the weight `t / (t + s / n)`, where `s` is the variance of posts within an hour and `t` that
//! between hours, both estimated from the account's own posts (an empirical Bayes estimate of a
//! random-effects model, with the moment estimator of DerSimonian and Laird for `t`). Where hours differ no
//! more than chance makes them, `t` is 0 and no hour is better than another: then it says so.
//!
//! What it does not know: why. Who posts the best things on Tuesdays at nine finds that a good time.

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc, Weekday};
use postq_calendar::zone::{instant_to_local, local_to_instant};
use postq_core::error::ScheduleError;

/// A post, as far as times are concerned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it came out.
    pub published_at: DateTime<Utc>,
    /// What people did with it.
    pub engagement: u64,
}

/// Posts that good times are told from: the newest, of the last two years.
pub const MOST_SAMPLES: usize = 5_000;

/// The same: no older ones.
pub const SAMPLED: TimeDelta = TimeDelta::days(730);

/// Fewer posts than this say nothing.
pub const LEAST_POSTS: usize = 30;

/// Posts at fewer different hours than this say nothing.
pub const LEAST_HOURS: usize = 4;

/// An hour with fewer posts is told, and never called a good one.
pub const LEAST_IN_HOUR: usize = 3;

/// A younger post is still growing.
pub const GROWN_AFTER: TimeDelta = TimeDelta::days(2);

/// Half the width of the interval, in standard deviations: nineteen in twenty are within. Narrower ones
/// find a good hour by chance in every other account: a week has many hours.
const WITHIN: f64 = 1.96;

/// Scores further from the median than so many standard deviations count as if they were there.
const FAR: f64 = 3.0;

/// An hour of the local week.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hour {
    /// The day.
    pub weekday: Weekday,
    /// From 0 to 23, by the clocks of the zone.
    pub hour: u32,
    /// The posts that came out in it.
    pub posts: usize,
    /// What a post in this hour may expect, as a multiple of what the account's posts usually get.
    pub lift: f64,
    /// Nineteen times in twenty the true one is above this
    pub low: f64,
    /// and below this.
    pub high: f64,
}

impl Hour {
    /// Whether it is surely better than usual: enough posts, and the whole interval above 1.
    pub fn is_good(&self) -> bool {
        self.posts >= LEAST_IN_HOUR && self.low > 1.0
    }
}

/// What an account's posts say of times.
#[derive(Clone, Debug, PartialEq)]
pub enum BestTimes {
    /// Nothing yet.
    NotEnoughData {
        /// Grown posts that there are.
        posts: usize,
        /// Different hours at which they came out.
        hours: usize,
    },
    /// This.
    Told {
        /// Grown posts that it is told from.
        posts: usize,
        /// The hours at which some came out, the most promising first.
        hours: Vec<Hour>,
        /// How much of the differences between hours is more than chance, from 0 to 1.
        certainty: f64,
    },
}

/// What posts say of the hours of the week in a zone.
///
/// # Errors
///
/// If the zone is unknown.
pub fn best_times(
    samples: &[Sample],
    tz: &str,
    now: DateTime<Utc>,
) -> Result<BestTimes, ScheduleError> {
    let mut bins: Vec<Bin> = vec![Bin::default(); 7 * 24];
    instant_to_local(now, tz)?;
    let grown = || samples.iter().filter(|sample| sample.published_at <= now - GROWN_AFTER);
    let score = |sample: &Sample| (1.0 + sample.engagement as f64).ln();
    let (least, most) = bounds(grown().map(score).collect());
    for sample in grown() {
        let local = instant_to_local(sample.published_at, tz)?;
        let place = local.weekday().num_days_from_monday() * 24 + local.hour();
        bins[place as usize].add(score(sample).clamp(least, most));
    }
    let posts: usize = bins.iter().map(|bin| bin.n).sum();
    let used = bins.iter().filter(|bin| bin.n > 0).count();
    if posts < LEAST_POSTS || used < LEAST_HOURS {
        return Ok(BestTimes::NotEnoughData { posts, hours: used });
    }
    let spread = Spread::of(&bins, posts, used);
    let mut hours: Vec<Hour> =
        bins.iter().enumerate().filter(|(_, bin)| bin.n > 0).map(|at| spread.hour(at)).collect();
    hours.sort_by(|a, b| b.lift.total_cmp(&a.lift).then(b.posts.cmp(&a.posts)));
    Ok(BestTimes::Told { posts, hours, certainty: spread.certainty })
}

/// The next times, more than `ahead` from now and within about a week, that begin a good hour: the best hour
/// first. None if no hour is good.
///
/// # Errors
///
/// If the zone is unknown.
pub fn good_times(
    told: &BestTimes,
    tz: &str,
    now: DateTime<Utc>,
    ahead: TimeDelta,
) -> Result<Vec<DateTime<Utc>>, ScheduleError> {
    let BestTimes::Told { hours, .. } = told else { return Ok(Vec::new()) };
    let today = instant_to_local(now, tz)?.date();
    let mut times = Vec::new();
    for good in hours.iter().filter(|hour| hour.is_good()) {
        // Eight days: today's may be past. In a gap the clocks show the next hour, as near as can be.
        for day in (0..8).map(|days| today + TimeDelta::days(days)) {
            let wall = day.and_hms_opt(good.hour, 0, 0).filter(|_| day.weekday() == good.weekday);
            let Some(wall) = wall else { continue };
            let at = local_to_instant(wall, tz)?;
            if at > now + ahead {
                times.push(at);
                break;
            }
        }
    }
    Ok(times)
}

/// The next moment, more than `ahead` from now and within a week, that begins an hour which is good: the
/// best of them. None if no hour is.
///
/// # Errors
///
/// If the zone is unknown.
pub fn next_good(
    told: &BestTimes,
    tz: &str,
    now: DateTime<Utc>,
    ahead: TimeDelta,
) -> Result<Option<DateTime<Utc>>, ScheduleError> {
    Ok(good_times(told, tz, now, ahead)?.first().copied())
}

/// Between which scores count as they are: everything, where most are the same.
fn bounds(scores: Vec<f64>) -> (f64, f64) {
    let everything = (f64::NEG_INFINITY, f64::INFINITY);
    let Some(middle) = median(scores.clone()) else { return everything };
    let distances = scores.into_iter().map(|score| (score - middle).abs()).collect();
    // So much of a normal distribution's standard deviation is its median distance.
    let far = median(distances).map_or(0.0, |distance| FAR * 1.4826 * distance);
    if far > 0.0 { (middle - far, middle + far) } else { everything }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The scores of one hour of the week.
#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    n: usize,
    sum: f64,
    squares: f64,
}

impl Bin {
    fn add(&mut self, score: f64) {
        self.n += 1;
        self.sum += score;
        self.squares += score * score;
    }

    fn mean(&self) -> f64 {
        self.sum / self.n as f64
    }

    /// The sum of squared distances to the mean.
    fn distances(&self) -> f64 {
        (self.squares - self.sum * self.mean()).max(0.0)
    }
}

/// How scores differ: within hours, and between them.
#[derive(Clone, Copy, Debug)]
struct Spread {
    mean: f64,
    within: f64,
    between: f64,
    certainty: f64,
}

impl Spread {
    fn of(bins: &[Bin], posts: usize, used: usize) -> Self {
        let bins = || bins.iter().filter(|bin| bin.n > 0);
        let all = bins().map(|bin| bin.sum).sum::<f64>() / posts as f64;
        let free = posts - used;
        // Where every hour has one post nothing tells the two apart: all of it is chance.
        let within = match free {
            0 => bins().map(|bin| (bin.mean() - all).powi(2)).sum::<f64>() / (used - 1) as f64,
            _ => bins().map(Bin::distances).sum::<f64>() / free as f64,
        };
        if within <= f64::EPSILON {
            return Self::without_chance(bins(), all, used);
        }
        let weight: f64 = posts as f64;
        let squares: f64 = bins().map(|bin| (bin.n * bin.n) as f64).sum();
        let q: f64 =
            bins().map(|bin| bin.n as f64 * (bin.mean() - all).powi(2)).sum::<f64>() / within;
        let expected = (used - 1) as f64;
        let between = ((q - expected) * within / (weight - squares / weight)).max(0.0);
        let certainty = if q > 0.0 { ((q - expected) / q).max(0.0) } else { 0.0 };
        let mean = Self::centre(bins(), within, between);
        Self { mean, within, between, certainty }
    }

    /// Posts of one hour are all alike: what differs is the hours.
    fn without_chance<'a>(bins: impl Iterator<Item = &'a Bin>, all: f64, used: usize) -> Self {
        let between = bins.map(|bin| (bin.mean() - all).powi(2)).sum::<f64>() / (used - 1) as f64;
        let certainty = if between > 0.0 { 1.0 } else { 0.0 };
        Self { mean: all, within: 0.0, between, certainty }
    }

    /// The mean of the hours, each by how much it tells.
    fn centre<'a>(bins: impl Iterator<Item = &'a Bin>, within: f64, between: f64) -> f64 {
        let (sum, weights) = bins.fold((0.0, 0.0), |(sum, weights), bin| {
            let weight = 1.0 / (between + within / bin.n as f64);
            (sum + weight * bin.mean(), weights + weight)
        });
        sum / weights
    }

    fn hour(&self, (place, bin): (usize, &Bin)) -> Hour {
        let chance = self.within / bin.n as f64;
        let all = self.between + chance;
        let weight = if all > 0.0 { self.between / all } else { 0.0 };
        let (drawn, error) =
            (weight * (bin.mean() - self.mean), (self.between * (1.0 - weight)).sqrt());
        let day = u8::try_from(place / 24).expect("there are 7 days");
        Hour {
            weekday: Weekday::try_from(day).expect("there are 7 days"),
            hour: u32::try_from(place % 24).expect("there are 24 hours"),
            posts: bin.n,
            lift: drawn.exp(),
            low: (drawn - WITHIN * error).exp(),
            high: (drawn + WITHIN * error).exp(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    /// So many weeks of posts at these hours of each day, in local time, scored as the test says.
    fn weeks(
        tz: &str,
        weeks: i64,
        hours: &[u32],
        score: impl Fn(Weekday, u32) -> f64,
    ) -> Vec<Sample> {
        let mut rng = SmallRng::seed_from_u64(7);
        let first = utc("2026-01-05T00:00:00Z").date_naive();
        let mut samples = Vec::new();
        for day in (0..weeks * 7).map(|days| first + TimeDelta::days(days)) {
            for hour in hours {
                let wall = day.and_hms_opt(*hour, 20, 0).expect("a time");
                // Of twelve even ones: as good as normal.
                let noise = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
                let engagement = (score(day.weekday(), *hour) + 0.5 * noise).exp().round() as u64;
                let published_at = local_to_instant(wall, tz).expect("a zone");
                samples.push(Sample { published_at, engagement });
            }
        }
        samples
    }

    fn told(samples: &[Sample], tz: &str) -> (Vec<Hour>, f64) {
        match best_times(samples, tz, utc("2027-01-01T00:00:00Z")).expect("a zone") {
            BestTimes::Told { hours, certainty, .. } => (hours, certainty),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_said_of_nothing_or_little() {
        let now = utc("2026-06-01T00:00:00Z");
        let none = best_times(&[], "UTC", now).expect("a zone");
        assert_eq!(none, BestTimes::NotEnoughData { posts: 0, hours: 0 });
        let samples = weeks("UTC", 5, &[9], |_, _| 3.0);
        let few = best_times(&samples[..LEAST_POSTS - 1], "UTC", now).expect("a zone");
        assert_eq!(few, BestTimes::NotEnoughData { posts: LEAST_POSTS - 1, hours: 7 });
        let one_hour = vec![samples[0]; 100];
        let alike = best_times(&one_hour, "UTC", now).expect("a zone");
        assert_eq!(alike, BestTimes::NotEnoughData { posts: 100, hours: 1 });
        assert!(best_times(&samples, "Mars/Olympus", now).is_err());
        assert_eq!(next_good(&none, "UTC", now, TimeDelta::zero()).expect("a zone"), None);
    }

    #[test]
    fn a_post_that_still_grows_does_not_count() {
        let samples = weeks("UTC", 10, &[9, 18], |_, _| 3.0);
        let last = samples.last().expect("some").published_at;

        let count = |now| match best_times(&samples, "UTC", now).expect("a zone") {
            BestTimes::Told { posts, .. } => posts,
            BestTimes::NotEnoughData { posts, .. } => posts,
        };

        assert_eq!(count(last + GROWN_AFTER), samples.len());
        assert_eq!(count(last), samples.len() - 4);
    }

    #[test]
    fn an_hour_that_is_better_is_found_and_said_how_sure() {
        let good = |day, hour| if (day, hour) == (Weekday::Tue, 18) { 4.0 } else { 3.0 };
        let samples = weeks("Europe/Berlin", 30, &[9, 13, 18], good);

        let (hours, certainty) = told(&samples, "Europe/Berlin");

        let best = hours[0];
        assert_eq!((best.weekday, best.hour, best.posts), (Weekday::Tue, 18, 30));
        assert!(best.is_good() && !hours[1].is_good(), "{hours:?}");
        // By hand: 20 hours score about 3.05 and one 3.98 (4.02, less what is cut off above 4.55), so the mean
        // is 3.09 and the hour 0.89 above it. Within an hour the variance is 0.24, of its mean 0.24 / 30 =
        // 0.008; between hours it is (0.89^2 + 20 * 0.044^2) / 20 - 0.008 = 0.033. So the hour is drawn by
        // 0.033 / 0.041 = 0.81 to 0.72, give or take 1.96 * sqrt(0.033 * 0.19) = 0.16.
        let near = |value: f64, log: f64| (value.ln() - log).abs() < 0.06;
        assert!(near(best.lift, 0.72) && near(best.low, 0.56) && near(best.high, 0.88), "{best:?}");
        assert!(certainty > 0.5, "{certainty}");
    }

    #[test]
    fn chance_makes_no_good_hours() {
        let mut good = 0;
        let samples = weeks("UTC", 20, &[7, 9, 13, 18, 21], |_, _| 3.0);
        let (hours, certainty) = told(&samples, "UTC");
        good += hours.iter().filter(|hour| hour.is_good()).count();

        assert_eq!(good, 0, "{:?}", &hours[..3]);
        assert!(certainty < 0.4, "{certainty}");
        assert!(hours.iter().all(|hour| (0.8..1.25).contains(&hour.lift)));
    }

    #[test]
    fn one_lucky_post_is_no_good_hour() {
        let mut samples = weeks("UTC", 20, &[9, 18], |_, _| 3.0);
        let published_at = utc("2026-03-07T03:10:00Z");
        samples.push(Sample { published_at, engagement: 1_000_000 });

        let (hours, _) = told(&samples, "UTC");

        let lucky = hours.iter().find(|hour| hour.hour == 3).expect("it is told");
        assert!(!lucky.is_good());
        assert!(lucky.lift < 3.0, "drawn to the mean: {lucky:?}");
    }

    #[test]
    fn hours_are_those_of_the_clocks_over_a_clock_change() {
        // 8 weeks around the end of March, when Berlin's clocks go forward.
        let good = |_, hour| if hour == 8 { 4.5 } else { 3.0 };
        let samples = weeks("Europe/Berlin", 16, &[8, 12], good);

        let (hours, _) = told(&samples, "Europe/Berlin");

        let used: std::collections::BTreeSet<_> = hours.iter().map(|hour| hour.hour).collect();
        assert_eq!(used.into_iter().collect::<Vec<_>>(), [8, 12], "never 7 or 9");
        assert!(hours[..7].iter().all(|hour| hour.hour == 8 && hour.posts == 16));
    }

    #[test]
    fn the_next_good_hour_keeps_its_local_time() {
        let good = |day, hour| if (day, hour) == (Weekday::Sun, 9) { 5.0 } else { 3.0 };
        let samples = weeks("Europe/Berlin", 20, &[9, 18], good);
        let told = best_times(&samples, "Europe/Berlin", utc("2026-08-01T00:00:00Z"));
        let told = told.expect("a zone");
        let next = |now| {
            let ahead = TimeDelta::minutes(1);
            next_good(&told, "Europe/Berlin", utc(now), ahead).expect("a zone")
        };

        assert_eq!(next("2026-10-22T12:00:00Z"), Some(utc("2026-10-25T08:00:00Z")), "winter");
        assert_eq!(next("2026-10-15T12:00:00Z"), Some(utc("2026-10-18T07:00:00Z")), "summer");
        assert_eq!(next("2026-10-18T07:00:00Z"), Some(utc("2026-10-25T08:00:00Z")));
    }

    #[test]
    fn posts_that_are_all_alike_make_no_hour_better() {
        let samples: Vec<Sample> = weeks("UTC", 10, &[9, 18], |_, _| 3.0)
            .into_iter()
            .map(|sample| Sample { engagement: 0, ..sample })
            .collect();

        let (hours, certainty) = told(&samples, "UTC");

        assert!(hours.iter().all(|hour| hour.lift == 1.0 && !hour.is_good()));
        assert_eq!(certainty, 0.0);
    }
}
