//! What the tests of this crate share: a server, an adapter for it, and someone to publish for.

#![allow(dead_code, reason = "each test file uses its part of it")]

pub(crate) mod bucket;

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fake_pinterest::{BOARDS, Canned, FakePinterest, Target};
use postq_core::clock::{Clock, SystemClock};
use postq_core::content::MediaRef;
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::{AccountId, JobId};
use postq_core::intent::{Intent, PlatformKey};
use postq_core::job::Fence;
use postq_core::media::{MediaFacts, MediaId, MediaKind, MediaStore};
use postq_core::memory::MemoryMedia;
use postq_core::options::{OptionValue, PostOptions};
use postq_core::platform::{
    Identity, Look, Lookup, Media, Outgoing, Platform, PreparedMedia, Published, Reconcile,
    UploadFile, UploadStep,
};
use postq_pinterest::{Config, Pinterest};
use serde_json::Value;

/// More than a scheduler takes from a busy machine.
pub(crate) const SLACK: Duration = Duration::from_millis(250);

/// A server and an adapter that publishes to it for the user 42.
pub(crate) struct Bench {
    pub(crate) server: FakePinterest,
    pub(crate) files: MemoryMedia,
    pub(crate) pinterest: Pinterest,
    pub(crate) who: Identity,
}

pub(crate) async fn bench() -> Bench {
    bench_with(|_| {}).await
}

pub(crate) async fn bench_with(change: impl FnOnce(&mut Config)) -> Bench {
    let server = FakePinterest::start().await.expect("a free port");
    let mut config = Config {
        base_url: server.base_url(),
        send_timeout: Duration::from_secs(5),
        settle_time: Duration::from_secs(1),
        ..Config::default()
    };
    change(&mut config);
    let files = MemoryMedia::default();
    let pinterest = Pinterest::new(config, Arc::new(files.clone())).expect("an adapter");
    Bench { server, files, pinterest, who: who("tok-42") }
}

pub(crate) fn who(secret: &str) -> Identity {
    Identity {
        account: AccountId::new(),
        name: "test".into(),
        remote_id: Some("42".into()),
        secret: Some(secret.to_owned().into()),
    }
}

pub(crate) fn now() -> DateTime<Utc> {
    SystemClock.now()
}

pub(crate) fn options(pairs: &[(&str, &str)]) -> PostOptions {
    let value = |text: &str| match text.parse() {
        // A board's id is digits as well, and a text.
        Ok(number) if text.len() < 5 => OptionValue::Number(number),
        _ => OptionValue::Text(text.to_owned()),
    };
    pairs.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect()
}

/// An intent made just now, for the first board.
pub(crate) fn intent(text: &str) -> Intent {
    intent_with(text, &[("board", BOARDS[0].0)])
}

pub(crate) fn intent_with(text: &str, pairs: &[(&str, &str)]) -> Intent {
    let job = JobId::new();
    Intent {
        job,
        fence: Fence(1),
        part: 0,
        key: PlatformKey::derive(job, 0),
        text: text.into(),
        options: options(pairs),
        media: Vec::new(),
        reply_to: None,
        container: None,
        revision: 1,
        made_at: now(),
    }
}

pub(crate) fn media(source: &str, alt: Option<&str>) -> MediaRef {
    MediaRef { source: source.into(), alt: alt.map(str::to_owned) }
}

/// Bytes that begin as a file of the kind does.
pub(crate) fn content(kind: MediaKind, bytes: usize) -> Vec<u8> {
    let head: &[u8] = match kind {
        MediaKind::Jpeg => b"\xff\xd8\xff\xe0",
        MediaKind::Png => b"\x89PNG\r\n\x1a\n",
        _ => b"\0\0\0\x18ftypisom",
    };
    let tail = (head.len()..bytes).map(|i| u8::try_from(i % 251).expect("below 251"));
    head.iter().copied().chain(tail).collect()
}

/// A file that is being prepared, and how far it is.
pub(crate) struct Preparing<'a> {
    bench: &'a Bench,
    pub(crate) id: MediaId,
    bytes: u64,
    facts: MediaFacts,
    pub(crate) state: Option<Value>,
    pub(crate) waits: Vec<Duration>,
    steps: usize,
}

impl Preparing<'_> {
    pub(crate) async fn step(&mut self) -> Result<Option<PreparedMedia>, Failure> {
        self.step_with(&self.bench.pinterest).await
    }

    /// The next step on another node.
    pub(crate) async fn step_with(
        &mut self,
        pinterest: &Pinterest,
    ) -> Result<Option<PreparedMedia>, Failure> {
        let file = UploadFile {
            store: &self.bench.files,
            id: self.id,
            bytes: self.bytes,
            facts: &self.facts,
            alt: None,
            url: None,
            now: now(),
        };
        self.steps += 1;
        assert!(self.steps < 300, "it does not end");
        match pinterest.step(&self.bench.who, file, self.state.as_ref()).await? {
            UploadStep::Ready(prepared) => Ok(Some(prepared)),
            UploadStep::Going { state, wait } => {
                self.state = Some(state);
                self.waits.push(wait);
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

impl Bench {
    pub(crate) async fn preparing(&self, kind: MediaKind, content: Vec<u8>) -> Preparing<'_> {
        let stored = self.files.put(Box::new(Cursor::new(content)), u64::MAX).await.expect("put");
        let facts = MediaFacts::picture(kind, 640, 480);
        let (id, bytes) = (stored.id, stored.bytes);
        Preparing { bench: self, id, bytes, facts, state: None, waits: Vec::new(), steps: 0 }
    }

    pub(crate) async fn prepared(&self, kind: MediaKind, bytes: usize) -> PreparedMedia {
        self.preparing(kind, content(kind, bytes)).await.finish().await.expect("prepared")
    }

    /// Publishes a Pin with one picture.
    pub(crate) async fn publish(&self, text: &str) -> Result<Published, Failure> {
        self.send(&intent(text)).await
    }

    pub(crate) async fn send(&self, intent: &Intent) -> Result<Published, Failure> {
        let prepared = [self.prepared(MediaKind::Jpeg, 100).await];
        self.send_with(intent, &[media("cat.jpg", None)], &prepared).await
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
        self.pinterest.publish(&self.who, part).await
    }

    /// Publishes these files, in order.
    pub(crate) async fn send_files(
        &self,
        intent: &Intent,
        files: &[(MediaKind, Option<&str>)],
    ) -> Result<Published, Failure> {
        let (mut refs, mut prepared) = (Vec::new(), Vec::new());
        for (number, (kind, alt)) in files.iter().enumerate() {
            refs.push(media(&format!("file-{number}"), *alt));
            prepared.push(self.prepared(*kind, 100 + number).await);
        }
        self.send_with(intent, &refs, &prepared).await
    }

    /// The failure of one call that gets this answer.
    pub(crate) async fn failure(&self, answer: Canned) -> Failure {
        self.server.answer(Target::Create, answer);
        self.publish("a text").await.expect_err("a failure")
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
        self.pinterest.look(&self.who, Lookup { intent, claimed: &claimed, now: now() }).await
    }

    /// The requests to a path, by its beginning.
    pub(crate) fn calls(&self, method: &str, path: &str) -> usize {
        let seen = self.server.seen();
        seen.iter().filter(|it| it.method == method && it.target.starts_with(path)).count()
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
