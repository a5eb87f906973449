//! A platform that does what a test tells it to, with a ledger of what is really out; and a job feed
//! with which a test can meddle.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq::core::clock::Clock;
use postq::core::conformance::meddled::{Meddle, Meddled};
use postq::core::content::{Draft, Post};
use postq::core::error::{ErrorKind, StoreError};
use postq::core::failure::{Failure, FailureClass};
use postq::core::feed::{JobFeed, Settlement};
use postq::core::id::{AccountId, PostId};
use postq::core::intent::{Intent, IntentAnswer, Receipt};
use postq::core::job::{Applied, Held, Job};
use postq::core::machine::JobState;
use postq::core::platform::{
    Identity, Look, Lookup, Outgoing, Pace, Platform, PlatformName, Published, Reconcile, Violation,
};

use crate::backends::{Bench, tell};

/// A look costs a round trip.
const LOOK_TAKES: Duration = Duration::from_millis(20);

/// Where an attempt is when a test steps in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    BeforeIntent,
    AfterIntent,
    BeforeCreate,
    AfterCreate,
    BeforeSettle,
    AfterSettle,
    Renew,
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Go,
    /// The store's answer, or the request to it, is lost. Of a platform's step: goes on.
    Fail,
    /// Nothing moves for so long.
    Freeze(Duration),
}

pub(crate) type Hook = Arc<dyn Fn(Step) -> Then + Send + Sync>;

/// A request to create.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// How many came before, of all accounts.
    pub(crate) n: usize,
    /// How many with this text came before from this account.
    pub(crate) again: usize,
    pub(crate) at: DateTime<Utc>,
    pub(crate) account: AccountId,
    pub(crate) text: String,
    pub(crate) reply_to: Option<String>,
}

/// What the platform does with a request.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    /// It creates so long after the request came, whether or not the caller still waits; never if none.
    pub(crate) create: Option<Duration>,
    /// Look-ups do not show it for so long after.
    pub(crate) hidden: Duration,
    /// It answers so long after the request came.
    pub(crate) takes: Duration,
    pub(crate) answer: Answer,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Receipt,
    Fail(Failure),
    Panic,
}

impl Act {
    /// Creates and answers, after a few milliseconds.
    pub(crate) fn good() -> Self {
        Self {
            create: Some(Duration::from_millis(3)),
            hidden: Duration::ZERO,
            takes: Duration::from_millis(6),
            answer: Answer::Receipt,
        }
    }

    /// Creates nothing and says this.
    pub(crate) fn refuse(failure: Failure) -> Self {
        Self { create: None, answer: Answer::Fail(failure), ..Self::good() }
    }

    /// Creates, and says this all the same.
    pub(crate) fn lie(failure: Failure) -> Self {
        Self { answer: Answer::Fail(failure), ..Self::good() }
    }

    /// Creates after `create`, is visible after another `hidden`, and never answers.
    pub(crate) fn silence(create: Duration, hidden: Duration) -> Self {
        let takes = Duration::from_secs(86_400);
        Self { create: Some(create), hidden, takes, answer: Answer::Receipt }
    }
}

type Script = Arc<dyn Fn(&Call) -> Act + Send + Sync>;

/// A post that is really out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) id: String,
    pub(crate) account: AccountId,
    pub(crate) text: String,
    pub(crate) reply_to: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    visible_at: DateTime<Utc>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    live: Vec<Live>,
    looks: usize,
    under_way: BTreeMap<AccountId, u32>,
    most_at_once: u32,
}

