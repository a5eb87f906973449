//! `/api/dead-letters`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use postq_core::id::{AccountId, JobId, PostId};
use postq_core::job::{DeadReason, Job};
use postq_core::machine::JobState;
use postq_core::store::{Controlled, JobFilter, Page, ReplayKey, Replayed};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::{accounts, jobs};
use crate::extract::{Body, Id, OptionalBody, Query};
use crate::paging::{Listed, MOST, Way, paged};
use crate::problem::{Code, Problem};
use crate::router::{Route, route};
use crate::views::job::{
    BulkReplay, BulkReplayed, Cause, Causes, JobView, Replay, ReplayedBy, Resolve,
};
use crate::web::{App, Shared};

/// Letters on one page of the store.
const PAGE: usize = 500;

/// Pages that are counted, or looked through, for one answer.
const MOST_PAGES: usize = 20;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(list));
    add(route!(causes));
    add(route!(replay_all));
    add(route!(replay));
    add(route!(resolve));
}

/// Which dead letters are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Of this account, by name or id.
    account: Option<String>,
    /// Also those that were dealt with.
    #[serde(default)]
    all: bool,
    /// At most so many; 50 if left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before; from the start if left out.
    cursor: Option<String>,
    /// Which way the list goes; `oldest` first if left out. A cursor goes on the way of its page.
    #[param(inline)]
    order: Option<Way>,
}

/// Lists what gave up and nobody has dealt with.
#[utoipa::path(get, path = "/api/dead-letters", tag = "dead letters", params(Wanted),
    operation_id = "list_dead_letters", security(("token" = ["read"])),
    responses((status = 200, description = "a page", body = Listed<JobView>)))]
async fn list(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Listed<JobView>>, Problem> {
    let page = paged(wanted.limit, wanted.cursor.as_deref(), wanted.order)?;
    let mut filter = letters();
    filter.unresolved = !wanted.all;
    jobs::listed(&app, page, filter, wanted.account.as_deref()).await
}

/// Counts what gave up and nobody has dealt with, by cause and account.
#[utoipa::path(get, path = "/api/dead-letters/causes", tag = "dead letters",
    operation_id = "dead_letter_causes", security(("token" = ["read"])),
    responses((status = 200, description = "the most frequent first", body = Causes)))]
async fn causes(State(app): State<App>) -> Result<Json<Causes>, Problem> {
    let mut found: BTreeMap<(Option<&'static str>, Option<AccountId>), Cause> = BTreeMap::new();
    let partial = walk(&app, &letters(), |job| {
        let key = (job.dead_reason.map(DeadReason::as_str), job.made.account_id);
        let count = found.get(&key).map_or(0, |cause| cause.count) + 1;
        let cause = Cause {
            dead_reason: job.dead_reason,
            account_id: job.made.account_id.map(|id| id.as_uuid()),
            count,
            example: job.id().as_uuid(),
            reason: job.reason,
        };
        found.insert(key, cause);
        true
    })
    .await?;
    let mut items: Vec<Cause> = found.into_values().collect();
    items.sort_by_key(|cause| std::cmp::Reverse(cause.count));
    Ok(Json(Causes { items, partial }))
}

/// Replays a dead letter: a new job takes its place, due now.
///
/// It looks on the platform before it sends, unless `send_again` says not to. Again answers the same
/// job.
#[utoipa::path(post, path = "/api/dead-letters/{id}/replay", tag = "dead letters",
    params(("id" = Uuid, Path)), operation_id = "replay_dead_letter",
    request_body(content = Option<Replay>), security(("token" = ["write"])),
    responses((status = 200, description = "the job that takes its place", body = ReplayedBy)))]
async fn replay(
    State(app): State<App>,
    Id(id): Id<JobId>,
    OptionalBody(how): OptionalBody<Replay>,
) -> Result<Json<ReplayedBy>, Problem> {
    jobs::story(&app, id).await?;
    let key = if how.send_again { ReplayKey::New } else { ReplayKey::Keep };
    match app.web.engine.backend().control.replay(id, key).await? {
        Replayed::By(job) => Ok(Json(ReplayedBy { letter: id.as_uuid(), job: job.as_uuid() })),
        Replayed::Refused => {
            let story = jobs::story(&app, id).await?;
            Err(refused(&story.job))
        }
        Replayed::Gone => Err(Problem::not_found(format_args!("job {id}"))),
    }
}

