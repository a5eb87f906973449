//! What loading calendars promises, on the memory backend under a clock that stands still.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use postq_core::content::{Content, Post, PostState};
use postq_core::schedule::Timing;
use tempfile::TempDir;

use super::{Action, Loaded, Plan};
use crate::desk::tests::{START, claim_one, desk, publish};
use crate::desk::{Desk, DeskError};

/// A folder with one calendar.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> Vec<PathBuf> {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        vec![path]
    }

    fn csv(&self, rows: &str) -> Vec<PathBuf> {
        self.file("calendar.csv", format!("key,at,accounts,text\n{rows}"))
    }
}

async fn plan(desk: &Desk, files: &[PathBuf]) -> Plan {
    desk.plan_import(files).await.unwrap()
}

async fn load(desk: &Desk, files: &[PathBuf]) -> Loaded {
    let plan = plan(desk, files).await;
    assert_eq!(problems(&plan), [""; 0]);
    desk.apply_import(plan).await.unwrap()
}

/// The problems, without the folder's name.
fn problems(plan: &Plan) -> Vec<String> {
    let short =
        |text: String| text.rsplit_once(std::path::MAIN_SEPARATOR).map(|(_, t)| t.to_owned());
    plan.problems
        .iter()
        .map(|problem| {
            let place = short(problem.place.to_string()).unwrap();
            problem.to_string().replace(&problem.place.to_string(), &place)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn problems_are_told_in_the_order_of_the_file() {
    let folder = Folder::new();
    // What is past is found last, a missing cell first.
    let rows = "a,2020-01-01T00:00Z,dry_run:a,hi\nb,never,dry_run:a,hi\nc,+1s\n";

    let told = problems(&plan(&desk().await, &folder.csv(rows)).await);

    let lines: Vec<&str> = told.iter().map(|p| &p[.."calendar.csv:2".len()]).collect();
    assert_eq!(lines, ["calendar.csv:2", "calendar.csv:3", "calendar.csv:4"], "{told:?}");
}

fn actions(loaded: &Loaded) -> Vec<String> {
    loaded.rows.iter().map(|row| row.action.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_loaded_again_is_known() {
    let (desk, folder) = (desk().await, Folder::new());
    let files = folder.csv("a,+5s,acme,hello\nb,2026-03-08T09:00Z,acme;other,bye\n");

    let first = load(&desk, &files).await;
    // Past the times of both: what is known is known, whatever the time.
    tokio::time::advance(Duration::from_secs(86_400)).await;
    let second = load(&desk, &files).await;

    assert_eq!(
        actions(&first),
        ["new, first at 2026-03-08 06:00:05 UTC", "new, first at 2026-03-08 09:00:00 UTC"]
    );
    assert_eq!(actions(&second), ["known, scheduled", "known, scheduled"]);
    assert_eq!(first.schedules(), second.schedules());
    assert_eq!(first.schedules().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_changed_row_changes_what_is_not_yet_out() {
    let (desk, folder) = (desk().await, Folder::new());
    load(&desk, &folder.csv("a,+1h,acme,hello\n")).await;

    let changed = load(&desk, &folder.csv("a,2026-03-09T09:00Z,other;dry_run:x,bye\n")).await;

    assert_eq!(actions(&changed), ["known, changes text, time, accounts"]);
    let post = desk.find_post("a").await.unwrap();
    assert_eq!(post.content, Content::text("bye"));
    let schedule = desk.find_schedule(changed.rows[0].schedules[0]).await.unwrap();
    assert!(
        matches!(schedule.timing, Timing::OneShot { at, .. } if at.to_rfc3339() == "2026-03-09T09:00:00+00:00")
    );
    assert_eq!(schedule.accounts.len(), 2);
    assert_eq!(
        actions(&load(&desk, &folder.csv("a,2026-03-09T09:00Z,other;dry_run:x,bye\n")).await),
        ["known, scheduled"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_out_stays_and_the_difference_is_told() {
    let (desk, folder) = (desk().await, Folder::new());
    load(&desk, &folder.csv("a,+5s,acme,hello\n")).await;
    publish(desk.backend(), &claim_one(desk.backend()).await).await;

    let again = load(&desk, &folder.csv("a,+5s,acme,bye\n")).await;

    let Action::Keep { state: PostState::Published, note: Some(note) } = &again.rows[0].action
    else {
        panic!("{:?}", again.rows)
    };
    assert!(note.contains("not changed (text): it is over"), "{note}");
    assert_eq!(desk.find_post("a").await.unwrap().content, Content::text("hello"));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_was_called_off_is_not_loaded_again() {
    let (desk, folder) = (desk().await, Folder::new());
    let files = folder.csv("a,+1h,acme,hello\n");
    let loaded = load(&desk, &files).await;
    desk.cancel(loaded.rows[0].post).await.unwrap();

    let again = load(&desk, &files).await;

    let told = again.rows[0].action.to_string();
    assert!(told.contains("switched off; postqd schedule enable"), "{told}");
    assert!(!desk.find_schedule(loaded.rows[0].schedules[0]).await.unwrap().enabled);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_loaded_with_a_bad_row_unless_it_is_skipped() {
    let (desk, folder) = (desk().await, Folder::new());
    let files = folder.csv(
        "a,+5s,acme,hello\nb,soon,acme,hello\nc,+5s,acmee,hello\nd,+5s,acme,much too long\n\
         e,2026-03-08T05:00Z,acme,late\na,+5s,acme,twice\n",
    );

    let mut bad = plan(&desk, &files).await;
    let told = problems(&bad);
    let refused = desk.apply_import(plan(&desk, &files).await).await.unwrap_err();

    let expected = [
        "calendar.csv:3:3: at: \"soon\" is no time",
        "calendar.csv:4:7: accounts: there is no account \"acmee\"; did you mean \"acme\"?",
        "calendar.csv:5:12: text: terse: text is 13 long, at most 10",
        "calendar.csv:6:3: at: 2026-03-08 05:00:00 UTC is past",
        "calendar.csv:7:1: key: \"a\" is the key of",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told} is not {expected}");
    }
    assert!(matches!(refused, DeskError::BadRows(5)), "{refused:?}");
    assert!(desk.find_post("a").await.is_err(), "nothing was loaded");

    assert_eq!(bad.skip_bad().len(), 5);
    assert_eq!(desk.apply_import(bad).await.unwrap().rows.len(), 1);
    assert_eq!(desk.find_post("a").await.unwrap().content, Content::text("hello"));
}

#[tokio::test(start_paused = true)]
async fn what_was_cut_off_between_post_and_schedule_is_completed() {
    let (desk, folder) = (desk().await, Folder::new());
    let half = Post {
        key: Some("a".to_owned()),
        ..Post::new(Content::text("old"), START.parse().unwrap())
    };
    desk.backend().posts.insert(std::slice::from_ref(&half)).await.unwrap();

    let loaded = load(&desk, &folder.csv("a,+5s,acme,hello\n")).await;

    assert_eq!(loaded.rows[0].post, half.id);
    let schedule = desk.find_schedule(loaded.rows[0].schedules[0]).await.unwrap();
    assert_eq!(schedule.post_id, half.id);
    assert_eq!(desk.find_post("a").await.unwrap().content, Content::text("hello"));
}

#[tokio::test(start_paused = true)]
async fn rows_without_a_key_are_new_and_their_twins_are_told() {
    let (desk, folder) = (desk().await, Folder::new());
    let files = folder.csv(",+5s,acme,hello\n,+5s,acme,Hello!\n,+5s,other,hello\n,+5s,acme,bye\n");

    let first = plan(&desk, &files).await;
    let within: Vec<usize> = first.notes.iter().map(|note| note.place.line).collect();
    desk.apply_import(first).await.unwrap();
    let second = plan(&desk, &files).await;
    let against: Vec<usize> = second.notes.iter().map(|note| note.place.line).collect();

    assert_eq!(within, [3]);
    assert_eq!(against, [2, 3, 4, 5]);
    assert_eq!(desk.apply_import(second).await.unwrap().rows.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn all_formats_say_the_same() {
    let (desk, folder) = (desk().await, Folder::new());
    let csv = folder
        .file("a.csv", "\u{feff}key,every,count,accounts,text\nk,1h,3,acme,\"one\n---\ntwo\"\n");
    let toml = folder.file(
        "a.toml",
        "[[post]]\nkey = \"k\"\nevery = \"60m\"\ncount = 3\naccounts = [\"acme\"]\ntext = [\"one\", \"two\"]\n",
    );
    let json = folder.file(
        "a.json",
        r#"[{"key": "k", "every": "PT1H", "count": 3, "accounts": "acme", "text": "one\n---\ntwo"}]"#,
    );

    load(&desk, &csv).await;

    for files in [toml, json] {
        assert_eq!(actions(&load(&desk, &files).await), ["known, scheduled"]);
    }
}

#[tokio::test(start_paused = true)]
async fn files_that_cannot_be_read_are_named() {
    let (desk, folder) = (desk().await, Folder::new());
    let missing = vec![folder.0.path().join("missing.csv")];
    let cases = [
        (missing, "missing.csv: cannot be read"),
        (folder.file("a.xlsx", ""), "a.xlsx: is of an unknown kind"),
        (folder.file("b.csv", b"key,at\na,\xff\n"), "b.csv:2: is not UTF-8"),
        (folder.file("c.csv", vec![b'a'; 16 * 1_024 * 1_024 + 1]), "c.csv: is larger than 16 MiB"),
        (folder.file("d.csv", ""), "d.csv: is empty"),
    ];

    for (files, expected) in cases {
        let told = problems(&plan(&desk, &files).await);
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?} is not {expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_has_a_bound() {
    let (desk, folder) = (desk().await, Folder::new());
    let text = "x".repeat(64 * 1_024 + 1);

    let told = problems(&plan(&desk, &folder.csv(&format!("a,+5s,dry_run:a,{text}\n"))).await);

    assert_eq!(told, ["calendar.csv:2:17: text: has 65537 bytes, at most 65536"]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rows_take_no_time() {
    let (desk, folder) = (desk().await, Folder::new());
    let rows: String = (0..1_000)
        .map(|i| {
            format!(
                "{},+{i}s,dry_run:{},\"row {i}, ✨\"\n",
                if i % 2 == 0 { format!("k{i}") } else { String::new() },
                i % 250
            )
        })
        .collect();
    let files = folder.csv(&rows);
    let started = Instant::now();

    let loaded = load(&desk, &files).await;
    let again = plan(&desk, &files).await;

    assert_eq!((loaded.rows.len(), again.rows.len()), (1_000, 1_000));
    // Twice, in a debug build on a busy machine: a walk over all pairs would take far longer.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
