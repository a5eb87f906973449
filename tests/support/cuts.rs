//! Cutting the connections of a test's own stores to Postgres, wherever they are in their work.

#![allow(dead_code, reason = "each test uses a part of it")]

use postq::core::id::JobId;
use postq_postgres::tokio_postgres::{Client, NoTls, connect};

use crate::backends::Bench;

/// Cuts the connections of one bench.
pub(crate) struct Cuts {
    admin: Client,
    application: String,
}

impl Cuts {
    /// A schema on this server, and what cuts its connections.
    pub(crate) async fn at(url: &str) -> (Bench, Self) {
        let application = format!("cut-{}", JobId::new());
        let bench = Bench::postgres_at(&format!("{url}?application_name={application}")).await;
        let (admin, connection) = connect(url, NoTls).await.expect("a connection");
        tokio::spawn(connection);
        (bench, Self { admin, application })
    }

    /// Cuts all that are there; answers how many, and how many of them were in a transaction.
    pub(crate) async fn cut(&self) -> (i64, i64) {
        let terminate = "SELECT count(pg_terminate_backend(pid)),
                count(*) FILTER (WHERE xact_start IS NOT NULL)
            FROM pg_stat_activity WHERE application_name = $1";
        let row = self.admin.query_one(terminate, &[&self.application]).await.expect("it cuts");
        (row.get(0), row.get(1))
    }
}
