//! Tokens and scopes: one table, learnt from the OpenAPI document's parts, says what each route needs.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method};
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

use crate::guard::origin;
use crate::problem::{Code, Problem};
use crate::secret::Presented;
use crate::web::{App, Shared};
use crate::{cookie, metrics};

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
    pub(crate) scope: Scope,
    /// What its token is called; none for who is let in without one.
    pub(crate) token: Option<String>,
}

impl Caller {
    /// One that is let in without a token.
    fn without_token(name: &str) -> Self {
        Self { name: name.to_owned(), scope: Scope::Admin, token: None }
    }
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
            request.extensions_mut().insert(Caller::without_token("trusted"));
            next.run(request).await
        }
        Some(Needs::Token(scope)) => {
            let claim = Claim::of(request.method(), request.headers(), request.extensions());
            let is_shown = app.web.settings.metrics_open || claim.is_near;
            // A publication's metrics end so as well, and are nobody else's.
            let is_page =
                route.as_str().ends_with(metrics::PATH) && !route.as_str().contains("/api/");
            if is_page && is_shown {
                return next.run(request).await;
            }
            let caller = match admitted(&app, &claim, scope).await {
                Ok(caller) => caller,
                Err(answer) => return *answer,
            };
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    }
}

/// What a request shows of who makes it.
pub(crate) struct Claim {
    bearer: Bearer,
    /// The tokens of the session's cookies, in a request of our own page.
    session: Vec<SecretString>,
    peer: Option<IpAddr>,
    /// It comes from this host, through no proxy.
    is_near: bool,
}

impl Claim {
    fn of(method: &Method, headers: &HeaderMap, extensions: &Extensions) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let is_ours = origin::is_of_own_page(method, headers);
        Self {
            bearer: bearer(headers),
            session: if is_ours { cookie::tokens(headers) } else { Vec::new() },
            peer,
            is_near: is_near(headers, peer),
        }
    }

    /// Whoever it is, for limits.
    pub(crate) fn stranger(&self) -> String {
        self.peer.map_or_else(|| "stranger".to_owned(), |peer| format!("stranger {peer}"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Claim {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.method, &parts.headers, &parts.extensions))
    }
}

/// Who makes a request; none if it is nobody who may do anything.
pub(crate) async fn caller(app: &Shared, claim: &Claim) -> Result<Option<Caller>, Problem> {
    match &claim.bearer {
        Bearer::Token(text) => return known(app, text, claim).await,
        Bearer::Unreadable => return Ok(None),
        Bearer::None => {}
    }
    for text in &claim.session {
        if let Some(caller) = known(app, text, claim).await? {
            return Ok(Some(caller));
        }
    }
    Ok(is_open(app, claim).await?.then(|| Caller::without_token("loopback")))
}

/// That nobody who may do anything asks.
pub(crate) fn unauthorized(problem: Problem) -> Response {
    let mut answer = problem.into_response();
    let challenge = HeaderValue::from_static("Bearer realm=\"postq\"");
    answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    answer
}

async fn admitted(app: &Shared, claim: &Claim, scope: Scope) -> Result<Caller, Box<Response>> {
    let refuse = |problem: Problem| Box::new(problem.into_response());
    let Some(caller) = caller(app, claim).await.map_err(refuse)? else {
        // Guessing is hopeless; that it costs the store nothing, is all that is asked.
        limited(app, &claim.stranger()).map_err(refuse)?;
        let problem = Problem::new(Code::Unauthorized, "there is no good token in the request");
        return Err(Box::new(unauthorized(problem)));
    };
    limited(app, &caller.name).map_err(refuse)?;
    if caller.scope < scope {
        let detail = format!("this needs the scope {scope}, the token has {}", caller.scope);
        return Err(refuse(Problem::new(Code::Forbidden, detail)));
    }
    Ok(caller)
}

fn limited(app: &Shared, caller: &str) -> Result<(), Problem> {
    app.limits.take(caller, Instant::now()).map_err(Problem::too_many)
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
pub(crate) async fn known(
    app: &Shared,
    text: &SecretString,
    claim: &Claim,
) -> Result<Option<Caller>, Problem> {
    let Some(presented) = Presented::read(text) else { return Ok(None) };
    let Some(token) = app.web.tokens.find(presented.id).await? else { return Ok(None) };
    let good =
        presented.is(&token) && token.revoked_at.is_none() && token.tenant_id == app.desk.tenant();
    if !good {
        let peer = claim.peer;
        tracing::warn!(token = %token.id, ?peer, revoked = token.revoked_at.is_some(), "refused a token");
        return Ok(None);
    }
    record(app, &token).await;
    Ok(Some(Caller { name: token.id.to_string(), scope: token.scope, token: Some(token.name) }))
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
async fn is_open(app: &Shared, claim: &Claim) -> Result<bool, Problem> {
    if !claim.is_near {
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
