//! What this crate ships besides a backend passes its suites: the vault, the retry strategies, the
//! cadence, the clocks, and the resolver that the suites plan with.

use std::sync::Arc;

use postq_core::cadence::{PollingCadence, StagedCadence};
use postq_core::clock::{Clock, SystemClock, TokioClock};
use postq_core::conformance::connect::ConnectHarness;
use postq_core::conformance::connect::authority::Authority;
use postq_core::conformance::fixtures::TestResolver;
use postq_core::retry::{ExponentialJitter, FixedSteps, PlainExponential, RetryStrategy};
use postq_core::schedule::Resolver;
use postq_core::vault::{ChaChaVault, Vault};

postq_core::connect_conformance!(async || Arc::new(Authority::default()) as Arc<dyn ConnectHarness>);

postq_core::vault_conformance!(async || Arc::new(ChaChaVault::new(&[7; 32])) as Arc<dyn Vault>);
postq_core::cadence_conformance!(async || {
    Arc::new(StagedCadence::default()) as Arc<dyn PollingCadence>
});
postq_core::resolver_conformance!(async || Arc::new(TestResolver) as Arc<dyn Resolver>);

mod exponential_with_jitter {
    use super::{Arc, ExponentialJitter, RetryStrategy};

    async fn fresh() -> Arc<dyn RetryStrategy> {
        Arc::new(ExponentialJitter::default())
    }

    postq_core::retry_conformance!(fresh);
}

mod fixed_steps {
    use super::{Arc, FixedSteps, RetryStrategy};

    async fn fresh() -> Arc<dyn RetryStrategy> {
        Arc::new(FixedSteps::default())
    }

    postq_core::retry_conformance!(fresh);
}

mod plain_exponential {
    use super::{Arc, PlainExponential, RetryStrategy};

    async fn fresh() -> Arc<dyn RetryStrategy> {
        Arc::new(PlainExponential::default())
    }

    postq_core::retry_conformance!(fresh);
}

mod system_clock {
    use super::{Arc, Clock, SystemClock};

    async fn fresh() -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    postq_core::clock_conformance!(fresh);
}

mod tokio_clock {
    use super::{Arc, Clock, TokioClock};

    async fn fresh() -> Arc<dyn Clock> {
        Arc::new(TokioClock::starting_at(chrono::DateTime::UNIX_EPOCH))
    }

    postq_core::clock_conformance!(fresh);
}
