//! What the tests of this crate share: a server, an adapter for it, and someone to publish for.

#![allow(dead_code, reason = "each test file uses its part of it")]

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fake_x::{Canned, FakeX, Target};
use postq_core::clock::{Clock, SystemClock};
use postq_core::failure::Failure;
use postq_core::id::{AccountId, JobId};
use postq_core::intent::{Intent, PlatformKey};
use postq_core::job::Fence;
use postq_core::options::{NO_OPTIONS, PostOptions};
use postq_core::platform::{Identity, Look, Lookup, Outgoing, Platform, Published, Reconcile};
use postq_x::{Config, X};

/// A server and an adapter that publishes to it for the user 42.
pub(crate) struct Bench {
    pub(crate) server: FakeX,
    pub(crate) x: X,
    pub(crate) who: Identity,
}

pub(crate) async fn bench() -> Bench {
    bench_with(|_| {}).await
}

pub(crate) async fn bench_with(change: impl FnOnce(&mut Config)) -> Bench {
    let server = FakeX::start().await.expect("a free port");
    let mut config = Config {
        base_url: server.base_url(),
        send_timeout: Duration::from_secs(5),
        settle_time: Duration::from_secs(1),
        ..Config::default()
    };
    change(&mut config);
    Bench { server, x: X::new(config).expect("an adapter"), who: who("tok-42") }
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

pub(crate) fn reply(text: &str, parent: &str) -> Intent {
    Intent { part: 1, reply_to: Some(parent.into()), ..intent(text) }
}

impl Bench {
    pub(crate) async fn publish(&self, text: &str) -> Result<Published, Failure> {
        self.send(&intent(text)).await
    }

    pub(crate) async fn send(&self, intent: &Intent) -> Result<Published, Failure> {
        let reply_to = intent.reply_to.as_deref();
        let part = Outgoing {
            part: intent.part,
            of: intent.part + 1,
            text: &intent.text,
            options: &NO_OPTIONS,
            media: &[],
            prepared: &[],
            container: None,
            reply_to,
            thread: reply_to,
            key: &intent.key,
        };
        self.x.publish(&self.who, part).await
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
        self.x.look(&self.who, Lookup { intent, claimed: &claimed, now: now() }).await
    }

    /// What a look makes of a list with these posts, in the given order.
    pub(crate) async fn look_at(&self, intent: &Intent, posts: &str) -> Look {
        let body = format!(r#"{{"data":[{posts}],"meta":{{"result_count":1}}}}"#);
        self.server.answer(Target::List, Canned::new(200, body));
        self.look(intent).await.expect("a look")
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
