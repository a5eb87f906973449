//! `/api/jobs`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use postq_core::id::{JobId, PostId, ScheduleId};
use postq_core::job::{Job, Topic};
use postq_core::store::{Controlled, JobFilter, JobStory};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::api::accounts;
use crate::extract::{Id, OptionalBody, Query};
use crate::paging::{Listed, Paged, Way, paged};
use crate::problem::{Code, Problem};
use crate::router::{Route, route};
use crate::views::job::{Cancel, JobEvents, JobStatus, JobView, StoryView};
use crate::views::post::gist;
use crate::web::{App, Shared};

/// The most characters of a post that a job shows.
pub(super) const MOST_GIST: usize = 90;

/// The longest reason that is taken for a job's history.
const MOST_REASON: usize = 500;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(list));
    add(route!(show));
    add(route!(status));
    add(route!(events));
    add(route!(cancel));
    add(route!(retry));
}

/// Which jobs are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// In these states, with commas between; all if left out.
    #[param(example = "running,failed")]
    state: Option<String>,
    /// Of this topic.
    topic: Option<String>,
    /// Of this account, by name or id.
    account: Option<String>,
    /// Of this post.
    post: Option<Uuid>,
    /// Of this schedule.
    schedule: Option<Uuid>,
    /// At most so many; 50 if left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before; from the start if left out.
    cursor: Option<String>,
    /// Which way the list goes; `oldest` first if left out. A cursor goes on the way of its page.
    #[param(inline)]
    order: Option<Way>,
}

/// Lists jobs.
#[utoipa::path(get, path = "/api/jobs", tag = "jobs", params(Wanted),
    operation_id = "list_jobs", security(("token" = ["read"])),
    responses((status = 200, description = "a page", body = Listed<JobView>)))]
async fn list(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Listed<JobView>>, Problem> {
    let page = paged(wanted.limit, wanted.cursor.as_deref(), wanted.order)?;
    let mut filter = JobFilter {
        topic: wanted.topic.map(Topic::new),
        post: wanted.post.map(PostId::from_uuid),
        schedules: wanted.schedule.map(|id| vec![ScheduleId::from_uuid(id)]),
        ..JobFilter::default()
    };
    for state in wanted.state.iter().flat_map(|states| states.split(',')) {
        let state = state.trim().parse();
        filter.states.push(
            state.map_err(|error| Problem::invalid("state", postq_core::error::chain(&error)))?,
        );
    }
    listed(&app, page, filter, wanted.account.as_deref()).await
}

/// A page of the jobs that the filter lets through, of this account where one is named.
pub(super) async fn listed(
    app: &Shared,
    page: Paged,
    mut filter: JobFilter,
    account: Option<&str>,
) -> Result<Json<Listed<JobView>>, Problem> {
    if let Some(name) = account {
        filter.account = Some(accounts::named(app, name).await?.id);
    }
    let jobs = &app.web.engine.backend().jobs;
    let found = jobs.list(app.desk.tenant(), &filter, page.and_one()).await?;
    let gists = gists(app, &found).await?;
    let show = |job: Job| {
        let gist = job.made.post_id.and_then(|id| gists.get(&id).cloned());
        JobView::from(job).about(gist)
    };
    Ok(Json(page.list(found, |job| job.id().as_uuid(), show)))
}

/// A job with how its post begins.
pub(super) async fn view(app: &Shared, job: Job) -> Result<JobView, Problem> {
    let gist = gists(app, std::slice::from_ref(&job)).await?.into_values().next();
    Ok(JobView::from(job).about(gist))
}

/// How the posts of jobs begin.
async fn gists(app: &Shared, jobs: &[Job]) -> Result<BTreeMap<PostId, String>, Problem> {
    let posts = jobs.iter().filter_map(|job| job.made.post_id).collect();
    let posts = app.desk.posts_with(posts).await?;
    Ok(posts.into_iter().map(|(id, post)| (id, gist(&post, MOST_GIST))).collect())
}

/// Shows a job with all that is known of it: every transition, what was sent, what is out.
#[utoipa::path(get, path = "/api/jobs/{id}", tag = "jobs", params(("id" = Uuid, Path)),
    operation_id = "show_job", security(("token" = ["read"])),
    responses((status = 200, description = "its story", body = StoryView)))]
