//! Tokens and scopes: one table, learnt from the OpenAPI document's parts, says what each route needs.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::error::chain;
use postq_core::id::TokenId;
use postq_core::token::{Scope, Token};
use secrecy::SecretString;
use tokio::time::Instant;
use utoipa::openapi::HttpMethod;
use utoipa::openapi::path::Operation;

use crate::metrics;
use crate::problem::{Code, Problem};
use crate::secret::Presented;
use crate::web::{App, Shared};

/// A use is recorded if the last one that was is as old as this.
const RECORD_EVERY: TimeDelta = TimeDelta::minutes(1);

/// What a request that came through a proxy has: it may come from anywhere.
const PROXIED: [HeaderName; 4] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("via"),
];

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Tells it from every other one.
    pub(crate) name: String,
    scope: Scope,
}

/// A request with this among its extensions comes from the program itself that the router is part of:
/// it may do everything, as often as it likes. Nothing that comes over a network can have it.
#[derive(Clone, Copy, Debug)]
pub struct Trusted;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Token(Scope),
}

/// Tells what a method needs.
pub(crate) type Tell = fn() -> Needs;

/// What a method needs: asked of the document's part when it is first used, and kept.
#[derive(Debug)]
struct Entry {
    needs: OnceLock<Needs>,
    tell: Tell,
}

impl Entry {
    fn needs(&self) -> Needs {
        *self.needs.get_or_init(self.tell)
    }
}

/// What each route needs, and what is remembered of tokens.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    needs: BTreeMap<String, BTreeMap<String, Entry>>,
    /// There is a token, or there was one: that never changes back.
    guarded: AtomicBool,
    recorded: Mutex<HashMap<TokenId, DateTime<Utc>>>,
}

impl Gate {
    /// Learns what the methods of a path need.
    pub(crate) fn learn(&mut self, path: &str, needs: &[(HttpMethod, Tell)]) {
        let methods = self.needs.entry(path.to_owned()).or_default();
        for (method, needs) in needs {
            let method = match method {
                HttpMethod::Get => Method::GET,
                HttpMethod::Put => Method::PUT,
                HttpMethod::Post => Method::POST,
                HttpMethod::Delete => Method::DELETE,
                HttpMethod::Options => Method::OPTIONS,
                HttpMethod::Head => Method::HEAD,
                HttpMethod::Patch => Method::PATCH,
                HttpMethod::Trace => Method::TRACE,
            };
            let entry = Entry { needs: OnceLock::new(), tell: *needs };
            methods.insert(method.as_str().to_owned(), entry);
        }
    }

    /// What the methods of a route need; none for a route that the document does not know. The router
    /// may be mounted below a path of its host's.
    fn of_route(&self, route: &str) -> Option<&BTreeMap<String, Entry>> {
        let mut known = self.needs.iter().filter(|(path, _)| route.ends_with(path.as_str()));
        known.next().map(|(_, methods)| methods)
    }
}

impl Needs {
    /// What an operation needs by what the document says of it: without `security`, or with one that is
    /// not understood, the widest scope.
    pub(crate) fn of(operation: &Operation) -> Self {
        let security = serde_json::to_value(&operation.security).unwrap_or_default();
        let Some([one]) = security.as_array().map(Vec::as_slice) else {
            return Self::Token(Scope::Admin);
        };
        if one.as_object().is_some_and(|schemes| schemes.is_empty()) {
            return Self::Nothing;
        }
        let scope = one["token"][0].as_str().and_then(|scope| scope.parse().ok());
        Self::Token(scope.unwrap_or(Scope::Admin))
    }
}

