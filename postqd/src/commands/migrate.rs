//! `postqd migrate`: the schema at this program's version, or back at an earlier one.

use anyhow::Context;
use serde_json::json;

use crate::cli::Migrate;
use crate::compose::{Node, database};
use crate::config::{Config, Kept};
use crate::output::{Output, Usage};

pub(super) async fn run(config: &Config, output: Output, command: &Migrate) -> anyhow::Result<()> {
    let Kept::OnServers(servers) = &config.kept else {
        if command.back_to.is_some() {
            let why = "--back-to: a SQLite file has no way back; restore a copy made before";
            return Err(Usage(why.to_owned()).into());
        }
        // Opening it is what migrates it.
        Node::open(config.clone()).await?.store.close().await?;
        let path = database(config).display().to_string();
        output.tell(format!("\"{path}\" is up to date"), &json!({ "migrated": path }));
        return Ok(());
    };
    let schema = &servers.postgres.schema;
    let version = match command.back_to {
        None => {
            postq_postgres::migrate(&servers.postgres).await.context("DATABASE_URL")?;
            postq_postgres::schema_version()
        }
        Some(version) => {
            let back = postq_postgres::migrate_back(&servers.postgres, version).await;
            back.context("DATABASE_URL")?;
            version
        }
    };
    output.tell(
        format!("schema \"{schema}\" has version {version}"),
        &json!({ "schema": schema, "version": version }),
    );
    Ok(())
}
