//! A headless Chromium with a profile of its own, and what it has heard.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use test_servers::ChromeDriver;
use url::{ParseError, Url};

/// Where the viewer is: hours away from the clock that everything is kept in.
pub(crate) const ZONE: &str = "Europe/Berlin";

/// How large the window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Desktop,
    Phone,
}

impl Size {
    pub(crate) fn width(self) -> u32 {
        match self {
            Self::Desktop => 1_280,
            Self::Phone => 390,
        }
    }

    fn height(self) -> u64 {
        match self {
            Self::Desktop => 800,
            Self::Phone => 844,
        }
    }
}

/// A browser, killed when it is dropped. What it says on its console is kept: [`Self::console`].
#[derive(Debug)]
pub(crate) struct Browser {
    pub(crate) client: Client,
    console: Mutex<Vec<Value>>,
    requests: Mutex<Vec<Request>>,
    is_checked: AtomicBool,
    /// Dropped last.
    _driver: ChromeDriver,
}

/// A request that a page made.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    id: String,
    pub(crate) url: String,
    /// What came over the wire, headers and all.
    pub(crate) bytes: u64,
    /// It was answered whole, or given up.
    pub(crate) is_over: bool,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let driver = ChromeDriver::start(ZONE);
        let profile = driver.folder().join("profile");
        let options = json!({
            "binary": "/usr/bin/chromium",
            "args": [
                "--headless=new",
                // Tests may run as root, and where `/dev/shm` is small.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--disable-background-networking",
                "--no-first-run",
                "--lang=en-US",
                "--window-size=1280,800",
                // It ends with whoever holds the other end of the pipe, however that one ends.
                "--remote-debugging-pipe",
                // Nothing but this machine has an address.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                format!("--user-data-dir={}", profile.display()),
            ],
            "prefs": { "intl.accept_languages": "en-GB,en" },
        });
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let wanted = wanted.as_object().expect("an object").clone();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&driver.url())
            .await
            .expect("chromium starts");
        let browser = Self {
            client,
            console: Mutex::default(),
            requests: Mutex::default(),
            is_checked: AtomicBool::new(false),
            _driver: driver,
        };
        // The viewer's own, which pages ask for; the browser itself may have no other words than the American.
        browser.cdp("Emulation.setLocaleOverride", json!({ "locale": "en-GB" })).await;
        browser.resize(Size::Desktop).await;
        browser.paint("light").await;
        browser
    }

    pub(crate) async fn resize(&self, size: Size) {
        self.stretch(size, None).await;
    }

    /// As wide as that, and at least so high.
    pub(crate) async fn stretch(&self, size: Size, height: Option<u64>) {
        let is_phone = size == Size::Phone;
        let metrics = json!({
            "width": size.width(),
            "height": height.unwrap_or_default().max(size.height()),
            "deviceScaleFactor": if is_phone { 2 } else { 1 },
            "mobile": is_phone,
        });
        self.cdp("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// The colours that the viewer prefers: `light` or `dark`.
    pub(crate) async fn paint(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// A command of the browser's own protocol.
    pub(crate) async fn cdp(&self, command: &str, params: Value) -> Value {
        self.own("goog/cdp/execute", json!({ "cmd": command, "params": params })).await
    }

    /// Everything that was said on the console.
    pub(crate) async fn console(&self) -> Vec<Value> {
        let news = self.own("se/log", json!({ "type": "browser" })).await;
        let mut console = self.console.lock().expect("nobody panics with it");
        console.extend(news.as_array().expect("entries").iter().cloned());
        console.clone()
    }

    /// Every request that was made over a network.
    pub(crate) async fn requests(&self) -> Vec<Request> {
        let news = self.own("se/log", json!({ "type": "performance" })).await;
        let mut requests = self.requests.lock().expect("nobody panics with it");
        for entry in news.as_array().expect("entries") {
            let text = entry["message"].as_str().expect("a message");
            let message: Value = serde_json::from_str(text).expect("JSON");
            note(&mut requests, &message["message"]);
        }
        requests.clone()
    }

    /// Closes it, after a look at what went wrong unseen: an error on the console that the test did not
    /// expect, a request to anybody but the daemon and where a person went.
    pub(crate) async fn close(&self, known: &[String], expected: &[&str]) {
        self.is_checked.store(true, Ordering::Relaxed);
        let errors: Vec<String> = self
            .console()
            .await
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .filter(|message| !expected.iter().any(|part| message.contains(part)))
            .collect();
        assert!(errors.is_empty(), "the browser's console has errors: {errors:#?}");
        let requests = self.requests().await.into_iter();
        let foreign =
            requests.filter(|request| !known.iter().any(|base| request.url.starts_with(base)));
        let foreign: Vec<_> = foreign.map(|request| request.url).collect();
        assert!(foreign.is_empty(), "the page asks others: {foreign:#?}");
    }

    async fn own(&self, path: &'static str, body: Value) -> Value {
        let said = body["cmd"].as_str().unwrap_or(path).to_owned();
        let answer = self.client.issue_cmd(Own { path, body }).await;
        answer.unwrap_or_else(|error| panic!("{said}: {error}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let is_checked = self.is_checked.load(Ordering::Relaxed) || std::thread::panicking();
        assert!(is_checked, "a test ends with a look at what went wrong unseen");
    }
}

fn note(requests: &mut Vec<Request>, event: &Value) {
    let params = &event["params"];
    let id = || params["requestId"].as_str().unwrap_or_default().to_owned();
    match event["method"].as_str() {
        Some("Network.requestWillBeSent") => {
            let url = params["request"]["url"].as_str().unwrap_or_default().to_owned();
            // The browser's own first page, and images within a style sheet, come from nowhere.
            if url.starts_with("http") || url.starts_with("ws") {
                requests.push(Request { id: id(), url, bytes: 0, is_over: false });
            }
        }
        Some("Network.loadingFinished") => {
            let id = id();
            let bytes = params["encodedDataLength"].as_f64().unwrap_or_default();
            if let Some(request) = requests.iter_mut().rev().find(|request| request.id == id) {
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a count"
                )]
                let bytes = bytes as u64;
                (request.bytes, request.is_over) = (bytes, true);
            }
        }
        Some("Network.loadingFailed") => {
            let id = id();
            if let Some(request) = requests.iter_mut().rev().find(|request| request.id == id) {
                request.is_over = true;
            }
        }
        _ => {}
    }
}

/// A command that ChromeDriver has beyond the standard.
#[derive(Debug)]
struct Own {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Own {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
