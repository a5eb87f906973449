//! [`Preflight`] for Reddit: asks what a community takes and what it writes for people, and remembers both for
//! an hour.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::content::{Draft, Part};
use postq_core::failure::{Failure, Outcome};
use postq_core::id::AccountId;
use postq_core::platform::{Identity, Preflight, Violation};
use postq_http::{Answer, Hidden, Token};
use reqwest::header::LOCATION;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{Reddit, is_name, token_of};
use crate::error::unread;
use crate::options::Wanted;
use crate::rules::{About, Flair, Requirements, Rules};
use crate::written::Written;

/// How long a community is remembered. Its rules change, but seldom.
const REMEMBERED: TimeDelta = TimeDelta::hours(1);
/// Communities that are remembered; then those that were asked about first are forgotten.
const MOST_REMEMBERED: usize = 1_000;
/// The longest that all questions together may take; shorter where `send_timeout` is.
const PATIENCE: Duration = Duration::from_secs(4);
/// The longest answer: the texts of a community, or some hundred flairs.
const MOST_OF_ANSWER: usize = 1_024 * 1_024;

/// What is known of communities. By account, since it is told whether this very one may post there.
pub(crate) struct Communities<T>(Mutex<HashMap<Key, (DateTime<Utc>, T)>>);

/// An account, and the name of a community in lower case.
type Key = (AccountId, String);

impl<T> Default for Communities<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Communities<T> {
    fn known(&self, key: &Key, now: DateTime<Utc>) -> Option<T> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, told) = known.get(key)?;
        let age = now - *at;
        (age >= TimeDelta::zero() && age < REMEMBERED).then(|| told.clone())
    }

    fn keep(&self, key: Key, now: DateTime<Utc>, told: T) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED && !known.contains_key(&key) {
            let oldest = known.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| key.clone());
            oldest.map(|key| known.remove(&key));
        }
        known.insert(key, (now, told));
    }
}

#[async_trait]
impl Preflight for Reddit {
    async fn check<'a>(&self, who: &Identity, draft: Draft<'a>) -> Result<Vec<Violation>, Failure> {
        let wanted = Wanted::read(draft.options);
        let Some(part) = draft.parts.first().filter(|_| is_name(&wanted.community)) else {
            // What is missing or no name is told by `validate`.
            return Ok(Vec::new());
        };
        let of_post = |message| Violation { part: 0, message };
        let problems = match self.rules(who, &wanted).await? {
            Known::Rules(rules) => rules.problems(&wanted, &without_margins(part)),
            Known::Closed(why) => vec![why],
        };
        Ok(problems.into_iter().map(of_post).collect())
    }

    async fn advice<'a>(&self, who: &Identity, draft: Draft<'a>) -> Result<Vec<String>, Failure> {
        let wanted = Wanted::read(draft.options);
        if !is_name(&wanted.community) {
            return Ok(Vec::new());
        }
        let (now, key) = (self.clock.now(), key(who, &wanted));
        if let Some(lines) = self.written.known(&key, now) {
            return Ok(lines);
        }
        let token = token_of(who.secret.as_ref())?;
        let lines = self.ask(&token, &wanted).written().await?.lines();
        self.written.keep(key, now, lines.clone());
        Ok(lines)
    }
}

fn key(who: &Identity, wanted: &Wanted<'_>) -> Key {
    (who.account, wanted.community.to_ascii_lowercase())
}

fn without_margins(part: &Part) -> Part {
    Part { text: part.text.trim().to_owned(), media: part.media.clone() }
}

/// What came of asking about a community.
enum Known {
    Rules(Box<Rules>),
    /// It is not there, or not for this account. Why, for a person.
    Closed(String),
}

impl Reddit {
    async fn rules(&self, who: &Identity, wanted: &Wanted<'_>) -> Result<Known, Failure> {
        let (now, key) = (self.clock.now(), key(who, wanted));
        let known = self.communities.known(&key, now);
        let complete = |rules: &Rules| rules.flairs.is_some() || !wants_flairs(wanted, rules);
        if let Some(rules) = known.filter(complete) {
            return Ok(Known::Rules(Box::new(rules)));
        }
        let token = token_of(who.secret.as_ref())?;
        let ask = self.ask(&token, wanted);
        let about = match ask.about().await? {
            Ok(about) => about,
            Err(why) => return Ok(Known::Closed(why)),
        };
        let requirements = ask.requirements().await?;
        let mut rules = Rules { about, requirements, flairs: None };
        if wants_flairs(wanted, &rules) {
            rules.flairs = ask.flairs().await?;
        }
        self.communities.keep(key, now, rules.clone());
        Ok(Known::Rules(Box::new(rules)))
    }

