//! When to try again: pure decisions over a failure, the attempt and the time.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::failure::{Failure, FailureClass};
use crate::job::DeadReason;

/// What a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    /// How the attempt failed.
    pub failure: &'a Failure,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// How many are allowed.
    pub max_attempts: u32,
    /// The time now.
    pub now: DateTime<Utc>,
    /// A sample from [0, 1) for the jitter: it comes from outside, so that the decision is pure.
    pub sample: f64,
}

/// What a strategy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// Try again at this time.
    RetryAt(DateTime<Utc>),
    /// Give up.
    GiveUp(DeadReason),
}

/// Decides whether and when a failed job is tried again.
///
/// # Contract
///
/// 1. Pure: the same input gives the same decision; no I/O, no clock.  (`decisions_are_pure`)
/// 2. A retry is never in the past.  (`a_retry_is_never_in_the_past`)
/// 3. A failure that cannot mend itself (`auth`, `content`) is given up.
///    (`what_cannot_mend_itself_is_given_up`)
/// 4. The last allowed attempt is given up.  (`the_last_attempt_gives_up`)
///
/// A wait that the platform asks for is not a strategy's affair: the engine obeys it and charges no
/// attempt. Each rule is a public test in `conformance::retry`.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait RetryStrategy: fmt::Debug + Send + Sync + 'static {
    /// Decides.
    fn decide<'a>(&self, tried: Tried<'a>) -> RetryDecision;
}

/// Gives up for the reasons that every shipped strategy shares; `None`: another attempt may help.
pub fn give_up_reason(tried: Tried<'_>) -> Option<DeadReason> {
    match tried.failure.class {
        FailureClass::Auth => Some(DeadReason::Auth),
        FailureClass::Content => Some(DeadReason::Content),
        _ if tried.attempt >= tried.max_attempts => Some(DeadReason::AttemptsExhausted),
        _ => None,
    }
}

/// Exponential backoff with jitter: `base x 2^(attempt-1)`, at most `most`, then times a sample from
/// [0.5, 1.5). The default: 30 s, 20 min.
#[derive(Clone, Copy, Debug)]
pub struct ExponentialJitter {
    /// The wait after the first attempt. Defaults to 30 s.
    pub base: Duration,
    /// The longest wait before jitter. Defaults to 1,200 s.
    pub most: Duration,
}

impl Default for ExponentialJitter {
    fn default() -> Self {
        Self { base: Duration::from_secs(30), most: Duration::from_secs(1_200) }
    }
}

impl RetryStrategy for ExponentialJitter {
    fn decide(&self, tried: Tried<'_>) -> RetryDecision {
        if let Some(reason) = give_up_reason(tried) {
            return RetryDecision::GiveUp(reason);
        }
        let doublings = tried.attempt.saturating_sub(1).min(30);
        let wait = self.base.saturating_mul(1 << doublings).min(self.most);
        RetryDecision::RetryAt(tried.now + wait.mul_f64(0.5 + tried.sample.clamp(0.0, 1.0)))
    }
}

/// One fixed wait per attempt, then give up. The default: 1, 5 and 15 minutes.
#[derive(Clone, Debug)]
pub struct FixedSteps {
    /// The wait after attempt 1, 2, and so on.
    pub steps: Vec<Duration>,
}

impl Default for FixedSteps {
    fn default() -> Self {
        Self { steps: [1, 5, 15].map(|minutes| Duration::from_secs(minutes * 60)).to_vec() }
    }
}

