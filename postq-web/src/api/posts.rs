//! `/api/posts`.

use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use postq_core::id::PostId;
use postq_core::job::CorrelationId;
use postq_core::store::Page;
use postq_engine::desk::{DeskError, PostLine, Submission, When};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::answer::{Created, Tagged};
use crate::extract::{Body, Fresh, Id, OptionalBody, Query, Seen};
use crate::paging::{Listed, Way, paged};
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::views::cost::CostView;
use crate::views::post::{
    CalledOff, Execute, Executed, NewPost, PostChange, PostView, PreviewView,
};
use crate::views::schedule::Written;
use crate::web::{App, Shared};

/// A change that meets another one is tried again so often, where nobody said what was seen.
const TRIES: u32 = 3;

/// Occurrences that a preview shows.
const PREVIEWED: usize = 10;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(list, create));
    add(route!(show, change, remove));
    add(route!(preview_new));
    add(route!(preview, preview_changed));
    add(route!(execute));
    add(route!(cancel));
}

/// Which posts are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The one with this key.
    key: Option<String>,
    /// At most so many; 50 if left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before; from the start if left out.
    cursor: Option<String>,
    /// Which way the list goes; `oldest` first if left out. A cursor goes on the way of its page.
    #[param(inline)]
    order: Option<Way>,
}

/// Lists posts.
#[utoipa::path(get, path = "/api/posts", tag = "posts", params(Wanted),
    operation_id = "list_posts", security(("token" = ["read"])),
    responses((status = 200, description = "a page", body = Listed<PostView>)))]
async fn list(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Listed<PostView>>, Problem> {
    let page = paged(wanted.limit, wanted.cursor.as_deref(), wanted.order)?;
    if let Some(key) = wanted.key {
        let posts = &app.web.engine.backend().posts;
        let found = posts.with_keys(app.desk.tenant(), &[key]).await?;
        let items = match found.first() {
            Some(post) => vec![PostView::of(line(&app, post.id).await?, &app.desk)],
            None => Vec::new(),
        };
        return Ok(Json(Listed { items, next: None }));
    }
    let lines = app.desk.list_posts(page.and_one()).await?;
    let view = |line| PostView::of(line, &app.desk);
    Ok(Json(page.list(lines, |line| line.post.id.as_uuid(), view)))
}

/// Takes a post in, with or without a time.
///
/// It is checked against the rules of its accounts' platforms; everything that is wrong is told at
/// once. Without `schedule` it is a draft.
#[utoipa::path(post, path = "/api/posts", tag = "posts", request_body = NewPost,
    operation_id = "create_post", security(("token" = ["write"])),
    responses((status = 201, description = "taken in", body = PostView)))]
async fn create(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    Fresh(id): Fresh,
    Extension(correlation): Extension<CorrelationId>,
    Body(new): Body<NewPost>,
) -> Result<Created<PostView>, Problem> {
    let id = PostId::from_uuid(id);
    let (submission, has_time) = submission(&new)?;
    let desk = app.desk.clone().correlated(correlation);
    match has_time {
        true => desk.submit_as(id, submission).await.map(drop)?,
        false => desk.draft_as(id, submission).await?,
    }
    let line = line(&app, id).await?;
    let cost = app.desk.cost_of(&line.post.content, &line.schedules).await?;
    let cost = cost.map(|cost| CostView::new(app.web.engine.prices(), cost));
    let mut view = PostView::of(line, &app.desk);
    view.cost = cost;
    let tag = view.revision.to_string();
    Ok(Created::below(&uri, id, view).tagged(tag))
}

/// Shows a post and where it stands.
#[utoipa::path(get, path = "/api/posts/{id}", tag = "posts", params(("id" = Uuid, Path)),
    operation_id = "show_post", security(("token" = ["read"])),
    responses((status = 200, description = "the post", body = PostView)))]
async fn show(State(app): State<App>, Id(id): Id<PostId>) -> Result<Tagged<PostView>, Problem> {
    tagged(&app, id).await
}

