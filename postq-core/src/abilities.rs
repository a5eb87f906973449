//! What a platform can do, told from its code: so that what people read of it cannot be out of date.

use serde::Serialize;

use crate::limiter::Rate;
use crate::media::{KindLimits, MediaLimits};
use crate::options::OptionField;
use crate::platform::{MetricField, Platform, PlatformName};

/// What a platform can do.
#[derive(Clone, Debug, Serialize)]
pub struct Abilities {
    /// Its name.
    pub platform: PlatformName,
    /// The longest text of one part, as it counts; none where it does not say.
    pub text: Option<usize>,
    /// How many parts a post may have; 1 where there are no threads.
    pub parts: usize,
    /// What else it wants to know of a post.
    pub options: &'static [OptionField],
    /// Pictures and videos; none where it takes none.
    pub media: Option<MediaAbilities>,
    /// How a call without an answer is found out.
    pub unknown: Witness,
    /// What it counts; empty where nothing is read.
    pub metrics: Vec<&'static str>,
    /// How many posts of one account it takes in any 24 hours.
    pub daily: Option<u32>,
    /// For all accounts of the app together.
    pub app_rate: Option<Spoken>,
    /// For one account.
    pub account_rate: Option<Spoken>,
    /// Whether accounts are connected at the platform, with OAuth.
    pub connects: bool,
    /// Whether tokens are renewed.
    pub renews: bool,
    /// Whether the platform is asked for its own rules before a post is taken in, and again before it is sent.
    pub preflight: bool,
    /// Whether a post is built there ahead of time, and published by a second call.
    pub builds_ahead: bool,
}

/// How it is found out what became of a call without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Witness {
    /// The platform is asked; that nothing is there is believed so long after.
    Asking {
        /// In seconds.
        settle_seconds: u64,
    },
    /// Nobody can be asked: the account's `on_unknown` decides.
    Nobody,
}

/// So many calls in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spoken {
    /// How many.
    pub calls: u32,
    /// In how long, in seconds.
    pub seconds: u64,
}

impl From<Rate> for Spoken {
    fn from(rate: Rate) -> Self {
        let (calls, window) = rate.spoken();
        Self { calls, seconds: window.as_secs() }
    }
}

/// What a platform takes of pictures and videos.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MediaAbilities {
    /// How many in one part.
    pub most: usize,
    /// Whether one part may have files of several classes.
    pub mixed: bool,
    /// The longest description, in characters; 0 where it takes none.
    pub alt: usize,
    /// Still pictures.
    pub image: Option<ClassAbilities>,
    /// GIFs.
    pub animation: Option<ClassAbilities>,
    /// Videos.
    pub video: Option<ClassAbilities>,
}

/// What a platform takes of one class of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassAbilities {
    /// Which kinds.
    pub kinds: Vec<&'static str>,
    /// How many in one part, where it has no others.
    pub most: usize,
    /// The largest file.
    pub bytes: u64,
    /// The widest, in pixels.
    pub width: Option<u32>,
    /// The highest, in pixels.
    pub height: Option<u32>,
    /// The longest, in milliseconds.
    pub milliseconds: Option<u128>,
}

impl Abilities {
    /// What a platform can do.
    pub fn of(platform: &dyn Platform) -> Self {
        let pace = platform.pace();
        let fields = platform.metrics().map_or(&[][..], |metrics| metrics.fields());
        Self {
            platform: platform.name().clone(),
            text: platform.measure().map(|measure| measure.measure("").limit),
            parts: platform.most_parts(),
            options: platform.options(),
            media: platform.media().map(|media| media.limits().into()),
            unknown: platform.reconcile().map_or(Witness::Nobody, |reconcile| Witness::Asking {
                settle_seconds: reconcile.settle_time().as_secs(),
            }),
            metrics: fields.iter().map(|field: &MetricField| field.name).collect(),
            daily: pace.daily.map(|daily| daily.get()),
            app_rate: pace.app.map(Spoken::from),
            account_rate: pace.account.map(Spoken::from),
            connects: platform.connect().is_some(),
            renews: platform.refresh().is_some(),
            preflight: platform.preflight().is_some(),
            builds_ahead: platform.stage().is_some(),
        }
    }
}

impl From<MediaLimits> for MediaAbilities {
    fn from(limits: MediaLimits) -> Self {
        let class = |limits: Option<KindLimits>| limits.map(ClassAbilities::from);
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

impl From<KindLimits> for ClassAbilities {
    fn from(limits: KindLimits) -> Self {
        Self {
            kinds: limits.kinds.iter().map(|kind| kind.as_str()).collect(),
            most: limits.most,
            bytes: limits.bytes,
            width: limits.width,
            height: limits.height,
            milliseconds: limits.duration.map(|duration| duration.end().as_millis()),
        }
    }
}
