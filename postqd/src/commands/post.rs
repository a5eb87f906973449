//! `postqd post`: a post of its own, and what becomes of posts.

use std::collections::BTreeSet;
use std::io::Read;

use anyhow::bail;
use postq_calendar::{At, Rule, duration, zone};
use postq_core::error::chain;
use postq_core::id::PostId;
use postq_core::schedule::Timing;
use serde_json::{Map, Value, json};

use super::options::{self, Options};
use super::variants::Variants;
use super::{analytics, job, media, more, schedule};
use crate::api::shown::{CalledOff, Job, Part, Post as Taken, Preview, Schedule, Shown};
use crate::api::{Api, Refused, until_out};
use crate::cli::{Fit, NewPost, Paging, Post, PostCommand, Time};
use crate::output::{Output, Usage, count, cut};
use crate::{signals, watch};

/// The longest text that is read from standard input: a little more than a post may have, so that
/// the desk says what is wrong.
const MOST_INPUT: u64 = 1_024 * 1_024;

/// Jobs that `show` shows.
const JOBS: usize = 100;

/// A change that meets another one is tried again so often.
const TRIES: u32 = 3;

pub(super) async fn run(api: &Api, output: Output, command: Post) -> anyhow::Result<()> {
    match command.command {
        None if command.new.preview => preview(api, output, &command.new).await,
        None => new(api, output, command.new).await,
        Some(PostCommand::List(paging)) => list(api, output, &paging).await,
        Some(PostCommand::Show { post }) => show(api, output, &post).await,
        Some(PostCommand::Edit(asked)) => {
            let amendment = amendment(&asked.time, asked.priority)?;
            let rewrite = Rewrite {
                parts: asked.text.as_deref().map(parts).transpose()?,
                variants: Variants::read(&asked.variants)?,
                options: Options::read(api, &asked.options).await?,
                fit: asked.fit,
            };
            edit(api, output, &asked.post, rewrite, amendment).await
        }
        Some(PostCommand::Cancel { post }) => cancel(api, output, &post).await,
    }
}

/// What is handed in.
async fn submission(api: &Api, new: &NewPost) -> anyhow::Result<Value> {
    ensure_rule(&new.time, None)?;
    let mut parts = parts(new.text.as_deref().unwrap_or_default())?;
    let media = media::of_post(api, &new.media, &new.alt).await?;
    if let Some(first) = parts.first_mut() {
        first.media = media;
    }
    Ok(json!({
        "variants": Variants::read(&new.variants)?.over(Map::new(), &parts),
        "parts": parts,
        "options": Options::read(api, &new.options).await?.over(&Value::Null),
        "fit": new.fit.map(Fit::as_str),
        "accounts": new.accounts,
        "key": new.key,
        "priority": new.priority,
        "schedule": rule_of(&new.time)?.unwrap_or_else(|| json!({ "kind": "now" })),
    }))
}

