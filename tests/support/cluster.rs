//! Several `postqd` on one Postgres with Redis beside it, as their operator sets them up.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use fake_x::{FakeX, Options};
use postq::core::id::{JobId, NodeId};
use postq::core::job::{Job, JobEvent};
use postq::core::machine::JobState;
use postq_postgres::{Config, PgStore};
use test_servers::{Postgres, Redis};

use crate::support::{Daemon, Home, rfc3339};

/// Seals the credentials, on every node.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// What all nodes share.
pub(crate) struct Cluster {
    pub(crate) x: FakeX,
    pub(crate) redis: Redis,
    pub(crate) store: PgStore,
    schema: String,
    lease: Duration,
}

impl Cluster {
    /// A schema of its own in the shared Postgres, a Redis and a platform of its own.
    pub(crate) async fn start(options: Options) -> Self {
        let x = FakeX::start_with(options).await.expect("a port");
        let (postgres, redis) = (Postgres::shared(), Redis::start());
        let schema = postgres.fresh_schema();
        let config = Config::new(postgres.url()).in_schema(&schema);
        let store = PgStore::open(config).await.expect("Postgres");
        Self { x, redis, store, schema, lease: Duration::from_secs(4) }
    }

    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    /// A home from which a node of the cluster runs, as the README sets it up.
    pub(crate) fn home(&self) -> Home {
        Home::with_x(&self.x.base_url())
            .in_haste()
            .env("DATABASE_URL", Postgres::shared().url())
            .env("POSTQ_PG_SCHEMA", &self.schema)
            .env("REDIS_URL", &self.redis.url())
            .env("POSTQ_ENCRYPTION_KEY", KEY)
            .env("POSTQ_LEASE", &format!("{}s", self.lease.as_secs()))
    }

    /// Connects so many accounts of X, and schedules so many posts over so long a time, the first in so
    /// many seconds; answers when that is.
    pub(crate) fn load(
        &self,
        accounts: usize,
        posts: usize,
        seconds: i64,
        over: Duration,
    ) -> DateTime<Utc> {
        let home = self.home();
        for n in 0..accounts {
            home.connect(&format!("account-{n}"), &n.to_string());
        }
        #[allow(clippy::disallowed_methods, reason = "the daemons run by the host's clock")]
        let from = Utc::now() + TimeDelta::seconds(seconds);
        let mut csv = String::from("key,at,accounts,text\n");
        let step = TimeDelta::from_std(over).expect("short") / i32::try_from(posts).expect("few");
        for row in 0..posts {
            let at = rfc3339(from + step * i32::try_from(row).expect("few"));
            writeln!(csv, "row-{row},{at},account-{},row {row}", row % accounts).expect("text");
        }
        let file = home.file("calendar.csv", &csv);
        home.ok(["import", "--apply", file.to_str().expect("UTF-8")]);
        from
    }

    /// How often each text was really accepted.
    pub(crate) fn accepted(&self) -> BTreeMap<String, usize> {
        let mut accepted = BTreeMap::new();
        for post in self.x.ledger().accepted {
            *accepted.entry(post.text).or_default() += 1;
        }
        accepted
    }

    /// Fails unless each of so many posts is out exactly once and its job knows it.
    pub(crate) fn ensure_each_out_once(&self, posts: usize, jobs: &[Job]) {
        let accepted = self.accepted();
        let twice: Vec<_> = accepted.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "out more than once: {twice:?}");
        assert_eq!(accepted.len(), posts, "all are out");
        let open: Vec<_> = jobs.iter().filter(|job| job.state != JobState::Succeeded).collect();
        assert!(open.is_empty(), "{open:#?}");
    }

    pub(crate) async fn events(&self, job: JobId) -> Vec<JobEvent> {
        let story = self.store.backend().jobs.story(job).await.expect("a story");
        story.expect("the job").events
    }

    /// The nodes that started these jobs.
    pub(crate) async fn nodes_of(&self, jobs: &[Job]) -> BTreeSet<NodeId> {
        let mut nodes = BTreeSet::new();
        for job in jobs {
            let events = self.events(job.id()).await;
            let running = events.iter().filter(|event| event.to == JobState::Running);
            nodes.extend(running.filter_map(|event| event.node));
        }
        nodes
    }

    /// Waits until the platform has accepted so many posts.
    pub(crate) async fn until_accepted(&self, posts: usize, patience: Duration) {
        let begun = Instant::now();
        while self.x.ledger().accepted.len() < posts {
            assert!(begun.elapsed() < patience, "{posts} are not accepted within {patience:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What a node says at a path: its status and its body.
pub(crate) fn ask(node: &Daemon, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", node.port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

/// Waits until a node is ready.
pub(crate) async fn until_ready(node: &Daemon, patience: Duration) {
    until_it_says(node, "\"status\":\"ready\"", patience).await;
}

/// Waits until a node says this at `/readyz`.
pub(crate) async fn until_it_says(node: &Daemon, word: &str, patience: Duration) {
    let begun = Instant::now();
    loop {
        let said = ask(node, "/readyz");
        if said.as_ref().is_some_and(|(_, body)| body.contains(word)) {
            return;
        }
        assert!(begun.elapsed() < patience, "no {word} within {patience:?}: {said:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
