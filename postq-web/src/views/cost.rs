//! What calls cost, and what they have cost.

use chrono::{DateTime, Utc};
use postq_core::price::{CallKind, Spent};
use postq_engine::desk::Cost;
use postq_engine::prices::{Prices, Stops, total};
use serde::Serialize;
use utoipa::ToSchema;

/// What a post comes to, by the list of prices. Amounts are in millionths of the currency.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Cost)]
pub(crate) struct CostView {
    /// Three letters.
    #[schema(example = "USD")]
    currency: String,
    /// What one time costs, to all its accounts, its metrics among it.
    #[schema(example = 29_000)]
    micros: u64,
    /// What that is made of.
    calls: Vec<CallsView>,
    /// The next 30 days; null where it goes out once.
    #[schema(required)]
    month: Option<MonthCostView>,
}

impl CostView {
    pub(crate) fn new(prices: &Prices, cost: Cost) -> Self {
        Self {
            currency: prices.currency().to_owned(),
            micros: cost.micros,
            calls: cost.calls.into_iter().map(CallsView::from).collect(),
            month: cost
                .month
                .map(|month| MonthCostView { times: month.times, micros: month.micros }),
        }
    }
}

/// What 30 days of a post that goes out again and again come to.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = MonthCost)]
pub(crate) struct MonthCostView {
    /// How often it goes out; told from the first 1,000 times, if there are more.
    times: u64,
    /// What that costs, in millionths of the currency.
    micros: u64,
}

/// Calls of one kind to one platform.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Calls)]
pub(crate) struct CallsView {
    platform: String,
    /// `publish` (a part), `publish_link` (a part with a link) or `read` (the counts of a publication).
    #[schema(value_type = String, example = "publish")]
    kind: CallKind,
    /// How many.
    calls: u64,
    /// What they cost, in millionths of the currency.
    micros: u64,
}

impl From<Spent> for CallsView {
    fn from(spent: Spent) -> Self {
        let Spent { platform, kind, calls, micros, .. } = spent;
        Self { platform: platform.to_string(), kind, calls, micros }
    }
}

/// What calls of a month have cost, by the list of prices. Amounts are in millionths of the currency.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Spending)]
pub(crate) struct SpendingView {
    /// The month, by UTC.
    #[schema(example = "2026-11")]
    month: String,
    /// Three letters.
    currency: String,
    /// Whether anything has a price: nothing is counted without one.
    has_prices: bool,
    /// What was called for.
    items: Vec<CallsView>,
    /// What it cost in all.
    micros: u64,
    /// The budget of a month; null without one.
    #[schema(required)]
    budget_micros: Option<u64>,
    /// What is left of it; null without one.
    #[schema(required)]
    left_micros: Option<u64>,
    /// What stops when it is used up: `reading` (of metrics) or `everything`.
    stops: &'static str,
    /// When the next month begins.
    renews_at: DateTime<Utc>,
}

impl SpendingView {
    pub(crate) fn new(
        prices: &Prices,
        spent: Vec<Spent>,
        (month, renews_at): (String, DateTime<Utc>),
    ) -> Self {
        Self {
            month,
            currency: prices.currency().to_owned(),
            has_prices: !prices.is_empty(),
            micros: total(&spent),
            budget_micros: prices.budget(),
            left_micros: prices.left(&spent),
            items: spent.into_iter().map(CallsView::from).collect(),
            stops: match prices.stops() {
                Stops::Reading => "reading",
                Stops::Everything => "everything",
            },
            renews_at,
        }
    }
}
