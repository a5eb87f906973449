//! The rules of [`LimiterMode`].

use std::sync::Arc;

use crate::fallback::{LimiterMode, Mode, Source};

/// Writes one test per rule of [`LimiterMode`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! limiter_mode_conformance {
    ($fresh:expr) => {
        mod limiter_mode_rules {
            $crate::conformance_rules! { $fresh, limiter_mode {
                the_fast_limiter_is_in_force_first,
                a_switch_needs_the_number_in_force,
                racing_switches_have_one_winner,
            } }
        }
    };
}

async fn mode(row: &dyn LimiterMode) -> Mode {
    row.mode().await.expect("the mode")
}

async fn switch(row: &dyn LimiterMode, seen: u64, to: Source) -> Mode {
    row.switch(seen, to).await.expect("switch")
}

/// Before the first switch the fast limiter is in force, number 0.
pub async fn the_fast_limiter_is_in_force_first(row: Arc<dyn LimiterMode>) {
    let first = mode(&*row).await;

    assert_eq!((first.number, first.source), (0, Source::Fast));
    assert_eq!(mode(&*row).await, first, "asking changes nothing");
}

/// `switch` changes nothing unless `seen` is the number in force; it answers what is in force then.
pub async fn a_switch_needs_the_number_in_force(row: Arc<dyn LimiterMode>) {
    let before = mode(&*row).await;

    let first = switch(&*row, 0, Source::Store).await;
    assert_eq!((first.number, first.source), (1, Source::Store));
    assert!(first.since >= before.since, "{first:?} follows {before:?}");
    for (seen, to) in [(0, Source::Fast), (2, Source::Fast), (u64::MAX, Source::Fast)] {
        assert_eq!(switch(&*row, seen, to).await, first, "seen {seen}");
    }
    assert_eq!(mode(&*row).await, first);

    let second = switch(&*row, 1, Source::Fast).await;
    assert_eq!((second.number, second.source), (2, Source::Fast));
    assert!(second.since >= first.since, "{second:?} follows {first:?}");
    assert_eq!(mode(&*row).await, second);
}

/// Of many switches from one number one takes effect, and all are told of it.
pub async fn racing_switches_have_one_winner(row: Arc<dyn LimiterMode>) {
    for round in 0..5 {
        let mut nodes = tokio::task::JoinSet::new();
        for node in 0..8 {
            let row = Arc::clone(&row);
            let to = if node % 2 == 0 { Source::Store } else { Source::Fast };
            nodes.spawn(async move { switch(&*row, round, to).await });
        }

        let told = nodes.join_all().await;

        let now = mode(&*row).await;
        assert_eq!(now.number, round + 1, "one switch");
        assert!(told.iter().all(|mode| *mode == now), "{now:?} is in force, told: {told:?}");
    }
}
