//! Whether the platforms can be reached from this host.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::Uri;
use futures_util::future::join_all;
use postq_core::id::TenantId;
use postq_core::store::AccountStore;
use postq_web::Reach;
use tokio::net::TcpStream;

/// A connection is waited for so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// The platforms and where they are. Of those that have accounts here, a connection is opened and nothing is
/// said: it costs no call.
#[derive(Debug)]
pub(crate) struct Doors {
    /// Each platform, and where it is.
    pub(crate) addresses: Vec<(String, String)>,
    /// Which of them are used.
    pub(crate) accounts: Arc<dyn AccountStore>,
}

#[async_trait]
impl Reach for Doors {
    async fn unreachable(&self) -> Vec<String> {
        // That the store cannot be asked is told elsewhere.
        let accounts = self.accounts.list(TenantId::DEFAULT).await.unwrap_or_default();
        let used = self.addresses.iter().filter(|(platform, _)| {
            accounts.iter().any(|account| account.platform.as_str() == platform)
        });
        let knocks = used.map(|(platform, base_url)| async move {
            let why = knock(base_url).await.err()?;
            Some(format!("{platform} cannot be reached at {base_url}: {why}"))
        });
        join_all(knocks).await.into_iter().flatten().collect()
    }
}

async fn knock(base_url: &str) -> Result<(), String> {
    let uri: Uri = base_url.parse().map_err(|_| "it is no URL".to_owned())?;
    let host = uri.host().ok_or("it names no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    let connect = TcpStream::connect((host, uri.port_u16().unwrap_or(usual)));
    match tokio::time::timeout(PATIENCE, connect).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}
