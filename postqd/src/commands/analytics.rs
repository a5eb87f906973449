//! `postqd analytics`: what metrics say, and what calls have cost.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use postq_calendar::{duration, zone};
use postq_core::clock::{Clock, SystemClock};
use postq_core::id::PublicationId;
use postq_engine::prices::Amount;
use serde::Deserialize;

use crate::api::Api;
use crate::api::shown::{Cost, Shown};
use crate::cli::Analytics;
use crate::output::{Output, count, cut};

/// Days that a summary shows where nobody says which.
const USUAL: TimeDelta = TimeDelta::days(30);

/// Hours of the week that are shown.
const HOURS: usize = 20;

pub(super) async fn run(api: &Api, output: Output, command: Analytics) -> anyhow::Result<()> {
    match command {
        Analytics::Summary { account, from, until } => {
            summary(api, output, account, from, until).await
        }
        Analytics::Publication { id } => publication(api, output, id).await,
        Analytics::Compare { ids, age } => compare(api, output, &ids, age).await,
        Analytics::BestTimes { account, tz } => best_times(api, output, account, tz).await,
        Analytics::Spending { month } => spending(api, output, month).await,
    }
}

#[derive(Debug, Deserialize)]
struct Summary {
    account_name: String,
    from: NaiveDate,
    until: NaiveDate,
    publications: u64,
    made: BTreeMap<String, i64>,
    gained: BTreeMap<String, i64>,
    days: Vec<Day>,
    best: Vec<Compared>,
}

#[derive(Debug, Deserialize)]
struct Day {
    day: NaiveDate,
    publications: u64,
    gained: BTreeMap<String, i64>,
}

/// A publication beside others.
#[derive(Debug, Deserialize)]
struct Compared {
    publication_id: PublicationId,
    published_at: DateTime<Utc>,
    account_name: Option<String>,
    engagement: Option<u64>,
    reach: Option<u64>,
    rate: Option<f64>,
    of_usual: Option<f64>,
}

async fn summary(
    api: &Api,
    output: Output,
    account: String,
    from: Option<String>,
    until: Option<String>,
) -> anyhow::Result<()> {
    let tomorrow = SystemClock.now().date_naive() + TimeDelta::days(1);
    let until = until.unwrap_or_else(|| tomorrow.to_string());
    let before = || until.parse().unwrap_or(tomorrow) - USUAL;
    let from = from.unwrap_or_else(|| before().to_string());
    let query = [("account", account), ("from", from), ("until", until)];
    let told: Shown<Summary> = api.get_with("/api/analytics/summary", &query).await?;
    if output.is_json() {
        output.emit(&told);
        return Ok(());
    }
    let number = usize::try_from(told.publications).unwrap_or(usize::MAX);
    output.say(format!(
        "{} from {} up to {}: {} with metrics",
        told.account_name,
        told.from,
        told.until,
        count(number, "publication")
    ));
    output.say(format!("counted to by now    {}", counts(&told.made)));
    output.say(format!("gained in this time  {}", counts(&told.gained)));
    let day = |day: &Day| [day.day.to_string(), day.publications.to_string(), counts(&day.gained)];
    table(output, ["day", "publications", "gained"], told.days.iter().map(day));
    table(output, COMPARED, told.best.iter().map(compared));
    Ok(())
}

/// A table below other lines, for people; nothing without rows.
fn table<const N: usize>(
    output: Output,
    columns: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) where
    [String; N]: serde::Serialize,
{
    let rows: Vec<[String; N]> = rows.collect();
    if !rows.is_empty() {
        output.say("");
        output.list(columns, &rows, Clone::clone);
    }
}

const COMPARED: [&str; 7] =
    ["publication", "published at", "account", "engagement", "reach", "rate", "of usual"];

fn compared(one: &Compared) -> [String; 7] {
    let number = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
    [
        one.publication_id.to_string(),
        time(one.published_at),
        cut(one.account_name.as_deref().unwrap_or_default(), 30),
        number(one.engagement),
        number(one.reach),
        one.rate.map(|rate| format!("{:.2} %", rate * 100.0)).unwrap_or_default(),
        one.of_usual.map(|multiple| format!("{multiple:.2} x")).unwrap_or_default(),
    ]
}

#[derive(Debug, Deserialize)]
struct Grown {
    publication_id: PublicationId,
    url: Option<String>,
    published_at: DateTime<Utc>,
    state: Option<String>,
    next_poll_at: Option<DateTime<Utc>>,
    counts: BTreeMap<String, i64>,
    half_life_seconds: Option<u64>,
    points: Vec<Point>,
}

#[derive(Debug, Deserialize)]
struct Point {
    at: DateTime<Utc>,
    age_seconds: i64,
    state: String,
    engagement: u64,
    reach: Option<u64>,
    engagement_per_hour: f64,
}

