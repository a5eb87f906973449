//! A small town's posts, as they look after some weeks: what the pictures show.

use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, Duration as Span, NaiveTime, Utc};
use fake_x::{Canned, FakeX, Target};
use rusqlite::Connection;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::Api;
use crate::past::Past;
use crate::support::{Daemon, Home};

const PATIENCE: Duration = Duration::from_secs(60);

/// The accounts: a name, and the user of the X-shaped server; none for a dry run.
const ACCOUNTS: [(&str, Option<&str>); 6] = [
    ("Bakery Sommer", Some("1")),
    ("Museum by the Mill", Some("2")),
    ("Town library", Some("3")),
    ("Allotment society", Some("4")),
    ("Volunteer fire brigade", Some("5")),
    ("Rehearsal", None),
];

/// What is out: how many days ago, at what time, by whom.
const OUT: [(i64, u32, &str, &str); 16] = [
    (
        20,
        6,
        "Bakery Sommer",
        "The first stollen are cooling. From nine o'clock at the counter, as long as they last.",
    ),
    (
        19,
        17,
        "Museum by the Mill",
        "Thank you to the 214 people who came to the night of the museums. The wheel turned until one.",
    ),
    (
        17,
        6,
        "Bakery Sommer",
        "Rye from the Hansen fields is back: the dark loaf, two days old, is at its best now.",
    ),
    (
        16,
        10,
        "Town library",
        "New on the shelves: 42 books that you asked for. The list hangs beside the door.",
    ),
    (
        14,
        9,
        "Museum by the Mill",
        "How does a millstone get its grooves? On Saturday at eleven we show it, with hammer and chisel.",
    ),
    (
        13,
        6,
        "Bakery Sommer",
        "Closed tomorrow for the wedding of our master baker. We are sorry, and very happy.",
    ),
    (
        11,
        15,
        "Allotment society",
        "The water is turned off on the 15th. Please drain your pipes before the first hard frost.",
    ),
    (
        10,
        6,
        "Bakery Sommer",
        "Martin's geese of yeast dough, with and without raisins. Today only.",
    ),
    (
        9,
        18,
        "Volunteer fire brigade",
        "Practice at the old sawmill tonight from seven: do not be alarmed by the smoke.",
    ),
    (
        7,
        9,
        "Museum by the Mill",
        "The grain loft is open again after three weeks of work on the beams.",
    ),
    (
        6,
        16,
        "Town library",
        "Story time on Thursday: the bear who could not sleep. For everyone from four to ninety-four.",
    ),
    (
        5,
        6,
        "Bakery Sommer",
        "Two hundred cinnamon rolls before seven. You are quick, but so are we: the next tray at ten.",
    ),
    (
        3,
        11,
        "Museum by the Mill",
        "Found while cleaning: a miller's account book of 1847. We read it with you on Sunday at two.",
    ),
    (2, 6, "Bakery Sommer", "Today the walnut bread, with nuts from Mrs Keller's tree."),
    (1, 12, "Rehearsal", "A test of the Advent calendar: door number one."),
    (0, 0, "Museum by the Mill", "The mill turns again on Sunday, from two o'clock."),
];

/// What comes once: in how many days, at what time, by whom.
const COMING: [(i64, u32, &[&str], &str); 12] = [
    (
        1,
        17,
        &["Museum by the Mill"],
        "Tomorrow evening: how flour was weighed, and how it was weighed wrongly on purpose.",
    ),
    (2, 9, &["Bakery Sommer"], "The gingerbread is sliced. Come and try a corner."),
    (3, 18, &["Town library"], "Reading by candlelight on Friday at seven. Bring a cushion."),
    (
        3,
        8,
        &["Museum by the Mill", "Rehearsal"],
        "Advent market in the mill's yard: Saturday and Sunday, from noon to eight.",
    ),
    (4, 7, &["Bakery Sommer"], "Advent wreaths of yeast dough: please order by Thursday."),
    (5, 12, &["Museum by the Mill"], "Last tickets for the lantern walk along the mill stream."),
    (
        6,
        14,
        &["Bakery Sommer", "Museum by the Mill"],
        "Coffee and plum cake in the mill, baked in its own oven for the first time since 1911.",
    ),
    (8, 10, &["Town library"], "The library is closed for stocktaking from the 1st to the 3rd."),
    (9, 16, &["Museum by the Mill"], "St Nicholas comes by boat. At four, at the weir."),
    (11, 7, &["Bakery Sommer"], "Speculaas from our grandmother's moulds."),
    (
        13,
        11,
        &["Museum by the Mill"],
        "Winter hours from Monday on: Friday to Sunday, eleven to four.",
    ),
    (15, 6, &["Bakery Sommer"], "Open on the fourth Sunday of Advent, from seven to eleven."),
];

