//! `/api/schedules`.

use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use postq_calendar::At;
use postq_core::content::Content;
use postq_core::id::{PostId, ScheduleId};
use postq_core::job::CorrelationId;
use postq_engine::desk::{Alteration, Amendment, Submission};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answer::{Created, Tagged};
use crate::extract::{Body, Fresh, Id, Query, Seen};
use crate::paging::{Listed, Paging};
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::views::post::PostChange;
use crate::views::schedule::{
    Edited, NewSchedule, OccurrenceChange, Occurrences, ScheduleChange, SchedulePause,
    ScheduleView, Skip, Skipped, StandIn,
};
use crate::web::{App, Shared};

/// The most occurrences that are computed for one answer.
const MOST_OCCURRENCES: usize = 200;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(list, create));
    add(route!(show, change, remove));
    add(route!(enable));
    add(route!(disable));
    add(route!(occurrences));
    add(route!(skip));
    add(route!(pause));
    add(route!(edit_occurrence));
}

/// Lists schedules, oldest first.
#[utoipa::path(get, path = "/api/schedules", tag = "schedules", params(Paging),
    operation_id = "list_schedules", security(("token" = ["read"])),
    responses((status = 200, description = "a page", body = Listed<ScheduleView>)))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Listed<ScheduleView>>, Problem> {
    let page = paging.page()?;
    let backend = app.web.engine.backend();
    let found = backend.schedules.list(app.desk.tenant(), page.and_one()).await?;
    Ok(Json(page.list(found, |schedule| schedule.id.as_uuid(), ScheduleView::from)))
}

/// Gives a post a further schedule.
#[utoipa::path(post, path = "/api/schedules", tag = "schedules", request_body = NewSchedule,
    operation_id = "create_schedule", security(("token" = ["write"])),
    responses((status = 201, description = "made", body = ScheduleView)))]
async fn create(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    Fresh(id): Fresh,
    Extension(correlation): Extension<CorrelationId>,
    Body(new): Body<NewSchedule>,
) -> Result<Created<ScheduleView>, Problem> {
    let written = new.schedule.read()?;
    let submission = Submission {
        tz: written.tz,
        priority: new.priority,
        misfire: new.misfire.map(Into::into).unwrap_or_default(),
        ..Submission::new(Content::default(), new.accounts, written.when)
    };
    let (id, post) = (ScheduleId::from_uuid(id), PostId::from_uuid(new.post_id));
    let desk = app.desk.clone().correlated(correlation);
    let schedule = desk.schedule_as(id, post, submission).await?;
    let tag = schedule.revision.to_string();
    Ok(Created::below(&uri, id, ScheduleView::from(schedule)).tagged(tag))
}

/// Shows a schedule.
#[utoipa::path(get, path = "/api/schedules/{id}", tag = "schedules",
    params(("id" = Uuid, Path)), operation_id = "show_schedule", security(("token" = ["read"])),
    responses((status = 200, description = "the schedule", body = ScheduleView)))]
async fn show(
    State(app): State<App>,
    Id(id): Id<ScheduleId>,
) -> Result<Tagged<ScheduleView>, Problem> {
    Ok(tagged(app.desk.find_schedule(id).await?.into()))
}

/// Changes a schedule in one step.
///
/// What it had planned and not begun is taken back and planned anew. Refused with
/// `already_publishing` while something of it is being published, or its outcome is unknown.
#[utoipa::path(patch, path = "/api/schedules/{id}", tag = "schedules",
    params(("id" = Uuid, Path)), operation_id = "change_schedule", request_body = ScheduleChange,
    security(("token" = ["write"])),
    responses((status = 200, description = "changed", body = ScheduleView)))]
