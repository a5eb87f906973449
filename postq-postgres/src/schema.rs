//! The schema: migrations embedded in the binary, run in one transaction under a lock.

use postq_core::error::{ErrorKind, StoreError};
use tokio_postgres::Client;

use crate::args::args;
use crate::config::Config;
use crate::error::Fault;
use crate::server::Server;
use crate::tx::typed;

/// A step from one version of the schema to the next, and back.
struct Migration {
    version: i32,
    name: &'static str,
    up: &'static str,
    back: &'static str,
}

/// The steps, each by its version and name: two files stand for it, `V{version}__{name}.sql` and
/// `V{version}__{name}.back.sql`.
macro_rules! migrations {
    ($($version:literal $name:literal),+ $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            up: include_str!(concat!("migrations/V", $version, "__", $name, ".sql")),
            back: include_str!(concat!("migrations/V", $version, "__", $name, ".back.sql")),
        }),+]
    };
}

const MIGRATIONS: &[Migration] = migrations![
    1 "start",
    2 "api",
    3 "retention",
    4 "webhooks",
    5 "nodes",
    6 "token_expiry",
    7 "calendar",
    8 "connecting",
    9 "metrics",
    10 "media",
    11 "options",
    12 "identities",
];

/// The longest name of a schema: the names that are made from it fit into Postgres's 63 bytes.
const LONGEST: usize = 40;

/// The version of the schema that this build needs.
pub fn schema_version() -> u32 {
    u32::try_from(ours()).expect("versions count from 1")
}

/// The same, as it is kept.
pub(crate) fn ours() -> i32 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Brings the schema to this build's version, making it if it is not there. Several processes may do
/// so at once: one after the other, all or nothing.
pub async fn migrate(config: &Config) -> Result<(), StoreError> {
    ensure_name(&config.schema)?;
    let server = Server::of(config)?;
    let mut client = connected(&server).await?;
    to(&mut client, &config.schema, ours()).await.map_err(|fault| not_migrated(fault, &server))
}

/// Takes the schema back to an earlier version, 0 being none: what the later ones made is gone, with
/// all data in it. No other process may be at work.
pub async fn migrate_back(config: &Config, version: u32) -> Result<(), StoreError> {
    ensure_name(&config.schema)?;
    let server = Server::of(config)?;
    let mut client = connected(&server).await?;
    let version = i32::try_from(version).unwrap_or(i32::MAX);
    to_earlier(&mut client, &config.schema, version)
        .await
        .map_err(|fault| not_migrated(fault, &server))
}

/// Refuses a schema that is not there, older than this build, or newer.
pub(crate) async fn ensure_current(client: &Client, schema: &str) -> Result<(), Fault> {
    let found = version(client, schema).await?;
    ensure_not_newer(schema, found)?;
    match found {
        Some(theirs) if theirs == ours() => Ok(()),
        found => Err(Fault::Refused(
            ErrorKind::Invalid,
            format!(
                "schema \"{schema}\" has version {}, this postq needs version {}; run the migrations",
                found.unwrap_or(0),
                ours()
            ),
        )),
    }
}

/// Refuses what a newer build has written.
pub(crate) fn ensure_not_newer(schema: &str, found: Option<i32>) -> Result<(), Fault> {
    let Some(theirs) = found.filter(|theirs| *theirs > ours()) else { return Ok(()) };
    Err(Fault::Refused(
        ErrorKind::Invalid,
        format!(
            "schema \"{schema}\" has version {theirs}, this postq knows versions up to {}; run the \
             postq that wrote it, or a newer one",
            ours()
        ),
    ))
}

/// Refuses what is no good name: it goes into statements.
pub(crate) fn ensure_name(schema: &str) -> Result<(), StoreError> {
    let mut characters = schema.bytes();
    let good_first = characters.next().is_some_and(|c| c.is_ascii_lowercase() || c == b'_');
    let good_rest = characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
    if good_first && good_rest && schema.len() <= LONGEST && !schema.starts_with("pg_") {
        return Ok(());
    }
    let what = format!(
        "\"{schema}\" cannot be the name of the schema; choose at most {LONGEST} of a-z, 0-9 and _, \
         the first a letter, not beginning with pg_"
    );
    Err(StoreError::new(ErrorKind::Invalid, what))
}

