//! The rules of [`Queue`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::{Clock, SystemClock};
use crate::conformance::{SHORT_LEASE, eventually};
use crate::id::JobId;
use crate::job::{Applied, Fence, Lane, Topic};
use crate::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};

/// Writes one test per rule of [`Queue`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! queue_conformance {
    ($fresh:expr) => {
        mod queue_rules {
            $crate::conformance_rules! { $fresh, queue {
                push_is_idempotent_by_id,
                nothing_is_given_out_early,
                highest_priority_then_earliest,
                a_leased_job_has_one_holder,
                an_ended_lease_is_given_out_again,
                a_stale_holder_changes_nothing,
                a_batch_is_acked_one_by_one,
                release_puts_it_back_for_later,
                remove_forgets,
                reserve_waits_for_a_push,
                skipped_lanes_wait,
                depth_counts_each_job_once,
                topics_are_apart,
                reservers_never_share_a_job,
                extending_keeps_the_lease,
            } }
        }
    };
}

/// The backend's clock may differ from ours by so much: what must be due is made due this long ago.
const SKEW: Duration = Duration::from_secs(2);

fn due(priority: i16) -> QueuedJob {
    at(SystemClock.now() - SKEW, priority)
}

fn at(run_at: DateTime<Utc>, priority: i16) -> QueuedJob {
    QueuedJob { id: JobId::new(), topic: Topic::publish(), lane: None, priority, run_at }
}

fn in_lane(lane: &str) -> QueuedJob {
    QueuedJob { lane: Some(Lane::from_raw(lane)), ..due(0) }
}

fn up_to(limit: usize) -> Reserve {
    Reserve::up_to(limit, Topic::publish())
}

async fn push(queue: &dyn Queue, jobs: &[QueuedJob]) {
    queue.push(jobs).await.expect("push");
}

async fn reserve(queue: &dyn Queue, reserve: &Reserve) -> Vec<Delivery> {
    queue.reserve(reserve).await.expect("reserve")
}

fn ids(deliveries: &[Delivery]) -> Vec<JobId> {
    deliveries.iter().map(|delivery| delivery.job.id).collect()
}

/// Acks one delivery.
async fn ack(queue: &dyn Queue, lease: &Lease) -> Applied {
    let answers = queue.ack(std::slice::from_ref(lease)).await.expect("ack");
    assert_eq!(answers.len(), 1, "one lease, one answer");
    answers[0]
}

/// Reserves exactly the one job that is there.
async fn the_one(queue: &dyn Queue, lease: Duration) -> Delivery {
    let mut got = reserve(queue, &up_to(10).leased_for(lease)).await;
    assert_eq!(got.len(), 1, "one job is there");
    got.remove(0)
}

/// Polls until the queue gives the job out again.
async fn given_again(queue: &dyn Queue, id: JobId) -> Delivery {
    eventually("the job is given out again", async || {
        let got = reserve(queue, &up_to(1)).await;
        got.into_iter().find(|delivery| delivery.job.id == id)
    })
    .await
}

/// `push` of an id that is already held changes nothing.
pub async fn push_is_idempotent_by_id(queue: Arc<dyn Queue>) {
    let job = due(3);
    push(&*queue, std::slice::from_ref(&job)).await;
    let later = SystemClock.now() + Duration::from_secs(60);
    push(&*queue, &[QueuedJob { priority: 9, run_at: later, ..job.clone() }, job.clone()]).await;

    let got = reserve(&*queue, &up_to(10)).await;
    assert_eq!(got.len(), 1, "one id, one delivery");
    assert_eq!(got[0].job, job, "as it was pushed first");
    assert_eq!(got[0].lease.job, job.id);

    push(&*queue, &[job]).await;
    assert!(reserve(&*queue, &up_to(10)).await.is_empty(), "it is held by a lease");
    push(&*queue, &[]).await;
}

/// Nothing is given out before its `run_at`.
pub async fn nothing_is_given_out_early(queue: Arc<dyn Queue>) {
    let far = at(SystemClock.now() + Duration::from_secs(600), 9);
    let soon = at(SystemClock.now() + Duration::from_millis(300), 0);
    push(&*queue, &[far, soon.clone()]).await;
    assert!(reserve(&*queue, &up_to(10)).await.is_empty(), "none is due");

    let got = given_again(&*queue, soon.id).await;

    assert!(SystemClock.now() + SKEW >= soon.run_at);
    assert_eq!(got.job, soon);
    assert!(reserve(&*queue, &up_to(10)).await.is_empty(), "the other one is not due");
}

