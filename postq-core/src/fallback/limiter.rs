//! A limiter that hands over to the store's while it is away, on all nodes together.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::error::{ErrorKind, LimitError};
use crate::fallback::breaker::{Breaker, BreakerState};
use crate::limiter::{Budget, Rate, RateLimiter, Take, ensure_few};

/// A node that was told nothing asks for the mode so often.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The store's limiter is in force for at least so long: a node that alone cannot reach the fast one
/// must not make all of them go to and fro.
const STAY: Duration = Duration::from_secs(10);

/// Tries of one call with the fast limiter: enough for a breaker to open.
const TRIES: usize = 10;

/// Which limiter is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The fast one.
    Fast,
    /// The store's.
    Store,
}

/// Which limiter all nodes use now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Rises with every switch; 0 before the first.
    pub number: u64,
    /// The limiter in force.
    pub source: Source,
    /// Since when, by the store's clock.
    pub since: DateTime<Utc>,
}

/// Keeps the [`Mode`]: one row in the store, so that all nodes use one limiter.
///
/// # Contract
///
/// 1. Before the first switch the fast limiter is in force, number 0.
///    (`the_fast_limiter_is_in_force_first`)
/// 2. `switch` changes nothing unless `seen` is the number in force; it answers what is in force then.
///    Of many from one number one takes effect.  (`a_switch_needs_the_number_in_force`,
///    `racing_switches_have_one_winner`)
///
/// Each rule is a public test in `conformance::limiter_mode`.
#[async_trait]
pub trait LimiterMode: fmt::Debug + Send + Sync + 'static {
    /// What is in force.
    async fn mode(&self) -> Result<Mode, LimitError>;

    /// Puts another limiter in force, if the mode is still the one of this number.
    async fn switch(&self, seen: u64, to: Source) -> Result<Mode, LimitError>;
}

const _OBJECT_SAFE: fn(&dyn LimiterMode) = |_| {};

/// The mode of a process that has its store for itself.
#[derive(Debug)]
pub struct LocalMode {
    clock: Arc<dyn Clock>,
    mode: Mutex<Mode>,
}

