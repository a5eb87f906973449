//! Repeated requests: what is sent again under its `Idempotency-Key` is done once, and has the same
//! answer.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, LOCATION};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use postq_core::error::chain;
use postq_core::idempotency::{Begun, KeptAnswer, KeyedRequest};
use postq_core::job::Applied;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::api::media;
use crate::extract::Fresh;
use crate::guard::access::Caller;
use crate::problem::{Code, Problem};
use crate::web::{App, Shared};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The headers that belong to an answer.
const KEPT: [HeaderName; 3] = [CONTENT_TYPE, ETAG, LOCATION];

/// The largest answer that is kept.
const MOST_ANSWER: usize = 1024 * 1_024;

/// Longer than a request may take.
const SLACK: Duration = Duration::from_secs(10);

/// What is kept in place of a body that is shown only once.
#[derive(Clone, Debug)]
pub(crate) struct Masked(pub(crate) Bytes);

pub(crate) async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    match request.headers().get(IDEMPOTENCY_KEY).cloned() {
        // A file is read as it comes, and the same one again is the same file: it needs no key.
        Some(key) if request.method() == Method::POST && !media::is_upload(&request) => {
            once(app, &key, request, next).await.unwrap_or_else(IntoResponse::into_response)
        }
        _ => next.run(request).await,
    }
}

async fn once(
    app: App,
    key: &HeaderValue,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return Ok(next.run(request).await); // what everybody may do needs no key
    };
    let key = readable(key)?;
    let bounds = app.web.settings.bounds(&request);
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, bounds.most_body)
        .await
        .map_err(|_| Problem::new(Code::TooLarge, "the body is larger than this server takes"))?;
    let asked = KeyedRequest {
        key: format!("{}:{key}", caller.name),
        fingerprint: fingerprint(&parts, &body),
        id: Uuid::now_v7(),
        lease: bounds.timeout + SLACK,
        keep: app.web.settings.keep_answers,
    };
    match app.web.idempotency.begin(&asked).await? {
        Begun::Do(id) => {
            let mut request = Request::from_parts(parts, Body::from(body));
            request.extensions_mut().insert(Fresh(id));
            // On its own: whoever asked may go away, and what was begun is finished and kept.
            let work = tokio::spawn(done(app, asked.key, request, next, bounds.timeout));
            work.await.map_err(|error| {
                tracing::error!(%error, "a request ended without an answer");
                Problem::new(Code::Internal, "the request ended without an answer")
            })
        }
        Begun::Running => {
            let detail = "a request with this key is not answered yet";
            Err(Problem::new(Code::InProgress, detail).after(1))
        }
        Begun::Answered(answer) => Ok(again(answer)),
        Begun::Other => {
            let detail = "the key was sent with another request before";
            Err(Problem::new(Code::IdempotencyKeyReused, detail))
        }
    }
}

fn readable(key: &HeaderValue) -> Result<String, Problem> {
    let text = key.to_str().unwrap_or_default();
    let fits = text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits && (1..=200).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    let detail = "the Idempotency-Key is empty, too long, or has characters that cannot be";
    Err(Problem::new(Code::BadIdempotencyKey, detail))
}

fn fingerprint(parts: &axum::http::request::Parts, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), body] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Does the request and keeps its answer, or gives it back if the server is why it failed.
async fn done(app: App, key: String, request: Request, next: Next, limit: Duration) -> Response {
    let Ok(answer) = tokio::time::timeout(limit, next.run(request)).await else {
        given_back(&app, &key).await;
        return Problem::new(Code::TimedOut, "the request took too long").into_response();
    };
    let status = answer.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        given_back(&app, &key).await;
        return answer;
    }
    let masked = answer.extensions().get::<Masked>().cloned();
    let (parts, body) = answer.into_parts();
    // What is kept in its place has a bound of its own.
    let most = if masked.is_some() { usize::MAX } else { MOST_ANSWER };
    let Ok(body) = to_bytes(body, most).await else {
        given_back(&app, &key).await;
        return Problem::new(Code::Internal, "the answer is too large to be kept").into_response();
    };
    let header = |name: HeaderName| {
        let value = parts.headers.get(&name)?.to_str().ok()?.to_owned();
        Some((name.as_str().to_owned(), value))
    };
    let kept = KeptAnswer {
        status: status.as_u16(),
        headers: KEPT.into_iter().filter_map(header).collect(),
        body: masked.map_or_else(|| body.to_vec(), |masked| masked.0.to_vec()),
    };
    match app.web.idempotency.answer(&key, &kept).await {
        Ok(Applied::Applied) => {}
        Ok(other) => tracing::warn!(?other, "an answer came after another one, and is not kept"),
        Err(error) => tracing::warn!(error = %chain(&error), "an answer could not be kept"),
    }
    Response::from_parts(parts, Body::from(body))
}

async fn given_back(app: &Shared, key: &str) {
    if let Err(error) = app.web.idempotency.abandon(key).await {
        tracing::warn!(error = %chain(&error), "a request could not be given back");
    }
}

fn again(kept: KeptAnswer) -> Response {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = (status, kept.body).into_response();
    let headers = answer.headers_mut();
    for (name, value) in kept.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    answer
}
