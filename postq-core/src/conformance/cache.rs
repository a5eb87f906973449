//! The rules of [`Cache`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::cache::{Cache, Make};
use crate::conformance::{SHORT_LEASE, eventually};

/// Writes one test per rule of [`Cache`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! cache_conformance {
    ($fresh:expr) => {
        mod cache_rules {
            $crate::conformance_rules! { $fresh, cache {
                a_value_is_made_once,
                a_value_ends,
                callers_share_one_making,
                nothing_is_not_kept,
                forgetting_makes_anew,
                a_dropped_making_hinders_nobody,
            } }
        }
    };
}

const LONG: Duration = Duration::from_secs(60);

/// Makes `made-N`, N counting the makings; slowly, so that others come meanwhile.
fn counted(count: &Arc<AtomicUsize>, takes: Duration) -> Make {
    let count = count.clone();
    Box::new(move || {
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            let n = count.fetch_add(1, Ordering::SeqCst) + 1;
            Some(format!("made-{n}").into_bytes())
        })
    })
}

fn quick(count: &Arc<AtomicUsize>) -> Make {
    counted(count, Duration::ZERO)
}

/// Within its time a value is made once.
pub async fn a_value_is_made_once(cache: Arc<dyn Cache>) {
    let count = Arc::new(AtomicUsize::new(0));

    let first = cache.get_or_set("a", LONG, quick(&count)).await;
    let second = cache.get_or_set("a", LONG, quick(&count)).await;
    let other = cache.get_or_set("b", LONG, quick(&count)).await;

    assert_eq!(first.as_deref(), Some(&b"made-1"[..]));
    assert_eq!(second, first);
    assert_eq!(other.as_deref(), Some(&b"made-2"[..]), "another key is another value");
}

/// After its time it is made again.
pub async fn a_value_ends(cache: Arc<dyn Cache>) {
    let count = Arc::new(AtomicUsize::new(0));
    cache.get_or_set("a", SHORT_LEASE, quick(&count)).await;

    eventually("the value ends", async || {
        let value = cache.get_or_set("a", SHORT_LEASE, quick(&count)).await;
        (value.as_deref() == Some(&b"made-2"[..])).then_some(())
    })
    .await;
}

/// Callers that come while it is being made share the result.
pub async fn callers_share_one_making(cache: Arc<dyn Cache>) {
    let count = Arc::new(AtomicUsize::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (cache, make) = (cache.clone(), counted(&count, Duration::from_millis(50)));
        callers.spawn(async move { cache.get_or_set("a", LONG, make).await });
    }

    let values = callers.join_all().await;

    assert!(values.iter().all(|value| value.as_deref() == Some(&b"made-1"[..])), "{values:?}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// A `make` that gives nothing leaves nothing behind: the next caller makes.
pub async fn nothing_is_not_kept(cache: Arc<dyn Cache>) {
    let count = Arc::new(AtomicUsize::new(0));

    let nothing = cache.get_or_set("a", LONG, Box::new(|| Box::pin(async { None }))).await;
    let something = cache.get_or_set("a", LONG, quick(&count)).await;

    assert_eq!(nothing, None);
    assert_eq!(something.as_deref(), Some(&b"made-1"[..]));
}

/// `forget` forgets one value; what is not there is no error.
pub async fn forgetting_makes_anew(cache: Arc<dyn Cache>) {
    let count = Arc::new(AtomicUsize::new(0));
    cache.get_or_set("a", LONG, quick(&count)).await;
    let kept = cache.get_or_set("b", LONG, quick(&count)).await;

    cache.forget("a").await;
    cache.forget("none").await;

    let again = cache.get_or_set("a", LONG, quick(&count)).await;
    assert_eq!(again.as_deref(), Some(&b"made-3"[..]));
    assert_eq!(cache.get_or_set("b", LONG, quick(&count)).await, kept);
}

/// A caller that gives up while it makes does not leave the others waiting.
pub async fn a_dropped_making_hinders_nobody(cache: Arc<dyn Cache>) {
    let count = Arc::new(AtomicUsize::new(0));
    let endless: Make = Box::new(|| Box::pin(std::future::pending()));
    let dropped =
        tokio::time::timeout(Duration::from_millis(50), cache.get_or_set("a", LONG, endless)).await;
    assert!(dropped.is_err(), "nothing makes it");

    let made =
        tokio::time::timeout(Duration::from_secs(5), cache.get_or_set("a", LONG, quick(&count)))
            .await;

    assert_eq!(made.expect("within 5 s").as_deref(), Some(&b"made-1"[..]));
}
