//! Reddit: the account's own submissions are the witness. Of a video they tell only what is there: Reddit works on
//! it for a time that nobody knows before it is shown.

use std::sync::Arc;
use std::time::Duration;

use fake_reddit::{CLIENT_ID, FakeReddit};
use postq::core::connect::Grant;
use postq::core::content::Part;
use postq::core::memory::MemoryMedia;
use postq::core::options::OptionValue;
use postq::core::platform::Platform;
use postq_reddit::{Config, Reddit as Adapter};

use crate::between::{Asked, Kind, Reply};
use crate::files::{ANOTHER, PICTURE, VIDEO, file};
use crate::town::{BACK, Live, Renews, Sent, Town, agreed};
use crate::world::{SEND, SETTLE};

pub(crate) struct Reddit(FakeReddit);

impl Town for Reddit {
    const RENEWS: Renews = Renews::Always;

    async fn start() -> Self {
        let server = FakeReddit::start().await.expect("a free port");
        server.set_app("me", "");
        Self(server)
    }

    fn server(&self) -> String {
        self.0.base_url()
    }

    fn adapter(&self, at: &str, _: &MemoryMedia) -> Arc<dyn Platform> {
        let config = Config {
            base_url: at.to_owned(),
            auth_url: at.to_owned(),
            user_agent: "server:postq-tests:1.0 (by /u/me)".to_owned(),
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
        let of = |name, media: &[&str], title: String| {
            let media = media.iter().map(|source| file(source)).collect();
            let part = Part { media, ..Part::text(format!("{title}, and more")) };
            Sent::new(name, vec![part]).with("subreddit", "test").with("title", &title)
        };
        let mut link = of("a link", &[], format!("{word} leads on")).taken_once();
        // Else the same would be refused, and rightly.
        link.options.set("resubmit", OptionValue::Flag(true));
        let video = of("a video", &[VIDEO], format!("{word} in a video")).prepared();
        vec![
            of("a text", &[], word.to_owned()),
            link.with("url", &format!("https://example.com/{word}")),
            of("a picture", &[PICTURE], format!("{word} in a picture")).prepared(),
            of("a gallery", &[PICTURE, ANOTHER], format!("{word} and another")).prepared(),
            Sent { absence_is_told: false, ..video },
        ]
    }

    fn kind(asked: &Asked) -> Kind {
        match (asked.method.as_str(), asked.path.as_str()) {
            ("POST", "/api/submit" | "/api/submit_gallery_post.json") => Kind::Create,
            ("POST", "/api/v1/access_token") => Kind::Grant,
            ("POST", "/api/media/asset.json") => Kind::Build,
            ("GET", path) if path.ends_with("/submitted") => Kind::Look,
            _ => Kind::Other,
        }
    }

    fn live(&self) -> Vec<Live> {
        let posts = self.0.accepted().into_iter();
        let ids = |id: String| vec![format!("t3_{id}"), id];
        posts.map(|post| Live { ids: ids(post.id), reply_to: None }).collect()
    }

    fn hide(&self, hide: Duration) {
        self.0.hide_for(hide);
    }

    fn refusal() -> Reply {
        Reply::new(200, r#"{"json":{"errors":[["BAD_URL","you should check that url","url"]]}}"#)
    }

    fn duplicate() -> Option<Reply> {
        let body =
            r#"{"json":{"errors":[["ALREADY_SUB","that link has already been submitted","url"]]}}"#;
        Some(Reply::new(200, body))
    }

    fn ended() -> Reply {
        Reply::new(401, r#"{"message":"Unauthorized","error":401}"#)
    }

    fn dead() -> Reply {
        Reply::new(400, r#"{"error":"invalid_grant"}"#)
    }
}
