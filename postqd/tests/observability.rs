//! What `docs/observability.md` and `deploy/` say, held to the code and to a real scrape.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use fake_x::{Canned, FakeX, Target};
use postq_engine::metrics::{METRICS, Metric, MetricKind};
use serde_json::Value;
use test_servers::{Postgres, Redis};

use support::{Ended, PATIENCE, Place, Served};

/// The crates whose spans and log lines are listed.
const CRATES: [&str; 9] = [
    "postq-core",
    "postq-engine",
    "postq-outbound",
    "postq-postgres",
    "postq-redis",
    "postq-sqlite",
    "postq-web",
    "postq-x",
    "postqd",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn metrics() -> Vec<Metric> {
    METRICS.into_iter().chain(postq_web::RECORDED).chain(postq_web::GAUGES).collect()
}

/// The rows of the tables below a heading of the page, without their heads.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join("docs/observability.md")).unwrap();
    let (_, after) = page.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = after.split("\n## ").next().unwrap();
    let mut rows = section.lines().filter(|line| line.starts_with('|')).map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    assert!(rows.nth(1).unwrap()[0].starts_with("--"), "{heading} has a table");
    rows.collect()
}

/// What stands between backticks.
fn ticked(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Fails with what is only on one side.
fn same<T: Ord + std::fmt::Debug>(page: BTreeSet<T>, code: BTreeSet<T>) {
    let (gone, new): (Vec<_>, Vec<_>) =
        (page.difference(&code).collect(), code.difference(&page).collect());
    assert!(
        gone.is_empty() && new.is_empty(),
        "docs/observability.md has what is not in the code: {gone:#?}\nand lacks: {new:#?}"
    );
}

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let page = rows("Metrics").into_iter().map(|row| {
        let [name, kind, labels, help] = row.try_into().expect("four cells");
        (ticked(&name)[0].clone(), kind, ticked(&labels), help)
    });
    let code = metrics().into_iter().map(|metric| {
        let labels = metric.labels.iter().map(ToString::to_string).collect();
        let (name, help) = (metric.name.to_owned(), metric.help.to_owned());
        (name, metric.kind.as_str().to_owned(), labels, help)
    });

    same(page.collect(), code.collect());
}

#[test]
fn metrics_are_named_as_prometheus_asks() {
    let all = metrics();
    let names: BTreeSet<&str> = all.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), all.len(), "a name is there twice");
    for Metric { name, kind, labels, help } in all {
        assert!(name.starts_with("postq_") && !help.contains(['\n', '|', '\\']), "{name}");
        assert_eq!(name.ends_with("_total"), kind == MetricKind::Counter, "{name}");
        assert!(kind != MetricKind::Histogram || name.ends_with("_seconds"), "{name}");
        assert!(!labels.contains(&"le") && !labels.contains(&"account"), "{name}");
    }
}

/// Every source file of a crate, without its tests.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        match path.is_dir() {
            true if name != "tests" => sources(&path, found),
            false if name.ends_with(".rs") && name != "tests.rs" => {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                found.push(text.to_owned());
            }
            _ => {}
        }
    }
}

/// The arguments of every call of a macro, as they are written.
fn calls(source: &str, name: &str) -> Vec<String> {
    let begins = source.match_indices(name).map(|(at, _)| at + name.len());
    begins.map(|begin| until_closed(&source[begin..]).to_owned()).collect()
}

