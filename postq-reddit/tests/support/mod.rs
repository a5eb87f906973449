//! What the tests of this crate share: a server, an adapter for it, and someone to publish for.

#![allow(dead_code, reason = "each test file uses its part of it")]

use std::collections::BTreeSet;
use std::io::Cursor;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fake_reddit::{Canned, FakeReddit, Target};
use postq_core::clock::{Clock, SystemClock};
use postq_core::content::MediaRef;
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::{AccountId, JobId};
use postq_core::intent::{Intent, PlatformKey};
use postq_core::job::Fence;
use postq_core::media::{MediaFacts, MediaKind, MediaStore};
use postq_core::memory::MemoryMedia;
use postq_core::options::PostOptions;
use postq_core::platform::{
    Identity, Look, Lookup, Media, Outgoing, Platform, PreparedMedia, Published, Reconcile,
    UploadFile, UploadStep,
};
use postq_reddit::{Config, Reddit};
use serde_json::Value;

/// A server and an adapter that publishes to it for the user `me`.
pub(crate) struct Bench {
    pub(crate) server: FakeReddit,
    pub(crate) reddit: Reddit,
    pub(crate) who: Identity,
}

pub(crate) async fn bench() -> Bench {
    bench_with(|_| {}).await
}

pub(crate) async fn bench_with(change: impl FnOnce(&mut Config)) -> Bench {
    let server = FakeReddit::start().await.expect("a free port");
    let mut config = Config {
        base_url: server.base_url(),
        auth_url: server.base_url(),
        user_agent: "server:postq-tests:1.0 (by /u/me)".to_owned(),
        send_timeout: Duration::from_secs(5),
        settle_time: Duration::from_secs(1),
        ..Config::default()
    };
    change(&mut config);
    Bench { server, reddit: Reddit::new(config).expect("an adapter"), who: who("tok-me") }
}

pub(crate) fn who(secret: &str) -> Identity {
    Identity {
        account: AccountId::new(),
        name: "test".into(),
        remote_id: Some("me".into()),
        secret: Some(secret.to_owned().into()),
    }
}

pub(crate) fn now() -> DateTime<Utc> {
    SystemClock.now()
}

pub(crate) fn options(json: &str) -> PostOptions {
    serde_json::from_str(json).expect("options")
}

