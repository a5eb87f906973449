//! Facebook Pages: [`Facebook`] and what it can do.

mod connect;
mod listing;
mod media;
mod metrics;
mod publish;
mod reconcile;
mod sent;
mod video;

use std::fmt;
use std::time::Instant;

use postq_core::failure::{Failure, FailureClass};
use postq_core::platform::{Identity, PlatformName};
use postq_http::ConfigError;
use serde::Deserialize;

use crate::client::{Graph, Id, MOST_OF_ONE, Token, node_of};
use crate::config::FacebookConfig;

/// The platform `facebook`: publishes to Pages, and finds again what it cannot tell of.
///
/// An account is a Page. Its secret is the Page's access token, its remote id the Page's id; where that is
/// unknown, Facebook is asked for it before each call.
pub struct Facebook {
    config: FacebookConfig,
    name: PlatformName,
    graph: Graph,
    /// Where videos are uploaded, without a slash at its end.
    video_base: String,
}

impl fmt::Debug for Facebook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facebook").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What begins every message.
const NAME: &str = "facebook";

impl Facebook {
    /// An adapter with these settings; makes no request.
    ///
    /// # Errors
    ///
    /// A setting that cannot be, named; or that the host has no certificates to check Facebook's by.
    pub fn new(config: FacebookConfig) -> Result<Self, ConfigError> {
        let (base, video) = config.check()?;
        let proof = config.app_secret.clone().filter(|_| config.send_proof);
        let graph = Graph::new(NAME, base, config.send_timeout, proof)?;
        let name = NAME.parse().expect("a short lower-case word");
        Ok(Self { config, name, graph, video_base: video.url })
    }

    /// The id of the Page that an account is.
    async fn page(&self, who: &Identity, token: &Token, until: Instant) -> Result<String, Failure> {
        match node_of(who) {
            Some(id) => id.map(str::to_owned),
            None => Ok(self.whoami(token, until).await?.0),
        }
    }

    /// Whom a token belongs to: id and name.
    async fn whoami(
        &self,
        token: &Token,
        until: Instant,
    ) -> Result<(String, Option<String>), Failure> {
        let query = [("fields", "id,name")];
        let me: Me = self.graph.read("/me", &query, token, (MOST_OF_ONE, until)).await?;
        let id = me.id.checked().ok_or_else(|| {
            let message = "facebook does not say whose the token is";
            Failure::unknown(FailureClass::Platform, message)
        })?;
        Ok((id, me.name))
    }
}

#[derive(Deserialize)]
struct Me {
    id: Id,
    name: Option<String>,
}

/// Where people see a post of a Page, a photo or a video.
fn address(id: &str) -> String {
    format!("https://www.facebook.com/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_does_not_show_more_than_its_settings() {
        let base_url = "http://127.0.0.1:1/v25.0".to_owned();
        let config = FacebookConfig { base_url, ..FacebookConfig::default() };

        let facebook = Facebook::new(config).expect("an adapter");

        assert!(format!("{facebook:?}").starts_with("Facebook { config: FacebookConfig"));
    }
}
