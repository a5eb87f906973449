//! The rules of [`WebhookStore`].

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::error::ErrorKind;
use crate::id::{TenantId, WebhookId};
use crate::job::Applied;
use crate::store::Edited;
use crate::vault::Sealed;
use crate::webhook::{Endpoint, EventKind, Paused, Retiring, WebhookStore};

/// Writes one test per rule of [`WebhookStore`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! webhook_conformance {
    ($fresh:expr) => {
        mod webhook_rules {
            $crate::conformance_rules! { $fresh, webhook {
                an_endpoint_is_kept_once,
                a_tenant_has_so_many_endpoints,
                an_update_needs_the_current_version,
                one_of_two_updates_wins,
                endpoints_are_listed_by_tenant,
                a_removed_endpoint_is_gone,
            } }
        }
    };
}

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
}

fn sealed(bytes: u8) -> Sealed {
    Sealed { key_id: format!("key {bytes}"), bytes: vec![0, bytes, 255] }
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        id: WebhookId::new(),
        tenant_id: TenantId::DEFAULT,
        url: url.to_owned(),
        secret: sealed(1),
        retiring: None,
        events: Vec::new(),
        paused: None,
        version: 1,
        created_at: at(1),
    }
}

async fn found(webhooks: &dyn WebhookStore, id: WebhookId) -> Endpoint {
    webhooks.find(id).await.expect("find").expect("it is there")
}

/// An endpoint is kept as it was made; an id that is there already is left as it is.
pub async fn an_endpoint_is_kept_once(webhooks: Arc<dyn WebhookStore>) {
    let plain = endpoint("https://a.example/");
    let full = Endpoint {
        retiring: Some(Retiring { secret: sealed(2), until: at(9) }),
        events: vec![EventKind::JobDead, EventKind::AccountNeedsAttention],
        paused: Some(Paused { at: at(7), why: "straße \u{1f511}".to_owned() }),
        version: 7,
        ..endpoint("https://b.example/straße?\u{1f511}='")
    };

    for endpoint in [&plain, &full] {
        webhooks.insert(endpoint).await.expect("insert");
        let other = Endpoint { url: "https://c.example/".to_owned(), ..endpoint.clone() };
        webhooks.insert(&other).await.expect("insert again");
    }

    assert_eq!(found(&*webhooks, plain.id).await, plain);
    assert_eq!(found(&*webhooks, full.id).await, full);
    assert_eq!(webhooks.find(WebhookId::new()).await.expect("find"), None);
}

/// A tenant has at most so many endpoints, however many are added at once; others are not counted.
pub async fn a_tenant_has_so_many_endpoints(webhooks: Arc<dyn WebhookStore>) {
    let adding = (0..Endpoint::MOST + 4).map(|n| {
        let webhooks = Arc::clone(&webhooks);
        let endpoint = endpoint(&format!("https://{n}.example/"));
        tokio::spawn(async move { webhooks.insert(&endpoint).await })
    });
    let mut refused = 0;
    for added in adding.collect::<Vec<_>>() {
        if let Err(error) = added.await.expect("it runs") {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            refused += 1;
        }
    }
    assert_eq!(refused, 4);

    let kept = webhooks.list(TenantId::DEFAULT).await.expect("list");
    assert_eq!(kept.len(), Endpoint::MOST);
    webhooks.insert(&kept[0]).await.expect("one that is there is no further one");
    let theirs = Endpoint { tenant_id: TenantId::new(), ..endpoint("https://theirs.example/") };
    webhooks.insert(&theirs).await.expect("another tenant has room");
    assert_eq!(webhooks.remove(kept[0].id).await.expect("remove"), Applied::Applied);
    webhooks.insert(&endpoint("https://new.example/")).await.expect("there is room again");
}

