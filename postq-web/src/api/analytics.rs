//! `/api/analytics/…`: what metrics say, read through the cache.
//!
//! A cached answer is kept under the version of its account's metrics: with the next snapshot it is asked
//! for under another key, and nobody has to be told to forget the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};
use postq_calendar::{duration, zone};
use postq_core::account::Account;
use postq_core::cache::Make;
use postq_core::id::{AccountId, PostId, PublicationId};
use postq_core::metrics::Followed;
use postq_core::platform::MetricField;
use postq_core::price;
use postq_engine::analytics::best_times::{MOST_SAMPLES, SAMPLED, best_times, next_good};
use postq_engine::analytics::compare::{at_age, common_age, compare};
use postq_engine::analytics::growth::{Point, growth};
use postq_engine::analytics::samples;
use postq_engine::analytics::totals::totals;
use postq_engine::prices::renews_at;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::accounts::named;
use super::jobs::MOST_GIST;
use crate::extract::{Id, Query};
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::views::analytics::{
    BestTimesView, ComparedAt, ComparisonView, Picked, PostOf, PublicationAnalyticsView,
    SummaryView,
};
use crate::views::cost::SpendingView;
use crate::views::post::gist;
use crate::web::{App, Shared};

/// The longest span of one answer.
const MOST_DAYS: i64 = 3_660;

/// Publications that are compared with one another: the newest.
const MOST_COMPARED: usize = 200;

/// Publications that are named to be compared.
const MOST_NAMED: usize = 20;

/// Answers are kept for so long, if nothing new is counted. What they say of the time of asking may be as
/// old.
const KEPT: Duration = Duration::from_secs(3_600);

/// A time that is nearer than this is too near to be proposed.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(publication));
    add(route!(summary));
    add(route!(comparison));
    add(route!(spending));
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

/// Which publications, and at which age.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Named {
    /// The ids of up to 20 publications, with commas between.
    publications: String,
    /// So long after they came out; as long as all of them were counted if left out.
    #[param(example = "24h")]
    age: Option<String>,
}

/// Which month.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfMonth {
    /// The month, by UTC; this one if left out.
    #[param(example = "2026-11")]
    month: Option<String>,
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
        let picked = Picked::of(compare(&out, fields(&app, &account)));
        let shown: BTreeSet<_> =
            picked.best.iter().chain(&picked.newest).map(|one| one.id).collect();
        let posts = posts_of(&app, out.iter().filter(|one| shown.contains(&one.id))).await?;
        let all = totals(&days);
        Ok(SummaryView::new(&account, (from, until), days, all, picked, &posts))
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
) -> Result<Json<PublicationAnalyticsView>, Problem> {
    grown(&app, id).await
}

/// How a publication has done since it came out.
pub(super) async fn grown(
    app: &Shared,
    id: PublicationId,
) -> Result<Json<PublicationAnalyticsView>, Problem> {
    let backend = app.web.engine.backend();
    let found = backend.metrics.find(&[id]).await?;
    let own = found.into_iter().find(|one| one.tenant_id == app.desk.tenant());
    let one = own.ok_or_else(|| Problem::not_found(format_args!("publication {id}")))?;
    let account = backend.accounts.load(&[one.account_id]).await?.into_iter().next();
    let fields = account.as_ref().map_or(&[][..], |account| fields(app, account));
    let series = backend.metrics.of(id).await?;
    let points = growth(one.published_at, &series, fields);
    let posts = posts_of(app, std::iter::once(&one)).await?;
    let gist = posts.into_values().next().and_then(|(_, gist)| gist);
    Ok(Json(PublicationAnalyticsView::new(one, gist, points)))
}

/// The posts that publications are of, and how they begin.
async fn posts_of(app: &Shared, all: impl Iterator<Item = &Followed>) -> Result<PostOf, Problem> {
    let ids: BTreeMap<PublicationId, PostId> = all.map(|one| (one.id, one.post_id)).collect();
    let posts = app.desk.posts_with(ids.values().copied().collect()).await?;
    let of = |(id, post)| (id, (post, posts.get(&post).map(|post| gist(post, MOST_GIST))));
    Ok(ids.into_iter().map(of).collect())
}