async fn show(State(app): State<App>, Id(id): Id<JobId>) -> Result<Json<StoryView>, Problem> {
    let JobStory { job, events, evidence } = story(&app, id).await?;
    Ok(Json(StoryView::of(view(&app, job).await?, events, evidence)))
}

/// Shows where a job stands, in short.
#[utoipa::path(get, path = "/api/jobs/{id}/status", tag = "jobs", params(("id" = Uuid, Path)),
    operation_id = "job_status", security(("token" = ["read"])),
    responses((status = 200, description = "where it stands", body = JobStatus)))]
async fn status(State(app): State<App>, Id(id): Id<JobId>) -> Result<Json<JobStatus>, Problem> {
    Ok(Json(story(&app, id).await?.into()))
}

/// Shows every transition of a job, oldest first.
#[utoipa::path(get, path = "/api/jobs/{id}/events", tag = "jobs", params(("id" = Uuid, Path)),
    operation_id = "job_events", security(("token" = ["read"])),
    responses((status = 200, description = "its transitions", body = JobEvents)))]
async fn events(State(app): State<App>, Id(id): Id<JobId>) -> Result<Json<JobEvents>, Problem> {
    Ok(Json(story(&app, id).await?.events.into()))
}

/// Takes a waiting job back: what was cancelled never publishes.
///
/// Refused with `already_publishing` while it runs, or its outcome is unknown.
#[utoipa::path(post, path = "/api/jobs/{id}/cancel", tag = "jobs", params(("id" = Uuid, Path)),
    operation_id = "cancel_job", request_body(content = Option<Cancel>),
    security(("token" = ["write"])),
    responses((status = 200, description = "taken back", body = JobStatus)))]
async fn cancel(
    State(app): State<App>,
    Id(id): Id<JobId>,
    OptionalBody(cancel): OptionalBody<Cancel>,
) -> Result<Json<JobStatus>, Problem> {
    story(&app, id).await?;
    let reason = cancel.reason.as_deref().unwrap_or("cancelled by a person");
    if reason.chars().count() > MOST_REASON {
        let detail = format!("is too long, at most {MOST_REASON} characters");
        return Err(Problem::invalid("reason", detail));
    }
    done(id, app.web.engine.backend().control.cancel(id, reason).await?)?;
    Ok(Json(story(&app, id).await?.into()))
}

/// Makes a waiting job due now.
///
/// A dead letter is not retried but replayed.
#[utoipa::path(post, path = "/api/jobs/{id}/retry", tag = "jobs", params(("id" = Uuid, Path)),
    operation_id = "retry_job", security(("token" = ["write"])),
    responses((status = 200, description = "due now", body = JobStatus)))]
async fn retry(State(app): State<App>, Id(id): Id<JobId>) -> Result<Json<JobStatus>, Problem> {
    story(&app, id).await?;
    done(id, app.web.engine.backend().control.due_now(id).await?)?;
    Ok(Json(story(&app, id).await?.into()))
}

/// A job of this tenant with all that is known of it.
pub(super) async fn story(app: &Shared, id: JobId) -> Result<JobStory, Problem> {
    let story = app.web.engine.backend().jobs.story(id).await?;
    let own = story.filter(|story| story.job.made.tenant_id == app.desk.tenant());
    own.ok_or_else(|| Problem::not_found(format_args!("job {id}")))
}

/// Tells why a command to a job was refused.
pub(super) fn done(id: JobId, controlled: Controlled) -> Result<(), Problem> {
    match controlled {
        Controlled::Applied => Ok(()),
        Controlled::Refused(state) if state.is_terminal() => {
            Err(Problem::new(Code::Ended, format!("job {id} has ended: {state}")))
        }
        Controlled::Refused(state) => {
            Err(Problem::new(Code::Conflict, format!("job {id} is {state}; nothing was changed")))
        }
        Controlled::AlreadyPublishing => Err(Problem::new(
            Code::AlreadyPublishing,
            format!(
                "job {id} is being published, or its outcome is not known yet; nothing was changed"
            ),
        )),
        Controlled::Gone => Err(Problem::not_found(format_args!("job {id}"))),
    }
}
