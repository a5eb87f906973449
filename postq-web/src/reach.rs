//! Whether the platforms can be reached: asked only when somebody wants to know.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::web::Shared;

/// An answer is good for so long: whoever asks more often must not bother the platforms.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// All of them together are asked for so long.
const PATIENCE: Duration = Duration::from_secs(3);

/// Tells which platforms cannot be reached from here.
#[async_trait]
pub trait Reach: fmt::Debug + Send + Sync + 'static {
    /// A reason, in words, for each that cannot; nothing if all can. Not longer than about 2 s.
    async fn unreachable(&self) -> Vec<String>;
}

/// The last answer. Held while they are asked: who asks meanwhile waits for it.
#[derive(Debug, Default)]
pub(crate) struct Reached(Mutex<Option<(Instant, Vec<String>)>>);

/// Why which platforms cannot be reached.
pub(crate) async fn unreachable(app: &Shared) -> Vec<String> {
    let Some(reach) = &app.web.reach else { return Vec::new() };
    let mut last = app.reached.0.lock().await;
    if let Some((_, reasons)) = last.as_ref().filter(|(at, _)| at.elapsed() < GOOD_FOR) {
        return reasons.clone();
    }
    let reasons = match tokio::time::timeout(PATIENCE, reach.unreachable()).await {
        Ok(reasons) => reasons,
        Err(_) => vec![format!("the platforms were not reached within {PATIENCE:?}")],
    };
    *last = Some((Instant::now(), reasons.clone()));
    reasons
}