/// The text up to the parenthesis that closes it.
fn until_closed(text: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, c) in text.char_indices() {
        match (quoted, c) {
            _ if std::mem::take(&mut escaped) => {}
            (true, '\\') => escaped = true,
            (_, '"') => quoted = !quoted,
            (false, '(' | '[' | '{') => depth += 1,
            (false, ')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    panic!("a call is not closed: {text:.80}");
}

/// The last text of a call: its message. None if it is another's words.
fn message(call: &str) -> Option<String> {
    let literal = call.split('"').rev().nth(1)?.replace("\\\n", "\n");
    let words: Vec<&str> = literal.split_whitespace().collect();
    let message = words.join(" ");
    (!message.contains('{')).then_some(message)
}

#[test]
fn the_table_of_log_lines_is_that_of_the_code() {
    let page = rows("Log lines").into_iter().map(|row| {
        let [level, line, name, meaning] = row.try_into().expect("four cells");
        assert!(!meaning.is_empty(), "{line}");
        (name, level, line)
    });
    let mut code = BTreeSet::new();
    for name in CRATES {
        let mut all = Vec::new();
        sources(&root().join(name).join("src"), &mut all);
        for (source, level) in
            all.iter().flat_map(|source| ["info", "warn", "error"].map(|level| (source, level)))
        {
            let found = calls(source, &format!("tracing::{level}!("));
            let found = found.iter().filter_map(|call| message(call));
            code.extend(found.map(|line| (name.to_owned(), level.to_owned(), line)));
        }
    }

    assert!(code.len() > 50, "{} log lines were found", code.len());
    same(page.collect(), code);
}

#[test]
fn the_table_of_spans_is_that_of_the_code() {
    let page = rows("Spans").into_iter().map(|row| (ticked(&row[0])[0].clone(), ticked(&row[1])));
    let mut code = BTreeSet::new();
    for name in CRATES {
        let mut all = Vec::new();
        sources(&root().join(name).join("src"), &mut all);
        for call in all.iter().flat_map(|source| calls(source, "_span!(")) {
            let mut lines = call.lines().map(str::trim).filter(|line| !line.is_empty());
            let name = lines.next().unwrap().trim_matches([',', '"']).to_owned();
            let fields = lines.map(|line| line.split(" =").next().unwrap().to_owned());
            code.insert((name, fields.collect::<Vec<_>>()));
        }
    }

    same(page.collect(), code);
}

#[test]
fn the_table_of_live_events_is_that_of_the_code() {
    let page = rows("Live events").into_iter().map(|row| ticked(&row[0])[0].clone());
    let source = fs::read_to_string(root().join("postq-web/src/events.rs")).unwrap();
    let source = source.split("#[cfg(test)]").next().unwrap();
    let texts = source.split('"').skip(1).step_by(2);
    let is_name =
        |text: &str| text.starts_with("job.") || text.starts_with("platform.") || text == "reset";
    let names = texts.filter(|text| is_name(text));

    same(page.collect(), names.map(str::to_owned).collect());
}

/// The metrics that an expression names, each with the labels that it picks or groups by.
fn named(expression: &str) -> BTreeMap<String, BTreeSet<String>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = |text: &str| -> Vec<String> {
        text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let mut grouped = BTreeSet::new();
    for (at, _) in expression.match_indices("by (") {
        grouped.extend(words(until_closed(&expression[at + 4..])));
    }
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (at, _) in expression.match_indices("postq_") {
        let name: String = expression[at..].chars().take_while(|c| is_word(*c)).collect();
        let after = &expression[at + name.len()..];
        let mut labels = grouped.clone();
        if let Some(picked) = after.strip_prefix('{') {
            let picked = until_closed(picked);
            let texts_out: String = picked.split('"').step_by(2).collect();
            labels.extend(words(&texts_out));
        }
        found.entry(name).or_default().extend(labels);
    }
    found
}

/// Fails unless every metric of an expression, and every label, is there.
fn ensure_known(place: &str, expression: &str) -> BTreeSet<&'static str> {
    let mut used = BTreeSet::new();
    for (name, labels) in named(expression) {
        let all = metrics();
        let known = all.iter().find(|metric| match metric.kind {
            MetricKind::Histogram => ["_bucket", "_sum", "_count"]
                .iter()
                .any(|part| name.strip_suffix(part) == Some(metric.name)),
            _ => metric.name == name,
        });
        let known = known.unwrap_or_else(|| panic!("{place}: there is no {name}: {expression}"));
        for label in labels {
            let is_known = known.labels.contains(&label.as_str())
                || ["instance", "job"].contains(&label.as_str())
                || (label == "le" && known.kind == MetricKind::Histogram);
            assert!(is_known, "{place}: {name} has no label {label}: {expression}");
        }
        used.insert(known.name);
    }
    assert!(!used.is_empty(), "{place}: it names no metric: {expression}");
    used
}

#[test]
fn every_alert_asks_for_metrics_that_there_are() {
    let text = fs::read_to_string(root().join("deploy/prometheus/alerts.yml")).unwrap();
    let rules: Value = serde_yaml_ng::from_str(&text).unwrap();
    let (mut names, mut used) = (BTreeSet::new(), BTreeSet::new());
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        assert!(names.insert(name), "{name} is there twice");
        used.extend(ensure_known(name, rule["expr"].as_str().unwrap()));
        assert!(!rule["labels"]["severity"].as_str().unwrap().is_empty(), "{name}");
        assert!(!rule["annotations"]["summary"].as_str().unwrap().is_empty(), "{name}");
    }

    for needed in [
        "postq_dead_letters",
        "postq_held",
        "postq_publish_lateness_seconds",
        "postq_loop_last_success_timestamp_seconds",
        "postq_oldest_due_seconds",
        "postq_service_up",
        "postq_blocked",
    ] {
        assert!(used.contains(needed), "no alert asks for {needed}");
    }
}

