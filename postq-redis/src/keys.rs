//! The names of the keys: `{prefix}:v1:…`. What is in braces decides the slot of a cluster, so that all
//! are in one; the version keeps a later format from meeting this one.

use std::time::Duration;

use postq_core::error::ErrorKind;
use postq_core::job::Topic;

use crate::error::Fault;

/// The longest prefix.
const LONGEST: usize = 100;

/// The longest that a key may last, in seconds: more than any use of one, less than Redis can count.
pub(crate) const LONGEST_TTL: u64 = 100 * 365 * 86_400;

/// How long a key lasts, in milliseconds: at least one.
pub(crate) fn millis(ttl: Duration) -> u64 {
    let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    millis.clamp(1, LONGEST_TTL * 1_000)
}

/// Names keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    base: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Result<Self, Fault> {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"{}*?[]\\".contains(&byte);
        if prefix.is_empty() || prefix.len() > LONGEST || !prefix.bytes().all(fits) {
            let what = format!(
                "the prefix is {prefix:?}, expected 1 to {LONGEST} visible ASCII characters other than \
                 {{}}*?[]\\"
            );
            return Err(Fault::Refused(ErrorKind::Invalid, what));
        }
        Ok(Self { base: format!("{{{prefix}}}:v1:") })
    }

    /// Something that there is once.
    pub(crate) fn one(&self, what: &str) -> String {
        format!("{}{what}", self.base)
    }

    /// Something that there is per name.
    pub(crate) fn of(&self, what: &str, name: &str) -> String {
        format!("{}{what}:{name}", self.base)
    }

    pub(crate) fn of_topic(&self, topic: &Topic) -> TopicKeys {
        let key = |what: &str| format!("{}queue:{}:{what}", self.base, topic.as_str());
        TopicKeys {
            jobs: key("jobs"),
            ready: key("ready"),
            later: key("later"),
            leases: key("leases"),
        }
    }
}

/// The keys of a topic.
#[derive(Clone, Debug)]
pub(crate) struct TopicKeys {
    /// A hash: id -> fence and member. A job is held if it is in here.
    pub(crate) jobs: String,
    /// A sorted set of members, in the order in which they go: due and free.
    pub(crate) ready: String,
    /// A sorted set of members by their time: not due when they came.
    pub(crate) later: String,
    /// A sorted set of fence and member, by the end of the lease: given out.
    pub(crate) leases: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_would_break_the_slot_is_refused() {
        for prefix in ["", "a}b", "{a", "a b", "a*", &"a".repeat(101)] {
            assert!(Keys::new(prefix).is_err(), "{prefix:?}");
        }
        let keys = Keys::new("my:app").unwrap();
        assert_eq!(keys.of("lock", "k{1}"), "{my:app}:v1:lock:k{1}");
        assert_eq!(keys.of_topic(&Topic::publish()).jobs, "{my:app}:v1:queue:publish:jobs");
    }
}
