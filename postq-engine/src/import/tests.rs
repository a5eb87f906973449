//! What loading calendars promises, on the memory backend under a clock that stands still.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use postq_core::content::{Content, Post, PostState};
use postq_core::schedule::Timing;
use postq_core::store::Page;
use tempfile::TempDir;

use super::read::{MOST_PROBLEMS, MOST_ROWS};
use super::{Action, CalendarFile, Extent, Loaded, Plan};
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
async fn a_changed_row_changes_zone_and_priority() {
    let (desk, folder) = (desk().await, Folder::new());
    let file = |row: &str| {
        folder.file("z.csv", format!("key,at,tz,accounts,text,priority\n{row},acme,hello,7\n"))
    };
    load(&desk, &file("a,2026-03-08T09:00,Europe/Berlin")).await;
    let text = "key,at,tz,accounts,text,priority\na,2026-03-08T08:00,UTC,acme,hello,-7\n";

    let changed = load(&desk, &folder.file("z.csv", text)).await;

    assert_eq!(actions(&changed), ["known, changes zone, priority"]);
    let schedule = desk.find_schedule(changed.rows[0].schedules[0]).await.unwrap();
    assert_eq!((schedule.tz.as_deref(), schedule.priority), (Some("UTC"), -7));
    let Timing::OneShot { at, local } = schedule.timing else { panic!("{:?}", schedule.timing) };
    assert_eq!(at.to_rfc3339(), "2026-03-08T08:00:00+00:00");
    assert_eq!(local.as_deref(), Some("2026-03-08T08:00:00"), "as the new zone's clocks show it");
    let again = load(&desk, &folder.file("z.csv", text)).await;
    assert_eq!(actions(&again), ["known, scheduled"]);
}

#[tokio::test(start_paused = true)]
async fn two_who_complete_a_post_that_was_cut_off_write_one_schedule() {
    let (desk, folder) = (desk().await, Folder::new());
    let files = folder.csv("a,+5s,acme,hello\n");
    load(&desk, &files).await;
    let post = desk.find_post("a").await.unwrap();
    let schedule = desk.backend().schedules.of_posts(&[post.id]).await.unwrap().remove(0);
    // The moment between the two writes of the first one, which then goes on.
    let _ = desk.backend().schedules.remove(schedule.id).await.unwrap();

    let second = load(&desk, &files).await;
    desk.backend().schedules.insert(std::slice::from_ref(&schedule)).await.unwrap();

    assert_eq!(actions(&second), ["new, first at 2026-03-08 06:00:05 UTC"]);
    let schedules = desk.backend().schedules.of_posts(&[post.id]).await.unwrap();
    assert_eq!(schedules.len(), 1, "two of them would publish the post twice");
    assert_eq!(second.rows[0].schedules, [schedule.id]);
}

