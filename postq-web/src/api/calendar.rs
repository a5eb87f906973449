//! `/api/calendar`.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::extract::Query;
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::views::calendar::CalendarView;
use crate::web::App;

/// The longest span of one answer.
const MOST_DAYS: i64 = 100;

/// The most items of one answer.
const MOST_ITEMS: usize = 2_000;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(calendar));
}

/// Which time is asked for: at most 100 days.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Span {
    /// From this time on: RFC 3339.
    #[param(example = "2026-12-01T00:00:00Z")]
    from: String,
    /// Up to this time, which is not shown itself.
    #[param(example = "2027-01-01T00:00:00Z")]
    until: String,
}

/// Shows what lies in a span of time: what is out, what is planned, and what schedules will plan.
///
/// At most 2,000 items, the earliest. What an edit took back is not shown; a dead letter that was replayed
/// is shown as its replay.
#[utoipa::path(get, path = "/api/calendar", tag = "schedules", params(Span),
    operation_id = "calendar", security(("token" = ["read"])),
    responses((status = 200, description = "in order of time", body = CalendarView)))]
async fn calendar(
    State(app): State<App>,
    Query(span): Query<Span>,
) -> Result<Json<CalendarView>, Problem> {
    let (from, until) = (time("from", &span.from)?, time("until", &span.until)?);
    if until <= from {
        return Err(Problem::invalid("until", "is not after `from`; give a later time"));
    }
    if until - from > TimeDelta::days(MOST_DAYS) {
        let detail = format!("is more than {MOST_DAYS} days after `from`; ask for less at once");
        return Err(Problem::invalid("until", detail));
    }
    Ok(Json(app.desk.agenda(&(from..until), MOST_ITEMS).await?.into()))
}

fn time(field: &str, text: &str) -> Result<DateTime<Utc>, Problem> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    time.map_err(|_| {
        Problem::invalid(
            field,
            format!("\"{text}\" is no time; expected RFC 3339, 2026-12-01T00:00:00Z"),
        )
    })
}
