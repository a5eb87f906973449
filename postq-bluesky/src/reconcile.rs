//! [`Reconcile`] for Bluesky: reads the record under the part's own key.
//!
//! The server answers from the repository itself, at once, so there is nothing to compare that could be mistaken.
//! No token is needed: an account whose session has ended is still looked at. A record that has another text, or
//! answers another post, was changed by somebody, or an earlier version of the post came out late: a person
//! decides.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::failure::{Failure, FailureClass, Outcome};
use postq_core::platform::{Identity, Look, Lookup, Reconcile};
use postq_http::Hidden;
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Bluesky, Deadline, MOST_OF_ONE};
use crate::error::{Problem, unread};
use crate::publish::receipt;
use crate::record::{COLLECTION, StrongRef, time, uri};
use crate::session::Session;
use crate::tid;

#[async_trait]
impl Reconcile for Bluesky {
    fn settle_time(&self) -> Duration {
        self.config.settle_time
    }

    /// Ends within `send_timeout`.
    async fn look<'a>(&self, who: &Identity, lookup: Lookup<'a>) -> Result<Look, Failure> {
        self.search(who, lookup).await.map_err(about_the_look)
    }
}

/// A failed look must not be taken for a refused call: it says nothing about what is out, and its
/// limits are those of reading.
fn about_the_look(failure: Failure) -> Failure {
    Failure { outcome: Outcome::Unknown, limits: Vec::new(), ..failure }
}

impl Bluesky {
    async fn search(&self, who: &Identity, lookup: Lookup<'_>) -> Result<Look, Failure> {
        let (intent, deadline) = (lookup.intent, self.deadline());
        let session = Session::read(who.secret.as_ref(), &self.places)?;
        let did = self.did(who, &session, deadline).await?;
        let place = Place { pds: &session.pds, did: &did, rkey: &tid::of_key(&intent.key) };
        let (Some(stored), now) = self.stored(place, deadline).await? else {
            return Ok(Look::Absent);
        };
        let sought = Sought { text: &intent.text, reply_to: intent.reply_to.as_deref() };
        let found = receipt(intent.part, &stored.reference, place, stored.made_at(), now);
        let why = match () {
            () if lookup.claimed.contains(&found.remote_id) => "belongs to another publication",
            () if !stored.is(&sought) => "is under its key, but is not what was sent",
            () => return Ok(Look::Found(found)),
        };
        Ok(Look::CannotTell(format!("post {} {why}", stored.reference.uri)))
    }

    /// The record at a place, if there is one, and the time.
    pub(crate) async fn stored(
        &self,
        place: Place<'_>,
        deadline: Deadline,
    ) -> Result<(Option<Stored>, DateTime<Utc>), Failure> {
        let query = [("repo", place.did), ("collection", COLLECTION), ("rkey", place.rkey)];
        let request = self.get(place.pds, "com.atproto.repo.getRecord").query(&query);
        let answer = deadline
            .ask(request, MOST_OF_ONE)
            .await
            .map_err(|lost| lost.into_failure(Hidden::default()))?;
        let now = self.server_now(&answer);
        if Problem::read(&answer).is_no_record() {
            return Ok((None, now));
        }
        let Some(written) = answer.success::<Written>() else {
            return Err(unread(&answer, Hidden::default(), now));
        };
        let reference =
            written.cid.and_then(|cid| StrongRef::parse(&format!("{}#{cid}", written.uri)));
        match reference.filter(|read| read.uri == uri(place.did, place.rkey)) {
            Some(reference) => Ok((Some(Stored { reference, value: written.value }), now)),
            None => {
                let message = "bluesky answered a look with another record";
                Err(Failure::unknown(FailureClass::Platform, message))
            }
        }
    }
}

/// Where a record is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) pds: &'a str,
    pub(crate) did: &'a str,
    pub(crate) rkey: &'a str,
}

/// What a record must be to be a part.
pub(crate) struct Sought<'a> {
    pub(crate) text: &'a str,
    pub(crate) reply_to: Option<&'a str>,
}

#[derive(Deserialize)]
struct Written {
    uri: String,
    cid: Option<String>,
    value: Value,
}

/// A record that is there.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) reference: StrongRef,
    value: Value,
}

impl Stored {
    pub(crate) fn is(&self, sought: &Sought<'_>) -> bool {
        let parent = self.value["reply"]["parent"]["uri"].as_str();
        let answers = sought.reply_to.map(|id| id.rsplit_once('#').map_or(id, |(uri, _)| uri));
        self.value["text"].as_str() == Some(sought.text) && parent == answers
    }

    pub(crate) fn made_at(&self) -> Option<DateTime<Utc>> {
        time(self.value["createdAt"].as_str()?)
    }
}
