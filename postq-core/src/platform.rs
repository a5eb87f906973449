//! Platforms: what an adapter implements, and what it can do besides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::connect::{Connect, Refresh};
use crate::content::{Draft, MediaRef};
use crate::failure::{Failure, LimitReading};
use crate::id::AccountId;
use crate::intent::{Intent, PlatformKey, Receipt};
use crate::job::Lane;
use crate::limiter::Rate;
use crate::media::{Attached, MediaFacts, MediaId, MediaLimits, MediaStore};
use crate::options::{OptionField, PostOptions};

/// The name of a platform: `x`, `dry_run`, or one of the user's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlatformName(String);

impl PlatformName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A word that cannot name a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" cannot name a platform; expected 1 to 32 of a-z, 0-9 and _")]
pub struct BadPlatformName(String);

impl TryFrom<String> for PlatformName {
    type Error = BadPlatformName;

    fn try_from(name: String) -> Result<Self, BadPlatformName> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        match name.len() {
            1..=32 if name.chars().all(fits) => Ok(Self(name)),
            _ => Err(BadPlatformName(name)),
        }
    }
}

impl FromStr for PlatformName {
    type Err = BadPlatformName;

    fn from_str(name: &str) -> Result<Self, BadPlatformName> {
        name.to_owned().try_into()
    }
}

impl From<PlatformName> for String {
    fn from(name: PlatformName) -> Self {
        name.0
    }
}

impl fmt::Display for PlatformName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom a call is made for, with the opened credentials. Cannot be printed with its secret.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The account.
    pub account: AccountId,
    /// What people call it.
    pub name: String,
    /// The platform's own id of it, where it is known.
    pub remote_id: Option<String>,
    /// The account's [`Credentials`](crate::credentials::Credentials), or its access token alone; none
    /// where it needs none.
    pub secret: Option<SecretString>,
}

/// Why a platform will not take some content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which part, from 0.
    pub part: u16,
    /// What is wrong, with the limit and the actual value: "text is 301 long, at most 280".
    pub message: String,
}

/// How fast a platform may be used and how long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// For all accounts of the app together.
    pub app: Option<Rate>,
    /// For one account.
    pub account: Option<Rate>,
    /// How many posts of one account the platform takes in any 24 hours; none where it names no number.
    pub daily: Option<NonZeroU32>,
    /// The longest that one `publish` may take: the call gives up before it is over.
    pub send_timeout: Duration,
}

impl Default for Pace {
    /// No limits; 30 s.
    fn default() -> Self {
        Self { app: None, account: None, daily: None, send_timeout: Duration::from_secs(30) }
    }
}

impl Pace {
    /// The buckets of which a call in this lane takes a slot each, in order: the app's, the account's.
    pub fn buckets<'a>(&self, lane: &'a Lane) -> impl Iterator<Item = (&'a str, Rate)> + use<'a> {
        let buckets = [(lane.app(), self.app), (lane.as_str(), self.account)];
        buckets.into_iter().filter_map(|(key, rate)| Some((key, rate?)))
    }
}

/// One part on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Which part, from 0.
    pub part: u16,
    /// Of how many.
    pub of: u16,
    /// The text.
    pub text: &'a str,
    /// What else the platform wants to know of the post.
    pub options: &'a PostOptions,
    /// Its media.
    pub media: &'a [MediaRef],
    /// What the platform has taken in of them, in their order; empty where it takes none in ahead of time.
    pub prepared: &'a [PreparedMedia],
    /// What was built of it ahead of time; none where the platform builds nothing.
    pub container: Option<&'a str>,
    /// The remote id of the part before; none for the first.
    pub reply_to: Option<&'a str>,
    /// The remote id of the first part; none for the first.
    pub thread: Option<&'a str>,
    /// The key it is sent under: the same for every attempt at this part.
    pub key: &'a PlatformKey,
}

/// What a successful call brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Proof.
    pub receipt: Receipt,
    /// Limits told of in the answer.
    pub limits: Vec<LimitReading>,
}

