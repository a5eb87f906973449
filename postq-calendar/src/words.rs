//! Rules in words: what both kinds of rule share.

use chrono::{NaiveDateTime, Timelike};

/// The months by number, from 1.
pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The days of the week; Sunday is 0.
pub(crate) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// More times of day than this are told as hours and minutes.
const MOST_TIMES: usize = 6;

/// `a, b and c`.
pub(crate) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let mut items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.pop() {
        Some(last) if items.is_empty() => last,
        Some(last) => format!("{} and {last}", items.join(", ")),
        None => String::new(),
    }
}

/// Numbers with runs drawn together: `1 to 5 and 7`.
pub(crate) fn runs(values: &[u16], show: impl Fn(u16) -> String) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *value => *last = *value,
            _ => runs.push((*value, *value)),
        }
    }
    list(runs.into_iter().map(|(first, last)| match last - first {
        0 => show(first),
        1 => format!("{} and {}", show(first), show(last)),
        _ => format!("{} to {}", show(first), show(last)),
    }))
}

/// A name from a table of them.
pub(crate) fn name(table: &[&str], place: u16) -> String {
    table.get(usize::from(place)).map_or_else(|| place.to_string(), |name| (*name).to_owned())
}

/// `3rd`.
pub(crate) fn ordinal(number: u32) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// `3rd`, `last`, `2nd last`.
pub(crate) fn place(number: i32) -> String {
    match number {
        -1 => "last".to_owned(),
        _ if number < 0 => format!("{} last", ordinal(number.unsigned_abs())),
        _ => ordinal(number.unsigned_abs()),
    }
}

/// The times of day: `09:00 and 17:00`; none if they are too many to be told one by one.
pub(crate) fn times(hours: &[u16], minutes: &[u16], seconds: &[u16]) -> Option<String> {
    if hours.len() * minutes.len() * seconds.len() > MOST_TIMES {
        return None;
    }
    let mut times = Vec::new();
    for hour in hours {
        for minute in minutes {
            times.extend(seconds.iter().map(|second| match second {
                0 => format!("{hour:02}:{minute:02}"),
                _ => format!("{hour:02}:{minute:02}:{second:02}"),
            }));
        }
    }
    Some(list(times))
}

/// A local time, with seconds where it has some.
pub(crate) fn local(wall: NaiveDateTime) -> String {
    let form = if wall.second() == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
    wall.format(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_runs_read_as_they_are_spoken() {
        let plain = |value: u16| value.to_string();

        assert_eq!(list([1, 2, 3]), "1, 2 and 3");
        assert_eq!(list([0; 0]), "");
        assert_eq!(runs(&[1, 2, 3, 5, 7, 8], plain), "1 to 3, 5 and 7 and 8");
        assert_eq!(runs(&[1, 2, 3, 4, 5], |day| name(&DAYS, day)), "Monday to Friday");
        assert_eq!(times(&[9, 17], &[0], &[0]).unwrap(), "09:00 and 17:00");
        assert_eq!(times(&[9], &[5], &[7]).unwrap(), "09:05:07");
        assert_eq!(times(&[1, 2, 3, 4, 5, 6, 7], &[0], &[0]), None);
    }

    #[test]
    fn places_count_from_both_ends() {
        let read: Vec<_> = [1, 2, 3, 4, 11, 21, -1, -2].map(place).to_vec();

        assert_eq!(read, ["1st", "2nd", "3rd", "4th", "11th", "21st", "last", "2nd last"]);
    }
}
