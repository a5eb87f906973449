//! A look that sees nothing, and waits for nothing: with it posts come out twice, and the checks must see that.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postq::core::connect::Refresh;
use postq::core::content::Draft;
use postq::core::failure::Failure;
use postq::core::options::OptionField;
use postq::core::platform::{
    Identity, Look, Lookup, Media, Outgoing, Pace, Platform, PlatformName, Published, Reconcile,
    Stage, Violation,
};

/// An adapter that does not look.
#[derive(Debug)]
pub(crate) struct Blind(pub(crate) Arc<dyn Platform>);

#[async_trait]
impl Platform for Blind {
    fn name(&self) -> &PlatformName {
        self.0.name()
    }

    fn pace(&self) -> Pace {
        self.0.pace()
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        self.0.validate(draft)
    }

    fn options(&self) -> &'static [OptionField] {
        self.0.options()
    }

    fn most_parts(&self) -> usize {
        self.0.most_parts()
    }

    async fn publish<'a>(&self, who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        self.0.publish(who, part).await
    }

    fn reconcile(&self) -> Option<&dyn Reconcile> {
        Some(self)
    }

    fn media(&self) -> Option<&dyn Media> {
        self.0.media()
    }

    fn stage(&self) -> Option<&dyn Stage> {
        self.0.stage()
    }

    fn refresh(&self) -> Option<&dyn Refresh> {
        self.0.refresh()
    }
}

#[async_trait]
impl Reconcile for Blind {
    fn settle_time(&self) -> Duration {
        Duration::ZERO
    }

    async fn look<'a>(&self, _: &Identity, _: Lookup<'a>) -> Result<Look, Failure> {
        Ok(Look::Absent)
    }
}
