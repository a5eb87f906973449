//! The published suite, against a Pinterest-shaped server.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake_pinterest::{BOARDS, Canned, Fault, Faults, Target};
use postq_core::conformance::platform::{Live, PlatformHarness, Trouble};
use postq_core::content::Part;
use postq_core::media::MediaKind;
use postq_core::options::PostOptions;
use postq_core::platform::{Identity, Platform, PreparedMedia};

use support::{Bench, bench_with, media, options};

async fn fresh() -> Arc<dyn PlatformHarness> {
    Arc::new(bench_with(|config| config.send_timeout = Duration::from_millis(500)).await)
}

#[async_trait]
impl PlatformHarness for Bench {
    fn platform(&self) -> &dyn Platform {
        &self.pinterest
    }

    fn who(&self) -> Identity {
        self.who.clone()
    }

    async fn live(&self) -> Option<Vec<Live>> {
        let live = self.server.pins().into_iter();
        Some(live.map(|pin| Live { remote_id: pin.id, reply_to: None }).collect())
    }

    fn good(&self) -> Vec<Part> {
        let text = "conformance of postq: the only part".to_owned();
        vec![Part { text, media: vec![media("cat.jpg", Some("a cat"))] }]
    }

    fn options(&self) -> PostOptions {
        options(&[("board", BOARDS[0].1), ("title", "A title")])
    }

    async fn prepared(&self, _part: usize) -> Vec<PreparedMedia> {
        vec![Bench::prepared(self, MediaKind::Jpeg, 500).await]
    }

    fn bad(&self) -> Option<Vec<Part>> {
        Some(vec![Part::text("word ".repeat(200)), Part::text("a thread")])
    }

    async fn next(&self, trouble: Trouble) -> bool {
        match trouble {
            // As rude as can be: it tells everything back.
            Trouble::Refuse => {
                let text = &self.good()[0].text;
                let body = format!(r#"{{"code":1,"message":"not '{text}' by tok-42"}}"#);
                self.server.answer(Target::Create, Canned::new(400, body));
            }
            Trouble::CutAfterAccepting => self.server.set_faults(Faults::script([Fault::CutAfter])),
            Trouble::Hang => self.server.set_faults(Faults::script([Fault::HangAfter])),
        }
        true
    }
}

postq_core::platform_conformance!(fresh);