async fn change(
    State(app): State<App>,
    Id(id): Id<ScheduleId>,
    seen: Seen,
    Body(change): Body<ScheduleChange>,
) -> Result<Tagged<ScheduleView>, Problem> {
    let written = change.schedule.as_ref().map(|rule| rule.read()).transpose()?;
    let (when, tz) = match written {
        Some(written) => (Some(written.when), written.tz.or(change.tz)),
        None => (None, change.tz),
    };
    let amendment = Amendment { when, tz, priority: change.priority };
    let alteration = Alteration { amendment, accounts: change.accounts, enabled: change.enabled };
    if alteration == Alteration::default() {
        return Err(Problem::invalid("schedule", "nothing to change; name what is to change"));
    }
    Ok(tagged(app.desk.alter(id, seen.revision(), &alteration).await?.into()))
}

/// Takes a schedule away.
///
/// What it had planned and not begun is taken back; its post stays.
#[utoipa::path(delete, path = "/api/schedules/{id}", tag = "schedules",
    params(("id" = Uuid, Path)), operation_id = "remove_schedule", security(("token" = ["write"])),
    responses((status = 204, description = "taken away")))]
async fn remove(
    State(app): State<App>,
    Id(id): Id<ScheduleId>,
    seen: Seen,
) -> Result<StatusCode, Problem> {
    let schedule = app.desk.find_schedule(id).await?;
    seen.ensure(&schedule.revision.to_string(), format_args!("schedule {id}"))?;
    app.desk.remove_schedule(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Switches a schedule on: it goes on from now.
#[utoipa::path(post, path = "/api/schedules/{id}/enable", tag = "schedules",
    params(("id" = Uuid, Path)), operation_id = "enable_schedule", security(("token" = ["write"])),
    responses((status = 200, description = "it is on", body = ScheduleView)))]
async fn enable(
    State(app): State<App>,
    Id(id): Id<ScheduleId>,
) -> Result<Tagged<ScheduleView>, Problem> {
    switched(&app, id, true).await
}

/// Switches a schedule off, which takes back what it had planned.
#[utoipa::path(post, path = "/api/schedules/{id}/disable", tag = "schedules",
    params(("id" = Uuid, Path)), operation_id = "disable_schedule",
    security(("token" = ["write"])),
    responses((status = 200, description = "it is off", body = ScheduleView)))]
async fn disable(
    State(app): State<App>,
    Id(id): Id<ScheduleId>,
) -> Result<Tagged<ScheduleView>, Problem> {
    switched(&app, id, false).await
}

/// How many occurrences are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Many {
    /// At most so many; 10 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Shows the next times at which a schedule fires.
#[utoipa::path(get, path = "/api/schedules/{id}/occurrences", tag = "schedules",
    params(("id" = Uuid, Path), Many), operation_id = "schedule_occurrences",
    security(("token" = ["read"])),
    responses((status = 200, description = "in order", body = Occurrences)))]
async fn occurrences(
    State(app): State<App>,
    Id(id): Id<ScheduleId>,
    Query(many): Query<Many>,
) -> Result<Json<Occurrences>, Problem> {
    let limit = many.limit.unwrap_or(10);
    if !(1..=MOST_OCCURRENCES).contains(&limit) {
        let detail = format!("is {limit}, expected 1 to {MOST_OCCURRENCES}");
        return Err(Problem::invalid("limit", detail));
    }
    let schedule = app.desk.find_schedule(id).await?;
    let skipped = app.desk.skipped(id).await?;
    let mut items = app.desk.upcoming(&schedule, limit + skipped.len())?;
    items.retain(|at| skipped.binary_search(at).is_err());
    items.truncate(limit);
    let stand_ins = app.desk.stand_ins(id, &skipped).await?;
    let edited = stand_ins.into_iter().map(|(at, post)| Edited { at, post: post.as_uuid() });
    let paused_until = app.desk.paused_until(&schedule).await?;
    Ok(Json(Occurrences { items, skipped, edited: edited.collect(), paused_until }))
}

/// Leaves out one occurrence that is to come.
///
/// Again, it changes nothing. Refused with `already_publishing` once it is being published.
#[utoipa::path(post, path = "/api/schedules/{id}/skip", tag = "schedules",
    params(("id" = Uuid, Path)), operation_id = "skip_occurrence", request_body = Skip,
    security(("token" = ["write"])),
    responses((status = 200, description = "it is left out", body = Skipped)))]
