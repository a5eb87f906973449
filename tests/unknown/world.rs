//! A world: a post, nodes that bring it out, what stands between them and a platform, and what must be true in
//! the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use postq::core::account::Account;
use postq::core::backend::Backend;
use postq::core::content::{Content, Post};
use postq::core::credentials::Credentials;
use postq::core::id::AccountId;
use postq::core::job::{Applied, DeadReason, Job, JobKind};
use postq::core::machine::JobState;
use postq::core::memory::MemoryMedia;
use postq::core::store::{Block, BlockReason, ReplayKey, Replayed};
use postq::core::vault::{ChaChaVault, Vault};
use postq::engine::Settings;
use postq::engine::media::{LinkKey, Media, MediaLinks, MediaSettings};
use postq_media::{Editor, EditorSettings};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use crate::backends::{Bench, Running, Times, one_shot, tell};
use crate::between::{Between, Kind, Trouble};
use crate::blind::Blind;
use crate::files::Web;
use crate::mortal::{Death, Mortal};
use crate::town::{Sent, Town};

/// The longest that a call may take, and how long after it something may become visible.
pub(crate) const SEND: Duration = Duration::from_millis(1_500);
pub(crate) const SETTLE: Duration = Duration::from_millis(1_500);
/// Late, and within both; and longer than all of it.
pub(crate) const LATE: Duration = Duration::from_millis(2_400);

const TIMES: Times = Times {
    send_timeout: SEND,
    settle_time: SETTLE,
    lease: Duration::from_secs(3),
    patience: Duration::from_secs(90),
    ..Times::SHORT
};

/// What waits for longer than this is made due by a person who has the time: what a platform or an outage asks for
/// is not what is tested. No look of these times is so far away.
const TOO_LONG: Duration = Duration::from_secs(4);

/// The word in the texts of a post, and of another one.
const WORD: &str = "herring";
const ANOTHER: &str = "walrus";

/// One post of a platform, as yet not sent.
pub(crate) struct World<T> {
    pub(crate) town: T,
    pub(crate) between: Between,
    pub(crate) sent: Sent,
    bench: Bench,
    account: AccountId,
    vault: Arc<ChaChaVault>,
    files: MemoryMedia,
    looks: bool,
}

/// Lets each post of a platform meet the same, all at once, each in a world of its own.
pub(crate) async fn each_post<T: Town, F: Future<Output = ()> + 'static>(
    case: impl Fn(World<T>) -> F,
) {
    each_of(T::posts(WORD), case).await;
}

/// Lets the first post of a platform meet something.
pub(crate) async fn first_post<T: Town, F: Future<Output = ()> + 'static>(
    case: impl Fn(World<T>) -> F,
) {
    each_of(T::posts(WORD).into_iter().take(1).collect(), case).await;
}

/// The same of those for which something is prepared.
pub(crate) async fn each_prepared_post<T: Town, F: Future<Output = ()> + 'static>(
    case: impl Fn(World<T>) -> F,
) {
    let prepared = T::posts(WORD).into_iter().filter(|sent| sent.is_prepared);
    each_of(prepared.collect(), case).await;
}

/// The same of those of which the platform takes no copy.
pub(crate) async fn each_post_taken_once<T: Town, F: Future<Output = ()> + 'static>(
    case: impl Fn(World<T>) -> F,
) {
    let once = T::posts(WORD).into_iter().filter(|sent| sent.is_taken_once);
    each_of(once.collect(), case).await;
}

/// Each of these for those that are sent again when they are not there.
pub(crate) async fn each_post_that_is_sent_again<T: Town, C: Copy, F>(
    cases: impl IntoIterator<Item = C>,
    case: impl Fn(World<T>, C) -> F,
) where
    F: Future<Output = ()> + 'static,
{
    let mut worlds = Vec::new();
    for which in cases {
        for sent in T::posts(WORD).into_iter().filter(|sent| sent.absence_is_told) {
            worlds.push(case(World::of(sent, Bench::sqlite()).await, which));
        }
    }
    all_end_well(worlds).await;
}

