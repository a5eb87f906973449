//! `/api/incoming/{platform}`: what platforms send by themselves.
//!
//! Open to everybody, as the platform has no token of ours: its signature over the very bytes is the proof.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::error::chain;
use postq_core::job::DedupeKey;
use postq_core::lock::LockToken;
use postq_core::platform::PlatformName;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::events::PLATFORM_EVENT;
use crate::extract::Raw;
use crate::incoming::{Incoming, IncomingEvent};
use crate::problem::{Code, Problem};
use crate::router::{Route, route};
use crate::web::{App, Shared};

/// An event is known for so long, and one that says that it is older is an old one sent again.
const KNOWN_FOR: Duration = Duration::from_secs(86_400);

/// The lock may take so long; after that an event may be told twice.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(prove, take));
}

/// Something that happened on a platform to one of the accounts: the live event `platform.event`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PlatformHappened {
    /// When, by the platform if it says so, else when it came.
    at: DateTime<Utc>,
    platform: String,
    /// What, in the platform's words: `post.delete`, …
    kind: String,
    account: Uuid,
    account_name: String,
    /// The platform's id of the post that it is about.
    remote_id: Option<String>,
}

/// Proves to a platform that its webhook leads here.
///
/// X asks with `crc_token`. 404 unless the secret of the platform's webhooks is set.
#[utoipa::path(get, path = "/api/incoming/{platform}", tag = "incoming", operation_id = "prove_incoming",
    params(("platform" = String, Path, example = "x"),
        ("crc_token" = Option<String>, Query, description = "X's challenge")),
    security(()), responses((status = 200, description = "the proof", body = Value)))]
async fn prove(
    State(app): State<App>,
    Path(platform): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let incoming = of(&app, &platform)?;
    let proof = incoming.challenge(query.as_deref().unwrap_or_default());
    proof.map(Json).ok_or_else(|| {
        Problem::new(Code::Invalid, "there is no challenge in the query, or one that none can be")
    })
}

/// Takes what a platform sends by itself: events that it has signed.
///
/// No token is needed: the signature over the bytes of the body is the proof. What is about one of the
/// accounts becomes the live event `platform.event`, once. 404 unless the secret of the platform's
/// webhooks is set.
#[utoipa::path(post, path = "/api/incoming/{platform}", tag = "incoming", operation_id = "take_incoming",
    params(("platform" = String, Path, example = "x")),
    request_body(content = Value, description = "what the platform sends"),
    security(()), responses((status = 200, description = "taken, or known already", body = Value)))]
async fn take(
    State(app): State<App>,
    Path(platform): Path<String>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Json<Value>, Problem> {
    let incoming = of(&app, &platform)?;
    let events = incoming.events(&headers, &body).ok_or_else(|| {
        Problem::new(Code::BadSignature, "the signature is not the platform's over this body")
    })?;
    let news = news(&app, incoming.platform(), events).await;
    tell(&app, incoming.platform(), news).await?;
    Ok(Json(json!({})))
}

fn of<'a>(app: &'a Shared, platform: &str) -> Result<&'a Arc<dyn Incoming>, Problem> {
    let mut all = app.web.incoming.iter();
    all.find(|incoming| incoming.platform().as_str() == platform)
        .ok_or_else(|| Problem::new(Code::NotFound, "nothing is taken from such a platform here"))
}

/// Those that are not known yet, nor too old. If nobody can tell, they are: an event told twice does less
/// harm than one not told.
async fn news(
    app: &Shared,
    platform: &PlatformName,
    mut events: Vec<IncomingEvent>,
) -> Vec<IncomingEvent> {
    let now = app.web.clock.now();
    // Not by adding to the event's time: it may be the last one that there is.
    let oldest = now - KNOWN_FOR;
    events.retain(|event| event.at.is_none_or(|at| at > oldest));
    let keys: Vec<DedupeKey> = events.iter().map(|event| key(platform, event)).collect();
    if keys.is_empty() {
        return events;
    }
    let token = LockToken::random();
    let asked = app.web.engine.backend().lock.acquire(&keys, &token, KNOWN_FOR);
    let is_new = match tokio::time::timeout(LOCK_TIMEOUT, asked).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(error)) => {
            tracing::debug!(error = %chain(&error), "not known whether events are new");
            return events;
        }
        Err(_) => return events,
    };
    let mut is_new = is_new.into_iter();
    events.retain(|_| is_new.next().unwrap_or(true));
    events
}

/// Short, whatever the platform's ids look like.
fn key(platform: &PlatformName, event: &IncomingEvent) -> DedupeKey {
    let mut hash = Sha256::new();
    hash.update(event.kind.as_bytes());
    hash.update([0]);
    hash.update(event.id.as_bytes());
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    DedupeKey::new(format!("incoming:{platform}:{hash}"))
}

/// Tells the clients of `/api/events` what happened to our accounts.
async fn tell(
    app: &Shared,
    platform: &PlatformName,
    events: Vec<IncomingEvent>,
) -> Result<(), Problem> {
    if events.is_empty() {
        return Ok(());
    }
    let accounts = app.web.engine.backend().accounts.list(app.desk.tenant()).await?;
    let ours: BTreeMap<&str, &Account> = accounts
        .iter()
        .filter(|account| account.platform == *platform)
        .filter_map(|account| Some((account.remote_id.as_deref()?, account)))
        .collect();
    for event in events {
        let user = event.user.as_deref().unwrap_or_default();
        let Some(account) = ours.get(user) else {
            tracing::debug!(%platform, kind = event.kind, "an event of nobody known here");
            continue;
        };
        tracing::debug!(%platform, kind = event.kind, account = account.name, "an event");
        app.hub.tell(
            PLATFORM_EVENT,
            &PlatformHappened {
                at: event.at.unwrap_or_else(|| app.web.clock.now()),
                platform: platform.to_string(),
                kind: event.kind,
                account: account.id.as_uuid(),
                account_name: account.name.clone(),
                remote_id: event.post,
            },
        );
    }
    Ok(())
}