/// A place where posts are published.
///
/// # Contract
///
/// 1. `validate` is pure, and names every violation with the limit and the actual value; none for
///    good content.  (`good_content_has_no_violation`, `bad_content_is_named`)
/// 2. `publish` makes at most one creating call, and never repeats it by itself.
///    (`publish_sends_once`)
/// 3. Success brings a receipt with the platform's id.  (`publish_brings_a_receipt`)
/// 4. A failure is `not_published` only where surely nothing was created; what is cut, times out or
///    makes no sense after the request may have left is `unknown`.
///    (`a_refusal_is_not_published`, `a_cut_after_accepting_is_unknown`)
/// 5. `publish` ends within `pace().send_timeout`.  (`publish_gives_up_in_time`)
/// 6. A thread's later parts reply to the part before.  (`a_thread_is_a_chain`)
/// 7. No secret and no content is in a failure.  (`failures_keep_secrets`)
/// 8. Where texts are measured, `validate` refuses those that are longer than their limit, and good
///    content has none.  (`what_is_too_long_is_refused`)
///
/// Each rule is a public test in `conformance::platform`. What else a platform can do is a small trait
/// reached through this one, so that claim and code cannot drift apart.
#[async_trait]
pub trait Platform: fmt::Debug + Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &PlatformName;

    /// How fast it may be used.
    fn pace(&self) -> Pace;

    /// What it would refuse of this. Unknown and missing options are told by whoever asks, from `options`.
    fn validate(&self, draft: Draft<'_>) -> Vec<Violation>;

    /// What else it wants to know of a post.
    fn options(&self) -> &'static [OptionField] {
        &[]
    }

    /// How many parts a post may have; 1 where there are no threads.
    fn most_parts(&self) -> usize {
        1
    }

    /// Makes the one creating call.
    async fn publish<'a>(&self, who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure>;

    /// Finds what a call without an answer published; without it the account's `on_unknown` decides.
    fn reconcile(&self) -> Option<&dyn Reconcile> {
        None
    }

    /// Reads the metrics of what is out.
    fn metrics(&self) -> Option<&dyn Metrics> {
        None
    }

    /// Uploads media ahead of time.
    fn media(&self) -> Option<&dyn Media> {
        None
    }

    /// Says what media it takes: whoever uploads them, but for a dry run, which has the rules of its platform and
    /// makes none of its calls.
    fn media_rules(&self) -> Option<&dyn Media> {
        self.media()
    }

    /// Builds a part ahead of time, where publishing it is a second call.
    fn stage(&self) -> Option<&dyn Stage> {
        None
    }

    /// Lets a person connect an account.
    fn connect(&self) -> Option<&dyn Connect> {
        None
    }

    /// Renews credentials.
    fn refresh(&self) -> Option<&dyn Refresh> {
        None
    }

    /// Asks the platform whether it would take the content.
    fn preflight(&self) -> Option<&dyn Preflight> {
        None
    }

    /// Counts texts as the platform does.
    fn measure(&self) -> Option<&dyn Measure> {
        None
    }
}

/// All that a platform would refuse of a draft: options that it does not know or misses, and what it
/// checks itself.
pub fn violations(platform: &dyn Platform, draft: Draft<'_>) -> Vec<Violation> {
    let options = draft.options.problems(platform.options()).into_iter();
    let mut all: Vec<_> = options.map(|message| Violation { part: 0, message }).collect();
    all.extend(platform.validate(draft));
    all
}

/// What a look is for.
#[derive(Clone, Debug)]
pub struct Lookup<'a> {
    /// What was sent, as it was sent.
    pub intent: &'a Intent,
    /// Remote ids of the identity that other publications have: never the one looked for.
    pub claimed: &'a BTreeSet<String>,
    /// The time now, by the store's clock.
    pub now: DateTime<Utc>,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is out.
    Found(Receipt),
    /// Every own post in the window is claimed by another publication or surely not ours.
    Absent,
    /// There is something that may be it, or the list does not reach back far enough. Why, for a
    /// person.
    CannotTell(String),
    /// It is out, and which of the account's posts it is cannot be told. Why, for a person: it is never
    /// sent again.
    OutSomewhere(String),
    /// It is out, and what would tell which of the account's posts it is could not be read. It is looked for again
    /// as after a failed look; in the end it is `OutSomewhere`.
    OutUnread(Failure),
}

/// Finds what a call without an answer published.
///
/// # Contract
///
/// 1. It changes nothing on the platform.
/// 2. It finds what was sent, by key or by normalised text, time and parent.  (`a_look_finds_what_is_out`)
/// 3. It does not find what is not there, nor what another publication has claimed.
///    (`a_look_finds_nothing_that_is_not_ours`)
/// 4. A list that is cut off before the window's start is `CannotTell`, not `Absent`.
/// 5. What is surely out, while nothing tells which of the account's posts it is, is `OutSomewhere`.
///
/// A failed look is an error; the engine looks again, within its bound.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Reconcile: fmt::Debug + Send + Sync {
    /// How long after the end of a call something may still become visible. Absence is believed
    /// only after it.
    fn settle_time(&self) -> Duration;

    /// Looks once.
    async fn look<'a>(&self, who: &Identity, lookup: Lookup<'a>) -> Result<Look, Failure>;
}

