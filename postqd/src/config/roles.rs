//! What a node does: its roles, and the topics of its workers.

use std::num::NonZeroUsize;

use postq_core::job::Topic;
use postq_engine::TopicWorkers;

use super::Values;

/// What `postqd serve` does on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Turns schedules into jobs.
    pub(crate) planner: bool,
    /// Publishes, and runs what else the topics name.
    pub(crate) worker: bool,
    /// Serves the API; without it, the probes alone.
    pub(crate) web: bool,
}

impl Roles {
    /// Their names.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [(self.planner, "planner"), (self.worker, "worker"), (self.web, "web")];
        all.into_iter().filter(|(is_played, _)| *is_played).map(|(_, name)| name)
    }
}

/// Notifications that go out at once, where nothing says otherwise.
const NOTIFY_AT_ONCE: usize = 4;

/// Tokens that are renewed at once.
const TOKENS_AT_ONCE: usize = 4;

/// Uploads that run at once: each needs a few megabytes of memory.
const MEDIA_AT_ONCE: usize = 4;

/// Endpoints that are told at once: more than a tenant has, so that none waits for others that hang.
const WEBHOOKS_AT_ONCE: usize = 24;

/// Accounts whose metrics are read at once: each mostly waits for its platform, and none is in a hurry.
const METRICS_AT_ONCE: usize = 4;

impl Values {
    pub(super) fn roles(&self) -> anyhow::Result<Roles> {
        let mut roles = Roles { planner: false, worker: false, web: false };
        for name in self.list("roles") {
            match name.as_str() {
                "planner" => roles.planner = true,
                "worker" => roles.worker = true,
                "web" => roles.web = true,
                other => {
                    let why = format!("\"{other}\" cannot be; expected planner, worker or web");
                    return Err(self.wrong("roles", why));
                }
            }
        }
        Ok(roles)
    }

    pub(super) fn topics(&self) -> anyhow::Result<Vec<TopicWorkers>> {
        let publish: NonZeroUsize = self.parse("concurrency", "a whole number from 1")?;
        let mut topics: Vec<TopicWorkers> = Vec::new();
        for item in self.list("topics") {
            let workers = workers(&item).map_err(|why| self.wrong("topics", why))?;
            if topics.iter().any(|other| other.topic == workers.topic) {
                return Err(self.wrong("topics", format!("{} stands there twice", workers.topic)));
            }
            topics.push(workers);
        }
        if topics.is_empty() {
            topics = vec![
                TopicWorkers { topic: Topic::publish(), at_once: publish.get() },
                TopicWorkers { topic: Topic::media(), at_once: MEDIA_AT_ONCE },
                TopicWorkers { topic: Topic::notify(), at_once: NOTIFY_AT_ONCE },
                TopicWorkers { topic: Topic::webhook(), at_once: WEBHOOKS_AT_ONCE },
                TopicWorkers { topic: Topic::token(), at_once: TOKENS_AT_ONCE },
                TopicWorkers { topic: Topic::new(Topic::METRICS), at_once: METRICS_AT_ONCE },
            ];
        }
        Ok(topics)
    }
}

/// Reads `publish:8`.
fn workers(item: &str) -> Result<TopicWorkers, String> {
    let wrong = || format!("\"{item}\" cannot be; expected a topic and a number, as publish:8");
    let (topic, at_once) = item.split_once(':').ok_or_else(wrong)?;
    let at_once: NonZeroUsize = at_once.trim().parse().map_err(|_| wrong())?;
    let topic = topic.trim();
    if !TOPICS.contains(&topic) {
        return Err(format!(
            "there is no topic \"{topic}\"{}; there are {}",
            postq_calendar::near::hint(topic, TOPICS),
            TOPICS.join(", ")
        ));
    }
    Ok(TopicWorkers { topic: Topic::new(topic), at_once: at_once.get() })
}

/// The topics that this program has jobs of, or will have.
const TOPICS: [&str; 6] =
    [Topic::PUBLISH, Topic::MEDIA, Topic::METRICS, Topic::TOKEN, Topic::WEBHOOK, Topic::NOTIFY];

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn a_node_does_everything_unless_it_is_told() {
        let config = load("", &[]).unwrap();

        assert_eq!(config.roles, Roles { planner: true, worker: true, web: true });
        let topics: Vec<_> =
            config.topics.iter().map(|w| format!("{}:{}", w.topic, w.at_once)).collect();
        let own = ["publish:512", "media:4", "notify:4", "webhook:24", "token:4", "metrics:4"];
        assert_eq!(topics, own);
    }

    #[test]
    fn roles_and_topics_are_chosen() {
        let environment = [("POSTQ_ROLES", "worker"), ("POSTQ_TOPICS", "publish:8, metrics:2")];
        let config = load("", &environment).unwrap();

        assert_eq!(config.roles, Roles { planner: false, worker: true, web: false });
        let topics: Vec<_> = config.topics.iter().map(|w| (w.topic.as_str(), w.at_once)).collect();
        assert_eq!(topics, [("publish", 8), ("metrics", 2)]);
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (name, value, expected) in [
            ("POSTQ_ROLES", "worker,boss", "\"boss\" cannot be; expected planner, worker or web"),
            ("POSTQ_TOPICS", "publish", "expected a topic and a number, as publish:8"),
            ("POSTQ_TOPICS", "publish:0", "expected a topic and a number"),
            ("POSTQ_TOPICS", "publsh:1", "did you mean \"publish\"?"),
            ("POSTQ_TOPICS", "publish:1,publish:2", "publish stands there twice"),
        ] {
            let error = refused("", &[(name, value)]);
            assert!(error.contains(expected) && error.contains(name), "{value}: {error}");
        }
    }
}