/// A town with a past, a future, and some trouble.
pub(crate) struct Town {
    pub(crate) daemon: Daemon,
    /// A token that may do everything.
    pub(crate) admin: String,
    /// A job that is held.
    pub(crate) held: String,
    /// A post that goes out again and again.
    pub(crate) post: String,
    /// An account with slots, and posts that were counted.
    pub(crate) bakery: String,
    /// One of these posts, as it is out.
    pub(crate) publication: String,
    _second: Daemon,
    _x: FakeX,
    _home: Home,
}

impl Town {
    pub(crate) async fn found() -> Self {
        let x = FakeX::start().await.expect("a free port");
        let home = Home::with_x(&x.base_url())
            .env("POSTQ_MAX_ATTEMPTS", "2")
            .env("POSTQ_KEEP_ENDED", "90d");
        let daemon = home.serve();
        let api = Api::of(&daemon).await;
        for (name, user) in ACCOUNTS {
            match user {
                Some(user) => api.x(name, user),
                None => api.dry_run(name),
            };
        }
        for (_, _, account, text) in OUT {
            let post = api.publish(account, text);
            api.until_job(&post, "succeeded").await;
        }
        assert!(daemon.stop().success());
        age(&Connection::open(home.database()).expect("the database opens"));
        let publication = counted(&home).await;

        let daemon = home.serve();
        let api = Api::of(&daemon).await;
        let post = plan(&api);
        let bakery = api.account("Bakery Sommer");
        let slots = json!({ "slots": ["weekdays 06:45 and 17:30 Europe/Berlin", "sat 7:00 Europe/Berlin"] });
        api.put(&format!("/accounts/{bakery}/slots"), &slots);
        let held = trouble(&api, &x).await;
        // On the same file.
        let second = home.serve();
        Api::of(&second).await;
        api.post("/webhooks", &json!({ "url": "https://hooks.example.org/postq", "events": [] }));
        let token = |api: &Api, name: &str, scope: &str| {
            let made = api.post("/tokens", &json!({ "name": name, "scope": scope }));
            made["token"].as_str().expect("a token").to_owned()
        };
        let admin = token(&api, "Ida at the office", "admin");
        // With the first one, everybody needs one.
        let api = api.with_token(&admin);
        token(&api, "Screen in the hall", "read");
        token(&api, "Newsletter of the town", "write");
        Self { daemon, admin, held, post, bakery, publication, _second: second, _x: x, _home: home }
    }
}

/// What repeats, what comes once, and a draft; answers the post that repeats.
fn plan(api: &Api) -> String {
    let every_weekday = json!({
        "text": "Good morning. The rolls are warm, and the door is open.",
        "accounts": ["Bakery Sommer"],
        "schedule": { "kind": "cron", "expr": "45 6 * * 1-6", "tz": "Europe/Berlin" },
    });
    let repeats = api.post("/posts", &every_weekday);
    let every_week = json!({
        "text": "This Sunday at two: a tour from the water wheel to the loft. No booking needed.",
        "accounts": ["Museum by the Mill"],
        "schedule": { "kind": "cron", "expr": "0 17 * * FRI", "tz": "Europe/Berlin" },
    });
    api.post("/posts", &every_week);
    let abroad = json!({
        "text": "Good evening to our sister town Fredericksburg: the mill sends its regards.",
        "accounts": ["Museum by the Mill"],
        "schedule": { "kind": "cron", "expr": "0 18 1,15 * *", "tz": "America/Chicago" },
    });
    api.post("/posts", &abroad);
    for (days, hour, accounts, text) in COMING {
        let at = day(days, hour).to_rfc3339();
        let new = json!({ "text": text, "accounts": accounts, "schedule": { "kind": "one_shot", "at": at } });
        api.post("/posts", &new);
    }
    let thread = [
        "How a loaf is made, in three parts. First the sourdough, which is older than our shop.",
        "Then it rests. Fourteen hours, under linen, while we sleep and it does not.",
        "Then the oven: 280 degrees at first, and the door stays shut whatever you smell.",
    ];
    let parts: Vec<Value> = thread.iter().map(|text| json!({ "text": text })).collect();
    api.post("/posts", &json!({ "parts": parts, "accounts": ["Bakery Sommer"] }));
    repeats["id"].as_str().expect("an id").to_owned()
}

