//! The month's budget: when it is used up, one person is told once, and what costs stops.

use chrono::{DateTime, Utc};
use postq_core::backend::Backend;
use postq_core::error::StoreError;
use postq_core::notifier::{Notice, NoticeKind};
use postq_core::platform::PlatformName;
use postq_core::price::{CallKind, Spent, month};
use postq_core::store::{Block, BlockReason};

use crate::engine::Shared;
use crate::handler::to_tell;
use crate::prices::{Prices, Stops, renews_at, total};

/// What may still be spent in this month; none without a budget.
pub(super) async fn left(
    prices: &Prices,
    backend: &Backend,
    now: DateTime<Utc>,
) -> Result<Option<u64>, StoreError> {
    if prices.budget().is_none() {
        return Ok(None);
    }
    Ok(prices.left(&backend.metrics.spent(month(now)).await?))
}

/// How many polls of a platform the budget still allows.
pub(super) fn polls(prices: &Prices, platform: &PlatformName, left: Option<u64>) -> usize {
    let price = prices.of(platform, CallKind::Read).unwrap_or_default();
    match (left, price) {
        (None, _) | (_, 0) => usize::MAX,
        (Some(left), price) => usize::try_from(left / price).unwrap_or(usize::MAX),
    }
}

/// Looks at the budget, tells a person when it is used up, and stops everything if that is wanted; answers
/// what is left.
pub(super) async fn watch(shared: &Shared, now: DateTime<Utc>) -> Result<Option<u64>, StoreError> {
    let (prices, metrics) = (&shared.prices, &shared.backend.metrics);
    if prices.budget().is_none() || prices.is_empty() {
        return Ok(None);
    }
    let spent = shared.bounded("add up spending", metrics.spent(month(now))).await?;
    let left = prices.left(&spent);
    // What is left may be less than one more poll: then nothing is read either.
    let mut platforms = prices.platforms();
    let used_up = left == Some(0) || platforms.any(|name| polls(prices, name, left) == 0);
    if used_up {
        tell(shared, &spent, now).await?;
    }
    hold(shared, used_up && prices.stops() == Stops::Everything, now).await?;
    Ok(left)
}

/// One notice for a budget and a month, whatever number of nodes see it.
async fn tell(shared: &Shared, spent: &[Spent], now: DateTime<Utc>) -> Result<(), StoreError> {
    let prices = &shared.prices;
    let budget = prices.budget().unwrap_or_default();
    let goes_on = match prices.stops() {
        Stops::Reading => "metrics are not read until then where that costs, and posts go on",
        Stops::Everything => "nothing goes out until then where that costs",
    };
    let message = format!(
        "the budget of {} for {} is used up: {} by the list of prices; it is whole again on {}, and {goes_on}; \
         a higher POSTQ_BUDGET ends that sooner",
        prices.show(budget),
        now.format("%B %Y"),
        prices.show(total(spent)),
        renews_at(now).format("%Y-%m-%d"),
    );
    let notice = Notice::new(NoticeKind::BudgetUsedUp, message);
    let key = format!("budget:{}:{budget}", month(now));
    let jobs: Vec<_> = to_tell(&shared.channels, &notice, &key, now).collect();
    let made = shared.bounded("tell of the budget", shared.backend.jobs.insert(&jobs)).await?;
    if !made.is_empty() {
        let (spent, budget) = (prices.show(total(spent)), prices.show(budget));
        tracing::warn!(spent, budget, "the month's budget is used up");
    }
    Ok(())
}

/// Lets the priced platforms stand still, or go on if nothing else holds them.
async fn hold(shared: &Shared, is_held: bool, now: DateTime<Utc>) -> Result<(), StoreError> {
    let blocks = shared.bounded("list blocks", shared.backend.blocks.blocks()).await?;
    let until = renews_at(now);
    for platform in shared.prices.platforms() {
        let scope = format!("{platform}/");
        let there = blocks.iter().any(|b| b.scope == scope && b.reason == BlockReason::Budget);
        if is_held == there {
            continue;
        }
        let store = &shared.backend.blocks;
        if is_held {
            let note = "the month's budget is used up".to_owned();
            let block = Block { scope, reason: BlockReason::Budget, until: Some(until), note };
            shared.bounded("stop for the budget", store.block(&block)).await?;
        } else {
            let lift = store.lift(&scope, BlockReason::Budget);
            shared.bounded("go on with a budget", lift).await?;
        }
    }
    Ok(())
}