/// Counts of one publication, by the platform's names.
pub type Counts = BTreeMap<String, u64>;

/// What a count is a count of, for whoever adds counts up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Somebody did something: liked, answered, shared, kept.
    Engagement,
    /// Somebody may have seen it.
    Reach,
    /// Something else, or a sum of others.
    Other,
}

/// A count that a platform has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricField {
    /// Its name in snapshots.
    pub name: &'static str,
    /// What it counts.
    pub kind: MetricKind,
    /// Whether everybody may see it.
    pub public: bool,
}

/// A publication whose counts are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The platform's id of it.
    pub remote_id: String,
    /// When it came out.
    pub published_at: DateTime<Utc>,
}

/// What a platform told of one publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It is shown.
    Counts {
        /// What everybody may see.
        public: Counts,
        /// What is told only to whose post it is.
        private: Counts,
    },
    /// It is gone.
    Gone,
    /// It is there, and not shown to us.
    Hidden,
    /// The answer does not say.
    Untold,
}

/// Reads metrics.
///
/// # Contract
///
/// 1. It changes nothing on the platform.
/// 2. `fetch` answers each of at most `batch` publications, in order, with as few calls as the platform
///    allows, and ends within `pace().send_timeout`.
/// 3. One that is gone or hidden spoils no other's counts.
/// 4. Names of counts are those of `fields`, whatever the platform calls them today.
///
/// Its pace is its own: reading never takes a slot that publishing waits for.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Metrics: fmt::Debug + Send + Sync {
    /// How many are asked for at once.
    fn batch(&self) -> usize;

    /// What is counted.
    fn fields(&self) -> &'static [MetricField];

    /// How fast may be read.
    fn pace(&self) -> Pace;

    /// Reads once, as the time is `now`.
    async fn fetch(
        &self,
        who: &Identity,
        asked: &[Asked],
        now: DateTime<Utc>,
    ) -> Result<Vec<Fetched>, Failure>;
}

/// Media that the platform has taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedMedia {
    /// The platform's id of it.
    pub remote_id: String,
    /// When the platform forgets it.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A file to be uploaded: it is in the store, and within the platform's limits.
#[derive(Clone, Copy, Debug)]
pub struct UploadFile<'a> {
    /// Where it is.
    pub store: &'a dyn MediaStore,
    /// Which file.
    pub id: MediaId,
    /// How large it is.
    pub bytes: u64,
    /// What it is.
    pub facts: &'a MediaFacts,
    /// What it shows, for those who cannot see it.
    pub alt: Option<&'a str>,
    /// Where the platform can fetch it for the next hour; none where it is sent.
    pub url: Option<&'a str>,
    /// The time now, by the store's clock.
    pub now: DateTime<Utc>,
}

/// How a platform comes by a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// It is sent to it.
    Sent,
    /// It fetches it itself: whoever runs postq must have said by which address.
    Fetched,
}

/// What one step of an upload came to.
#[derive(Clone, Debug, PartialEq)]
pub enum UploadStep {
    /// It is on its way. The next step follows after the wait, and is told the state.
    Going {
        /// How far it is, in the adapter's own words. It is written down: no secret is in it.
        state: serde_json::Value,
        /// How long the platform asks to wait.
        wait: Duration,
    },
    /// It can be used.
    Ready(PreparedMedia),
}

