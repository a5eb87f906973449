//! The API put together in this process, over this machine's store: no network, no token.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_TYPE, HOST, IF_MATCH};
use axum::http::{Method, Request};
use postq_core::clock::{Clock, SystemClock};
use postq_core::memory::{MemoryBackend, MemoryIdempotency, MemoryTokens};
use postq_core::vault::KeyRing;
use postq_engine::Engine;
use postq_web::{Cause, Trusted, Web};
use tower::ServiceExt;

use super::answer::Answer;
use super::form::Form;
use super::{Ask, MEDIA};
use crate::commands::serve;
use crate::compose::Node;
use crate::config::Config;
use crate::outward;

/// A command waits as long as the store takes.
const PATIENCE: Duration = Duration::from_secs(86_400);

/// The largest question: a calendar of 16 MiB is nothing unusual.
const MOST_BODY: usize = 1_024 * 1_024 * 1_024;

#[derive(Debug)]
pub(super) struct Here {
    node: Option<Node>,
    router: Router,
}

impl Here {
    /// Over a store; with the vault where credentials are to be sealed, or opened.
    pub(super) fn over(node: Node, vault: Option<KeyRing>) -> anyhow::Result<Self> {
        let web = serve::web(&node, node.engine_at_rest(vault)?)?;
        Ok(Self { router: router(web), node: Some(node) })
    }

    /// Over nothing but what is set.
    pub(super) fn over_nothing(config: &Config) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let backend = MemoryBackend::new(Arc::clone(&clock)).backend();
        let idempotency = Arc::new(MemoryIdempotency::new(clock));
        let engine = Engine::builder(backend).build()?;
        let mut web = Web::new(engine, Arc::new(MemoryTokens::default()), idempotency);
        web.channels = outward::channels(&config.outward)?;
        Ok(Self { router: router(web), node: None })
    }

    pub(super) fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    pub(super) async fn ask(&self, ask: Ask) -> anyhow::Result<Answer> {
        let mut url = reqwest::Url::parse("http://localhost").context("put a request together")?;
        url.set_path(&ask.path);
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let path = url.query().map_or_else(|| ask.path.clone(), |q| format!("{}?{q}", ask.path));
        let mut request = Request::builder().method(ask.method).uri(path).header(HOST, "localhost");
        if let Some(seen) = ask.seen {
            request = request.header(IF_MATCH, format!("\"{seen}\""));
        }
        let body = match &ask.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::from(serde_json::to_vec(body)?)
            }
            None => Body::empty(),
        };
        self.answered(request.body(body)?).await
    }

    /// Sends a file.
    pub(super) async fn send(&self, form: Form) -> anyhow::Result<Answer> {
        let request = Request::builder().method(Method::POST).uri(MEDIA).header(HOST, "localhost");
        let request = request.header(CONTENT_TYPE, form.kind());
        self.answered(request.body(Body::from_stream(form.content()))?).await
    }

    async fn answered(&self, mut request: Request<Body>) -> anyhow::Result<Answer> {
        request.extensions_mut().insert(Trusted);
        let answer = match self.router.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        let cause = answer.extensions().get::<Cause>().map(|cause| cause.0.clone());
        let status = answer.status();
        let body = to_bytes(answer.into_body(), usize::MAX).await?.to_vec();
        Ok(Answer { status, is_json: true, retry_after: None, body, cause })
    }
}

/// The API without the bounds that are there for strangers.
fn router(mut web: Web) -> Router {
    let settings = &mut web.settings;
    (settings.request_timeout, settings.import_timeout) = (PATIENCE, PATIENCE);
    settings.upload_timeout = PATIENCE;
    (settings.most_body, settings.most_import) = (MOST_BODY, MOST_BODY);
    postq_web::router(web)
}
