//! How long an app stands still that is refused again and again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

/// A pause grows up to this; one that the platform itself asks to be longer is obeyed.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The pauses of each app since its last success here. A node's own: another one's first refusal
/// begins anew, which costs a request and no more.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Mutex<BTreeMap<String, Pause>>);

#[derive(Clone, Copy, Debug)]
struct Pause {
    length: Duration,
    until: DateTime<Utc>,
}

impl Pauses {
    /// When the app may be asked again, after a refusal that asks for this wait: twice as late as the
    /// last time if it was refused after a pause, and has published nothing since.
    pub(crate) fn end(&self, app: &str, asked: Duration, now: DateTime<Utc>) -> DateTime<Utc> {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = match pauses.get(app) {
            // What was under way when the pause began is refused with it.
            Some(pause) if now < pause.until => return now + asked,
            Some(pause) => (pause.length * 2).min(LONGEST),
            None => Duration::ZERO,
        };
        let length = asked.max(grown);
        let until = now + length;
        pauses.insert(app.to_owned(), Pause { length, until });
        until
    }

    /// Whether a pause of the app began here that has not ended, unless somebody has lifted it.
    pub(crate) fn is_on(&self, app: &str, now: DateTime<Utc>) -> bool {
        let pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.get(app).is_some_and(|pause| now < pause.until)
    }

    /// The app took something.
    pub(crate) fn over(&self, app: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(app);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_grow_until_something_goes_out() {
        let (pauses, minute) = (Pauses::default(), Duration::from_secs(60));

        assert_eq!(pauses.end("x/", minute, at(0)), at(60));
        assert_eq!(pauses.end("x/", minute, at(5)), at(65), "it was under way before");
        assert!(pauses.is_on("x/", at(59)) && !pauses.is_on("x/", at(60)));
        assert_eq!(pauses.end("x/", minute, at(60)), at(180));
        assert_eq!(pauses.end("y/", minute, at(60)), at(120), "each app has its own");
        assert_eq!(pauses.end("x/", minute, at(200)), at(440));
        pauses.over("x/");
        assert_eq!(pauses.end("x/", minute, at(500)), at(560));
    }

    #[test]
    fn a_pause_grows_no_longer_than_is_sensible_and_what_is_asked_is_obeyed() {
        let pauses = Pauses::default();
        let mut now = at(0);
        for _ in 0..20 {
            now = pauses.end("x/", Duration::from_secs(60), now);
        }

        assert_eq!(pauses.end("x/", Duration::from_secs(60), now), now + LONGEST);
        let day = Duration::from_secs(86_400);
        assert_eq!(pauses.end("x/", day, now + LONGEST), now + LONGEST + day);
    }
}
