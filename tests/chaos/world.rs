//! Posts that go out evenly from several nodes, and what must be true of them in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use postq::core::backend::Backend;
use postq::core::content::{Content, Post};
use postq::core::failure::{Failure, FailureClass};
use postq::core::id::{AccountId, JobId, NodeId};
use postq::core::job::Job;
use postq::engine::{ReportResult, Settings};
use tokio::task::JoinSet;

use crate::backends::{Bench, Running, Times, one_shot, tell, tolerance};
use crate::scripted::{Act, Scripted, assert_all_out_once};

/// Enough for what piles up in an outage to be a few posts of each.
const ACCOUNTS: usize = 40;
const LIED_TO: usize = 4;
/// Between two posts: seldom enough for a debug build on a busy machine to make up for 30 s in those 5 s.
const EVERY: Duration = Duration::from_millis(125);
/// Writing the posts takes a while.
const HEAD_START: TimeDelta = TimeDelta::seconds(4);

/// A server that is back is used again within this.
const RECOVERS: Duration = Duration::from_secs(5);
/// What is planned so shortly before an outage may meet it.
const SHORTLY: TimeDelta = TimeDelta::seconds(2);

/// Short, and yet in proportion: a lease that outlives a hiccup and ends in every outage of a test.
const TIMES: Times = Times {
    send_timeout: Duration::from_millis(1_500),
    settle_time: Duration::from_secs(2),
    lease: Duration::from_secs(4),
    sweep_every: Duration::from_secs(1),
    patience: Duration::from_secs(90),
    poll: Duration::from_millis(250),
    ..Times::SHORT
};

/// When servers were away.
#[derive(Debug)]
pub(crate) struct Outages {
    bench: Arc<Bench>,
    all: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Outages {
    /// Lets an outage happen and notes when it was.
    pub(crate) async fn note(&mut self, outage: &mut impl AsyncFnMut()) {
        let from = self.bench.now();
        outage().await;
        self.all.push((from, self.bench.now()));
    }

    /// Whether what is planned for this moment has to be on time: no outage is on, and the last one has
    /// been over for so long.
    fn is_calm(&self, at: DateTime<Utc>, after: Duration) -> bool {
        !self.all.iter().any(|(from, until)| (*from - SHORTLY..*until + after).contains(&at))
    }
}

/// What has settled well: which job, by which node.
type Settled = Arc<Mutex<Vec<(JobId, NodeId)>>>;

pub(crate) struct World {
    bench: Arc<Bench>,
    platform: Scripted,
    accounts: Vec<AccountId>,
    /// Those of which some calls publish and do not answer, and have to be looked into.
    lied_to: BTreeSet<AccountId>,
    posts: Mutex<usize>,
    nodes: Mutex<Vec<Running>>,
    settled: Settled,
    watching: Mutex<JoinSet<()>>,
}

impl World {
    /// So many nodes, and a platform that now and then publishes and breaks off without an answer.
    pub(crate) async fn over(bench: Bench, nodes: usize) -> Self {
        let bench = Arc::new(bench.with_times(TIMES));
        let accounts = bench.accounts(ACCOUNTS, "scripted").await;
        let accounts: Vec<AccountId> = accounts.iter().map(|account| account.id).collect();
        let lied_to: BTreeSet<AccountId> = accounts[..LIED_TO].iter().copied().collect();
        let lied = lied_to.clone();
        let platform = Scripted::new("scripted", &bench).scripted(move |call| {
            if lied.contains(&call.account) && call.n % 4 == 1 && call.again == 0 {
                return Act::lie(Failure::unknown(FailureClass::Network, "cut off"));
            }
            // Long enough to be met in the middle.
            Act { takes: Duration::from_millis(20 + call.n as u64 % 7 * 10), ..Act::good() }
        });
        let world = Self {
            bench,
            platform,
            accounts,
            lied_to,
            posts: Mutex::default(),
            nodes: Mutex::default(),
            settled: Settled::default(),
            watching: Mutex::default(),
        };
        for _ in 0..nodes {
            let backend = world.bench.another().await;
            world.start(backend);
        }
        world
    }

    /// Adds a node that reaches the same schema this way; answers which it is.
    pub(crate) async fn join(&self, url: &str) -> NodeId {
        let backend = self.bench.another_by(url).await;
        self.start(backend)
    }

    fn start(&self, backend: Backend) -> NodeId {
        let settings = Settings { store_timeout: Duration::from_secs(10), ..self.bench.settings() };
        let engine = self.bench.engine_on(backend).settings(settings);
        let node = Running::start(engine.platform(self.platform.shared()));
        let (id, settled) = (node.engine.node(), Arc::clone(&self.settled));
        let mut reports = node.engine.reports();
        lock(&self.watching).spawn(async move {
            while let Ok(report) = reports.recv().await {
                if matches!(report.result, ReportResult::Succeeded { .. }) {
                    lock(&settled).push((report.job, id));
                }
            }
        });
        lock(&self.nodes).push(node);
        id
    }

    pub(crate) fn bench(&self) -> Arc<Bench> {
        Arc::clone(&self.bench)
    }