async fn new(api: &Api, output: Output, new: NewPost) -> anyhow::Result<()> {
    let stop = signals::shutdown()?;
    let submission = submission(api, &new).await?;
    let waits = submission["schedule"]["kind"] == "now" && !new.no_wait;
    if let Some(node) = api.node().filter(|_| waits) {
        node.ensure_key().await?;
    }
    let taken: Shown<Taken> = api.post("/api/posts", submission).await?;
    for fitted in made_to_fit(&taken) {
        output.note(format!("note: {fitted}"));
    }
    let [schedule] = taken.schedules.as_slice() else {
        bail!("post {} was taken in without its schedule; postqd post list", taken.id)
    };
    if waits {
        let Some(node) = api.node() else { return until_out(api, output, &taken, stop).await };
        let watched = watch::Watch {
            schedules: BTreeSet::from([schedule.id]),
            until: None,
            follow: false,
            go_on: watch::GO_ON,
        };
        return watch::run(node, output, watched, stop).await;
    }
    let accounts = api.accounts().await?;
    let own = accounts.iter().filter(|account| schedule.accounts.contains(&account.id));
    let held: Vec<String> = own.flat_map(|account| account.held()).collect();
    let (words, notes) = explained(schedule)?;
    let cost = taken.cost.as_ref();
    for note in held.iter().chain(&notes).chain(cost.map(analytics::cost).as_ref()) {
        output.note(format!("note: {note}"));
    }
    let tz = schedule.tz.as_deref();
    let first = schedule.next_run_at;
    let told = first.map(|first| format!("first at {}", zone::show(first, tz)));
    let repeats = !matches!(schedule.rule.timing(), Some(Timing::OneShot { .. }));
    let rule = if repeats { format!("{words}; ") } else { String::new() };
    output.tell(
        format!(
            "post {}, schedule {}: {rule}{}; postqd serve publishes it",
            taken.id,
            schedule.id,
            told.unwrap_or_else(|| "due now".to_owned())
        ),
        &json!({
            "post": taken.id,
            "schedule": schedule.id,
            "rule": words,
            "first": first,
            "held": held,
            "cost": cost,
        }),
    );
    Ok(())
}

/// A rule in words, and what is allowed in it but hardly meant.
fn explained(schedule: &Schedule) -> anyhow::Result<(String, Vec<String>)> {
    let Some(timing) = schedule.rule.timing() else {
        return Ok(("a rule that this version does not know".to_owned(), Vec::new()));
    };
    let rule = Rule::new(&timing, schedule.tz.as_deref())?;
    Ok((rule.explain(), rule.notes().to_vec()))
}

/// What would become of a post.
async fn preview(api: &Api, output: Output, new: &NewPost) -> anyhow::Result<()> {
    let submission = submission(api, new).await?;
    let options = submission["options"].clone();
    let preview: Shown<Preview> = api.post("/api/posts/preview", submission).await?;
    for platform in &preview.platforms {
        output.say(format!("{} to {}", platform.platform, platform.accounts.join(", ")));
        for (number, part) in platform.parts.iter().enumerate() {
            // All of it: what was made to fit is judged by its end.
            let text = part.text.replace('\n', "\n          ");
            output.say(format!("  part {}: {text}", number + 1));
            for file in &part.media {
                output.say(format!("    with {}", pictured(file)));
            }
        }
        let own = json!({ platform.platform.as_str(): options[platform.platform.as_str()] });
        for option in options::lines(&own) {
            output.say(format!("  with {option}"));
        }
        if let Some(notice) = &platform.notice {
            output.say(format!("  {notice}"));
        }
        for violation in &platform.violations {
            output.say(format!("  refuses part {}: {}", violation.part + 1, violation.message));
        }
        if !platform.advice.is_empty() {
            output.say("  to read before posting:");
        }
        for line in &platform.advice {
            output.say(format!("    {line}"));
        }
    }
    for at in &preview.occurrences {
        output.say(format!("goes out at {}", zone::show(*at, new.time.tz.as_deref())));
    }
    if let Some(cost) = &preview.cost {
        output.say(analytics::cost(cost));
    }
    output.emit(&preview);
    if preview.errors.is_empty() {
        return Ok(());
    }
    let errors: Vec<String> = preview.errors.iter().map(ToString::to_string).collect();
    bail!("it would not be taken in: {}", errors.join("; "))
}

/// A picture or video of a post, and what it is said to show.
fn pictured(file: &Value) -> String {
    let source = file["source"].as_str().unwrap_or("a file");
    match file["alt"].as_str() {
        Some(alt) => format!("{source}: {}", cut(alt, 60)),
        None => format!("{source}: nothing says what it shows (--alt)"),
    }
}

async fn list(api: &Api, output: Output, paging: &Paging) -> anyhow::Result<()> {
    let posts = api.list::<Taken>("/api/posts", &[], paging).await?;
    output.list(["id", "key", "state", "next", "text"], &posts, |post| row(post));
    more(output, paging, posts.len(), posts.last().map(|post| post.id));
    Ok(())
}