async fn publication(api: &Api, output: Output, id: PublicationId) -> anyhow::Result<()> {
    let told: Shown<Grown> = api.get(&format!("/api/analytics/publications/{id}")).await?;
    if output.is_json() {
        output.emit(&told);
        return Ok(());
    }
    output.say(format!("publication  {}", told.publication_id));
    output.say(format!("where        {}", told.url.as_deref().unwrap_or("nobody says")));
    output.say(format!("out since    {}", time(told.published_at)));
    output.say(format!("state        {}", told.state.as_deref().unwrap_or("not counted yet")));
    if !told.counts.is_empty() {
        output.say(format!("counted to   {}", counts(&told.counts)));
    }
    if let Some(half) = told.half_life_seconds {
        output.say(format!("half of it   after {}", duration::show(Duration::from_secs(half))));
    }
    if let Some(next) = told.next_poll_at {
        output.say(format!("read again   {}", time(next)));
    }
    let point = |point: &Point| {
        let age = Duration::from_secs(point.age_seconds.unsigned_abs());
        [
            time(point.at),
            duration::show(age),
            point.state.clone(),
            point.engagement.to_string(),
            point.reach.map(|reach| reach.to_string()).unwrap_or_default(),
            format!("{:.1}", point.engagement_per_hour),
        ]
    };
    let columns = ["at", "age", "state", "engagement", "reach", "engagement an hour"];
    table(output, columns, told.points.iter().map(point));
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Comparison {
    age_seconds: Option<u64>,
    publications: Vec<Compared>,
}

async fn compare(
    api: &Api,
    output: Output,
    ids: &[PublicationId],
    age: Option<String>,
) -> anyhow::Result<()> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut query = vec![("publications", ids.join(","))];
    query.extend(age.map(|age| ("age", age)));
    let told: Shown<Comparison> = api.get_with("/api/analytics/compare", &query).await?;
    if output.is_json() {
        output.emit(&told);
        return Ok(());
    }
    output.say(match told.age_seconds {
        Some(age) => format!("as they were {} after", duration::show(Duration::from_secs(age))),
        None => "nothing was counted yet".to_owned(),
    });
    table(output, COMPARED, told.publications.iter().map(compared));
    Ok(())
}

#[derive(Debug, Deserialize)]
struct BestTimes {
    account_name: String,
    tz: String,
    enough_data: bool,
    posts: usize,
    needs_posts: usize,
    needs_hours: usize,
    certainty: Option<f64>,
    hours: Vec<Hour>,
    next_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
struct Hour {
    weekday: String,
    hour: u32,
    posts: usize,
    lift: f64,
    low: f64,
    high: f64,
    good: bool,
}

async fn best_times(api: &Api, output: Output, account: String, tz: String) -> anyhow::Result<()> {
    let query = [("account", account), ("tz", tz)];
    let told: Shown<BestTimes> = api.get_with("/api/analytics/best-times", &query).await?;
    if output.is_json() {
        output.emit(&told);
        return Ok(());
    }
    let posts = count(told.posts, "post");
    if !told.enough_data {
        output.say(format!(
            "not enough data: {posts} of {} are counted that have been out for two days; {} at {} \
             different hours of the week are needed",
            told.account_name, told.needs_posts, told.needs_hours
        ));
        return Ok(());
    }
    let certain = told.certainty.unwrap_or_default() * 100.0;
    output.say(format!(
        "{posts} of {}, by the clocks of {}; {certain:.0} % of the differences between hours are more \
         than chance",
        told.account_name, told.tz
    ));
    output.say(match told.next_at {
        Some(next) => format!("next good hour: {}", zone::show(next, Some(&told.tz))),
        None => "no hour is surely better than usual".to_owned(),
    });
    let hour = |hour: &Hour| {
        [
            format!("{} {:02}:00", hour.weekday, hour.hour),
            hour.posts.to_string(),
            format!("{:.2} x", hour.lift),
            format!("{:.2} to {:.2}", hour.low, hour.high),
            if hour.good { "good" } else { "" }.to_owned(),
        ]
    };
    let columns = ["hour", "posts", "of usual", "nineteen in twenty", ""];
    table(output, columns, told.hours.iter().take(HOURS).map(hour));
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Spending {
    month: String,
    currency: String,
    has_prices: bool,
    items: Vec<Calls>,
    micros: u64,
    budget_micros: Option<u64>,
    left_micros: Option<u64>,
    stops: String,
}

#[derive(Debug, Deserialize)]
struct Calls {
    platform: String,
    kind: String,
    calls: u64,
    micros: u64,
}

async fn spending(api: &Api, output: Output, month: Option<String>) -> anyhow::Result<()> {
    let query: Vec<_> = month.map(|month| ("month", month)).into_iter().collect();
    let told: Shown<Spending> = api.get_with("/api/analytics/spending", &query).await?;
    if output.is_json() {
        output.emit(&told);
        return Ok(());
    }
    if !told.has_prices && told.items.is_empty() {
        output.say("nothing is counted: no call has a price; POSTQ_PRICES sets some");
        return Ok(());
    }
    let amount = |micros: u64| format!("{} {}", Amount(micros), told.currency);
    output.say(format!("{}: {}", told.month, amount(told.micros)));
    if let (Some(budget), Some(left)) = (told.budget_micros, told.left_micros) {
        let stops =
            if told.stops == "everything" { "everything stops" } else { "reading metrics stops" };
        output.say(format!(
            "budget {}, {} left; when it is used up, {stops}",
            amount(budget),
            amount(left)
        ));
    }
    let calls = |calls: &Calls| {
        let kind = calls.kind.replace('_', " with ");
        [calls.platform.clone(), kind, calls.calls.to_string(), amount(calls.micros)]
    };
    table(output, ["platform", "calls for", "how many", "cost"], told.items.iter().map(calls));
    Ok(())
}

/// What a post comes to, in words.
pub(super) fn cost(cost: &Cost) -> String {
    let amount = |micros: u64| format!("{} {}", Amount(micros), cost.currency);
    let once = format!("costs {} each time, its metrics among it", amount(cost.micros));
    match &cost.month {
        Some(month) => {
            format!(
                "{once}; in the next 30 days {} for {} times",
                amount(month.micros),
                month.times
            )
        }
        None => once,
    }
}

/// Counts in one line: `like_count 4, impression_count 120`.
fn counts(counts: &BTreeMap<String, i64>) -> String {
    let mut largest: Vec<(&String, &i64)> = counts.iter().collect();
    largest.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
    let told: Vec<String> = largest.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
