//! What platforms told last of their limits.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::failure::{LimitReading, LimitScope};
use postq_core::platform::PlatformName;

/// Apps and accounts that are remembered; of more, those that speak first after a reset.
const MOST: usize = 10_000;

/// A reading is good for so long at most: a later reset is a mistake in a clock or unit.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The calls that a platform has left, as far as it told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallsLeft {
    /// The platform.
    pub platform: PlatformName,
    /// Whose they are: the app's, or an account's.
    pub scope: LimitScope,
    /// Of an account, the fewest that any has.
    pub remaining: u32,
}

/// The latest readings, by app and by account.
#[derive(Debug, Default)]
pub(crate) struct Readings(Mutex<BTreeMap<String, Told>>);

#[derive(Debug)]
struct Told {
    platform: PlatformName,
    scope: LimitScope,
    /// Calls left, and until when that holds: a platform may keep several windows.
    windows: Vec<(u32, DateTime<Utc>)>,
}

impl Readings {
    /// Takes note of what an answer to this account told.
    pub(crate) fn note(&self, account: &Account, limits: &[LimitReading], now: DateTime<Utc>) {
        let lane = account.lane();
        for (scope, key) in [(LimitScope::App, lane.app()), (LimitScope::Account, lane.as_str())] {
            let of_scope = limits.iter().filter(|reading| reading.scope == scope);
            let windows: Vec<_> = of_scope
                .map(|reading| (reading.remaining, now + reading.resets_in.min(LONGEST)))
                .collect();
            if windows.is_empty() {
                continue;
            }
            let mut all = self.lock();
            if all.len() >= MOST && !all.contains_key(key) {
                all.retain(|_, told| told.windows.iter().any(|(_, until)| *until > now));
            }
            if all.len() < MOST || all.contains_key(key) {
                let told = Told { platform: account.platform.clone(), scope, windows };
                all.insert(key.to_owned(), told);
            }
        }
    }

    /// What is left by platform and scope; nothing of what has been reset since it was told.
    pub(crate) fn left(&self, now: DateTime<Utc>) -> Vec<CallsLeft> {
        let mut fewest: BTreeMap<(PlatformName, bool), u32> = BTreeMap::new();
        for told in self.lock().values() {
            let in_force = told.windows.iter().filter(|(_, until)| *until > now);
            let Some(remaining) = in_force.map(|(remaining, _)| *remaining).min() else { continue };
            let key = (told.platform.clone(), told.scope == LimitScope::App);
            let known = fewest.entry(key).or_insert(remaining);
            *known = remaining.min(*known);
        }
        let left = |((platform, is_app), remaining)| {
            let scope = if is_app { LimitScope::App } else { LimitScope::Account };
            CallsLeft { platform, scope, remaining }
        };
        fewest.into_iter().map(left).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account::new("acme", "x".parse().unwrap(), DateTime::UNIX_EPOCH)
    }

    fn reading(scope: LimitScope, remaining: u32, seconds: u64) -> LimitReading {
        LimitReading { scope, remaining, resets_in: Duration::from_secs(seconds) }
    }

    #[test]
    fn the_fewest_calls_that_are_in_force_are_told_by_platform_and_scope() {
        use LimitScope::{Account as Own, App};
        let (readings, now) = (Readings::default(), DateTime::UNIX_EPOCH);
        let (a, b) = (account(), account());

        readings.note(&a, &[reading(App, 90, 600), reading(Own, 3, 60), reading(Own, 7, 900)], now);
        readings.note(&b, &[reading(App, 89, 600), reading(Own, 50, 900)], now);

        let left = |seconds| {
            let all = readings.left(now + Duration::from_secs(seconds));
            all.into_iter().map(|left| (left.scope, left.remaining)).collect::<Vec<_>>()
        };
        assert_eq!(left(0), [(Own, 3), (App, 89)]);
        assert_eq!(left(60), [(Own, 7), (App, 89)], "the short window has begun anew");
        assert_eq!(left(900), []);
    }

    #[test]
    fn many_accounts_do_not_fill_the_memory() {
        let (readings, now) = (Readings::default(), DateTime::UNIX_EPOCH);
        for _ in 0..MOST + 5 {
            readings.note(&account(), &[reading(LimitScope::Account, 1, 60)], now);
        }

        assert_eq!(readings.lock().len(), MOST);
        let later = now + Duration::from_secs(60);
        readings.note(&account(), &[reading(LimitScope::Account, 1, 60)], later);
        assert_eq!(readings.lock().len(), 1, "what was reset makes room");
    }
}
