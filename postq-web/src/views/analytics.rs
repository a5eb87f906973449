//! What metrics say.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use postq_core::account::Account;
use postq_core::id::{PostId, PublicationId};
use postq_core::metrics::{DayTotals, Followed, Snapshot};
use postq_engine::analytics::best_times::{BestTimes, Hour, LEAST_HOURS, LEAST_POSTS};
use postq_engine::analytics::compare::{AtAge, Compared, median};
use postq_engine::analytics::growth::{Point, half_life};
use postq_engine::analytics::totals::Totals;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What an account came to in a span of days.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnalyticsSummary)]
pub(crate) struct SummaryView {
    pub(crate) account_id: Uuid,
    pub(crate) account_name: String,
    /// The first day, by UTC,
    pub(crate) from: NaiveDate,
    /// and the day after the last.
    pub(crate) until: NaiveDate,
    /// Publications that came out in it and have metrics.
    pub(crate) publications: u64,
    /// What these have been counted to by now, by the platform's names.
    pub(crate) made: BTreeMap<String, i64>,
    /// What was counted more in it, whenever the publication came out. A count may fall.
    pub(crate) gained: BTreeMap<String, i64>,
    /// Its days, those without anything left out.
    pub(crate) days: Vec<DayView>,
    /// The publications with the most engagement among the newest of the span.
    pub(crate) best: Vec<ComparedView>,
    /// How many of the newest `best` was chosen from.
    pub(crate) compared: usize,
    /// The newest publications of the span that have metrics.
    pub(crate) newest: Vec<ComparedView>,
}

/// A publication's post, and how that begins; none where it was taken away.
pub(crate) type PostOf = BTreeMap<PublicationId, (PostId, Option<String>)>;

/// Those of the compared that are shown: the best, and the newest.
pub(crate) struct Picked {
    pub(crate) best: Vec<Compared>,
    pub(crate) newest: Vec<Compared>,
    compared: usize,
}

impl Picked {
    pub(crate) fn of(compared: Vec<Compared>) -> Self {
        const SHOWN: usize = 10;
        let best = compared.iter().take(SHOWN).cloned().collect();
        let (count, mut newest) = (compared.len(), compared);
        newest.sort_by_key(|one| (std::cmp::Reverse(one.published_at), one.id));
        newest.truncate(SHOWN);
        Self { best, newest, compared: count }
    }
}

impl SummaryView {
    pub(crate) fn new(
        account: &Account,
        span: (NaiveDate, NaiveDate),
        days: Vec<DayTotals>,
        totals: Totals,
        picked: Picked,
        posts: &PostOf,
    ) -> Self {
        let shown = |compared| ComparedView::new(compared, posts);
        Self {
            account_id: account.id.as_uuid(),
            account_name: account.name.clone(),
            from: span.0,
            until: span.1,
            publications: totals.publications,
            made: totals.made,
            gained: totals.gained,
            days: days.into_iter().map(DayView::from).collect(),
            compared: picked.compared,
            best: picked.best.into_iter().map(shown).collect(),
            newest: picked.newest.into_iter().map(shown).collect(),
        }
    }
}

/// What an account came to on one day, by UTC.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnalyticsDay)]
pub(crate) struct DayView {
    day: NaiveDate,
    /// Publications that came out on it and have metrics.
    publications: u64,
    /// What these have been counted to by now.
    made: BTreeMap<String, i64>,
    /// What was counted more on it.
    gained: BTreeMap<String, i64>,
}

impl From<DayTotals> for DayView {
    fn from(day: DayTotals) -> Self {
        let DayTotals { day, publications, made, gained } = day;
        Self { day, publications, made, gained }
    }
}

/// A publication beside others.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ComparedPublication)]
pub(crate) struct ComparedView {
    publication_id: Uuid,
    /// The post that it is of.
    #[schema(required)]
    post_id: Option<Uuid>,
    /// How that begins; null where it was taken away.
    #[schema(required)]
    gist: Option<String>,
    published_at: DateTime<Utc>,
    /// What people did with it: the sum of what the platform calls engagement.
    engagement: u64,
    /// How many may have seen it; null where nobody counted.
    #[schema(required)]
    reach: Option<u64>,
    /// Engagement by reach; null where nobody may have seen it.
    #[schema(required)]
    rate: Option<f64>,
    /// Its engagement as a multiple of the median of all that it is compared with; null where that is 0.
    #[schema(required)]
    of_usual: Option<f64>,
}

