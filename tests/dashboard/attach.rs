//! Pictures in compose: added, described, put in order, refused, published.

use fake_x::FakeX;
use serde_json::{Value, json};

use crate::api::Api;
use crate::browser::Size;
use crate::looks::{Findings, look};
use crate::page::{Page, keys};
use crate::picture::picture;
use crate::support::Home;

const FILES: &str = "Add pictures or videos";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_added_described_and_published() {
    let x = FakeX::start().await.expect("a free port");
    let home = Home::with_x(&x.base_url());
    let (loaf, oven) = (picture([180, 120, 40]), picture([60, 60, 60]));
    let (loaf_file, oven_file) = (home.path().join("loaf.png"), home.path().join("oven.png"));
    std::fs::write(&loaf_file, &loaf).expect("a file");
    std::fs::write(&oven_file, &oven).expect("a file");
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.x("Bakery Sommer", "1");

    let page = Page::open(daemon.port, "/compose").await;
    page.fill("Text", "The first loaf of the new oven.").await;
    page.add_files(FILES, &[&oven_file, &loaf_file]).await;
    page.sees("PNG, 320 × 200").await;
    page.fill("What loaf.png shows", "A round loaf, still steaming").await;
    page.sees("Describe it for those who cannot see it").await;
    page.sees("Would be taken").await;
    page.until_true("both can be seen, beside their fields and in the preview", SHOWN).await;
    let mut found = Findings::new();
    for size in [Size::Desktop, Size::Phone] {
        look(&page, size, "compose-pictures", &mut found).await;
    }
    assert!(found.is_empty(), "{} findings: {found:#?}", found.len());
    page.browser.resize(Size::Desktop).await;

    // By keyboard: the loaf comes first.
    page.click("button", "Move loaf.png up").await;
    page.until_true(
        "the loaf is first, and the focus stays with it",
        "const names = [...document.querySelectorAll('.attaching strong')].map((one) => one.textContent);
        return names.join() === 'loaf.png,oven.png' && document.activeElement.getAttribute('aria-label') === 'Move loaf.png down'",
    )
    .await;
    page.press(keys::ENTER).await;
    page.until_true(
        "it is last again",
        "return document.activeElement.getAttribute('aria-label') === 'Move loaf.png up'",
    )
    .await;
    page.press(keys::ENTER).await;
    page.click("button", "Publish now").await;
    page.until("the job's own page", async || page.path().await.starts_with("/jobs/")).await;
    page.sees("Ended").await;
    page.sees("A round loaf, still steaming").await;
    page.screen("job-pictures").await;

    let uploads = x.uploads();
    let ledger = x.ledger();
    let [post] = ledger.accepted.as_slice() else { panic!("one post: {ledger:?}") };
    let media: Vec<_> = post
        .media
        .iter()
        .map(|id| uploads.iter().find(|one| one.id == *id).expect("it was uploaded"))
        .collect();
    assert_eq!(media.len(), 2);
    assert_eq!(media[0].alt.as_deref(), Some("A round loaf, still steaming"));
    assert_eq!(media[1].alt, None);
    assert!(media[0].content() == loaf && media[1].content() == oven, "in their order");
    page.click("link", "The whole post").await;
    page.sees("What became of it").await;
    page.sees("A round loaf, still steaming").await;
    page.done().await;
}

