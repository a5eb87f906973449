//! Many events at once: the page follows them, and does not ask for each.

use crate::api::Api;
use crate::page::Page;
use crate::support::Home;

/// Notes each stream and each request, from before the page's own scripts.
const WATCH: &str = "window.streams = []; window.asked = [];
    const Source = window.EventSource;
    window.EventSource = class extends Source { constructor(url) { super(url); streams.push(this); } };
    const ask = window.fetch;
    window.fetch = (url, init) => { asked.push(String(url)); return ask(url, init); };";

/// For three seconds an event each 50 ms; answers how often was asked meanwhile.
const FLOOD: &str = "const done = arguments[arguments.length - 1];
    asked.length = 0;
    const event = () => streams.at(-1).dispatchEvent(new MessageEvent('job.retrying', { data: '{}' }));
    const timer = setInterval(event, 50);
    setTimeout(() => {
      clearInterval(timer);
      const count = (part) => asked.filter((url) => url.includes(part)).length;
      done([count('/api/queue/health'), count('/api/dead-letters/causes')]);
    }, 3000)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_without_end_put_nothing_off_and_are_not_asked_for_one_by_one() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.dry_run("Choir");
    let page = Page::open(daemon.port, "/").await;
    page.browser
        .cdp("Page.addScriptToEvaluateOnNewDocument", serde_json::json!({ "source": WATCH }))
        .await;
    page.go("/queue").await;
    page.sees("Nothing waits").await;
    page.until_true("it listens", "return streams.length > 0 && streams.at(-1).readyState === 1")
        .await;

    let asked = page.browser.client.execute_async(FLOOD, Vec::new()).await.expect("it ends");

    let [view, badge] = [&asked[0], &asked[1]].map(|count| count.as_u64().expect("a count"));
    assert!((4..=13).contains(&view), "{view} times in 3 s: each 250 ms at most, and not put off");
    assert!((1..=2).contains(&badge), "{badge} times in 3 s: it may be two seconds behind");
    page.done().await;
}
