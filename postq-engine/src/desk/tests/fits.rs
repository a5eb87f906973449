//! Texts that are too long, and days that are full.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use postq_core::content::Post;
use postq_core::fit::Fitting;
use postq_core::id::PostId;
use postq_core::options::{OptionField, OptionKind, OptionValue};
use postq_core::platform::{Length, Measure};

use super::*;
use crate::desk::{Alteration, Problem};

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

/// A desk with the account `acme` on the platform `strict`, and `free`, a dry run.
pub(crate) async fn strict() -> Desk {
    let start: DateTime<Utc> = START.parse().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(start));
    let backend = MemoryBackend::new(Arc::clone(&clock)).backend();
    let name: PlatformName = "strict".parse().unwrap();
    for (account, platform) in [("acme", "strict"), ("free", DryRun::NAME)] {
        let account = Account::new(account, platform.parse().unwrap(), start);
        backend.accounts.insert(&account).await.unwrap();
    }
    let platforms: [Arc<dyn Platform>; 2] = [Arc::new(Strict(name)), Arc::new(DryRun::new(clock))];
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
    let told = refused.to_string();
    assert!(told.contains("too long"), "{told}");
    let offer = "fit: shorten or thread makes the text fit strict, or give it its own text";
    assert!(told.contains(offer), "{told}");
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
        "at: Tuesday, 2026-03-10 00:00:00 UTC, breaks strict's daily limit: account \"acme\" would have 4 posts \
         in the 24 hours up to 2026-03-10 12:59:00 UTC, and strict takes 3; choose another day"
    );
    // 24 hours after the first there is room again.
    desk.submit(post("2026-03-10T12:00")).await.unwrap();
    let often = Submission::new(Content::text("hello"), ["acme"], every(6 * 3_600));
    let full = desk.submit(often).await.unwrap_err().to_string();
    assert!(full.contains("would have 4 posts"), "{full}");
    assert!(full.ends_with("repeat it less often, or begin on another day"), "{full}");
}