/// One account is refused, one is paused, one has reached a limit, three posts gave up, one is held: answers
/// its job.
async fn trouble(api: &Api, x: &FakeX) -> String {
    let refused = r#"{"title":"Forbidden","status":403,"type":"about:blank","detail":"You are not permitted to use a link of this site."}"#;
    for text in [
        "Our new opening hours, with a map: mill-by-the-weir.example/hours",
        "All dates of the winter at a glance: mill-by-the-weir.example/winter",
        "The account book of 1847 to read at home: mill-by-the-weir.example/1847",
    ] {
        x.answer(Target::Create, Canned::new(403, refused));
        let post = api.publish("Museum by the Mill", text);
        api.until_job(&post, "dead_letter").await;
    }
    let held =
        held(api, x, "Bakery Sommer", "Bread of yesterday, half the price, until noon.").await;

    x.answer(Target::Create, Canned::new(401, r#"{"title":"Unauthorized","status":401}"#));
    api.publish("Town library", "The returns box is full. Please ring, we come down.");
    api.until_blocked("Town library").await;

    let reset = (now() + Span::minutes(12)).timestamp().to_string();
    let limited = Canned::new(429, r#"{"title":"Too Many Requests","status":429}"#)
        .with("x-rate-limit-limit", "100")
        .with("x-rate-limit-remaining", "0")
        .with("x-rate-limit-reset", &reset);
    x.answer(Target::Create, limited);
    for text in [
        "The siren at noon is a test.",
        "Smoke detectors save lives: press the button once a month.",
        "We look for helpers from sixteen years on: Mondays at seven, at the station.",
    ] {
        api.publish("Volunteer fire brigade", text);
    }
    api.until_blocked("Volunteer fire brigade").await;

    let society = api.account("Allotment society");
    api.post(&format!("/accounts/{society}/pause"), &json!({ "note": "winter break until March" }));
    held
}

/// A post of which nobody knows whether it is out: answers its job.
pub(crate) async fn held(api: &Api, x: &FakeX, account: &str, text: &str) -> String {
    x.answer(Target::Create, Canned::new(503, "{}"));
    // Each look finds a list that is not whole.
    let partial = r#"{"data":[],"meta":{"result_count":0},"errors":[{"title":"Not Found Error","detail":"Could not find a post."}]}"#;
    for _ in 0..30 {
        x.answer(Target::List, Canned::new(200, partial));
    }
    let post = api.publish(account, text);
    api.until_job(&post, "dead_letter").await
}

/// Moves what is out into the past, as if it had gone out then.
fn age(database: &Connection) {
    let mut jobs = database
        .prepare("SELECT id, schedule_id, post_id, planned_at, root FROM jobs WHERE kind = 'publish' ORDER BY id")
        .expect("jobs");
    type Row = (Vec<u8>, Vec<u8>, Vec<u8>, i64, Vec<u8>);
    let rows = jobs
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .expect("jobs");
    let rows: Vec<Row> = rows.map(|row| row.expect("a job")).collect();
    assert_eq!(rows.len(), OUT.len());
    for ((id, schedule, post, planned, root), (days, hour, ..)) in rows.into_iter().zip(OUT) {
        if days == 0 {
            continue;
        }
        let by = planned - day(-days, hour).timestamp_micros();
        for (table, columns, key, value) in [
            (
                "jobs",
                &["planned_at", "run_at", "enqueued_at", "started_at", "finished_at"][..],
                "id",
                &id,
            ),
            ("job_events", &["at"], "job_id", &id),
            ("evidence", &["made_at", "published_at"], "root", &root),
            ("published_posts", &["published_at"], "job_id", &id),
            ("posts", &["created_at"], "id", &post),
            ("schedules", &["created_at", "last_run_at"], "id", &schedule),
        ] {
            let sets: Vec<_> =
                columns.iter().map(|column| format!("{column} = {column} - ?1")).collect();
            let change = format!("UPDATE {table} SET {} WHERE {key} = ?2", sets.join(", "));
            database.execute(&change, rusqlite::params![by, value]).expect(table);
        }
    }
}

/// What the platform has counted of what is out: more of what is out longer. Answers the bakery's first
/// publication.
async fn counted(home: &Home) -> String {
    let database = Connection::open(home.database()).expect("the database opens");
    let sql = "SELECT p.id, p.account_id, p.published_at, a.name FROM published_posts p
        JOIN accounts a ON a.id = p.account_id WHERE a.platform = 'x' ORDER BY p.published_at";
    let mut all = database.prepare(sql).expect("publications");
    type Row = (Uuid, Uuid, i64, String);
    let uuid = |row: &rusqlite::Row<'_>, at| {
        row.get::<_, Vec<u8>>(at).map(|id| Uuid::from_slice(&id).expect("an id"))
    };
    let rows =
        all.query_map([], |row| Ok((uuid(row, 0)?, uuid(row, 1)?, row.get(2)?, row.get(3)?)));
    let rows: Vec<Row> = rows.expect("publications").map(|row| row.expect("one")).collect();
    for (n, (id, account, at, _)) in rows.iter().enumerate() {
        let at = DateTime::from_timestamp_micros(*at).expect("a time");
        let likes = 12 + 7 * (n as u64 % 5);
        let ages = [(15, 8), (60, 25), (8 * 60, 60), (24 * 60, 90), (72 * 60, 100)];
        let counts: Vec<_> = ages
            .into_iter()
            .map(|(minutes, share)| {
                (Span::minutes(minutes), Some((likes * share / 3, likes * share / 100)))
            })
            .filter(|(age, _)| at + *age < now())
            .collect();
        let mut past = Past::of(home, &account.to_string());
        past.count(*id, at, &counts);
        past.told().await;
    }
    let bakery = rows.iter().find(|(.., name)| name == "Bakery Sommer").expect("it publishes");
    bakery.0.to_string()
}

#[allow(clippy::disallowed_methods, reason = "the daemon and the browser run by the host's clock")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// So many days from today, at this hour; never on a day of another month's picture by chance of the minute.
pub(crate) fn day(days: i64, hour: u32) -> DateTime<Utc> {
    let date = (now() + Span::days(days)).date_naive();
    let minute = 5 * (date.day() % 12);
    date.and_time(NaiveTime::from_hms_opt(hour, minute, 0).expect("a time")).and_utc()
}

impl Api {
    /// A post for now; answers its id.
    pub(crate) fn publish(&self, account: &str, text: &str) -> String {
        let new = json!({ "text": text, "accounts": [account], "schedule": { "kind": "now" } });
        self.post("/posts", &new)["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until the only job of a post is in this state; answers its id.
    pub(crate) async fn until_job(&self, post: &str, state: &str) -> String {
        let begun = Instant::now();
        loop {
            let jobs = self.get(&format!("/jobs?post={post}"));
            if jobs["items"][0]["state"] == state {
                return jobs["items"][0]["id"].as_str().expect("an id").to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "not {state} within {PATIENCE:?}: {jobs:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The id of an account.
    pub(crate) fn account(&self, name: &str) -> String {
        self.show_account(name)["id"].as_str().expect("an id").to_owned()
    }

    fn show_account(&self, name: &str) -> Value {
        let accounts = self.get("/accounts");
        let mut all = accounts["items"].as_array().expect("accounts").iter();
        all.find(|account| account["name"] == name).expect("it is there").clone()
    }

    pub(crate) async fn until_blocked(&self, name: &str) {
        let begun = Instant::now();
        while self.show_account(name)["blocks"].as_array().is_none_or(Vec::is_empty) {
            assert!(begun.elapsed() < PATIENCE, "{name} is not blocked within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