fn row(post: &Taken) -> [String; 5] {
    let live = post.schedules.iter().filter(|schedule| schedule.enabled);
    let next = live.filter_map(|s| Some(zone::show(s.next_run_at?, s.tz.as_deref()))).min();
    let text = post.parts.first().map(|part| cut(&part.text, 40));
    [
        post.id.to_string(),
        post.key.clone().unwrap_or_default(),
        post.state.clone(),
        next.unwrap_or_default(),
        text.unwrap_or_default(),
    ]
}

/// A post, when it goes out, and its jobs.
async fn show(api: &Api, output: Output, name: &str) -> anyhow::Result<()> {
    let post = find(api, name).await?;
    let paging = Paging { limit: JOBS, after: None, newest: false };
    let jobs = api.list::<Job>("/api/jobs", &[("post", post.id.to_string())], &paging).await?;
    if output.is_json() {
        output.emit(&json!({ "post": post, "jobs": jobs }));
        return Ok(());
    }
    let names = api.names().await?;
    output.say(format!("post      {}", post.id));
    if let Some(key) = &post.key {
        output.say(format!("key       {key}"));
    }
    output.say(format!("state     {}\nrevision  {}", post.state, post.revision));
    for planned in &post.schedules {
        let [id, rule, next, accounts] = schedule::row(planned, &names);
        output.say(format!("schedule  {id}: {rule}; next {next}; to {accounts}"));
    }
    for option in options::lines(&post.options) {
        output.say(format!("option    {option}"));
    }
    let texts: Vec<&str> = post.parts.iter().map(|part| part.text.as_str()).collect();
    output.say(format!("\n{}\n", texts.join("\n---\n")));
    for (platform, parts) in post.variants.as_object().into_iter().flatten() {
        let texts = parts.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
        let texts: Vec<&str> = texts.collect();
        let made = match post.fitted.get(platform).map(String::as_str) {
            Some("shorten") => " (shortened)",
            Some(_) => " (split to a thread)",
            None => "",
        };
        output.say(format!("on {platform}{made}:\n\n{}\n", texts.join("\n---\n")));
    }
    output.list(job::COLUMNS, &jobs, |unit| job::row(unit, &names));
    Ok(())
}

async fn cancel(api: &Api, output: Output, name: &str) -> anyhow::Result<()> {
    let post = find(api, name).await?;
    let path = format!("/api/posts/{}/cancel", post.id);
    let off: Shown<CalledOff> = api.post(&path, json!({})).await?;
    let schedules = off.schedules;
    let told = match schedules {
        0 => "nothing was to come; what is out stays".to_owned(),
        n => format!("called off; {} switched off, what is out stays", count(n, "schedule")),
    };
    output.tell(told, &json!({ "post": post.id, "schedules": schedules }));
    Ok(())
}

/// The post of this id or key.
pub(super) async fn find(api: &Api, name: &str) -> anyhow::Result<Shown<Taken>> {
    let missing =
        || anyhow::anyhow!("there is no post \"{name}\"; postqd post list shows what there is");
    if let Ok(id) = name.parse::<PostId>() {
        let found = api.get::<Taken>(&format!("/api/posts/{id}")).await;
        return found.map_err(|error| match Refused::is(&error, "not_found") {
            true => missing(),
            false => error,
        });
    }
    let found = api.all::<Taken>("/api/posts", &[("key", name.to_owned())]).await?;
    found.into_iter().next().ok_or_else(missing)
}

/// What is to change of a schedule; none if nothing is.
fn amendment(time: &Time, priority: Option<i16>) -> anyhow::Result<Option<Value>> {
    // Its zone may be the one that the schedule has: whether it fits, the desk says.
    ensure_rule(time, Some("UTC"))?;
    let rule = rule_of(time)?;
    if rule.is_none() && time.tz.is_none() && priority.is_none() {
        return Ok(None);
    }
    Ok(Some(json!({ "schedule": rule, "tz": time.tz, "priority": priority })))
}

