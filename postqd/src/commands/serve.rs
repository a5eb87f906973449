//! `postqd serve`: an engine, and the API beside it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use axum::Router;
use postq_core::platform::Platform;
use postq_engine::Engine;
use postq_web::{Unguarded, Web};
use tokio::net::TcpListener;

use crate::adapters::addresses;
use crate::compose::Node;
use crate::incoming::FromX;
use crate::output::Usage;
use crate::outward;
use crate::reach::Doors;
use crate::recorder::Recorder;
use crate::signals;

pub(super) async fn run(node: Node) -> anyhow::Result<()> {
    let stop = signals::shutdown()?;
    let recorder = Recorder::install()?;
    let engine = node.engine_in_its_roles().await?;
    let web = Web { recorded: Some(Arc::new(recorder.clone())), ..web(&node, engine.clone())? };
    let router = router(&node, web).await?;
    #[cfg(feature = "otel")]
    let router = router.layer(axum::middleware::from_fn(crate::traces::join));
    let listener = listen(node.config.listen).await?;
    node.store.warn_of_servers(&node.config).await;
    tracing::info!(
        listen = %listener.local_addr()?,
        store = node.store.told(&node.config),
        node = %engine.node(),
        version = env!("CARGO_PKG_VERSION"),
        "postqd serves"
    );
    let tidy = tokio::spawn(recorder.tidy(stop.clone()));
    let served = tokio::spawn(postq_web::serve(listener, router, stop.clone()));
    engine.run(stop).await;
    served.await??;
    tidy.await?;
    node.store.close().await?;
    tracing::info!("stopped; what was not finished goes on with the next start");
    Ok(())
}

/// The API, guarded before anybody can come in; probes alone where this node has not that role.
async fn router(node: &Node, web: Web) -> anyhow::Result<Router> {
    if !node.config.roles.web {
        return Ok(postq_web::probes(web));
    }
    web.ensure_guarded(node.config.listen).await.map_err(|error| match error {
        Unguarded::NoToken(_) => Usage(format!("listen (POSTQ_LISTEN): {error}")).into(),
        error => anyhow::Error::from(error),
    })?;
    Ok(postq_web::router(web))
}

/// The parts of the API over a node's store.
pub(crate) fn web(node: &Node, engine: Engine) -> anyhow::Result<Web> {
    let config = &node.config;
    let mut web = Web::new(engine, node.store.tokens.clone(), node.store.idempotency.clone());
    web.connecting = Some(Arc::clone(&node.store.connecting));
    web.pools = Some(node.store.pools.clone());
    web.channels = outward::channels(&config.outward)?;
    web.services.extend(node.store.redis.iter().map(|(_, breaker)| breaker.clone()));
    if let Some((redis, _)) = &node.store.redis {
        web.cache = Arc::new(redis.cache());
    }
    web.settings.hosts.clone_from(&config.allowed_hosts);
    // Who has said by which address this is reached has allowed it.
    let public = config.media.public_url.as_deref().and_then(|url| reqwest::Url::parse(url).ok());
    web.settings.hosts.extend(public.and_then(|url| Some(url.host_str()?.to_owned())));
    web.settings.origins.clone_from(&config.allowed_origins);
    web.settings.requests_per_second = config.requests_per_second;
    web.settings.burst = config.requests_per_second.saturating_mul(TWO);
    web.settings.metrics_open = config.metrics_open;
    web.settings.version = env!("CARGO_PKG_VERSION");
    if let Some(secret) = config.outward.x_webhook_secret.clone() {
        web.incoming.push(Arc::new(FromX::new(node.adapters.x.name().clone(), secret)));
    }
    if !config.dry_run {
        let (addresses, accounts) = (addresses(config), Arc::clone(&node.backend.accounts));
        web.reach = Some(Arc::new(Doors { addresses, accounts }));
        web.identify = Some(Arc::new(node.adapters.clone()));
        web.sign_in = Some(Arc::new(node.adapters.clone()));
    }
    Ok(web)
}

/// A caller may make the requests of so many seconds at once.
const TWO: std::num::NonZeroU32 = std::num::NonZeroU32::MIN.saturating_add(1);

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
