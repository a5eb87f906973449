//! `postqd preview`: when a rule runs, before anything is planned by it.

use std::io::{self, BufRead, BufWriter, Read, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use postq_calendar::{Calendar, Kind, zone};
use postq_core::clock::{Clock, SystemClock};
use postq_core::error::{ScheduleError, chain};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::shown::RuleShown;
use crate::api::{Api, Refused};
use crate::cli::Preview;
use crate::config::Config;
use crate::output::{Output, Usage};

/// The most occurrences of one rule.
const MOST: usize = 10_000;

/// The longest line of a list of rules: several times the longest rule.
const LONGEST: u64 = 256 * 1_024;

pub(super) async fn run(config: &Config, output: Output, command: &Preview) -> anyhow::Result<()> {
    if command.jsonl {
        if config.server.is_some() {
            return Err(Usage(
                "--jsonl answers by itself, without a server: leave out --server (POSTQ_SERVER)"
                    .to_owned(),
            )
            .into());
        }
        return many();
    }
    let (kind, expr, tz) = command.rule()?;
    let asked = json!({
        "kind": name(kind), "expr": expr, "tz": tz, "after": command.after, "count": command.count,
    });
    let api = Api::without_store(config, output)?;
    let shown = api.post::<RuleShown>("/api/preview", asked).await;
    let shown = shown.map_err(|error| match Refused::is(&error, "invalid") {
        // As the option is called.
        true => {
            let told = error.to_string();
            let told = match told.strip_prefix("expr") {
                Some(rest) => format!("{}{rest}", option(kind)),
                None => told,
            };
            Usage(format!("--{told}")).into()
        }
        false => error,
    })?;
    let mut programs =
        json!({ "occurrences": shown.occurrences.iter().map(|at| utc(*at)).collect::<Vec<_>>() });
    if command.explain {
        output.say(&shown.explanation);
        programs["explanation"] = shown.explanation.clone().into();
        programs["notes"] = shown.notes.clone().into();
    }
    shown.notes.iter().for_each(|note| output.note(format!("note: {note}")));
    let tz = shown.tz.as_deref();
    for at in &shown.occurrences {
        output.say(match tz {
            Some(zone) if zone != "UTC" => format!("{}  {}", utc(*at), zone::show(*at, Some(zone))),
            _ => utc(*at),
        });
    }
    if shown.occurrences.is_empty() {
        output.note(format!("no occurrence after {}", zone::show(shown.after, tz)));
    }
    output.emit(&programs);
    Ok(())
}

impl Preview {
    /// Which rule is asked about.
    fn rule(&self) -> anyhow::Result<(Kind, String, Option<&str>)> {
        let tz = self.tz.as_deref();
        Ok(match self {
            Self { cron: Some(expr), .. } => (Kind::Cron, expr.clone(), tz),
            Self { rrule: Some(expr), .. } => (Kind::Rrule, expr.clone(), tz),
            Self { every: Some(every), at: Some(at), .. } => {
                (Kind::Interval, format!("{at}/{every}"), tz)
            }
            Self { every: Some(every), .. } => (Kind::Interval, every.clone(), tz),
            Self { at: Some(at), .. } => (Kind::OneShot, at.clone(), tz),
            _ => return Err(Usage("expected --cron, --rrule, --every or --at".to_owned()).into()),
        })
    }
}

/// A rule in a line of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    id: Value,
    kind: String,
    expr: String,
    tz: Option<String>,
    after: Option<DateTime<Utc>>,
    #[serde(default = "ten")]
    count: usize,
}

fn ten() -> usize {
    10
}

#[derive(Debug, Serialize)]
struct Answer {
    id: Value,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Occurrences(Vec<String>),
    Error(String),
}

/// Answers each line of standard input with one of standard output.
fn many() -> anyhow::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), BufWriter::new(io::stdout().lock()));
    let calendar = Calendar::new();
    let now = SystemClock.now();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() as u64 == LONGEST && line.last() != Some(&b'\n') {
            input.skip_until(b'\n')?;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let mut answer = serde_json::to_vec(&answer(&calendar, &line, now))?;
        answer.push(b'\n');
        match output.write_all(&answer) {
            // A reader that went away has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    match output.flush() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        flushed => Ok(flushed?),
    }
}

fn answer(calendar: &Calendar, line: &[u8], now: DateTime<Utc>) -> Answer {
    match serde_json::from_slice::<Asked>(line) {
        Ok(mut asked) => {
            let id = asked.id.take();
            let outcome = asked.occurrences(calendar, now);
            Answer { id, outcome: outcome.map_or_else(Outcome::Error, Outcome::Occurrences) }
        }
        Err(error) => {
            // Its id may still be there.
            let id = serde_json::from_slice::<Value>(line).map(|mut value| value["id"].take());
            Answer { id: id.unwrap_or_default(), outcome: Outcome::Error(error.to_string()) }
        }
    }
}

impl Asked {
    fn occurrences(&self, calendar: &Calendar, now: DateTime<Utc>) -> Result<Vec<String>, String> {
        within(self.count).map_err(|why| format!("count: {why}"))?;
        let told = |error: ScheduleError| chain(&error);
        let (tz, after) = (self.tz.as_deref(), self.after.unwrap_or(now));
        let kind: Kind = self.kind.parse().map_err(told)?;
        let timing = kind.read(&self.expr, tz, after).map_err(told)?;
        let rule = calendar.rule(&timing, tz).map_err(told)?;
        Ok(rule.after(Some(after)).take(self.count).map(utc).collect())
    }
}

fn within(count: usize) -> Result<(), String> {
    if count > MOST { Err(format!("is {count}, expected at most {MOST}")) } else { Ok(()) }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Cron => "cron",
        Kind::Rrule => "rrule",
        Kind::Interval => "interval",
        Kind::OneShot => "one_shot",
    }
}

fn option(kind: Kind) -> &'static str {
    match kind {
        Kind::Cron => "cron",
        Kind::Rrule => "rrule",
        Kind::Interval => "every",
        Kind::OneShot => "at",
    }
}

fn utc(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
