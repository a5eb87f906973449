//! `postqd import`: what loading content calendars would do, or did.

use std::fmt::Display;
use std::path::PathBuf;

use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postq_engine::import::{Action, CalendarFile, Extent, FileProblem, Loaded, LocalMedia, Plan};
use serde_json::{Value, json};

use super::media::Keeper;
use crate::api::Api;
use crate::api::shown::{Import as Report, ImportProblem, Shown};
use crate::cli::Import;
use crate::output::{Output, count};

/// Problems that are shown one by one.
const MOST_SHOWN: usize = 200;

pub(super) async fn run(api: &Api, output: Output, command: Import) -> anyhow::Result<()> {
    let (mut files, unreadable) = read(command.files.clone()).await?;
    let keeper = if command.apply { Keeper::Api(api) } else { Keeper::Nobody };
    for file in &mut files {
        keeper.bring(file).await;
    }
    let applies = command.apply && (unreadable.is_empty() || command.skip_bad);
    let report = ask(api, files, applies, command.skip_bad).await?;
    let report = with_unreadable(report, &unreadable)?;

    let problems: Vec<&ImportProblem> = report.problems.iter().map(|problem| &problem.it).collect();
    tell_problems(output, &problems, &report.notes);
    let are_rows = problems.iter().all(|problem| problem.extent == "row");
    let bad = problems.len();
    if bad > 0 && !command.skip_bad {
        output.emit(&report);
        bail!("{}", refused(bad, are_rows && !report.rows.is_empty()));
    }
    let rows = report.rows.len();
    if command.apply {
        let of = |action: &str| report.rows.iter().filter(|row| row.action == action).count();
        let what = summary_of(of("load"), of("change"), rows);
        tell_rows(output, &report);
        output.tell(format!("{what}; postqd serve publishes what is to come"), &report);
    } else if rows == 0 {
        output.tell("no rows; there is nothing to load", &report);
    } else {
        tell_rows(output, &report);
        let what = count(rows, "row");
        output.tell(format!("{what}; nothing was loaded, --apply loads them"), &report);
    }
    if bad > 0 {
        bail!("{}", left(bad, !are_rows));
    }
    Ok(())
}

/// The files that can be read, and why the others cannot.
pub(super) async fn read(
    paths: Vec<PathBuf>,
) -> anyhow::Result<(Vec<CalendarFile>, Vec<FileProblem>)> {
    let reading = tokio::task::spawn_blocking(move || {
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        for path in paths {
            match CalendarFile::read(&path) {
                Ok(file) => files.push(file),
                Err(problem) => problems.push(problem),
            }
        }
        (files, problems)
    });
    Ok(reading.await?)
}

async fn ask(
    api: &Api,
    files: Vec<CalendarFile>,
    apply: bool,
    skip_bad: bool,
) -> anyhow::Result<Shown<Report>> {
    if files.is_empty() {
        let none = json!({
            "applied": false, "rows": [], "problems": [], "notes": [], "left_out": 0,
        });
        return Ok(serde_json::from_value(none)?);
    }
    let local = |(path, media): (String, LocalMedia)| match media {
        LocalMedia::Is(id) => (path, json!({ "media": id.as_source() })),
        LocalMedia::Wrong(why) => (path, json!({ "problem": why })),
    };
    let file = |file: CalendarFile| {
        let media: serde_json::Map<String, Value> = file.media.into_iter().map(local).collect();
        match String::from_utf8(file.bytes) {
            Ok(text) => json!({ "name": file.name, "text": text, "media": media }),
            Err(error) => {
                let bytes = STANDARD.encode(error.as_bytes());
                json!({ "name": file.name, "base64": bytes, "media": media })
            }
        }
    };
    let files: Vec<Value> = files.into_iter().map(file).collect();
    api.post("/api/import", json!({ "files": files, "apply": apply, "skip_bad": skip_bad })).await
}

/// The report with what was wrong before anything could be asked.
fn with_unreadable(
    report: Shown<Report>,
    unreadable: &[FileProblem],
) -> anyhow::Result<Shown<Report>> {
    if unreadable.is_empty() {
        return Ok(report);
    }
    let mut json = report.json;
    let mut problems: Vec<Shown<ImportProblem>> = report.it.problems;
    for problem in unreadable {
        problems.push(serde_json::from_value(json!({
            "place": { "file": problem.place.file },
            "field": problem.field,
            "message": problem.message,
            "extent": problem.extent,
        }))?);
    }
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    json["problems"] = serde_json::to_value(&problems)?;
    Ok(serde_json::from_value(json)?)
}

fn tell_rows(output: Output, report: &Report) {
    for row in &report.rows {
        output.say(format!("{}: {}{}", row.place, key(row.key.as_deref()), row.message));
    }
    if report.left_out > 0 {
        output.note(format!("and {} lines that the server did not send again", report.left_out));
    }
}

/// Shows people what is wrong, and what is worth a look.
pub(super) fn tell_problems(output: Output, problems: &[impl Display], notes: &[impl Display]) {
    for problem in problems.iter().take(MOST_SHOWN) {
        output.note(problem);
    }
    if problems.len() > MOST_SHOWN {
        output.note(format!("and {} more", problems.len() - MOST_SHOWN));
    }
    for note in notes.iter().take(MOST_SHOWN) {
        output.note(format!("note: {note}"));
    }
    if notes.len() > MOST_SHOWN {
        output.note(format!("and {} more notes", notes.len() - MOST_SHOWN));
    }
}

/// Why nothing was loaded.
pub(super) fn refusal(plan: &Plan) -> String {
    let are_rows = plan.problems.iter().all(|problem| problem.extent == Extent::Row);
    refused(plan.problems.len(), are_rows && !plan.rows.is_empty())
}

fn refused(problems: usize, others_are_good: bool) -> String {
    let what = count(problems, "problem");
    match others_are_good {
        true => {
            format!("{what}; nothing was loaded: mend that, or load the good rows with --skip-bad")
        }
        false => format!("{what}; nothing was loaded: mend that and try again"),
    }
}

/// What was left out of a loading that went on without it.
pub(super) fn left_out(problems: &[FileProblem]) -> String {
    left(problems.len(), problems.iter().any(|problem| problem.extent == Extent::File))
}

fn left(problems: usize, files: bool) -> String {
    let what = count(problems, "problem");
    match files {
        true => format!("{what}; the rows and files they are about were left out"),
        false => format!("{what}; their rows were left out"),
    }
}

/// What became of the rows, in a few words.
pub(super) fn summary(loaded: &Loaded) -> String {
    let of = |wanted: fn(&Action) -> bool| loaded.rows.iter().filter(|r| wanted(&r.action)).count();
    let new = of(|action| matches!(action, Action::Load { .. }));
    let changed = of(|action| matches!(action, Action::Change { .. }));
    summary_of(new, changed, loaded.rows.len())
}

fn summary_of(new: usize, changed: usize, all: usize) -> String {
    let known = all - new - changed;
    if known > 1 && known == all {
        return format!("all {known} rows are known");
    }
    let counts = [
        (new, format!("{} loaded", count(new, "row"))),
        (changed, format!("{} changed", count(changed, "row"))),
        (known, format!("{} known", count(known, "row"))),
    ];
    let told = counts.into_iter().filter(|(number, _)| *number > 0).map(|(_, words)| words);
    let told: Vec<String> = told.collect();
    if told.is_empty() { "no rows".to_owned() } else { told.join(", ") }
}

/// `key: `, or nothing.
pub(super) fn key(key: Option<&str>) -> String {
    key.map(|key| format!("{key}: ")).unwrap_or_default()
}
