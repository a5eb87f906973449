//! `/api/platforms`: what each platform can do, told from its code.

use axum::Json;
use axum::extract::State;
use postq_core::limiter::Rate;
use postq_core::media::{KindLimits, MediaLimits};
use postq_core::options::{OptionField, OptionKind};
use postq_core::platform::Platform;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::router::{Route, route};
use crate::web::App;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(platforms));
}

/// The platforms that this node knows.
#[derive(Debug, Serialize, ToSchema)]
struct Platforms {
    items: Vec<PlatformView>,
}

/// What a platform can do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlatformAbilities)]
struct PlatformView {
    #[schema(example = "x")]
    platform: String,
    /// The longest text of one part, as the platform counts; null where it says none.
    text: Option<usize>,
    /// How many parts a post may have; 1 where there are no threads, null where there may be any number.
    parts: Option<usize>,
    /// What else it wants to know of a post.
    options: Vec<OptionView>,
    /// What it takes of pictures and videos; null where it takes none.
    media: Option<MediaView>,
    /// Whether the platform is asked what became of a call without an answer: then that nothing is out is
    /// believed so many seconds later. Null where nobody can be asked, and the account's `on_unknown` decides.
    settle_seconds: Option<u64>,
    /// What it counts; empty where nothing is read.
    metrics: Vec<&'static str>,
    /// How many posts of one account it takes in any 24 hours.
    daily: Option<u32>,
    /// How fast may be published, for all accounts of the app together.
    app_rate: Option<RateView>,
    /// How fast may be published, for one account.
    account_rate: Option<RateView>,
    /// Whether accounts are connected at the platform, with OAuth.
    connects: bool,
    /// What a person may have several of there, in one word; `identity` then says which is connected.
    #[schema(example = "Page")]
    several: Option<&'static str>,
    /// Whether its tokens are renewed.
    renews: bool,
    /// Whether it is asked for its own rules before a post is taken in and again before it is sent.
    preflight: bool,
    /// Whether a post is built there ahead of time, and published by a second call.
    builds_ahead: bool,
}

/// Something that a platform wants to know of a post.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlatformOption)]
struct OptionView {
    #[schema(example = "subreddit")]
    name: &'static str,
    /// `flag`, `number`, `text`, `choice` or `list`.
    kind: &'static str,
    /// Whether every post needs it.
    required: bool,
    /// What it is.
    about: &'static str,
    /// The least number.
    least: Option<i64>,
    /// The most: of a number itself, of a text its characters, of a list its entries.
    most: Option<i64>,
    /// The words of a choice.
    choices: &'static [&'static str],
}

/// What a platform takes of pictures and videos.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlatformMedia)]
struct MediaView {
    /// How many in one part.
    most: usize,
    /// Whether one part may have files of several classes.
    mixed: bool,
    /// The longest description, in characters; 0 where it takes none.
    alt: usize,
    /// Still pictures.
    image: Option<ClassView>,
    /// GIFs.
    animation: Option<ClassView>,
    /// Videos.
    video: Option<ClassView>,
}

/// What a platform takes of one class of files.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlatformMediaClass)]
struct ClassView {
    #[schema(example = json!(["JPEG", "PNG"]))]
    kinds: Vec<&'static str>,
    /// How many in one part that has no others.
    most: usize,
    /// The largest file.
    bytes: u64,
    /// The widest, in pixels.
    width: Option<u32>,
    /// The highest, in pixels.
    height: Option<u32>,
    /// The longest, in seconds.
    seconds: Option<f64>,
}

/// So many calls in so many seconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlatformRate)]
struct RateView {
    calls: u32,
    per_seconds: f64,
}

/// Shows what each platform can do: how long a text may be, what media it takes, what else it wants to know.
#[utoipa::path(get, path = "/api/platforms", tag = "operation", operation_id = "platforms",
    security(("token" = ["read"])),
    responses((status = 200, description = "the platforms that this node knows", body = Platforms)))]
async fn platforms(State(app): State<App>) -> Result<Json<Platforms>, Problem> {
    let known = app.web.engine.platforms();
    let items = known.names().filter_map(|name| known.get(name)).map(|it| PlatformView::of(&**it));
    Ok(Json(Platforms { items: items.collect() }))
}

impl PlatformView {
    fn of(platform: &dyn Platform) -> Self {
        let pace = platform.pace();
        let fields = platform.metrics().map_or(&[][..], |metrics| metrics.fields());
        Self {
            platform: platform.name().to_string(),
            text: platform.measure().map(|measure| measure.measure("").limit),
            parts: Some(platform.most_parts()).filter(|most| *most < usize::MAX),
            options: platform.options().iter().map(OptionView::from).collect(),
            media: platform.media_rules().map(|media| media.limits().into()),
            settle_seconds: platform.reconcile().map(|by| by.settle_time().as_secs()),
            metrics: fields.iter().map(|field| field.name).collect(),
            daily: pace.daily.map(|daily| daily.get()),
            app_rate: pace.app.map(RateView::from),
            account_rate: pace.account.map(RateView::from),
            connects: platform.connect().is_some(),
            several: platform.connect().and_then(|connect| connect.several()),
            renews: platform.refresh().is_some(),
            preflight: platform.preflight().is_some(),
            builds_ahead: platform.stage().is_some(),
        }
    }
}

impl From<&OptionField> for OptionView {
    fn from(field: &OptionField) -> Self {
        let count = |most: usize| Some(i64::try_from(most).unwrap_or(i64::MAX));
        let (kind, least, most, choices) = match field.kind {
            OptionKind::Flag => ("flag", None, None, &[][..]),
            OptionKind::Number { least, most } => ("number", Some(least), Some(most), &[][..]),
            OptionKind::Text { most } => ("text", None, count(most), &[][..]),
            OptionKind::Choice { of } => ("choice", None, None, of),
            OptionKind::List { most } => ("list", None, count(most), &[][..]),
        };
        let OptionField { name, required, about, .. } = *field;
        Self { name, kind, required, about, least, most, choices }
    }
}

impl From<MediaLimits> for MediaView {
    fn from(limits: MediaLimits) -> Self {
        let class = |limits: Option<KindLimits>| limits.map(ClassView::from);
        Self {
            most: limits.most,
            mixed: limits.mixed,
            alt: limits.alt,
            image: class(limits.image),
            animation: class(limits.animation),
            video: class(limits.video),
        }
    }
}

impl From<KindLimits> for ClassView {
    fn from(limits: KindLimits) -> Self {
        Self {
            kinds: limits.kinds.iter().map(|kind| kind.as_str()).collect(),
            most: limits.most,
            bytes: limits.bytes,
            width: limits.width,
            height: limits.height,
            seconds: limits.duration.map(|duration| duration.end().as_secs_f64()),
        }
    }
}

impl From<Rate> for RateView {
    fn from(rate: Rate) -> Self {
        let (calls, window) = rate.spoken();
        Self { calls, per_seconds: window.as_secs_f64() }
    }
}