/// Uploads media ahead of time.
///
/// # Contract
///
/// 1. A step makes at most one call, and ends within [`step_timeout`](Media::step_timeout) of its file, where
///    that tells one, else within [`Pace::send_timeout`].
/// 2. A step may be repeated with the same state: a crash came before the new state was written down.
/// 3. What the platform has forgotten meanwhile is begun anew by the adapter, which counts how often.
/// 4. A failure of class `content` says that this file will never be taken.
///
/// The caller bounds the steps and the time, and writes the state down after each step.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Media: fmt::Debug + Send + Sync {
    /// What it takes. Pure.
    fn limits(&self) -> MediaLimits;

    /// What it refuses of all files of one part together, by what the post is to be: a picture where a video is
    /// asked for. Each by itself, and their number, are within `limits` already. Pure.
    fn problems<'a>(&self, _options: &PostOptions, _files: &[Attached<'a>]) -> Vec<String> {
        Vec::new()
    }

    /// How it comes by a file. Where it fetches them itself, [`UploadFile::url`] is there.
    fn transfer(&self) -> Transfer {
        Transfer::Sent
    }

    /// The longest that one step of a file of so many bytes may take, where a file goes in one call whatever its
    /// size; none where [`Pace::send_timeout`] does for any. Pure. More than three hours are not waited for.
    fn step_timeout(&self, _bytes: u64) -> Option<Duration> {
        None
    }

    /// Makes the next step of an upload; without a state the first.
    async fn step<'a>(
        &self,
        who: &Identity,
        file: UploadFile<'a>,
        state: Option<&'a serde_json::Value>,
    ) -> Result<UploadStep, Failure>;
}

/// Builds a part at the platform ahead of time, where publishing it is a second call: a container.
///
/// # Contract
///
/// 1. Nobody sees what is built before `publish`, which names it as [`Outgoing::container`].
/// 2. A step makes at most one call that changes something, and ends within [`Pace::send_timeout`].
/// 3. A step may be repeated with the same state. What the platform has forgotten meanwhile is begun anew
///    by the adapter.
/// 4. A container is published at most once by the platform, so that `look` can tell from it what became
///    of a call without an answer.
///
/// The caller bounds the steps and the time, writes the state down after each step, and has the container in
/// the intent before it is published. Where it keeps no media, it writes down no steps: a part without media is then
/// published without a container.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Stage: fmt::Debug + Send + Sync {
    /// Makes the next step of building a part; without a state the first. The time is `now`.
    async fn step<'a>(
        &self,
        who: &Identity,
        part: Outgoing<'a>,
        state: Option<&'a serde_json::Value>,
        now: DateTime<Utc>,
    ) -> Result<UploadStep, Failure>;
}

/// Asks the platform whether it would take the content, and what a person should read before.
///
/// # Contract
///
/// 1. It changes nothing on the platform.
/// 2. It ends within a few seconds, and remembers for a while what the platform told: `check` is asked when
///    a post is planned and again before it is sent, `advice` whenever a preview is shown.
/// 3. What could not be asked is a failure, not a violation.
/// 4. `check` makes no call for the sake of `advice`, and what `advice` tells refuses nothing.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Preflight: fmt::Debug + Send + Sync {
    /// What the platform would refuse, by its own current rules.
    async fn check<'a>(&self, who: &Identity, draft: Draft<'a>) -> Result<Vec<Violation>, Failure>;

    /// What the platform wants a person to read before this is posted there, where no program can check it:
    /// a short plain line each, few enough to be read.
    async fn advice<'a>(&self, _who: &Identity, _draft: Draft<'a>) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
}

/// How long a text is, as a platform counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Length {
    /// How long it is.
    pub length: usize,
    /// How long it may be.
    pub limit: usize,
}

/// Counts texts as the platform does, so that their author can see what is left.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Measure: fmt::Debug + Send + Sync {
    /// How long the text of one part is, and may be. Pure.
    fn measure(&self, text: &str) -> Length;

    /// Whether the platform would show a link in it: what it may bill otherwise. Pure.
    fn has_link(&self, text: &str) -> bool {
        text.contains("https://") || text.contains("http://")
    }
}

const _OBJECT_SAFE: fn(&dyn Platform) = |_| {};

#[cfg(feature = "mock")]
mockall::mock! {
    /// A platform without capabilities: these come from the trait's own defaults.
    #[derive(Debug)]
    pub Platform {}

    #[async_trait]
    impl Platform for Platform {
        fn name(&self) -> &PlatformName;
        fn pace(&self) -> Pace;
        fn validate<'a>(&self, draft: Draft<'a>) -> Vec<Violation>;
        async fn publish<'a>(
            &self,
            who: &Identity,
            part: Outgoing<'a>,
        ) -> Result<Published, Failure>;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_name_is_a_short_lower_case_word() {
        assert!("dry_run".parse::<PlatformName>().is_ok());
        for bad in ["", "X", "a b", "a/b", &"x".repeat(33)] {
            assert!(bad.parse::<PlatformName>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<PlatformName>("\"A\"").is_err());
    }
}
