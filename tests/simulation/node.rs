//! A node whose way to the store is sometimes blocked, and whose answers sometimes get lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use postq_core::conformance::meddled::{Meddle, Meddled};
use postq_core::error::{ErrorKind, StoreError};
use postq_core::feed::{Claim, Claimed, JobFeed, Settlement};
use postq_core::intent::{Intent, IntentAnswer};
use postq_core::job::{Applied, Held};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

/// A feed behind a bad connection.
#[derive(Debug)]
pub(crate) struct Flaky {
    inner: Arc<dyn JobFeed>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: SmallRng,
    /// Until then the way is blocked.
    blocked_until: Instant,
    quiet: bool,
}

impl Flaky {
    pub(crate) fn feed(inner: Arc<dyn JobFeed>, seed: u64, quiet: bool) -> Arc<dyn JobFeed> {
        let rng = SmallRng::seed_from_u64(seed);
        let state = Mutex::new(State { rng, blocked_until: Instant::now(), quiet });
        Arc::new(Meddled(Self { inner, state }))
    }

    /// A call on its way to the store. An answer of `true`: the way back will fail.
    async fn way_in(&self) -> Result<bool, StoreError> {
        let (until, lost_in, lost_out) = {
            let mut state = self.state.lock().expect("one thread");
            if state.quiet {
                return Ok(false);
            }
            // Now and then the node is cut off, or frozen, for up to a minute: three leases.
            if state.rng.random_range(0..150) == 0 {
                let stretch = Duration::from_millis(state.rng.random_range(100..60_000));
                state.blocked_until = Instant::now() + stretch;
            }
            let lost = |rng: &mut SmallRng| rng.random_range(0..50) == 0;
            let (lost_in, lost_out) = (lost(&mut state.rng), lost(&mut state.rng));
            (state.blocked_until, lost_in, lost_out)
        };
        tokio::time::sleep_until(until).await;
        if lost_in { Err(lost()) } else { Ok(lost_out) }
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let lost_out = self.way_in().await?;
        let answer = call.await?;
        if lost_out { Err(lost()) } else { Ok(answer) }
    }
}

fn lost() -> StoreError {
    StoreError::new(ErrorKind::Unavailable, "connection lost")
}

#[async_trait]
impl Meddle for Flaky {
    fn feed(&self) -> &dyn JobFeed {
        self.inner.as_ref()
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.call(self.inner.claim(claim)).await
    }

    async fn renew(&self, held: &[Held], lease: Duration) -> Result<Vec<Applied>, StoreError> {
        self.call(self.inner.renew(held, lease)).await
    }

    async fn intent(&self, intent: &Intent, room: Duration) -> Result<IntentAnswer, StoreError> {
        self.call(self.inner.intent(intent, room)).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError> {
        self.call(self.inner.settle(settlements)).await
    }
}
