//! What goes wrong, and how often.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What may happen to one request to create a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing: it is accepted and answered.
    Ok,
    /// The connection is cut, nothing is accepted.
    CutBefore,
    /// It is accepted, then the connection is cut.
    CutAfter,
    /// It is accepted; the answer comes after [`Faults::hang`].
    HangAfter,
    /// 503, nothing is accepted.
    UnavailableBefore,
    /// It is accepted, then answered with 503.
    UnavailableAfter,
    /// It is accepted, then answered with 400: a lie that no caller can see through.
    BadRequestAfter,
    /// It is accepted, then answered with 200 and no data.
    NoData,
    /// 429 of the user's 15-minute window.
    LimitedUser,
    /// 429 of the app's 24 hours.
    LimitedApp,
    /// 402: no credits.
    NoCredits,
    /// It is accepted and answered after [`Faults::slow`].
    Slow,
    /// The connection is cut at once; it is accepted after [`Faults::late`].
    Late,
}

impl Fault {
    const WORDS: [(&str, Self); 13] = [
        ("ok", Self::Ok),
        ("cut_before", Self::CutBefore),
        ("cut_after", Self::CutAfter),
        ("hang_after", Self::HangAfter),
        ("503_before", Self::UnavailableBefore),
        ("503_after", Self::UnavailableAfter),
        ("400_after", Self::BadRequestAfter),
        ("no_data", Self::NoData),
        ("429_user", Self::LimitedUser),
        ("429_app", Self::LimitedApp),
        ("402", Self::NoCredits),
        ("slow", Self::Slow),
        ("late", Self::Late),
    ];
}

impl FromStr for Fault {
    type Err = BadFaults;

    fn from_str(word: &str) -> Result<Self, BadFaults> {
        let known = Self::WORDS.into_iter().find(|(own, _)| *own == word);
        known.map(|(_, fault)| fault).ok_or_else(|| BadFaults::new(word, "unknown fault"))
    }
}

/// What may happen to one request of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MediaFault {
    /// The connection is cut, nothing is taken.
    CutBefore,
    /// A piece is taken, then the connection is cut.
    CutAfter,
    /// 503, nothing is taken.
    Unavailable,
    /// The upload is not known any more when its next piece comes.
    Forget,
    /// Working on the finished upload fails.
    ProcessingFails,
}

impl FromStr for MediaFault {
    type Err = BadFaults;

    fn from_str(word: &str) -> Result<Self, BadFaults> {
        match word {
            "cut_before" => Ok(Self::CutBefore),
            "cut_after" => Ok(Self::CutAfter),
            "503" => Ok(Self::Unavailable),
            "forget" => Ok(Self::Forget),
            "processing_fails" => Ok(Self::ProcessingFails),
            _ => Err(BadFaults::new(word, "unknown fault of uploads")),
        }
    }
}

/// By which names lists are asked for and answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `tweet.fields`.
    #[default]
    Tweet,
    /// `post.fields`; `tweet.fields` is refused.
    Post,
}

/// What goes wrong. Nothing, by default.
///
/// Written as `key=value` with commas between: `cut_after=0.05,503_after=0.02,hide=1500ms,
/// script=cut_after;ok`. Keys are the words of [`Fault`] with the chance of each, `look_503`,
/// `look_429` with theirs, `hang_for`, `slow_for`, `late_by`, `hide`, `duplicates` with a duration
/// (`90s`, `2m`, `500ms`), `media` with words of [`MediaFault`] and `;` between, `media_life` with a
/// duration, `media_polls` with a number, `dialect` with `tweet` or `post`, `script` with words and `;` between.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// What happens to the next requests to create, one each, before chance decides.
    pub script: VecDeque<Fault>,
    /// The chance of each fault, for every request to create; at most 1 in all.
    pub chances: BTreeMap<Fault, f64>,
    /// The chance that a list is answered with 503.
    pub look_unavailable: f64,
    /// The chance that a list is answered with 429.
    pub look_limited: f64,
    /// How long [`Fault::HangAfter`] hangs. Defaults to 60 s.
    pub hang: Duration,
    /// How long [`Fault::Slow`] takes. Defaults to 200 ms.
    pub slow: Duration,
    /// How long after its request a [`Fault::Late`] one is accepted. Defaults to 500 ms.
    pub late: Duration,
    /// How long lists do not show a new post. Defaults to none.
    pub hide: Duration,
    /// How long a user may not repeat a text (403). Defaults to none: two posts stay two.
    pub duplicates: Duration,
    /// What happens to the next requests of uploads: each waits for one that it can happen to.
    pub media: VecDeque<MediaFault>,
    /// How long a finished upload can be used. Defaults to a day.
    pub media_life: Duration,
    /// So many questions are answered before a video can be used. Defaults to 2.
    pub media_polls: u32,
    /// The names of the day.
    pub dialect: Dialect,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            script: VecDeque::new(),
            chances: BTreeMap::new(),
            look_unavailable: 0.0,
            look_limited: 0.0,
            hang: Duration::from_secs(60),
            slow: Duration::from_millis(200),
            late: Duration::from_millis(500),
            hide: Duration::ZERO,
            duplicates: Duration::ZERO,
            media: VecDeque::new(),
            media_life: Duration::from_secs(86_400),
            media_polls: 2,
            dialect: Dialect::default(),
        }
    }
}

impl Faults {
    /// These faults for the next requests to create, then none.
    pub fn script(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { script: faults.into_iter().collect(), ..Self::default() }
    }

