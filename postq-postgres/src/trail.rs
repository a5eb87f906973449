//! The trail of a job: its history, kept in its row.

use chrono::{DateTime, Utc};
use postq_core::id::{JobId, NodeId};
use postq_core::job::{Fence, JobEvent};
use postq_core::machine::JobState;
use uuid::Uuid;

use crate::error::Fault;
use crate::rows::kept;

/// A trail longer than this goes to a row of its own, and the job's row begins a new one.
pub(crate) const LONG: usize = 4_000;

/// An event as it is kept: microseconds, from, to, fence, node, reason.
type Kept = (i64, Option<JobState>, JobState, u64, Option<Uuid>, Option<String>);

/// JSON arrays, comma-separated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trail(pub(crate) String);

impl Trail {
    /// Adds an event.
    pub(crate) fn add(
        &mut self,
        at: DateTime<Utc>,
        from: Option<JobState>,
        to: JobState,
        fence: Fence,
        node: Option<NodeId>,
        reason: Option<&str>,
    ) -> Result<(), Fault> {
        let node = node.map(NodeId::as_uuid);
        let event = (at.timestamp_micros(), from, to, fence.0, node, reason.map(kept));
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&serde_json::to_string(&event)?);
        Ok(())
    }

    /// What no longer fits, if it is time for that: the trail is empty then.
    pub(crate) fn spill(&mut self) -> Option<String> {
        (self.0.len() > LONG).then(|| std::mem::take(&mut self.0))
    }

    /// The events, oldest first.
    pub(crate) fn events(&self, job: JobId) -> Result<Vec<JobEvent>, Fault> {
        let events: Vec<Kept> = serde_json::from_str(&format!("[{}]", self.0))?;
        let read = |(at, from, to, fence, node, reason): Kept| {
            let at = DateTime::from_timestamp_micros(at)
                .ok_or_else(|| Fault::Unreadable(format!("{at} microseconds is no time")))?;
            let node = node.map(NodeId::from_uuid);
            Ok(JobEvent { job, at, from, to, fence: Fence(fence), node, reason })
        };
        events.into_iter().map(read).collect()
    }
}

/// A trail with an event more, as SQL. All but `to` are expressions; `reason` is one of JSON.
pub(crate) fn added_in_sql(
    trail: &str,
    now: &str,
    from: &str,
    to: JobState,
    fence: &str,
    node: &str,
    reason: &str,
) -> String {
    format!(
        "CASE WHEN {trail} = '' THEN '' ELSE {trail} || ',' END
         || '[' || (extract(epoch FROM {now}) * 1000000)::bigint || ',\"' || {from}
         || '\",\"{to}\",' || ({fence}) || ',\"' || {node} || '\",' || {reason} || ']'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_back_in_order() {
        let (job, node) = (JobId::new(), NodeId::new());
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        let mut trail = Trail::default();
        trail.add(at, None, JobState::Planned, Fence(0), None, None).unwrap();
        let reason = Some("odd \" ' \n \u{0} 🦉");
        let to = JobState::Enqueued;
        trail.add(at, Some(JobState::Planned), to, Fence(u64::MAX), Some(node), reason).unwrap();

        let events = trail.events(job).unwrap();

        let first = JobEvent {
            job,
            at,
            from: None,
            to: JobState::Planned,
            fence: Fence(0),
            node: None,
            reason: None,
        };
        let second = JobEvent {
            from: Some(JobState::Planned),
            to,
            fence: Fence(u64::MAX),
            node: Some(node),
            reason: Some("odd \" ' \n \u{FFFD} 🦉".to_owned()),
            ..first.clone()
        };
        assert_eq!(events, [first, second]);
    }

    #[test]
    fn a_long_trail_spills_over() {
        let mut trail = Trail("x".repeat(LONG));
        assert_eq!(trail.spill(), None);
        trail.0.push('y');

        assert_eq!(trail.spill().map(|spilt| spilt.len()), Some(LONG + 1));
        assert_eq!(trail, Trail::default());
    }
}
