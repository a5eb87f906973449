//! `/api/tokens`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use postq_core::id::TokenId;
use postq_core::job::Applied;
use secrecy::ExposeSecret;

use crate::extract::{Body, Fresh, Id, Query};
use crate::guard::once::Masked;
use crate::paging::{Listed, Paging};
use crate::problem::{Code, Problem};
use crate::router::{Route, route};
use crate::secret::issue;
use crate::views::token::{MadeToken, NewToken, TokenView};
use crate::web::App;

/// The longest name, in characters.
const MOST_NAME: usize = 100;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(list, create));
    add(route!(revoke));
}

/// Lists tokens, revoked ones too; never their secrets.
#[utoipa::path(get, path = "/api/tokens", tag = "tokens", params(Paging),
    operation_id = "list_tokens", security(("token" = ["admin"])),
    responses((status = 200, description = "a page", body = Listed<TokenView>)))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Listed<TokenView>>, Problem> {
    let page = paging.page()?;
    let tokens = app.web.tokens.list(app.desk.tenant()).await?;
    let show = |token| TokenView::from(&token);
    Ok(Json(page.of_all(tokens, |token| token.id.as_uuid(), show)))
}

/// Makes a token, which is shown this once.
///
/// From the first token on, every request needs one, on loopback too.
#[utoipa::path(post, path = "/api/tokens", tag = "tokens", request_body = NewToken,
    operation_id = "create_token", security(("token" = ["admin"])),
    responses((status = 201, description = "made", body = MadeToken)))]
async fn create(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    Fresh(id): Fresh,
    Body(new): Body<NewToken>,
) -> Result<Response, Problem> {
    let length = new.name.trim().chars().count();
    if !(1..=MOST_NAME).contains(&length) || new.name.chars().any(char::is_control) {
        let detail = format!("expected 1 to {MOST_NAME} characters, none a control character");
        return Err(Problem::invalid("name", detail));
    }
    let id = TokenId::from_uuid(id);
    if app.web.tokens.find(id).await?.is_some() {
        let detail = "the token was made, but its text was never shown";
        return Err(Problem::new(Code::Conflict, detail)
            .with_remedy("revoke it, and make another one under another key"));
    }
    let now = app.web.clock.now();
    let issued = issue(id, app.desk.tenant(), new.name.trim(), new.scope.into(), now);
    app.web.tokens.insert(&issued.token).await?;
    let made = TokenView::from(&issued.token);
    let masked = MadeToken { made: made.clone(), token: None };
    let shown = MadeToken { made, token: Some(issued.text.expose_secret().to_owned()) };
    let mut answer = (StatusCode::CREATED, Json(shown)).into_response();
    if let Ok(at) = HeaderValue::try_from(format!("{}/{id}", uri.path())) {
        answer.headers_mut().insert(LOCATION, at);
    }
    // The secret is not kept, not even for a repeated request.
    let masked = serde_json::to_vec(&masked).unwrap_or_default();
    answer.extensions_mut().insert(Masked(Bytes::from(masked)));
    Ok(answer)
}

/// Revokes a token, for good.
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "tokens", params(("id" = Uuid, Path)),
    operation_id = "revoke_token", security(("token" = ["admin"])),
    responses((status = 204, description = "revoked")))]
async fn revoke(State(app): State<App>, Id(id): Id<TokenId>) -> Result<StatusCode, Problem> {
    let known = app.web.tokens.find(id).await?;
    if known.is_none_or(|token| token.tenant_id != app.desk.tenant()) {
        return Err(Problem::not_found(format_args!("token {id}")));
    }
    match app.web.tokens.revoke(id, app.web.clock.now()).await? {
        Applied::Applied => Ok(StatusCode::NO_CONTENT),
        _ => Err(Problem::not_found(format_args!("token {id}"))),
    }
}
