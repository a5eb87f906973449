//! Waking other nodes: one `NOTIFY` for many changes, sent outside of the work's transactions; and one
//! connection that listens for those of others.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_postgres::AsyncMessage;
use uuid::Uuid;

use crate::args::args;
use crate::changes::{About, Changes};
use crate::error::Fault;
use crate::server::Server;
use crate::tx::{Sql, typed};

/// Between two notifications of a node there is at least this, and [`SHARE`] times what the last one took:
/// those who commit one wait in one line for the whole database, and a busy line is left alone.
const APART: Duration = Duration::from_millis(5);
const SHARE: u32 = 4;
const LONGEST_APART: Duration = Duration::from_secs(1);

/// How long sending one may take.
const SENDING: Duration = Duration::from_secs(5);

/// The waits between attempts to listen again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How often the listening connection is tried, and how long its answer may take.
const TRY_EVERY: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(10);

/// What a node calls itself, so that it does not wake itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Me(Uuid);

impl Me {
    pub(crate) fn new() -> Self {
        Self(Uuid::new_v4())
    }

    fn message(self, about: &[&str]) -> String {
        format!("{} {}", self.0.simple(), about.join(" "))
    }

    /// What the message of another node is about.
    fn heard(self, message: &str) -> Vec<About> {
        let mut words = message.split_whitespace();
        if words.next() == Some(self.0.simple().to_string().as_str()) {
            return Vec::new();
        }
        words
            .filter_map(|word| match word {
                "jobs" => Some(About::Jobs),
                "schedules" => Some(About::Schedules),
                _ => None,
            })
            .collect()
    }
}

/// The channel of a schema.
pub(crate) fn channel(schema: &str) -> String {
    format!("{schema}_changes")
}

/// Tells all nodes, this one too, that there may be something to plan, once the open transaction is
/// committed.
pub(crate) async fn tell_at_commit(sql: Sql<'_>, channel: &str) -> Result<(), Fault> {
    // Nobody is called so: every node hears it.
    let message = format!("{} schedules", Uuid::nil().simple());
    sql.rows("SELECT pg_notify($1, $2)", args![channel, message]).await?;
    Ok(())
}

/// Collects what other nodes are to be told.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    jobs: AtomicBool,
    schedules: AtomicBool,
    filled: Notify,
}

impl Outbox {
    pub(crate) fn put(&self, about: About) {
        match about {
            About::Jobs => self.jobs.store(true, Ordering::SeqCst),
            About::Schedules => self.schedules.store(true, Ordering::SeqCst),
        }
        self.filled.notify_one();
    }

    fn take(&self) -> Vec<&'static str> {
        let mut about = Vec::new();
        if self.jobs.swap(false, Ordering::SeqCst) {
            about.push("jobs");
        }
        if self.schedules.swap(false, Ordering::SeqCst) {
            about.push("schedules");
        }
        about
    }
}

/// Tells other nodes what is in the outbox, for ever. What cannot be told they find by themselves.
pub(crate) async fn tell(outbox: Arc<Outbox>, pool: Pool, schema: String, me: Me) {
    let channel = channel(&schema);
    loop {
        outbox.filled.notified().await;
        let about = outbox.take();
        if about.is_empty() {
            continue;
        }
        let begun = Instant::now();
        let send = async {
            let client = pool.get().await.map_err(|error| error.to_string())?;
            let notify = "SELECT pg_notify($1, $2)";
            let sent = client.query_typed(notify, &typed(args![channel, me.message(&about)])).await;
            sent.map(|_| ()).map_err(|error| error.to_string())
        };
        match tokio::time::timeout(SENDING, send).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error, "other nodes were not woken"),
            Err(_) => tracing::debug!("other nodes were not woken in time"),
        }
        tokio::time::sleep((begun.elapsed() * SHARE).clamp(APART, LONGEST_APART)).await;
    }
}

/// Listens to other nodes, for ever; connects again when the connection is lost.
pub(crate) async fn listen(server: Server, schema: String, me: Me, changes: Changes) {
    let mut wait = FIRST_WAIT;
    loop {
        let begun = Instant::now();
        let lost = listen_once(&server, &schema, me, &changes).await;
        changes.set_told(false);
        if begun.elapsed() > LONGEST_WAIT {
            wait = FIRST_WAIT;
        }
        tracing::warn!(error = lost, "nobody tells of other nodes' changes: listening again soon");
        tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.5))).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Listens until the connection is lost; tells why.
async fn listen_once(server: &Server, schema: &str, me: Me, changes: &Changes) -> String {
    let (client, mut connection) = match server.connect().await {
        Ok(connected) => connected,
        Err(error) => return crate::error::explain(&error).1,
    };
    let hear = async {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(note))) => {
                    for about in me.heard(note.payload()) {
                        changes.bump(about);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return crate::error::explain(&error).1,
                None => return "the server closed the connection".to_owned(),
            }
        }
    };
    let ask = async {
        let listen = format!("LISTEN \"{}\"", channel(schema));
        let mut statement = listen.as_str();
        loop {
            match tokio::time::timeout(ANSWER, client.batch_execute(statement)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return crate::error::explain(&error).1,
                Err(_) => return "the server does not answer".to_owned(),
            }
            if statement == listen {
                // What was told before is not told again: there may have been something.
                changes.set_told(true);
                changes.bump_all();
            }
            statement = "";
            tokio::time::sleep(TRY_EVERY).await;
        }
    };
    tokio::select! {
        lost = hear => lost,
        lost = ask => lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_does_not_hear_itself() {
        let (me, other) = (Me::new(), Me::new());
        let message = me.message(&["jobs", "schedules"]);

        assert_eq!(other.heard(&message), [About::Jobs, About::Schedules]);
        assert_eq!(me.heard(&message), []);
        assert_eq!(other.heard("odd words"), []);
    }

    #[test]
    fn an_outbox_is_emptied_at_once() {
        let outbox = Outbox::default();
        outbox.put(About::Jobs);
        outbox.put(About::Jobs);

        assert_eq!(outbox.take(), ["jobs"]);
        assert!(outbox.take().is_empty());
    }
}
