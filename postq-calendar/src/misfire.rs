//! Misfire policies: what becomes of occurrences that are later than the grace.

use std::time::Duration;

use chrono::{DateTime, Utc};

use postq_core::schedule::{Misfire, Occurrence, ResolveRequest, Resolved, Verdict};

use crate::calendar::Calendar;
use crate::series::Series;

/// The occurrences from `from` to the end of the request, the policy applied.
///
/// They lie in the order `missed | fired although late | on time`, whatever the policy, so that three
/// places in the series say it all.
pub(crate) fn resolve(
    series: &Series,
    from: DateTime<Utc>,
    policy: Misfire,
    grace: Duration,
    request: ResolveRequest,
) -> Resolved {
    let start = series.start(from);
    let end = series.end(request.until).max(start);
    let on_time = series.late(request.now, grace).clamp(start, end);
    let firing = on_time - fired_although_late(policy, on_time - start, series);
    let missed = missed(series, start, firing);
    if on_time == end && series.hides_late(request.until, request.now, grace) {
        // Which are the latest ones is not known yet: the next call goes on with these.
        return Resolved { occurrences: missed, next_run_at: series.nth(firing) };
    }
    let stop = end.min(firing.saturating_add(request.limit as u64));

    let mut occurrences = missed;
    occurrences.extend(
        (firing..stop)
            .filter_map(|place| series.nth(place))
            .map(|planned_at| Occurrence { planned_at, verdict: Verdict::Fire }),
    );
    Resolved { occurrences, next_run_at: series.nth(stop) }
}

fn fired_although_late(policy: Misfire, late: u64, series: &Series) -> u64 {
    let most = match policy {
        Misfire::FireOnce => 1,
        Misfire::FireAll { most } => u64::from(most.get()),
        Misfire::Skip => 0,
    };
    late.min(most).min(series.most_made_up())
}

/// The latest ones in full, those before them as a number on the first.
fn missed(series: &Series, start: u64, end: u64) -> Vec<Occurrence> {
    let shown = start.max(end.saturating_sub(Calendar::MISSED_ROWS));
    (shown..end)
        .filter_map(|place| Some((place, series.nth(place)?)))
        .map(|(place, planned_at)| Occurrence {
            planned_at,
            verdict: Verdict::Missed { and_older: if place == shown { shown - start } else { 0 } },
        })
        .collect()
}
