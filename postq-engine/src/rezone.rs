//! Bringing schedules in line with a new zone database.
//!
//! What was resolved with another version and is not yet due is resolved again, once after a start: a
//! local time keeps what its clocks show, a rule goes on with the occurrence that took the next one's
//! place. What moved is logged.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use postq_calendar::{At, Rule, zone};
use postq_core::backend::Backend;
use postq_core::error::StoreError;
use postq_core::feed::Only;
use postq_core::id::TenantId;
use postq_core::machine::JobState;
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::{Edited, JobFilter, Page, ScheduleEdit};
use tokio_util::sync::CancellationToken;

use crate::engine::Shared;
use crate::planner::SLOW_SWEEP;

/// Schedules on one page, and ids in one query.
const PAGE: usize = 500;

/// How far back the occurrence may be that took another one's place: no zone was ever moved by more
/// than a day. The nearest is looked for first, for a rule may be as close as a second.
const BACK: [TimeDelta; 3] = [TimeDelta::hours(1), TimeDelta::hours(4), TimeDelta::hours(26)];

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rezoned {
    /// Schedules that another version had resolved.
    pub(crate) stale: u64,
    /// Those of them that come at another instant now.
    pub(crate) moved: u64,
}

/// Does it once; what the store could not is tried again until then.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let tenant = shared.settings.desk.tenant;
    loop {
        let pause = match rezone(&shared.backend, tenant, &shared.settings.only).await {
            Ok(Rezoned { stale: 0, .. }) => return,
            Ok(Rezoned { stale, moved }) => {
                let tzdb = zone::tzdb_version();
                tracing::info!(tzdb, stale, moved, "schedules resolved with the new zone database");
                return;
            }
            Err(error) => {
                let error = postq_core::error::chain(&error);
                tracing::warn!(error, "schedules not resolved with the new zone database yet");
                tokio::time::sleep(shared.jittered(SLOW_SWEEP))
            }
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = pause => {}
        }
    }
}

/// Resolves again what another version of the zone database resolved.
pub(crate) async fn rezone(
    backend: &Backend,
    tenant: TenantId,
    only: &Only,
) -> Result<Rezoned, StoreError> {
    let mut done = Rezoned::default();
    match only {
        Only::Jobs(_) => {}
        Only::Schedules(ids) => {
            let ids: Vec<_> = ids.iter().copied().collect();
            for ids in ids.chunks(PAGE) {
                page(backend, backend.schedules.load(ids).await?, &mut done).await?;
            }
        }
        Only::Any => {
            let mut next = Page::first(PAGE);
            loop {
                let schedules = backend.schedules.list(tenant, next).await?;
                let last = schedules.last().filter(|_| schedules.len() >= PAGE);
                next.after = last.map(|schedule| schedule.id.as_uuid());
                page(backend, schedules, &mut done).await?;
                if next.after.is_none() {
                    break;
                }
            }
        }
    }
    Ok(done)
}

async fn page(
    backend: &Backend,
    schedules: Vec<Schedule>,
    done: &mut Rezoned,
) -> Result<(), StoreError> {
    let tzdb = zone::tzdb_version();
    for schedule in schedules {
        let Some(tz) = schedule.tz.clone() else { continue };
        if schedule.tzdb.as_deref() == Some(tzdb) {
            continue;
        }
        let now = backend.jobs.now().await?;
        let planned = first_planned(backend, &schedule, now).await?;
        let timing = moved(&schedule, planned, now);
        let edit = ScheduleEdit {
            tz: Some((tz.clone(), tzdb.to_owned())),
            timing: timing.clone(),
            ..ScheduleEdit::default()
        };
        // Whoever edited it meanwhile resolved it with the database of today; what is being published
        // is due, and its schedule is looked at with the next start.
        let edited = backend.schedules.edit(schedule.id, schedule.revision, &edit).await?;
        let Edited::Applied { .. } = edited else { continue };
        done.stale += 1;
        if let Some((_, to)) = timing {
            done.moved += 1;
            let show = |at| zone::show(at, Some(&tz));
            tracing::warn!(
                schedule_id = %schedule.id,
                from = planned.into_iter().chain(schedule.next_run_at).min().map(show),
                to = to.map(show),
                was = schedule.tzdb,
                tzdb,
                "schedule moved by the new zone database"
            );
        }
    }
    Ok(())
}

/// The earliest moment that is planned and not yet due.
async fn first_planned(
    backend: &Backend,
    schedule: &Schedule,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let filter = JobFilter {
        schedules: Some(vec![schedule.id]),
        states: vec![JobState::Planned, JobState::Enqueued],
        ..JobFilter::default()
    };
    let jobs = backend.jobs.list(schedule.tenant_id, &filter, Page::first(PAGE)).await?;
    Ok(jobs.iter().map(|job| job.made.planned_at).filter(|at| *at > now).min())
}

