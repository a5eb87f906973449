//! `/api/publications`.

use axum::Json;
use axum::extract::State;
use postq_core::id::JobId;
use postq_core::id::PublicationId;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::analytics::grown;
use crate::extract::{Id, Query};
use crate::paging::{Listed, Way, paged};
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::views::analytics::PublicationAnalyticsView;
use crate::views::publication::PublicationView;
use crate::web::App;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(list));
    add(route!(metrics));
}

/// Which publications are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The one that this job made.
    job: Option<Uuid>,
    /// At most so many; 50 if left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before; from the start if left out.
    cursor: Option<String>,
    /// Which way the list goes; `oldest` first if left out. A cursor goes on the way of its page.
    #[param(inline)]
    order: Option<Way>,
}

/// Lists what is out.
#[utoipa::path(get, path = "/api/publications", tag = "publications", params(Wanted),
    operation_id = "list_publications", security(("token" = ["read"])),
    responses((status = 200, description = "a page", body = Listed<PublicationView>)))]
async fn list(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Listed<PublicationView>>, Problem> {
    let page = paged(wanted.limit, wanted.cursor.as_deref(), wanted.order)?;
    let publications = &app.web.engine.backend().publications;
    if let Some(job) = wanted.job {
        let made = publications.of_jobs(&[JobId::from_uuid(job)]).await?;
        let own = made.into_iter().filter(|one| one.tenant_id == app.desk.tenant());
        let items = own.map(PublicationView::from).collect();
        return Ok(Json(Listed { items, next: None }));
    }
    let found = publications.list(app.desk.tenant(), page.and_one()).await?;
    Ok(Json(page.list(found, |publication| publication.id.as_uuid(), PublicationView::from)))
}

/// Shows what the metrics of a publication were at each poll; the same as `/api/analytics/publications/{id}`.
#[utoipa::path(get, path = "/api/publications/{id}/metrics", tag = "publications",
    params(("id" = Uuid, Path, description = "The publication")),
    operation_id = "publication_metrics", security(("token" = ["read"])),
    responses((status = 200, description = "its series", body = PublicationAnalyticsView)))]
async fn metrics(
    State(app): State<App>,
    Id(id): Id<PublicationId>,
) -> Result<Json<PublicationAnalyticsView>, Problem> {
    grown(&app, id).await
}
