//! A platform that makes no request and says so.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postq_core::clock::Clock;
use postq_core::content::Draft;
use postq_core::failure::Failure;
use postq_core::intent::Receipt;
use postq_core::options::OptionField;
use postq_core::platform::{
    Identity, Measure, Media, Outgoing, Pace, Platform, PlatformName, Published, Violation,
};

/// Publishes nothing: every part gets a receipt that says `dry_run`.
///
/// Alone it is the platform `dry_run`, which takes any content; around another platform it keeps
/// that one's name, rules and pace, and makes none of its requests.
#[derive(Debug)]
pub struct DryRun {
    name: PlatformName,
    inner: Option<Arc<dyn Platform>>,
    clock: Arc<dyn Clock>,
}

impl DryRun {
    /// The name of the platform when it stands alone.
    pub const NAME: &str = "dry_run";

    /// The platform `dry_run`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { name: Self::NAME.parse().expect("the name is a valid one"), inner: None, clock }
    }

    /// A dry run of another platform: validated as there, never sent.
    pub fn of(inner: Arc<dyn Platform>, clock: Arc<dyn Clock>) -> Self {
        Self { name: inner.name().clone(), inner: Some(inner), clock }
    }
}

#[async_trait]
impl Platform for DryRun {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        // Alone it answers at once; the bound is only for form.
        let at_once = || Pace { send_timeout: Duration::from_secs(1), ..Pace::default() };
        self.inner.as_ref().map_or_else(at_once, |inner| inner.pace())
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        self.inner.as_ref().map_or_else(Vec::new, |inner| inner.validate(draft))
    }

    fn options(&self) -> &'static [OptionField] {
        self.inner.as_ref().map_or(&[], |inner| inner.options())
    }

    fn most_parts(&self) -> usize {
        self.inner.as_ref().map_or(usize::MAX, |inner| inner.most_parts())
    }

    fn measure(&self) -> Option<&dyn Measure> {
        self.inner.as_ref().and_then(|inner| inner.measure())
    }

    fn media_rules(&self) -> Option<&dyn Media> {
        self.inner.as_ref().and_then(|inner| inner.media_rules())
    }

    async fn publish<'a>(&self, _who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let receipt = Receipt {
            part: part.part,
            // The key tells one part from every other, in every replay.
            remote_id: format!("dry-run-{}", part.key),
            url: None,
            published_at: self.clock.now(),
            dry_run: true,
        };
        Ok(Published { receipt, limits: Vec::new() })
    }
}
