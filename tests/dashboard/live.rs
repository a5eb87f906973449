use fake_x::{Canned, FakeX, Target};

use crate::api::Api;
use crate::page::Page;
use crate::support::Home;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_shows_without_a_reload_and_after_a_crash_it_goes_on() {
    let x = FakeX::start().await.expect("a free port");
    let home = Home::with_x(&x.base_url());
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.x("Bakery Sommer", "1");

    let page = Page::open(daemon.port, "/dead-letters").await.expecting(&["net::ERR_"]);
    page.sees("Nothing gave up").await;
    page.eval("window.stays = true").await;
    x.answer(Target::Create, Canned::new(403, r#"{"title":"Forbidden","status":403}"#));
    api.publish("Bakery Sommer", "Speculaas from our grandmother's moulds.");
    page.sees("Speculaas from our grandmother's moulds.").await;

    page.click("link", "Calendar").await;
    page.sees("Speculaas").await;
    let port = daemon.port;
    daemon.kill();
    page.sees("postq does not answer").await;
    page.screen("lost").await;
    let daemon = home.serve_at(port);
    let api = Api::of(&daemon).await;
    page.sees_no("postq does not answer").await;
    api.publish("Bakery Sommer", "The oven is warm again.");
    page.sees("The oven").await;
    assert_eq!(page.eval("return window.stays").await, true, "it was not loaded anew");
    page.screen("back").await;
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_at_the_page_again_sees_what_happened_meanwhile() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.dry_run("Bakery Sommer");
    let page = Page::open(daemon.port, "/").await;
    page.sees("Write a post").await;
    let look = async |is_hidden: bool| {
        let script = "Object.defineProperty(document, 'hidden', { value: arguments[0], configurable: true });
            document.dispatchEvent(new Event('visibilitychange'))";
        page.eval_with(script, vec![is_hidden.into()]).await;
    };

    look(true).await;
    let post = api.publish("Bakery Sommer", "Rye bread is back.");
    api.until_job(&post, "succeeded").await;
    look(false).await;

    page.sees("Rye bread").await;
    page.done().await;
}
