//! [`Stage`] for Bluesky: what a record says besides its post is looked up and written down before it is sent, so
//! that every attempt sends the same record.
//!
//! Nothing is made at the server. The time of making is not used for long: a post whose time is past stands
//! further down in its readers' feeds.
//!
//! Whose a handle is, the account's server asks where the handle's owner says, and that place may be slow, or
//! answer nobody. A post does not wait for it: what is not told in three tries stays text.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use postq_core::failure::Failure;
use postq_core::platform::{Identity, Outgoing, PreparedMedia, Stage, UploadStep};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::Bluesky;
use crate::facets::handles;
use crate::record::Frozen;
use crate::session::{Session, is_did};

/// The most accounts that a part mentions: each is asked for.
pub(crate) const MOST_MENTIONS: usize = 10;
/// The time of making is good for so long.
const GOOD_FOR: TimeDelta = TimeDelta::minutes(15);
/// The longest that handles are asked for at once; a quarter of `send_timeout`, where that is shorter.
const PATIENCE: Duration = Duration::from_secs(3);
/// So often, and after such a pause.
const MOST_TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// How far the asking is: what is written down between two steps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Asked {
    /// Whose the handles are that were told so far.
    dids: BTreeMap<String, String>,
    tries: u32,
}

#[async_trait]
impl Stage for Bluesky {
    async fn step<'a>(
        &self,
        who: &Identity,
        part: Outgoing<'a>,
        state: Option<&'a Value>,
        now: DateTime<Utc>,
    ) -> Result<UploadStep, Failure> {
        let session = Session::read(who.secret.as_ref(), &self.places)?;
        let asked = state.and_then(|state| Asked::deserialize(state).ok());
        // What another version wrote down is begun anew.
        let asked = asked.filter(|asked| asked.dids.values().all(|did| is_did(did)));
        let Asked { mut dids, tries } = asked.unwrap_or_default();
        let told = self.ask_whose(&session, part.text, &dids).await;
        dids.extend(told.dids);
        let again = told.is_slow || told.failure.is_some();
        if again && tries + 1 < MOST_TRIES {
            let state = json!(Asked { dids, tries: tries + 1 });
            return Ok(UploadStep::Going { state, wait: PAUSE });
        }
        let (remote_id, expires_at) = (Frozen::new(now, dids).write(), Some(now + GOOD_FOR));
        Ok(UploadStep::Ready(PreparedMedia { remote_id, expires_at }))
    }
}

/// What was told of the handles of a text.
#[derive(Debug, Default)]
struct Told {
    /// Whose they are; without those that nobody has.
    dids: BTreeMap<String, String>,
    /// Some were not told in time.
    is_slow: bool,
    /// Of some the server could not tell.
    failure: Option<Failure>,
}

impl Bluesky {
    /// What a record of this text says besides, as the time is `now`: where nothing was staged. A handle that is
    /// not told of in time is text; trouble of the server's is one more reason not to send yet.
    pub(crate) async fn freeze(
        &self,
        session: &Session,
        text: &str,
        now: DateTime<Utc>,
    ) -> Result<Frozen, Failure> {
        let told = self.ask_whose(session, text, &BTreeMap::new()).await;
        match told.failure {
            Some(failure) => Err(failure),
            None => Ok(Frozen::new(now, told.dids)),
        }
    }

    /// Asks whose the handles of a text are, all at once, without those that are known.
    async fn ask_whose(
        &self,
        session: &Session,
        text: &str,
        known: &BTreeMap<String, String>,
    ) -> Told {
        let patience = PATIENCE.min(self.config.send_timeout / 4);
        let deadline = self.deadline();
        let handles = handles(text).into_iter().take(MOST_MENTIONS);
        let asked = handles.filter(|handle| !known.contains_key(handle)).map(|handle| async move {
            let asking = self.resolve(&session.pds, &handle, deadline);
            (tokio::time::timeout(patience, asking).await.ok(), handle)
        });
        let mut told = Told::default();
        for (answer, handle) in join_all(asked).await {
            match answer {
                None => told.is_slow = true,
                Some(Ok(Some(did))) => drop(told.dids.insert(handle, did)),
                Some(Ok(None)) => {}
                Some(Err(failure)) => told.failure = Some(failure),
            }
        }
        told
    }
}