pub(crate) async fn layer(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let Some(route) = request.extensions().get::<MatchedPath>() else {
        return next.run(request).await; // the answer is that there is no such path
    };
    let Some(methods) = app.gate.of_route(route.as_str()) else {
        tracing::error!(route = route.as_str(), "a route is not in the document; refused");
        return Problem::new(Code::Internal, "the route is not documented").into_response();
    };
    let method = match *request.method() {
        Method::HEAD => Method::GET,
        ref method => method.clone(),
    };
    match methods.get(method.as_str()).map(Entry::needs) {
        None | Some(Needs::Nothing) => next.run(request).await,
        Some(Needs::Token(_)) if request.extensions().get::<Trusted>().is_some() => {
            let caller = Caller { name: "trusted".to_owned(), scope: Scope::Admin };
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Some(Needs::Token(scope)) => {
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
            let peer = peer.map(|peer| peer.0.ip());
            let is_shown = app.web.settings.metrics_open || is_near(request.headers(), peer);
            if route.as_str().ends_with(metrics::PATH) && is_shown {
                return next.run(request).await;
            }
            let caller = match admitted(&app, request.headers(), peer, scope).await {
                Ok(caller) => caller,
                Err(answer) => return *answer,
            };
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    }
}

async fn admitted(
    app: &Shared,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    scope: Scope,
) -> Result<Caller, Box<Response>> {
    let refuse = |problem: Problem| Box::new(problem.into_response());
    let caller = match bearer(headers) {
        Bearer::Token(text) => known(app, &text, peer).await.map_err(refuse)?,
        Bearer::None if is_open(app, headers, peer).await.map_err(refuse)? => {
            Some(Caller { name: "loopback".to_owned(), scope: Scope::Admin })
        }
        Bearer::None | Bearer::Unreadable => None,
    };
    let Some(caller) = caller else {
        // Guessing is hopeless; that it costs the store nothing, is all that is asked.
        limited(app, &stranger(peer)).map_err(refuse)?;
        let mut answer = Problem::new(Code::Unauthorized, "there is no good token in the request")
            .into_response();
        let challenge = HeaderValue::from_static("Bearer realm=\"postq\"");
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        return Err(Box::new(answer));
    };
    limited(app, &caller.name).map_err(refuse)?;
    if caller.scope < scope {
        let detail = format!("this needs the scope {scope}, the token has {}", caller.scope);
        return Err(refuse(Problem::new(Code::Forbidden, detail)));
    }
    Ok(caller)
}

fn limited(app: &Shared, caller: &str) -> Result<(), Problem> {
    app.limits.take(caller, Instant::now()).map_err(|wait| {
        let seconds = wait.as_millis().div_ceil(1_000).max(1);
        Problem::new(Code::TooManyRequests, format!("one more is possible in {seconds} s"))
            .after(u64::try_from(seconds).unwrap_or(60))
    })
}

fn stranger(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "stranger".to_owned(), |peer| format!("stranger {peer}"))
}

enum Bearer {
    None,
    Token(SecretString),
    Unreadable,
}

fn bearer(headers: &HeaderMap) -> Bearer {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(header) = all.next() else { return Bearer::None };
    if all.next().is_some() {
        return Bearer::Unreadable;
    }
    let token = header.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.map_or(Bearer::Unreadable, |token| Bearer::Token(token.to_owned().into()))
}

/// The caller with this token; none if it is not good.
async fn known(
    app: &Shared,
    text: &SecretString,
    peer: Option<IpAddr>,
) -> Result<Option<Caller>, Problem> {
    let Some(presented) = Presented::read(text) else { return Ok(None) };
    let Some(token) = app.web.tokens.find(presented.id).await? else { return Ok(None) };
    let good =
        presented.is(&token) && token.revoked_at.is_none() && token.tenant_id == app.desk.tenant();
    if !good {
        tracing::warn!(token = %token.id, ?peer, revoked = token.revoked_at.is_some(), "refused a token");
        return Ok(None);
    }
    record(app, &token).await;
    Ok(Some(Caller { name: token.id.to_string(), scope: token.scope }))
}

/// Records a use, about once a minute; a request does not fail because of it.
async fn record(app: &Shared, token: &Token) {
    let now = app.web.clock.now();
    {
        let mut recorded = app.gate.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let last = recorded.get(&token.id).copied().max(token.used_at);
        if last.is_some_and(|last| now < last + RECORD_EVERY) {
            return;
        }
        recorded.insert(token.id, now);
    }
    if let Err(error) = app.web.tokens.used(token.id, now).await {
        tracing::warn!(error = %chain(&error), "the use of a token was not recorded");
    }
}

/// Whether a request comes from this host, through no proxy.
fn is_near(headers: &HeaderMap, peer: Option<IpAddr>) -> bool {
    peer.is_some_and(|peer| peer.to_canonical().is_loopback())
        && !PROXIED.iter().any(|name| headers.contains_key(name))
}

/// Whether a request without a token may do everything: it comes from this host, through no proxy,
/// and nobody ever made a token.
async fn is_open(app: &Shared, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<bool, Problem> {
    if !is_near(headers, peer) {
        return Ok(false);
    }
    if app.gate.guarded.load(Ordering::Relaxed) {
        return Ok(false);
    }
    let guarded = !app.web.tokens.list(app.desk.tenant()).await?.is_empty();
    app.gate.guarded.store(guarded, Ordering::Relaxed);
    Ok(!guarded)
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::path::OperationBuilder;
    use utoipa::openapi::security::SecurityRequirement;

    use super::*;

    fn needs(security: Option<Vec<SecurityRequirement>>) -> Needs {
        Needs::of(&OperationBuilder::new().securities(security).build())
    }

    #[test]
    fn what_the_document_does_not_open_is_closed() {
        let token = |scope| SecurityRequirement::new("token", [scope]);

        assert_eq!(needs(Some(vec![token("read")])), Needs::Token(Scope::Read));
        assert_eq!(needs(Some(vec![SecurityRequirement::default()])), Needs::Nothing);
        for unclear in [
            None,
            Some(vec![]),
            Some(vec![token("raed")]),
            Some(vec![SecurityRequirement::new("other", ["read"])]),
            Some(vec![token("read"), SecurityRequirement::default()]),
        ] {
            assert_eq!(needs(unclear), Needs::Token(Scope::Admin));
        }
    }

    #[test]
    fn a_route_is_known_below_whatever_it_is_mounted() {
        let mut gate = Gate::default();
        gate.learn("/api/a", &[(HttpMethod::Get, || Needs::Nothing)]);

        assert_eq!(gate.of_route("/below/api/a").unwrap()["GET"].needs(), Needs::Nothing);
        assert!(gate.of_route("/api/b").is_none());
    }
}
