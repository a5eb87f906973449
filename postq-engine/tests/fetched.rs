//! A platform that fetches pictures and videos itself: it is told where, by a link that ends, or the post is refused.

use std::io::Cursor;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::content::{Content, Draft, MediaRef};
use postq_core::failure::{Failure, FailureClass};
use postq_core::intent::Receipt;
use postq_core::job::Topic;
use postq_core::media::{KindLimits, MediaKind, MediaLimits, MediaReader, MediaSource};
use postq_core::memory::{MemoryBackend, MemoryMedia};
use postq_core::platform::{
    self, Identity, Outgoing, Pace, Platform, PlatformName, PreparedMedia, Published, Transfer,
    UploadFile, UploadStep, Violation,
};
use postq_core::vault::{ChaChaVault, Vault};
use postq_engine::desk::{Submission, When};
use postq_engine::media::{Addition, LinkKey, Media, MediaLinks, MediaSettings};
use postq_engine::{Engine, Settings, TopicWorkers};
use postq_media::{Editor, EditorSettings};
use tokio_util::sync::CancellationToken;

/// Takes pictures by their address alone, and asks twice about each, as container platforms do.
#[derive(Debug)]
struct Gallery {
    name: PlatformName,
    told: Mutex<Vec<String>>,
    out: Mutex<Vec<Vec<String>>>,
}

impl Gallery {
    fn new() -> Self {
        let name = "gallery".parse().expect("a name");
        Self { name, told: Mutex::default(), out: Mutex::default() }
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Platform for Gallery {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace::default()
    }

    fn validate(&self, _: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    async fn publish<'a>(&self, _: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let ids = part.prepared.iter().map(|media| media.remote_id.clone()).collect();
        self.out.lock().unwrap_or_else(PoisonError::into_inner).push(ids);
        let receipt = Receipt {
            part: part.part,
            remote_id: "1".to_owned(),
            url: None,
            published_at: SystemClock.now(),
            dry_run: false,
        };
        Ok(Published { receipt, limits: Vec::new() })
    }

    fn media(&self) -> Option<&dyn platform::Media> {
        Some(self)
    }
}

#[async_trait]
impl platform::Media for Gallery {
    fn limits(&self) -> MediaLimits {
        MediaLimits {
            image: Some(KindLimits::new([MediaKind::Jpeg], 1_000_000)),
            animation: None,
            video: None,
            most: 1,
            mixed: false,
            alt: 100,
        }
    }

    fn transfer(&self) -> Transfer {
        Transfer::Fetched
    }

    async fn step<'a>(
        &self,
        _: &Identity,
        file: UploadFile<'a>,
        state: Option<&'a serde_json::Value>,
    ) -> Result<UploadStep, Failure> {
        let url = file.url.expect("it is told where").to_owned();
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(url);
        Ok(match state {
            None => {
                UploadStep::Going { state: serde_json::json!("container"), wait: Duration::ZERO }
            }
            Some(_) => {
                UploadStep::Ready(PreparedMedia { remote_id: "c1".into(), expires_at: None })
            }
        })
    }
}

/// There is no web here.
#[derive(Debug)]
struct Nothing;

#[async_trait]
impl MediaSource for Nothing {
    async fn open(&self, source: &str) -> Result<MediaReader, Failure> {
        Err(Failure::not_published(FailureClass::Content, format!("\"{source}\" is not read")))
    }
}

fn links() -> MediaLinks {
    MediaLinks::new("https://post.example.com", [LinkKey::new(Box::new([5; 32]))])
}

struct Bench {
    backend: Backend,
    engine: Engine,
    gallery: Arc<Gallery>,
}