impl ComparedView {
    fn new(compared: Compared, posts: &PostOf) -> Self {
        let Compared { id, published_at, engagement, reach, rate, of_usual } = compared;
        let (post, gist) = posts.get(&id).cloned().unzip();
        Self {
            publication_id: id.as_uuid(),
            post_id: post.map(|id| id.as_uuid()),
            gist: gist.flatten(),
            published_at,
            engagement,
            reach,
            rate,
            of_usual,
        }
    }
}

/// Publications at one age.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Comparison)]
pub(crate) struct ComparisonView {
    /// The age, in seconds; null if nothing was counted.
    #[schema(required)]
    age_seconds: Option<i64>,
    /// The most engagement first; those that were not counted for so long last.
    publications: Vec<ComparedAt>,
}

impl ComparisonView {
    pub(crate) fn new(age: Option<TimeDelta>, mut publications: Vec<ComparedAt>) -> Self {
        publications.sort_by_key(|one| (std::cmp::Reverse(one.engagement), one.publication_id));
        let counted: Vec<u64> = publications.iter().filter_map(|one| one.engagement).collect();
        let usual = median(&counted).filter(|usual| *usual > 0.0);
        for one in &mut publications {
            one.of_usual = one.engagement.zip(usual).map(|(count, usual)| count as f64 / usual);
        }
        Self { age_seconds: age.map(|age| age.num_seconds()), publications }
    }
}

/// A publication at an age.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ComparedAtAge)]
pub(crate) struct ComparedAt {
    publication_id: Uuid,
    post_id: Uuid,
    account_id: Uuid,
    /// Null where the account is gone.
    #[schema(required)]
    account_name: Option<String>,
    /// Null where the account is gone.
    #[schema(required)]
    platform: Option<String>,
    url: Option<String>,
    published_at: DateTime<Utc>,
    /// `shown`, `hidden` or `deleted`, as it was counted last; null before anything was counted.
    #[schema(required)]
    state: Option<&'static str>,
    /// What people had done with it; null if it was not counted for so long.
    #[schema(required)]
    engagement: Option<u64>,
    /// How many may have seen it; null where nobody counted.
    #[schema(required)]
    reach: Option<u64>,
    /// Engagement by reach; null where nobody may have seen it.
    #[schema(required)]
    rate: Option<f64>,
    /// Its engagement as a multiple of the median of these; null where that is 0.
    #[schema(required)]
    of_usual: Option<f64>,
    /// All counts, by the platform's names.
    counts: BTreeMap<String, u64>,
}

impl ComparedAt {
    pub(crate) fn new(of: Followed, account: Option<&Account>, at: Option<AtAge>) -> Self {
        Self {
            publication_id: of.id.as_uuid(),
            post_id: of.post_id.as_uuid(),
            account_id: of.account_id.as_uuid(),
            account_name: account.map(|account| account.name.clone()),
            platform: account.map(|account| account.platform.to_string()),
            url: of.url,
            published_at: of.published_at,
            state: of.latest.as_ref().map(|latest| latest.state.as_str()),
            engagement: at.as_ref().map(|at| at.engagement),
            reach: at.as_ref().and_then(|at| at.reach),
            rate: at.as_ref().and_then(|at| at.rate),
            of_usual: None,
            counts: at.map(|at| at.counts).unwrap_or_default(),
        }
    }
}

/// How a publication has done since it came out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublicationAnalytics)]
pub(crate) struct PublicationAnalyticsView {
    publication_id: Uuid,
    post_id: Uuid,
    /// How the post begins; null where it was taken away.
    #[schema(required)]
    gist: Option<String>,
    account_id: Uuid,
    url: Option<String>,
    published_at: DateTime<Utc>,
    /// `shown`, `hidden` or `deleted`; null before anything was counted.
    #[schema(required)]
    state: Option<&'static str>,
    /// When its metrics are polled next; null in the end, and before that is planned.
    #[schema(required)]
    next_poll_at: Option<DateTime<Utc>>,
    /// What it was counted to last, by the platform's names.
    counts: BTreeMap<String, u64>,
    /// How long it took to half of the engagement that it has, in seconds; null without any.
    #[schema(required)]
    half_life_seconds: Option<i64>,
    /// What was counted when, oldest first.
    points: Vec<PointView>,
}

