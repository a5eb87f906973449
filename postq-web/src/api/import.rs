//! `/api/import`.

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use postq_core::job::CorrelationId;
use postq_engine::import::CalendarFile;

use crate::extract::body_within;
use crate::guard::once::Masked;
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::views::import::{ImportFile, ImportReport, NewImport};
use crate::web::App;

/// Its bodies are larger than others, and it may take longer.
pub(crate) const PATH: &str = "/api/import";

/// Files in one request.
const MOST_FILES: usize = 100;

/// Rows, problems and notes that are kept for the same request sent again.
const KEPT_LINES: usize = 1_000;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(import));
}

/// Loads content calendars (CSV, TOML or JSON), or tells what loading them would do.
///
/// Each row is new, known and changes, or known and stays. All that is wrong is told with its file, line
/// and column, and with one bad row nothing is loaded, unless `skip_bad` says so. The same rows may be
/// sent again: those with keys are known. A body may have 24 MiB, a file 16 MiB, all files together
/// 100,000 rows; after 10,000 problems nothing more is read.
#[utoipa::path(post, path = "/api/import", tag = "posts", request_body = NewImport,
    operation_id = "import_calendars", security(("token" = ["write"])),
    responses((status = 200, description = "what became of it, or would", body = ImportReport)))]
async fn import(
    State(app): State<App>,
    Extension(correlation): Extension<CorrelationId>,
    request: Request,
) -> Result<Response, Problem> {
    let desk = app.desk.clone().correlated(correlation);
    let new: NewImport = body_within(request, app.web.settings.most_import).await?;
    if !(1..=MOST_FILES).contains(&new.files.len()) {
        return Err(Problem::invalid("files", format!("expected 1 to {MOST_FILES}")));
    }
    let files: Result<Vec<CalendarFile>, Problem> =
        new.files.into_iter().map(ImportFile::read).collect();
    let mut plan = desk.plan_import_of(files?).await?;
    let mut report = ImportReport::planned(&plan);
    if new.apply && (plan.problems.is_empty() || new.skip_bad) {
        plan.skip_bad();
        report = report.loaded(&desk.apply_import(plan).await?);
    }
    let masked = (report.lines() > KEPT_LINES).then(|| report.clone().cut(KEPT_LINES));
    let mut answer = Json(report).into_response();
    if let Some(masked) = masked {
        let masked = serde_json::to_vec(&masked).unwrap_or_default();
        answer.extensions_mut().insert(Masked(Bytes::from(masked)));
    }
    Ok(answer)
}
