//! The published suite, against an X-shaped server.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake_x::{Canned, Fault, Faults, Target};
use postq_core::conformance::platform::{Live, PlatformHarness, Trouble};
use postq_core::content::Part;
use postq_core::platform::{Identity, Platform};

use support::{Bench, bench_with};

async fn fresh() -> Arc<dyn PlatformHarness> {
    Arc::new(bench_with(|config| config.send_timeout = Duration::from_millis(500)).await)
}

#[async_trait]
impl PlatformHarness for Bench {
    fn platform(&self) -> &dyn Platform {
        &self.x
    }

    fn who(&self) -> Identity {
        self.who.clone()
    }

    async fn live(&self) -> Option<Vec<Live>> {
        let live = self.server.ledger().accepted.into_iter();
        Some(live.map(|post| Live { remote_id: post.id, reply_to: post.reply_to }).collect())
    }

    fn bad(&self) -> Option<Vec<Part>> {
        Some(vec![Part::text("good"), Part::text("word ".repeat(60)), Part::text(" ")])
    }

    async fn next(&self, trouble: Trouble) -> bool {
        match trouble {
            // As rude as can be: it tells everything back.
            Trouble::Refuse => {
                let text = &self.good()[0].text;
                let body = format!(r#"{{"title":"Forbidden","detail":"not '{text}' by tok-42"}}"#);
                self.server.answer(Target::Create, Canned::new(403, body));
            }
            Trouble::CutAfterAccepting => self.server.set_faults(Faults::script([Fault::CutAfter])),
            Trouble::Hang => self.server.set_faults(Faults::script([Fault::HangAfter])),
        }
        true
    }
}

postq_core::platform_conformance!(fresh);