/// The timing and the next occurrence by today's database; none if nothing moves.
fn moved(
    schedule: &Schedule,
    planned: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<(Timing, Option<DateTime<Utc>>)> {
    let tz = schedule.tz.as_deref();
    let next = planned.into_iter().chain(schedule.next_run_at).min();
    match &schedule.timing {
        Timing::OneShot { at, local: Some(local) } => {
            let means = At::parse(local, tz).ok()?.instant(now).ok()?;
            let moves = *at > now && means != *at;
            let timing = Timing::OneShot { at: means, local: Some(local.clone()) };
            // One that is over stays so.
            moves.then(|| (timing, next.map(|_| means)))
        }
        timing @ (Timing::Cron { .. } | Timing::Rrule { .. }) => {
            let next = next.filter(|next| *next > now)?;
            // What cannot be read is told by the planner.
            let rule = Rule::new(timing, tz).ok()?;
            let after = rule.next(Some(next - TimeDelta::microseconds(1)));
            if after == Some(next) {
                return None;
            }
            let out = schedule.last_run_at.filter(|last| *last < next);
            let earliest = out.into_iter().chain([now]).max().unwrap_or(now);
            // One that is nearer to what went out last took that one's place: it is out.
            let is_next =
                |before: &DateTime<Utc>| out.is_none_or(|out| next - *before < *before - out);
            let before = last_before(&rule, earliest, next).filter(is_next);
            Some((timing.clone(), nearest(next, before, after)))
        }
        _ => None,
    }
}

/// The last occurrence between two moments, if it is near to the later one.
fn last_before(
    rule: &Rule,
    earliest: DateTime<Utc>,
    latest: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    BACK.iter().find_map(|back| {
        let from = earliest.max(latest - *back);
        rule.after(Some(from)).take_while(|at| *at < latest).last()
    })
}

/// Which of the two took a moment's place.
fn nearest(
    moment: DateTime<Utc>,
    before: Option<DateTime<Utc>>,
    after: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    match (before, after) {
        (Some(before), Some(after)) if after - moment < moment - before => Some(after),
        (before, after) => before.or(after),
    }
}

#[cfg(test)]
mod tests {
    use postq_core::account::Account;
    use postq_core::clock::{Clock, TokioClock};
    use postq_core::content::{Content, Post};
    use postq_core::id::NodeId;
    use postq_core::memory::MemoryBackend;
    use postq_core::schedule::Resolver;
    use postq_core::store::PlanRequest;

    use super::*;

    /// A store at 2026-03-01T00:00:00Z, with schedules that an older database resolved.
    async fn store(schedules: impl IntoIterator<Item = Schedule>) -> Backend {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(at("2026-03-01T00:00:00Z")));
        let backend = MemoryBackend::new(clock).backend();
        let now = at("2026-03-01T00:00:00Z");
        let account = Account::new("acme", "dry_run".parse().unwrap(), now);
        let post = Post::new(Content::text("hello"), now);
        backend.accounts.insert(&account).await.unwrap();
        backend.posts.insert(std::slice::from_ref(&post)).await.unwrap();
        for mut schedule in schedules {
            (schedule.post_id, schedule.accounts) = (post.id, vec![account.id]);
            backend.schedules.insert(&[schedule]).await.unwrap();
        }
        backend
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn old(timing: Timing, next: &str) -> Schedule {
        let post = postq_core::id::PostId::new();
        let mut schedule = Schedule::new(post, Vec::new(), timing, at("2026-02-01T00:00:00Z"));
        schedule.tz = Some("Europe/Berlin".to_owned());
        schedule.tzdb = Some("2000a".to_owned());
        schedule.next_run_at = Some(at(next));
        schedule
    }

    fn nine_daily() -> Timing {
        Timing::Cron { expr: "0 9 * * *".to_owned(), from: None, count: None, until: None }
    }

    fn nine_once(when: &str) -> Timing {
        Timing::OneShot { at: at(when), local: Some("2026-03-03T09:00:00".to_owned()) }
    }

    async fn load(backend: &Backend, schedule: &Schedule) -> Schedule {
        backend.schedules.load(&[schedule.id]).await.unwrap().remove(0)
    }

    async fn rezone_all(backend: &Backend) -> Rezoned {
        rezone(backend, TenantId::DEFAULT, &Only::Any).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_database_resolved_is_resolved_again() {
        // Berlin is an hour before UTC in March; the old database had it two hours before, or none.
        let later = old(nine_daily(), "2026-03-02T07:00:00Z");
        let earlier = old(nine_daily(), "2026-03-02T09:00:00Z");
        let paused = old(nine_daily(), "2026-05-04T08:00:00Z");
        let same = old(nine_daily(), "2026-03-02T08:00:00Z");
        let once = old(nine_once("2026-03-03T07:00:00Z"), "2026-03-03T07:00:00Z");
        let interval = Timing::Interval {
            every: std::time::Duration::from_secs(3_600),
            anchor: at("2026-03-02T07:00:00Z"),
            count: None,
            until: None,
        };
        let even = old(interval, "2026-03-02T07:00:00Z");
        let all = [&later, &earlier, &paused, &same, &once, &even];
        let backend = store(all.map(Clone::clone)).await;

        let done = rezone_all(&backend).await;

        assert_eq!(done, Rezoned { stale: 6, moved: 4 });
        let times = [
            "2026-03-02T08:00:00Z",
            "2026-03-02T08:00:00Z",
            "2026-05-04T07:00:00Z",
            "2026-03-02T08:00:00Z",
            "2026-03-03T08:00:00Z",
            "2026-03-02T07:00:00Z",
        ];
        for (schedule, next) in all.into_iter().zip(times) {
            let schedule = load(&backend, schedule).await;
            assert_eq!(schedule.next_run_at, Some(at(next)), "{:?}", schedule.timing);
            assert_eq!(schedule.tzdb.as_deref(), Some(zone::tzdb_version()));
        }
        let timing = load(&backend, &once).await.timing;
        assert_eq!(timing, nine_once("2026-03-03T08:00:00Z"));
        assert_eq!(rezone_all(&backend).await, Rezoned::default(), "once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_or_over_stays() {
        let due = old(nine_daily(), "2026-02-28T07:00:00Z");
        let over = Schedule {
            next_run_at: None,
            ..old(nine_once("2026-02-27T07:00:00Z"), "2026-02-27T07:00:00Z")
        };
        let backend = store([due.clone(), over.clone()]).await;

        assert_eq!(rezone_all(&backend).await, Rezoned { stale: 2, moved: 0 });

        assert_eq!(load(&backend, &due).await.next_run_at, due.next_run_at);
        assert_eq!(load(&backend, &over).await.timing, over.timing);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_does_it_when_it_starts() {
        let schedule = old(nine_daily(), "2026-03-02T07:00:00Z");
        let backend = store([schedule.clone()]).await;
        let engine = crate::Engine::builder(backend.clone()).build().unwrap();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let (engine, shutdown) = (engine.clone(), shutdown.clone());
            async move { engine.run(shutdown).await }
        });

        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        shutdown.cancel();
        running.await.unwrap();

        let next = load(&backend, &schedule).await.next_run_at;
        assert_eq!(next, Some(at("2026-03-02T08:00:00Z")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_out_does_not_come_again() {
        // The last one went out at 09:00 by the old database, which is 08:00 by this one's clocks; the
        // next one, the last of all, would come after the end.
        let mut last = old(nine_daily(), "2026-03-02T07:00:00Z");
        last.last_run_at = Some(at("2026-03-01T07:00:00Z"));
        let until = Some(at("2026-03-02T07:30:00Z"));
        last.timing = Timing::Cron { expr: "0 9 * * *".to_owned(), from: None, count: None, until };
        let backend = store([last.clone()]).await;

        assert_eq!(rezone_all(&backend).await, Rezoned { stale: 1, moved: 1 });

        assert_eq!(load(&backend, &last).await.next_run_at, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_planned_and_not_due_moves_too() {
        let schedule = old(nine_daily(), "2026-03-01T07:00:00Z");
        let backend = store([schedule.clone()]).await;
        let resolver: Arc<dyn Resolver> = Arc::new(Wrong);
        let mut request = PlanRequest::new(NodeId::new());
        request.look_ahead = std::time::Duration::from_secs(8 * 3_600);
        backend.schedules.plan(&request, &resolver).await.unwrap();

        assert_eq!(rezone_all(&backend).await, Rezoned { stale: 1, moved: 1 });

        let filter = JobFilter::default();
        let jobs = backend.jobs.list(TenantId::DEFAULT, &filter, Page::first(9)).await.unwrap();
        assert_eq!(jobs.iter().map(|job| job.state).collect::<Vec<_>>(), [JobState::Cancelled]);
        let next = load(&backend, &schedule).await.next_run_at;
        assert_eq!(next, Some(at("2026-03-01T08:00:00Z")));
    }

    /// A resolver with a database in which Berlin is two hours before UTC.
    #[derive(Debug)]
    struct Wrong;

    impl Resolver for Wrong {
        fn next(
            &self,
            _: &Schedule,
            _: Option<DateTime<Utc>>,
        ) -> Result<Option<DateTime<Utc>>, postq_core::error::ScheduleError> {
            Ok(Some(at("2026-03-02T07:00:00Z")))
        }

        fn resolve(
            &self,
            schedule: &Schedule,
            _: postq_core::schedule::ResolveRequest,
        ) -> Result<postq_core::schedule::Resolved, postq_core::error::ScheduleError> {
            use postq_core::schedule::{Occurrence, Resolved, Verdict};
            let planned_at = schedule.next_run_at.unwrap();
            Ok(Resolved {
                occurrences: vec![Occurrence { planned_at, verdict: Verdict::Fire }],
                next_run_at: Some(at("2026-03-02T07:00:00Z")),
            })
        }
    }
}
