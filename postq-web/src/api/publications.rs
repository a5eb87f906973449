//! `/api/publications`.

use axum::Json;
use axum::extract::State;

use crate::extract::Query;
use crate::paging::{Listed, Paging};
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::views::publication::PublicationView;
use crate::web::App;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(list));
}

/// Lists what is out.
#[utoipa::path(get, path = "/api/publications", tag = "publications", params(Paging),
    operation_id = "list_publications", security(("token" = ["read"])),
    responses((status = 200, description = "a page", body = Listed<PublicationView>)))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Listed<PublicationView>>, Problem> {
    let page = paging.page()?;
    let publications = &app.web.engine.backend().publications;
    let found = publications.list(app.desk.tenant(), page.and_one()).await?;
    Ok(Json(page.list(found, |publication| publication.id.as_uuid(), PublicationView::from)))
}
