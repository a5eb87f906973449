//! `postqd post`: a post of its own, and what becomes of posts.

use std::collections::BTreeSet;
use std::io::Read;

use postq_calendar::{At, Rule, duration, zone};
use postq_core::content::{Content, Part};
use postq_core::schedule::Timing;
use postq_engine::desk::{Amendment, PostLine, Submission, When};
use serde_json::json;

use super::{more, page};
use crate::cli::{NewPost, Paging, Post, PostCommand, Time};
use crate::compose::Node;
use crate::output::{Output, Usage, count, cut};
use crate::{signals, watch};

/// The longest text that is read from standard input: a little more than a post may have, so that
/// the desk says what is wrong.
const MOST_INPUT: u64 = 1_024 * 1_024;

pub(super) async fn run(node: &Node, output: Output, command: Post) -> anyhow::Result<()> {
    match command.command {
        None => new(node, output, command.new).await,
        Some(PostCommand::List(paging)) => list(node, output, &paging).await,
        Some(PostCommand::Edit { post, text, time, priority }) => {
            let amendment = Amendment { when: when(&time)?, tz: time.tz, priority };
            edit(node, output, &post, text, &amendment).await
        }
        Some(PostCommand::Cancel { post }) => {
            let desk = node.desk();
            let post = desk.find_post(&post).await?;
            let schedules = desk.cancel(post.id).await?;
            let told = match schedules {
                0 => "nothing was to come; what is out stays".to_owned(),
                n => {
                    format!("called off; {} switched off, what is out stays", count(n, "schedule"))
                }
            };
            output.tell(told, &json!({ "post": post.id, "schedules": schedules }));
            Ok(())
        }
    }
}

async fn new(node: &Node, output: Output, new: NewPost) -> anyhow::Result<()> {
    let stop = signals::shutdown()?;
    let content = content(new.text.as_deref().unwrap_or_default())?;
    let when = when(&new.time)?.unwrap_or(When::Now);
    let waits = when == When::Now && !new.no_wait;
    if waits {
        node.ensure_key().await?;
    }
    let submission = Submission {
        key: new.key,
        tz: new.time.tz.clone(),
        priority: new.priority,
        ..Submission::new(content, new.accounts, when)
    };
    let taken = node.desk().submit(submission).await?;
    if waits {
        let schedules = BTreeSet::from([taken.schedule]);
        let watched = watch::Watch {
            schedules,
            until: None,
            follow: false,
            go_on: "postqd serve publishes it; the same command would make another post",
        };
        return watch::run(node, output, watched, stop).await;
    }
    let mut notes = watch::standing_still(node, taken.schedule).await?;
    let held = notes.clone();
    let schedule = node.desk().find_schedule(taken.schedule).await?;
    let rule = Rule::new(&schedule.timing, schedule.tz.as_deref())?;
    notes.extend_from_slice(rule.notes());
    for note in &notes {
        output.note(format!("note: {note}"));
    }
    let repeats = !matches!(schedule.timing, Timing::OneShot { .. });
    let words = if repeats { format!("{}; ", rule.explain()) } else { String::new() };
    output.tell(
        format!(
            "post {}, schedule {}: {words}first at {}; postqd serve publishes it",
            taken.post,
            taken.schedule,
            zone::show(taken.first, schedule.tz.as_deref())
        ),
        &json!({
            "post": taken.post,
            "schedule": taken.schedule,
            "rule": rule.explain(),
            "first": taken.first,
            "held": held,
        }),
    );
    Ok(())
}

async fn list(node: &Node, output: Output, paging: &Paging) -> anyhow::Result<()> {
    let posts = node.desk().list_posts(page(paging)?).await?;
    if output.is_json() {
        let value = |line: &PostLine| json!({ "post": line.post, "state": line.state, "schedules": line.schedules });
        output.emit(&posts.iter().map(value).collect::<Vec<_>>());
        return Ok(());
    }
    let rows: Vec<[String; 5]> = posts.iter().map(row).collect();
    output.list(["id", "key", "state", "next", "text"], &rows, Clone::clone);
    more(output, paging, posts.len(), posts.last().map(|line| line.post.id));
    Ok(())
}

fn row(line: &PostLine) -> [String; 5] {
    let state = serde_json::to_value(line.state).ok();
    let live = line.schedules.iter().filter(|schedule| schedule.enabled);
    let next = live.filter_map(|s| Some(zone::show(s.next_run_at?, s.tz.as_deref()))).min();
    let text = line.post.content.parts.first().map(|part| cut(&part.text, 40));
    [
        line.post.id.to_string(),
        line.post.key.clone().unwrap_or_default(),
        state.as_ref().and_then(|state| state.as_str()).unwrap_or_default().to_owned(),
        next.unwrap_or_default(),
        text.unwrap_or_default(),
    ]
}

