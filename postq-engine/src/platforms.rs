//! The platforms of a composition, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use postq_core::platform::{Platform, PlatformName};

/// The platforms of a composition, by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Platforms(Arc<BTreeMap<PlatformName, Arc<dyn Platform>>>);

impl Platforms {
    /// These platforms; of two with one name the later one stays.
    pub fn new(platforms: impl IntoIterator<Item = Arc<dyn Platform>>) -> Self {
        Self(Arc::new(platforms.into_iter().map(|p| (p.name().clone(), p)).collect()))
    }

    /// The platform of this name.
    pub fn get(&self, name: &PlatformName) -> Option<&Arc<dyn Platform>> {
        self.0.get(name)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Platform>> {
        self.0.values()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &PlatformName> {
        self.0.keys()
    }
}
