//! Posts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postq_core::content::{Content, MediaRef, Part, Post, PostState};
use postq_core::fit::Fitting;
use postq_core::options::{OptionValue, PostOptions};
use postq_core::platform::{Length, PlatformName};
use postq_engine::desk::{Desk, PlatformPreview, PostLine, Preview};
use postq_engine::prices::Prices;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::{FieldProblem, Problem};
use crate::views::cost::CostView;
use crate::views::schedule::{MisfireRule, ScheduleRule, ScheduleView};

/// Values by name, by platform.
type PlatformOptions = BTreeMap<String, BTreeMap<String, OptionValue>>;

/// One text with its media: a post of one part, or one part of a thread.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Part)]
pub(crate) struct PartView {
    /// The text.
    pub(crate) text: String,
    /// Pictures and videos, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(nullable = false)]
    pub(crate) media: Vec<MediaView>,
}

/// A picture or video.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Media)]
pub(crate) struct MediaView {
    /// A path or a URL.
    source: String,
    /// What it shows, for those who cannot see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alt: Option<String>,
}

impl From<&Part> for PartView {
    fn from(part: &Part) -> Self {
        let media =
            |media: &MediaRef| MediaView { source: media.source.clone(), alt: media.alt.clone() };
        Self { text: part.text.clone(), media: part.media.iter().map(media).collect() }
    }
}

impl From<PartView> for Part {
    fn from(part: PartView) -> Self {
        let media = |media: MediaView| MediaRef { source: media.source, alt: media.alt };
        Self { text: part.text, media: part.media.into_iter().map(media).collect() }
    }
}

/// A post that is handed in. It has either `text` or `parts`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPost {
    /// What it says, in one part.
    pub(crate) text: Option<String>,
    /// The parts of a thread, or one part with media.
    pub(crate) parts: Option<Vec<PartView>>,
    /// Other parts for one platform, by its name.
    pub(crate) variants: Option<BTreeMap<String, Vec<PartView>>>,
    /// What else a platform wants to know, by its name: `{"reddit": {"subreddit": "rust"}}`.
    #[schema(value_type = Option<BTreeMap<String, BTreeMap<String, serde_json::Value>>>)]
    pub(crate) options: Option<PlatformOptions>,
    /// What is done where its text is too long for a platform: `shorten` it, or split it to a `thread`; it is
    /// refused if left out.
    pub(crate) fit: Option<FitRule>,
    /// To these accounts, by name or id. `dry_run:NAME` needs no account to be there.
    #[serde(default)]
    pub(crate) accounts: Vec<String>,
    /// A stable key of its own: one post of a key is taken in.
    pub(crate) key: Option<String>,
    /// Higher goes first.
    #[serde(default)]
    pub(crate) priority: i16,
    /// When; a draft without it.
    pub(crate) schedule: Option<ScheduleRule>,
    /// What happens when it is late; `fire_once` if left out.
    pub(crate) misfire: Option<MisfireRule>,
}

/// What is done with a text that is too long for a platform.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FitRule {
    /// Its end is left out, after a sentence or a word; a link at its end stays, with the hashtags after it.
    Shorten,
    /// It is split between sentences or words; shortened where the platform has no threads.
    Thread,
}

impl From<FitRule> for Fitting {
    fn from(rule: FitRule) -> Self {
        match rule {
            FitRule::Shorten => Self::Shorten,
            FitRule::Thread => Self::Thread,
        }
    }
}

impl From<Fitting> for FitRule {
    fn from(fitting: Fitting) -> Self {
        match fitting {
            Fitting::Shorten => Self::Shorten,
            Fitting::Thread => Self::Thread,
        }
    }
}

impl NewPost {
    pub(crate) fn content(&self) -> Result<Content, Problem> {
        let parts = match (&self.text, &self.parts) {
            (Some(text), None) => vec![Part::text(text.clone())],
            (None, Some(parts)) => parts.iter().cloned().map(Part::from).collect(),
            (Some(_), Some(_)) => {
                return Err(Problem::invalid(
                    "text",
                    "is there beside parts; expected one of the two",
                ));
            }
            (None, None) => {
                return Err(Problem::invalid("text", "is missing; expected text or parts"));
            }
        };
        let (variants, options) =
            (variants(self.variants.as_ref())?, options(self.options.as_ref())?);
        Ok(Content { parts, variants, options })
    }
}