/// Gives a post another content.
///
/// What is out stays as it is. Refused with `already_publishing` while it is being published, or as
/// long as its outcome is unknown: it is changed wholly, or not at all.
#[utoipa::path(patch, path = "/api/posts/{id}", tag = "posts", params(("id" = Uuid, Path)),
    operation_id = "change_post", request_body = PostChange, security(("token" = ["write"])),
    responses((status = 200, description = "changed", body = PostView)))]
async fn change(
    State(app): State<App>,
    Id(id): Id<PostId>,
    seen: Seen,
    Body(change): Body<PostChange>,
) -> Result<Tagged<PostView>, Problem> {
    for tried in 1.. {
        let mut old = app.desk.find_post(&id.to_string()).await?;
        seen.ensure(&old.revision.to_string(), format_args!("post {id}"))?;
        // The new content follows from the old one: nobody's change in between may be lost.
        let content = change.applied_to(&old.content)?;
        if change.has_variants() {
            // Whoever says them means them: none is made again of the text.
            old.content.variants.clear();
        }
        match app.desk.edit_seen(old, content, change.fitting()).await {
            Err(DeskError::Changed(_)) if seen.0.is_none() && tried < TRIES => {}
            edited => {
                edited?;
                break;
            }
        }
    }
    tagged(&app, id).await
}

/// Takes a post away with its schedules.
///
/// What was planned is taken back; what is out stays. Refused while it is being published.
#[utoipa::path(delete, path = "/api/posts/{id}", tag = "posts", params(("id" = Uuid, Path)),
    operation_id = "remove_post", security(("token" = ["write"])),
    responses((status = 204, description = "taken away")))]
async fn remove(
    State(app): State<App>,
    Id(id): Id<PostId>,
    seen: Seen,
) -> Result<StatusCode, Problem> {
    let post = app.desk.find_post(&id.to_string()).await?;
    seen.ensure(&post.revision.to_string(), format_args!("post {id}"))?;
    app.desk.remove_post(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows what would happen to a post that is not handed in yet; writes nothing.
///
/// What each platform would get and refuse, and the first times at which it would go out.
#[utoipa::path(post, path = "/api/posts/preview", tag = "posts", request_body = NewPost,
    operation_id = "preview_new_post", security(("token" = ["read"])),
    responses((status = 200, description = "what would happen", body = PreviewView)))]
async fn preview_new(
    State(app): State<App>,
    Body(new): Body<NewPost>,
) -> Result<Json<PreviewView>, Problem> {
    let (submission, has_time) = submission(&new)?;
    let preview = app.desk.preview(&submission, has_time, PREVIEWED).await?;
    Ok(Json(PreviewView::new(preview, app.web.engine.prices())))
}

/// Shows what will become of a post: what each platform gets and would refuse.
#[utoipa::path(get, path = "/api/posts/{id}/preview", tag = "posts", params(("id" = Uuid, Path)),
    operation_id = "preview_post", security(("token" = ["read"])),
    responses((status = 200, description = "what will happen", body = PreviewView)))]
async fn preview(State(app): State<App>, Id(id): Id<PostId>) -> Result<Json<PreviewView>, Problem> {
    let PostLine { post, schedules, .. } = line(&app, id).await?;
    let mut accounts: Vec<String> =
        schedules.iter().flat_map(|s| &s.accounts).map(ToString::to_string).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let submission = Submission::new(post.content, accounts, When::Now);
    let mut preview = app.desk.preview_of(Some(id), &submission, false, PREVIEWED).await?;
    for schedule in &schedules {
        preview.occurrences.extend(app.desk.upcoming(schedule, PREVIEWED)?);
    }
    preview.occurrences.sort_unstable();
    preview.occurrences.truncate(PREVIEWED);
    preview.cost = app.desk.cost_of(&submission.content, &schedules).await?;
    Ok(Json(PreviewView::new(preview, app.web.engine.prices())))
}

