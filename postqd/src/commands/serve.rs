//! `postqd serve`: an engine, and whether it is well.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{Context, bail};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use postq_core::feed::Only;
use postq_engine::Engine;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::compose::Node;
use crate::signals;

pub(super) async fn run(node: Node) -> anyhow::Result<()> {
    let stop = signals::shutdown()?;
    let listener = listen(node.config.listen).await?;
    let engine = node.engine(Only::Any).await?;
    tracing::info!(
        listen = %listener.local_addr()?,
        data = %node.config.data_dir.display(),
        version = env!("CARGO_PKG_VERSION"),
        "postqd serves"
    );
    let health = tokio::spawn(answer(listener, engine.clone(), stop.clone()));
    engine.run(stop).await;
    health.await??;
    node.store.close().await?;
    tracing::info!("stopped; what was not finished goes on with the next start");
    Ok(())
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "port {} on {} is in use, perhaps by another postqd; stop that one, or choose \
             another port: POSTQ_LISTEN={}:{}",
            address.port(),
            address.ip(),
            address.ip(),
            address.port().wrapping_add(1)
        ),
        Err(error) => Err(error).with_context(|| format!("listen on {address} (POSTQ_LISTEN)")),
    }
}

async fn answer(
    listener: TcpListener,
    engine: Engine,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(engine);
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// The process lives; how its loops do is told, and does not make it unhealthy: a restart mends
/// nothing that they do not mend themselves.
async fn healthz(State(engine): State<Engine>) -> Json<Value> {
    Json(report(&engine))
}

/// Whether it can do its work now.
async fn readyz(State(engine): State<Engine>) -> (StatusCode, Json<Value>) {
    let status = match engine.health().is_ready() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report(&engine)))
}

fn report(engine: &Engine) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": engine.health().is_ready(),
        "loops": engine.health().loops(),
    })
}
