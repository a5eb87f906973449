//! What an account came to in a span of days.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use postq_core::metrics::DayTotals;

/// What a span of days comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Publications that came out in it and have metrics.
    pub publications: u64,
    /// What these have been counted to by now.
    pub made: BTreeMap<String, i64>,
    /// What was counted more in it, whenever the publication came out.
    pub gained: BTreeMap<String, i64>,
}

/// Adds up days.
pub fn totals(days: &[DayTotals]) -> Totals {
    let mut all = Totals::default();
    for day in days {
        all.publications += day.publications;
        all.made.add(&day.made);
        all.gained.add(&day.gained);
    }
    all
}

trait Add {
    fn add(&mut self, other: &Self);
}

impl<V: AddAssign + Copy + Default> Add for BTreeMap<String, V> {
    fn add(&mut self, other: &Self) {
        for (name, more) in other {
            *self.entry(name.clone()).or_default() += *more;
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn days_add_up() {
        let counts = |pairs: &[(&str, i64)]| {
            pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<BTreeMap<_, _>>()
        };
        let day = |publications, made: &[_], gained: &[_]| DayTotals {
            day: NaiveDate::default(),
            publications,
            made: counts(made),
            gained: counts(gained),
        };

        let all = totals(&[
            day(2, &[("likes", 5)], &[("likes", 3)]),
            day(0, &[], &[("likes", -1), ("views", 9)]),
        ]);

        assert_eq!((all.publications, &all.made), (2, &counts(&[("likes", 5)])));
        assert_eq!(all.gained, counts(&[("likes", 2), ("views", 9)]));
        assert_eq!(totals(&[]), Totals::default());
    }
}
