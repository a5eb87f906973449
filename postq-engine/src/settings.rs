//! What a user may set of an engine.

use std::time::Duration;

use postq_core::feed::Only;
use postq_core::job::{NewJob, Topic};
use postq_core::store::Retention;

use crate::desk::DeskSettings;

/// How many attempts of a topic run at once on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicWorkers {
    /// The topic.
    pub topic: Topic,
    /// Attempts at once; at least 1.
    pub at_once: usize,
}

/// What a user may set of an engine. [`EngineBuilder::build`](crate::EngineBuilder::build) checks it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The topics this node works on. Defaults to `publish` with 512 at once (an attempt mostly
    /// waits for the platform), `notify` with 4 and `token` with 4.
    pub topics: Vec<TopicWorkers>,
    /// Whether this node plans. Defaults to true; any number of nodes may.
    pub plan: bool,
    /// Occurrences become jobs so long before they are due. Defaults to 60 s.
    pub look_ahead: Duration,
    /// The same for posts with media, which are prepared earlier. Defaults to 60 min.
    pub prepare_ahead: Duration,
    /// A worker takes a job so long before it is due, loads and checks it, and sends on the second.
    /// Defaults to 250 ms: longer than a load takes, shorter than anybody's last-moment edit. At
    /// most half the lease.
    pub claim_ahead: Duration,
    /// A lease that is not renewed ends after so long, and the job goes to another worker. Renewed
    /// at a third. Defaults to 60 s; longer than any platform's send time-out plus 1 s.
    pub lease: Duration,
    /// Jobs of one account that may run at once. Defaults to 1, which keeps them in order.
    pub lane_width: u32,
    /// Attempts allowed to a job. Defaults to 5.
    pub max_attempts: u32,
    /// An attempt that takes longer than this gets a warning. Defaults to 240 s.
    pub warn_after: Duration,
    /// An attempt is given up after so long; a platform's call that takes a whole large file is not counted.
    /// Defaults to 300 s.
    pub time_limit: Duration,
    /// A lost wake-up, a job whose worker died, a job that no queue knows: found after so long.
    /// Defaults to 5 s, each time shortened by up to a quarter so that nodes do not beat together.
    pub sweep_every: Duration,
    /// Ended jobs are cleaned up so often. Defaults to 10 min.
    pub clean_every: Duration,
    /// How long ended jobs are kept.
    pub retention: Retention,
    /// On shutdown, running attempts have so long to finish. Defaults to 35 s: a send time-out and a
    /// little more.
    pub grace_period: Duration,
    /// Any call to a store is given up after so long. Defaults to 30 s.
    pub store_timeout: Duration,
    /// Whether the limiter is asked. Defaults to true; false is for tests.
    pub rate_limit: bool,
    /// A look-up that still cannot be made so long after the settle time is `CannotTell`. Defaults to
    /// 1 h.
    pub look_bound: Duration,
    /// Which jobs this engine may touch. Defaults to any.
    pub only: Only,
    /// What [`Engine::desk`](crate::Engine::desk) takes in.
    pub desk: DeskSettings,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            topics: vec![
                TopicWorkers { topic: Topic::publish(), at_once: 512 },
                TopicWorkers { topic: Topic::notify(), at_once: 4 },
                TopicWorkers { topic: Topic::token(), at_once: 4 },
            ],
            plan: true,
            look_ahead: seconds(60),
            prepare_ahead: seconds(3_600),
            claim_ahead: Duration::from_millis(250),
            lease: seconds(60),
            lane_width: 1,
            max_attempts: NewJob::MAX_ATTEMPTS,
            warn_after: seconds(240),
            time_limit: seconds(300),
            sweep_every: seconds(5),
            clean_every: seconds(600),
            retention: Retention::default(),
            grace_period: seconds(35),
            store_timeout: seconds(30),
            rate_limit: true,
            look_bound: seconds(3_600),
            only: Only::Any,
            desk: DeskSettings::default(),
        }
    }
}

impl Settings {
    /// What is wrong with them, naming the setting and what was expected.
    pub(crate) fn problem(&self, longest_send: Duration) -> Option<String> {
        if self.topics.iter().any(|workers| workers.at_once == 0) {
            return Some("topics: at_once is 0, expected at least 1".to_owned());
        }
        if self.lane_width == 0 {
            return Some("lane_width is 0, expected at least 1".to_owned());
        }
        if self.max_attempts == 0 {
            return Some("max_attempts is 0, expected at least 1".to_owned());
        }
        if self.sweep_every < Duration::from_millis(100) {
            return Some(format!(
                "sweep_every is {:?}, expected at least 100 ms",
                self.sweep_every
            ));
        }
        let room = longest_send + Duration::from_secs(1);
        if self.lease < room {
            return Some(format!(
                "lease is {:?}, expected at least {room:?}: a platform's send time-out plus 1 s",
                self.lease
            ));
        }
        if self.claim_ahead > self.lease / 2 {
            return Some(format!(
                "claim_ahead is {:?}, expected at most half the lease ({:?})",
                self.claim_ahead, self.lease
            ));
        }
        None
    }
}