/// The platform. Clones share the ledger.
#[derive(Clone)]
pub(crate) struct Scripted {
    name: PlatformName,
    clock: Arc<dyn Clock>,
    send_timeout: Duration,
    settle_time: Duration,
    can_look: bool,
    script: Script,
    hook: Hook,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Scripted {
    /// One that does everything right.
    pub(crate) fn new(name: &str, bench: &Bench) -> Self {
        Self {
            name: name.parse().expect("a name"),
            clock: Arc::clone(&bench.clock),
            send_timeout: bench.times.send_timeout,
            settle_time: bench.times.settle_time,
            can_look: true,
            script: Arc::new(|_| Act::good()),
            hook: Arc::new(|_| Then::Go),
            state: Arc::default(),
        }
    }

    /// The same ledger, with another script.
    pub(crate) fn scripted(self, script: impl Fn(&Call) -> Act + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), ..self }
    }

    /// The same ledger, seen by a process with which a test meddles.
    pub(crate) fn hooked(&self, hook: &Hook) -> Self {
        Self { hook: Arc::clone(hook), ..self.clone() }
    }

    /// One that cannot be asked what is out.
    pub(crate) fn blind(self) -> Self {
        Self { can_look: false, ..self }
    }

    pub(crate) fn shared(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    /// What is really out.
    pub(crate) fn live(&self) -> Vec<Live> {
        self.lock().live.clone()
    }

    /// The requests to create, as they came.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    pub(crate) fn looks(&self) -> usize {
        self.lock().looks
    }

    /// The most requests that one account ever had under way.
    pub(crate) fn most_at_once(&self) -> u32 {
        self.lock().most_at_once
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A script may panic on purpose.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, who: &Identity, part: &Outgoing<'_>) -> Call {
        let mut state = self.lock();
        let same = |call: &&Call| call.account == who.account && call.text == part.text;
        let call = Call {
            n: state.calls.len(),
            again: state.calls.iter().filter(same).count(),
            at: self.clock.now(),
            account: who.account,
            text: part.text.to_owned(),
            reply_to: part.reply_to.map(str::to_owned),
        };
        state.calls.push(call.clone());
        call
    }

    fn create(&self, call: &Call, hidden: Duration) -> Live {
        let now = self.clock.now();
        let mut state = self.lock();
        let live = Live {
            id: format!("{}", 1_000 + state.live.len()),
            account: call.account,
            text: call.text.clone(),
            reply_to: call.reply_to.clone(),
            created_at: now,
            visible_at: now + hidden,
        };
        state.live.push(live.clone());
        live
    }
}

/// Counts a request while it is under way, however it ends.
struct UnderWay<'a>(&'a Scripted, AccountId);

impl<'a> UnderWay<'a> {
    fn begin(platform: &'a Scripted, account: AccountId) -> Self {
        let mut state = platform.lock();
        let now = state.under_way.entry(account).or_default();
        *now += 1;
        let now = *now;
        state.most_at_once = state.most_at_once.max(now);
        Self(platform, account)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.0.lock().under_way.entry(self.1).or_default() -= 1;
    }
}

async fn pause(then: Then) {
    if let Then::Freeze(time) = then {
        tokio::time::sleep(time).await;
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

#[async_trait]
impl Platform for Scripted {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace { send_timeout: self.send_timeout, ..Pace::default() }
    }

    fn validate(&self, _draft: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    async fn publish<'a>(&self, who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        pause((self.hook)(Step::BeforeCreate)).await;
        let _under_way = UnderWay::begin(self, who.account);
        let call = self.note(who, &part);
        let act = (self.script)(&call);
        let begun = tokio::time::Instant::now();
        let mut created = None;
        if let Some(after) = act.create {
            // On a task of its own: what has arrived there does not go away with its caller.
            let (platform, hidden) = (self.clone(), act.hidden);
            let creating = tokio::spawn(async move {
                tokio::time::sleep(after).await;
                platform.create(&call, hidden)
            });
            if after <= act.takes {
                created = Some(creating.await.expect("creating does not panic"));
            }
        }
        pause((self.hook)(Step::AfterCreate)).await;
        tokio::time::sleep_until(begun + act.takes).await;
        match (act.answer, created) {
            (Answer::Receipt, Some(live)) => {
                Ok(Published { receipt: receipt(&live, part.part), limits: Vec::new() })
            }
            (Answer::Receipt, None) => Err(Failure::unknown(FailureClass::Platform, "nothing")),
            (Answer::Fail(failure), _) => Err(failure),
            (Answer::Panic, _) => panic!("a platform that panics, as its test wants"),
        }
    }

    fn reconcile(&self) -> Option<&dyn Reconcile> {
        self.can_look.then_some(self)
    }
}

#[async_trait]
impl Reconcile for Scripted {
    fn settle_time(&self) -> Duration {
        self.settle_time
    }

    async fn look<'a>(&self, who: &Identity, lookup: Lookup<'a>) -> Result<Look, Failure> {
        self.lock().looks += 1;
        tokio::time::sleep(LOOK_TAKES).await;
        let now = self.clock.now();
        let state = self.lock();
        let found = state.live.iter().find(|live| {
            live.account == who.account
                && live.text == lookup.intent.text
                && live.reply_to == lookup.intent.reply_to
                && live.visible_at <= now
                && live.created_at >= lookup.intent.made_at - TimeDelta::seconds(5)
                && !lookup.claimed.contains(&live.id)
        });
        Ok(found.map_or(Look::Absent, |live| Look::Found(receipt(live, lookup.intent.part))))
    }
}