#[tokio::test(start_paused = true)]
async fn a_day_of_next_year_can_be_full_too() {
    let desk = strict().await;
    let post = |at: &str| Submission::new(Content::text("hello"), ["acme"], once(at));
    for at in ["2027-07-01T09:00", "2027-07-01T12:00", "2027-07-01T15:00", "2027-09-01T09:00"] {
        desk.submit(post(at)).await.unwrap();
    }

    let full = desk.submit(post("2027-07-01T20:00")).await.unwrap_err().to_string();
    assert!(full.contains("breaks strict's daily limit"), "{full}");
    desk.submit(post("2027-09-01T20:00")).await.unwrap();
    let from = Some(At::parse("2028-01-01T09:00Z", None).unwrap());
    let when =
        When::Every { every: Duration::from_secs(6 * 3_600), from, count: None, until: None };
    let often = Submission::new(Content::text("hello"), ["acme"], when);
    let full = desk.submit(often).await.unwrap_err().to_string();
    assert!(full.contains("breaks strict's daily limit"), "{full}");
    // Rows of one calendar, days, weeks and years apart: each day has its own number.
    let days = ["2027-07-02", "2027-07-30", "2027-08-30", "2029-05-01", "2031-05-01"];
    let hours = ["16", "17", "18", "19"];
    let rows = days.iter().flat_map(|day| hours.map(|hour| post(&format!("{day}T{hour}:00"))));
    let rows: Vec<Submission> = rows.collect();
    let checked = desk.check(&rows).await.unwrap();
    let refused = checked.entries.iter().map(Result::is_err);
    let expected = days.iter().flat_map(|_| [false, false, false, true]);
    assert_eq!(refused.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
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
        ("bord", "cats", "options.strict.bord: is not known; expected board"),
        ("board", "catlike", "options.strict.board: is 7 characters long, at most 5"),
    ] {
        let refused = desk.submit(with(name, value)).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    let submitted = desk.submit(with("board", "cats")).await.unwrap();
    let post = desk.backend().posts.load(&[submitted.post]).await.unwrap().remove(0);
    let draft = post.content.draft_for(&"strict".parse().unwrap());
    assert_eq!(draft.options.text("board"), Some("cats"));
}

#[tokio::test(start_paused = true)]
async fn a_title_without_a_text_is_for_the_platform_to_judge() {
    let desk = strict().await;
    let told = async |parts: &[&str], has_board: bool| {
        let mut content = Content::text("");
        content.parts = parts.iter().map(|text| Part::text(*text)).collect();
        let board = ("board".to_owned(), OptionValue::Text("cats".to_owned()));
        if has_board {
            content.options.insert("strict".parse().unwrap(), [board].into_iter().collect());
        }
        let submission = Submission::new(content, ["acme"], once("2026-03-09T09:00"));
        desk.submit(submission).await.map_err(|refused| refused.to_string())
    };

    told(&[""], true).await.unwrap();
    assert!(told(&[""], false).await.unwrap_err().contains("text: part 1 is empty"));
    assert!(told(&["one", ""], true).await.unwrap_err().contains("text: part 2 is empty"));
}

fn texts(content: &Content) -> Vec<&str> {
    let parts = content.parts_for(&"strict".parse().unwrap()).iter();
    parts.map(|part| part.text.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_to_fit_says_why() {
    let desk = strict().await;
    let with = |text: &str, fitting| {
        let content = Content::text(text);
        Submission { fitting: Some(fitting), ..Submission::new(content, ["acme"], When::Now) }
    };
    let link = "A page: https://example.com/a-page";

    for (text, fitting, expected) in [
        (
            link,
            Fitting::Shorten,
            "fit: strict: \"https://example.com/a-page\" is too long by itself",
        ),
        (
            link,
            Fitting::Thread,
            "fit: strict: \"https://example.com/a-page\" is too long by itself",
        ),
        (
            &"a b c d e f ".repeat(9),
            Fitting::Thread,
            "fit: strict: the text needs more than 3 parts",
        ),
    ] {
        let told = desk.submit(with(text, fitting)).await.unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
        assert!(told.contains("or give strict its own text"), "{told}");
        let preview = desk.preview(&with(text, fitting), false, 1).await.unwrap();
        assert!(preview.problems.iter().any(|one| one.field == "fit"), "{:?}", preview.problems);
    }
}

#[tokio::test(start_paused = true)]
async fn the_long_parts_of_a_thread_are_split_among_the_short_ones() {
    let desk = strict().await;
    let parts = ["A short one.", "One is out. Two is not out yet."].map(Part::text).to_vec();
    let content = Content { parts, ..Content::default() };
    let submission = Submission {
        fitting: Some(Fitting::Thread),
        ..Submission::new(content, ["acme"], When::Now)
    };

    let submitted = desk.submit(submission).await.unwrap();

    let post = desk.backend().posts.load(&[submitted.post]).await.unwrap().remove(0);
    assert_eq!(texts(&post.content), ["A short one.", "One is out.", "Two is not out yet."]);
}

#[tokio::test(start_paused = true)]
async fn a_draft_is_made_to_fit_too() {
    let desk = strict().await;
    let id = PostId::new();

    desk.draft_as(id, long(Some(Fitting::Shorten))).await.unwrap();

    let post = desk.find_post(&id.to_string()).await.unwrap();
    assert_eq!(texts(&post.content), ["One is out."]);
}

#[tokio::test(start_paused = true)]
async fn what_was_made_to_fit_is_made_again_of_another_text() {
    let desk = strict().await;
    let edit = async |seen: Post, text: &str, fitting| {
        let content = Content { parts: vec![Part::text(text)], ..seen.content.clone() };
        desk.edit_seen(seen, content, fitting).await
    };
    let submitted = desk.submit(long(Some(Fitting::Shorten))).await.unwrap();
    let post = desk.find_post(&submitted.post.to_string()).await.unwrap();
    let made = desk.made_to_fit(&post.content);
    assert_eq!(made.values().collect::<Vec<_>>(), [&Fitting::Shorten]);

    let post = edit(post, "Another one is out. Two is not out yet.", None).await.unwrap();
    assert_eq!(texts(&post.content), ["Another one is out."]);
    let post =
        edit(post, "One is here. Two is not here yet.", Some(Fitting::Thread)).await.unwrap();
    assert_eq!(texts(&post.content), ["One is here.", "Two is not here yet."]);
    let why = edit(post.clone(), "https://example.com/a-page", None).await.unwrap_err();
    assert!(why.to_string().contains("too long by itself"), "{why}");
    // What fits needs no text of its own any more.
    let post = edit(post, "Short.", None).await.unwrap();
    assert_eq!((texts(&post.content), post.content.variants.len()), (vec!["Short."], 0));
    let why = edit(post, "Much too long for a platform.", None).await.unwrap_err().to_string();
    assert!(why.contains("too long") && why.contains("fit: shorten or thread"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_text_of_its_own_stays_with_another_text_for_all() {
    let desk = strict().await;
    let mut content = Content::text("One is out. Two is not out yet.");
    content.variants.insert("strict".parse().unwrap(), vec![Part::text("My own.")]);
    let submission = Submission::new(content, ["acme"], once("2026-03-09T09:00"));
    let submitted = desk.submit(submission).await.unwrap();
    let post = desk.find_post(&submitted.post.to_string()).await.unwrap();
    assert_eq!(desk.made_to_fit(&post.content), BTreeMap::new());

    let content = Content { parts: vec![Part::text("Another.")], ..post.content.clone() };
    let post = desk.edit_seen(post, content, Some(Fitting::Thread)).await.unwrap();

    assert_eq!(texts(&post.content), ["My own."]);
}

#[tokio::test(start_paused = true)]
async fn a_day_that_is_full_is_told_in_a_preview_and_of_another_time() {
    let desk = strict().await;
    let at = |at| Submission::new(Content::text("hello"), ["acme"], once(at));
    let mut posts = Vec::new();
    for time in ["2026-03-09T09:00", "2026-03-09T12:00", "2026-03-09T15:00", "2026-03-20T09:00"] {
        posts.push(desk.submit(at(time)).await.unwrap());
    }
    let full =
        |problems: &[Problem]| problems.iter().any(|one| one.message.contains("daily limit"));

    let preview = desk.preview(&at("2026-03-09T20:00"), true, 1).await.unwrap();
    assert!(full(&preview.problems), "{:?}", preview.problems);
    assert_eq!(preview.problems[0].field, "at");
    // The post itself makes way for where it goes.
    let own = posts[0].post;
    let preview = desk.preview_of(Some(own), &at("2026-03-09T20:00"), true, 1).await.unwrap();
    assert_eq!(preview.problems, []);
    let to = |time| Amendment { when: Some(once(time)), ..Amendment::default() };
    desk.amend(posts[0].schedule, &to("2026-03-09T20:00")).await.unwrap();
    let why = desk.amend(posts[3].schedule, &to("2026-03-09T10:00")).await.unwrap_err();
    assert!(why.to_string().contains("breaks strict's daily limit"), "{why}");
    let alteration = Alteration { amendment: to("2026-03-09T10:00"), ..Alteration::default() };
    let why = desk.alter(posts[3].schedule, None, &alteration).await.unwrap_err();
    assert!(why.to_string().contains("breaks strict's daily limit"), "{why}");
    desk.alter(posts[0].schedule, None, &alteration).await.unwrap();

    // What is switched off makes way, and comes back only where there is room.
    desk.switch(posts[1].schedule, false).await.unwrap();
    desk.submit(at("2026-03-09T13:00")).await.unwrap();
    let why = desk.switch(posts[1].schedule, true).await.unwrap_err();
    assert!(why.to_string().contains("breaks strict's daily limit"), "{why}");
    desk.switch(posts[0].schedule, false).await.unwrap();
    desk.switch(posts[1].schedule, true).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_time_of_a_full_day_can_be_edited() {
    let desk = strict().await;
    let submission = Submission::new(Content::text("hello"), ["acme"], every(8 * 3_600));
    let submitted = desk.submit(submission).await.unwrap();
    let schedule = desk.find_schedule(submitted.schedule).await.unwrap();
    let at = desk.upcoming(&schedule, 3).unwrap()[1];

    desk.edit_occurrence(schedule.id, at, Content::text("another"), None).await.unwrap();
}

/// Else the platform would get what was made of the text that this one is instead of.
#[tokio::test(start_paused = true)]
async fn the_text_of_one_time_is_made_to_fit_as_the_others_are() {
    let desk = strict().await;
    let fitting = Some(Fitting::Shorten);
    let submission = Submission { when: every(86_400), ..long(fitting) };
    let submitted = desk.submit(submission).await.unwrap();
    let schedule = desk.find_schedule(submitted.schedule).await.unwrap();
    let post = desk.find_post(&submitted.post.to_string()).await.unwrap();
    let times = desk.upcoming(&schedule, 4).unwrap();
    let edit = async |at, text: &str| {
        let content = Content { parts: vec![Part::text(text)], ..post.content.clone() };
        desk.edit_occurrence(schedule.id, at, content, None).await
    };

    for (at, text, expected) in [
        (times[1], "Another one is out. Two is not out yet.", "Another one is out."),
        (times[2], "Short.", "Short."),
    ] {
        let taken = edit(at, text).await.unwrap();
        let again = edit(at, text).await.unwrap();

        let instead = desk.find_post(&taken.post.to_string()).await.unwrap();
        assert_eq!((texts(&instead.content), again.post), (vec![expected], taken.post));
    }
    let why = edit(times[3], "https://example.com/a-page").await.unwrap_err().to_string();
    assert!(why.contains("too long by itself"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn options_for_a_platform_that_no_account_is_on_are_told() {
    let desk = strict().await;
    let with = |platform: &str, name: &str, accounts: &[&str]| {
        let mut submission =
            Submission::new(Content::text("hello"), accounts.iter().copied(), When::Now);
        let options = [(name.to_owned(), OptionValue::Text("cats".to_owned()))];
        let options = options.into_iter().collect();
        submission.content.options.insert(platform.parse().unwrap(), options);
        submission
    };

    for (platform, name, accounts, expected) in [
        ("strict", "board", &["free"][..], "options.strict: none of the accounts is on strict"),
        ("strikt", "board", &["free"], "options.strikt: unknown platform \"strikt\""),
        ("strikt", "board", &["free"], "did you mean \"strict\""),
        ("strict", "bord", &["free"], "options.strict.bord: is not known; expected board"),
    ] {
        let told = desk.submit(with(platform, name, accounts)).await.unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
        let preview = desk.preview(&with(platform, name, accounts), false, 1).await.unwrap();
        assert_ne!(preview.problems, []);
    }
    // What has no account yet may get one; and each schedule of a post needs its own part of it.
    let id = PostId::new();
    desk.draft_as(id, with("strict", "board", &[])).await.unwrap();
    let bad = desk.draft_as(PostId::new(), with("strict", "bord", &[])).await.unwrap_err();
    assert!(bad.to_string().contains("options.strict.bord"), "{bad}");
    for account in ["acme", "free"] {
        let submission = Submission::new(Content::default(), [account], once("2026-03-09T09:00"));
        desk.schedule_as(ScheduleId::new(), id, submission).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_for_a_platform_that_is_not_there_is_told() {
    let desk = strict().await;
    let mut submission = Submission::new(Content::text("hello"), ["acme"], When::Now);
    submission.content.variants.insert("strikt".parse().unwrap(), vec![Part::text("hi")]);

    let told = desk.submit(submission).await.unwrap_err().to_string();

    assert!(told.contains("variants.strikt: unknown platform \"strikt\"; did you mean"), "{told}");
}
