//! Texts that are too long, and days that are full.

use std::num::NonZeroU32;

use postq_core::fit::Fitting;
use postq_core::options::{OptionField, OptionKind, OptionValue};
use postq_core::platform::{Length, Measure};

use super::*;

/// A platform that takes threads of three parts of 20 characters, and three posts of an account in a day.
#[derive(Debug)]
struct Strict(PlatformName);

#[async_trait]
impl Platform for Strict {
    fn name(&self) -> &PlatformName {
        &self.0
    }

    fn pace(&self) -> Pace {
        Pace { daily: NonZeroU32::new(3), ..Pace::default() }
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        let long = draft.parts.iter().any(|part| part.text.chars().count() > 20);
        let violation = Violation { part: 0, message: "too long".to_owned() };
        if long { vec![violation] } else { Vec::new() }
    }

    fn options(&self) -> &'static [OptionField] {
        const BOARD: OptionField =
            OptionField::new("board", OptionKind::Text { most: 5 }, "which board");
        &[BOARD]
    }

    fn most_parts(&self) -> usize {
        3
    }

    fn measure(&self) -> Option<&dyn Measure> {
        Some(self)
    }

    async fn publish<'a>(&self, _: &Identity, _: Outgoing<'a>) -> Result<Published, Failure> {
        panic!("nothing is sent from the desk")
    }
}

impl Measure for Strict {
    fn measure(&self, text: &str) -> Length {
        Length { length: text.chars().count(), limit: 20 }
    }
}

/// A desk with the account `acme` on the platform `strict`.
pub(crate) async fn strict() -> Desk {
    let start: DateTime<Utc> = START.parse().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(start));
    let backend = MemoryBackend::new(clock).backend();
    let name: PlatformName = "strict".parse().unwrap();
    backend.accounts.insert(&Account::new("acme", name.clone(), start)).await.unwrap();
    let platforms: [Arc<dyn Platform>; 1] = [Arc::new(Strict(name))];
    Desk::new(backend, Platforms::new(platforms), Arc::new(Calendar::new()))
}

fn long(fitting: Option<Fitting>) -> Submission {
    let content = Content::text("One is out. Two is not out yet, three never.");
    Submission { fitting, ..Submission::new(content, ["acme"], once("2026-03-09T09:00")) }
}

async fn stored(desk: &Desk, submission: Submission) -> Vec<String> {
    let submitted = desk.submit(submission).await.unwrap();
    let post = desk.backend().posts.load(&[submitted.post]).await.unwrap().remove(0);
    let parts = post.content.parts_for(&"strict".parse().unwrap());
    assert_eq!(post.content.parts, [Part::text(long(None).content.parts[0].text.clone())]);
    parts.iter().map(|part| part.text.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_too_long_is_made_to_fit_if_that_is_asked_for() {
    let desk = strict().await;

    let refused = desk.submit(long(None)).await.unwrap_err();
    assert!(refused.to_string().contains("too long"), "{refused}");
    assert_eq!(stored(&desk, long(Some(Fitting::Shorten))).await, ["One is out."]);
    assert_eq!(
        stored(&desk, long(Some(Fitting::Thread))).await,
        ["One is out.", "Two is not out yet,", "three never."]
    );
}

#[tokio::test(start_paused = true)]
async fn a_preview_shows_what_was_done() {
    let preview = strict().await.preview(&long(Some(Fitting::Shorten)), true, 1).await.unwrap();

    assert_eq!(preview.problems, []);
    let [strict] = &preview.platforms[..] else { panic!("one platform") };
    assert_eq!(strict.parts, [Part::text("One is out.")]);
    assert_eq!(strict.notice.as_deref(), Some("shortened by 33 characters"));
}

#[tokio::test(start_paused = true)]
async fn a_day_that_is_full_is_told_when_it_is_planned() {
    let desk = strict().await;
    let post = |at| Submission::new(Content::text("hello"), ["acme"], once(at));
    for at in ["2026-03-09T09:00", "2026-03-09T12:00", "2026-03-10T08:59"] {
        desk.submit(post(at)).await.unwrap();
    }

    let full = desk.submit(post("2026-03-09T20:00")).await.unwrap_err().to_string();
    assert_eq!(
        full,
        "at: account \"acme\" would have 4 posts in the 24 hours up to 2026-03-10T12:59:00Z, and strict takes 3; choose another day"
    );
    // 24 hours after the first there is room again.
    desk.submit(post("2026-03-10T12:00")).await.unwrap();
    let often = Submission::new(Content::text("hello"), ["acme"], every(6 * 3_600));
    let full = desk.submit(often).await.unwrap_err().to_string();
    assert!(full.contains("would have 4 posts"), "{full}");
}

#[tokio::test(start_paused = true)]
async fn options_are_checked_and_kept() {
    let desk = strict().await;
    let with = |name: &str, value: &str| {
        let mut submission = Submission::new(Content::text("hello"), ["acme"], When::Now);
        let value = OptionValue::Text(value.to_owned());
        let options = [(name.to_owned(), value)].into_iter().collect();
        submission.content.options.insert("strict".parse().unwrap(), options);
        submission
    };

    for (name, value, expected) in [
        ("bord", "cats", "\"bord\" is not known; expected board"),
        ("board", "catlike", "\"board\" is 7 characters long, at most 5"),
    ] {
        let refused = desk.submit(with(name, value)).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    let submitted = desk.submit(with("board", "cats")).await.unwrap();
    let post = desk.backend().posts.load(&[submitted.post]).await.unwrap().remove(0);
    let draft = post.content.draft_for(&"strict".parse().unwrap());
    assert_eq!(draft.options.text("board"), Some("cats"));
}