async fn edit(
    api: &Api,
    output: Output,
    name: &str,
    rewrite: Rewrite,
    amendment: Option<Value>,
) -> anyhow::Result<()> {
    let post = find(api, name).await?;
    if rewrite.is_empty() && amendment.is_none() {
        return Err(Usage(
            "nothing to change; expected --text, --variant, --option, --fit, --at, --every, --cron, --rrule, --tz or --priority"
                .to_owned(),
        )
        .into());
    }
    ensure_meant(api, &post, &rewrite).await?;
    ensure_own_fit(api, &post, &rewrite).await?;
    let mut changed = Vec::new();
    if let Some(amendment) = amendment {
        let [schedule] = post.schedules.as_slice() else {
            return Err(Usage(format!(
                "post \"{name}\" has {} schedules; its time can be changed if it has one",
                post.schedules.len()
            ))
            .into());
        };
        if !rewrite.is_empty() {
            // Before the time is changed: a refused command changes nothing.
            ensure_good(api, &post, &rewrite).await?;
        }
        changed = amend(api, schedule, amendment).await?;
    }
    if !rewrite.is_empty() {
        let post = change(api, post.id, &rewrite).await?;
        changed.push(format!("{} changed, revision {}", rewrite.what(), post.revision));
        if rewrite.has_text() {
            changed.extend(made_to_fit(&post));
        }
        if post.state != "scheduled" {
            changed.push("nothing is to come, and what is out stays as it is".to_owned());
        }
    }
    output.tell(changed.join("; "), &json!({ "post": post.id, "changed": changed }));
    Ok(())
}

/// Fails if something is for a platform that the post does not go to. One without accounts may get all.
async fn ensure_meant(api: &Api, post: &Taken, rewrite: &Rewrite) -> anyhow::Result<()> {
    let ids: BTreeSet<_> = post.schedules.iter().flat_map(|one| &one.accounts).collect();
    let options = rewrite.options.set().map(|platform| ("--option", "the options", platform));
    let variants = rewrite.variants.set().map(|platform| ("--variant", "its text", platform));
    let mut all = options.chain(variants).peekable();
    if all.peek().is_none() || ids.is_empty() {
        return Ok(());
    }
    let accounts = api.accounts().await?;
    let is_on = |platform: &str| {
        accounts.iter().any(|account| ids.contains(&account.id) && account.platform == platform)
    };
    match all.find(|(_, _, platform)| !is_on(platform)) {
        Some((option, what, name)) => Err(Usage(format!(
            "{option} {name}: none of the post's accounts is on {name}; leave {what} out"
        ))
        .into()),
        None => Ok(()),
    }
}

/// Another content: what is none or empty stays.
struct Rewrite {
    parts: Option<Vec<Part>>,
    variants: Variants,
    options: Options,
    fit: Option<Fit>,
}

impl Rewrite {
    fn is_empty(&self) -> bool {
        !self.has_text() && self.options.is_empty()
    }

    fn has_text(&self) -> bool {
        self.parts.is_some() || self.fit.is_some() || !self.variants.is_empty()
    }

    fn what(&self) -> &'static str {
        match (self.has_text(), self.options.is_empty()) {
            (true, true) => "text",
            (true, false) => "text and options",
            (false, _) => "options",
        }
    }

    /// What is asked for a post that is so now.
    fn of(&self, old: &Taken) -> Value {
        let mut change = json!({});
        if let Some(parts) = &self.parts {
            change["parts"] = json!(with_media(&old.parts, parts));
        }
        if !self.variants.is_empty() {
            change["variants"] = self.variants.over(own_variants(old), &old.parts).into();
            change["fit"] = json!(old.fitted.values().max());
        }
        if !self.options.is_empty() {
            change["options"] = self.options.over(&old.options);
        }
        if let Some(fit) = self.fit {
            change["fit"] = fit.as_str().into();
        }
        change
    }
}