fn not_migrated(fault: Fault, server: &Server) -> StoreError {
    fault.during(&format!("migrate {}", server.told()))
}

pub(crate) async fn connected(server: &Server) -> Result<Client, StoreError> {
    let failed = |error| Fault::from(error).during(&format!("connect to {}", server.told()));
    let (client, connection) = server.connect().await.map_err(failed)?;
    // Ends with the client.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection for migrating ended");
        }
    });
    Ok(client)
}

/// The version of a schema; none if it is not there.
pub(crate) async fn version(client: &Client, schema: &str) -> Result<Option<i32>, Fault> {
    let there =
        "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'migrations'";
    if client.query_typed_opt(there, &typed(args![schema])).await?.is_none() {
        return Ok(None);
    }
    let newest = format!("SELECT max(version) FROM \"{schema}\".migrations");
    Ok(client.query_typed_one(&newest, &[]).await?.get(0))
}

async fn to(client: &mut Client, schema: &str, wanted: i32) -> Result<(), Fault> {
    let transaction = client.transaction().await?;
    lock(transaction.client(), schema).await?;
    let known = version(transaction.client(), schema).await?;
    ensure_not_newer(schema, known)?;
    if known.is_none() {
        transaction
            .batch_execute(&format!(
                "CREATE SCHEMA IF NOT EXISTS \"{schema}\";
                 CREATE TABLE IF NOT EXISTS \"{schema}\".migrations (
                     version integer PRIMARY KEY,
                     name    text NOT NULL,
                     run_at  timestamptz NOT NULL DEFAULT now())"
            ))
            .await?;
    }
    let missing = MIGRATIONS
        .iter()
        .filter(|step| step.version > known.unwrap_or(0) && step.version <= wanted);
    for step in missing {
        transaction.batch_execute(&format!("SET LOCAL search_path TO \"{schema}\"")).await?;
        transaction.batch_execute(step.up).await?;
        let note = format!("INSERT INTO \"{schema}\".migrations (version, name) VALUES ($1, $2)");
        transaction.execute_typed(&note, &typed(args![step.version, step.name])).await?;
    }
    Ok(transaction.commit().await?)
}

async fn to_earlier(client: &mut Client, schema: &str, wanted: i32) -> Result<(), Fault> {
    let transaction = client.transaction().await?;
    lock(transaction.client(), schema).await?;
    let Some(known) = version(transaction.client(), schema).await? else { return Ok(()) };
    ensure_not_newer(schema, Some(known))?;
    let newest_first = MIGRATIONS.iter().rev();
    for step in newest_first.filter(|step| step.version > wanted && step.version <= known) {
        transaction.batch_execute(&format!("SET LOCAL search_path TO \"{schema}\"")).await?;
        transaction.batch_execute(step.back).await?;
        let forget = format!("DELETE FROM \"{schema}\".migrations WHERE version = $1");
        transaction.execute_typed(&forget, &typed(args![step.version])).await?;
    }
    Ok(transaction.commit().await?)
}

/// One process migrates a schema at a time. The lock ends with the transaction.
async fn lock(client: &Client, schema: &str) -> Result<(), Fault> {
    let lock = "SELECT pg_catalog.pg_advisory_xact_lock(hashtextextended($1, 0))";
    client.query_typed(lock, &typed(args![format!("postq migrations of {schema}")])).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_has_a_plain_name() {
        for good in ["postq", "_p", "a1_b2"] {
            ensure_name(good).unwrap();
        }
        let long = "a".repeat(LONGEST + 1);
        for bad in ["", "1a", "Postq", "a-b", "a\"b", "pg_temp", "a b", &long] {
            assert_eq!(ensure_name(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
        }
    }

    #[test]
    fn versions_rise_by_one() {
        let versions = MIGRATIONS.iter().map(|migration| migration.version);
        assert!(versions.eq(1..=ours()));
    }
}