fn variants(
    variants: Option<&BTreeMap<String, Vec<PartView>>>,
) -> Result<BTreeMap<PlatformName, Vec<Part>>, Problem> {
    let one = |(name, parts): (&String, &Vec<PartView>)| {
        let name = named("variants", name)?;
        Ok((name, parts.iter().cloned().map(Part::from).collect()))
    };
    variants.into_iter().flatten().map(one).collect()
}

fn options(
    options: Option<&PlatformOptions>,
) -> Result<BTreeMap<PlatformName, PostOptions>, Problem> {
    let given = options.into_iter().flatten().filter(|(_, values)| !values.is_empty());
    let one = |(name, values): (&String, &BTreeMap<String, OptionValue>)| {
        Ok((named("options", name)?, values.clone().into_iter().collect()))
    };
    given.map(one).collect()
}

fn named(field: &str, name: &str) -> Result<PlatformName, Problem> {
    name.parse().map_err(|_| {
        Problem::invalid(field, "a name cannot be one of a platform; expected a-z, 0-9, _")
    })
}

/// What is to change of a post; what is left out stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostChange {
    /// Another text, in one part; its media stay.
    text: Option<String>,
    /// Other parts.
    parts: Option<Vec<PartView>>,
    /// Other variants: all of them.
    variants: Option<BTreeMap<String, Vec<PartView>>>,
    /// Other options: all of them.
    #[schema(value_type = Option<BTreeMap<String, BTreeMap<String, serde_json::Value>>>)]
    options: Option<PlatformOptions>,
    /// What is done where its text is too long for a platform. What was made to fit before is made so again of
    /// the new text; as before if this is left out. Other `variants` are taken as they are.
    fit: Option<FitRule>,
}

impl PostChange {
    /// Other text or parts, and nothing else.
    pub(crate) fn of(text: Option<String>, parts: Option<Vec<PartView>>) -> Self {
        Self { text, parts, variants: None, options: None, fit: None }
    }

    /// What is done where its text is too long.
    pub(crate) fn fitting(&self) -> Option<Fitting> {
        self.fit.map(Into::into)
    }

    /// Whether it says itself what platforms get in the place of its text.
    pub(crate) fn has_variants(&self) -> bool {
        self.variants.is_some()
    }

    /// The content that is meant.
    pub(crate) fn applied_to(&self, old: &Content) -> Result<Content, Problem> {
        let mut content = old.clone();
        match (&self.text, &self.parts) {
            (None, None)
                if self.variants.is_none() && self.options.is_none() && self.fit.is_none() =>
            {
                return Err(Problem::invalid(
                    "text",
                    "nothing to change; expected text, parts, variants, options or fit",
                ));
            }
            (None, None) => {}
            (Some(text), None) => {
                let media = old.parts.first().map(|part| part.media.clone()).unwrap_or_default();
                content.parts = vec![Part { text: text.clone(), media }];
            }
            (None, Some(parts)) => content.parts = parts.iter().cloned().map(Part::from).collect(),
            (Some(_), Some(_)) => {
                return Err(Problem::invalid(
                    "text",
                    "is there beside parts; expected one of the two",
                ));
            }
        }
        if self.variants.is_some() {
            content.variants = variants(self.variants.as_ref())?;
        }
        if self.options.is_some() {
            content.options = options(self.options.as_ref())?;
        }
        Ok(content)
    }
}

/// A post and where it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Post)]
pub(crate) struct PostView {
    pub(crate) id: Uuid,
    /// Its own stable key.
    key: Option<String>,
    /// What it says; more than one part is a thread.
    parts: Vec<PartView>,
    /// Other parts for one platform.
    variants: BTreeMap<String, Vec<PartView>>,
    /// Which of these were made of the text to fit, and how: with another text they are made again.
    fitted: BTreeMap<String, FitRule>,
    /// What else a platform is told.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, serde_json::Value>>)]
    options: BTreeMap<PlatformName, PostOptions>,
    /// Where it stands: `draft`, `scheduled`, `published`, `partly_published`, `failed` or `cancelled`
    /// (called off, or missed).
    #[schema(value_type = String, example = "scheduled")]
    state: PostState,
    /// Rises by one with every edit; also its `ETag`.
    pub(crate) revision: u32,
    created_at: DateTime<Utc>,
    /// When it goes out.
    schedules: Vec<ScheduleView>,
    /// What it will cost; told where it was taken in, if that has a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<CostView>,
}

