//! `/api/schedules`.

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use postq_core::content::Content;
use postq_core::id::{PostId, ScheduleId};
use postq_engine::desk::{Alteration, Amendment, Submission};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answer::{Created, Tagged};
use crate::extract::{Body, Fresh, Id, Query, Seen};
use crate::paging::{Listed, Paging};
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::views::schedule::{NewSchedule, Occurrences, ScheduleChange, ScheduleView};
use crate::web::{App, Shared};

/// The most occurrences that are computed for one answer.
const MOST_OCCURRENCES: usize = 200;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(list, create));
    add(route!(show, change, remove));
    add(route!(enable));
    add(route!(disable));
    add(route!(occurrences));
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
    let schedule = app.desk.schedule_as(id, post, submission).await?;
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
    Ok(Json(Occurrences { items: app.desk.upcoming(&schedule, limit)? }))
}

async fn switched(app: &Shared, id: ScheduleId, on: bool) -> Result<Tagged<ScheduleView>, Problem> {
    app.desk.find_schedule(id).await?;
    app.desk.switch(id, on).await?;
    Ok(tagged(app.desk.find_schedule(id).await?.into()))
}

fn tagged(body: ScheduleView) -> Tagged<ScheduleView> {
    Tagged { tag: body.revision.to_string(), body }
}
