//! X: its own posts are the witness.

use std::sync::Arc;
use std::time::Duration;

use fake_x::{CLIENT_ID, FakeX, Faults};
use postq::core::connect::Grant;
use postq::core::content::Part;
use postq::core::memory::MemoryMedia;
use postq::core::platform::Platform;
use postq::x::{Config, X as Adapter};

use crate::between::{Asked, Kind, Reply};
use crate::files::{PICTURE, file};
use crate::town::{BACK, Live, Renews, Sent, Town, agreed};
use crate::world::{SEND, SETTLE};

pub(crate) struct X(FakeX);

impl Town for X {
    const RENEWS: Renews = Renews::Once;
    const EMPTY_LOOKS: usize = 1;

    async fn start() -> Self {
        let server = FakeX::start().await.expect("a free port");
        server.set_app("42", None);
        Self(server)
    }

    fn server(&self) -> String {
        self.0.base_url().trim_end_matches("/2").to_owned()
    }

    fn adapter(&self, at: &str, _: &MemoryMedia) -> Arc<dyn Platform> {
        let config = Config {
            base_url: format!("{at}/2"),
            authorize_url: self.0.authorize_url(),
            client_id: Some(CLIENT_ID.to_owned()),
            redirect_uri: Some(BACK.to_owned()),
            send_timeout: SEND,
            settle_time: SETTLE,
            rate_limit: false,
            ..Config::default()
        };
        Arc::new(Adapter::new(config).expect("settings that fit"))
    }

    async fn connect(&self, _: &str) -> (String, Grant) {
        let adapter = self.adapter(&self.server(), &MemoryMedia::default());
        agreed(adapter.connect().expect("it connects")).await
    }

    fn posts(word: &str) -> Vec<Sent> {
        let mut picture = Part::text(format!("{word}picture"));
        picture.media.push(file(PICTURE));
        let mut posts = vec![
            Sent::new("a text", vec![Part::text(word)]),
            Sent::new("a picture", vec![picture]).prepared(),
        ];
        posts.extend(Sent::threads(word));
        posts.into_iter().map(Sent::taken_once).collect()
    }

    fn kind(asked: &Asked) -> Kind {
        match (asked.method.as_str(), asked.path.as_str()) {
            ("POST", "/2/tweets") => Kind::Create,
            ("POST", "/2/oauth2/token") => Kind::Grant,
            ("POST", path) if path.starts_with("/2/media/") => Kind::Build,
            ("GET", path) if path.ends_with("/tweets") => Kind::Look,
            _ => Kind::Other,
        }
    }

    fn live(&self) -> Vec<Live> {
        let posts = self.0.ledger().accepted.into_iter();
        posts.map(|post| Live { ids: vec![post.id], reply_to: post.reply_to }).collect()
    }

    fn hide(&self, hide: Duration) {
        self.0.set_faults(Faults { hide, ..Faults::default() });
    }

    fn refusal() -> Reply {
        Reply::new(
            400,
            r#"{"title":"Invalid Request","detail":"One or more parameters is invalid."}"#,
        )
    }

    fn duplicate() -> Option<Reply> {
        let body = r#"{"title":"Forbidden","detail":"You are not allowed to create a Tweet with duplicate content.","status":403}"#;
        Some(Reply::new(403, body))
    }

    fn ended() -> Reply {
        Reply::new(
            401,
            r#"{"title":"Unauthorized","type":"about:blank","status":401,"detail":"Unauthorized"}"#,
        )
    }

    fn dead() -> Reply {
        let body = r#"{"error":"invalid_request","error_description":"Value passed for the token was invalid."}"#;
        Reply::new(400, body)
    }
}