async fn skip(
    State(app): State<App>,
    Id(id): Id<ScheduleId>,
    Body(skip): Body<Skip>,
) -> Result<Json<Skipped>, Problem> {
    let at = moment(&app, id, "at", &skip.at).await?;
    app.desk.skip(id, at).await?;
    Ok(Json(Skipped { at }))
}

/// Leaves out everything before a time; to enable the schedule ends that.
///
/// What was planned and not begun is taken back.
#[utoipa::path(post, path = "/api/schedules/{id}/pause", tag = "schedules",
    params(("id" = Uuid, Path)), operation_id = "pause_schedule", request_body = SchedulePause,
    security(("token" = ["write"])),
    responses((status = 200, description = "it goes on at `next_run_at`", body = ScheduleView)))]
async fn pause(
    State(app): State<App>,
    Id(id): Id<ScheduleId>,
    Body(pause): Body<SchedulePause>,
) -> Result<Tagged<ScheduleView>, Problem> {
    let until = moment(&app, id, "until", &pause.until).await?;
    app.desk.pause_until(id, until).await?;
    Ok(tagged(app.desk.find_schedule(id).await?.into()))
}

/// Gives one occurrence that is to come another text or time; the others stay.
///
/// It is left out, and a post that goes out once takes its place. Again, it answers the same post.
#[utoipa::path(post, path = "/api/schedules/{id}/edit-occurrence", tag = "schedules",
    params(("id" = Uuid, Path)), operation_id = "edit_occurrence",
    request_body = OccurrenceChange, security(("token" = ["write"])),
    responses((status = 200, description = "what goes out instead", body = StandIn)))]
async fn edit_occurrence(
    State(app): State<App>,
    Id(id): Id<ScheduleId>,
    Extension(correlation): Extension<CorrelationId>,
    Body(change): Body<OccurrenceChange>,
) -> Result<Json<StandIn>, Problem> {
    let at = moment(&app, id, "at", &change.at).await?;
    let to = match &change.to {
        Some(to) => Some(At::Instant(moment(&app, id, "to", to).await?)),
        None => None,
    };
    let schedule = app.desk.find_schedule(id).await?;
    let post = app.desk.find_post(&schedule.post_id.to_string()).await?;
    let content = match (change.text, change.parts) {
        (None, None) if to.is_none() => {
            return Err(Problem::invalid("text", "nothing to change; expected text, parts or to"));
        }
        (None, None) => post.content,
        (text, parts) => PostChange::of(text, parts).applied_to(&post.content)?,
    };
    let desk = app.desk.clone().correlated(correlation);
    let taken = desk.edit_occurrence(id, at, content, to).await?;
    Ok(Json(StandIn {
        instead_of: at,
        post: taken.post.as_uuid(),
        schedule: taken.schedule.as_uuid(),
        first: taken.first,
    }))
}

/// A time as it is written in a schedule's zone.
async fn moment(
    app: &Shared,
    id: ScheduleId,
    field: &str,
    text: &str,
) -> Result<DateTime<Utc>, Problem> {
    let tz = app.desk.find_schedule(id).await?.tz;
    let now = app.web.engine.backend().jobs.now().await?;
    let at = At::parse(text, tz.as_deref()).and_then(|at| at.instant(now));
    at.map_err(|error| Problem::invalid(field, error.to_string()))
}

async fn switched(app: &Shared, id: ScheduleId, on: bool) -> Result<Tagged<ScheduleView>, Problem> {
    app.desk.find_schedule(id).await?;
    app.desk.switch(id, on).await?;
    Ok(tagged(app.desk.find_schedule(id).await?.into()))
}

fn tagged(body: ScheduleView) -> Tagged<ScheduleView> {
    Tagged { tag: body.revision.to_string(), body }
}