async fn edit(
    node: &Node,
    output: Output,
    name: &str,
    text: Option<String>,
    amendment: &Amendment,
) -> anyhow::Result<()> {
    let desk = node.desk();
    let post = desk.find_post(name).await?;
    let amends = *amendment != Amendment::default();
    if text.is_none() && !amends {
        return Err(Usage(
            "nothing to change; expected --text, --at, --every, --cron, --rrule, --tz or --priority"
                .to_owned(),
        )
        .into());
    }
    let content = text.map(|text| edited(&post.content, &text)).transpose()?;
    if let Some(content) = &content {
        // Before the time is changed: a refused command changes nothing.
        desk.check_content(post.id, content).await?;
    }
    let mut changed = Vec::new();
    if amends {
        let schedules = node.backend.schedules.of_posts(&[post.id]).await?;
        let [schedule] = schedules.as_slice() else {
            return Err(Usage(format!(
                "post \"{name}\" has {} schedules; its time can be changed if it has one",
                schedules.len()
            ))
            .into());
        };
        let first = desk.amend(schedule.id, amendment).await?;
        let schedule = desk.find_schedule(schedule.id).await?;
        let tz = schedule.tz.as_deref();
        changed.extend(first.map(|first| format!("next at {}", zone::show(first, tz))));
        changed.extend(amendment.tz.as_ref().and(tz).map(|tz| format!("zone {tz}")));
        changed.extend(amendment.priority.map(|priority| format!("priority {priority}")));
    }
    if let Some(content) = &content {
        let post = desk.edit_content(post.id, content).await?;
        changed.push(format!("text changed, revision {}", post.revision));
        if desk.is_over(post.id).await? {
            changed.push("nothing is to come, and what is out stays as it is".to_owned());
        }
    }
    output.tell(changed.join("; "), &json!({ "post": post.id, "changed": changed }));
    Ok(())
}

/// Content with another text. Media and variants are not what `--text` is about: they stay.
pub(super) fn edited(old: &Content, text: &str) -> anyhow::Result<Content> {
    let mut new = content(text)?;
    for (old, new) in old.parts.iter().zip(&mut new.parts) {
        new.media.clone_from(&old.media);
    }
    new.variants.clone_from(&old.variants);
    Ok(new)
}

/// The parts of a text; of standard input for `-`.
fn content(text: &str) -> anyhow::Result<Content> {
    let mut text = text.to_owned();
    if text == "-" {
        text.clear();
        std::io::stdin().take(MOST_INPUT).read_to_string(&mut text)?;
    }
    let lines: Vec<&str> = text.lines().collect();
    let parts = lines.split(|line| line.trim() == "---");
    let parts = parts.map(|lines| Part::text(lines.join("\n").trim())).collect();
    Ok(Content { parts, ..Content::default() })
}

/// The time that the options say; none if they say nothing.
fn when(time: &Time) -> anyhow::Result<Option<When>> {
    let tz = time.tz.as_deref();
    let at = |option: &str, text: &Option<String>| {
        let at = text.as_deref().map(|text| At::parse(text, tz)).transpose();
        at.map_err(|error| Usage(format!("{option}: {error}")))
    };
    let (from, until) = (at("--at", &time.at)?, at("--until", &time.until)?);
    Ok(match time {
        Time { rrule: Some(lines), .. } => Some(When::Rrule { expr: lines.clone() }),
        Time { cron: Some(expr), count, .. } => {
            Some(When::Cron { expr: expr.clone(), from, count: *count, until })
        }
        Time { every: Some(every), count, .. } => {
            let every = duration::parse(every);
            let every = every.map_err(|error| Usage(format!("--every: {error}")))?;
            Some(When::Every { every, from, count: *count, until })
        }
        _ => from.map(When::At),
    })
}

/// A rule for people: `every 1h from 2026-03-08 09:00:00 UTC, 3 times`.
pub(super) fn rule(timing: &Timing, tz: Option<&str>) -> String {
    match timing {
        Timing::OneShot { at, .. } => format!("once at {}", zone::show(*at, tz)),
        Timing::Interval { every, anchor, count, until } => {
            let count = count.map(|count| format!(", {count} times")).unwrap_or_default();
            let until = until.map(|at| format!(", until {}", zone::show(at, tz)));
            format!(
                "every {} from {}{count}{}",
                duration::show(*every),
                zone::show(*anchor, tz),
                until.unwrap_or_default()
            )
        }
        _ => Rule::new(timing, tz).map_or_else(|error| error.to_string(), |rule| rule.explain()),
    }
}
