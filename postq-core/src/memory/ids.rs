//! Ids of what the backend makes itself.

use chrono::{DateTime, Utc};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use uuid::{Builder, Uuid};

/// Where ids come from.
#[derive(Debug)]
pub(super) enum Ids {
    /// From the host's time and randomness.
    Random,
    /// From the clock and a seed; each is higher than the one before.
    Seeded { random: SmallRng, last_millis: u64 },
}

impl Ids {
    pub(super) fn seeded(seed: u64) -> Self {
        Self::Seeded { random: SmallRng::seed_from_u64(seed), last_millis: 0 }
    }

    pub(super) fn next(&mut self, now: DateTime<Utc>) -> Uuid {
        match self {
            Self::Random => Uuid::now_v7(),
            Self::Seeded { random, last_millis } => {
                // Two of one millisecond would be in random order: the later one takes the next.
                let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
                *last_millis = millis.max(*last_millis + 1);
                let mut bytes = [0; 10];
                random.fill_bytes(&mut bytes);
                Builder::from_unix_timestamp_millis(*last_millis, &bytes).into_uuid()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_ids_rise_and_repeat() {
        let make = |seed| {
            let mut ids = Ids::seeded(seed);
            (0..100).map(|_| ids.next(DateTime::UNIX_EPOCH)).collect::<Vec<_>>()
        };

        assert!(make(7).is_sorted_by(|a, b| a < b));
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }
}
