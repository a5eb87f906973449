//! `SnapshotStore`.

use async_trait::async_trait;
use postq_core::error::StoreError;
use postq_core::id::PublicationId;
use postq_core::store::{Snapshot, SnapshotStore};
use tokio_postgres::Row;

use crate::args::args;
use crate::error::Fault;
use crate::rows::{json, whole};
use crate::store::PgStore;
use crate::tx::{Sql, read};

#[async_trait]
impl SnapshotStore for PgStore {
    async fn insert(&self, snapshots: &[Snapshot]) -> Result<(), StoreError> {
        read!(self, "insert snapshots", |sql| insert(sql, snapshots))
    }

    async fn of(&self, publication: PublicationId) -> Result<Vec<Snapshot>, StoreError> {
        let load = "SELECT * FROM {s}.metrics_snapshots WHERE publication_id = $1 ORDER BY at";
        read!(self, "load snapshots", |sql| sql.all(load, args![publication.as_uuid()], snapshot))
    }
}

async fn insert(sql: Sql<'_>, snapshots: &[Snapshot]) -> Result<(), Fault> {
    let counts: Result<Vec<_>, _> =
        snapshots.iter().map(|snapshot| serde_json::to_string(&snapshot.counts)).collect();
    let ids = snapshots.iter().map(|snapshot| snapshot.publication_id.as_uuid());
    let insert = "INSERT INTO {s}.metrics_snapshots (publication_id, at, counts)
         SELECT * FROM unnest($1, $2, $3) ON CONFLICT DO NOTHING";
    let args = args![
        ids.collect::<Vec<_>>(),
        snapshots.iter().map(|snapshot| whole(snapshot.at)).collect::<Vec<_>>(),
        counts?,
    ];
    sql.run(insert, args).await?;
    Ok(())
}

fn snapshot(row: &Row) -> Result<Snapshot, Fault> {
    Ok(Snapshot {
        publication_id: PublicationId::from_uuid(row.try_get("publication_id")?),
        at: row.try_get("at")?,
        counts: json(row, "counts")?,
    })
}
