//! Traces, exported by OTLP over HTTP.
//!
//! The spans are those of the log: `request` and `attempt`, with what is logged in them at `info`. A
//! request that brings a `traceparent` is part of the caller's trace. An attempt is a trace of its own, as
//! it may come days later: `correlation_id` ties it to what asked for it.

use std::time::Duration;

use anyhow::Context as _;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{FutureExt, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use crate::output::Usage;

/// One export may take so long; what a receiver that is away misses is lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where below the endpoint traces go: <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.
const PATH: &str = "v1/traces";

/// How the parts of this program begin whose spans are exported: not those of the exporter's own client.
const OURS: &str = "postq";

/// The export, as long as it is held.
#[derive(Debug)]
pub(crate) struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last traces were not exported");
        }
    }
}

/// Begins to export to this endpoint, if there is one.
pub(crate) fn start<S>(
    endpoint: Option<&str>,
) -> anyhow::Result<Option<(Traces, impl Layer<S> + use<S>)>>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let Some(endpoint) = endpoint else { return Ok(None) };
    if !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
        let why = "expected a URL as http://127.0.0.1:4318";
        return Err(Usage(format!("otlp_endpoint (OTEL_EXPORTER_OTLP_ENDPOINT): {why}")).into());
    }
    // The exporter's client needs one, whatever the scheme. Another may be installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/{PATH}", endpoint.trim_end_matches('/')))
        .with_timeout(PATIENCE)
        .build()
        .context("export traces (OTEL_EXPORTER_OTLP_ENDPOINT)")?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("postqd").build())
        .build();
    let ours = Targets::new().with_target(OURS, LevelFilter::INFO);
    let layer =
        tracing_opentelemetry::layer().with_tracer(provider.tracer("postqd")).with_filter(ours);
    Ok(Some((Traces(provider), layer)))
}

/// Makes a request part of the trace that it names.
pub(crate) async fn join(request: Request, next: Next) -> Response {
    let caller = TraceContextPropagator::new().extract(&Headers(request.headers()));
    next.run(request).with_context(caller).await
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
