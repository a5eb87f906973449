//! A platform that lies, and a ledger of what is really there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::clock::Clock;
use postq_core::content::Draft;
use postq_core::failure::{Failure, FailureClass, LimitScope};
use postq_core::id::AccountId;
use postq_core::intent::Receipt;
use postq_core::options::NO_OPTIONS;
use postq_core::platform::{
    Identity, Look, Lookup, Outgoing, Pace, Platform, PlatformName, Published, Reconcile, Violation,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

pub(crate) const SEND_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const SETTLE_TIME: Duration = Duration::from_secs(60);

/// One live post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) id: String,
    pub(crate) account: AccountId,
    pub(crate) text: String,
    pub(crate) reply_to: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    visible_at: DateTime<Utc>,
}

#[derive(Debug)]
struct State {
    rng: SmallRng,
    ledger: Vec<Live>,
    sending: BTreeMap<AccountId, u32>,
    most_at_once: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Liar {
    name: PlatformName,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    settle_time: Duration,
}

/// What the platform does with one request.
enum Act {
    Answer,
    CreateThen(Failure),
    Refuse(Failure),
    /// Silence; perhaps it creates late.
    Hang(Option<Duration>),
}

impl Liar {
    pub(crate) fn new(seed: u64, clock: Arc<dyn Clock>, settle_time: Duration) -> Self {
        let state = State {
            rng: SmallRng::seed_from_u64(seed),
            ledger: Vec::new(),
            sending: BTreeMap::new(),
            most_at_once: 0,
        };
        let name = "liar".parse().expect("a name");
        Self { name, clock, state: Arc::new(Mutex::new(state)), settle_time }
    }

    pub(crate) fn ledger(&self) -> Vec<Live> {
        self.state.lock().expect("one thread").ledger.clone()
    }

    /// The most requests that one account ever had under way.
    pub(crate) fn most_at_once(&self) -> u32 {
        self.state.lock().expect("one thread").most_at_once
    }

    fn act(&self) -> (Act, Duration, Duration) {
        let rng = &mut self.state.lock().expect("one thread").rng;
        let took = Duration::from_millis(rng.random_range(5..400));
        let whole = (SEND_TIMEOUT + SETTLE_TIME).as_millis() as u64;
        let hidden = match rng.random_range(0..4) {
            0 => Duration::from_millis(rng.random_range(0..whole * 9 / 10)),
            _ => Duration::ZERO,
        };
        let cut = || Failure::unknown(FailureClass::Network, "cut");
        let down = || Failure::unknown(FailureClass::Platform, "503");
        let limit = |rng: &mut SmallRng| {
            let wait = Duration::from_secs(rng.random_range(2..60));
            Failure::not_published(FailureClass::RateLimit, "429")
                .with_wait(LimitScope::Account, wait)
        };
        let act = match rng.random_range(0..100) {
            0..50 => Act::Answer,
            50..58 => Act::CreateThen(down()),
            58..66 => Act::CreateThen(cut()),
            66..72 => Act::Refuse(down()),
            72..78 => Act::Refuse(cut()),
            78..82 => Act::Refuse(Failure::not_published(FailureClass::Network, "no route")),
            82..86 => Act::Refuse(limit(rng)),
            // Answers that lie: it is out all the same, and at once.
            86..88 => return (Act::CreateThen(limit(rng)), took, Duration::ZERO),
            88..90 => {
                let refusal = Failure::not_published(FailureClass::Content, "400");
                return (Act::CreateThen(refusal), took, Duration::ZERO);
            }
            90..95 => Act::Hang(None),
            _ => Act::Hang(Some(Duration::from_millis(rng.random_range(0..whole * 9 / 10)))),
        };
        (act, took, hidden)
    }

    fn create(
        &self,
        who: &Identity,
        part: &Outgoing<'_>,
        sent: DateTime<Utc>,
        hidden: Duration,
    ) -> Live {
        let now = self.clock.now();
        let mut state = self.state.lock().expect("one thread");
        // Whatever it does, it does before the settle time is over.
        let latest = sent + SEND_TIMEOUT + SETTLE_TIME * 9 / 10;
        let live = Live {
            id: format!("{}", 1_000 + state.ledger.len()),
            account: who.account,
            text: part.text.to_owned(),
            reply_to: part.reply_to.map(str::to_owned),
            created_at: now,
            visible_at: (now + hidden).min(latest).max(now),
        };
        state.ledger.push(live.clone());
        live
    }