    /// What happens to this request, by a sample from [0, 1).
    pub(crate) fn next(&mut self, sample: f64) -> Fault {
        if let Some(fault) = self.script.pop_front() {
            return fault;
        }
        let mut below = 0.0;
        let hit = self.chances.iter().find(|(_, chance)| {
            below += **chance;
            sample < below
        });
        hit.map_or(Fault::Ok, |(fault, _)| *fault)
    }

    /// What happens to this request of an upload, of what can.
    pub(crate) fn next_media(&mut self, can: &[MediaFault]) -> Option<MediaFault> {
        let next = self.media.front().copied().filter(|fault| can.contains(fault))?;
        self.media.pop_front();
        Some(next)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), BadFaults> {
        match key {
            "hang_for" => self.hang = duration(value)?,
            "slow_for" => self.slow = duration(value)?,
            "late_by" => self.late = duration(value)?,
            "hide" => self.hide = duration(value)?,
            "duplicates" => self.duplicates = duration(value)?,
            "look_503" => self.look_unavailable = chance(value)?,
            "look_429" => self.look_limited = chance(value)?,
            "dialect" => {
                self.dialect = match value {
                    "tweet" => Dialect::Tweet,
                    "post" => Dialect::Post,
                    _ => return Err(BadFaults::new(value, "expected tweet or post")),
                }
            }
            "media" => self.media = value.split(';').map(str::parse).collect::<Result<_, _>>()?,
            "media_life" => self.media_life = duration(value)?,
            "media_polls" => {
                let wrong = |_| BadFaults::new(value, "expected a number");
                self.media_polls = value.parse().map_err(wrong)?;
            }
            "script" => self.script = value.split(';').map(str::parse).collect::<Result<_, _>>()?,
            _ => drop(self.chances.insert(key.parse()?, chance(value)?)),
        }
        Ok(())
    }
}

impl FromStr for Faults {
    type Err = BadFaults;

    fn from_str(text: &str) -> Result<Self, BadFaults> {
        let mut faults = Self::default();
        for setting in text.split(',').map(str::trim).filter(|setting| !setting.is_empty()) {
            let (key, value) = setting
                .split_once('=')
                .ok_or_else(|| BadFaults::new(setting, "expected key=value"))?;
            faults.set(key.trim(), value.trim())?;
        }
        let all: f64 = faults.chances.values().sum();
        if all > 1.0 + 1e-9 {
            return Err(BadFaults::new(&all.to_string(), "all chances together are at most 1"));
        }
        Ok(faults)
    }
}

fn chance(value: &str) -> Result<f64, BadFaults> {
    let chance = value.parse().ok().filter(|chance| (0.0..=1.0).contains(chance));
    chance.ok_or_else(|| BadFaults::new(value, "expected a chance from 0 to 1"))
}

fn duration(value: &str) -> Result<Duration, BadFaults> {
    let wrong = || BadFaults::new(value, "expected a duration like 500ms, 2s or 1m");
    let unit = value.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let count: u64 = value[..unit].parse().map_err(|_| wrong())?;
    match &value[unit..] {
        "ms" => Ok(Duration::from_millis(count)),
        "s" => Ok(Duration::from_secs(count)),
        "m" => Ok(Duration::from_secs(count.saturating_mul(60))),
        _ => Err(wrong()),
    }
}

/// A text that describes no faults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {problem}")]
pub struct BadFaults {
    text: String,
    problem: &'static str,
}

impl BadFaults {
    fn new(text: &str, problem: &'static str) -> Self {
        Self { text: text.to_owned(), problem }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word =
            Self::WORDS.into_iter().find(|(_, own)| own == self).map_or("", |(word, _)| word);
        f.write_str(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_from_one_line() {
        let faults: Faults = "cut_after=0.25, 503_after=0.5,hide=1500ms,late_by=2s,\
             script=ok;429_user,dialect=post,look_503=0.1"
            .parse()
            .expect("faults");

        assert_eq!(faults.chances[&Fault::CutAfter], 0.25);
        assert_eq!(faults.hide, Duration::from_millis(1_500));
        assert_eq!(faults.late, Duration::from_secs(2));
        assert_eq!(faults.script, [Fault::Ok, Fault::LimitedUser]);
        assert_eq!(faults.dialect, Dialect::Post);
        assert_eq!("".parse(), Ok(Faults::default()));
    }

    #[test]
    fn what_is_no_fault_is_named() {
        for bad in ["cut", "boom=1", "late=2s", "cut_after=2", "hide=2", "hide=2d", "script=ok;x"] {
            let error = bad.parse::<Faults>().expect_err(bad).to_string();
            assert!(error.starts_with('"'), "{error}");
        }
        assert!("late=0.6,slow=0.6".parse::<Faults>().is_err());
    }

    #[test]
    fn the_script_comes_first_then_chance() {
        let mut faults: Faults =
            "cut_before=0.25,slow=0.25,script=no_data".parse().expect("faults");

        assert_eq!(faults.next(0.0), Fault::NoData);
        assert_eq!(faults.next(0.0), Fault::CutBefore);
        assert_eq!(faults.next(0.3), Fault::Slow);
        assert_eq!(faults.next(0.5), Fault::Ok);
    }

    #[test]
    fn words_and_faults_are_one_to_one() {
        for (word, fault) in Fault::WORDS {
            assert_eq!(word.parse(), Ok(fault));
            assert_eq!(fault.to_string(), word);
        }
    }
}
