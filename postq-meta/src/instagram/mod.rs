//! Instagram: [`Instagram`] and what it can do.

mod connect;
mod container;
mod media;
mod metrics;
mod publish;
mod quota;
mod reconcile;
mod stage;

use std::fmt;
use std::time::Instant;

use postq_core::failure::{Failure, FailureClass};
use postq_core::platform::{Identity, PlatformName};
use postq_http::ConfigError;
use serde::Deserialize;

use crate::client::{Graph, Id, MOST_OF_ONE, Token, node_of};
use crate::config::InstagramConfig;

/// The platform `instagram`: publishes images, carousels, reels and stories of professional accounts.
///
/// An account's secret is its access token, its remote id Instagram's id of it; where that is unknown,
/// Instagram is asked for it before each call.
pub struct Instagram {
    config: InstagramConfig,
    name: PlatformName,
    graph: Graph,
}

impl fmt::Debug for Instagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instagram").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What begins every message.
const NAME: &str = "instagram";

impl Instagram {
    /// An adapter with these settings; makes no request.
    ///
    /// # Errors
    ///
    /// A setting that cannot be, named; or that the host has no certificates to check Instagram's by.
    pub fn new(config: InstagramConfig) -> Result<Self, ConfigError> {
        let base = config.check()?;
        let graph = Graph::new(NAME, base, config.send_timeout, None)?;
        Ok(Self { config, name: NAME.parse().expect("a short lower-case word"), graph })
    }

    /// The id of the account at Instagram.
    async fn node(&self, who: &Identity, token: &Token, until: Instant) -> Result<String, Failure> {
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
        let query = [("fields", "user_id,username")];
        let me: Me = self.graph.read("/me", &query, token, (MOST_OF_ONE, until)).await?;
        let id = me.user_id.checked().ok_or_else(|| {
            let message = "instagram does not say whose the token is";
            Failure::unknown(FailureClass::Platform, message)
        })?;
        Ok((id, me.username))
    }
}

#[derive(Deserialize)]
struct Me {
    user_id: Id,
    username: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_does_not_show_more_than_its_settings() {
        let base_url = "http://127.0.0.1:1/v25.0".to_owned();
        let config = InstagramConfig { base_url, ..InstagramConfig::default() };

        let instagram = Instagram::new(config).expect("an adapter");

        assert!(format!("{instagram:?}").starts_with("Instagram { config: InstagramConfig"));
    }
}
