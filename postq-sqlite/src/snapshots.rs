//! `SnapshotStore`.

use async_trait::async_trait;
use postq_core::error::StoreError;
use postq_core::id::PublicationId;
use postq_core::store::{Snapshot, SnapshotStore};
use rusqlite::{Row, params};

use crate::rows::{blob, json, micros, time, uuid};
use crate::store::SqliteStore;

#[async_trait]
impl SnapshotStore for SqliteStore {
    async fn insert(&self, snapshots: &[Snapshot]) -> Result<(), StoreError> {
        let snapshots = snapshots.to_vec();
        let sql = "INSERT OR IGNORE INTO metrics_snapshots (publication_id, at, counts)
                   VALUES (?, ?, ?)";
        self.write("insert snapshots", move |tx| {
            for snapshot in &snapshots {
                let id = blob(snapshot.publication_id.as_uuid());
                let counts = serde_json::to_string(&snapshot.counts)?;
                tx.run(sql, params![id, micros(snapshot.at), counts])?;
            }
            Ok(())
        })
        .await
    }

    async fn of(&self, publication: PublicationId) -> Result<Vec<Snapshot>, StoreError> {
        let id = blob(publication.as_uuid());
        let sql = "SELECT * FROM metrics_snapshots WHERE publication_id = ? ORDER BY at";
        self.read("load snapshots", move |tx| Ok(tx.all(sql, [id], snapshot)?)).await
    }
}

fn snapshot(row: &Row<'_>) -> rusqlite::Result<Snapshot> {
    Ok(Snapshot {
        publication_id: PublicationId::from_uuid(uuid(row, "publication_id")?),
        at: time(row, "at")?,
        counts: json(row, "counts")?,
    })
}
