//! Webhooks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::error::{ErrorKind, StoreError};
use crate::id::{TenantId, WebhookId};
use crate::job::Applied;
use crate::store::Edited;
use crate::webhook::{Endpoint, WebhookStore};

/// A [`WebhookStore`] in memory: the reference. Clones share what they keep.
#[derive(Clone, Debug, Default)]
pub struct MemoryWebhooks(Arc<Mutex<BTreeMap<WebhookId, Endpoint>>>);

impl MemoryWebhooks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<WebhookId, Endpoint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl WebhookStore for MemoryWebhooks {
    async fn insert(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let mut all = self.lock();
        let of_tenant = all.values().filter(|other| other.tenant_id == endpoint.tenant_id).count();
        let Entry::Vacant(place) = all.entry(endpoint.id) else { return Ok(()) };
        if of_tenant >= Endpoint::MOST {
            let what = format!("there are {} webhooks already; remove one", Endpoint::MOST);
            return Err(StoreError::new(ErrorKind::Conflict, what));
        }
        place.insert(endpoint.clone());
        Ok(())
    }

    async fn find(&self, id: WebhookId) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.lock().get(&id).cloned())
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<Endpoint>, StoreError> {
        let all = self.lock();
        Ok(all.values().filter(|endpoint| endpoint.tenant_id == tenant).cloned().collect())
    }

    async fn update(&self, endpoint: &Endpoint) -> Result<Edited, StoreError> {
        let mut all = self.lock();
        let Some(known) = all.get_mut(&endpoint.id) else { return Ok(Edited::Gone) };
        let (tenant_id, created_at) = (known.tenant_id, known.created_at);
        let version = endpoint.version + 1;
        let updated = Endpoint { version, tenant_id, created_at, ..endpoint.clone() };
        if known.version != endpoint.version && *known != updated {
            return Ok(Edited::Changed { revision: known.version });
        }
        *known = updated;
        Ok(Edited::Applied { revision: version })
    }

    async fn remove(&self, id: WebhookId) -> Result<Applied, StoreError> {
        let removed = self.lock().remove(&id);
        Ok(removed.map_or(Applied::Gone, |_| Applied::Applied))
    }
}