/// An update needs the version that was seen, and raises it; again it changes nothing.
pub async fn an_update_needs_the_current_version(webhooks: Arc<dyn WebhookStore>) {
    let made = endpoint("https://a.example/");
    let other = endpoint("https://other.example/");
    for endpoint in [&made, &other] {
        webhooks.insert(endpoint).await.expect("insert");
    }
    let change = Endpoint {
        url: "https://b.example/".to_owned(),
        secret: sealed(3),
        retiring: Some(Retiring { secret: sealed(1), until: at(20) }),
        events: vec![EventKind::JobSucceeded],
        paused: Some(Paused { at: at(5), why: "gone".to_owned() }),
        tenant_id: TenantId::new(),
        created_at: at(99),
        ..made.clone()
    };

    for _ in 0..2 {
        let updated = webhooks.update(&change).await.expect("update");
        assert_eq!(updated, Edited::Applied { revision: 2 });
    }

    let expected = Endpoint {
        version: 2,
        tenant_id: made.tenant_id,
        created_at: made.created_at,
        ..change.clone()
    };
    assert_eq!(found(&*webhooks, made.id).await, expected);
    assert_eq!(found(&*webhooks, other.id).await, other, "no other one is changed");
    let late = Endpoint { paused: None, ..change.clone() };
    let refused = webhooks.update(&late).await.expect("update");
    assert_eq!(refused, Edited::Changed { revision: 2 });
    let back = Endpoint { retiring: None, paused: None, version: 2, ..change };
    let updated = webhooks.update(&back).await.expect("update");
    assert_eq!(updated, Edited::Applied { revision: 3 });
    let kept = found(&*webhooks, made.id).await;
    assert_eq!((kept.retiring, kept.paused), (None, None));
    let none = webhooks.update(&endpoint("https://none.example/")).await.expect("update");
    assert_eq!(none, Edited::Gone);
}

/// Of two updates that have seen the same version, one takes effect.
pub async fn one_of_two_updates_wins(webhooks: Arc<dyn WebhookStore>) {
    let made = endpoint("https://a.example/");
    webhooks.insert(&made).await.expect("insert");

    let updates = (0..8).map(|n| {
        let webhooks = Arc::clone(&webhooks);
        let change = Endpoint { url: format!("https://{n}.example/"), ..made.clone() };
        tokio::spawn(async move { webhooks.update(&change).await.expect("update") })
    });
    let mut won = 0;
    for update in updates.collect::<Vec<_>>() {
        match update.await.expect("it runs") {
            Edited::Applied { revision } => {
                assert_eq!(revision, 2);
                won += 1;
            }
            other => assert_eq!(other, Edited::Changed { revision: 2 }),
        }
    }

    assert_eq!(won, 1);
    assert_eq!(found(&*webhooks, made.id).await.version, 2);
}

/// The list shows the endpoints of one tenant, oldest first.
pub async fn endpoints_are_listed_by_tenant(webhooks: Arc<dyn WebhookStore>) {
    let id = |n| WebhookId::from_uuid(Uuid::from_u64_pair(n, 0));
    let theirs = TenantId::new();
    let first = Endpoint { id: id(1), ..endpoint("https://b.example/") };
    let second = Endpoint { id: id(2), ..endpoint("https://a.example/") };
    let foreign = Endpoint { id: id(3), tenant_id: theirs, ..endpoint("https://c.example/") };

    for endpoint in [&second, &foreign, &first] {
        webhooks.insert(endpoint).await.expect("insert");
    }

    assert_eq!(webhooks.list(TenantId::DEFAULT).await.expect("list"), [first, second]);
    assert_eq!(webhooks.list(theirs).await.expect("list"), [foreign]);
}

/// What was removed is gone, and nothing else.
pub async fn a_removed_endpoint_is_gone(webhooks: Arc<dyn WebhookStore>) {
    let (made, other) = (endpoint("https://a.example/"), endpoint("https://b.example/"));
    for endpoint in [&made, &other] {
        webhooks.insert(endpoint).await.expect("insert");
    }

    assert_eq!(webhooks.remove(made.id).await.expect("remove"), Applied::Applied);

    assert_eq!(webhooks.find(made.id).await.expect("find"), None);
    assert_eq!(webhooks.remove(made.id).await.expect("again"), Applied::Gone);
    assert_eq!(webhooks.list(TenantId::DEFAULT).await.expect("list"), [other]);
}