impl PublicationAnalyticsView {
    pub(crate) fn new(of: Followed, gist: Option<String>, points: Vec<Point>) -> Self {
        Self {
            publication_id: of.id.as_uuid(),
            post_id: of.post_id.as_uuid(),
            gist,
            account_id: of.account_id.as_uuid(),
            url: of.url,
            published_at: of.published_at,
            state: of.latest.as_ref().map(|latest| latest.state.as_str()),
            next_poll_at: of.poll_at.filter(|at| *at > Followed::UNPLANNED),
            counts: of.latest.as_ref().map(Snapshot::counts).unwrap_or_default(),
            half_life_seconds: half_life(&points).map(|age| age.num_seconds()),
            points: points.into_iter().map(PointView::from).collect(),
        }
    }
}

/// A publication at one moment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnalyticsPoint)]
pub(crate) struct PointView {
    at: DateTime<Utc>,
    /// How long it had been out.
    age_seconds: i64,
    /// `shown`, `hidden` or `deleted`.
    state: &'static str,
    /// By the platform's names; empty where nothing was shown.
    counts: BTreeMap<String, u64>,
    engagement: u64,
    #[schema(required)]
    reach: Option<u64>,
    /// Since the point before, or since it came out; it may fall.
    engagement_per_hour: f64,
}

impl From<Point> for PointView {
    fn from(point: Point) -> Self {
        Self {
            at: point.at,
            age_seconds: point.age.num_seconds(),
            state: point.state.as_str(),
            counts: point.counts,
            engagement: point.engagement,
            reach: point.reach,
            engagement_per_hour: point.engagement_per_hour,
        }
    }
}

/// At which hours of the local week an account's posts did well, and how sure that is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BestTimes)]
pub(crate) struct BestTimesView {
    account_id: Uuid,
    account_name: String,
    /// The zone whose clocks the hours are read from.
    tz: String,
    /// Whether there is enough to say anything.
    enough_data: bool,
    /// Posts that it is told from: those that have been out for two days.
    posts: usize,
    /// Posts that are needed.
    needs_posts: usize,
    /// Different hours at which posts must have come out.
    needs_hours: usize,
    /// How much of the differences between hours is more than chance, from 0 to 1; null without enough
    /// data.
    #[schema(required)]
    certainty: Option<f64>,
    /// The hours at which posts came out, the most promising first; empty without enough data.
    hours: Vec<HourView>,
    /// The next time that begins the best of the good hours; null if none is good.
    #[schema(required)]
    next_at: Option<DateTime<Utc>>,
}

impl BestTimesView {
    pub(crate) fn new(
        account: &Account,
        tz: String,
        told: BestTimes,
        next_at: Option<DateTime<Utc>>,
    ) -> Self {
        let (enough_data, posts, certainty, hours) = match told {
            BestTimes::NotEnoughData { posts, .. } => (false, posts, None, Vec::new()),
            BestTimes::Told { posts, hours, certainty } => (true, posts, Some(certainty), hours),
        };
        Self {
            account_id: account.id.as_uuid(),
            account_name: account.name.clone(),
            tz,
            enough_data,
            posts,
            needs_posts: LEAST_POSTS,
            needs_hours: LEAST_HOURS,
            certainty,
            hours: hours.into_iter().map(HourView::from).collect(),
            next_at,
        }
    }
}

/// An hour of the local week.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BestHour)]
pub(crate) struct HourView {
    /// `mon` to `sun`.
    weekday: String,
    /// From 0 to 23.
    hour: u32,
    /// Posts that came out in it.
    posts: usize,
    /// What a post may expect, as a multiple of what the account's posts usually get.
    lift: f64,
    /// Nineteen times in twenty the true one is above this
    low: f64,
    /// and below this.
    high: f64,
    /// Whether it is surely better than usual.
    good: bool,
}

impl From<Hour> for HourView {
    fn from(hour: Hour) -> Self {
        Self {
            weekday: hour.weekday.to_string().to_lowercase(),
            hour: hour.hour,
            posts: hour.posts,
            lift: hour.lift,
            low: hour.low,
            high: hour.high,
            good: hour.is_good(),
        }
    }
}
