//! The suite itself under test: a good toy passes every rule, and for each rule there is a flaw that
//! fails it.

use std::sync::{Mutex, PoisonError};

use super::*;
use crate::failure::FailureClass;
use crate::id::AccountId;
use crate::intent::Receipt;
use crate::platform::{Length, Measure, Pace, PlatformName, Violation};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    RefusesAll,
    TakesAll,
    SendsTwice,
    WrongId,
    UnsureOfRefusals,
    SureOfCuts,
    NeverGivesUp,
    ForgetsTheParent,
    Tells,
    PublishesWhenLooking,
    Blind,
    FindsTheClaimed,
    TakesTheLong,
}

#[derive(Debug)]
struct Toy {
    name: PlatformName,
    flaw: Option<Flaw>,
    out: Mutex<Vec<(Live, String)>>,
    trouble: Mutex<Option<Trouble>>,
}

/// The most characters of a text.
const MOST: usize = 500;

const SECRET: &str = r#"{"access_token":"hunter2"}"#;

impl Toy {
    fn fresh(flaw: Option<Flaw>) -> Arc<dyn PlatformHarness> {
        Arc::new(Self {
            name: "toy".parse().unwrap(),
            flaw,
            out: Mutex::default(),
            trouble: Mutex::default(),
        })
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn accept(&self, text: &str, reply_to: Option<&str>) -> String {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let remote_id = format!("{}", out.len() + 1);
        let reply_to = reply_to.filter(|_| !self.has(Flaw::ForgetsTheParent)).map(str::to_owned);
        out.push((Live { remote_id: remote_id.clone(), reply_to }, text.to_owned()));
        remote_id
    }

    fn failure(&self, outcome: Outcome, text: &str) -> Failure {
        let message = if self.has(Flaw::Tells) { text } else { "no" };
        match outcome {
            Outcome::NotPublished => Failure::not_published(FailureClass::Content, message),
            Outcome::Unknown => Failure::unknown(FailureClass::Network, message),
        }
    }
}

#[async_trait]
impl Platform for Toy {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace { send_timeout: Duration::from_secs(1), ..Pace::default() }
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        let parts = draft.parts;
        let bad = parts.iter().any(|part| part.text.is_empty());
        let fits = |part: &Part| Measure::measure(self, &part.text).length <= MOST;
        let long = !self.has(Flaw::TakesTheLong) && !parts.iter().all(fits);
        let named = self.has(Flaw::RefusesAll) || long || (bad && !self.has(Flaw::TakesAll));
        let violation = Violation { part: 0, message: "the text is empty, or too long".into() };
        if named { vec![violation] } else { Vec::new() }
    }

    async fn publish<'a>(&self, _: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let trouble = self.trouble.lock().unwrap().take();
        if trouble == Some(Trouble::Refuse) {
            let unsure = self.has(Flaw::UnsureOfRefusals);
            let outcome = if unsure { Outcome::Unknown } else { Outcome::NotPublished };
            return Err(self.failure(outcome, part.text));
        }
        let mut remote_id = self.accept(part.text, part.reply_to);
        if self.has(Flaw::SendsTwice) {
            self.accept(part.text, part.reply_to);
        }
        if trouble == Some(Trouble::Hang) {
            let factor = if self.has(Flaw::NeverGivesUp) { 1_000 } else { 1 };
            tokio::time::sleep(self.pace().send_timeout * factor).await;
        }
        if trouble.is_some() {
            let sure = self.has(Flaw::SureOfCuts);
            let outcome = if sure { Outcome::NotPublished } else { Outcome::Unknown };
            return Err(self.failure(outcome, part.text));
        }
        if self.has(Flaw::WrongId) {
            remote_id.push('0');
        }
        let published_at = SystemClock.now();
        let receipt =
            Receipt { part: part.part, remote_id, url: None, published_at, dry_run: false };
        Ok(Published { receipt, limits: Vec::new() })
    }

    fn measure(&self) -> Option<&dyn Measure> {
        Some(self)
    }

    fn reconcile(&self) -> Option<&dyn Reconcile> {
        Some(self)
    }
}

#[async_trait]
impl Reconcile for Toy {
    fn settle_time(&self) -> Duration {
        Duration::ZERO
    }

    async fn look<'a>(&self, _: &Identity, lookup: Lookup<'a>) -> Result<Look, Failure> {
        if self.has(Flaw::PublishesWhenLooking) {
            self.accept(&lookup.intent.text, None);
        }
        let out = self.out.lock().unwrap();
        let found = out.iter().find(|(live, text)| {
            let claimed = lookup.claimed.contains(&live.remote_id);
            *text == lookup.intent.text && (!claimed || self.has(Flaw::FindsTheClaimed))
        });
        Ok(match found.filter(|_| !self.has(Flaw::Blind)) {
            Some((live, _)) => Look::Found(Receipt {
                part: lookup.intent.part,
                remote_id: live.remote_id.clone(),
                url: None,
                published_at: lookup.now,
                dry_run: false,
            }),
            None => Look::Absent,
        })
    }
}

impl Measure for Toy {
    fn measure(&self, text: &str) -> Length {
        Length { length: text.chars().count(), limit: MOST }
    }

    fn has_link(&self, text: &str) -> bool {
        text.contains("://")
    }
}

#[async_trait]
impl PlatformHarness for Toy {
    fn platform(&self) -> &dyn Platform {
        self
    }

    fn who(&self) -> Identity {
        Identity {
            account: AccountId::from_uuid(uuid::Uuid::nil()),
            name: "toy".into(),
            remote_id: None,
            secret: Some(SECRET.to_owned().into()),
        }
    }

    async fn live(&self) -> Option<Vec<Live>> {
        Some(self.out.lock().unwrap().iter().map(|(live, _)| live.clone()).collect())
    }

    fn bad(&self) -> Option<Vec<Part>> {
        Some(vec![Part::default()])
    }

    async fn next(&self, trouble: Trouble) -> bool {
        *self.trouble.lock().unwrap() = Some(trouble);
        true
    }
}

mod good {
    use super::*;

    async fn fresh() -> Arc<dyn PlatformHarness> {
        Toy::fresh(None)
    }

    crate::platform_conformance!(fresh);
}

macro_rules! flaws {
    ($($rule:ident fails for $flaw:ident: $why:literal;)*) => {
        $(
            #[tokio::test(start_paused = true)]
            #[should_panic(expected = $why)]
            async fn $rule() {
                super::$rule(Toy::fresh(Some(Flaw::$flaw))).await;
            }
        )*
    };
}

flaws! {
    good_content_has_no_violation fails for RefusesAll: "violations of good content";
    bad_content_is_named fails for TakesAll: "bad content has no violation";
    publish_sends_once fails for SendsTwice: "posts that are out";
    publish_brings_a_receipt fails for WrongId: "left == right";
    a_refusal_is_not_published fails for UnsureOfRefusals: "network: no";
    a_cut_after_accepting_is_unknown fails for SureOfCuts: "content: no";
    publish_gives_up_in_time fails for NeverGivesUp: "it gives up in time";
    a_thread_is_a_chain fails for ForgetsTheParent: "left == right";
    failures_keep_secrets fails for Tells: "shows what it must not";
    what_is_too_long_is_refused fails for TakesTheLong: "is taken";
    a_look_changes_nothing fails for PublishesWhenLooking: "left == right";
    a_look_finds_what_is_out fails for Blind: "a look finds it";
    a_look_finds_nothing_that_is_not_ours fails for FindsTheClaimed: "claimed by another";
}
