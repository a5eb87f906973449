//! The resolver.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use postq_core::error::ScheduleError;
use postq_core::schedule::{ResolveRequest, Resolved, Resolver, Schedule, Timing};

use crate::misfire;
use crate::rule::Rule;
use crate::series::Series;

/// Rules kept in memory. More are read again.
const MOST_KEPT: usize = 4_096;

/// Resolves schedules to occurrences. What it costs does not depend on how old a rule is: it computes
/// places in a series, or moves a rule's start along to where the answer is. A rule is read once and
/// kept, so that many schedules with one expression are cheap. Clones share what they keep.
///
/// At most [`Calendar::MISSED_ROWS`] missed occurrences are answered one by one; older ones are counted
/// in the first of them. Of a cron or RRULE schedule one call walks at most 10,000 occurrences and makes
/// up for at most 5,000; where more are due, its answer says where to go on.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    kept: Arc<Mutex<HashMap<Key, Arc<Rule>>>>,
}

/// What a rule was read from: the rule and its zone.
type Key = (Timing, Option<String>);

impl Calendar {
    /// Missed occurrences that an answer shows one by one.
    pub const MISSED_ROWS: u64 = 100;

    /// One that keeps nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rule of a schedule.
    pub fn rule(&self, timing: &Timing, tz: Option<&str>) -> Result<Arc<Rule>, ScheduleError> {
        if matches!(timing, Timing::OneShot { .. } | Timing::Interval { .. } | Timing::Unset) {
            return Rule::new(timing, tz).map(Arc::new);
        }
        let key = (timing.clone(), tz.map(str::to_owned));
        if let Some(rule) = self.kept().get(&key) {
            return Ok(Arc::clone(rule));
        }
        // Read without the lock: a rule may take milliseconds.
        let rule = Arc::new(Rule::new(timing, tz)?);
        let mut kept = self.kept();
        if kept.len() >= MOST_KEPT {
            // Those in use come back; there is no order worth keeping.
            kept.clear();
        }
        kept.insert(key, Arc::clone(&rule));
        Ok(rule)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Rule>>> {
        // Whoever panicked left a whole table.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver for Calendar {
    fn next(
        &self,
        schedule: &Schedule,
        after: Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>, ScheduleError> {
        Ok(self.rule(&schedule.timing, schedule.tz.as_deref())?.next(after))
    }

    fn resolve(
        &self,
        schedule: &Schedule,
        request: ResolveRequest,
    ) -> Result<Resolved, ScheduleError> {
        let rule = self.rule(&schedule.timing, schedule.tz.as_deref())?;
        let Some(from) = schedule.next_run_at else {
            return Ok(Resolved { occurrences: Vec::new(), next_run_at: None });
        };
        let series = Series::of(&rule, from, request.until);
        Ok(misfire::resolve(&series, from, schedule.misfire, schedule.grace, request))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::{Duration, Instant};

    use postq_core::id::PostId;
    use postq_core::schedule::{Misfire, Timing, Verdict};
    use proptest::prelude::{
        Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
    };

    use super::*;

    const DAY: i64 = 86_400;

    fn instant(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_770_000_000 + seconds, 0).unwrap()
    }

    fn every(seconds: u64, count: Option<u32>, until: Option<i64>) -> Schedule {
        let timing = Timing::Interval {
            every: Duration::from_secs(seconds),
            anchor: instant(0),
            count: count.and_then(NonZeroU32::new),
            until: until.map(instant),
        };
        let mut schedule = Schedule::new(PostId::new(), vec![], timing, instant(0));
        schedule.next_run_at = Calendar::new().next(&schedule, None).unwrap();
        schedule
    }

    fn request(now: i64) -> ResolveRequest {
        ResolveRequest { now: instant(now), until: instant(now + 60), limit: 1_000 }
    }

    fn fired(resolved: &Resolved) -> Vec<DateTime<Utc>> {
        let fires = |o: &&postq_core::schedule::Occurrence| o.verdict == Verdict::Fire;
        resolved.occurrences.iter().filter(fires).map(|o| o.planned_at).collect()
    }

    fn missed(resolved: &Resolved) -> u64 {
        let of = |o: &postq_core::schedule::Occurrence| match o.verdict {
            Verdict::Fire => 0,
            Verdict::Missed { and_older } => 1 + and_older,
        };
        resolved.occurrences.iter().map(of).sum()
    }

    #[test]
    fn a_one_shot_happens_once() {
        let at = instant(30);
        let timing = Timing::OneShot { at, local: None };
        let mut schedule = Schedule::new(PostId::new(), vec![], timing, instant(0));
        schedule.next_run_at = Some(at);

        let resolved = Calendar::new().resolve(&schedule, request(0)).unwrap();

        assert_eq!(fired(&resolved), [at]);
        assert_eq!(resolved.next_run_at, None);
    }

    #[test]
    fn count_and_until_end_an_interval() {
        let by_count = every(10, Some(3), None);
        let by_until = every(10, None, Some(20));
        let by_both = every(10, Some(9), Some(20));

        for schedule in [by_count, by_until, by_both] {
            let resolved = Calendar::new().resolve(&schedule, request(0)).unwrap();

            assert_eq!(fired(&resolved), [0, 10, 20].map(instant));
            assert_eq!(resolved.next_run_at, None);
        }
    }

    #[test]
    fn an_end_before_the_anchor_never_fires() {
        let schedule = every(10, None, Some(-1));

        assert_eq!(Calendar::new().next(&schedule, None).unwrap(), None);
    }

    #[test]
    fn a_distance_below_a_second_is_refused() {
        for (every, why) in
            [(0, "at least 1s"), (999_999, "at least 1s"), (1_000_000_001, "microseconds")]
        {
            let timing = Timing::Interval {
                every: Duration::from_nanos(every),
                anchor: instant(0),
                count: None,
                until: None,
            };
            let schedule = Schedule::new(PostId::new(), vec![], timing, instant(0));

            let error = Calendar::new().next(&schedule, None).unwrap_err();

            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn late_within_the_grace_is_not_missed() {
        let mut schedule = every(600, None, None);
        schedule.misfire = Misfire::Skip;

        let on_the_edge = Calendar::new().resolve(&schedule, request(300)).unwrap();
        let beyond = Calendar::new().resolve(&schedule, request(301)).unwrap();

        assert_eq!((fired(&on_the_edge), missed(&on_the_edge)), (vec![instant(0)], 0));
        assert_eq!((fired(&beyond), missed(&beyond)), (vec![], 1));
    }

    #[test]
    fn each_policy_chooses_among_the_missed() {
        let most = NonZeroU32::new(3).unwrap();
        let mut schedule = every(600, None, None);
        // Seven are late by more than five minutes: 0 to 3,600; 4,200 is on time.
        let ask = request(4_200);
        let mut policy = |misfire| {
            schedule.misfire = misfire;
            let resolved = Calendar::new().resolve(&schedule, ask).unwrap();
            (fired(&resolved), missed(&resolved))
        };

        assert_eq!(policy(Misfire::FireOnce), ([3_600, 4_200].map(instant).to_vec(), 6));
        assert_eq!(
            policy(Misfire::FireAll { most }),
            ([2_400, 3_000, 3_600, 4_200].map(instant).to_vec(), 4)
        );
        assert_eq!(policy(Misfire::Skip), ([4_200].map(instant).to_vec(), 7));
    }

    #[test]
    fn a_second_rule_ten_years_old_costs_nothing() {
        let schedule = every(1, None, None);
        let started = Instant::now();

        let resolved = Calendar::new().resolve(&schedule, request(3_650 * DAY)).unwrap();

        assert!(started.elapsed() < Duration::from_millis(5), "{:?}", started.elapsed());
        assert_eq!(resolved.occurrences.len() as u64, Calendar::MISSED_ROWS + 1 + 300 + 61);
        assert_eq!(missed(&resolved), 3_650 * 86_400 - 300 - 1);
        assert!(matches!(
            resolved.occurrences[0].verdict,
            Verdict::Missed { and_older } if and_older > 300_000_000
        ));
        assert_eq!(resolved.next_run_at, Some(instant(3_650 * DAY + 61)));
    }

    #[test]
    fn the_limit_says_where_to_go_on() {
        let schedule = every(1, None, None);
        let ask = ResolveRequest { limit: 5, ..request(0) };

        let resolved = Calendar::new().resolve(&schedule, ask).unwrap();

        assert_eq!(fired(&resolved), [0, 1, 2, 3, 4].map(instant));
        assert_eq!(resolved.next_run_at, Some(instant(5)));
    }

    #[test]
    fn nothing_fires_after_the_year_9999() {
        let far = DateTime::from_timestamp(253_402_300_790, 0).unwrap();
        let schedule = every(1_000_000_007, None, None);

        assert_eq!(Calendar::new().next(&schedule, Some(far)).unwrap(), None);
        assert_eq!(Calendar::new().next(&schedule, Some(DateTime::<Utc>::MAX_UTC)).unwrap(), None);
        assert_eq!(
            Calendar::new().next(&schedule, Some(DateTime::<Utc>::MIN_UTC)).unwrap(),
            Some(instant(0))
        );
    }

    fn policies() -> impl Strategy<Value = Misfire> {
        prop_oneof![
            Just(Misfire::FireOnce),
            Just(Misfire::Skip),
            (1u32..20).prop_map(|n| Misfire::FireAll { most: NonZeroU32::new(n).unwrap() }),
        ]
    }

    fn schedules() -> impl Strategy<Value = Schedule> {
        let count = prop_oneof![Just(None), (1u32..400).prop_map(Some)];
        let until = prop_oneof![Just(None), (-10i64..20_000).prop_map(Some)];
        (1u64..2_000, count, until, policies(), 0u64..2_000).prop_map(
            |(seconds, count, until, misfire, grace)| Schedule {
                misfire,
                grace: Duration::from_secs(grace),
                ..every(seconds, count, until)
            },
        )
    }

    /// What `next` walks through, from `next_run_at` to `until`, and the one after.
    fn walk(
        schedule: &Schedule,
        until: DateTime<Utc>,
    ) -> (Vec<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let (mut seen, mut next) = (Vec::new(), schedule.next_run_at);
        while let Some(at) = next.filter(|at| *at <= until) {
            seen.push(at);
            next = Calendar::new().next(schedule, Some(at)).unwrap();
        }
        (seen, next)
    }

    proptest! {
        #[test]
        fn next_is_strictly_later(schedule in schedules(), after in -5_000i64..30_000, nanos in 0u32..1_000_000_000) {
            let after = instant(after) + Duration::from_nanos(u64::from(nanos));

            if let Some(next) = Calendar::new().next(&schedule, Some(after)).unwrap() {
                prop_assert!(next > after);
            }
        }

        #[test]
        fn resolve_and_next_agree(schedule in schedules(), now in -100i64..20_000, ahead in 0i64..4_000) {
            let until = instant(now + ahead);
            let ask = ResolveRequest { now: instant(now), until, limit: 100_000 };

            let resolved = Calendar::new().resolve(&schedule, ask).unwrap();

            let (walked, next) = walk(&schedule, until);
            let hidden = walked.len() - resolved.occurrences.len();
            let shown: Vec<_> = resolved.occurrences.iter().map(|o| o.planned_at).collect();
            prop_assert_eq!(&shown, &walked[hidden..]);
            prop_assert_eq!(resolved.next_run_at, next);
            prop_assert_eq!(missed(&resolved) as usize + fired(&resolved).len(), walked.len());
            for occurrence in &resolved.occurrences {
                if occurrence.verdict != Verdict::Fire {
                    prop_assert!(schedule.is_missed(occurrence.planned_at, ask.now));
                }
            }
        }

        #[test]
        fn a_restart_gives_the_same_tail(schedule in schedules(), now in 0i64..20_000, limit in 1usize..50) {
            // The schedule is asked in small portions, as a planner that stops and starts would.
            let whole = Calendar::new()
                .resolve(&schedule, ResolveRequest { limit: 100_000, ..request(now) })
                .unwrap();
            let (mut portions, mut going) = (Vec::new(), schedule);
            loop {
                let part = Calendar::new()
                    .resolve(&going, ResolveRequest { limit, ..request(now) })
                    .unwrap();
                let done = part.next_run_at == going.next_run_at;
                portions.extend(fired(&part));
                going.next_run_at = part.next_run_at;
                if done || part.next_run_at.is_none_or(|next| next > request(now).until) {
                    break;
                }
            }

            prop_assert_eq!(portions, fired(&whole));
            prop_assert_eq!(going.next_run_at, whole.next_run_at);
        }

        #[test]
        fn no_rule_panics(
            every in any::<u64>(),
            anchor in any::<i64>(),
            until in any::<Option<i64>>(),
            now in any::<i64>(),
            grace in any::<u64>(),
        ) {
            let at = |seconds: i64| DateTime::from_timestamp_micros(seconds).unwrap_or(DateTime::UNIX_EPOCH);
            let timing = Timing::Interval {
                every: Duration::from_secs(every),
                anchor: at(anchor),
                count: None,
                until: until.map(at),
            };
            let mut schedule = Schedule::new(PostId::new(), vec![], timing, at(0));
            schedule.grace = Duration::from_secs(grace);
            schedule.next_run_at = Some(at(anchor));
            let ask = ResolveRequest { now: at(now), until: at(now), limit: 10 };

            if let Ok(resolved) = Calendar::new().resolve(&schedule, ask) {
                prop_assert!(resolved.occurrences.len() <= 110);
            }
        }
    }
}