/// Highest priority first, then the earliest `run_at`.
pub async fn highest_priority_then_earliest(queue: Arc<dyn Queue>) {
    let now = SystemClock.now();
    let before = |seconds| now - Duration::from_secs(seconds);
    let jobs = [
        at(before(10), 0),
        at(before(30), 0),
        at(before(10), 5),
        at(before(20), 5),
        at(before(99), -5),
    ];
    push(&*queue, &jobs).await;

    let mut order = Vec::new();
    for limit in [2, 1, 10] {
        order.extend(ids(&reserve(&*queue, &up_to(limit)).await));
    }

    let expected = [3, 2, 1, 0, 4].map(|n: usize| jobs[n].id);
    assert_eq!(order, expected);
}

/// A delivery has one holder until its lease ends.
pub async fn a_leased_job_has_one_holder(queue: Arc<dyn Queue>) {
    let job = due(0);
    push(&*queue, std::slice::from_ref(&job)).await;
    let held = the_one(&*queue, Duration::from_secs(60)).await;

    assert!(reserve(&*queue, &up_to(10)).await.is_empty(), "it has a holder");

    assert_eq!(ack(&*queue, &held.lease).await, Applied::Applied);
    assert!(reserve(&*queue, &up_to(10)).await.is_empty(), "it is forgotten");
    push(&*queue, std::slice::from_ref(&job)).await;
    assert_eq!(the_one(&*queue, SHORT_LEASE).await.job, job, "and may come back");
}

/// A delivery whose lease has ended is given out again, with a higher fence.
pub async fn an_ended_lease_is_given_out_again(queue: Arc<dyn Queue>) {
    let job = due(0);
    push(&*queue, std::slice::from_ref(&job)).await;
    let mut fences = vec![the_one(&*queue, SHORT_LEASE).await.lease.fence];

    for _ in 0..2 {
        let again = eventually("the lease ends", async || {
            reserve(&*queue, &up_to(10).leased_for(SHORT_LEASE)).await.pop()
        })
        .await;
        assert_eq!(again.job, job);
        fences.push(again.lease.fence);
    }

    assert!(fences.is_sorted_by(|a, b| a < b), "{fences:?}");
}

/// Only the current holder can ack, release or extend.
pub async fn a_stale_holder_changes_nothing(queue: Arc<dyn Queue>) {
    let job = due(0);
    push(&*queue, std::slice::from_ref(&job)).await;
    let old = the_one(&*queue, SHORT_LEASE).await.lease;
    let new = given_again(&*queue, job.id).await.lease;
    let later = SystemClock.now() + Duration::from_secs(600);

    assert_eq!(ack(&*queue, &old).await, Applied::Stale);
    assert_eq!(queue.release(&old, later).await.expect("release"), Applied::Stale);
    let answers = queue.extend(&[old.clone(), new.clone()], Duration::from_secs(60)).await;
    assert_eq!(answers.expect("extend"), [Applied::Stale, Applied::Applied]);

    assert_eq!(ack(&*queue, &new).await, Applied::Applied, "the holder still can");
    for lease in [old, new] {
        assert_ne!(ack(&*queue, &lease).await, Applied::Applied, "there is nothing left to ack");
    }
}

