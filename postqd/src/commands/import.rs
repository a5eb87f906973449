//! `postqd import`: what loading content calendars would do, or did.

use anyhow::bail;
use postq_engine::import::{Action, Extent, FileProblem, Loaded, Plan};
use serde_json::json;

use crate::cli::Import;
use crate::compose::Node;
use crate::output::{Output, count};

/// Problems that are shown one by one.
const MOST_SHOWN: usize = 200;

pub(super) async fn run(node: &Node, output: Output, command: Import) -> anyhow::Result<()> {
    let desk = node.desk();
    let mut plan = desk.plan_import(&command.files).await?;
    tell_problems(output, &plan);
    let bad = plan.problems.len();
    if bad > 0 && !command.skip_bad {
        output.emit(&report(&plan, false));
        bail!("{}", refusal(&plan));
    }
    for row in &plan.rows {
        output.say(format!("{}: {}{}", row.place, key(row.key.as_deref()), row.action));
    }
    let mut value = report(&plan, command.apply);
    let problems = plan.skip_bad();
    let rows = plan.rows.len();
    if command.apply {
        let loaded = desk.apply_import(plan).await?;
        value["rows"] = json!(loaded.rows);
        let what = summary(&loaded);
        output.tell(format!("{what}; postqd serve publishes what is to come"), &value);
    } else if rows == 0 {
        output.tell("no rows; there is nothing to load", &value);
    } else {
        let what = count(rows, "row");
        output.tell(format!("{what}; nothing was loaded, --apply loads them"), &value);
    }
    if bad > 0 {
        bail!("{}", left_out(&problems));
    }
    Ok(())
}

/// Shows people what is wrong, and what is worth a look.
pub(super) fn tell_problems(output: Output, plan: &Plan) {
    for problem in plan.problems.iter().take(MOST_SHOWN) {
        output.note(problem);
    }
    if plan.problems.len() > MOST_SHOWN {
        output.note(format!("and {} more", plan.problems.len() - MOST_SHOWN));
    }
    for note in &plan.notes {
        output.note(format!("note: {note}"));
    }
}

/// Why nothing was loaded.
pub(super) fn refusal(plan: &Plan) -> String {
    let what = count(plan.problems.len(), "problem");
    let are_rows = plan.problems.iter().all(|problem| problem.extent == Extent::Row);
    match are_rows && !plan.rows.is_empty() {
        true => {
            format!("{what}; nothing was loaded: mend that, or load the good rows with --skip-bad")
        }
        false => format!("{what}; nothing was loaded: mend that and try again"),
    }
}

/// What was left out of a loading that went on without it.
pub(super) fn left_out(problems: &[FileProblem]) -> String {
    let what = count(problems.len(), "problem");
    match problems.iter().any(|problem| problem.extent == Extent::File) {
        true => format!("{what}; the rows and files they are about were left out"),
        false => format!("{what}; their rows were left out"),
    }
}

/// What became of the rows, in a few words.
pub(super) fn summary(loaded: &Loaded) -> String {
    let of = |wanted: fn(&Action) -> bool| loaded.rows.iter().filter(|r| wanted(&r.action)).count();
    let new = of(|action| matches!(action, Action::Load { .. }));
    let changed = of(|action| matches!(action, Action::Change { .. }));
    let known = loaded.rows.len() - new - changed;
    if known > 1 && known == loaded.rows.len() {
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

fn report(plan: &Plan, applied: bool) -> serde_json::Value {
    let told = |all: &[FileProblem]| {
        all.iter()
            .map(
                |p| json!({ "place": p.place.to_string(), "field": p.field, "message": p.message }),
            )
            .collect::<Vec<_>>()
    };
    json!({
        "applied": applied,
        "rows": plan.rows,
        "problems": told(&plan.problems),
        "notes": told(&plan.notes),
    })
}
