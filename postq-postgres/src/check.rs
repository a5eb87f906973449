//! What a server is like: asked at start, told in words.

use postq_core::error::{ErrorKind, StoreError};
use tokio_postgres::Client;

use crate::args::args;
use crate::config::Config;
use crate::error::Fault;
use crate::schema;
use crate::server::Server;
use crate::store::{BESIDE, PgStore};
use crate::tx::typed;

/// The oldest version that is still looked after, as the server numbers it.
const OLDEST: i32 = 130_000;

/// What a server keeps when it crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Perhaps nothing: its files may be damaged (`fsync` or `full_page_writes` off).
    Volatile,
    /// All but about the last second (`synchronous_commit` off).
    Second,
    /// Everything it has acknowledged.
    Everything,
}

/// What a server is like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PgHealth {
    /// `PostgreSQL 16.4`.
    pub version: String,
    /// The version of the schema; none if it is not there yet.
    pub schema_version: Option<u32>,
    /// The version that this build writes: a lower one needs migrations, a higher one is an error.
    pub our_version: u32,
    /// What it keeps when it crashes.
    pub durability: Durability,
    /// Connections that it allows to users like ours.
    pub most_connections: u32,
    /// Connections that others have now.
    pub others: u32,
    /// What a person should change, in words that name the setting.
    pub warnings: Vec<String>,
}

impl PgStore {
    /// Asks the server what it is like, and changes nothing. An error if it cannot be used: it is away,
    /// refuses the user, has no such database, is read-only or too old, or the schema is newer than this
    /// build.
    pub async fn check(config: &Config) -> Result<PgHealth, StoreError> {
        schema::ensure_name(&config.schema)?;
        let server = Server::of(config)?;
        let client = schema::connected(&server).await?;
        let bound = config.statement_timeout.max(std::time::Duration::from_secs(1));
        let facts = tokio::time::timeout(bound, Facts::ask(&client, &config.schema)).await;
        let facts = facts.unwrap_or(Err(Fault::NoAnswer));
        facts
            .and_then(|facts| facts.judge(config))
            .map_err(|fault| fault.during(&format!("check {}", server.told())))
    }
}

/// Refuses a server on which nothing could be written.
pub(crate) async fn ensure_usable(client: &Client) -> Result<(), Fault> {
    Basics::ask(client).await?.refuse()
}

/// What decides whether a server can be used at all.
#[derive(Debug)]
struct Basics {
    version: String,
    number: i32,
    is_replica: bool,
    is_read_only: bool,
}

impl Basics {
    async fn ask(client: &Client) -> Result<Self, Fault> {
        let ask = "SELECT current_setting('server_version'),
                 current_setting('server_version_num')::integer, pg_is_in_recovery(),
                 current_setting('transaction_read_only') = 'on'";
        let row = client.query_typed_one(ask, &[]).await?;
        Ok(Self {
            version: row.try_get(0)?,
            number: row.try_get(1)?,
            is_replica: row.try_get(2)?,
            is_read_only: row.try_get(3)?,
        })
    }

    fn refuse(&self) -> Result<(), Fault> {
        let (kind, what) = if self.number < OLDEST {
            let what = format!(
                "the server is PostgreSQL {}, expected {} or newer; upgrade it, or name another in \
                 DATABASE_URL",
                self.version,
                OLDEST / 10_000
            );
            (ErrorKind::Invalid, what)
        } else if self.is_replica {
            // It may be made the primary.
            let what = "the server is a read-only replica; name its primary in DATABASE_URL";
            (ErrorKind::Unavailable, what.to_owned())
        } else if self.is_read_only {
            let what = "transactions are read-only here (default_transaction_read_only is on); name the \
                        primary in DATABASE_URL, or switch the setting off for its user";
            (ErrorKind::Invalid, what.to_owned())
        } else {
            return Ok(());
        };
        Err(Fault::Refused(kind, what))
    }
}

/// What the server tells.
#[derive(Debug)]
struct Facts {
    basics: Basics,
    schema_version: Option<i32>,
    /// `fsync` and `full_page_writes`: files survive a crash of the host.
    is_safe: bool,
    synchronous_commit: String,
    autovacuum: bool,
    has_time_limit: bool,
    most_connections: i32,
    connections: i64,
}

impl Facts {
    async fn ask(client: &Client, schema: &str) -> Result<Self, Fault> {
        let basics = Basics::ask(client).await?;
        let schema_version = schema::version(client, schema).await?;
        let ask =
            "SELECT current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on',
                 current_setting('synchronous_commit'),
                 current_setting('autovacuum') = 'on' AND current_setting('track_counts') = 'on',
                 current_setting('statement_timeout') <> '0',
                 current_setting('max_connections')::integer
                     - current_setting('superuser_reserved_connections')::integer,
                 (SELECT coalesce(sum(numbackends), 0)::bigint FROM pg_stat_database)";
        let row = client.query_typed_one(ask, &typed(args![])).await?;
        Ok(Self {
            basics,
            schema_version,
            is_safe: row.try_get(0)?,
            synchronous_commit: row.try_get(1)?,
            autovacuum: row.try_get(2)?,
            has_time_limit: row.try_get(3)?,
            most_connections: row.try_get(4)?,
            connections: row.try_get(5)?,
        })
    }

