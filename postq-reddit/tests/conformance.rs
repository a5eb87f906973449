//! The published suite, against a Reddit-shaped server: text posts, links and galleries.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake_reddit::{Canned, Fault, Target};
use postq_core::conformance::platform::{Live, PlatformHarness, Trouble};
use postq_core::content::{MediaRef, Part};
use postq_core::media::MediaKind;
use postq_core::options::PostOptions;
use postq_core::platform::{Identity, Platform, PreparedMedia};

use support::{Bench, bench_with, files, options};

/// What kind of post the good content is.
#[derive(Clone, Copy)]
enum Good {
    Own,
    Link,
    Gallery,
}

struct Harness {
    bench: Bench,
    good: Good,
}

impl Harness {
    async fn fresh(good: Good) -> Arc<dyn PlatformHarness> {
        let bench = bench_with(|config| config.send_timeout = Duration::from_millis(500)).await;
        Arc::new(Self { bench, good })
    }

    fn media(&self) -> Vec<MediaRef> {
        match self.good {
            Good::Gallery => files(&[Some("a caption"), None]),
            Good::Own | Good::Link => Vec::new(),
        }
    }
}

#[async_trait]
impl PlatformHarness for Harness {
    fn platform(&self) -> &dyn Platform {
        &self.bench.reddit
    }

    fn who(&self) -> Identity {
        self.bench.who.clone()
    }

    async fn live(&self) -> Option<Vec<Live>> {
        let live = self.bench.server.accepted().into_iter();
        Some(live.map(|post| Live { remote_id: post.id, reply_to: None }).collect())
    }

    fn good(&self) -> Vec<Part> {
        let text = "conformance of postq: *some* & <text> 👩‍👩‍👧 e\u{301}".to_owned();
        vec![Part { text, media: self.media() }]
    }

    fn options(&self) -> PostOptions {
        let url = match self.good {
            // So that it may be sent again and again, as the suite does.
            Good::Link => r#","url":"https://example.com/?a=1&b=2","resubmit":true"#,
            Good::Own | Good::Gallery => "",
        };
        let title = "A title for  conformance & <more> 👍";
        options(&format!(r#"{{"subreddit":"r/Test","title":"{title}"{url}}}"#))
    }

    async fn prepared(&self, _part: usize) -> Vec<PreparedMedia> {
        let mut prepared = Vec::new();
        for (n, _) in self.media().iter().enumerate() {
            let content = [137, u8::try_from(n).expect("few")];
            prepared.push(self.bench.uploaded(MediaKind::Png, &content).await);
        }
        prepared
    }

    fn bad(&self) -> Option<Vec<Part>> {
        Some(vec![Part::text("x".repeat(40_001)), Part::text("another part")])
    }

    async fn next(&self, trouble: Trouble) -> bool {
        match trouble {
            // As rude as can be: it tells everything back.
            Trouble::Refuse => {
                let (text, title) = (&self.good()[0].text, "A title for conformance & <more> 👍");
                let words = format!("not '{text}' of '{title}' by tok-me");
                let body =
                    serde_json::json!({ "json": { "errors": [["NO_TEXT", words, "text"]] } });
                self.bench.server.answer(Target::Submit, Canned::new(200, body.to_string()));
            }
            Trouble::CutAfterAccepting => self.bench.server.faults([Fault::CutAfter]),
            Trouble::Hang => self.bench.server.faults([Fault::HangAfter]),
        }
        true
    }
}

mod own {
    use super::*;

    postq_core::platform_conformance!(async || Harness::fresh(Good::Own).await);
}

mod link {
    use super::*;

    postq_core::platform_conformance!(async || Harness::fresh(Good::Link).await);
}

mod gallery {
    use super::*;

    postq_core::platform_conformance!(async || Harness::fresh(Good::Gallery).await);
}