#[test]
fn every_panel_of_the_dashboard_asks_for_metrics_that_there_are() {
    let text = fs::read_to_string(root().join("deploy/grafana/postq.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut used = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            used.extend(ensure_known(title, target["expr"].as_str().unwrap()));
        }
    }

    let all: BTreeSet<&str> = metrics().iter().map(|metric| metric.name).collect();
    let unseen: Vec<_> = all.difference(&used).collect();
    assert_eq!(unseen, [&"postq_loop_interval_seconds"], "these are on no panel");
}

/// The series of a scrape, by metric: labels as they are written, and the value.
type Series = BTreeMap<String, BTreeMap<String, f64>>;

fn scrape(served: &Served) -> (String, Series) {
    let text = served.ask("GET", "/metrics", "", "");
    let mut series = Series::new();
    for line in text.lines().filter(|line| line.starts_with("postq_")) {
        let (what, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = what.split_once('{').unwrap_or((what, ""));
        let labels = labels.trim_end_matches('}').to_owned();
        let value = value.parse().expect(line);
        assert!(
            series.entry(name.to_owned()).or_default().insert(labels, value).is_none(),
            "twice: {line}"
        );
    }
    (text, series)
}

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_has_every_metric_with_its_value() {
    let (place, x, redis) = (Place::new(), FakeX::start().await.unwrap(), Redis::start());
    let (schema, redis) = (Postgres::shared().fresh_schema(), redis.url() + "/0");
    let base_url = x.base_url();
    let environment = [
        ("DATABASE_URL", Postgres::shared().url()),
        ("POSTQ_PG_SCHEMA", &schema),
        ("REDIS_URL", &redis),
        ("POSTQ_ENCRYPTION_KEY", KEY),
        ("X_API_BASE_URL", &base_url),
        ("X_API_TIER", "enterprise"),
        ("POSTQ_PRICES", "x:publish=0.015,x:read=0.001"),
        ("POSTQ_BUDGET", "20"),
        ("LOG_LEVEL", "off"),
    ];
    let run = |args: &[&str]| {
        let mut command = place.command(args);
        command.envs(environment).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"tok-42\n").unwrap();
        Ended::of(child.wait_with_output().unwrap()).exits(0)
    };
    for (name, ends) in [("acme", "+60d"), ("still", "+30d")] {
        run(&[
            "account",
            "add",
            "x",
            "--name",
            name,
            "--access-token-stdin",
            "--token-expires",
            ends,
        ]);
    }
    run(&["account", "pause", "still"]);
    let served = place.serve_with(&environment);
    let post = |text: &str| {
        let body =
            serde_json::json!({"text": text, "accounts": ["acme"], "schedule": {"kind": "now"}});
        served.ask("POST", "/api/posts", "", &body.to_string());
    };

    post("the first post");
    let until = |name: &str, labels: &str, wanted: f64| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (text, series) = scrape(&served);
            let value = series.get(name).and_then(|series| series.get(labels));
            if value.is_some_and(|value| (value - wanted).abs() < 0.001) {
                return series;
            }
            assert!(Instant::now() < deadline, "{name}{{{labels}}} is not {wanted}: {text}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    };
    let attempts = "postq_publish_attempts_total";
    until(attempts, "platform=\"x\",outcome=\"succeeded\"", 1.0);
    x.answer(Target::Create, Canned::new(400, r#"{"title": "Invalid Request", "status": 400}"#));
    post("one that is refused");
    until("postq_dead_letters", "", 1.0);
    // Counted when its polls are planned: within half a minute.
    let series = until("postq_spent_this_month", "platform=\"x\",kind=\"publish\"", 0.015);

    assert_eq!(series[attempts]["platform=\"x\",outcome=\"dead\""], 1.0);
    let of_x = |name: &str| series[name]["platform=\"x\""];
    assert_eq!(of_x("postq_publish_duration_seconds_count"), 2.0);
    assert_eq!(of_x("postq_publish_lateness_seconds_count"), 1.0, "of those that are out");
    assert!(of_x("postq_publish_lateness_seconds_sum") < 30.0);
    assert_eq!(series["postq_queue_depth"]["topic=\"publish\",state=\"completed\""], 1.0);
    assert_eq!(series["postq_queue_depth"]["topic=\"publish\",state=\"failed\""], 1.0);
    assert_eq!(series["postq_blocked"]["platform=\"x\",reason=\"paused\""], 1.0);
    assert_eq!(series["postq_budget"][""], 20.0);
    assert_eq!(series["postq_service_up"]["service=\"Redis\""], 1.0);
    assert_eq!(series["postq_rate_limit_remaining"]["platform=\"x\",scope=\"account\""], 9_999.0);
    let first_to_end = of_x("postq_token_expires_seconds");
    assert!((2_591_000.0..=2_592_000.0).contains(&first_to_end), "30 days: {first_to_end}");
    assert_eq!((series["postq_ready"][""], series["postq_store_up"][""]), (1.0, 1.0));
    assert!(series["postq_loop_last_success_timestamp_seconds"]["loop=\"planner\""] > 1.7e9);
    let created = "method=\"POST\",route=\"/api/posts\",status=\"201\"";
    assert_eq!(series["postq_http_requests_total"][created], 2.0);

    let scraped: BTreeSet<String> = series.keys().cloned().collect();
    let mut expected = BTreeSet::new();
    for metric in metrics() {
        let parts: &[&str] = match metric.kind {
            MetricKind::Histogram => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        expected.extend(parts.iter().map(|part| format!("{}{part}", metric.name)));
        for labels in parts.iter().flat_map(|part| series[&format!("{}{part}", metric.name)].keys())
        {
            let names = labels.split("\",").filter(|label| !label.is_empty());
            let names: Vec<&str> = names.map(|label| label.split('=').next().unwrap()).collect();
            let names: Vec<&str> = names.into_iter().filter(|name| *name != "le").collect();
            assert_eq!(names, metric.labels, "{}: {labels}", metric.name);
        }
    }
    same(scraped, expected);
    let (text, _) = scrape(&served);
    for metric in metrics() {
        let kind = format!("# TYPE {} {}\n", metric.name, metric.kind.as_str());
        assert!(text.contains(&kind), "{kind} is not in {text}");
        assert!(
            text.contains(&format!("# HELP {} {}", metric.name, metric.help)),
            "{}",
            metric.name
        );
    }
}
