//! Names to addresses. What is checked here is what is connected to: nothing looks the name up again.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::allow::AllowList;
use crate::guard::check_address;

/// Addresses of one name that are looked at.
const MOST_ADDRESSES: usize = 64;

/// Looks up the addresses of a name.
#[async_trait]
pub trait Lookup: fmt::Debug + Send + Sync + 'static {
    /// All addresses, in the order in which they are to be tried.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Looks up as the host does.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|found| found.ip()).collect())
    }
}

/// Resolves for a client: through the guard, or for names that are meant at whatever address.
#[derive(Debug)]
pub(crate) struct Resolver {
    pub(crate) lookup: Arc<dyn Lookup>,
    /// None: every address is allowed.
    pub(crate) guard: Option<Arc<AllowList>>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, guard) = (Arc::clone(&self.lookup), self.guard.clone());
        Box::pin(async move {
            let name = name.as_str();
            let mut found = lookup.addresses(name).await?;
            found.truncate(MOST_ADDRESSES);
            if let Some(allow) = guard {
                found = checked(&allow, name, found)?;
            }
            // The client puts the URL's port in.
            let addresses: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Those of the addresses that may be called. Fails if there are some and none may be.
fn checked(
    allow: &AllowList,
    name: &str,
    found: Vec<IpAddr>,
) -> Result<Vec<IpAddr>, crate::Refused> {
    let (mut good, mut refused) = (Vec::new(), None);
    for address in found {
        match check_address(allow, name, address, None) {
            Ok(()) => good.push(address),
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    match refused {
        Some(refused) if good.is_empty() => Err(refused),
        _ => Ok(good),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    #[test]
    fn forbidden_addresses_are_left_out() {
        let found = addresses(&["10.0.0.1", "8.8.8.8", "::1"]);

        let good = checked(&AllowList::default(), "mixed.example", found).expect("one is good");

        assert_eq!(good, addresses(&["8.8.8.8"]));
    }

    #[test]
    fn a_name_with_none_but_forbidden_addresses_is_refused() {
        let found = addresses(&["127.0.0.1", "fd00::1"]);

        let error = checked(&AllowList::default(), "inside.example", found.clone());
        let allowed = checked(&"fd00::/8".parse().expect("a range"), "inside.example", found);

        assert!(error.expect_err("refused").to_string().contains("\"inside.example\""));
        assert_eq!(allowed.expect("one is allowed"), addresses(&["fd00::1"]));
    }
}