/// What was done where the text is too long.
fn made_to_fit(post: &Taken) -> Vec<String> {
    let told = post.fitted.iter().map(|(platform, how)| match how.as_str() {
        "shorten" => format!("{platform}: shortened"),
        _ => {
            let parts = post.variants[platform].as_array().map_or(0, Vec::len);
            format!("{platform}: split to a thread of {}", count(parts, "part"))
        }
    });
    told.collect()
}

/// The variants that somebody wrote: what was made to fit is made again of the text.
fn own_variants(post: &Taken) -> Map<String, Value> {
    let mut variants = post.variants.as_object().cloned().unwrap_or_default();
    variants.retain(|platform, _| !post.fitted.contains_key(platform));
    variants
}

/// Fails if the post's platforms would refuse it so.
async fn ensure_good(api: &Api, post: &Taken, rewrite: &Rewrite) -> anyhow::Result<()> {
    previewed(api, post, wanted(post, rewrite)).await
}

/// Fails if a text for one platform is too long, and nothing was said of that: what else was made to fit does not
/// mean this one.
async fn ensure_own_fit(api: &Api, post: &Taken, rewrite: &Rewrite) -> anyhow::Result<()> {
    let own: BTreeSet<&str> = rewrite.variants.set().collect();
    if rewrite.fit.is_some() || own.is_empty() {
        return Ok(());
    }
    let accounts = api.accounts().await?;
    let ids: BTreeSet<_> = post.schedules.iter().flat_map(|one| &one.accounts).collect();
    let on_own = accounts.iter().filter(|one| own.contains(one.platform.as_str()));
    let on_own = on_own.filter(|account| ids.contains(&account.id));
    let mut wanted = wanted(post, rewrite);
    wanted["accounts"] = on_own.map(|account| account.id.to_string()).collect();
    wanted["fit"] = Value::Null;
    previewed(api, post, wanted).await
}

/// The whole post as it would be.
fn wanted(post: &Taken, rewrite: &Rewrite) -> Value {
    let accounts: BTreeSet<String> =
        post.schedules.iter().flat_map(|s| &s.accounts).map(ToString::to_string).collect();
    let mut wanted = json!({
        "parts": post.parts,
        "variants": own_variants(post),
        "options": post.options,
        "accounts": accounts,
        "fit": post.fitted.values().max(),
    });
    for (field, value) in rewrite.of(post).as_object().into_iter().flatten() {
        wanted[field] = value.clone();
    }
    wanted
}

async fn previewed(api: &Api, post: &Taken, wanted: Value) -> anyhow::Result<()> {
    let path = format!("/api/posts/{}/preview", post.id);
    let preview: Shown<Preview> = api.post(&path, wanted).await?;
    if preview.errors.is_empty() {
        return Ok(());
    }
    let errors: Vec<String> = preview.errors.iter().map(ToString::to_string).collect();
    bail!("{}", errors.join("; "))
}

/// Gives a schedule another time, zone or priority; tells what has changed.
async fn amend(api: &Api, old: &Schedule, amendment: Value) -> anyhow::Result<Vec<String>> {
    let moves = !amendment["schedule"].is_null() || !amendment["tz"].is_null();
    let priority = amendment["priority"].as_i64();
    let zoned = !amendment["tz"].is_null();
    let path = format!("/api/schedules/{}", old.id);
    let schedule: Shown<Schedule> = api.patch(&path, None, amendment).await?;
    let tz = schedule.tz.as_deref();
    let mut changed = Vec::new();
    let first = schedule.next_run_at.filter(|_| moves);
    changed.extend(first.map(|first| format!("next at {}", zone::show(first, tz))));
    changed.extend(tz.filter(|_| zoned).map(|tz| format!("zone {tz}")));
    changed.extend(priority.map(|priority| format!("priority {priority}")));
    Ok(changed)
}