async fn bench(links: Option<MediaLinks>) -> Bench {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let memory = MemoryBackend::new(Arc::clone(&clock));
    let backend = memory.backend();
    let vault = ChaChaVault::new(&[7; 32]);
    let mut account = Account::new("mine", "gallery".parse().expect("a name"), clock.now());
    let secret = "token".to_owned().into();
    account.credentials = Some(vault.seal(account.id, &secret).await.expect("sealed"));
    backend.accounts.insert(&account).await.expect("insert the account");
    let gallery = Arc::new(Gallery::new());
    let workers = |topic| TopicWorkers { topic, at_once: 2 };
    let engine = Engine::builder(backend.clone())
        .platform(Arc::clone(&gallery) as Arc<dyn Platform>)
        .vault(Arc::new(vault))
        .media(Media {
            store: Arc::new(MemoryMedia::default()),
            catalog: memory.media_catalog(),
            uploads: memory.uploads(),
            editor: Arc::new(Editor::new(EditorSettings::default())),
            source: Arc::new(Nothing),
            links,
            settings: MediaSettings::default(),
        })
        .settings(Settings {
            topics: vec![workers(Topic::publish()), workers(Topic::media())],
            ..Settings::default()
        })
        .build()
        .expect("an engine");
    Bench { backend, engine, gallery }
}

impl Bench {
    /// A post with a picture that the gallery takes only once it is converted.
    async fn post(&self) -> Submission {
        let mut picture = Cursor::new(Vec::new());
        let drawn = image::RgbImage::from_pixel(9, 9, image::Rgb([1, 2, 3]));
        drawn.write_to(&mut picture, image::ImageFormat::Png).expect("an encoder");
        picture.set_position(0);
        let desk = self.engine.media().expect("a desk");
        let file = desk.add(Box::new(picture), Addition::default(), now()).await.expect("added");
        let mut content = Content::text("look");
        content.parts[0].media.push(MediaRef { source: file.id.as_source(), alt: None });
        Submission::new(content, ["mine"], When::Now)
    }
}

fn now() -> DateTime<Utc> {
    SystemClock.now()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_fetches_is_told_where_for_a_while() {
    let bench = bench(Some(links())).await;
    let post = bench.post().await;

    let submitted = bench.engine.desk().submit(post).await.expect("taken in");
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (engine, stop) = (bench.engine.clone(), stop.clone());
        async move { engine.run(stop).await }
    });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while bench.gallery.out.lock().expect("no panic").is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "it is out within 30 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    drop(running.await);

    assert_eq!(*bench.gallery.out.lock().expect("no panic"), [["c1"]]);
    let told = bench.gallery.told();
    assert_eq!(told.len(), 2, "{told:?}");
    let rest = told[0].strip_prefix("https://post.example.com/media/files/").expect("our address");
    let (name, query) = rest.split_once("?until=").expect("an end");
    let (until, signature) = query.split_once("&signature=").expect("a signature");
    assert!(name.ends_with(".jpg"), "{name}");
    let until: i64 = until.parse().expect("a number");
    let desk = bench.engine.media().expect("a desk");
    let (_, kind, _) = desk.linked(name, until, signature, now()).await.expect("a good link");
    assert_eq!(kind, MediaKind::Jpeg, "what was made for the platform, not the original");
    let ended = desk.linked(name, until, signature, now() + TimeDelta::hours(1)).await;
    assert!(ended.is_err_and(|error| error.to_string().contains("has ended")));
    assert!(!bench.backend.posts.load(&[submitted.post]).await.expect("load").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_the_plan_says_so() {
    let bench = bench(None).await;
    let post = bench.post().await;
    let desk = bench.engine.desk();

    let preview = desk.preview(&post, false, 1).await.expect("a preview");
    let refused = desk.submit(post).await.expect_err("nobody could fetch it").to_string();

    let told = "media: gallery: the platform fetches pictures and videos itself";
    assert!(refused.contains(told) && refused.contains("POSTQ_PUBLIC_URL"), "{refused}");
    assert_eq!(preview.problems.len(), 1);
    let violations = &preview.platforms[0].violations;
    assert!(violations[0].message.contains("POSTQ_PUBLIC_URL"), "{violations:?}");
}