/// Shows what would happen to a post if it were so from now on; writes nothing.
///
/// As for a new post, but for what the post itself takes up of a day's limit.
#[utoipa::path(post, path = "/api/posts/{id}/preview", tag = "posts", params(("id" = Uuid, Path)),
    operation_id = "preview_changed_post", request_body = NewPost, security(("token" = ["read"])),
    responses((status = 200, description = "what would happen", body = PreviewView)))]
async fn preview_changed(
    State(app): State<App>,
    Id(id): Id<PostId>,
    Body(new): Body<NewPost>,
) -> Result<Json<PreviewView>, Problem> {
    app.desk.find_post(&id.to_string()).await?;
    let (submission, has_time) = submission(&new)?;
    let preview = app.desk.preview_of(Some(id), &submission, has_time, PREVIEWED).await?;
    Ok(Json(PreviewView::new(preview, app.web.engine.prices())))
}

/// Publishes a post now.
///
/// A schedule that would publish it once later is switched off first; those that repeat go on. The
/// jobs are done by the engine: watch them, or the events.
#[utoipa::path(post, path = "/api/posts/{id}/execute", tag = "posts",
    params(("id" = Uuid, Path)), operation_id = "execute_post",
    request_body(content = Option<Execute>), security(("token" = ["write"])),
    responses((status = 202, description = "its jobs are due now", body = Executed)))]
async fn execute(
    State(app): State<App>,
    Id(id): Id<PostId>,
    Fresh(request): Fresh,
    Extension(correlation): Extension<CorrelationId>,
    OptionalBody(execute): OptionalBody<Execute>,
) -> Result<(StatusCode, Json<Executed>), Problem> {
    let attempts = app.web.engine.settings().max_attempts;
    let desk = app.desk.clone().correlated(correlation);
    let done = desk.execute(id, &execute.accounts, request, attempts).await?;
    let executed = Executed {
        jobs: done.jobs.iter().map(|id| id.as_uuid()).collect(),
        instead_of: done.instead_of.iter().map(|id| id.as_uuid()).collect(),
    };
    Ok((StatusCode::ACCEPTED, Json(executed)))
}

/// Calls a post off.
///
/// Its schedules are switched off, which takes back what was planned and not begun. The post stays.
#[utoipa::path(post, path = "/api/posts/{id}/cancel", tag = "posts",
    params(("id" = Uuid, Path)), operation_id = "cancel_post", security(("token" = ["write"])),
    responses((status = 200, description = "called off", body = CalledOff)))]
async fn cancel(State(app): State<App>, Id(id): Id<PostId>) -> Result<Json<CalledOff>, Problem> {
    app.desk.find_post(&id.to_string()).await?;
    let schedules = app.desk.cancel(id).await?;
    let state = line(&app, id).await?.state;
    Ok(Json(CalledOff { schedules, state }))
}

/// What is handed in, and whether it has a time.
fn submission(new: &NewPost) -> Result<(Submission, bool), Problem> {
    let written = new.schedule.as_ref().map(|rule| rule.read()).transpose()?;
    let has_time = written.is_some();
    let Written { when, tz } = written.unwrap_or(Written { when: When::Now, tz: None });
    let submission = Submission {
        key: new.key.clone(),
        tz,
        fitting: new.fit.map(Into::into),
        priority: new.priority,
        misfire: new.misfire.map(Into::into).unwrap_or_default(),
        ..Submission::new(new.content()?, new.accounts.iter().cloned(), when)
    };
    Ok((submission, has_time))
}

async fn tagged(app: &Shared, id: PostId) -> Result<Tagged<PostView>, Problem> {
    let body = PostView::of(line(app, id).await?, &app.desk);
    Ok(Tagged { tag: body.revision.to_string(), body })
}

/// A post and where it stands.
async fn line(app: &Shared, id: PostId) -> Result<PostLine, Problem> {
    // The page of one whose cursor is just before it: the list is where a post's state is told.
    let before = id.as_uuid().as_u128().checked_sub(1).map(Uuid::from_u128);
    let lines = app.desk.list_posts(Page { after: before, ..Page::first(1) }).await?;
    let found = lines.into_iter().find(|line| line.post.id == id);
    found.ok_or_else(|| Problem::not_found(format_args!("post {id}")))
}
