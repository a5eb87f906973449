//! The engine inside a program of your own: one SQLite file, no service.
//!
//! `cargo run --example embed`

use std::sync::Arc;

use postq::core::clock::SystemClock;
use postq::core::content::Content;
use postq::engine::desk::{Submission, When};
use postq::engine::dry_run::DryRun;
use postq::engine::{Engine, Settings};
use postq::sqlite::SqliteStore;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(folder.path().join("posts.db"))?;
    let engine = Engine::builder(store.backend())
        .platform(Arc::new(DryRun::new(Arc::new(SystemClock))))
        .settings(Settings::default())
        .build()?;

    // The engine runs beside the program until it is told to stop.
    let shutdown = CancellationToken::new();
    let mut reports = engine.reports();
    let running = tokio::spawn({
        let (engine, shutdown) = (engine.clone(), shutdown.clone());
        async move { engine.run(shutdown).await }
    });

    // Posts come in over the desk: checked, resolved, stored.
    let post = Submission::new(Content::text("Hello from inside."), ["dry_run:me"], When::Now);
    let submitted = engine.desk().submit(post).await?;
    let report = reports.recv().await?;
    assert_eq!(report.schedule, Some(submitted.schedule));
    eprintln!("{:?}", report.result);

    shutdown.cancel();
    running.await?;
    Ok(())
}
