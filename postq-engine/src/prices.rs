//! What calls cost on platforms that bill by the call: a list of prices, and a budget for a month.
//!
//! Money is counted in millionths of the currency, as [`price`](postq_core::price) does. What calls have
//! cost is an estimate from this list: the platform's bill is the platform's.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, NaiveTime, Utc};
use postq_core::cadence::{PollingCadence, StagedCadence};
use postq_core::content::Part;
use postq_core::platform::{Platform, PlatformName};
use postq_core::price::{CallKind, Spent, month, next_month};

/// Millionths in one.
const WHOLE: u64 = 1_000_000;

/// The highest price and the highest budget: a million.
const MOST: u64 = 1_000_000 * WHOLE;

/// More polls than this no cadence has.
const MOST_POLLS: u64 = 1_000;

/// What stops when the month's budget is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stops {
    /// Reading metrics; posts go on.
    #[default]
    Reading,
    /// Everything on the platforms that have a price, posts too, until the next month.
    Everything,
}

/// A list of prices, and a budget. Empty by default: then nothing is counted and nothing shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prices {
    currency: String,
    by: BTreeMap<(PlatformName, CallKind), u64>,
    budget: Option<u64>,
    stops: Stops,
    polls: u64,
}

impl Default for Prices {
    fn default() -> Self {
        Self {
            currency: "USD".to_owned(),
            by: BTreeMap::new(),
            budget: None,
            stops: Stops::default(),
            polls: polls(&StagedCadence::default()),
        }
    }
}

/// A list of prices that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPrices(String);

impl Prices {
    /// Reads a list: `x:publish=0.015,x:publish_link=0.20,x:read=0.001,currency=USD`. Where there is no
    /// price for a post with a link, it is that for a post.
    ///
    /// # Errors
    ///
    /// What cannot be read, and what was expected.
    pub fn parse(list: &str) -> Result<Self, BadPrices> {
        let mut prices = Self::default();
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            prices.add(item)?;
        }
        Ok(prices)
    }

    fn add(&mut self, item: &str) -> Result<(), BadPrices> {
        let wrong = || {
            let kinds = CallKind::ALL.map(CallKind::as_str).join(", ");
            BadPrices(format!(
                "\"{item}\" cannot be; expected such as x:publish=0.015 (of {kinds}) or currency=USD"
            ))
        };
        let (what, value) = item.split_once('=').ok_or_else(wrong)?;
        let (what, value) = (what.trim(), value.trim());
        if what == "currency" {
            let is_code = value.len() == 3 && value.chars().all(|c| c.is_ascii_uppercase());
            self.currency = is_code.then(|| value.to_owned()).ok_or_else(wrong)?;
            return Ok(());
        }
        let (platform, kind) = what.split_once(':').ok_or_else(wrong)?;
        let platform: PlatformName = platform.parse().map_err(|_| wrong())?;
        let kind = CallKind::ALL.into_iter().find(|known| known.as_str() == kind);
        let kind = kind.ok_or_else(wrong)?;
        if self.by.insert((platform, kind), read_amount(value)?).is_some() {
            return Err(BadPrices(format!("there are two prices for {what}; leave one")));
        }
        Ok(())
    }

    /// The same with a budget for each month, in millionths, and what stops when it is used up.
    #[must_use]
    pub fn with_budget(mut self, budget: u64, stops: Stops) -> Self {
        (self.budget, self.stops) = (Some(budget), stops);
        self
    }

    /// The same where metrics are polled by this cadence.
    #[must_use]
    pub(crate) fn polled_by(mut self, cadence: &dyn PollingCadence) -> Self {
        self.polls = polls(cadence);
        self
    }

    /// Whether nothing has a price.
    pub fn is_empty(&self) -> bool {
        self.by.is_empty()
    }

    /// The currency, by its code of three letters.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// The budget for a month, in millionths.
    pub fn budget(&self) -> Option<u64> {
        self.budget
    }

    /// What stops when it is used up.
    pub fn stops(&self) -> Stops {
        self.stops
    }

    /// The platforms that have a price.
    pub fn platforms(&self) -> impl Iterator<Item = &PlatformName> {
        let mut last = None;
        let names = self.by.keys().map(|(platform, _)| platform);
        names.filter(move |name| last.replace(*name) != Some(*name))
    }

    /// What a call costs, in millionths; none where the platform has no price at all.
    pub fn of(&self, platform: &PlatformName, kind: CallKind) -> Option<u64> {
        let price = |kind| self.by.get(&(platform.clone(), kind)).copied();
        let known = self.by.keys().any(|(known, _)| known == platform);
        let price = match kind {
            CallKind::PublishLink => price(kind).or_else(|| price(CallKind::Publish)),
            CallKind::Publish | CallKind::Read => price(kind),
        };
        known.then(|| price.unwrap_or_default())
    }

    /// What is left of the budget; none without one.
    pub fn left(&self, spent: &[Spent]) -> Option<u64> {
        Some(self.budget?.saturating_sub(total(spent)))
    }

    /// Calls of one kind, and what they cost; none where the platform has no price.
    pub(crate) fn calls(
        &self,
        platform: &PlatformName,
        kind: CallKind,
        calls: u64,
        at: DateTime<Utc>,
    ) -> Option<Spent> {
        let micros = self.of(platform, kind)?.saturating_mul(calls);
        Some(Spent { month: month(at), platform: platform.clone(), kind, calls, micros })
    }

    /// What publishing these parts costs.
    pub(crate) fn publishing(
        &self,
        platform: &dyn Platform,
        parts: &[Part],
        at: DateTime<Utc>,
    ) -> Vec<Spent> {
        let measure = platform.measure();
        let has_link = |part: &&Part| measure.is_some_and(|measure| measure.has_link(&part.text));
        let (links, plain): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(has_link);
        [(CallKind::Publish, plain.len()), (CallKind::PublishLink, links.len())]
            .into_iter()
            .filter(|(_, calls)| *calls > 0)
            .filter_map(|(kind, calls)| self.calls(platform.name(), kind, calls as u64, at))
            .collect()
    }

    /// What reading the metrics of one publication costs, from the first poll to the last.
    pub(crate) fn reading(&self, platform: &dyn Platform, at: DateTime<Utc>) -> Option<Spent> {
        platform.metrics()?;
        self.calls(platform.name(), CallKind::Read, self.polls, at)
    }

    /// An amount for people: `0.015 USD`.
    pub fn show(&self, micros: u64) -> String {
        format!("{} {}", Amount(micros), self.currency)
    }
}