/// Gives a post another content. What somebody else changes at the same moment is looked at first.
async fn change(api: &Api, id: PostId, rewrite: &Rewrite) -> anyhow::Result<Shown<Taken>> {
    let path = format!("/api/posts/{id}");
    for tried in 1.. {
        let old: Shown<Taken> = api.get(&path).await?;
        match api.patch(&path, Some(old.revision), rewrite.of(&old)).await {
            Err(error) if Refused::is(&error, "changed") && tried < TRIES => {}
            changed => return changed,
        }
    }
    bail!("post {id} was not changed")
}

/// Parts with another text. Media are not what `--text` is about: they stay.
pub(super) fn with_media(old: &[Part], new: &[Part]) -> Vec<Part> {
    let mut new = new.to_vec();
    for (old, new) in old.iter().zip(&mut new) {
        new.media.clone_from(&old.media);
    }
    new
}

/// The parts of a text; of standard input for `-`.
pub(super) fn parts(text: &str) -> anyhow::Result<Vec<Part>> {
    let mut text = text.to_owned();
    if text == "-" {
        text.clear();
        std::io::stdin().take(MOST_INPUT).read_to_string(&mut text)?;
    }
    Ok(divided(&text))
}

/// The parts of a text, between its lines `---`.
pub(super) fn divided(text: &str) -> Vec<Part> {
    let lines: Vec<&str> = text.lines().collect();
    let parts = lines.split(|line| line.trim() == "---");
    parts.map(|lines| Part::of(lines.join("\n").trim())).collect()
}

/// Fails if a cron expression or a recurrence cannot be read, in the zone that is given or in this one.
fn ensure_rule(time: &Time, or: Option<&str>) -> Result<(), Usage> {
    let (option, timing) = match time.clone() {
        Time { cron: Some(expr), .. } => {
            ("--cron", Timing::Cron { expr, from: None, count: None, until: None })
        }
        Time { rrule: Some(expr), .. } => ("--rrule", Timing::Rrule { expr }),
        _ => return Ok(()),
    };
    match Rule::new(&timing, time.tz.as_deref().or(or)) {
        Ok(_) => Ok(()),
        Err(error) => Err(Usage(format!("{option}: {}", chain(&error)))),
    }
}

/// The rule that the options say; none if they say nothing.
fn rule_of(time: &Time) -> anyhow::Result<Option<Value>> {
    let tz = time.tz.as_deref();
    let check = |option: &str, text: &Option<String>| {
        let at = text.as_deref().map(|text| At::parse(text, tz)).transpose();
        at.map_err(|error| Usage(format!("{option}: {error}")))
    };
    let repeats = time.every.is_some() || time.cron.is_some() || time.rrule.is_some();
    match time.at.as_deref().filter(|_| !repeats) {
        Some("next-slot") => return Ok(Some(json!({ "kind": "next_slot" }))),
        Some("best") => {
            let Some(tz) = tz else {
                return Err(Usage("--at best needs --tz: whose clocks it means".to_owned()).into());
            };
            return Ok(Some(json!({ "kind": "best", "tz": tz })));
        }
        _ => {
            check("--at", &time.at)?;
        }
    }
    check("--until", &time.until)?;
    let Time { at, count, until, .. } = time;
    Ok(match time {
        Time { rrule: Some(expr), .. } => Some(json!({ "kind": "rrule", "expr": expr, "tz": tz })),
        Time { cron: Some(expr), .. } => Some(json!({
            "kind": "cron", "expr": expr, "tz": tz, "from": at, "count": count, "until": until,
        })),
        Time { every: Some(every), .. } => {
            duration::parse(every).map_err(|error| Usage(format!("--every: {error}")))?;
            Some(json!({
                "kind": "interval", "every": every, "tz": tz, "anchor": at, "count": count,
                "until": until,
            }))
        }
        _ => at.as_ref().map(|at| json!({ "kind": "one_shot", "at": at, "tz": tz })),
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
        Timing::Unset => "no time yet".to_owned(),
        _ => Rule::new(timing, tz).map_or_else(|error| error.to_string(), |rule| rule.explain()),
    }
}