/// The same of those of which the platform cannot tell that they are not there.
pub(crate) async fn each_post_that_is_held<T: Town, F: Future<Output = ()> + 'static>(
    case: impl Fn(World<T>) -> F,
) {
    let held = T::posts(WORD).into_iter().filter(|sent| !sent.absence_is_told);
    each_of(held.collect(), case).await;
}

async fn each_of<T: Town, F: Future<Output = ()> + 'static>(
    posts: Vec<Sent>,
    case: impl Fn(World<T>) -> F,
) {
    let mut worlds = Vec::new();
    for sent in posts {
        worlds.push(case(World::of(sent, Bench::sqlite()).await));
    }
    all_end_well(worlds).await;
}

/// Lets the first post of a platform meet each of these, all at once, each in a world of its own on Postgres.
pub(crate) async fn first_post_on_postgres<T: Town, C, F: Future<Output = ()> + 'static>(
    cases: impl IntoIterator<Item = C>,
    case: impl Fn(World<T>, C) -> F,
) {
    let mut worlds = Vec::new();
    for which in cases {
        let sent = T::posts(WORD).swap_remove(0);
        worlds.push(case(World::of(sent, Bench::postgres().await).await, which));
    }
    all_end_well(worlds).await;
}

async fn all_end_well<F: Future<Output = ()> + 'static>(worlds: Vec<F>) {
    let at_once = async {
        let mut running = JoinSet::new();
        for world in worlds {
            running.spawn_local(world);
        }
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    };
    LocalSet::new().run_until(at_once).await;
}

impl<T: Town> World<T> {
    async fn of(sent: Sent, bench: Bench) -> Self {
        let (town, bench) = (T::start().await, bench.with_times(TIMES));
        let between = Between::before(town.server(), T::kind).await;
        let files = MemoryMedia::default();
        let platform = town.adapter(&between.url(), &files).name().clone();
        let account = bench.account("main", platform.as_str()).await.id;
        let vault = Arc::new(ChaChaVault::new(&[7; 32]));
        let world = Self { town, between, sent, bench, account, vault, files, looks: true };
        // A while ago: what was given just now is not renewed.
        world.connect(Duration::from_secs(7_200)).await;
        world
    }

    /// Somebody connects the account, so long ago.
    async fn connect(&self, ago: Duration) {
        let (remote_id, grant) = self.town.connect(&self.between.url()).await;
        let given = Credentials::granted(grant, self.bench.now() - ago).write();
        let sealed = self.vault.seal(self.account, &given).await.expect("sealed");
        let mut account = self.account().await;
        (account.remote_id, account.credentials) = (Some(remote_id), Some(sealed));
        let updated = self.bench.backend.accounts.update(&account, None).await.expect("updated");
        assert_eq!(updated, Applied::Applied);
    }

    /// Somebody connects the account again, and lets it go on.
    pub(crate) async fn connect_again(&self) {
        self.connect(Duration::ZERO).await;
        let lane = self.account().await.lane();
        let lifted = self.bench.backend.blocks.lift(lane.as_str(), BlockReason::NeedsAttention);
        lifted.await.expect("lifted");
    }

    /// Somebody connects the same identity once more; what is said from now on is said by this account.
    pub(crate) async fn connect_a_second_account(&mut self) {
        let first = self.account().await;
        self.account = self.bench.account("second", first.platform.as_str()).await.id;
        self.connect(Duration::from_secs(7_200)).await;
        assert_eq!(self.account().await.remote_id, first.remote_id, "it is the same");
    }

    async fn account(&self) -> Account {
        let known = self.bench.backend.accounts.load(&[self.account]).await.expect("accounts");
        known.into_iter().next().expect("the account")
    }

    /// The same without a look.
    pub(crate) fn blind(self) -> Self {
        Self { looks: false, ..self }
    }

