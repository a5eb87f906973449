//! `/api/preview`.

use axum::Json;
use axum::extract::State;
use postq_calendar::{At, Calendar, Kind};
use postq_core::error::{ScheduleError, chain};

use crate::extract::Body;
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::views::preview::{RuleAsked, RuleShown};
use crate::web::App;

/// The most occurrences of one rule.
const MOST: usize = 10_000;

/// As many are shown where nobody says how many.
const USUAL: usize = 10;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(preview_rule));
}

/// Shows when a rule runs, and says it in words; writes nothing.
#[utoipa::path(post, path = "/api/preview", tag = "schedules", request_body = RuleAsked,
    operation_id = "preview_rule", security(("token" = ["read"])),
    responses((status = 200, description = "when it runs", body = RuleShown)))]
async fn preview_rule(
    State(app): State<App>,
    Body(asked): Body<RuleAsked>,
) -> Result<Json<RuleShown>, Problem> {
    let count = asked.count.unwrap_or(USUAL);
    if count > MOST {
        return Err(Problem::invalid("count", format!("is {count}, expected at most {MOST}")));
    }
    let now = app.web.clock.now();
    let tz = asked.tz.as_deref();
    let after = asked.after.as_deref().map_or(Ok(now), |after| {
        let after = At::parse(after, tz).and_then(|after| after.instant(now));
        after.map_err(|error| Problem::invalid("after", error.to_string()))
    })?;
    let told = |field| move |error: ScheduleError| Problem::invalid(field, chain(&error));
    let kind: Kind = asked.kind.parse().map_err(told("kind"))?;
    let timing = kind.read(&asked.expr, tz, after).map_err(told("expr"))?;
    let rule = Calendar::new().rule(&timing, tz).map_err(told("expr"))?;
    Ok(Json(RuleShown {
        occurrences: rule.after(Some(after)).take(count).collect(),
        explanation: rule.explain(),
        notes: rule.notes().to_vec(),
        tz: rule.zone().map(str::to_owned),
        after,
    }))
}