impl RetryStrategy for FixedSteps {
    fn decide(&self, tried: Tried<'_>) -> RetryDecision {
        if let Some(reason) = give_up_reason(tried) {
            return RetryDecision::GiveUp(reason);
        }
        let step = usize::try_from(tried.attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        match self.steps.get(step) {
            Some(wait) => RetryDecision::RetryAt(tried.now + *wait),
            None => RetryDecision::GiveUp(DeadReason::AttemptsExhausted),
        }
    }
}

/// Exponential backoff without jitter: `base^attempt` seconds, at most `most`. The default: 5, 25,
/// 125 s and so on.
#[derive(Clone, Copy, Debug)]
pub struct PlainExponential {
    /// The base, in seconds. Defaults to 5.
    pub base: u32,
    /// The longest wait. Defaults to 1 h.
    pub most: Duration,
}

impl Default for PlainExponential {
    fn default() -> Self {
        Self { base: 5, most: Duration::from_secs(3_600) }
    }
}

impl RetryStrategy for PlainExponential {
    fn decide(&self, tried: Tried<'_>) -> RetryDecision {
        if let Some(reason) = give_up_reason(tried) {
            return RetryDecision::GiveUp(reason);
        }
        let seconds = u64::from(self.base).saturating_pow(tried.attempt);
        RetryDecision::RetryAt(tried.now + Duration::from_secs(seconds).min(self.most))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;
    use crate::failure::Outcome;

    fn waits(strategy: &dyn RetryStrategy, sample: f64) -> Vec<Option<u64>> {
        let failure = Failure::unknown(FailureClass::Platform, "503");
        let now = DateTime::UNIX_EPOCH;
        (1..=5)
            .map(|attempt| {
                let tried = Tried { failure: &failure, attempt, max_attempts: 5, now, sample };
                match strategy.decide(tried) {
                    RetryDecision::RetryAt(at) => Some((at - now).num_seconds().unsigned_abs()),
                    RetryDecision::GiveUp(_) => None,
                }
            })
            .collect()
    }

    #[test]
    fn exponential_doubles_from_30_seconds_up_to_20_minutes() {
        let strategy = ExponentialJitter::default();

        assert_eq!(waits(&strategy, 0.5), [Some(30), Some(60), Some(120), Some(240), None]);
        assert_eq!(waits(&strategy, 0.0), [Some(15), Some(30), Some(60), Some(120), None]);
        let failure = Failure::unknown(FailureClass::Network, "cut");
        let tried = Tried {
            failure: &failure,
            attempt: 40,
            max_attempts: 99,
            now: DateTime::UNIX_EPOCH,
            sample: 0.5,
        };
        assert_eq!(
            strategy.decide(tried),
            RetryDecision::RetryAt(DateTime::UNIX_EPOCH + Duration::from_secs(1_200))
        );
    }

    #[test]
    fn fixed_steps_are_1_5_and_15_minutes_then_the_end() {
        let waits = waits(&FixedSteps::default(), 0.9);

        assert_eq!(waits, [Some(60), Some(300), Some(900), None, None]);
    }

    #[test]
    fn plain_exponential_is_5_25_125_seconds() {
        let waits = waits(&PlainExponential::default(), 0.9);

        assert_eq!(waits, [Some(5), Some(25), Some(125), Some(625), None]);
    }

    fn any_failure() -> impl Strategy<Value = Failure> {
        let class = prop_oneof![
            proptest::strategy::Just(FailureClass::Auth),
            proptest::strategy::Just(FailureClass::RateLimit),
            proptest::strategy::Just(FailureClass::Content),
            proptest::strategy::Just(FailureClass::Network),
            proptest::strategy::Just(FailureClass::Platform),
            proptest::strategy::Just(FailureClass::Internal),
        ];
        (class, any::<bool>()).prop_map(|(class, sure)| {
            let outcome = if sure { Outcome::NotPublished } else { Outcome::Unknown };
            Failure { outcome, ..Failure::not_published(class, "any") }
        })
    }

    proptest! {
        #[test]
        fn no_strategy_panics_or_goes_back_in_time(
            failure in any_failure(),
            attempt in 0u32..=u32::MAX,
            max_attempts in 0u32..=u32::MAX,
            sample in 0.0f64..1.0,
        ) {
            let now = DateTime::UNIX_EPOCH;
            let tried = Tried { failure: &failure, attempt, max_attempts, now, sample };
            let strategies: [&dyn RetryStrategy; 3] =
                [&ExponentialJitter::default(), &FixedSteps::default(), &PlainExponential::default()];
            for strategy in strategies {
                let decision = strategy.decide(tried);
                prop_assert_eq!(decision, strategy.decide(tried));
                match decision {
                    RetryDecision::RetryAt(at) => {
                        prop_assert!(at > now);
                        prop_assert!(at <= now + Duration::from_secs(3_600));
                        prop_assert!(failure.class.is_transient() && attempt < max_attempts);
                    }
                    RetryDecision::GiveUp(reason) => match failure.class {
                        FailureClass::Auth => prop_assert_eq!(reason, DeadReason::Auth),
                        FailureClass::Content => prop_assert_eq!(reason, DeadReason::Content),
                        _ => prop_assert_eq!(reason, DeadReason::AttemptsExhausted),
                    },
                }
            }
        }
    }
}