/// In a batch each lease stands for itself, and is answered in its place.
pub async fn a_batch_is_acked_one_by_one(queue: Arc<dyn Queue>) {
    let topic = Topic::notify();
    let other = QueuedJob { topic: topic.clone(), ..due(0) };
    let jobs = [due(3), due(2), due(1), due(0)];
    push(&*queue, &jobs).await;
    push(&*queue, std::slice::from_ref(&other)).await;
    let held: Vec<Lease> =
        reserve(&*queue, &up_to(3)).await.into_iter().map(|delivery| delivery.lease).collect();
    let reserve_other = Reserve::up_to(1, topic.clone());
    let of_other = reserve(&*queue, &reserve_other).await.remove(0).lease;
    let stale = Lease { fence: Fence(held[1].fence.0 - 1), ..held[1].clone() };
    let gone = Lease { job: JobId::new(), ..held[0].clone() };

    let batch = [held[2].clone(), stale, of_other, gone, held[0].clone()];
    let answers = queue.ack(&batch).await.expect("ack a batch");

    use Applied::{Applied as Done, Gone, Stale};
    assert_eq!(answers, [Done, Stale, Done, Gone, Done]);
    let depth = queue.depth(&Topic::publish()).await.expect("depth");
    assert_eq!((depth.ready, depth.leased), (1, 1), "what was not acked is still there");
    assert_eq!(queue.depth(&topic).await.expect("depth"), Depth::default());
    assert_eq!(ack(&*queue, &held[1]).await, Done, "its holder still can");
    assert!(queue.ack(&[]).await.expect("ack nothing").is_empty());
}

/// `release` puts the job back, due at the given time.
pub async fn release_puts_it_back_for_later(queue: Arc<dyn Queue>) {
    let job = due(4);
    push(&*queue, std::slice::from_ref(&job)).await;
    let held = the_one(&*queue, Duration::from_secs(60)).await.lease;
    let run_at = SystemClock.now() + Duration::from_millis(300);

    assert_eq!(queue.release(&held, run_at).await.expect("release"), Applied::Applied);

    let again = queue.release(&held, run_at).await.expect("release");
    assert_ne!(again, Applied::Applied, "the right to it is gone");
    assert!(reserve(&*queue, &up_to(1)).await.is_empty(), "not due yet");
    let got = given_again(&*queue, job.id).await;
    assert!(SystemClock.now() + SKEW >= run_at);
    assert_eq!((got.job.priority, got.job.lane), (4, None));
    assert!(got.lease.fence > held.fence);
}

/// `remove` forgets a job, leased or not; what is not there is no error.
pub async fn remove_forgets(queue: Arc<dyn Queue>) {
    let (leased, waiting, kept) = (due(9), due(1), due(0));
    push(&*queue, &[leased.clone(), waiting.clone(), kept.clone()]).await;
    let held = reserve(&*queue, &up_to(1)).await.remove(0);
    assert_eq!(held.job.id, leased.id);

    queue
        .remove(&Topic::publish(), &[leased.id, waiting.id, JobId::new()])
        .await
        .expect("remove, and what is not there");

    assert_ne!(ack(&*queue, &held.lease).await, Applied::Applied);
    assert_eq!(ids(&reserve(&*queue, &up_to(10)).await), [kept.id]);
    let depth = queue.depth(&Topic::publish()).await.expect("depth");
    assert_eq!((depth.ready, depth.delayed, depth.leased), (0, 0, 1));
}

/// A waiting `reserve` returns soon after a due job is pushed, and at the end of its wait at the
/// latest.
pub async fn reserve_waits_for_a_push(queue: Arc<dyn Queue>) {
    let start = tokio::time::Instant::now();
    let none = reserve(&*queue, &up_to(1).waiting(Duration::from_millis(200))).await;
    assert!(none.is_empty());
    assert!(start.elapsed() >= Duration::from_millis(150), "it waited");
    assert!(start.elapsed() < Duration::from_secs(5), "no longer than it was told");

    for run_in in [Duration::ZERO, Duration::from_millis(300)] {
        let waiter = tokio::spawn({
            let queue = queue.clone();
            async move { reserve(&*queue, &up_to(1).waiting(Duration::from_secs(30))).await }
        });
        tokio::task::yield_now().await;
        let job = at(SystemClock.now() + run_in, 0);
        push(&*queue, std::slice::from_ref(&job)).await;
        let got = tokio::time::timeout(Duration::from_secs(10), waiter)
            .await
            .expect("long before the end of the wait")
            .expect("the waiter ends well");
        assert_eq!(ids(&got), [job.id]);
    }
}