/// All four pictures have been painted: two where they are written, two in the preview.
const SHOWN: &str = "const all = [...document.querySelectorAll('img.thumb')];
    return all.length === 4 && all.every((one) => one.complete && one.naturalWidth === 320)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_says_why_at_its_place() {
    let x = FakeX::start().await.expect("a free port");
    let home = Home::with_x(&x.base_url());
    let html = home.file("cat.png", "<html><script>alert(1)</script></html>");
    let mut files = Vec::new();
    for n in 0..5u8 {
        let file = home.path().join(format!("{n}.png"));
        std::fs::write(&file, picture([n, 80, 90])).expect("a file");
        files.push(file);
    }
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.x("Bakery Sommer", "1");

    let page = Page::open(daemon.port, "/compose").await.expecting(&["422 (Unprocessable"]);
    page.fill("Text", "Too many pictures.").await;
    page.add_files(FILES, &[&html]).await;
    page.sees("expected jpeg, png").await;
    page.sees("Remove the file that did not come through").await;
    page.screen("compose-refused").await;
    page.click("button", "Remove cat.png").await;
    page.sees_no("expected jpeg, png").await;
    page.sees("Would be taken").await;

    let files: Vec<_> = files.iter().map(std::path::PathBuf::as_path).collect();
    page.add_files(FILES, &files).await;
    page.sees("at most 4").await;
    page.sees("Mend what X would not take").await;
    let submit = page.shown("button", "Publish now").await;
    assert!(!submit.is_enabled().await.expect("a button"), "it would be refused");
    page.click("button", "Remove 4.png").await;
    page.sees("Would be taken").await;
    assert_eq!(x.ledger().creates, 0);
    page.done().await;
}

/// What a person does with the mouse outside the browser, or with its clipboard.
const GIVE: &str = "const bytes = Uint8Array.from(arguments[0]);
    const given = new DataTransfer();
    given.items.add(new File([bytes], arguments[1], { type: 'image/png' }));
    const [place, events] = arguments[1] === 'dropped.png'
        ? [document.querySelector('.part'), ['dragover', 'drop'].map((kind) => new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: given }))]
        : [document.querySelector('textarea'), [new ClipboardEvent('paste', { bubbles: true, cancelable: true, clipboardData: given })]];
    return events.map((event) => !place.dispatchEvent(event)).at(-1)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_dropped_and_pasted_into_a_thread_and_outlive_the_page() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.dry_run("Library of Things");

    let page = Page::open(daemon.port, "/compose").await;
    page.fill("Text", "What can be borrowed: a cargo bike.").await;
    for (colour, name) in [([200, 30, 30], "dropped.png"), ([30, 30, 200], "pasted.png")] {
        let taken = page.eval_with(GIVE, vec![json!(picture(colour)), json!(name)]).await;
        assert_eq!(taken, Value::Bool(true), "{name}: the browser does nothing else with it");
        page.sees(name).await;
    }
    page.click("button", "Add to the thread").await;
    page.fill("Part 2 of 2", "And a cider press.").await;
    let press = home.path().join("press.png");
    std::fs::write(&press, picture([10, 200, 90])).expect("a file");
    page.add_files("Add pictures or videos to part 2", &[&press]).await;
    page.fill("What press.png shows", "A cider press").await;
    page.until_true(
        "all are there",
        "return document.querySelectorAll('.attaching img.thumb').length === 3",
    )
    .await;
    page.reload().await;

    page.sees("This is what you wrote here before").await;
    page.until_true(
        "all are there again",
        "return document.querySelectorAll('.attaching img.thumb').length === 3",
    )
    .await;
    page.sees("Would be taken").await;
    page.click("button", "Draft").await;
    page.click("button", "Keep the draft").await;
    page.sees("The draft is kept").await;
    let posts = api.get("/posts");
    let parts = posts["items"][0]["parts"].as_array().expect("parts");
    assert_eq!(parts[0]["media"].as_array().map(Vec::len), Some(2), "{posts}");
    assert_eq!(parts[1]["media"][0]["alt"], "A cider press", "{posts}");
    page.click("link", "Edit").await;
    page.until_true(
        "they are there to be edited",
        "return document.querySelectorAll('.attaching img.thumb').length === 3",
    )
    .await;
    page.click_near("button", "Remove file 1", "Files of part 1").await;
    page.click("button", "Keep the draft").await;
    page.sees("The draft is kept").await;
    page.until("one is gone", async || {
        let posts = api.get("/posts");
        posts["items"][0]["parts"][0]["media"].as_array().map(Vec::len) == Some(1)
    })
    .await;
    page.done().await;
}
