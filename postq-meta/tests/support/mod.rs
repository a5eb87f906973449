//! What the tests of this crate share: a server, adapters for it, and someone to publish for.

#![allow(dead_code, reason = "each test file uses its part of it")]

use std::collections::BTreeSet;
use std::io::Cursor;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fake_meta::{Canned, FakeMeta};
use postq_core::clock::{Clock, SystemClock};
use postq_core::content::MediaRef;
use postq_core::failure::Failure;
use postq_core::id::{AccountId, JobId};
use postq_core::intent::{Intent, PlatformKey};
use postq_core::job::Fence;
use postq_core::media::{MediaFacts, MediaKind, MediaStore};
use postq_core::memory::MemoryMedia;
use postq_core::options::{OptionValue, PostOptions};
use postq_core::platform::{
    Identity, Look, Lookup, Outgoing, Platform, PreparedMedia, Published, UploadFile, UploadStep,
};
use postq_meta::{Facebook, FacebookConfig, Instagram, InstagramConfig};
use serde_json::Value;

/// A server and an adapter that publishes to it for the Page, or the account, 42.
pub(crate) struct Bench<P> {
    pub(crate) server: FakeMeta,
    pub(crate) platform: P,
    pub(crate) who: Identity,
}

pub(crate) async fn page() -> Bench<Facebook> {
    page_with(|_| {}).await
}

pub(crate) async fn page_with(change: impl FnOnce(&mut FacebookConfig)) -> Bench<Facebook> {
    let server = FakeMeta::start().await.expect("a free port");
    let mut config = FacebookConfig {
        base_url: server.base_url(),
        video_base_url: server.base_url(),
        send_timeout: Duration::from_secs(5),
        settle_time: Duration::from_secs(1),
        ..FacebookConfig::default()
    };
    change(&mut config);
    let platform = Facebook::new(config).expect("an adapter");
    Bench { server, platform, who: who("tok-42") }
}

pub(crate) async fn insta() -> Bench<Instagram> {
    insta_with(|_| {}).await
}