    fn judge(&self, config: &Config) -> Result<PgHealth, Fault> {
        self.basics.refuse()?;
        schema::ensure_not_newer(&config.schema, self.schema_version)?;
        let durability = self.durability();
        // The one that asked is ours.
        let others = u32::try_from(self.connections - 1).unwrap_or(0);
        let most_connections = u32::try_from(self.most_connections).unwrap_or(0);
        let mut warnings = Vec::from_iter(warning_of(durability).map(str::to_owned));
        if !self.autovacuum {
            warnings.push(
                "autovacuum is off: removed rows are never cleared away and everything gets slower; set \
                 autovacuum and track_counts to on"
                    .to_owned(),
            );
        }
        if config.pooler && !self.has_time_limit {
            warnings.push(
                "the user has no statement_timeout, and through a pooler none is sent: a statement that \
                 hangs holds its locks; set one for the role (ALTER ROLE ... SET statement_timeout = '30s')"
                    .to_owned(),
            );
        }
        // Through a pooler, its own numbers count.
        if !config.pooler {
            warnings.extend(warning_of_room(most_connections, others, connections_of(config)));
        }
        Ok(PgHealth {
            version: format!("PostgreSQL {}", self.basics.version),
            schema_version: self.schema_version.map(i32::unsigned_abs),
            our_version: schema::ours().unsigned_abs(),
            durability,
            most_connections,
            others,
            warnings,
        })
    }

    fn durability(&self) -> Durability {
        match (self.is_safe, self.synchronous_commit.as_str()) {
            (false, _) => Durability::Volatile,
            (true, "off") => Durability::Second,
            (true, _) => Durability::Everything,
        }
    }
}

/// The most that a node opens: for the work, beside it, and one that listens.
fn connections_of(config: &Config) -> u32 {
    u32::try_from(config.connections.max(1) + BESIDE + 1).unwrap_or(u32::MAX)
}

fn warning_of(durability: Durability) -> Option<&'static str> {
    match durability {
        Durability::Volatile => Some(
            "fsync or full_page_writes is off: a crash of the host can damage or lose everything, \
             publications too, so that posts may be lost or sent twice; set both to on",
        ),
        Durability::Second => Some(
            "synchronous_commit is off: a crash of the server forgets what it acknowledged last, an intent \
             perhaps, so that a post may be sent twice; set synchronous_commit to on",
        ),
        Durability::Everything => None,
    }
}

fn warning_of_room(most: u32, others: u32, ours: u32) -> Option<String> {
    (u64::from(others) + u64::from(ours) > u64::from(most)).then(|| {
        format!(
            "the server allows {most} connections, {others} are taken, and this node opens up to {ours}; \
             raise max_connections, or lower POSTQ_PG_CONNECTIONS"
        )
    })
}

#[cfg(test)]
mod tests {
    use postq_core::error::chain;

    use super::*;

    fn facts() -> Facts {
        Facts {
            basics: Basics {
                version: "16.4".to_owned(),
                number: 160_004,
                is_replica: false,
                is_read_only: false,
            },
            schema_version: Some(schema::ours()),
            is_safe: true,
            synchronous_commit: "on".to_owned(),
            autovacuum: true,
            has_time_limit: false,
            most_connections: 97,
            connections: 1,
        }
    }

    fn config() -> Config {
        Config::new("postgres://localhost/postq")
    }

    #[test]
    fn a_sound_server_has_no_warnings() {
        let health = facts().judge(&config()).unwrap();

        assert_eq!(health.warnings, [""; 0]);
        assert_eq!((health.version.as_str(), health.others), ("PostgreSQL 16.4", 0));
        assert_eq!(health.durability, Durability::Everything);
        assert_eq!(health.schema_version, Some(health.our_version));
    }

    #[test]
    fn each_warning_names_the_setting() {
        let pooled = Config { pooler: true, ..config() };
        for (facts, config, durability, word) in [
            (Facts { is_safe: false, ..facts() }, config(), Durability::Volatile, "fsync"),
            (
                Facts { synchronous_commit: "off".to_owned(), ..facts() },
                config(),
                Durability::Second,
                "set synchronous_commit to on",
            ),
            (
                Facts { autovacuum: false, ..facts() },
                config(),
                Durability::Everything,
                "autovacuum",
            ),
            (facts(), pooled, Durability::Everything, "statement_timeout"),
            (
                Facts { connections: 86, ..facts() },
                config(),
                Durability::Everything,
                "allows 97 connections, 85 are taken, and this node opens up to 13",
            ),
        ] {
            let health = facts.judge(&config).unwrap();
            assert_eq!(health.durability, durability);
            assert_eq!(health.warnings.len(), 1, "{health:?}");
            assert!(health.warnings[0].contains(word), "{health:?}");
        }
        let pooled = Config { pooler: true, ..config() };
        let full = Facts { connections: 97, has_time_limit: true, ..facts() };
        assert_eq!(full.judge(&pooled).unwrap().warnings, [""; 0], "the pooler's numbers count");
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_remedy() {
        let basics = || facts().basics;
        for (basics, word) in [
            (Basics { number: 120_022, ..basics() }, "expected 13 or newer"),
            (
                Basics { is_replica: true, is_read_only: true, ..basics() },
                "name its primary in DATABASE_URL",
            ),
            (Basics { is_read_only: true, ..basics() }, "default_transaction_read_only"),
        ] {
            let fault = Facts { basics, ..facts() }.judge(&config()).expect_err("it is refused");
            let told = chain(&fault.during("check"));
            assert!(told.contains(word), "{told}");
        }
        let newer = Facts { schema_version: Some(schema::ours() + 1), ..facts() };
        let told = chain(&newer.judge(&config()).expect_err("it is newer").during("check"));
        assert!(told.contains("a newer one"), "{told}");
    }
}
