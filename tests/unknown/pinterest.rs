//! Pinterest: the Pins of the board are the witness.

use std::sync::Arc;
use std::time::Duration;

use fake_pinterest::{BOARDS, CLIENT_ID, CLIENT_SECRET, FakePinterest, Faults};
use postq::core::connect::Grant;
use postq::core::content::Part;
use postq::core::memory::MemoryMedia;
use postq::core::platform::Platform;
use postq_pinterest::{Config, Pinterest as Adapter};

use crate::between::{Asked, Kind, Reply};
use crate::files::{PICTURE, VIDEO, file};
use crate::town::{BACK, Live, Renews, Sent, Town, agreed};
use crate::world::{SEND, SETTLE};

pub(crate) struct Pinterest(FakePinterest);

impl Town for Pinterest {
    const RENEWS: Renews = Renews::Once;

    async fn start() -> Self {
        let server = FakePinterest::start().await.expect("a free port");
        server.set_person("42");
        server.set_faults(Faults { polls: 1, ..Faults::default() });
        Self(server)
    }

    fn server(&self) -> String {
        self.0.base_url().trim_end_matches("/v5").to_owned()
    }

    fn adapter(&self, at: &str, files: &MemoryMedia) -> Arc<dyn Platform> {
        let config = Config {
            base_url: format!("{at}/v5"),
            authorize_url: self.0.authorize_url(),
            client_id: Some(CLIENT_ID.to_owned()),
            client_secret: Some(CLIENT_SECRET.into()),
            redirect_uri: Some(BACK.to_owned()),
            send_timeout: SEND,
            settle_time: SETTLE,
            rate_limit: false,
            ..Config::default()
        };
        Arc::new(Adapter::new(config, Arc::new(files.clone())).expect("settings that fit"))
    }

    async fn connect(&self, _: &str) -> (String, Grant) {
        let adapter = self.adapter(&self.server(), &MemoryMedia::default());
        agreed(adapter.connect().expect("it connects")).await
    }

    fn posts(word: &str) -> Vec<Sent> {
        let of = |name, source, text: String| {
            let part = Part { media: vec![file(source)], ..Part::text(text) };
            Sent::new(name, vec![part]).with("board", BOARDS[0].0)
        };
        vec![
            of("a picture", PICTURE, word.to_owned()),
            of("a video", VIDEO, format!("{word} in a video")).prepared(),
        ]
    }

    fn kind(asked: &Asked) -> Kind {
        match (asked.method.as_str(), asked.path.as_str()) {
            ("POST", "/v5/pins") => Kind::Create,
            ("POST", "/v5/oauth/token") => Kind::Grant,
            ("POST", "/v5/media") => Kind::Build,
            ("GET", path) if path.ends_with("/pins") => Kind::Look,
            _ => Kind::Other,
        }
    }

    fn live(&self) -> Vec<Live> {
        let pins = self.0.pins().into_iter();
        pins.map(|pin| Live { ids: vec![pin.id], reply_to: None }).collect()
    }

    fn hide(&self, hide: Duration) {
        self.0.set_faults(Faults { hide, polls: 1, ..Faults::default() });
    }

    fn refusal() -> Reply {
        Reply::new(400, r#"{"code":1,"message":"Invalid parameters."}"#)
    }

    fn duplicate() -> Option<Reply> {
        None
    }

    fn ended() -> Reply {
        Reply::new(401, r#"{"code":2,"message":"Authentication failed."}"#)
    }

    fn dead() -> Reply {
        let body = r#"{"error":"invalid_grant","error_description":"The provided refresh token is invalid."}"#;
        Reply::new(400, body)
    }
}