    /// Plans a post every few milliseconds for so long, and waits until the first is due.
    pub(crate) async fn begin(&self, lasts: Duration) -> Outages {
        let bench = &self.bench;
        let from = (bench.now() + HEAD_START).trunc_subsecs(3);
        let count = (lasts.as_millis() / EVERY.as_millis()) as usize;
        let made = |n: usize| {
            let at = from + EVERY * n as u32;
            let post = Post::new(Content::text(at.to_rfc3339()), bench.now());
            let schedule = one_shot(post.id, &[self.accounts[n % ACCOUNTS]], at, bench.now());
            (post, schedule)
        };
        let (posts, schedules): (Vec<_>, Vec<_>) = (0..count).map(made).unzip();
        for posts in posts.chunks(500) {
            bench.backend.posts.insert(posts).await.expect("posts");
        }
        for schedules in schedules.chunks(500) {
            bench.backend.schedules.insert(schedules).await.expect("schedules");
        }
        *lock(&self.posts) = count;
        let mut outages = Outages { bench: Arc::clone(bench), all: Vec::new() };
        match (from - bench.now()).to_std() {
            Ok(wait) => tokio::time::sleep(wait).await,
            // On a busy machine they were not written in time, and so the first ones are late.
            Err(_) => outages.all.push((from, bench.now())),
        }
        outages
    }

    /// Waits until all is over. Then each post is out exactly once, each job was settled at most once, and
    /// what was planned while all servers were there was on time.
    pub(crate) async fn judge(&self, outages: &Outages) {
        let count = *lock(&self.posts);
        let jobs = self.bench.rest(count).await;

        assert_eq!(jobs.len(), count);
        assert_all_out_once(&self.bench, &self.platform, &jobs).await;
        let mut times: BTreeMap<JobId, usize> = BTreeMap::new();
        for (job, _) in lock(&self.settled).iter() {
            *times.entry(*job).or_default() += 1;
        }
        if let Some((job, _)) = times.iter().find(|(_, times)| **times > 1) {
            panic!("settled twice: {}", tell(&self.bench.story(*job).await));
        }
        // No node crashed: whatever a server did not hear, the node that made the call knows.
        assert_eq!(self.platform.calls().len(), count, "each was sent once");
        assert_eq!(self.platform.most_at_once(), 1, "one at a time per account");
        self.judge_lateness(&jobs, outages).await;
    }

    async fn judge_lateness(&self, jobs: &[Job], outages: &Outages) {
        let unknown = TIMES.send_timeout + TIMES.settle_time;
        let (mut calm, mut worst, mut worst_of_all) = (0, TimeDelta::zero(), TimeDelta::zero());
        let mut late = Vec::new();
        for (job, lateness) in self.lateness(jobs) {
            worst_of_all = worst_of_all.max(lateness);
            let account = job.made.account_id.expect("a publish job has one");
            let after = match self.lied_to.contains(&account) {
                true => RECOVERS + unknown,
                false => RECOVERS,
            };
            if !outages.is_calm(job.made.planned_at, after) {
                continue;
            }
            calm += 1;
            worst = worst.max(lateness);
            if lateness > tolerance() {
                late.push((job.made.planned_at, lateness, job.id()));
            }
        }
        println!(
            "{} posts, each out once; {calm} planned when all was well: at most {} ms late; in and \
             after outages at most {} ms; outages: {:?}",
            jobs.len(),
            worst.num_milliseconds(),
            worst_of_all.num_milliseconds(),
            outages
                .all
                .iter()
                .map(|(from, until)| (*until - *from).num_milliseconds())
                .collect::<Vec<_>>(),
        );
        assert!(calm > 20, "too few were planned when all was well: {calm}");
        if let Some((_, _, job)) = late.first() {
            let told = tell(&self.bench.story(*job).await);
            panic!(
                "{} were late: {:?} {:?}{told}",
                late.len(),
                &late[..late.len().min(9)],
                outages.all
            );
        }
    }

    /// How late each job's post was out.
    fn lateness<'a>(&self, jobs: &'a [Job]) -> Vec<(&'a Job, TimeDelta)> {
        let live = self.platform.live();
        let out: BTreeMap<DateTime<Utc>, DateTime<Utc>> =
            live.iter().map(|live| (live.text.parse().expect("a time"), live.created_at)).collect();
        jobs.iter().map(|job| (job, out[&job.made.planned_at] - job.made.planned_at)).collect()
    }

    /// Whether the work went on all the time, as it does without a service that only makes it faster.
    pub(crate) async fn assert_never_late(&self) {
        let jobs = self.bench.jobs().await;
        let mut of = self.lateness(&jobs);
        of.retain(|(job, _)| job.made.account_id.is_some_and(|id| !self.lied_to.contains(&id)));
        let (job, worst) = of.into_iter().max_by_key(|(_, lateness)| *lateness).expect("posts");
        assert!(worst < tolerance(), "{worst} late: {}", tell(&self.bench.story(job.id()).await));
    }

    /// How many jobs went to another node because a lease had ended.
    pub(crate) async fn taken_over(&self) -> usize {
        let mut count = 0;
        for job in self.bench.jobs().await.iter().filter(|job| job.fence.0 > 1) {
            let events = self.bench.story(job.id()).await.events;
            let ended = |reason: &str| reason.contains("lease expired");
            count += usize::from(events.iter().any(|e| e.reason.as_deref().is_some_and(ended)));
        }
        count
    }

    /// How many jobs this node brought to a good end.
    pub(crate) fn settled_by(&self, node: NodeId) -> usize {
        lock(&self.settled).iter().filter(|(_, by)| *by == node).count()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
