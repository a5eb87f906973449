//! How a job is written as a member of a sorted set: so that the order of bytes is the order in which
//! jobs go.
//!
//! | bytes | what |
//! |---|---|
//! | 5 | rank: 32767 less the priority, so that a higher priority comes first |
//! | 16 | `run_at` in microseconds, in hex, shifted so that times before 1970 come first |
//! | 32 | the id, in hex |
//! | the rest | `-`, or `+` and the lane |
//!
//! Under a lease 16 digits precede it: the fence.

use chrono::{DateTime, Utc};
use postq_core::error::ErrorKind;
use postq_core::id::JobId;
use postq_core::job::{Fence, Lane, Topic};
use postq_core::queue::{Delivery, Lease, QueuedJob};
use uuid::Uuid;

use crate::error::Fault;

/// The job as a member.
pub(crate) fn member(job: &QueuedJob) -> String {
    let rank = i32::from(i16::MAX) - i32::from(job.priority);
    let lane = job.lane.as_ref().map_or("-".to_owned(), |lane| format!("+{}", lane.as_str()));
    format!("{rank:05}{}{}{lane}", time(micros(job.run_at)), id(job.id))
}

/// The id as members have it.
pub(crate) fn id(job: JobId) -> String {
    job.as_uuid().simple().to_string()
}

/// The fence as leases have it.
pub(crate) fn fence(fence: Fence) -> String {
    format!("{:016}", fence.0)
}

/// Whole microseconds, rounded up: nothing goes out early.
pub(crate) fn micros(time: DateTime<Utc>) -> i64 {
    let part = i64::from(!time.timestamp_subsec_nanos().is_multiple_of(1_000));
    time.timestamp_micros().saturating_add(part)
}

const SHIFT: u64 = 1 << 63;

/// The time as members have it.
pub(crate) fn time(micros: i64) -> String {
    format!("{:016x}", micros.cast_unsigned() ^ SHIFT)
}

/// Reads what was given out.
pub(crate) fn delivery(leased: &str, topic: &Topic) -> Result<Delivery, Fault> {
    parse(leased, topic).ok_or_else(|| {
        let what =
            format!("a member of the queue cannot be read: {leased:?}; delete the queue's keys");
        Fault::Refused(ErrorKind::Internal, what)
    })
}

fn parse(leased: &str, topic: &Topic) -> Option<Delivery> {
    let fence = Fence(leased.get(..16)?.parse().ok()?);
    let rank: i32 = leased.get(16..21)?.parse().ok()?;
    let micros = (u64::from_str_radix(leased.get(21..37)?, 16).ok()? ^ SHIFT).cast_signed();
    let id = JobId::from_uuid(Uuid::try_parse(leased.get(37..69)?).ok()?);
    let lane = match leased.get(69..70)? {
        "+" => Some(Lane::from_raw(leased.get(70..)?)),
        _ => None,
    };
    let job = QueuedJob {
        id,
        topic: topic.clone(),
        lane,
        priority: i16::try_from(i32::from(i16::MAX) - rank).ok()?,
        run_at: DateTime::from_timestamp_micros(micros)?,
    };
    Some(Delivery { lease: Lease { job: id, topic: topic.clone(), fence }, job })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(priority: i16, micros: i64) -> QueuedJob {
        let run_at = DateTime::from_timestamp_micros(micros).unwrap();
        QueuedJob { id: JobId::new(), topic: Topic::publish(), lane: None, priority, run_at }
    }

    #[test]
    fn members_sort_as_jobs_go() {
        let order = [
            job(i16::MAX, 0),
            job(5, i64::MIN / 2),
            job(5, -1),
            job(5, 0),
            job(5, 1),
            job(5, 1_800_000_000_000_000),
            job(0, 7),
            job(-1, 7),
            job(i16::MIN, 7),
        ]
        .map(|job| member(&job));

        assert!(order.is_sorted(), "{order:#?}");
    }

    #[test]
    fn what_is_written_is_read() {
        let lane = Some(Lane::from_raw("x/ä+-"));
        for job in [job(-32_768, -5), QueuedJob { lane, ..job(7, 1_800_000_000_123_456) }] {
            let leased = format!("{}{}", fence(Fence(42)), member(&job));

            let delivery = delivery(&leased, &job.topic).unwrap();

            assert_eq!(delivery.job, job);
            assert_eq!((delivery.lease.job, delivery.lease.fence), (job.id, Fence(42)));
        }
    }

    #[test]
    fn what_makes_no_sense_is_an_error_and_no_panic() {
        for text in ["", "x", &"ä".repeat(40), &"0".repeat(69)] {
            assert!(delivery(text, &Topic::publish()).is_err(), "{text:?}");
        }
    }
}