/// Replays all dead letters that a filter names.
///
/// Those whose outcome is unknown are left out: each of them needs a person.
#[utoipa::path(post, path = "/api/dead-letters/replay", tag = "dead letters",
    operation_id = "replay_dead_letters", request_body(content = Option<BulkReplay>),
    security(("token" = ["write"])),
    responses((status = 200, description = "what was replayed", body = BulkReplayed)))]
async fn replay_all(
    State(app): State<App>,
    OptionalBody(which): OptionalBody<BulkReplay>,
) -> Result<Json<BulkReplayed>, Problem> {
    let limit = which.limit.unwrap_or(100);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid("limit", format!("is {limit}, expected 1 to {MOST}")));
    }
    let reason = which.dead_reason.as_deref().map(dead_reason).transpose()?;
    let mut filter = letters();
    filter.post = which.post_id.map(PostId::from_uuid);
    if let Some(name) = &which.account {
        filter.account = Some(accounts::named(&app, name).await?.id);
    }
    let (mut chosen, mut left_out, mut more) = (Vec::new(), 0, false);
    more |= walk(&app, &filter, |job| {
        if reason.is_some_and(|reason| job.dead_reason != Some(reason)) {
            return true;
        }
        if job.dead_reason == Some(DeadReason::OutcomeUnknown) {
            left_out += 1;
            return true;
        }
        if chosen.len() == limit {
            more = true;
            return false;
        }
        chosen.push(job.id());
        true
    })
    .await?;
    let mut replayed = Vec::with_capacity(chosen.len());
    for letter in chosen {
        // What was dealt with meanwhile is left as it is.
        if let Replayed::By(job) =
            app.web.engine.backend().control.replay(letter, ReplayKey::Keep).await?
        {
            replayed.push(ReplayedBy { letter: letter.as_uuid(), job: job.as_uuid() });
        }
    }
    Ok(Json(BulkReplayed { replayed, left_out, more }))
}

/// Says what became of a dead letter: it is out after all, or nobody wants it.
#[utoipa::path(post, path = "/api/dead-letters/{id}/resolve", tag = "dead letters",
    params(("id" = Uuid, Path)), operation_id = "resolve_dead_letter", request_body = Resolve,
    security(("token" = ["write"])),
    responses((status = 200, description = "it is resolved", body = JobView)))]
async fn resolve(
    State(app): State<App>,
    Id(id): Id<JobId>,
    Body(resolve): Body<Resolve>,
) -> Result<Json<JobView>, Problem> {
    let before = jobs::story(&app, id).await?;
    let control = &app.web.engine.backend().control;
    match control.resolve(id, resolve.resolution.into()).await? {
        Controlled::Refused(_) => Err(refused(&before.job)),
        controlled => {
            jobs::done(id, controlled)?;
            let resolved = jobs::story(&app, id).await?.job;
            Ok(Json(jobs::view(&app, resolved).await?))
        }
    }
}

fn letters() -> JobFilter {
    JobFilter { states: vec![JobState::DeadLetter], unresolved: true, ..JobFilter::default() }
}

/// Why a job cannot be replayed or resolved.
fn refused(job: &Job) -> Problem {
    let id = job.id();
    if job.state == JobState::DeadLetter {
        return Problem::new(Code::AlreadyResolved, format!("job {id} was dealt with already"));
    }
    Problem::new(Code::NotADeadLetter, format!("job {id} has not given up: it is {}", job.state))
}

fn dead_reason(word: &str) -> Result<DeadReason, Problem> {
    serde_json::from_value(word.into()).map_err(|_| {
        Problem::invalid(
            "dead_reason",
            format!(
                "{:?} is no reason; expected content, auth, attempts_exhausted, cancelled, missing or \
                 time_limit",
                word.chars().take(50).collect::<String>(),
            ),
        )
    })
}

/// Shows letters to `each` until it has enough; answers whether some were not looked at.
async fn walk(
    app: &Shared,
    filter: &JobFilter,
    mut each: impl FnMut(Job) -> bool,
) -> Result<bool, Problem> {
    let mut page = Page::first(PAGE);
    for _ in 0..MOST_PAGES {
        let found = app.web.engine.backend().jobs.list(app.desk.tenant(), filter, page).await?;
        let (full, last) = (found.len() >= PAGE, found.last().map(|job| job.id().as_uuid()));
        for job in found {
            if !each(job) {
                return Ok(false);
            }
        }
        if !full {
            return Ok(false);
        }
        page.after = last;
    }
    Ok(true)
}