pub(crate) async fn insta_with(change: impl FnOnce(&mut InstagramConfig)) -> Bench<Instagram> {
    let server = FakeMeta::start().await.expect("a free port");
    let mut config = InstagramConfig {
        base_url: server.base_url(),
        code_url: format!("{}/oauth/access_token", server.root()),
        authorize_url: format!("{}/oauth/authorize", server.root()),
        send_timeout: Duration::from_secs(5),
        settle_time: Duration::from_secs(1),
        ..InstagramConfig::default()
    };
    change(&mut config);
    let platform = Instagram::new(config).expect("an adapter");
    Bench { server, platform, who: who("tok-42") }
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

/// An intent made just now.
pub(crate) fn intent(text: &str) -> Intent {
    let job = JobId::new();
    Intent {
        job,
        fence: Fence(1),
        part: 0,
        key: PlatformKey::derive(job, 0),
        text: text.into(),
        options: PostOptions::default(),
        media: Vec::new(),
        reply_to: None,
        container: None,
        revision: 1,
        made_at: now(),
    }
}

/// The same, with what Facebook knows its files by.
pub(crate) fn intent_of(text: &str, prepared: &[PreparedMedia]) -> Intent {
    let media = prepared.iter().map(|file| file.remote_id.clone()).collect();
    Intent { media, ..intent(text) }
}

pub(crate) fn option(name: &str, value: &str) -> PostOptions {
    [(name.to_owned(), OptionValue::Text(value.to_owned()))].into_iter().collect()
}

pub(crate) fn media(sources: &[&str]) -> Vec<MediaRef> {
    sources.iter().map(|source| MediaRef { source: (*source).to_owned(), alt: None }).collect()
}

/// A file, as it comes to a platform.
pub(crate) struct File {
    pub(crate) facts: MediaFacts,
    pub(crate) content: Vec<u8>,
    pub(crate) alt: Option<&'static str>,
    pub(crate) url: Option<&'static str>,
}

impl File {
    pub(crate) fn new(kind: MediaKind, content: &[u8]) -> Self {
        let facts = MediaFacts::picture(kind, 1_080, 1_080);
        Self { facts, content: content.to_vec(), alt: None, url: None }
    }

    pub(crate) fn at(kind: MediaKind, url: &'static str) -> Self {
        Self { url: Some(url), ..Self::new(kind, b"content") }
    }
}

impl<P: Platform> Bench<P> {
    /// Publishes what an intent says.
    pub(crate) async fn send(&self, intent: &Intent) -> Result<Published, Failure> {
        self.send_with(intent, &[]).await
    }

    pub(crate) async fn send_with(
        &self,
        intent: &Intent,
        prepared: &[PreparedMedia],
    ) -> Result<Published, Failure> {
        let media = media(&vec!["a file"; prepared.len()]);
        self.platform.publish(&self.who, outgoing(intent, &media, prepared)).await
    }

    pub(crate) async fn publish(&self, text: &str) -> Result<Published, Failure> {
        self.send(&intent(text)).await
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
        let lookup = Lookup { intent, claimed: &claimed, now: now() };
        self.platform.reconcile().expect("it can").look(&self.who, lookup).await
    }

    /// Makes steps until a file is ready; after a failure of the network it goes on.
    pub(crate) async fn upload(&self, file: &File) -> Result<PreparedMedia, Failure> {
        let store = MemoryMedia::default();
        let content = Box::new(Cursor::new(file.content.clone()));
        let stored = store.put(content, u64::MAX).await.expect("put");
        let uploader = self.platform.media().expect("it takes media");
        let mut state: Option<Value> = None;
        for _ in 0..100 {
            let given = UploadFile {
                store: &store,
                id: stored.id,
                bytes: stored.bytes,
                facts: &file.facts,
                alt: file.alt,
                url: file.url,
                now: now(),
            };
            match uploader.step(&self.who, given, state.as_ref()).await? {
                UploadStep::Ready(prepared) => return Ok(prepared),
                UploadStep::Going { state: next, .. } => state = Some(next),
            }
        }
        panic!("an upload does not end");
    }

    /// Makes steps until a part is built; also how often it was asked to wait.
    pub(crate) async fn build(
        &self,
        intent: &Intent,
        media: &[MediaRef],
        prepared: &[PreparedMedia],
    ) -> Result<(PreparedMedia, Vec<Duration>), Failure> {
        let stage = self.platform.stage().expect("it builds");
        let (mut state, mut waits): (Option<Value>, _) = (None, Vec::new());
        for _ in 0..200 {
            let part = outgoing(intent, media, prepared);
            match stage.step(&self.who, part, state.as_ref(), now()).await? {
                UploadStep::Ready(built) => return Ok((built, waits)),
                UploadStep::Going { state: next, wait } => {
                    state = Some(next);
                    waits.push(wait);
                }
            }
        }
        panic!("building does not end");
    }
}

impl Bench<Instagram> {
    /// An intent whose container is built of one picture.
    pub(crate) async fn built(&self, text: &str, options: PostOptions) -> Intent {
        let mut intent = Intent { options, ..intent(text) };
        let prepared =
            self.upload(&File::at(MediaKind::Jpeg, "https://post.example.com/a.jpg")).await;
        let prepared = [prepared.expect("it makes no call")];
        let built = self.build(&intent, &media(&["a.jpg"]), &prepared).await.expect("built");
        intent.container = Some(built.0.remote_id);
        Intent { made_at: now(), ..intent }
    }

    /// The failure of a publish call that gets this answer.
    pub(crate) async fn refused(&self, answer: Canned) -> Failure {
        let intent = self.built("a text", PostOptions::default()).await;
        self.server.answer("POST media_publish", answer);
        self.send(&intent).await.expect_err("a failure")
    }
}

pub(crate) fn outgoing<'a>(
    intent: &'a Intent,
    media: &'a [MediaRef],
    prepared: &'a [PreparedMedia],
) -> Outgoing<'a> {
    Outgoing {
        part: intent.part,
        of: 1,
        text: &intent.text,
        options: &intent.options,
        media,
        prepared,
        container: intent.container.as_deref(),
        reply_to: None,
        thread: None,
        key: &intent.key,
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

/// Why it is not told which post of the account it is.
pub(crate) fn out_somewhere(look: &Look) -> &str {
    match look {
        Look::OutSomewhere(why) => why,
        other => panic!("it is not out, or it is told which it is: {other:?}"),
    }
}
