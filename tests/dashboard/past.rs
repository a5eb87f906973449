//! What is out since days, and what the platform has counted of it: put where the daemon keeps it.

use chrono::{DateTime, Duration, Utc};
use postq::core::id::PublicationId;
use postq::core::metrics::{Snapshot, Visibility};
use rusqlite::{Connection, params};
use serde_json::json;
use uuid::Uuid;

use crate::support::Home;

/// A count: so long after publishing, the impressions and the likes; none where it was gone.
pub(crate) type Count = (Duration, Option<(u64, u64)>);

/// The past of one account of X.
pub(crate) struct Past<'a> {
    home: &'a Home,
    account: Uuid,
    database: Connection,
    snapshots: Vec<Snapshot>,
}

impl<'a> Past<'a> {
    pub(crate) fn of(home: &'a Home, account: &str) -> Self {
        let database = Connection::open(home.database()).expect("the database opens");
        database.busy_timeout(std::time::Duration::from_secs(30)).expect("a time");
        let account = account.parse().expect("an id");
        Self { home, account, database, snapshots: Vec::new() }
    }

    /// A post that came out then; answers its publication.
    pub(crate) fn published(&mut self, text: &str, at: DateTime<Utc>, counts: &[Count]) -> Uuid {
        let [post, job, publication] = [(); 3].map(|()| Uuid::now_v7());
        let content = json!({ "parts": [{ "text": text, "media": [] }], "variants": {} });
        let account = self.account.as_bytes();
        self.database
            .execute(
                "INSERT INTO posts (id, tenant_id, content, has_media, revision, created_at)
                 SELECT ?1, tenant_id, ?2, 0, 1, ?3 FROM accounts WHERE id = ?4",
                params![post.as_bytes(), content.to_string(), at.timestamp_micros(), account],
            )
            .expect("a post");
        self.database
            .execute(
                "INSERT INTO published_posts
                     (id, tenant_id, job_id, post_id, account_id, remote_id, url, published_at, parts, poll_at)
                 SELECT ?1, tenant_id, ?2, ?3, ?4, ?5, ?6, ?7, '[]', NULL FROM accounts WHERE id = ?4",
                params![
                    publication.as_bytes(),
                    job.as_bytes(),
                    post.as_bytes(),
                    account,
                    job.simple().to_string(),
                    format!("https://x.com/i/status/{}", job.as_u128() % 1_000_000),
                    at.timestamp_micros(),
                ],
            )
            .expect("a publication");
        self.count(publication, at, counts);
        publication
    }

    /// What was counted of a publication that is there.
    pub(crate) fn count(&mut self, publication: Uuid, at: DateTime<Utc>, counts: &[Count]) {
        let id = PublicationId::from_uuid(publication);
        self.snapshots.extend(counts.iter().map(|(age, counted)| {
            let (impressions, likes) = counted.unwrap_or_default();
            let counts =
                [("impression_count".to_owned(), impressions), ("like_count".to_owned(), likes)];
            match counted {
                Some(_) => Snapshot::shown(id, at + *age, counts.into()),
                None => Snapshot {
                    state: Visibility::Deleted,
                    ..Snapshot::shown(id, at + *age, [].into())
                },
            }
        }));
    }

    /// Writes down what was counted.
    pub(crate) async fn told(self) {
        let metrics = self.home.store().backend().metrics;
        for some in self.snapshots.chunks(500) {
            metrics.insert(some).await.expect("snapshots");
        }
    }
}
