//! The dashboard as a person uses it: things are found by what they are and what they are called.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fantoccini::Locator;
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::elements::{Element, ElementRef};
use fantoccini::error::CmdError;
use serde_json::{Value, json};

use crate::browser::{Browser, Size};

/// How long anything may take to show, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

const FIND: &str = include_str!("find.js");

/// How WebDriver names an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys, as WebDriver sends them.
pub(crate) mod keys {
    pub(crate) const CONTROL: &str = "\u{e009}";
    pub(crate) const ENTER: &str = "\u{e007}";
    pub(crate) const ESCAPE: &str = "\u{e00c}";
    pub(crate) const NONE: &str = "\u{e000}";
    pub(crate) const RIGHT: &str = "\u{e014}";
    pub(crate) const SPACE: &str = "\u{e00d}";
    pub(crate) const TAB: &str = "\u{e004}";
}

/// A browser on the dashboard of one daemon.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) browser: Browser,
    base: String,
    /// Where a person goes besides.
    elsewhere: Vec<String>,
    expected: Vec<&'static str>,
}

impl Page {
    /// A new browser at this path.
    pub(crate) async fn open(port: u16, path: &str) -> Self {
        let browser = Browser::start().await;
        let base = format!("http://127.0.0.1:{port}");
        let page = Self { browser, base, elsewhere: Vec::new(), expected: Vec::new() };
        page.go(path).await;
        page
    }