/// Checks that every job succeeded, and that exactly what the jobs say is out: each part once, in the
/// right thread.
pub(crate) async fn assert_all_out_once(bench: &Bench, platform: &Scripted, jobs: &[Job]) {
    let (live, mut seen) = (platform.live(), BTreeSet::new());
    let posts = posts_of(bench, jobs).await;
    for job in jobs {
        let story = bench.story(job.id()).await;
        assert_eq!(job.state, JobState::Succeeded, "{}", tell(&story));
        let post = job.made.post_id.expect("a publish job has a post");
        let mut before: Option<String> = None;
        for (index, part) in (0u16..).zip(&posts[&post].content.parts) {
            let receipt = story.evidence.receipt(index);
            let id =
                receipt.unwrap_or_else(|| panic!("no receipt: {}", tell(&story))).remote_id.clone();
            let out = live.iter().find(|live| live.id == id);
            let out = out.unwrap_or_else(|| panic!("a receipt for nothing: {}", tell(&story)));
            assert_eq!(out.text, part.text, "{}", tell(&story));
            assert_eq!(out.reply_to, before, "{}", tell(&story));
            assert_eq!(Some(out.account), job.made.account_id, "{}", tell(&story));
            assert!(seen.insert(id.clone()), "{id} has two owners: {}", tell(&story));
            before = Some(id);
        }
    }
    if let Some(more) = live.iter().find(|live| !seen.contains(&live.id)) {
        let mut told = String::new();
        for job in jobs.iter().filter(|job| job.made.account_id == Some(more.account)) {
            told += &tell(&bench.story(job.id()).await);
        }
        panic!("one too many is out: {more:?}; {live:#?}{told}");
    }
}

async fn posts_of(bench: &Bench, jobs: &[Job]) -> BTreeMap<PostId, Post> {
    let ids: BTreeSet<PostId> = jobs.iter().filter_map(|job| job.made.post_id).collect();
    let mut posts = BTreeMap::new();
    for ids in ids.into_iter().collect::<Vec<_>>().chunks(500) {
        let loaded = bench.backend.posts.load(ids).await.expect("posts");
        posts.extend(loaded.into_iter().map(|post| (post.id, post)));
    }
    posts
}

/// A feed with which a test meddles.
#[derive(Clone)]
pub(crate) struct Hooked {
    inner: Arc<dyn JobFeed>,
    hook: Hook,
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooked").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Hooked {
    pub(crate) fn backend(
        backend: &postq::core::backend::Backend,
        hook: &Hook,
    ) -> postq::core::backend::Backend {
        let feed = Self { inner: Arc::clone(&backend.feed), hook: Arc::clone(hook) };
        postq::core::backend::Backend { feed: Arc::new(Meddled(feed)), ..backend.clone() }
    }

    async fn step(&self, step: Step) -> Result<(), StoreError> {
        let then = (self.hook)(step);
        pause(then).await;
        match then {
            Then::Fail => Err(StoreError::new(ErrorKind::Unavailable, "connection lost")),
            Then::Go | Then::Freeze(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Meddle for Hooked {
    fn feed(&self) -> &dyn JobFeed {
        self.inner.as_ref()
    }

    async fn renew(&self, held: &[Held], lease: Duration) -> Result<Vec<Applied>, StoreError> {
        self.step(Step::Renew).await?;
        self.inner.renew(held, lease).await
    }

    async fn intent(&self, intent: &Intent, room: Duration) -> Result<IntentAnswer, StoreError> {
        self.step(Step::BeforeIntent).await?;
        let answer = self.inner.intent(intent, room).await?;
        self.step(Step::AfterIntent).await?;
        Ok(answer)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError> {
        self.step(Step::BeforeSettle).await?;
        let answers = self.inner.settle(settlements).await?;
        self.step(Step::AfterSettle).await?;
        Ok(answers)
    }
}