    async fn answer(&self, who: &Identity, part: Outgoing<'_>) -> Result<Published, Failure> {
        let sent = self.clock.now();
        let (act, took, hidden) = self.act();
        if let Act::Hang(late) = act {
            if let Some(late) = late {
                let (me, who, owned) = (self.clone(), who.clone(), OwnedPart::from(&part));
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    me.create(&who, &owned.outgoing(), sent, hidden);
                });
            }
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            return Err(Failure::unknown(FailureClass::Network, "silence"));
        }
        tokio::time::sleep(took / 2).await;
        let answer = match act {
            Act::Refuse(failure) => Err(failure),
            Act::CreateThen(failure) => {
                self.create(who, &part, sent, hidden);
                Err(failure)
            }
            _ => Ok(self.create(who, &part, sent, hidden)),
        };
        tokio::time::sleep(took / 2).await;
        answer.map(|live| Published { receipt: receipt(&live, part.part), limits: Vec::new() })
    }
}

fn receipt(live: &Live, part: u16) -> Receipt {
    Receipt {
        part,
        remote_id: live.id.clone(),
        url: None,
        published_at: live.created_at,
        dry_run: false,
    }
}

/// A part that outlives the request that brought it.
struct OwnedPart {
    text: String,
    reply_to: Option<String>,
    key: postq_core::intent::PlatformKey,
}

impl OwnedPart {
    fn from(part: &Outgoing<'_>) -> Self {
        Self {
            text: part.text.to_owned(),
            reply_to: part.reply_to.map(str::to_owned),
            key: part.key.clone(),
        }
    }

    fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            part: 0,
            of: 1,
            text: &self.text,
            options: &NO_OPTIONS,
            media: &[],
            prepared: &[],
            container: None,
            reply_to: self.reply_to.as_deref(),
            thread: None,
            key: &self.key,
        }
    }
}

/// Counts a request while it is under way, however it ends.
struct Sending<'a>(&'a Liar, AccountId);

impl<'a> Sending<'a> {
    fn begin(liar: &'a Liar, account: AccountId) -> Self {
        let mut state = liar.state.lock().expect("one thread");
        let now = state.sending.entry(account).or_default();
        *now += 1;
        let now = *now;
        state.most_at_once = state.most_at_once.max(now);
        Self(liar, account)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        *self.0.state.lock().expect("one thread").sending.entry(self.1).or_default() -= 1;
    }
}

#[async_trait]
impl Platform for Liar {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace { send_timeout: SEND_TIMEOUT, ..Pace::default() }
    }

    fn validate(&self, _draft: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    async fn publish<'a>(&self, who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let _sending = Sending::begin(self, who.account);
        self.answer(who, part).await
    }

    fn reconcile(&self) -> Option<&dyn Reconcile> {
        Some(self)
    }
}

#[async_trait]
impl Reconcile for Liar {
    fn settle_time(&self) -> Duration {
        self.settle_time
    }

    async fn look<'a>(&self, who: &Identity, lookup: Lookup<'a>) -> Result<Look, Failure> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = self.clock.now();
        let mut state = self.state.lock().expect("one thread");
        match state.rng.random_range(0..20) {
            0 => return Err(Failure::not_published(FailureClass::Platform, "503")),
            1 => {
                let limited = Failure::not_published(FailureClass::RateLimit, "429");
                return Err(limited.with_wait(LimitScope::Account, Duration::from_secs(20)));
            }
            _ => {}
        }
        let found = state.ledger.iter().find(|live| {
            live.account == who.account
                && live.text == lookup.intent.text
                && live.reply_to == lookup.intent.reply_to
                && live.visible_at <= now
                && live.created_at >= lookup.intent.made_at - Duration::from_secs(5)
                && !lookup.claimed.contains(&live.id)
        });
        Ok(found.map_or(Look::Absent, |live| Look::Found(receipt(live, lookup.intent.part))))
    }
}