    fn ask<'a>(&'a self, token: &'a Token, wanted: &'a Wanted<'_>) -> Ask<'a> {
        let deadline = Instant::now() + PATIENCE.min(self.patience());
        Ask { reddit: self, token, community: &wanted.community, deadline }
    }
}

/// Whether flairs matter for this post.
fn wants_flairs(wanted: &Wanted<'_>, rules: &Rules) -> bool {
    wanted.flair_id.is_some() || rules.requirements.is_flair_required
}

/// Questions about one community, with one end of patience for all.
struct Ask<'a> {
    reddit: &'a Reddit,
    token: &'a Token,
    community: &'a str,
    deadline: Instant,
}

impl Ask<'_> {
    /// What it is, or why this account cannot post there.
    async fn about(&self) -> Result<Result<About, String>, Failure> {
        let answer = self.get(&format!("/r/{}/about", self.community)).await?;
        if let Some(why) = self.closed(&answer) {
            return Ok(Err(why));
        }
        self.read::<Wrapped>(&answer).map(|told| Ok(told.data))
    }

    async fn requirements(&self) -> Result<Requirements, Failure> {
        let path = format!("/api/v1/{}/post_requirements", self.community);
        self.read(&self.get(&path).await?)
    }

    /// Its flairs; none where users may not set one.
    async fn flairs(&self) -> Result<Option<Vec<Flair>>, Failure> {
        let answer = self.get(&format!("/r/{}/api/link_flair_v2", self.community)).await?;
        match answer.status.as_u16() {
            403 => Ok(None),
            _ => self.read(&answer).map(Some),
        }
    }

    /// What it writes for people.
    async fn written(&self) -> Result<Written, Failure> {
        self.read(&self.get(&format!("/r/{}/about/rules", self.community)).await?)
    }

    async fn get(&self, path: &str) -> Result<Answer, Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let asked = self.reddit.get(path, &[], self.token, MOST_OF_ANSWER, left).await;
        asked.map_err(|lost| nothing_is_out(lost.into_failure(self.hidden())))
    }

    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Failure> {
        let read = answer.read().filter(|_| answer.status.is_success());
        let now = self.reddit.server_now(answer);
        read.ok_or_else(|| nothing_is_out(unread(answer, self.hidden(), now)))
    }

    /// Why there is nothing to post to, where Reddit says so. A bare 403 or 404 of another kind, such as a
    /// page, says nothing of the community.
    fn closed(&self, answer: &Answer) -> Option<String> {
        let community = self.community;
        let told: Problem = answer.read().unwrap_or_default();
        match (answer.status.as_u16(), told.reason.as_ref().and_then(Value::as_str)) {
            (403 | 404, Some(reason)) if is_name(reason) => {
                Some(format!("r/{community} is closed to this account: {reason}"))
            }
            (404, _) if told.error == Some(Value::from(404)) => {
                Some(format!("there is no r/{community}"))
            }
            (302, _) => {
                let to = answer.headers.get(LOCATION)?.to_str().ok()?;
                to.contains("/search").then(|| format!("there is no r/{community}"))
            }
            _ => None,
        }
    }

    fn hidden(&self) -> Hidden<'_> {
        Hidden::secret(self.token.expose())
    }
}

/// Asking publishes nothing, whatever became of it.
fn nothing_is_out(failure: Failure) -> Failure {
    Failure { outcome: Outcome::NotPublished, ..failure }
}

#[derive(Deserialize)]
struct Wrapped {
    data: About,
}

#[derive(Default, Deserialize)]
struct Problem {
    reason: Option<Value>,
    error: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_community_is_known_for_an_hour() {
        let communities = Communities::default();
        let key = (AccountId::new(), "rust".to_owned());
        let at = |minutes| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        communities.keep(key.clone(), at(0), Rules::default());

        assert!(communities.known(&key, at(59)).is_some());
        assert!(communities.known(&key, at(60)).is_none());
        assert!(communities.known(&key, at(-1)).is_none(), "the clock went back");
        assert!(communities.known(&(AccountId::new(), "rust".to_owned()), at(1)).is_none());
    }

    #[test]
    fn only_so_many_are_known() {
        let communities = Communities::default();
        let account = AccountId::new();
        let second = |n| DateTime::UNIX_EPOCH + TimeDelta::seconds(n);
        for n in 0..=1_000 {
            communities.keep((account, n.to_string()), second(n), Rules::default());
        }

        let known = |n: i64| communities.known(&(account, n.to_string()), second(1_000)).is_some();
        assert!(!known(0) && known(1) && known(1_000));
    }
}
