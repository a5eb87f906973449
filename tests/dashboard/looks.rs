//! Every page in every dress: pictures for a designer, and axe-core's findings.

use std::collections::BTreeMap;

use crate::api::Api;
use crate::browser::Size;
use crate::page::{IS_LOADED, Page};
use crate::support::Home;
use crate::town::Town;

/// What axe-core finds, and in which pictures.
pub(crate) type Findings = BTreeMap<String, Vec<String>>;

const AXE: &str = include_str!("vendor/axe.min.js");

/// What it finds that a person cannot live with.
const CHECK: &str = "const done = arguments[arguments.length - 1];
    axe.run(document, { resultTypes: ['violations'] }).then(
        ({ violations }) => done(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map((one) => ({
            rule: one.id, impact: one.impact, help: one.help,
            nodes: one.nodes.slice(0, 4).map((node) => `${node.html.slice(0, 160)} | ${node.any.map((any) => any.message).join('; ')}`),
        }))),
        (error) => done([String(error)]))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_pages() {
    let town = Town::found().await;
    let page = Page::open(town.daemon.port, "/").await;
    let mut found = Findings::new();
    page.sees("Sign in").await;
    for size in [Size::Desktop, Size::Phone] {
        look(&page, size, "sign-in", &mut found).await;
    }
    page.sign_in(&town.admin).await;

    let places = [
        ("calendar", "/".to_owned()),
        ("compose", "/compose".to_owned()),
        ("compose-edit", format!("/compose?post={}", town.post)),
        ("posts", "/posts".to_owned()),
        ("post", format!("/posts/{}", town.post)),
        ("queue", "/queue".to_owned()),
        ("analytics", format!("/analytics?account={}", town.bakery)),
        ("publication", format!("/publications/{}", town.publication)),
        ("slots", format!("/accounts/{}/slots", town.bakery)),
        ("job-held", format!("/jobs/{}", town.held)),
        ("dead-letters", "/dead-letters".to_owned()),
        ("accounts", "/accounts".to_owned()),
        ("platforms", "/platforms".to_owned()),
        ("nodes", "/nodes".to_owned()),
        ("settings", "/settings".to_owned()),
    ];
    for size in [Size::Desktop, Size::Phone] {
        page.browser.resize(size).await;
        for (name, path) in &places {
            page.go(path).await;
            look(&page, size, name, &mut found).await;
        }
        page.go("/").await;
        for span in ["Month", "Week", "List"] {
            page.click("button", span).await;
            look(&page, size, &format!("calendar-{}", span.to_lowercase()), &mut found).await;
        }
        page.go("/analytics").await;
        page.click("button", "Show the numbers").await;
        look(&page, size, "analytics-numbers", &mut found).await;
        page.go("/accounts").await;
        page.click("button", "Connect an account").await;
        look(&page, size, "dialog", &mut found).await;
    }
    assert!(found.is_empty(), "{} findings: {found:#?}", found.len());
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_empty_pages() {
    let home = Home::new();
    let daemon = home.serve();
    Api::of(&daemon).await;
    let page = Page::open(daemon.port, "/").await;
    let mut found = Findings::new();

    for size in [Size::Desktop, Size::Phone] {
        page.browser.resize(size).await;
        for place in
            ["", "compose", "posts", "queue", "analytics", "dead-letters", "accounts", "settings"]
        {
            page.go(&format!("/{place}")).await;
            let name = if place.is_empty() { "calendar" } else { place };
            look(&page, size, &format!("empty-{name}"), &mut found).await;
        }
    }
    assert!(found.is_empty(), "{} findings: {found:#?}", found.len());
    page.done().await;
}

/// Takes pictures of a page in light and dark, and asks axe-core.
pub(crate) async fn look(page: &Page, size: Size, name: &str, found: &mut Findings) {
    page.browser.resize(size).await;
    page.until_true(&format!("{name} is loaded"), IS_LOADED).await;
    if page.eval("return typeof axe").await == "undefined" {
        page.eval(AXE).await;
    }
    let window = format!("{size:?}").to_lowercase();
    for scheme in ["light", "dark"] {
        page.browser.paint(scheme).await;
        let name = format!("all/{name}-{window}-{scheme}");
        page.whole(&name, size).await;
        page.fits(size).await;
        let findings =
            page.browser.client.execute_async(CHECK, Vec::new()).await.expect("axe runs");
        for finding in findings.as_array().expect("a list") {
            found.entry(format!("{finding:#}")).or_default().push(name.clone());
        }
    }
    page.browser.paint("light").await;
}
