//! Videos: uploaded to the service that works on them, which then has a blob of the account's own server.
//!
//! The right to upload is asked for at the account's server, as a token for this one purpose. The service answers
//! with a job; a file that it has worked on before is answered with an error that still names the job, or the
//! blob.

use std::time::Duration;

use postq_core::failure::{Failure, FailureClass};
use postq_core::platform::{Identity, UploadStep};
use postq_http::{Answer, FileBody, Hidden, Token};
use reqwest::Url;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::{Deadline, MOST_OF_ONE, not_published};
use crate::media::{Step, is_blob, unreadable};

/// The wait between two questions whether the service is done.
const WAIT: Duration = Duration::from_secs(2);
/// Questions whether it is done: an hour of them.
const MOST_POLLS: u32 = 1_800;
/// The right to upload ends after this many seconds.
const RIGHT: i64 = 1_800;

/// An upload is begun anew so often: each time the service has forgotten it.
const MOST_BEGINNINGS: u32 = 5;

/// How far an upload is: what is written down between two steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Progress {
    /// The service's job; none before the file is sent.
    job: Option<String>,
    /// It was asked so often.
    polls: u32,
    /// How often it was begun.
    begun: u32,
}

impl Progress {
    /// The first step, or the first one after the service has forgotten it.
    fn anew(begun: u32) -> UploadStep {
        let progress = Self { begun: begun + 1, ..Self::default() };
        UploadStep::Going { state: json!(progress), wait: Duration::ZERO }
    }
}

#[derive(Deserialize)]
struct Right {
    token: String,
}

/// What the service says of a job: by itself, or inside an object of its name.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Job {
    job_id: String,
    state: String,
    blob: Option<Value>,
    error: Option<String>,
    message: Option<String>,
}

impl Job {
    fn read(answer: &Answer) -> Option<Self> {
        let whole: Value = answer.read()?;
        let inner = whole.get("jobStatus").unwrap_or(&whole);
        let job = Self::deserialize(inner).ok()?;
        (is_job(&job.job_id) || job.blob.as_ref().is_some_and(is_blob)).then_some(job)
    }
}

/// Whether this can be the id of a job.
fn is_job(id: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b':');
    (1..=256).contains(&id.len()) && id.bytes().all(fits)
}