impl PostView {
    pub(crate) fn of(line: PostLine, desk: &Desk) -> Self {
        let fitted = desk.made_to_fit(&line.post.content).into_iter();
        let parts = |parts: &[Part]| parts.iter().map(PartView::from).collect();
        let PostLine { post, state, schedules } = line;
        let variants = post.content.variants.iter();
        Self {
            id: post.id.as_uuid(),
            parts: parts(&post.content.parts),
            variants: variants.map(|(name, v)| (name.to_string(), parts(v))).collect(),
            fitted: fitted.map(|(name, how)| (name.to_string(), how.into())).collect(),
            options: post.content.options,
            key: post.key,
            state,
            revision: post.revision,
            created_at: post.created_at,
            schedules: schedules.into_iter().map(ScheduleView::from).collect(),
            cost: None,
        }
    }
}

/// What would happen to a post; nothing is written.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Preview)]
pub(crate) struct PreviewView {
    /// What each platform would get, and refuse.
    platforms: Vec<PlatformView>,
    /// The first times at which it would go out.
    occurrences: Vec<DateTime<Utc>>,
    /// What it would cost; null where that has no price.
    #[schema(required)]
    cost: Option<CostView>,
    /// All that is wrong; it would be taken in if this is empty.
    errors: Vec<FieldProblem>,
}

/// What a platform would get of a post, and what it would refuse.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Platform)]
pub(crate) struct PlatformView {
    platform: String,
    /// The names of the accounts on it.
    accounts: Vec<String>,
    parts: Vec<PartView>,
    /// How long each part is; null where the platform counts nothing.
    lengths: Vec<Option<LengthView>>,
    violations: Vec<ViolationView>,
    /// What was done to make it fit.
    #[schema(example = "split to a thread of 3 parts")]
    notice: Option<String>,
    /// What it wants a person to read before this is posted there, such as the rules of a community: plain
    /// text, a line each. Nothing is refused for it; empty where the platform does not tell.
    #[schema(example = json!(["On topic: questions go to the weekly thread"]))]
    advice: Vec<String>,
}

/// How long a text is, as a platform counts.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Length)]
pub(crate) struct LengthView {
    length: usize,
    /// How long it may be.
    limit: usize,
}

impl From<Length> for LengthView {
    fn from(Length { length, limit }: Length) -> Self {
        Self { length, limit }
    }
}

/// Why a platform would not take a part.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Violation)]
pub(crate) struct ViolationView {
    /// Which part, from 0.
    part: u16,
    /// What is wrong, with the limit and the actual value.
    message: String,
}

impl PreviewView {
    pub(crate) fn new(preview: Preview, prices: &Prices) -> Self {
        let error = |problem: postq_engine::desk::Problem| FieldProblem {
            field: problem.path(),
            message: problem.message,
        };
        Self {
            platforms: preview.platforms.into_iter().map(PlatformView::from).collect(),
            occurrences: preview.occurrences,
            cost: preview.cost.map(|cost| CostView::new(prices, cost)),
            errors: preview.problems.into_iter().map(error).collect(),
        }
    }
}

impl From<PlatformPreview> for PlatformView {
    fn from(preview: PlatformPreview) -> Self {
        let violations = preview.violations.into_iter();
        Self {
            platform: preview.platform.to_string(),
            accounts: preview.accounts,
            parts: preview.parts.iter().map(PartView::from).collect(),
            lengths: preview.lengths.into_iter().map(|length| length.map(Into::into)).collect(),
            violations: violations
                .map(|v| ViolationView { part: v.part, message: v.message })
                .collect(),
            notice: preview.notice,
            advice: preview.advice,
        }
    }
}

/// Publishing now.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Execute {
    /// To these accounts, by name or id; to those of its schedules if left out.
    #[serde(default)]
    pub(crate) accounts: Vec<String>,
}

/// What publishing now came to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Executed {
    /// A job for each account, due now.
    pub(crate) jobs: Vec<Uuid>,
    /// Schedules that would have published it once later; they are switched off.
    pub(crate) instead_of: Vec<Uuid>,
}

/// What calling a post off came to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CalledOff {
    /// How many schedules were switched off.
    pub(crate) schedules: usize,
    /// Where the post stands now: `published` if it was out before.
    #[schema(value_type = String, example = "cancelled")]
    pub(crate) state: PostState,
}

/// How a post begins, in at most so many characters.
pub(crate) fn gist(post: &Post, most: usize) -> String {
    let text = post.content.parts.first().map_or("", |part| part.text.as_str());
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}
