//! [`Stage`] for Instagram: makes the container of a part and waits until it can be published.
//!
//! ```text
//! each file of a carousel: make -> ask until FINISHED
//! the whole:               make -> ask until FINISHED -> ready
//! ERROR that may pass, EXPIRED: begin anew, a few times
//! ```
//!
//! A container that nobody publishes does no harm: a step whose answer is lost is made again.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::failure::{Failure, FailureClass};
use postq_core::platform::{Identity, Outgoing, PreparedMedia, Stage, UploadStep};
use postq_http::{Answer, Hidden};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Instagram;
use super::container::{Plan, Status};
use crate::client::{Created, Token, is_id};
use crate::error::{Meaning, meaning_of_status, not_published, unpublished};

/// Containers end a day after they were made; this is the hour before, so that none ends under way.
const LIVES: TimeDelta = TimeDelta::hours(23);
/// A part is begun anew so often.
const MOST_BEGINNINGS: u32 = 3;
/// Questions whether one container is ready: at most a quarter of an hour.
const MOST_POLLS: u32 = 60;
/// The longest wait between two questions.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// How far a part is: what is written down between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// Containers of files that are ready, in their order.
    children: Vec<String>,
    /// The container that is waited for, and how often it was asked for.
    waiting: Option<(String, u32)>,
    /// When the first container was made.
    since: DateTime<Utc>,
    /// How often it was begun.
    begun: u32,
}

impl Progress {
    fn new(now: DateTime<Utc>, begun: u32) -> Self {
        Self { children: Vec::new(), waiting: None, since: now, begun: begun + 1 }
    }

    fn is_ours(&self) -> bool {
        let waiting = self.waiting.iter().map(|(id, _)| id);
        self.children.iter().chain(waiting).all(|id| is_id(id))
    }
}

#[async_trait]
impl Stage for Instagram {
    async fn step<'a>(
        &self,
        who: &Identity,
        part: Outgoing<'a>,
        state: Option<&'a Value>,
        now: DateTime<Utc>,
    ) -> Result<UploadStep, Failure> {
        let until = self.graph.deadline();
        let plan = Plan::of(&part)?;
        let token = self.graph.token(who)?;
        let build = Build { instagram: self, who, part, plan, token, until, now };
        // What another version wrote down is begun anew, and so is what would end under way.
        let known = state.and_then(|state| Progress::deserialize(state).ok());
        let known = known.filter(|known| known.is_ours() && known.since + LIVES > now);
        let progress = known.unwrap_or_else(|| Progress::new(now, 0));
        build.step(progress).await.map_err(not_published)
    }
}

/// One step.
struct Build<'a> {
    instagram: &'a Instagram,
    who: &'a Identity,
    part: Outgoing<'a>,
    plan: Plan,
    token: Token,
    until: Instant,
    now: DateTime<Utc>,
}

impl Build<'_> {
    async fn step(&self, progress: Progress) -> Result<UploadStep, Failure> {
        let Some((container, polls)) = progress.waiting.clone() else {
            return self.make(progress).await;
        };
        match self.instagram.status(&container, &self.token, self.until).await? {
            Status::Finished => self.finished(progress, container),
            Status::InProgress if polls >= MOST_POLLS => {
                let message = format!("instagram still works on it after {polls} questions");
                Err(Failure::not_published(FailureClass::Platform, message))
            }
            Status::InProgress => {
                let waiting = Some((container, polls + 1));
                going(&Progress { waiting, ..progress }, wait(polls))
            }
            Status::Expired => self.begin_again(&progress, "it has expired"),
            Status::Error(why) => self.failed(&progress, &why),
            Status::Published => {
                let message =
                    "the container that was built is published already; look at the account";
                Err(Failure::not_published(FailureClass::Internal, message))
            }
        }
    }

    /// Makes the next container.
    async fn make(&self, progress: Progress) -> Result<UploadStep, Failure> {
        let body = match self.plan.children.get(progress.children.len()) {
            Some(child) => child.clone(),
            None => {
                let mut whole = self.plan.whole.clone();
                if !progress.children.is_empty() {
                    whole["children"] = json!(progress.children.join(","));
                }
                whole
            }
        };
        let graph = &self.instagram.graph;
        let node = self.instagram.node(self.who, &self.token, self.until).await?;
        let path = format!("/{node}/media");
        let made = graph.post(&path, &body, &self.token, self.until).await;
        let answer = made.map_err(|lost| lost.into_failure(self.hidden()))?;
        let Some(id) = Created::of(&answer) else { return Err(self.refused(&answer)) };
        // Pictures are ready at once, most of the time.
        going(&Progress { waiting: Some((id, 0)), ..progress }, Duration::ZERO)
    }

    fn finished(&self, progress: Progress, container: String) -> Result<UploadStep, Failure> {
        let mut children = progress.children;
        if children.len() < self.plan.children.len() {
            children.push(container);
            return going(&Progress { children, waiting: None, ..progress }, Duration::ZERO);
        }
        Ok(UploadStep::Ready(PreparedMedia {
            remote_id: container,
            expires_at: Some(progress.since + LIVES),
        }))
    }

    fn failed(&self, progress: &Progress, why: &str) -> Result<UploadStep, Failure> {
        match meaning_of_status(why) {
            Some(Meaning::Refused) => {
                let message = self.hidden().hide(&format!("instagram could not work on it: {why}"));
                Err(Failure::not_published(FailureClass::Content, message))
            }
            // Also where it does not say why: a few times, then it is a failure.
            _ => self.begin_again(progress, &self.hidden().hide(why)),
        }
    }

    fn begin_again(&self, progress: &Progress, why: &str) -> Result<UploadStep, Failure> {
        if progress.begun >= MOST_BEGINNINGS {
            let message =
                format!("instagram could not work on it, {} times: {why}", progress.begun);
            return Err(Failure::not_published(FailureClass::Platform, message));
        }
        going(&Progress::new(self.now, progress.begun), wait(progress.begun))
    }

    fn refused(&self, answer: &Answer) -> Failure {
        unpublished(answer, (self.instagram.graph.name, self.hidden()))
    }

    fn hidden(&self) -> Hidden<'_> {
        Hidden::secret(self.token.expose()).with_texts([self.part.text])
    }
}

/// 1, 2, 4, 8, then 15 s.
fn wait(before: u32) -> Duration {
    Duration::from_secs(1 << before.min(4)).min(LONGEST_WAIT)
}

fn going(progress: &Progress, wait: Duration) -> Result<UploadStep, Failure> {
    let state = serde_json::to_value(progress).expect("plain data");
    Ok(UploadStep::Going { state, wait })
}
