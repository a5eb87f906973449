//! The published suite of resolvers, on [`Calendar`].

use std::sync::Arc;

use postq_calendar::Calendar;
use postq_core::schedule::Resolver;

async fn fresh() -> Arc<dyn Resolver> {
    Arc::new(Calendar::new())
}

postq_core::resolver_conformance!(fresh);
