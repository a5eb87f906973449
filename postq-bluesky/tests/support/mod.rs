//! What the tests of this crate share: a server, an adapter for it, and someone to publish for.

#![allow(dead_code, reason = "each test file uses its part of it")]

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fake_bluesky::{Canned, FakeBluesky};
use postq_bluesky::{Bluesky, Config};
use postq_core::clock::{Clock, SystemClock};
use postq_core::failure::Failure;
use postq_core::id::{AccountId, JobId};
use postq_core::intent::{Intent, PlatformKey};
use postq_core::job::Fence;
use postq_core::options::PostOptions;
use postq_core::platform::{
    Identity, Look, Lookup, Outgoing, Platform, PreparedMedia, Published, Reconcile, Stage,
    UploadStep,
};
use serde_json::Value;

pub(crate) const PUT: &str = "com.atproto.repo.putRecord";
pub(crate) const GET: &str = "com.atproto.repo.getRecord";

/// A server and an adapter that publishes to it for `alice.test`.
pub(crate) struct Bench {
    pub(crate) server: FakeBluesky,
    pub(crate) bluesky: Bluesky,
    pub(crate) who: Identity,
    pub(crate) did: String,
}

pub(crate) async fn bench() -> Bench {
    bench_with(|_| {}).await
}

pub(crate) async fn bench_with(change: impl FnOnce(&mut Config)) -> Bench {
    let server = FakeBluesky::start().await.expect("a free port");
    let did = server.add_user("alice.test", "app-password");
    let mut config = Config {
        service_url: server.url(),
        plc_url: server.url(),
        appview_url: server.url(),
        video_url: Some(server.url()),
        send_timeout: Duration::from_secs(5),
        ..Config::default()
    };
    change(&mut config);
    let bluesky = Bluesky::new(config).expect("an adapter");
    let who = who(&server.session(&did), Some(&did));
    Bench { server, bluesky, who, did }
}

pub(crate) fn who(secret: &str, did: Option<&str>) -> Identity {
    Identity {
        account: AccountId::new(),
        name: "test".into(),
        remote_id: did.map(str::to_owned),
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

pub(crate) fn options(json: &str) -> PostOptions {
    serde_json::from_str(json).expect("options")
}

pub(crate) fn outgoing(intent: &Intent) -> Outgoing<'_> {
    let reply_to = intent.reply_to.as_deref();
    Outgoing {
        part: intent.part,
        of: intent.part + 1,
        text: &intent.text,
        options: &intent.options,
        media: &[],
        prepared: &[],
        container: intent.container.as_deref(),
        reply_to,
        thread: reply_to,
        key: &intent.key,
    }
}

impl Bench {
    pub(crate) async fn publish(&self, text: &str) -> Result<Published, Failure> {
        self.send(&intent(text)).await
    }

    pub(crate) async fn send(&self, intent: &Intent) -> Result<Published, Failure> {
        self.bluesky.publish(&self.who, outgoing(intent)).await
    }

    /// What a part is staged as, as the time is `now`.
    pub(crate) async fn stage(
        &self,
        part: Outgoing<'_>,
        now: DateTime<Utc>,
    ) -> Result<PreparedMedia, Failure> {
        let mut state = None;
        for _ in 0..10 {
            match Stage::step(&self.bluesky, &self.who, part, state.as_ref(), now).await? {
                UploadStep::Ready(ready) => return Ok(ready),
                UploadStep::Going { state: next, wait } => {
                    assert!(wait > Duration::ZERO, "it does not ask without a pause");
                    state = Some(next);
                }
            }
        }
        panic!("it does not end")
    }

    /// The failure of one call that gets this answer.
    pub(crate) async fn failure(&self, answer: Canned) -> Failure {
        self.server.answer(PUT, answer);
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
        self.bluesky.look(&self.who, Lookup { intent, claimed: &claimed, now: now() }).await
    }

    /// The bodies of the requests of a method so far.
    pub(crate) fn bodies(&self, method: &str) -> Vec<Value> {
        let seen = self.server.seen().into_iter();
        let of_method = seen.filter(|seen| seen.target == format!("/xrpc/{method}"));
        of_method.map(|seen| serde_json::from_str(&seen.body).expect("JSON")).collect()
    }

    /// The record of the last post that is out.
    pub(crate) fn last(&self) -> Value {
        self.server.ledger().posts.last().expect("a post").record.clone()
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
