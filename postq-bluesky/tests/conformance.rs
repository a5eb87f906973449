//! The published suite, against a server of the AT Protocol.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake_bluesky::{Canned, Fault, Refuses};
use postq_core::conformance::platform::{Live, PlatformHarness, Trouble};
use postq_core::content::Part;
use postq_core::platform::{Identity, Platform};

use support::{Bench, PUT, bench_with, intent, now, outgoing};

async fn fresh() -> Arc<dyn PlatformHarness> {
    Arc::new(bench_with(|config| config.send_timeout = Duration::from_millis(500)).await)
}

#[async_trait]
impl PlatformHarness for Bench {
    fn platform(&self) -> &dyn Platform {
        &self.bluesky
    }

    fn who(&self) -> Identity {
        self.who.clone()
    }

    async fn live(&self) -> Option<Vec<Live>> {
        let live = |post: &fake_bluesky::Post| Live {
            remote_id: post.remote_id(),
            reply_to: post.reply_to(),
        };
        Some(self.server.ledger().posts.iter().map(live).collect())
    }

    fn bad(&self) -> Option<Vec<Part>> {
        Some(vec![Part::text("good"), Part::text("word ".repeat(61)), Part::text(" ")])
    }

    async fn container(&self, part: usize) -> Option<String> {
        let intent = intent(&self.good()[part].text);
        Some(self.stage(outgoing(&intent), now()).await.expect("staged").remote_id)
    }

    async fn next(&self, trouble: Trouble) -> bool {
        match trouble {
            // As rude as can be: it tells everything back.
            Trouble::Refuse => {
                let token = self.who.secret.as_ref().map(secrecy_of).unwrap_or_default();
                let words = format!("not '{}' by {token}", self.good()[0].text);
                self.server.answer(PUT, Canned::error(400, "InvalidRequest", &words));
            }
            Trouble::CutAfterAccepting => self.server.meet([Fault::CutAfter]),
            Trouble::Hang => self.server.meet([Fault::HangAfter]),
        }
        true
    }
}

fn secrecy_of(secret: &secrecy::SecretString) -> String {
    secrecy::ExposeSecret::expose_secret(secret).to_owned()
}

postq_core::platform_conformance!(fresh);
