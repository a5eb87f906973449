//! Facebook Pages: the Page's own posts and videos are the witness. Nothing renews a Page's token: it does not end.

use std::sync::Arc;
use std::time::Duration;

use fake_meta::{APP_ID, APP_SECRET, FakeMeta};
use postq::core::connect::Grant;
use postq::core::content::Part;
use postq::core::memory::MemoryMedia;
use postq::core::platform::Platform;
use postq_meta::{Facebook as Adapter, FacebookConfig};

use crate::between::{Asked, Kind, Reply};
use crate::files::{PICTURE, VIDEO, file};
use crate::town::{BACK, Live, Renews, Sent, Town, agreed};
use crate::world::{SEND, SETTLE};

pub(crate) struct Facebook(FakeMeta);

impl Town for Facebook {
    const RENEWS: Renews = Renews::Never;

    async fn start() -> Self {
        Self(FakeMeta::start().await.expect("a free port"))
    }

    fn server(&self) -> String {
        self.0.root()
    }

    fn adapter(&self, at: &str, _: &MemoryMedia) -> Arc<dyn Platform> {
        let config = FacebookConfig {
            base_url: format!("{at}/v25.0"),
            video_base_url: format!("{at}/v25.0"),
            authorize_url: format!("{at}/dialog/oauth"),
            app_id: Some(APP_ID.to_owned()),
            app_secret: Some(APP_SECRET.into()),
            redirect_uri: Some(BACK.to_owned()),
            send_timeout: SEND,
            settle_time: SETTLE,
            ..FacebookConfig::default()
        };
        Arc::new(Adapter::new(config).expect("settings that fit"))
    }

    async fn connect(&self, _: &str) -> (String, Grant) {
        let adapter = self.adapter(&self.server(), &MemoryMedia::default());
        agreed(adapter.connect().expect("it connects")).await
    }

    fn posts(word: &str) -> Vec<Sent> {
        let of = |name, source, text: String| {
            let part = Part { media: vec![file(source)], ..Part::text(text) };
            Sent::new(name, vec![part]).prepared()
        };
        vec![
            Sent::new("a text", vec![Part::text(word)]).taken_once(),
            of("a picture", PICTURE, format!("{word} in a picture")).taken_once(),
            of("a video", VIDEO, format!("{word} in a video")),
        ]
    }

    fn kind(asked: &Asked) -> Kind {
        match asked.what().as_str() {
            "POST feed" => Kind::Create,
            "POST videos" if asked.body.contains(r#""finish""#) => Kind::Create,
            "POST photos" | "POST videos" => Kind::Build,
            "GET me" | "GET accounts" | "GET access_token" => Kind::Other,
            // The lists of posts and videos, and a video itself.
            what if what.starts_with("GET ") => Kind::Look,
            _ => Kind::Other,
        }
    }

    fn live(&self) -> Vec<Live> {
        let posts = self.0.ledger().accepted.into_iter();
        posts.map(|post| Live { ids: vec![post.id, post.listed_as], reply_to: None }).collect()
    }

    fn hide(&self, hide: Duration) {
        self.0.change(|world| world.faults.hide = hide);
    }

    fn refusal() -> Reply {
        error(100, 0, "(#100) Invalid parameter")
    }

    fn duplicate() -> Option<Reply> {
        Some(error(506, 0, "Duplicate status message"))
    }

    fn ended() -> Reply {
        error(190, 463, "Error validating access token: Session has expired")
    }

    fn dead() -> Reply {
        error(190, 460, "Error validating access token: The session has been invalidated")
    }
}

/// A refusal as Meta writes it.
pub(crate) fn error(code: u32, subcode: u32, message: &str) -> Reply {
    let body = format!(
        r#"{{"error":{{"message":"{message}","type":"OAuthException","code":{code},"error_subcode":{subcode},"is_transient":false}}}}"#
    );
    Reply::new(400, body)
}
