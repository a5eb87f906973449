//! `/api/analytics/…`: what metrics say, read through the cache.
//!
//! A cached answer is kept under the version of its account's metrics: with the next snapshot it is asked
//! for under another key, and nobody has to be told to forget the old one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use postq_calendar::zone;
use postq_core::account::Account;
use postq_core::cache::Make;
use postq_core::id::PublicationId;
use postq_core::platform::MetricField;
use postq_engine::analytics::best_times::{MOST_SAMPLES, SAMPLED, best_times, next_good};
use postq_engine::analytics::compare::compare;
use postq_engine::analytics::growth::growth;
use postq_engine::analytics::samples;
use postq_engine::analytics::totals::totals;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::accounts::named;
use crate::extract::{Id, Query};
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::views::analytics::{BestTimesView, PublicationAnalyticsView, SummaryView};
use crate::web::{App, Shared};

/// The longest span of one answer.
const MOST_DAYS: i64 = 3_660;

/// Publications that are compared with one another: the newest.
const MOST_COMPARED: usize = 200;

/// Answers are kept for so long, if nothing new is counted. What they say of the time of asking may be as
/// old.
const KEPT: Duration = Duration::from_secs(3_600);

/// A time that is nearer than this is too near to be proposed.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(publication));
    add(route!(summary));
    add(route!(times));
}

/// Which account, and which days.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Span {
    /// The account, by name or id.
    account: String,
    /// From this day on, by UTC.
    #[param(example = "2026-01-01")]
    from: String,
    /// Up to this day, which is not shown itself.
    #[param(example = "2027-01-01")]
    until: String,
}

/// Which account, and whose clocks.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Clocks {
    /// The account, by name or id.
    account: String,
    /// An IANA time zone.
    #[param(example = "Europe/Berlin")]
    tz: String,
}

/// Shows what an account came to in a span of days.
///
/// At most 3,660 days. An answer may be an hour old, if nothing was counted since.
#[utoipa::path(get, path = "/api/analytics/summary", tag = "analytics", params(Span),
    operation_id = "analytics_summary", security(("token" = ["read"])),
    responses((status = 200, description = "in sum and by day", body = SummaryView)))]
async fn summary(State(app): State<App>, Query(span): Query<Span>) -> Result<Response, Problem> {
    let (from, until) = (day("from", &span.from)?, day("until", &span.until)?);
    if until <= from {
        return Err(Problem::invalid("until", "is not after `from`; give a later day"));
    }
    if until - from > TimeDelta::days(MOST_DAYS) {
        let detail = format!("is more than {MOST_DAYS} days after `from`; ask for less at once");
        return Err(Problem::invalid("until", detail));
    }
    let account = named(&app, &span.account).await?;
    let key = format!("summary:{from}:{until}");
    cached(&app, account, key, move |app, account| async move {
        let metrics = &app.web.engine.backend().metrics;
        let days = metrics.totals(account.id, &(from..until)).await?;
        let span = midnight(from)..midnight(until);
        let out = metrics.of_account(account.id, &span, MOST_COMPARED).await?;
        let compared = compare(&out, fields(&app, &account));
        let all = totals(&days);
        Ok(SummaryView::new(&account, (from, until), days, all, compared))
    })
    .await
}

/// Shows how a publication has done since it came out.
#[utoipa::path(get, path = "/api/analytics/publications/{id}", tag = "analytics",
    params(("id" = Uuid, Path, description = "The publication")),
    operation_id = "analytics_publication", security(("token" = ["read"])),
    responses((status = 200, description = "its series", body = PublicationAnalyticsView)))]
async fn publication(
    State(app): State<App>,
    Id(id): Id<PublicationId>,
) -> Result<axum::Json<PublicationAnalyticsView>, Problem> {
    let backend = app.web.engine.backend();
    let found = backend.metrics.find(&[id]).await?;
    let own = found.into_iter().find(|one| one.tenant_id == app.desk.tenant());
    let one = own.ok_or_else(|| Problem::not_found(format_args!("publication {id}")))?;
    let account = backend.accounts.load(&[one.account_id]).await?.into_iter().next();
    let fields = account.as_ref().map_or(&[][..], |account| fields(&app, account));
    let series = backend.metrics.of(id).await?;
    let points = growth(one.published_at, &series, fields);
    Ok(axum::Json(PublicationAnalyticsView::new(one, points)))
}

/// Shows at which hours of the local week an account's posts did well, and how sure that is.
///
/// Told from the posts of the last two years, at most the newest 5,000. Where there are too few it says so.
#[utoipa::path(get, path = "/api/analytics/best-times", tag = "analytics", params(Clocks),
    operation_id = "analytics_best_times", security(("token" = ["read"])),
    responses((status = 200, description = "the hours, the best first", body = BestTimesView)))]
async fn times(State(app): State<App>, Query(clocks): Query<Clocks>) -> Result<Response, Problem> {
    let tz = zone::check(&clocks.tz).map_err(|error| Problem::invalid("tz", error.to_string()))?;
    let account = named(&app, &clocks.account).await?;
    let key = format!("best-times:{tz}");
    cached(&app, account, key, move |app, account| async move {
        let backend = app.web.engine.backend();
        let now = backend.jobs.now().await?;
        let span = now - SAMPLED..now;
        let out = backend.metrics.of_account(account.id, &span, MOST_SAMPLES).await?;
        let samples = samples(&out, fields(&app, &account));
        let unknown =
            |error: postq_core::error::ScheduleError| Problem::invalid("tz", error.to_string());
        let told = best_times(&samples, &tz, now).map_err(unknown)?;
        let next = next_good(&told, &tz, now, AHEAD).map_err(unknown)?;
        Ok(BestTimesView::new(&account, tz, told, next))
    })
    .await
}

/// An answer of the cache, or one that is made now and kept there.
async fn cached<V, F>(
    app: &App,
    account: Account,
    key: String,
    make: impl FnOnce(App, Account) -> F + Clone + Send + 'static,
) -> Result<Response, Problem>
where
    V: Serialize + Send + 'static,
    F: Future<Output = Result<V, Problem>> + Send + 'static,
{
    let version = app.web.engine.backend().metrics.version(account.id).await?;
    let key = format!("analytics:{}:{version}:{key}", account.id);
    let kept: Make = {
        let (app, account, make) = (Arc::clone(app), account.clone(), make.clone());
        Box::new(move || {
            Box::pin(async move {
                let view = make(app, account).await.ok()?;
                serde_json::to_vec(&view).ok()
            })
        })
    };
    let body = match app.web.cache.get_or_set(&key, KEPT, kept).await {
        Some(body) => body,
        // It could not be made: again, to tell why.
        None => {
            let view = make(Arc::clone(app), account).await?;
            serde_json::to_vec(&view).expect("a view is plain data")
        }
    };
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// What the account's platform counts; nothing where this node does not know it.
fn fields(app: &Shared, account: &Account) -> &'static [MetricField] {
    let platform = app.web.engine.platforms().get(&account.platform);
    let metrics = platform.and_then(|platform| platform.metrics());
    metrics.map_or(&[], |metrics| metrics.fields())
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

fn day(field: &str, text: &str) -> Result<NaiveDate, Problem> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    // What a database can keep, and what people mean.
    let sane = day.filter(|day| (1970..10_000).contains(&chrono::Datelike::year(day)));
    sane.ok_or_else(|| {
        Problem::invalid(field, format!("\"{text}\" is no day; expected one such as 2026-12-01"))
    })
}