/// Compares publications as they were at one age, the most engagement first.
///
/// Between two polls a publication is taken to have grown evenly. One that was not counted for so long comes
/// last, without figures.
#[utoipa::path(get, path = "/api/analytics/compare", tag = "analytics", params(Named),
    operation_id = "analytics_compare", security(("token" = ["read"])),
    responses((status = 200, description = "beside one another", body = ComparisonView)))]
async fn comparison(
    State(app): State<App>,
    Query(named): Query<Named>,
) -> Result<Json<ComparisonView>, Problem> {
    let ids = ids(&named.publications)?;
    let age = named.age.as_deref().map(age).transpose()?;
    let backend = app.web.engine.backend();
    let mut found = backend.metrics.find(&ids).await?;
    found.retain(|one| one.tenant_id == app.desk.tenant());
    if let Some(missing) = ids.iter().find(|id| found.iter().all(|one| one.id != **id)) {
        return Err(Problem::not_found(format_args!("publication {missing}")));
    }
    let accounts = accounts(&app, &found).await?;
    let mut all: Vec<(Followed, Vec<Point>)> = Vec::with_capacity(found.len());
    for one in found {
        let series = backend.metrics.of(one.id).await?;
        let points = growth(one.published_at, &series, fields_of(&app, &accounts, &one));
        all.push((one, points));
    }
    let age = age.or_else(|| common_age(all.iter().map(|(_, points)| points.as_slice())));
    let compared = all.into_iter().map(|(one, points)| {
        let at = age.and_then(|age| at_age(&points, age, fields_of(&app, &accounts, &one)));
        let account = accounts.get(&one.account_id);
        ComparedAt::new(one, account, at)
    });
    Ok(Json(ComparisonView::new(age, compared.collect())))
}

/// Shows what calls to platforms have cost in a month, by the list of prices, and what is left of the budget.
#[utoipa::path(get, path = "/api/analytics/spending", tag = "analytics", params(OfMonth),
    operation_id = "analytics_spending", security(("token" = ["read"])),
    responses((status = 200, description = "by platform and kind", body = SpendingView)))]
async fn spending(
    State(app): State<App>,
    Query(of): Query<OfMonth>,
) -> Result<Json<SpendingView>, Problem> {
    let backend = app.web.engine.backend();
    let month = match &of.month {
        Some(text) => day("month", &format!("{text}-01")).map_err(|_| {
            let why = format!("\"{text}\" is no month; expected one such as 2026-12");
            Problem::invalid("month", why)
        })?,
        None => price::month(backend.jobs.now().await?),
    };
    let spent = backend.metrics.spent(month).await?;
    let named = (month.format("%Y-%m").to_string(), renews_at(midnight(month)));
    Ok(Json(SpendingView::new(app.web.engine.prices(), spent, named)))
}

/// The publications that are named, each once.
fn ids(text: &str) -> Result<Vec<PublicationId>, Problem> {
    let mut ids: Vec<PublicationId> = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let id = word.parse().map_err(|_| {
            Problem::invalid("publications", format!("\"{word}\" is no id of a publication"))
        })?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    match ids.len() {
        0 => Err(Problem::invalid("publications", "names none; expected 1 to 20 ids")),
        1..=MOST_NAMED => Ok(ids),
        n => Err(Problem::invalid(
            "publications",
            format!("names {n}, expected at most {MOST_NAMED}"),
        )),
    }
}

fn age(text: &str) -> Result<TimeDelta, Problem> {
    let age = duration::parse(text).map_err(|error| Problem::invalid("age", error.to_string()))?;
    TimeDelta::from_std(age).map_err(|error| Problem::invalid("age", error.to_string()))
}

/// The accounts of publications.
async fn accounts(app: &Shared, of: &[Followed]) -> Result<BTreeMap<AccountId, Account>, Problem> {
    let mut ids: Vec<AccountId> = of.iter().map(|one| one.account_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let accounts = app.web.engine.backend().accounts.load(&ids).await?;
    Ok(accounts.into_iter().map(|account| (account.id, account)).collect())
}

fn fields_of(
    app: &Shared,
    accounts: &BTreeMap<AccountId, Account>,
    one: &Followed,
) -> &'static [MetricField] {
    accounts.get(&one.account_id).map_or(&[][..], |account| fields(app, account))
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
    let sane = day.filter(|day| (1970..10_000).contains(&day.year()));
    sane.ok_or_else(|| {
        Problem::invalid(field, format!("\"{text}\" is no day; expected one such as 2026-12-01"))
    })
}
