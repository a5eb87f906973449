//! Bluesky: the record under the part's own key is the witness, and a second write would be the same record.

use std::sync::Arc;
use std::time::Duration;

use fake_bluesky::FakeBluesky;
use postq::core::connect::Grant;
use postq::core::content::Part;
use postq::core::memory::MemoryMedia;
use postq::core::platform::Platform;
use postq_bluesky::{Bluesky as Adapter, Config};
use secrecy::{ExposeSecret, SecretString};

use crate::between::{Asked, Kind, Reply};
use crate::files::{PICTURE, file};
use crate::town::{Live, Renews, Sent, Town};
use crate::world::{SEND, SETTLE};

const PASSWORD: &str = "app-password";
const HANDLE: &str = "alice.test";

pub(crate) struct Bluesky(FakeBluesky);

impl Bluesky {
    fn adapter_at(&self, at: &str) -> Adapter {
        let config = Config {
            service_url: at.to_owned(),
            plc_url: at.to_owned(),
            appview_url: at.to_owned(),
            video_url: Some(at.to_owned()),
            send_timeout: SEND,
            settle_time: SETTLE,
            rate_limit: false,
            ..Config::default()
        };
        Adapter::new(config).expect("settings that fit")
    }
}

impl Town for Bluesky {
    const RENEWS: Renews = Renews::Once;

    async fn start() -> Self {
        let server = FakeBluesky::start().await.expect("a free port");
        server.add_user(HANDLE, PASSWORD);
        Self(server)
    }

    fn server(&self) -> String {
        self.0.url()
    }

    fn adapter(&self, at: &str, _: &MemoryMedia) -> Arc<dyn Platform> {
        Arc::new(self.adapter_at(at))
    }

    async fn connect(&self, at: &str) -> (String, Grant) {
        let adapter = self.adapter_at(&self.server());
        let (grant, whose) = adapter.sign_in(HANDLE, &PASSWORD.into()).await.expect("a session");
        // A session names its server: here the one that stands between.
        let there = |token: &SecretString| -> SecretString {
            token.expose_secret().replace(&self.server(), at).into()
        };
        let grant = Grant {
            access_token: there(&grant.access_token),
            refresh_token: grant.refresh_token.as_ref().map(there),
            ..grant
        };
        (whose.remote_id, grant)
    }

    fn posts(word: &str) -> Vec<Sent> {
        let mut picture = Part::text(format!("{word} in a picture"));
        picture.media.push(file(PICTURE));
        let mut posts = vec![
            Sent::new("a text", vec![Part::text(word)]),
            Sent::new("a picture", vec![picture]).prepared(),
        ];
        posts.extend(Sent::threads(word));
        posts.into_iter().map(Sent::taken_once).collect()
    }

    fn kind(asked: &Asked) -> Kind {
        match asked.path.trim_start_matches("/xrpc/") {
            "com.atproto.repo.putRecord" => Kind::Create,
            "com.atproto.repo.uploadBlob" => Kind::Build,
            "com.atproto.repo.getRecord" => Kind::Look,
            "com.atproto.server.refreshSession" => Kind::Grant,
            _ => Kind::Other,
        }
    }

    fn live(&self) -> Vec<Live> {
        let posts = self.0.ledger().posts.into_iter();
        posts.map(|post| Live { ids: vec![post.remote_id()], reply_to: post.reply_to() }).collect()
    }

    /// The account's own server tells of a record at once.
    fn hide(&self, _: Duration) {}

    fn refusal() -> Reply {
        Reply::new(
            400,
            r#"{"error":"InvalidRequest","message":"Invalid app.bsky.feed.post record"}"#,
        )
    }

    fn duplicate() -> Option<Reply> {
        Some(Reply::new(400, r#"{"error":"InvalidSwap","message":"Record was at bafyreia"}"#))
    }

    fn ended() -> Reply {
        Reply::new(400, r#"{"error":"ExpiredToken","message":"Token has expired"}"#)
    }

    fn dead() -> Reply {
        Reply::new(400, r#"{"error":"ExpiredToken","message":"Token has been revoked"}"#)
    }
}
