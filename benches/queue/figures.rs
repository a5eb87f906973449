//! The table.

use std::time::Duration;

use crate::subject::Kind;

/// What was measured, by row and kind.
pub(crate) struct Figures {
    kinds: Vec<Kind>,
    rows: Vec<(&'static str, Unit, Vec<Vec<f64>>)>,
}

#[derive(Clone, Copy)]
enum Unit {
    PerSecond,
    Millis,
    Ratio,
}

impl Figures {
    pub(crate) fn new(kinds: &[Kind]) -> Self {
        Self { kinds: kinds.to_vec(), rows: Vec::new() }
    }

    /// So many jobs took so long.
    pub(crate) fn rate(&mut self, row: &'static str, kind: Kind, jobs: usize, took: Duration) {
        self.put(row, kind, Unit::PerSecond, jobs as f64 / took.as_secs_f64());
    }

    /// The median and the 99th percentile of these, in rows of their own.
    pub(crate) fn spread(&mut self, rows: [&'static str; 2], kind: Kind, mut millis: Vec<f64>) {
        millis.sort_by(f64::total_cmp);
        for (row, share) in rows.into_iter().zip([0.5, 0.99]) {
            let place = (millis.len() as f64 * share) as usize;
            self.put(row, kind, Unit::Millis, millis[place.min(millis.len() - 1)]);
        }
    }

    pub(crate) fn ratio(&mut self, row: &'static str, kind: Kind, ratio: f64) {
        self.put(row, kind, Unit::Ratio, ratio);
    }

    fn put(&mut self, row: &'static str, kind: Kind, unit: Unit, value: f64) {
        let column = self.kinds.iter().position(|known| *known == kind).expect("a kind of ours");
        let place = self.rows.iter().position(|(name, ..)| *name == row).unwrap_or_else(|| {
            self.rows.push((row, unit, vec![Vec::new(); self.kinds.len()]));
            self.rows.len() - 1
        });
        self.rows[place].2[column].push(value);
    }

    /// Prints the medians.
    pub(crate) fn print(mut self) {
        print!("{:48}", "");
        self.kinds.iter().for_each(|kind| print!("{:>18}", kind.word()));
        println!();
        for (name, unit, columns) in &mut self.rows {
            print!("{name:48}");
            for values in columns {
                print!("{:>18}", told(*unit, values));
            }
            println!();
        }
    }
}

fn told(unit: Unit, values: &mut [f64]) -> String {
    let Some(median) = median(values) else { return "-".to_owned() };
    match unit {
        Unit::PerSecond => format!("{median:.0}/s"),
        Unit::Millis => format!("{median:.2} ms"),
        Unit::Ratio => format!("{median:.2}"),
    }
}

/// The middle one; of two the lower.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