    /// The creating call of the part that is struck meets this.
    pub(crate) fn strike(&self, trouble: Trouble) {
        self.between.strike(Kind::Create, self.sent.struck, trouble);
    }

    /// The next request of this kind after that meets this.
    pub(crate) fn then(&self, kind: Kind, trouble: Trouble) {
        self.between.strike(kind, 0, trouble);
    }

    /// A node that knows the account; several of them may work for it at once.
    fn node(&self, backend: Backend, at_once: u32) -> Running {
        let (catalog, uploads) = self.bench.media().expect("a store");
        let key = LinkKey::new(Box::new([5; 32]));
        let media = Media {
            store: Arc::new(self.files.clone()),
            catalog,
            uploads,
            editor: Arc::new(Editor::new(EditorSettings::default())),
            source: Arc::new(Web),
            links: Some(MediaLinks::new("https://post.example.com", [key])),
            settings: MediaSettings::default(),
        };
        let settings = Settings { rate_limit: false, lane_width: at_once, ..self.bench.settings() };
        let engine = self.bench.engine_on(backend).settings(settings).media(media);
        let engine = engine.vault(Arc::clone(&self.vault) as Arc<dyn Vault>);
        let adapter = self.town.adapter(&self.between.url(), &self.files);
        Running::start(engine.platform(match self.looks {
            true => adapter,
            false => Arc::new(Blind(adapter)),
        }))
    }

    /// A node is there and brings the post out.
    pub(crate) async fn say(&self) -> Running {
        let node = self.node(self.bench.backend.clone(), 1);
        self.schedule(&self.sent).await;
        node
    }

    /// The same was brought out before, without any trouble; the node is there and brings it out again once it is
    /// told to.
    pub(crate) async fn said_before(&self) -> Running {
        let node = self.say().await;
        self.is_out(0).await;
        node
    }

    pub(crate) async fn say_again(&self) {
        self.schedule(&self.sent).await;
    }

    /// A node brings it out and dies so; another one takes over. When it died.
    pub(crate) async fn say_and_die(&self, death: Death) -> (Running, Instant) {
        let part = u16::try_from(self.sent.struck).expect("few parts");
        let mortal = Mortal::over(&self.bench.another().await, death, part);
        let node = self.node(mortal.backend.clone(), 1);
        self.schedule(&self.sent).await;
        let died = tokio::time::timeout(TIMES.patience, mortal.died()).await;
        died.unwrap_or_else(|_| panic!("{}: it lives on", self.name()));
        let died = Instant::now();
        node.crash().await;
        (self.node(self.bench.backend.clone(), 1), died)
    }

    /// A node brings it out, and dies as soon as something was struck; another one takes over.
    pub(crate) async fn say_and_die_struck(&self) -> Running {
        let node = self.node(self.bench.another().await, 1);
        self.schedule(&self.sent).await;
        self.bench.wait_for("something is struck", || self.between.struck() > 0).await;
        node.crash().await;
        self.node(self.bench.backend.clone(), 1)
    }

    /// Two nodes, two posts of the account that go out at once.
    pub(crate) async fn say_two(&self) -> (Running, Running) {
        let nodes =
            (self.node(self.bench.backend.clone(), 2), self.node(self.bench.another().await, 2));
        self.schedule(&self.sent).await;
        let mut others = T::posts(ANOTHER).into_iter();
        let other = others.find(|other| other.name == self.sent.name).expect("the same one");
        self.schedule(&other).await;
        nodes
    }

    async fn schedule(&self, sent: &Sent) {
        let platform = self.account().await.platform;
        let mut content = Content { parts: sent.parts.clone(), ..Content::default() };
        content.options.insert(platform, sent.options.clone());
        let (post, now) = (Post::new(content, self.bench.now()), self.bench.now());
        self.bench.backend.posts.insert(std::slice::from_ref(&post)).await.expect("a post");
        let schedule = one_shot(post.id, &[self.account], now, now);
        self.bench.backend.schedules.insert(&[schedule]).await.expect("a schedule");
    }