/// Options of a post in `r/test`, with further ones.
pub(crate) fn titled(title: &str, more: &str) -> PostOptions {
    let title = serde_json::to_string(title).expect("JSON");
    options(&format!(r#"{{"subreddit":"test","title":{title}{more}}}"#))
}

/// An intent made just now.
pub(crate) fn intent(text: &str, options: PostOptions) -> Intent {
    let job = JobId::new();
    Intent {
        job,
        fence: Fence(1),
        part: 0,
        key: PlatformKey::derive(job, 0),
        text: text.into(),
        options,
        media: Vec::new(),
        reply_to: None,
        container: None,
        revision: 1,
        made_at: now(),
    }
}

/// The same, with what Reddit knows its files by.
pub(crate) fn intent_of(text: &str, options: PostOptions, prepared: &[PreparedMedia]) -> Intent {
    let media = prepared.iter().map(|file| file.remote_id.clone()).collect();
    Intent { media, ..intent(text, options) }
}

pub(crate) fn files(captions: &[Option<&str>]) -> Vec<MediaRef> {
    let file = |alt: &Option<&str>| MediaRef { source: "a".into(), alt: alt.map(str::to_owned) };
    captions.iter().map(file).collect()
}

impl Bench {
    pub(crate) async fn publish(
        &self,
        text: &str,
        options: PostOptions,
    ) -> Result<Published, Failure> {
        self.send(&intent(text, options)).await
    }

    pub(crate) async fn send(&self, intent: &Intent) -> Result<Published, Failure> {
        self.send_with(intent, &[], &[]).await
    }

    pub(crate) async fn send_with(
        &self,
        intent: &Intent,
        media: &[MediaRef],
        prepared: &[PreparedMedia],
    ) -> Result<Published, Failure> {
        let part = Outgoing {
            part: intent.part,
            of: 1,
            text: &intent.text,
            options: &intent.options,
            media,
            prepared,
            container: None,
            reply_to: None,
            thread: None,
            key: &intent.key,
        };
        self.reddit.publish(&self.who, part).await
    }

    /// Publishes an intent with its files; the answer is lost.
    pub(crate) async fn lose(&self, intent: &Intent, prepared: &[PreparedMedia]) {
        self.server.faults([fake_reddit::Fault::CutAfter]);
        let media = files(&vec![None; prepared.len()]);
        self.send_with(intent, &media, prepared).await.expect_err("cut");
    }

    /// The failure of one call that gets this answer.
    pub(crate) async fn failure(&self, answer: Canned) -> Failure {
        self.server.answer(Target::Submit, answer);
        self.publish("a text", titled("a title", "")).await.expect_err("a failure")
    }

    pub(crate) async fn look(&self, intent: &Intent) -> Result<Look, Failure> {
        self.look_besides(intent, &[]).await
    }

    pub(crate) async fn look_besides(
        &self,
        intent: &Intent,
        claimed: &[&str],
    ) -> Result<Look, Failure> {
        let claimed: BTreeSet<String> = claimed.iter().map(|&id| id.to_owned()).collect();
        self.reddit.look(&self.who, Lookup { intent, claimed: &claimed, now: now() }).await
    }

    /// A file that Reddit has taken in.
    pub(crate) async fn uploaded(&self, kind: MediaKind, content: &[u8]) -> PreparedMedia {
        let mut uploading = Uploading::of(self, kind, content.to_vec()).await;
        uploading.finish().await.expect("uploaded")
    }
}

/// A file that is being uploaded, and how far it is.
pub(crate) struct Uploading<'a> {
    bench: &'a Bench,
    store: MemoryMedia,
    id: postq_core::media::MediaId,
    bytes: u64,
    facts: MediaFacts,
    pub(crate) state: Option<Value>,
    pub(crate) steps: usize,
}

impl<'a> Uploading<'a> {
    pub(crate) async fn of(bench: &'a Bench, kind: MediaKind, content: Vec<u8>) -> Self {
        let store = MemoryMedia::default();
        let stored = store.put(Box::new(Cursor::new(content)), u64::MAX).await.expect("put");
        let facts = MediaFacts::picture(kind, 640, 480);
        Self { bench, store, id: stored.id, bytes: stored.bytes, facts, state: None, steps: 0 }
    }

    pub(crate) async fn step(&mut self) -> Result<Option<PreparedMedia>, Failure> {
        let file = UploadFile {
            store: &self.store,
            id: self.id,
            bytes: self.bytes,
            facts: &self.facts,
            alt: None,
            url: None,
            now: now(),
        };
        self.steps += 1;
        assert!(self.steps < 50, "it does not end");
        match self.bench.reddit.step(&self.bench.who, file, self.state.as_ref()).await? {
            UploadStep::Ready(prepared) => Ok(Some(prepared)),
            UploadStep::Going { state, .. } => {
                self.state = Some(state);
                Ok(None)
            }
        }
    }

    /// Goes on after every failure that is not for good.
    pub(crate) async fn finish(&mut self) -> Result<PreparedMedia, Failure> {
        loop {
            match self.step().await {
                Ok(Some(prepared)) => return Ok(prepared),
                Err(failure) if failure.class == FailureClass::Content => return Err(failure),
                Ok(None) | Err(_) => {}
            }
        }
    }
}

/// The id that was found.
pub(crate) fn found(look: &Look) -> &str {
    match look {
        Look::Found(receipt) => &receipt.remote_id,
        other => panic!("not found: {other:?}"),
    }
}

pub(crate) fn cannot_tell(look: &Look) -> &str {
    match look {
        Look::CannotTell(why) => why,
        other => panic!("it can be told: {other:?}"),
    }
}
