//! `/api/limits`.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::error::StoreError;
use postq_core::id::AccountId;
use postq_core::job::Lane;
use postq_core::limiter::{Budget, MOST_LOOKS, Take};
use postq_core::platform::{Pace, PlatformName};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;
use crate::router::{Route, route};
use crate::web::{App, Shared};

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(limits));
}

/// How fast may be published, and how much of that is left.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limits)]
struct LimitsView {
    /// When it was so, by the store's clock.
    at: DateTime<Utc>,
    /// Whether limits are kept at all.
    in_force: bool,
    /// Those of the platforms' apps, then those of accounts.
    items: Vec<LimitView>,
    /// Whether there are more than these: at most 1,000 are shown.
    cut: bool,
}

/// How fast may be published for an account, or for all accounts of an app together.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limit)]
struct LimitView {
    platform: String,
    /// The account; null for all accounts of the app together.
    #[schema(required)]
    account_id: Option<Uuid>,
    /// What people call it.
    #[schema(required)]
    account_name: Option<String>,
    /// So many calls may be made
    calls: u32,
    /// in so many seconds,
    per_seconds: f64,
    /// and so many of them at once.
    at_once: u32,
    /// Calls that could be made right now.
    left: u32,
    /// When the next one could be made.
    next_at: DateTime<Utc>,
    /// What the platform itself told; null where it told nothing that is still true.
    #[schema(required)]
    told: Option<ToldView>,
}

/// What a platform told of its limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ToldLimit)]
struct ToldView {
    /// Calls that are left
    left: u32,
    /// until then.
    resets_at: DateTime<Utc>,
}

/// Shows how fast may be published on each platform and for each account, and how much is left now.
///
/// Looking uses nothing up. What has no limit is not listed, nor is a platform without accounts.
#[utoipa::path(get, path = "/api/limits", tag = "accounts", operation_id = "limits",
    security(("token" = ["read"])),
    responses((status = 200, description = "what is left", body = LimitsView)))]
async fn limits(State(app): State<App>) -> Result<Json<LimitsView>, Problem> {
    let engine = &app.web.engine;
    let at = engine.backend().jobs.now().await?;
    let in_force = engine.settings().rate_limit;
    let mut limited = if in_force { limited(&app).await? } else { Vec::new() };
    let cut = limited.len() > MOST_LOOKS;
    limited.truncate(MOST_LOOKS);
    let takes: Vec<Take> = limited.iter().map(|limited| limited.take.clone()).collect();
    let budgets = engine.backend().limiter.look(&takes).await.map_err(|error| {
        // What can be done about it is the same as with the store.
        StoreError::new(error.kind(), "look at limits").caused_by(error)
    })?;
    let items = limited.into_iter().zip(budgets).map(|(limited, budget)| view(limited, budget));
    Ok(Json(LimitsView { at, in_force, items: items.collect(), cut }))
}

/// Something that has a limit.
struct Limited {
    platform: PlatformName,
    account: Option<Account>,
    take: Take,
}

/// All that have one: apps with accounts, then accounts, oldest first.
async fn limited(app: &Shared) -> Result<Vec<Limited>, StoreError> {
    let engine = &app.web.engine;
    let pace = |name: &PlatformName| engine.platforms().get(name).map(|found| found.pace());
    let mut accounts = engine.backend().accounts.list(app.desk.tenant()).await?;
    accounts.sort_by_key(|account| account.id);
    let mut all = Vec::new();
    let is_used = |name: &&PlatformName| accounts.iter().any(|one| one.platform == **name);
    for name in engine.platforms().names().filter(is_used) {
        // The app's bucket is the same in the lane of every account.
        let lane = Lane::of(name, AccountId::from_uuid(Uuid::nil()));
        let take = pace(name).and_then(|pace| bucket(pace, &lane, lane.app()));
        all.extend(take.map(|take| Limited { platform: name.clone(), account: None, take }));
    }
    for account in accounts {
        let (platform, lane) = (account.platform.clone(), account.lane());
        let take = pace(&platform).and_then(|pace| bucket(pace, &lane, lane.as_str()));
        all.extend(take.map(|take| Limited { platform, account: Some(account), take }));
    }
    Ok(all)
}

/// One of the buckets of a lane, if there is a rate for it.
fn bucket(pace: Pace, lane: &Lane, key: &str) -> Option<Take> {
    let (key, rate) = pace.buckets(lane).find(|(bucket, _)| *bucket == key)?;
    // Wanted at once, whatever the limiter's clock says.
    Some(Take { key: key.to_owned(), rate, not_before: DateTime::UNIX_EPOCH })
}

fn view(limited: Limited, budget: Budget) -> LimitView {
    let Limited { platform, account, take } = limited;
    let (calls, stretch) = take.rate.spoken();
    LimitView {
        platform: platform.to_string(),
        account_id: account.as_ref().map(|account| account.id.as_uuid()),
        account_name: account.map(|account| account.name),
        calls,
        per_seconds: (stretch.as_secs_f64() * 1_000.0).round() / 1_000.0,
        at_once: take.rate.burst.get(),
        left: budget.left,
        next_at: budget.next_at,
        told: budget.told.map(|told| ToldView { left: told.left, resets_at: told.resets_at }),
    }
}
