//! Who is told when something needs a person, and whether that works.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use postq_core::error::{ErrorKind, NotifyError};
use postq_core::id::JobId;
use postq_core::notifier::{LogNotifier, Notice, NoticeKind, Notifier};
use postq_web::{Channel, Web};
use serde_json::{Value, json};

use support::Site;

/// Keeps what it is told, refuses it, or breaks down.
#[derive(Debug)]
struct Ear {
    name: &'static str,
    heard: Arc<Mutex<Vec<Notice>>>,
}

#[async_trait]
impl Notifier for Ear {
    fn channel(&self) -> &str {
        self.name
    }

    async fn notify(&self, _: JobId, notice: &Notice) -> Result<(), NotifyError> {
        assert!(self.name != "broken", "this is meant to happen");
        self.heard.lock().unwrap().push(notice.clone());
        match self.name {
            "deaf" => {
                Err(NotifyError::new(ErrorKind::Invalid, "\"chat.example.com\" answered 404"))
            }
            _ => Ok(()),
        }
    }
}

async fn site(names: &[&'static str]) -> (Site, Arc<Mutex<Vec<Notice>>>) {
    let (mut site, heard) = (Site::still().await, Arc::default());
    let mut channels = vec![Channel { notifier: Arc::new(LogNotifier), to: Vec::new() }];
    channels.extend(names.iter().map(|name| Channel {
        notifier: Arc::new(Ear { name, heard: Arc::clone(&heard) }),
        to: vec![format!("{name}.example.com")],
    }));
    let web = Web { channels, ..site.web.clone() };
    site.answer_with(web).await;
    (site, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_shown_who_is_told_of_what() {
    let (site, heard) = site(&["chat"]).await;

    let shown = site.get("/api/notifications").await.is(200).body;

    let channels = json!([
        {"channel": "log", "to": []},
        {"channel": "chat", "to": ["chat.example.com"]},
    ]);
    assert_eq!(shown["channels"], channels);
    let kinds: Vec<&Value> =
        shown["notices"].as_array().unwrap().iter().map(|notice| &notice["kind"]).collect();
    assert_eq!(kinds.len(), 8, "{shown:#}");
    assert!(kinds.contains(&&json!("job_dead")), "{shown:#}");
    assert!(heard.lock().unwrap().is_empty(), "to look tells nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_tells_what_came_of_each_channel() {
    let (site, heard) = site(&["chat", "deaf", "broken", "mail"]).await;

    let tested = site.post("/api/notifications/test", json!({})).await.is(200).body;

    let came = json!([
        {"channel": "log", "delivered": true, "error": null},
        {"channel": "chat", "delivered": true, "error": null},
        {"channel": "deaf", "delivered": false, "error": "\"chat.example.com\" answered 404"},
        {"channel": "broken", "delivered": false, "error": "it broke down"},
        {"channel": "mail", "delivered": true, "error": null},
    ]);
    assert_eq!(tested["items"], came);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 3, "each was told once");
    assert!(heard.iter().all(|notice| notice.kind == NoticeKind::Test), "{heard:?}");
    assert!(heard[0].message.contains("this is a test"), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_have_a_limit() {
    let (site, heard) = site(&["chat"]).await;

    for _ in 0..5 {
        site.post("/api/notifications/test", json!({})).await.is(200);
    }
    let refused = site.post("/api/notifications/test", json!({})).await;

    let refused = refused.refused(429, "too_many_requests");
    assert!((1..=12).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(heard.lock().unwrap().len(), 5);
}
