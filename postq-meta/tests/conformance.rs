//! The published suite, for both platforms, against a server that answers as the Graph API does.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake_meta::{Canned, Fault, Refuses};
use postq_core::conformance::platform::{Live, PlatformHarness, Trouble};
use postq_core::content::Part;
use postq_core::media::MediaKind;
use postq_core::options::PostOptions;
use postq_core::platform::{Identity, Platform, PreparedMedia};
use postq_meta::{Facebook, Instagram};

use support::{Bench, File, insta_with, media, page_with};

const QUICK: Duration = Duration::from_millis(500);

impl<P: Platform> Bench<P> {
    fn out(&self) -> Vec<Live> {
        let accepted = self.server.ledger().accepted.into_iter();
        accepted.map(|post| Live { remote_id: post.id, reply_to: None }).collect()
    }

    fn meets(&self, create: &str, text: &str, trouble: Trouble) {
        match trouble {
            // As rude as can be: it tells everything back.
            Trouble::Refuse => {
                let message = format!("not '{text}' by tok-42");
                self.server.answer(create, Canned::refusal(100, 0, &message));
            }
            Trouble::CutAfterAccepting => self.server.script([Fault::CutAfter]),
            Trouble::Hang => self.server.script([Fault::HangAfter]),
        }
    }
}

#[async_trait]
impl PlatformHarness for Bench<Facebook> {
    fn platform(&self) -> &dyn Platform {
        &self.platform
    }

    fn who(&self) -> Identity {
        self.who.clone()
    }

    async fn live(&self) -> Option<Vec<Live>> {
        Some(self.out())
    }

    fn good(&self) -> Vec<Part> {
        vec![Part::text("conformance of postq: a post of a Page")]
    }

    fn bad(&self) -> Option<Vec<Part>> {
        Some(vec![Part::text("one"), Part::text("two")])
    }

    async fn next(&self, trouble: Trouble) -> bool {
        self.meets("POST feed", &self.good()[0].text, trouble);
        true
    }
}

/// The same with files: photos in one post, or a video alone.
struct WithFiles {
    bench: Bench<Facebook>,
    kinds: &'static [MediaKind],
}

#[async_trait]
impl PlatformHarness for WithFiles {
    fn platform(&self) -> &dyn Platform {
        &self.bench.platform
    }

    fn who(&self) -> Identity {
        self.bench.who.clone()
    }

    async fn live(&self) -> Option<Vec<Live>> {
        Some(self.bench.out())
    }

    fn good(&self) -> Vec<Part> {
        let text = "conformance of postq: a post of a Page with files".to_owned();
        vec![Part { text, media: media(&vec!["a"; self.kinds.len()]) }]
    }

    async fn prepared(&self, _part: usize) -> Vec<PreparedMedia> {
        let mut prepared = Vec::new();
        for kind in self.kinds {
            let file = File::new(*kind, b"content");
            prepared.push(self.bench.upload(&file).await.expect("uploaded"));
        }
        prepared
    }

    fn bad(&self) -> Option<Vec<Part>> {
        self.bench.bad()
    }

    async fn next(&self, trouble: Trouble) -> bool {
        // The phase that publishes a video has the path of those that upload it: it cannot be refused alone.
        if self.kinds == VIDEO && matches!(trouble, Trouble::Refuse) {
            return false;
        }
        self.bench.meets("POST feed", &self.good()[0].text, trouble);
        true
    }
}

const PHOTOS: &[MediaKind] = &[MediaKind::Jpeg, MediaKind::Png];
const VIDEO: &[MediaKind] = &[MediaKind::Mp4];

async fn with_files(kinds: &'static [MediaKind]) -> Arc<dyn PlatformHarness> {
    let bench = page_with(|config| config.send_timeout = QUICK).await;
    Arc::new(WithFiles { bench, kinds })
}

#[async_trait]
impl PlatformHarness for Bench<Instagram> {
    fn platform(&self) -> &dyn Platform {
        &self.platform
    }

    fn who(&self) -> Identity {
        self.who.clone()
    }

    async fn live(&self) -> Option<Vec<Live>> {
        Some(self.out())
    }

    fn good(&self) -> Vec<Part> {
        let text = "conformance of postq: a post of Instagram".to_owned();
        vec![Part { text, media: media(&["a.jpg"]) }]
    }

    async fn container(&self, part: usize) -> Option<String> {
        self.built(&self.good()[part].text, PostOptions::default()).await.container
    }

    fn bad(&self) -> Option<Vec<Part>> {
        Some(vec![Part::text("a text alone")])
    }

    async fn next(&self, trouble: Trouble) -> bool {
        self.meets("POST media_publish", &self.good()[0].text, trouble);
        true
    }
}

mod facebook {
    use super::*;

    postq_core::platform_conformance!(async || {
        let bench = page_with(|config| config.send_timeout = QUICK).await;
        Arc::new(bench) as Arc<dyn PlatformHarness>
    });
}

mod facebook_photos {
    use super::*;

    postq_core::platform_conformance!(async || with_files(PHOTOS).await);
}

mod facebook_video {
    use super::*;

    postq_core::platform_conformance!(async || with_files(VIDEO).await);
}

mod instagram {
    use super::*;

    postq_core::platform_conformance!(async || {
        let bench = insta_with(|config| config.send_timeout = QUICK).await;
        Arc::new(bench) as Arc<dyn PlatformHarness>
    });
}
