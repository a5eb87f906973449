//! `/api/accounts/{id}/slots`: the times of the week at which an account likes to publish.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use postq_core::id::AccountId;
use postq_core::slot::SlotRule;
use postq_engine::desk::read_slots;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::named;
use crate::extract::{Body, Id};
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::web::{App, Shared};

/// Free slots that are shown.
const SHOWN: usize = 10;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(show, set));
}

/// When an account likes to publish.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Slots)]
struct SlotsView {
    /// The rules.
    rules: Vec<SlotRuleView>,
    /// The next ten slots that are free.
    free: Vec<DateTime<Utc>>,
}

/// A rule of slots.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SlotRule)]
struct SlotRuleView {
    /// A cron expression.
    #[schema(example = "0 9 * * 1-5")]
    expr: String,
    /// The IANA zone that it is meant in.
    #[schema(example = "Europe/Berlin")]
    tz: String,
}

/// When an account shall publish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSlots {
    /// As people say them: `weekdays 09:00 and 17:30 Europe/Berlin`. The days are `daily`, `weekdays`,
    /// `weekends`, or names as `mon,thu`.
    #[schema(example = json!(["weekdays 09:00 and 17:30 Europe/Berlin"]))]
    slots: Vec<String>,
}

/// Shows the slots of an account, and which are free.
#[utoipa::path(get, path = "/api/accounts/{id}/slots", tag = "accounts", params(("id" = Uuid, Path)),
    operation_id = "show_slots", security(("token" = ["read"])),
    responses((status = 200, description = "the slots", body = SlotsView)))]
async fn show(State(app): State<App>, Id(id): Id<AccountId>) -> Result<Json<SlotsView>, Problem> {
    named(&app, &id.to_string())
        .await
        .map_err(|_| Problem::not_found(format_args!("account {id}")))?;
    view(&app, id).await
}

/// Replaces the slots of an account.
///
/// They keep their local time over clock changes. Posts that are in slots stay where they are.
#[utoipa::path(put, path = "/api/accounts/{id}/slots", tag = "accounts", params(("id" = Uuid, Path)),
    operation_id = "set_slots", request_body = NewSlots, security(("token" = ["write"])),
    responses((status = 200, description = "the slots", body = SlotsView)))]
async fn set(
    State(app): State<App>,
    Id(id): Id<AccountId>,
    Body(new): Body<NewSlots>,
) -> Result<Json<SlotsView>, Problem> {
    named(&app, &id.to_string())
        .await
        .map_err(|_| Problem::not_found(format_args!("account {id}")))?;
    let mut rules = Vec::new();
    for words in &new.slots {
        rules.extend(read_slots(words).map_err(|why| Problem::invalid("slots", why))?);
    }
    app.desk.set_slots(id, rules).await?;
    view(&app, id).await
}

async fn view(app: &Shared, id: AccountId) -> Result<Json<SlotsView>, Problem> {
    let rules = app.desk.slots(id).await?;
    let free = match rules.is_empty() {
        true => Vec::new(),
        false => app.desk.free_slots(id, SHOWN).await?,
    };
    let rule = |SlotRule { expr, tz }| SlotRuleView { expr, tz };
    Ok(Json(SlotsView { rules: rules.into_iter().map(rule).collect(), free }))
}