/// What calls have cost in all.
pub fn total(spent: &[Spent]) -> u64 {
    spent.iter().fold(0, |sum, spent| sum.saturating_add(spent.micros))
}

/// When the month after that of a moment begins: when a budget is whole again.
pub fn renews_at(now: DateTime<Utc>) -> DateTime<Utc> {
    next_month(month(now)).map_or(now, |month| month.and_time(NaiveTime::MIN).and_utc())
}

/// An amount in millionths, as people write it: with two digits behind the point, or as many as it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(pub u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:06}", self.0 % WHOLE);
        let needed = digits.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / WHOLE, &digits[..needed])
    }
}

/// Reads an amount: `20`, `0.015`.
///
/// # Errors
///
/// If it is no amount, has more than six digits behind the point, or is above a million.
pub fn read_amount(text: &str) -> Result<u64, BadPrices> {
    let wrong = || {
        let most = MOST / WHOLE;
        BadPrices(format!("\"{text}\" is no amount; expected such as 0.015, at most {most}"))
    };
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(rest) || rest.len() > 6 {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let rest: u64 = format!("{rest:0<6}").parse().map_err(|_| wrong())?;
    let micros = whole.checked_mul(WHOLE).and_then(|whole| whole.checked_add(rest));
    micros.filter(|micros| *micros <= MOST).ok_or_else(wrong)
}

/// How many polls a publication has.
fn polls(cadence: &dyn PollingCadence) -> u64 {
    let start = DateTime::UNIX_EPOCH;
    let mut last = start;
    for polls in 0..MOST_POLLS {
        match cadence.next(start, last) {
            Some(next) => last = next,
            None => return polls,
        }
    }
    MOST_POLLS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x() -> PlatformName {
        "x".parse().expect("a name")
    }

    #[test]
    fn a_list_is_read() {
        let list =
            " x:publish=0.015, x:publish_link=0.20,x:read=0.001,threads:read=2,currency=EUR,";
        let prices = Prices::parse(list).expect("a list");

        let of = |kind| prices.of(&x(), kind);
        let all = CallKind::ALL.map(of);
        assert_eq!(all, [Some(15_000), Some(200_000), Some(1_000)]);
        assert_eq!(prices.of(&"mastodon".parse().expect("a name"), CallKind::Publish), None);
        assert_eq!(prices.currency(), "EUR");
        let names: Vec<&str> = prices.platforms().map(PlatformName::as_str).collect();
        assert_eq!(names, ["threads", "x"]);
        assert!(Prices::parse("").expect("nothing").is_empty());
        let one = Prices::parse("x:publish=1").expect("a list");
        assert_eq!(one.of(&x(), CallKind::PublishLink), Some(1_000_000), "as any post");
        assert_eq!(one.of(&x(), CallKind::Read), Some(0), "nothing");
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (list, why) in [
            ("x:publish", "cannot be"),
            ("publish=1", "cannot be"),
            ("X:publish=1", "cannot be"),
            ("x:like=1", "publish, publish_link, read"),
            ("x:read=-1", "no amount"),
            ("x:read=1e3", "no amount"),
            ("x:read=0.0000001", "no amount"),
            ("x:read=1000000.5", "no amount"),
            ("x:read=", "no amount"),
            ("x:read=1.", "no amount"),
            ("x:read=99999999999999999999", "no amount"),
            ("currency=dollars", "cannot be"),
            ("x:read=1,x:read=2", "two prices for x:read"),
        ] {
            let error = Prices::parse(list).expect_err(list).to_string();
            assert!(error.contains(why), "{list}: {error}");
        }
    }

    #[test]
    fn amounts_are_exact() {
        for (text, micros, shown) in [
            ("20", 20_000_000, "20.00"),
            ("0.015", 15_000, "0.015"),
            ("0.1", 100_000, "0.10"),
            ("0.000001", 1, "0.000001"),
            ("1000000", MOST, "1000000.00"),
        ] {
            assert_eq!(read_amount(text), Ok(micros));
            assert_eq!(Amount(micros).to_string(), shown);
        }
    }

    #[test]
    fn a_budget_is_left_until_it_is_not() {
        let prices = Prices::parse("x:read=0.4").expect("a list");
        let now = "2026-12-31T12:00:00Z".parse().expect("a time");
        let read = |calls| prices.calls(&x(), CallKind::Read, calls, now).into_iter();
        assert_eq!(prices.left(&[]), None);

        let limited = prices.clone().with_budget(1_000_000, Stops::Reading);
        assert_eq!(limited.left(&read(2).collect::<Vec<_>>()), Some(200_000));
        assert_eq!(limited.left(&read(3).chain(read(1)).collect::<Vec<_>>()), Some(0));
        assert_eq!(
            renews_at(now),
            "2027-01-01T00:00:00Z".parse::<DateTime<Utc>>().expect("a time")
        );
    }

    #[test]
    fn the_usual_cadence_has_fourteen_polls() {
        assert_eq!(Prices::default().polls, 14);
    }
}
