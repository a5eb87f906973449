//! A platform of one's own: a guest book, one line a post. It passes the published suite:
//! `cargo test --features conformance --example custom_platform`.
//!
//! `cargo run --example custom_platform`

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use postq::core::clock::{Clock, SystemClock};
use postq::core::content::{Content, Draft};
use postq::core::failure::Failure;
use postq::core::intent::Receipt;
use postq::core::platform::{
    Identity, Outgoing, Pace, Platform, PlatformName, Published, Violation,
};

/// Lines of at most 40 characters, signed.
#[derive(Debug)]
struct GuestBook {
    name: PlatformName,
    lines: Mutex<Vec<String>>,
}

#[async_trait]
impl Platform for GuestBook {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace::default()
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        let parts = draft.parts;
        let lengths = (0u16..).zip(parts.iter().map(|part| part.text.chars().count()));
        let too_long = lengths.filter(|(_, length)| *length > 40);
        let tell = |(part, length)| {
            let message = format!("the text is {length} characters long, at most 40");
            Violation { part, message }
        };
        too_long.map(tell).collect()
    }

    async fn publish<'a>(&self, who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        // A real platform makes its one creating call here, and tells in `Failure` whether something
        // may be out when it goes wrong.
        let mut lines = self.lines.lock().expect("nobody panics with the book in hand");
        lines.push(format!("{}: {}", who.name, part.text));
        let receipt = Receipt {
            part: part.part,
            remote_id: format!("line-{}", lines.len()),
            url: None,
            published_at: SystemClock.now(),
            dry_run: false,
        };
        Ok(Published { receipt, limits: Vec::new() })
    }
}

fn guest_book() -> GuestBook {
    GuestBook { name: "guest_book".parse().expect("a good name"), lines: Mutex::default() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    use postq::core::{account::Account, memory::MemoryBackend};
    use postq::engine::{Engine, desk::Submission, desk::When};
    use tokio_util::sync::CancellationToken;

    let backend = MemoryBackend::new(Arc::new(SystemClock)).backend();
    let book = Arc::new(guest_book());
    let engine = Engine::builder(backend.clone()).platform(book.clone()).build()?;
    backend.accounts.insert(&Account::new("ada", book.name.clone(), SystemClock.now())).await?;
    engine.desk().submit(Submission::new(Content::text("I was here."), ["ada"], When::Now)).await?;

    let (shutdown, mut reports) = (CancellationToken::new(), engine.reports());
    tokio::join!(engine.run(shutdown.clone()), async {
        let _ = reports.recv().await;
        shutdown.cancel();
    });
    assert_eq!(*book.lines.lock().expect("the engine has stopped"), ["ada: I was here."]);
    Ok(())
}

#[cfg(all(test, feature = "conformance"))]
mod conformance {
    use postq::core::conformance::platform::{Live, PlatformHarness};
    use postq::core::content::Part;
    use postq::core::id::AccountId;

    use super::*;

    #[async_trait]
    impl PlatformHarness for GuestBook {
        fn platform(&self) -> &dyn Platform {
            self
        }

        fn who(&self) -> Identity {
            let (account, name) = (AccountId::new(), "ada".to_owned());
            Identity { account, name, remote_id: None, secret: None }
        }

        async fn live(&self) -> Option<Vec<Live>> {
            let lines = self.lines.lock().expect("no test panics in between").len();
            let live = |n| Live { remote_id: format!("line-{n}"), reply_to: None };
            Some((1..=lines).map(live).collect())
        }

        fn good(&self) -> Vec<Part> {
            vec![Part::text("one line")] // a guest book has no threads
        }

        fn bad(&self) -> Option<Vec<Part>> {
            Some(vec![Part::text("a line".repeat(20))])
        }
    }

    async fn fresh() -> Arc<dyn PlatformHarness> {
        Arc::new(guest_book())
    }

    postq::core::platform_conformance!(fresh);
}
