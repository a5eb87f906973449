//! No request takes for ever, whoever keeps it waiting.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::{Code, Problem};
use crate::web::App;

pub(crate) async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let limit = app.web.settings.bounds(&request).timeout;
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => {
            let detail = format!("no answer within {} s", limit.as_secs());
            Problem::new(Code::TimedOut, detail).into_response()
        }
    }
}
