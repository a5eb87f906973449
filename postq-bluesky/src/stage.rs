//! [`Stage`] for Bluesky: what a record says besides its post is looked up and written down before it is sent, so
//! that every attempt sends the same record.
//!
//! Nothing is made at the server. The time of making is not used for long: a post whose time is past stands
//! further down in its readers' feeds.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::failure::Failure;
use postq_core::platform::{Identity, Outgoing, PreparedMedia, Stage, UploadStep};
use serde_json::Value;

use crate::client::{Bluesky, Deadline};
use crate::facets::handles;
use crate::record::Frozen;
use crate::session::Session;

/// The most accounts that a part mentions: each is asked for.
pub(crate) const MOST_MENTIONS: usize = 10;
/// The time of making is good for so long.
const GOOD_FOR: TimeDelta = TimeDelta::minutes(15);

#[async_trait]
impl Stage for Bluesky {
    async fn step<'a>(
        &self,
        who: &Identity,
        part: Outgoing<'a>,
        _: Option<&'a Value>,
        now: DateTime<Utc>,
    ) -> Result<UploadStep, Failure> {
        let session = Session::read(who.secret.as_ref(), &self.places)?;
        let frozen = self.freeze(&session, part.text, now, self.deadline()).await?;
        let (remote_id, expires_at) = (frozen.write(), Some(now + GOOD_FOR));
        Ok(UploadStep::Ready(PreparedMedia { remote_id, expires_at }))
    }
}

impl Bluesky {
    /// What a record of this text says besides, as the time is `now`.
    pub(crate) async fn freeze(
        &self,
        session: &Session,
        text: &str,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Frozen, Failure> {
        let mut dids = BTreeMap::new();
        for handle in handles(text).into_iter().take(MOST_MENTIONS) {
            if let Some(did) = self.resolve(&session.pds, &handle, deadline).await? {
                dids.insert(handle, did);
            }
        }
        Ok(Frozen::new(now, dids))
    }
}
