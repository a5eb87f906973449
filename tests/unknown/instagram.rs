//! Instagram: the container is the witness, which is published once, and then the account's own posts.

use std::sync::Arc;
use std::time::Duration;

use fake_meta::{APP_ID, APP_SECRET, FakeMeta};
use postq::core::connect::Grant;
use postq::core::content::Part;
use postq::core::memory::MemoryMedia;
use postq::core::platform::Platform;
use postq_meta::{Instagram as Adapter, InstagramConfig};

use crate::between::{Asked, Kind, Reply};
use crate::facebook::error;
use crate::files::{ANOTHER, PICTURE, file};
use crate::town::{BACK, Live, Renews, Sent, Town, agreed};
use crate::world::{SEND, SETTLE};

pub(crate) struct Instagram(FakeMeta);

impl Town for Instagram {
    const RENEWS: Renews = Renews::Always;

    async fn start() -> Self {
        Self(FakeMeta::start().await.expect("a free port"))
    }

    fn server(&self) -> String {
        self.0.root()
    }

    fn adapter(&self, at: &str, _: &MemoryMedia) -> Arc<dyn Platform> {
        let config = InstagramConfig {
            base_url: format!("{at}/v25.0"),
            code_url: format!("{at}/oauth/access_token"),
            authorize_url: format!("{at}/oauth/authorize"),
            app_id: Some(APP_ID.to_owned()),
            app_secret: Some(APP_SECRET.into()),
            redirect_uri: Some(BACK.to_owned()),
            send_timeout: SEND,
            settle_time: SETTLE,
            ..InstagramConfig::default()
        };
        Arc::new(Adapter::new(config).expect("settings that fit"))
    }

    async fn connect(&self, _: &str) -> (String, Grant) {
        let adapter = self.adapter(&self.server(), &MemoryMedia::default());
        agreed(adapter.connect().expect("it connects")).await
    }

    fn posts(word: &str) -> Vec<Sent> {
        let of = |name, sources: &[&str], text: String| {
            let media = sources.iter().map(|source| file(source)).collect();
            Sent::new(name, vec![Part { media, ..Part::text(text) }]).prepared()
        };
        vec![
            of("a picture", &[PICTURE], word.to_owned()),
            of("a carousel", &[PICTURE, ANOTHER], format!("{word} and another")),
            // Without a text: nothing but its container tells it from others.
            of("a story", &[PICTURE], String::new()).with("kind", "story"),
        ]
    }

    fn kind(asked: &Asked) -> Kind {
        match asked.what().as_str() {
            "POST media_publish" => Kind::Create,
            "POST media" => Kind::Build,
            "GET refresh_access_token" => Kind::Grant,
            "GET content_publishing_limit" | "GET me" => Kind::Other,
            // A container's status, and the list of posts.
            what if what.starts_with("GET ") => Kind::Look,
            _ => Kind::Other,
        }
    }

    fn live(&self) -> Vec<Live> {
        let posts = self.0.ledger().accepted.into_iter();
        posts.map(|post| Live { ids: vec![post.id], reply_to: None }).collect()
    }

    fn hide(&self, hide: Duration) {
        self.0.change(|world| world.faults.hide = hide);
    }

    fn refusal() -> Reply {
        error(100, 0, "(#100) Invalid parameter")
    }

    fn duplicate() -> Option<Reply> {
        None
    }

    fn ended() -> Reply {
        error(190, 463, "Error validating access token: Session has expired")
    }

    fn dead() -> Reply {
        error(190, 460, "Error validating access token: The session has been invalidated")
    }
}
