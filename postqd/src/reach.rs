//! Whether the platforms can be reached from this host.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::Uri;
use postq_web::Reach;
use tokio::net::TcpStream;

/// A connection is waited for so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// The platforms and where they are. A connection is opened and nothing is said: it costs no call, and
/// needs no account.
#[derive(Debug)]
pub(crate) struct Doors(pub(crate) Vec<(String, String)>);

#[async_trait]
impl Reach for Doors {
    async fn unreachable(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        for (platform, base_url) in &self.0 {
            if let Err(why) = knock(base_url).await {
                reasons.push(format!("{platform} cannot be reached at {base_url}: {why}"));
            }
        }
        reasons
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