    fn name(&self) -> String {
        format!("{} ({})", self.sent.name, std::any::type_name::<T>())
    }

    /// Waits until so many posts have ended.
    async fn ended(&self, posts: usize) -> Vec<Job> {
        let all =
            |jobs: &[Job]| jobs.len() == posts && jobs.iter().all(|job| job.state.is_terminal());
        self.until("it ends", async |jobs| all(jobs)).await
    }

    /// Waits until the account stands still for a person.
    pub(crate) async fn needs_a_person(&self) {
        let still = async |jobs: &[Job]| {
            let idle = jobs.iter().all(|job| job.state != JobState::Running);
            idle && self.blocks(BlockReason::NeedsAttention).await.len() == 1
        };
        let jobs = self.until("the account needs a person", still).await;
        assert!(!jobs.iter().any(|job| job.state.is_terminal()), "{}: it waits", self.name());
    }

    async fn until(&self, what: &str, done: impl AsyncFn(&[Job]) -> bool) -> Vec<Job> {
        let begun = Instant::now();
        loop {
            let jobs = self.bench.jobs().await;
            if done(&jobs).await {
                return jobs;
            }
            if begun.elapsed() > TIMES.patience {
                panic!("{}: still waiting until {what}: {}", self.name(), self.told(&jobs).await);
            }
            self.hurry(&jobs).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What waits for long goes on at once.
    async fn hurry(&self, jobs: &[Job]) {
        let soon = self.bench.now() + TOO_LONG;
        for block in self.blocks(BlockReason::RateLimit).await {
            if block.until.is_some_and(|until| until > soon) {
                let lifted = self.bench.backend.blocks.lift(&block.scope, block.reason).await;
                lifted.expect("lifted");
            }
        }
        for job in jobs.iter().filter(|job| !job.state.is_terminal() && job.run_at > soon) {
            self.bench.backend.control.due_now(job.id()).await.map(drop).expect("due");
        }
    }

    async fn blocks(&self, reason: BlockReason) -> Vec<Block> {
        let mut blocks = self.bench.backend.blocks.blocks().await.expect("blocks");
        blocks.retain(|block| block.reason == reason);
        blocks
    }

    async fn told(&self, jobs: &[Job]) -> String {
        let mut told = format!("live: {:?}", self.town.live());
        for job in jobs {
            told += &tell(&self.bench.story(job.id()).await);
        }
        told
    }

    /// How often a person was told of something.
    pub(crate) async fn notices(&self) -> usize {
        let jobs = self.bench.all_jobs().await;
        jobs.iter().filter(|job| job.made.kind.as_str() == JobKind::NOTIFY).count()
    }

    /// The post is out once, each part in its place, as its receipts say, after so many creating calls more than it
    /// has parts.
    pub(crate) async fn is_out(&self, more: usize) {
        self.are_out(1, more).await;
    }

    /// The same of so many posts.
    pub(crate) async fn are_out(&self, posts: usize, more: usize) {
        let jobs = self.ended(posts).await;
        let (live, parts) = (self.town.live(), self.sent.parts.len());
        let told = format!("{} is out once: {}", self.name(), self.told(&jobs).await);

        assert_eq!(live.len(), posts * parts, "{told}");
        assert_eq!(self.between.creates().len(), posts * parts + more, "{told}");
        let mut named = BTreeSet::new();
        for job in &jobs {
            assert_eq!(job.state, JobState::Succeeded, "{told}");
            let made = self.bench.backend.publications.of_jobs(&[job.id()]).await;
            let [publication] = &made.expect("publications")[..] else {
                panic!("one publication: {told}")
            };
            assert_eq!(publication.parts.len(), parts, "{told}");
            let mut before: Option<&String> = None;
            for receipt in &publication.parts {
                let id = &receipt.remote_id;
                let its = live.iter().find(|live| live.ids.contains(id));
                let its = its.unwrap_or_else(|| panic!("{id} is not what is out: {told}"));
                assert_eq!(its.reply_to.as_ref(), before, "{told}");
                assert!(named.insert(id.clone()), "{id} is of two: {told}");
                before = Some(id);
            }
        }
        self.has_settled(&told).await;
    }

    /// The platform cannot tell, and the last post is held for a person, after so many that are out; so many calls
    /// of it came to nothing.
    pub(crate) async fn is_held(&self, before: usize, calls: usize) {
        let jobs = self.ended(before + 1).await;
        let told = format!("{}: {}", self.name(), self.told(&jobs).await);

        let held = jobs.iter().filter(|job| job.dead_reason == Some(DeadReason::OutcomeUnknown));
        let out = jobs.iter().filter(|job| job.state == JobState::Succeeded);
        assert_eq!((held.count(), out.count()), (1, before), "{told}");
        assert_eq!(self.town.live().len(), before + self.sent.struck, "{told}");
        assert_eq!(self.between.creates().len(), before + self.sent.struck + calls, "{told}");
        assert_eq!(self.notices().await, 1, "a person is told: {told}");
        self.has_settled(&told).await;
    }

    /// What is held is out after all, and a person lets it be looked for again.
    pub(crate) async fn is_found_when_replayed(&self) {
        self.bench.wait_for("it is out after all", || !self.town.live().is_empty()).await;
        let held = self.ended(1).await.swap_remove(0);
        let replayed = self.bench.backend.control.replay(held.id(), ReplayKey::Keep).await;
        let Replayed::By(replay) = replayed.expect("an answer") else {
            panic!("it is a dead letter")
        };
        let jobs = self.ended(2).await;
        let told = format!("{}: {}", self.name(), self.told(&jobs).await);

        let job = jobs.iter().find(|job| job.id() == replay).expect("the replay");
        assert_eq!(job.state, JobState::Succeeded, "{told}");
        assert_eq!((self.town.live().len(), self.between.creates().len()), (1, 1), "{told}");
    }

    /// What was lost is sent again after the settle time: `calls` came of it and published nothing. Where the
    /// platform cannot tell, it is held.
    pub(crate) async fn is_sent_again(&self, calls: usize) {
        match self.sent.absence_is_told {
            true => self.is_out(calls).await,
            false => self.is_held(0, calls).await,
        }
        self.waited_for_the_settle_time();
    }

    /// Nothing of it runs any more, and nothing that was to happen has not.
    async fn has_settled(&self, told: &str) {
        let jobs = self.bench.jobs().await;
        assert!(!jobs.iter().any(|job| job.state == JobState::Running), "{told}");
        assert!(self.between.is_done(), "it met all of it: {told}");
        assert!(self.blocks(BlockReason::NeedsAttention).await.is_empty(), "{told}");
        assert!(self.account().await.credentials.is_some(), "it stays connected: {told}");
    }

    /// Between two creating calls of one part there is all the time in which the first may become visible.
    fn waited_for_the_settle_time(&self) {
        let creates = self.between.creates();
        for (n, first) in creates.iter().enumerate() {
            let part = self.sent.part_of(&first.body);
            let mut later = creates[n + 1..].iter();
            if let Some(next) = later.find(|next| self.sent.part_of(&next.body) == part) {
                self.waited_since(first.at, next.at);
            }
        }
    }

    /// The same where no call was made, only meant to be.
    pub(crate) fn waited_since_its_death(&self, died: Instant) {
        let creates = self.between.creates();
        if let Some(next) = creates.get(self.sent.struck) {
            self.waited_since(died, next.at);
        }
    }

    fn waited_since(&self, first: Instant, next: Instant) {
        let waited = next - first;
        assert!(waited >= SEND + SETTLE, "{}: sent again after {waited:?}", self.name());
    }
}