impl LocalMode {
    /// With the fast limiter in force.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let mode = Mode { number: 0, source: Source::Fast, since: clock.now() };
        Self { clock, mode: Mutex::new(mode) }
    }

    fn lock(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LimiterMode for LocalMode {
    async fn mode(&self) -> Result<Mode, LimitError> {
        Ok(*self.lock())
    }

    async fn switch(&self, seen: u64, to: Source) -> Result<Mode, LimitError> {
        let mut mode = self.lock();
        if mode.number == seen {
            *mode = Mode { number: seen + 1, source: to, since: self.clock.now() };
        }
        Ok(*mode)
    }
}

/// A [`RateLimiter`] over a fast one and the store's.
///
/// When the fast one is away, the first node to notice puts the store's in force for all; when it has
/// been for a while and the fast one answers again, it is put back. A bucket that moves starts empty:
/// after a switch the first slot comes one `every` later, and while the store's limiter is in force slots
/// come evenly, without a burst. So however often it moves, no stretch of time gets more than the rate
/// allows, besides slots that were reserved ahead before the switch.
#[derive(Clone, Debug)]
pub struct FallbackLimiter {
    fast: Arc<dyn RateLimiter>,
    store: Arc<dyn RateLimiter>,
    row: Arc<dyn LimiterMode>,
    breaker: Breaker,
    known: Arc<Mutex<Option<Known>>>,
}

/// The mode, as this node knows it.
#[derive(Clone, Copy, Debug)]
struct Known {
    mode: Mode,
    /// When this node heard of it last, and of this mode first.
    heard: Instant,
    first: Instant,
}

impl FallbackLimiter {
    /// Over these two, with the mode in `row`.
    pub fn new(
        fast: Arc<dyn RateLimiter>,
        store: Arc<dyn RateLimiter>,
        row: Arc<dyn LimiterMode>,
        breaker: Breaker,
    ) -> Self {
        Self { fast, store, row, breaker, known: Arc::default() }
    }

    /// Whether the fast limiter is used, as far as this node can reach it.
    pub fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Takes note of the mode, for whoever reads it anyway: then it is not asked for.
    pub fn told(&self, mode: Mode) {
        let now = Instant::now();
        let mut known = self.known();
        match &mut *known {
            Some(known) if known.mode.number > mode.number => {}
            Some(known) if known.mode.number == mode.number => known.heard = now,
            _ => *known = Some(Known { mode, heard: now, first: now }),
        }
    }

    /// The mode in force, and since when this node knows it: at most a second old.
    async fn mode(&self) -> Result<(Mode, Instant), LimitError> {
        let known = *self.known();
        if known.is_none_or(|known| known.heard.elapsed() >= ASK_EVERY) {
            match self.row.mode().await {
                Ok(mode) => self.told(mode),
                // What was known last is more likely right than anything else.
                Err(_) if known.is_some() => {}
                Err(error) => return Err(error),
            }
        }
        let known = self.known().as_ref().map(|known| (known.mode, known.first));
        known.ok_or_else(|| LimitError::new(ErrorKind::Internal, "read the limiter's mode"))
    }

    async fn switch(&self, from: Mode, to: Source) -> Result<(), LimitError> {
        let mode = self.row.switch(from.number, to).await?;
        if mode.number == from.number + 1 && mode.source == to {
            match to {
                Source::Store => tracing::warn!("limits are kept by the store on all nodes"),
                Source::Fast => tracing::info!("limits are kept by the fast limiter again"),
            }
        }
        self.told(mode);
        Ok(())
    }

    /// Puts the fast limiter back in force, if it answers.
    async fn try_fast(&self, mode: Mode) -> Result<(), LimitError> {
        let probe = Take {
            key: "probe".to_owned(),
            rate: Rate { every: Duration::from_micros(1), burst: NonZeroU32::MIN },
            not_before: DateTime::UNIX_EPOCH,
        };
        match self.breaker.call(Duration::ZERO, self.fast.take(&probe)).await {
            Some(_) => self.switch(mode, Source::Fast).await,
            None => Ok(()),
        }
    }

    /// Whether it is time to try the fast limiter.
    fn may_try(&self) -> bool {
        self.breaker.retry_at().is_none_or(|at| Instant::now() >= at)
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same, for a bucket that has moved: see [`FallbackLimiter`].
fn moved(take: &Take, mode: Mode) -> Take {
    let mut take = take.clone();
    if mode.number > 0 {
        take.not_before = take.not_before.max(mode.since + take.rate.every);
    }
    if mode.source == Source::Store {
        take.rate.burst = NonZeroU32::MIN;
    }
    take
}

#[async_trait]
impl RateLimiter for FallbackLimiter {
    async fn take(&self, take: &Take) -> Result<DateTime<Utc>, LimitError> {
        for _ in 0..TRIES {
            let (mode, since) = self.mode().await?;
            match mode.source {
                Source::Fast => {
                    let take = moved(take, mode);
                    if let Some(slot) =
                        self.breaker.call(Duration::ZERO, self.fast.take(&take)).await
                    {
                        return Ok(slot);
                    }
                    if !self.breaker.state().is_closed() {
                        self.switch(mode, Source::Store).await?;
                    }
                }
                Source::Store if since.elapsed() >= STAY && self.may_try() => {
                    self.try_fast(mode).await?;
                    if self.known().is_some_and(|known| known.mode == mode) {
                        return self.store.take(&moved(take, mode)).await;
                    }
                }
                Source::Store => return self.store.take(&moved(take, mode)).await,
            }
        }
        Err(LimitError::new(ErrorKind::Unavailable, "take a slot: the limiter comes and goes"))
    }

    async fn tighten(
        &self,
        key: &str,
        remaining: u32,
        resets_at: DateTime<Utc>,
    ) -> Result<(), LimitError> {
        let (mode, _) = self.mode().await?;
        if mode.source == Source::Fast {
            let tighten = self.fast.tighten(key, remaining, resets_at);
            // Without the fast one the platform's own refusal holds back.
            self.breaker.call(Duration::ZERO, tighten).await;
            return Ok(());
        }
        self.store.tighten(key, remaining, resets_at).await
    }

    /// Of the one that is in force. A look puts no other in force, so it fails while the fast one is away
    /// and nobody has taken a slot since.
    async fn look(&self, takes: &[Take]) -> Result<Vec<Budget>, LimitError> {
        ensure_few(takes)?;
        let (mode, _) = self.mode().await?;
        let takes: Vec<Take> = takes.iter().map(|take| moved(take, mode)).collect();
        if mode.source == Source::Store {
            return self.store.look(&takes).await;
        }
        let answer = self.breaker.call(Duration::ZERO, self.fast.look(&takes)).await;
        let action = "look at the limits: the fast limiter does not answer";
        answer.ok_or_else(|| LimitError::new(ErrorKind::Unavailable, action))
    }
}
