//! What became of a video: its upload has an id before it is published, so its own status is the witness.
//!
//! | status | what it says |
//! |---|---|
//! | published, or `ready` | it is out |
//! | `uploading` | its last phase never came: it is not out |
//! | `processing` | not yet |
//! | `error`, `expired`, no such video | it is not out, and may have been: a person decides |

use std::time::Instant;

use postq_core::failure::{Failure, FailureClass};
use postq_core::intent::Receipt;
use postq_core::platform::{Look, Lookup};
use serde::Deserialize;

use super::{Facebook, NAME, address};
use crate::client::Token;
use crate::insights::Told;

impl Facebook {
    /// Asks how a video stands.
    pub(super) async fn look_at_video(
        &self,
        id: &str,
        lookup: &Lookup<'_>,
        (token, until): (&Token, Instant),
    ) -> Result<Look, Failure> {
        let (path, query) = (format!("/{id}"), [("fields", "status")]);
        let unknown = |what: &str| {
            let message = format!("{NAME} {what}");
            Err(Failure::unknown(FailureClass::Platform, message))
        };
        let status = match self.graph.told::<Shown>(&path, &query, token, until).await? {
            Told::Here(Shown { status: Some(status) }) => status,
            Told::Here(Shown { status: None }) | Told::Refused => {
                return unknown("does not tell the status of the video");
            }
            Told::Missing => {
                let why = "facebook does not know the video any more: look at the Page";
                return Ok(Look::CannotTell(why.to_owned()));
            }
        };
        if status.is_published() {
            return Ok(Look::Found(Receipt {
                part: lookup.intent.part,
                remote_id: id.to_owned(),
                url: Some(address(id)),
                published_at: lookup.intent.made_at,
                dry_run: false,
            }));
        }
        match status.video_status.as_deref() {
            Some("uploading") => Ok(Look::Absent),
            Some("processing") => unknown("still works on the video"),
            Some("error" | "expired") => Ok(Look::CannotTell(
                "the video failed while it was published: look at the Page".to_owned(),
            )),
            _ => unknown("tells a status of the video that is not known"),
        }
    }
}

#[derive(Deserialize)]
struct Shown {
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    video_status: Option<String>,
    publishing_phase: Option<Phase>,
}

#[derive(Deserialize)]
struct Phase {
    status: Option<String>,
    publish_status: Option<String>,
}

impl Status {
    /// Where its phase is told, that counts: what is ready need not be published.
    fn is_published(&self) -> bool {
        let is_ready = self.video_status.as_deref() == Some("ready");
        match &self.publishing_phase {
            None => is_ready,
            Some(Phase { status: None, publish_status: None }) => is_ready,
            Some(Phase { publish_status: Some(told), .. }) => told == "published",
            Some(Phase { status, .. }) => status.as_deref() == Some("complete"),
        }
    }
}