/// Lanes that are to be skipped are skipped, and cost the others nothing.
pub async fn skipped_lanes_wait(queue: Arc<dyn Queue>) {
    let noisy: Vec<_> = (0..200).map(|_| in_lane("x/noisy")).collect();
    let (quiet, other) = (in_lane("x/quiet"), in_lane("y/noisy"));
    push(&*queue, &noisy).await;
    push(&*queue, &[quiet.clone(), other.clone(), due(0)]).await;

    let one = reserve(&*queue, &up_to(2).skipping(vec!["x/".to_owned()])).await;
    assert_eq!(one.len(), 2, "the other app and the job without a lane");
    assert!(one.iter().all(|got| got.job.id == other.id || got.job.lane.is_none()));

    let skip = vec!["x/noisy".to_owned()];
    assert_eq!(ids(&reserve(&*queue, &up_to(10).skipping(skip)).await), [quiet.id]);
    assert_eq!(reserve(&*queue, &up_to(300)).await.len(), 200, "they waited");
}

/// `depth` counts each job once.
pub async fn depth_counts_each_job_once(queue: Arc<dyn Queue>) {
    let later = SystemClock.now() + Duration::from_secs(600);
    push(&*queue, &[due(2), due(1), due(0), at(later, 0), at(later, 0)]).await;
    let held = reserve(&*queue, &up_to(1)).await.remove(0);

    let depth = queue.depth(&Topic::publish()).await.expect("depth");
    assert_eq!((depth.ready, depth.delayed, depth.leased), (2, 2, 1));

    assert_eq!(queue.release(&held.lease, later).await.expect("release"), Applied::Applied);
    let depth = queue.depth(&Topic::publish()).await.expect("depth");
    assert_eq!((depth.ready, depth.delayed, depth.leased), (2, 3, 0));
    reserve(&*queue, &up_to(1).leased_for(SHORT_LEASE)).await;
    eventually("the lease ends, and the job is ready again", async || {
        let depth = queue.depth(&Topic::publish()).await.expect("depth");
        assert_eq!(depth.ready + depth.leased, 2, "once in either");
        (depth.leased == 0).then_some(())
    })
    .await;
    let other = queue.depth(&Topic::notify()).await.expect("depth of an empty topic");
    assert_eq!((other.ready, other.delayed, other.leased), (0, 0, 0));
}

/// Topics do not see one another.
pub async fn topics_are_apart(queue: Arc<dyn Queue>) {
    let publish = due(0);
    let notify = QueuedJob { topic: Topic::notify(), ..due(9) };
    push(&*queue, &[publish.clone(), notify.clone()]).await;

    queue.remove(&Topic::notify(), &[publish.id]).await.expect("remove from another topic");

    assert_eq!(ids(&reserve(&*queue, &up_to(10)).await), [publish.id]);
    let got = reserve(&*queue, &Reserve::up_to(10, Topic::notify())).await;
    assert_eq!(ids(&got), [notify.id]);
    assert_eq!(got[0].lease.topic, Topic::notify());
}

/// However many reserve at once, a job goes to one of them.
pub async fn reservers_never_share_a_job(queue: Arc<dyn Queue>) {
    let jobs: Vec<_> = (0..120).map(|n| due(n % 3)).collect();
    push(&*queue, &jobs).await;
    let mut reservers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let queue = queue.clone();
        reservers.spawn(async move {
            let mut got = Vec::new();
            loop {
                let some = reserve(&*queue, &up_to(7)).await;
                if some.is_empty() {
                    return got;
                }
                got.extend(ids(&some));
            }
        });
    }

    let got = reservers.join_all().await.concat();

    assert_eq!(got.len(), jobs.len(), "each once");
    assert_eq!(got.iter().collect::<BTreeSet<_>>().len(), jobs.len(), "none twice");
}

/// An extended lease ends later.
pub async fn extending_keeps_the_lease(queue: Arc<dyn Queue>) {
    let job = due(0);
    push(&*queue, std::slice::from_ref(&job)).await;
    let held = the_one(&*queue, SHORT_LEASE).await.lease;
    let ends = tokio::time::Instant::now() + SHORT_LEASE * 2;

    let answers = queue.extend(std::slice::from_ref(&held), Duration::from_secs(60)).await;
    assert_eq!(answers.expect("extend"), [Applied::Applied]);

    while tokio::time::Instant::now() < ends {
        assert!(reserve(&*queue, &up_to(1)).await.is_empty(), "it was extended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(ack(&*queue, &held).await, Applied::Applied);
}