impl Step<'_> {
    /// The next step of a video.
    pub(crate) async fn video(
        &self,
        who: &Identity,
        state: Option<&Value>,
    ) -> Result<UploadStep, Failure> {
        // What another version wrote down is begun anew.
        let progress = state.and_then(|state| Progress::deserialize(state).ok());
        let Some(progress) = progress.filter(|it| it.job.as_deref().is_none_or(is_job)) else {
            return Ok(Progress::anew(0));
        };
        match (&self.bluesky.places.video, &progress.job) {
            (None, _) => self.blob().await,
            (Some(service), Some(job)) => self.poll(service, job, &progress).await,
            (Some(service), None) => {
                let deadline = self.while_sent();
                let did = self.bluesky.did(who, self.session, deadline).await?;
                self.upload(service, &did, deadline, progress.begun).await
            }
        }
    }

    async fn upload(
        &self,
        service: &str,
        did: &str,
        deadline: Deadline,
        begun: u32,
    ) -> Result<UploadStep, Failure> {
        let right = self.right(deadline).await?;
        let right = Token::bare(right)
            .ok_or_else(|| failed("bluesky gave a right to upload that cannot be sent"))?;
        let hidden = Hidden::secret(right.expose());
        let name = format!("{}.mp4", self.file.id);
        let request = self
            .bluesky
            .post(service, "app.bsky.video.uploadVideo")
            .query(&[("did", did), ("name", &name)])
            .header(CONTENT_TYPE, self.file.facts.kind.mime())
            .header(CONTENT_LENGTH, self.file.bytes)
            .body(self.stream().await?);
        let answer = deadline
            .ask(right.sign(request), MOST_OF_ONE)
            .await
            .map_err(|lost| not_published(lost.into_failure(hidden)))?;
        // Worked on before: an error by its status, and a job all the same.
        match Job::read(&answer) {
            Some(job) if answer.status.is_success() || answer.status.is_client_error() => {
                self.worked(job, Progress { begun, ..Progress::default() })
            }
            _ => Err(self.refused(&answer)),
        }
    }

    /// The right to upload a video in the account's name.
    async fn right(&self, deadline: Deadline) -> Result<SecretString, Failure> {
        let host = Url::parse(&self.session.pds).ok();
        let host = host.as_ref().and_then(Url::host_str).unwrap_or_default();
        let ends = (self.file.now.timestamp() + RIGHT).to_string();
        let audience = format!("did:web:{host}");
        let query = [
            ("aud", audience.as_str()),
            ("lxm", "com.atproto.repo.uploadBlob"),
            ("exp", ends.as_str()),
        ];
        let request = self.bluesky.get(&self.session.pds, "com.atproto.server.getServiceAuth");
        let answer = deadline
            .ask(self.session.sign(request.query(&query)), MOST_OF_ONE)
            .await
            .map_err(|lost| not_published(lost.into_failure(self.hidden())))?;
        match answer.success::<Right>() {
            Some(Right { token }) => Ok(token.into()),
            // Whatever is wrong (a clock, say), it is not the file.
            None => Err(match self.refused(&answer) {
                refused if refused.class == FailureClass::Content => {
                    Failure { class: FailureClass::Platform, ..refused }
                }
                refused => refused,
            }),
        }
    }

    async fn poll(
        &self,
        service: &str,
        job: &str,
        progress: &Progress,
    ) -> Result<UploadStep, Failure> {
        let polls = progress.polls;
        if polls >= MOST_POLLS {
            let message = format!("bluesky still works on the video after {polls} questions");
            return Err(failed(&message));
        }
        let request =
            self.bluesky.get(service, "app.bsky.video.getJobStatus").query(&[("jobId", job)]);
        let answer = self
            .bluesky
            .deadline()
            .ask(request, MOST_OF_ONE)
            .await
            .map_err(|lost| not_published(lost.into_failure(self.hidden())))?;
        let asked = Progress { polls: polls + 1, ..progress.clone() };
        match Job::read(&answer).filter(|_| answer.status.is_success()) {
            Some(told) => self.worked(Job { job_id: job.to_owned(), ..told }, asked),
            None if matches!(answer.status.as_u16(), 400 | 404) => forgotten(progress.begun),
            None => Err(self.refused(&answer)),
        }
    }

    /// Whether the service is done.
    fn worked(&self, job: Job, progress: Progress) -> Result<UploadStep, Failure> {
        if let Some(blob) = job.blob.filter(is_blob) {
            return Ok(self.ready(blob));
        }
        if job.state == "JOB_STATE_FAILED" {
            let why = job.message.or(job.error).unwrap_or_else(|| "it does not say why".to_owned());
            let message =
                self.hidden().hide(&format!("bluesky could not work on the video: {why}"));
            return Err(Failure::not_published(FailureClass::Content, message));
        }
        let state = json!(Progress { job: Some(job.job_id), ..progress });
        Ok(UploadStep::Going { state, wait: WAIT })
    }

    /// The file as it is read: a video need not fit into memory.
    pub(crate) async fn stream(&self) -> Result<FileBody, Failure> {
        let (store, id, bytes) = (self.file.store, self.file.id, self.file.bytes);
        let reader = store.open(id, None).await.map_err(|error| unreadable(&error))?;
        let Some(reader) = reader else {
            let message = format!("the file {id} is gone");
            return Err(Failure::not_published(FailureClass::Content, message));
        };
        Ok(FileBody::new(reader, bytes))
    }
}

/// The service knows nothing of the job: the next step sends the file again.
fn forgotten(begun: u32) -> Result<UploadStep, Failure> {
    if begun >= MOST_BEGINNINGS {
        return Err(failed(&format!("bluesky has forgotten the video {begun} times")));
    }
    Ok(Progress::anew(begun))
}

fn failed(message: &str) -> Failure {
    Failure::not_published(FailureClass::Platform, message)
}