#[tokio::test(start_paused = true)]
async fn who_loads_a_file_second_at_the_same_moment_finds_the_rows_of_the_first() {
    let (desk, folder) = (desk().await, Folder::new());
    let first = plan(&desk, &folder.csv("a,+5s,acme,hello\nb,+5s,dry_run:x,bye\n")).await;
    let rows = "a,+5s,acme,hello\n,+5s,other,mine\nb,+1h,dry_run:x;dry_run:y,bye\nc,+5s,acme,new\n";
    let second = plan(&desk, &folder.csv(rows)).await;

    let first = desk.apply_import(first).await.unwrap();
    let second = desk.apply_import(second).await.unwrap();

    assert_eq!(
        actions(&second),
        [
            "known, scheduled",
            "new, first at 2026-03-08 06:00:05 UTC",
            "known, changes accounts",
            "new, first at 2026-03-08 06:00:05 UTC",
        ]
    );
    assert_eq!(second.rows[0].post, first.rows[0].post);
    assert_eq!(desk.list_posts(Page::first(10)).await.unwrap().len(), 4);
    let both = desk.find_schedule(first.rows[1].schedules[0]).await.unwrap();
    assert_eq!(both.accounts.len(), 2, "what it says otherwise is taken over");
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
    std::fs::create_dir(folder.0.path().join("folder.csv")).unwrap();
    let cases = [
        (missing, "missing.csv: is not there"),
        (vec![folder.0.path().join("missing")], "missing: is not there"),
        (vec![folder.0.path().join("folder.csv")], "folder.csv: is a folder"),
        (folder.file("empty.json", "\u{feff}"), "empty.json: is empty; expected posts"),
        (folder.file("empty.toml", "\n"), "empty.toml: is empty; expected posts"),
        (folder.file("a.xlsx", ""), "a.xlsx: is of an unknown kind"),
        (folder.file("b.csv", b"key,at\na,\xff\n"), "b.csv:2: is not UTF-8"),
        (folder.file("c.csv", vec![b'a'; 16 * 1_024 * 1_024 + 1]), "c.csv: is larger than 16 MiB"),
        (folder.file("d.csv", ""), "d.csv: is empty"),
        (folder.file("e.csv", "key,txt\na,b\n"), "e.csv:1:5: unknown column"),
        (folder.file("f.json", "[{]"), "f.json:1:3: no JSON"),
        (folder.file("g.toml", "[[post]\n"), "g.toml:1:"),
    ];

    for (files, expected) in cases {
        let plan = plan(&desk, &files).await;
        let told = problems(&plan);
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?} is not {expected}");
        assert_eq!(plan.problems[0].extent, Extent::File, "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_quoted_of_a_file_has_a_bound() {
    let (desk, folder) = (desk().await, Folder::new());
    let long = "x".repeat(7_000_000);
    let files = [
        folder.file("a.csv", &long),
        folder.file("b.csv", format!("key,at,accounts,text\na,{long},{long},hi\n")),
        folder.file("c.json", format!("[{{\"{long}\": 1}}]")),
    ];

    for files in files {
        let told = problems(&plan(&desk, &files).await);
        assert!(!told.is_empty() && told.iter().all(|told| told.len() < 1_000), "{}", told.len());
        assert!(told[0].contains("expected"), "its end is kept: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_has_no_column_where_there_is_none() {
    let (desk, folder) = (desk().await, Folder::new());
    let files = folder.file("c.csv", "key,at,accounts,text\na,+1s\nb,never,acme,x\n");

    let plan = plan(&desk, &files).await;

    let told = serde_json::to_value(&plan.problems).unwrap();
    let place = |i: usize| told[i]["place"].as_object().unwrap();
    assert_eq!(place(0).keys().collect::<Vec<_>>(), ["file", "line"], "a row as a whole");
    assert_eq!(place(1)["column"], 3);
    assert_eq!(told[0]["extent"], "row", "the others can be loaded without it");
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

/// A calendar with a cron expression and two recurrences, in each format.
const RULES: [(&str, &str); 3] = [
    (
        "rules.csv",
        "key,cron,rrule,at,tz,count,accounts,text\n\
         c,0 9 * * 1-5,,,Europe/Berlin,,acme,hello\n\
         n,@daily,,,Europe/Berlin,3,acme,news\n\
         r,,\"DTSTART;TZID=Asia/Tokyo:20260301T090000\nRRULE:FREQ=DAILY\",,,,acme,bye\n\
         s,,DTSTART:20260301T090000\\nRRULE:FREQ=DAILY,,Asia/Tokyo,,acme,ciao\n",
    ),
    (
        "rules.toml",
        "[[post]]\nkey = \"c\"\ncron = \"0 9 * * 1-5\"\ntz = \"Europe/Berlin\"\naccounts = \"acme\"\n\
         text = \"hello\"\n[[post]]\nkey = \"n\"\ncron = \"@daily\"\ncount = 3\n\
         tz = \"Europe/Berlin\"\naccounts = \"acme\"\ntext = \"news\"\n\
         [[post]]\nkey = \"r\"\nrrule = \"\"\"\nDTSTART;TZID=Asia/Tokyo:20260301T090000\n\
         RRULE:FREQ=DAILY\n\"\"\"\naccounts = \"acme\"\ntext = \"bye\"\n\
         [[post]]\nkey = \"s\"\nrrule = [\"DTSTART:20260301T090000\", \"RRULE:FREQ=DAILY\"]\n\
         tz = \"Asia/Tokyo\"\naccounts = \"acme\"\ntext = \"ciao\"\n",
    ),
    (
        "rules.json",
        "[{\"key\": \"c\", \"cron\": \"0 9 * * 1-5\", \"tz\": \"Europe/Berlin\", \"accounts\": \"acme\", \
         \"text\": \"hello\"}, {\"key\": \"n\", \"cron\": \"@daily\", \"count\": 3, \
         \"tz\": \"Europe/Berlin\", \"accounts\": \"acme\", \"text\": \"news\"}, \
         {\"key\": \"r\", \"rrule\": \"DTSTART;TZID=Asia/Tokyo:20260301T090000\\nRRULE:FREQ=DAILY\", \
         \"accounts\": \"acme\", \"text\": \"bye\"}, \
         {\"key\": \"s\", \"rrule\": \"DTSTART:20260301T090000\\nRRULE:FREQ=DAILY\", \
         \"tz\": \"Asia/Tokyo\", \"accounts\": \"acme\", \"text\": \"ciao\"}]",
    ),
];

#[tokio::test(start_paused = true)]
async fn rules_are_loaded_from_every_format_and_known_again() {
    let (desk, folder) = (desk().await, Folder::new());
    let firsts = [
        "new, first at 2026-03-09 08:00:00 UTC",
        "new, first at 2026-03-08 23:00:00 UTC",
        "new, first at 2026-03-09 00:00:00 UTC",
        "new, first at 2026-03-09 00:00:00 UTC",
    ];

    for (i, (name, text)) in RULES.into_iter().enumerate() {
        let loaded = load(&desk, &folder.file(name, text)).await;
        // The same rows, whatever the format: loaded once, and known then.
        let expected = if i == 0 { firsts } else { ["known, scheduled"; 4] };
        assert_eq!(actions(&loaded), expected, "{name}");
        tokio::time::advance(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_rule_is_changed() {
    let (desk, folder) = (desk().await, Folder::new());
    let csv =
        |row: &str| folder.file("c.csv", format!("key,cron,rrule,tz,count,accounts,text\n{row}"));
    load(&desk, &csv("c,0 9 * * *,,Europe/Berlin,,acme,hello\n")).await;

    for (row, expected) in [
        ("c,0 10 * * *,,Europe/Berlin,,acme,hello\n", "known, changes time"),
        ("c,0 10 * * *,,Europe/Berlin,5,acme,hello\n", "known, changes time"),
        ("c,0 10 * * *,,Asia/Tokyo,5,acme,hello\n", "known, changes zone"),
        ("c,0 10 * * *,,Asia/Tokyo,5,acme,hello\n", "known, scheduled"),
        ("c,,DTSTART:20260309T090000Z\\nRRULE:FREQ=DAILY,,,acme,hello\n", "known, changes time"),
        ("c,,DTSTART:20260309T090000Z\\nRRULE:FREQ=DAILY,,,acme,hello\n", "known, scheduled"),
    ] {
        let loaded = load(&desk, &csv(row)).await;
        assert_eq!(actions(&loaded), [expected], "{row}");
    }
    let schedule = desk.find_post("c").await.unwrap().id;
    let schedule = desk.backend().schedules.of_posts(&[schedule]).await.unwrap().remove(0);
    assert_eq!(schedule.next_run_at.unwrap().to_rfc3339(), "2026-03-09T09:00:00+00:00");
    assert_eq!(schedule.tz.as_deref(), Some("UTC"), "the zone of the new rule");
}

#[tokio::test(start_paused = true)]
async fn bad_rules_name_their_place_and_a_way_out() {
    let (desk, folder) = (desk().await, Folder::new());
    let rows = "a,0 9 L * *,,UTC,,acme\nb,0 9 30 2 *,,UTC,,acme\nc,,DTSTART:20260301T090000Z,UTC,2,acme\n\
                d,* * * * * *,,UTC,,acme\ne,@daily,FREQ=DAILY,UTC,,acme\nf,22-4 * * * *,,UTC,,acme\n";
    let files = folder.file("calendar.csv", format!("text,cron,rrule,tz,count,accounts\n{rows}"));

    let told = problems(&plan(&desk, &files).await);

    let all = told.join("\n");
    for expected in ["calendar.csv:4:", "count: is there besides rrule; write it as its COUNT"] {
        assert!(all.contains(expected), "{expected} in {all}");
    }
    for (line, column, expected) in [
        (2, 3, "BYMONTHDAY=-1"),
        (3, 3, "cron: never runs"),
        (5, 3, "1s is too often"),
        (6, 10, "rrule: is there besides cron; expected one of them"),
        (7, 3, "22-59,0-4"),
    ] {
        let place = format!("calendar.csv:{line}:{column}: ");
        let is_told = |told: &String| told.starts_with(&place) && told.contains(expected);
        assert!(told.iter().any(is_told), "{place}{expected} in {all}");
    }
    let none = desk.backend().posts.list(desk.tenant(), Page::first(1)).await.unwrap();
    assert!(none.is_empty(), "nothing was loaded");
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_says_less_than_was_meant_is_noted() {
    let (desk, folder) = (desk().await, Folder::new());
    // The first of March is a Sunday.
    let rule = "DTSTART:20260301T090000Z\\nRRULE:FREQ=WEEKLY;BYDAY=MO";
    let files = folder.file("c.csv", format!("text,rrule,accounts\nhi,{rule},acme\n"));

    let notes = plan(&desk, &files).await.notes;

    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].to_string().contains("c.csv:2:4: rrule: "), "{notes:?}");
    load(&desk, &files).await;
    let twin = plan(&desk, &files).await.notes;
    assert!(twin.iter().any(|note| note.message.contains("looks like post")), "{twin:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_is_not_read_on() {
    let row = "+1h,dry_run:a,hi\n";
    let head = "at,accounts,text\n";
    for (name, text) in [
        ("bad.csv", format!("{head}{}", ",\n".repeat(500_000))),
        ("empty.csv", format!("{head}{}", ",,\n".repeat(50_000))),
        ("wide.csv", "a,".repeat(500_000)),
        ("quotes.csv", format!("{head}{}", "a\"\n".repeat(500_000))),
        ("bad.json", format!("[{}1]", "1,".repeat(500_000))),
        ("empty.json", format!("[{}{{}}]", "{},".repeat(50_000))),
        ("wide.json", format!("[{{{}\"a\":1}}]", "\"a\":1,".repeat(500_000))),
        ("bad.toml", "[[post]]\n".repeat(50_000)),
        ("no.toml", "=\n".repeat(100_000)),
        ("long.csv", format!("{head}{}", row.repeat(MOST_ROWS + 1))),
    ] {
        let good = CalendarFile::new("good.csv", format!("{head}{row}").into());
        let bad = CalendarFile::new(name, text.into_bytes());

        let plan = desk().await.plan_import_of(vec![good, bad]).await.unwrap();

        let told: Vec<String> = plan.problems.iter().map(ToString::to_string).collect();
        assert!(told.len() <= MOST_PROBLEMS + 16, "{name}: {}", told.len());
        let why = match name {
            "long.csv" => "has more than 100,000 rows",
            "no.toml" => "no TOML",
            _ => "was not read on: more than 10,000 problems were found",
        };
        assert!(told.iter().any(|told| told.contains(name) && told.contains(why)), "{name}");
        assert!(plan.problems.iter().all(|problem| problem.extent == Extent::File), "{name}");
        assert_eq!(plan.rows.len(), 1, "{name}: what is good stays");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_are_counted_over_all_files() {
    let text = format!("at,accounts,text\n{}", "+1h,dry_run:a,hi\n".repeat(MOST_ROWS / 2 + 1));
    let file = |name: &str| CalendarFile::new(name, text.clone().into());

    let plan = desk().await.plan_import_of(vec![file("a.csv"), file("b.csv")]).await.unwrap();

    assert_eq!(plan.problems.len(), 1, "{:?}", plan.problems);
    assert!(
        plan.problems[0].to_string().starts_with("b.csv: has more than"),
        "{:?}",
        plan.problems
    );
    assert_eq!(plan.rows.len(), MOST_ROWS / 2 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_of_one_long_line_is_read_as_fast_as_others() {
    let row = r#"{"at":"+1h","accounts":["dry_run:a"],"text":"hi"},"#;
    let text = format!("[{}{{\"text\":1}}]", row.repeat(20_000));
    let begun = Instant::now();

    let file = CalendarFile::new("a.json", text.into_bytes());
    let plan = desk().await.plan_import_of(vec![file]).await.unwrap();

    assert_eq!(plan.rows.len(), 20_000);
    assert!(plan.problems[0].to_string().starts_with("a.json:1:1000002"), "{:?}", plan.problems[0]);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}
