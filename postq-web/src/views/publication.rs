//! Publications.

use chrono::{DateTime, Utc};
use postq_core::store::Publication;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::views::job::ReceiptView;

/// What a publish job made.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Publication)]
pub(crate) struct PublicationView {
    id: Uuid,
    job_id: Uuid,
    post_id: Uuid,
    account_id: Uuid,
    /// The platform's id of the first part.
    remote_id: String,
    /// Where people see it.
    url: Option<String>,
    published_at: DateTime<Utc>,
    /// Proof of every part.
    parts: Vec<ReceiptView>,
}

impl From<Publication> for PublicationView {
    fn from(publication: Publication) -> Self {
        Self {
            id: publication.id.as_uuid(),
            job_id: publication.job_id.as_uuid(),
            post_id: publication.post_id.as_uuid(),
            account_id: publication.account_id.as_uuid(),
            remote_id: publication.remote_id,
            url: publication.url,
            published_at: publication.published_at,
            parts: publication.parts.into_iter().map(ReceiptView::from).collect(),
        }
    }
}