    /// What the console may say without being a fault.
    pub(crate) fn expecting(mut self, parts: &[&'static str]) -> Self {
        self.expected.extend(parts);
        self
    }

    /// What begins so is asked for as well: a person goes there.
    pub(crate) fn going_to(mut self, base: String) -> Self {
        self.elsewhere.push(base);
        self
    }

    /// Types an address.
    pub(crate) async fn go(&self, path: &str) {
        let url = format!("{}{path}", self.base);
        self.browser.client.goto(&url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Signs in, as the page asks for it.
    pub(crate) async fn sign_in(&self, token: &str) {
        self.fill("Token", token).await;
        self.click("button", "Sign in").await;
        self.sees("Calendar").await;
    }

    /// Asks for the page once more.
    pub(crate) async fn reload(&self) {
        self.browser.client.refresh().await.expect("a reload");
    }

    /// The path that is shown.
    pub(crate) async fn path(&self) -> String {
        self.eval("return location.pathname").await.as_str().expect("a path").to_owned()
    }

    pub(crate) async fn eval(&self, script: &str) -> Value {
        self.eval_with(script, Vec::new()).await
    }

    pub(crate) async fn eval_with(&self, script: &str, args: Vec<Value>) -> Value {
        let answer = self.browser.client.execute(script, args).await;
        answer.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Everything there is to read.
    pub(crate) async fn text(&self) -> String {
        self.eval("return document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until this can be read.
    pub(crate) async fn sees(&self, text: &str) {
        self.until(&format!("{text:?} can be read"), async || self.reads(text).await).await;
    }

    /// Waits until this can be read no more.
    pub(crate) async fn sees_no(&self, text: &str) {
        self.until(&format!("{text:?} is gone"), async || !self.reads(text).await).await;
    }

    /// Whether this can be read now, however it is broken into lines.
    pub(crate) async fn reads(&self, text: &str) -> bool {
        let script = "const all = [document.body.innerText, ...[...document.querySelectorAll('dialog:modal')].map((one) => one.innerText)];
            return all.some((own) => own.replace(/\\s+/g, ' ').includes(arguments[0]))";
        self.eval_with(script, vec![json!(text)]).await == Value::Bool(true)
    }

    /// Waits until a script answers `true`.
    pub(crate) async fn until_true(&self, what: &str, script: &str) {
        self.until(what, async || self.eval(script).await == Value::Bool(true)).await;
    }

    /// Waits until something is so; after a while fails, and says what can be seen instead.
    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !is_so().await {
            if begun.elapsed() > PATIENCE {
                self.fail(what).await;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn fail(&self, what: &str) -> ! {
        self.screen("failed").await;
        let (path, text) = (self.path().await, self.text().await);
        let console = self.browser.console().await;
        let open = self.browser.requests().await.into_iter().filter(|request| !request.is_over);
        let open: Vec<_> = open.map(|request| request.url).collect();
        panic!(
            "within {PATIENCE:?}: {what}\n--- {path}\n{text}\n--- console\n{console:#?}\n--- not answered\n{open:#?}"
        );
    }

    /// Whether there is such a thing now.
    pub(crate) async fn has(&self, role: &str, name: &str) -> bool {
        self.find(role, name, "").await.is_some()
    }

    /// Whether there is a thing of just that name now.
    pub(crate) async fn has_exactly(&self, role: &str, name: &str) -> bool {
        let script = FIND.replace(
            "called((own) => own.startsWith(wanted)) ?? called((own) => own.includes(wanted)) ?? ",
            "",
        );
        let args = vec![json!(role), json!(name), json!("")];
        !self.eval_with(&script, args).await.is_null()
    }

    async fn find(&self, role: &str, name: &str, near: &str) -> Option<Element> {
        let args = vec![json!(role), json!(name), json!(near)];
        let found = self.browser.client.execute(FIND, args).await.ok()?;
        let id = found.get(ELEMENT)?.as_str()?.to_owned();
        Some(Element::from_element_id(self.browser.client.clone(), ElementRef::from(id)))
    }

    /// Does something to the element of that role and name, again if the page changes meanwhile.
    async fn act<T: Debug>(
        &self,
        (role, name, near): (&str, &str, &str),
        act: impl AsyncFn(Element) -> Result<T, CmdError>,
    ) -> T {
        let begun = Instant::now();
        loop {
            let problem = match self.find(role, name, near).await {
                None => "it is not there".to_owned(),
                Some(element) => match element.is_enabled().await {
                    Ok(true) => match act(element).await {
                        Ok(done) => return done,
                        Err(error) => error.to_string(),
                    },
                    Ok(false) => "it cannot be used".to_owned(),
                    Err(error) => error.to_string(),
                },
            };
            if begun.elapsed() > PATIENCE {
                let next_to =
                    if near.is_empty() { String::new() } else { format!(" near {near:?}") };
                self.fail(&format!("the {role} {name:?}{next_to}: {problem}")).await;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Clicks, with the mouse.
    pub(crate) async fn click(&self, role: &str, name: &str) {
        self.click_near(role, name, "").await;
    }

    /// The same, of several that are called the same, on the one that is closest to this text.
    pub(crate) async fn click_near(&self, role: &str, name: &str, near: &str) {
        self.act((role, name, near), async |element| {
            // Where it was a moment ago there may be something else by the time the mouse is pressed.
            let place = vec![serde_json::to_value(&element)?];
            let is_still = self.browser.client.execute_async(IS_STILL, place).await?;
            if is_still == Value::Bool(true) {
                element.click().await
            } else {
                Err(CmdError::WaitTimeout)
            }
        })
        .await;
    }

    /// Waits until there is such a thing, whether it can be used or not; answers it.
    pub(crate) async fn shown(&self, role: &str, name: &str) -> Element {
        self.until(&format!("the {role} {name:?} is there"), async || self.has(role, name).await)
            .await;
        self.find(role, name, "").await.expect("it was there a moment ago")
    }

    /// Types into a field, in place of what is there. Dates and times are given as they are kept:
    /// `2027-03-01T09:00`.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        let all = format!("{}a{}", keys::CONTROL, keys::NONE);
        self.act(("field", label, ""), async |element| {
            let kind = element.prop("type").await?.unwrap_or_default();
            if kind == "select-one" {
                return element.select_by_label(text).await;
            }
            if !["date", "time", "datetime-local"].contains(&kind.as_str()) {
                element.send_keys(&all).await?;
            }
            element.send_keys(text).await
        })
        .await;
    }

    /// Chooses files, as the window of the system would.
    pub(crate) async fn add_files(&self, label: &str, files: &[&Path]) {
        let field = format!("input[type=file][aria-label={label:?}]");
        let field = self.browser.client.wait().at_most(PATIENCE).for_element(Locator::Css(&field));
        let field = field.await.unwrap_or_else(|error| panic!("{label}: {error}"));
        let names: Vec<_> = files.iter().map(|file| file.to_str().expect("UTF-8")).collect();
        field.send_keys(&names.join("\n")).await.expect("files are chosen");
    }

    /// Presses keys one after the other, wherever the focus is.
    pub(crate) async fn press(&self, keys: &str) {
        let pressed = keys.chars().fold(KeyActions::new("keyboard".to_owned()), |all, key| {
            all.then(KeyAction::Down { value: key }).then(KeyAction::Up { value: key })
        });
        self.browser.client.perform_actions(pressed).await.expect("keys");
    }

    /// Goes on with the tab key to a thing of that name, looking each time whether the focus can be seen.
    pub(crate) async fn tab_to(&self, name: &str) {
        self.tab_until(name, |own| own == name || own.starts_with(&format!("{name} "))).await;
    }

    /// The same, to a thing in whose name these words are.
    pub(crate) async fn tab_to_what_says(&self, words: &str) {
        self.tab_until(words, |own| own.contains(words)).await;
    }

    async fn tab_until(&self, wanted: &str, is_it: impl Fn(&str) -> bool) {
        const MOST: usize = 120;
        let mut passed = Vec::new();
        for _ in 0..MOST {
            self.press(keys::TAB).await;
            let at = self.eval(FOCUS).await;
            assert_eq!(at["is_seen"], true, "the focus cannot be seen on {at}");
            let own = at["name"].as_str().unwrap_or_default();
            if is_it(own) {
                return;
            }
            passed.push(own.to_owned());
        }
        panic!("{MOST} times the tab key, and never on {wanted:?}: {passed:?}");
    }

    /// What is on the screen, into `target/screens`.
    pub(crate) async fn screen(&self, name: &str) {
        let image = self.browser.client.screenshot().await.expect("a screenshot");
        save(name, &image);
    }

    /// The whole page, into `target/screens`.
    pub(crate) async fn whole(&self, name: &str, size: Size) {
        let height = self.eval("return document.documentElement.scrollHeight").await;
        // What stays in view has one place in a picture without an edge.
        self.browser.stretch(size, height.as_u64()).await;
        self.screen(name).await;
        self.browser.resize(size).await;
    }

    /// Fails if anything is wider than the window.
    pub(crate) async fn fits(&self, size: Size) {
        let width = self.eval("return document.documentElement.scrollWidth").await;
        if width.as_u64() > Some(u64::from(size.width())) {
            let wide = self.eval_with(TOO_WIDE, vec![json!(size.width())]).await;
            let path = self.path().await;
            panic!("{path} is {width} wide in a window of {}: {wide:#}", size.width());
        }
    }

    /// Every test's end: nothing went wrong unseen.
    pub(crate) async fn done(self) {
        let known = [std::slice::from_ref(&self.base), &self.elsewhere].concat();
        self.browser.close(&known, &self.expected).await;
    }
}

/// Whether something stays where it is for a few frames.
const IS_STILL: &str = "const [node, done] = arguments;
    const place = () => Object.values(node.getBoundingClientRect().toJSON()).join();
    const before = place();
    setTimeout(() => done(node.isConnected && place() === before), 40)";

/// Nothing is on its way any more.
pub(crate) const IS_LOADED: &str = "const main = document.querySelector('main');
    return main !== null && main.querySelector('h1, h2') !== null && main.querySelector('.spin') === null";

/// What has the focus, and whether that can be seen.
const FOCUS: &str = "const node = document.activeElement;
    const style = getComputedStyle(node);
    const label = [...(node.labels ?? [])].map((one) => one.textContent).join(' ');
    const name = (node.getAttribute('aria-label') || label || node.textContent || '').replace(/\\s+/g, ' ').trim();
    const box = node.getBoundingClientRect();
    const inView = node === document.body || (box.width > 0 && box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth);
    const marked = node === document.body || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1);
    return { name, tag: node.tagName, is_seen: inView && marked, inView, marked }";

/// What sticks out to the right.
const TOO_WIDE: &str = "return [...document.querySelectorAll('main *, .side *')]
    .filter((node) => node.getBoundingClientRect().right > arguments[0] + 1)
    .slice(0, 8).map((node) => `${node.tagName}.${node.className} to ${Math.round(node.getBoundingClientRect().right)}: ${(node.textContent || '').slice(0, 40)}`)";

/// `target/screens`, where people look.
fn screens() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let target = test.ancestors().find(|folder| folder.ends_with("target"));
    target.unwrap_or_else(|| Path::new("target")).join("screens")
}

fn save(name: &str, image: &[u8]) {
    let file: &Path = &screens().join(format!("{name}.png"));
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder for screenshots");
    std::fs::write(file, image).expect("a screenshot");
}
