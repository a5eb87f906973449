//! How things are at this moment, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::failure::LimitScope;
use postq_core::job::{DeadReason, Topic};
use postq_core::machine::JobState;
use postq_core::platform::PlatformName;
use postq_core::price::{Spent, month};
use postq_core::queue::Depth;
use postq_core::store::{Block, JobFilter, Page as StorePage};
use postq_engine::metrics::{Metric, MetricKind};
use tokio::time::Instant;

use crate::exposition::Page;
use crate::health::{self, Condition};
use crate::tally::{Tally, tally, topics, unresolved};
use crate::web::Shared;

/// Counting takes so long at most; what is not counted then is left out.
const PATIENCE: Duration = Duration::from_secs(3);

/// Dead letters that are looked at for those that are held.
const MOST_HELD: usize = 1_000;

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, help }
}

const BUILD: Metric = gauge("postq_build_info", &["version"], "1, with the version that runs");
const READY: Metric = gauge("postq_ready", &[], "1 while it can do its work, as /readyz tells");
const DEGRADED: Metric =
    gauge("postq_degraded", &[], "1 while work goes on and something needs a look");
const LOOP_SUCCESS: Metric = gauge(
    "postq_loop_last_success_timestamp_seconds",
    &["loop"],
    "when a loop of the engine last succeeded, in Unix time; 0 before its first round",
);
const LOOP_EVERY: Metric =
    gauge("postq_loop_interval_seconds", &["loop"], "the longest time between two of its rounds");
const SERVICE: Metric = gauge(
    "postq_service_up",
    &["service"],
    "1 while a service beside the store is used; at 0 the work goes on without it",
);
const STORE: Metric = gauge("postq_store_up", &[], "1 while the store answers");
const STORE_SECONDS: Metric =
    gauge("postq_store_answer_seconds", &[], "how long the store took to tell the time");
const DEPTH: Metric = gauge(
    "postq_queue_depth",
    &["topic", "state"],
    "jobs: waiting (due, not begun; counted up to 10,000), active, completed, failed (unresolved \
     dead letters) and delayed",
);
const OLDEST: Metric = gauge(
    "postq_oldest_due_seconds",
    &["topic"],
    "for how long the first job has been due that nothing holds back; 0 if there is none",
);
const BESIDE: Metric = gauge(
    "postq_queue_beside_depth",
    &["topic", "state"],
    "what the queue beside the store holds: ready, delayed and leased",
);
const DEAD: Metric =
    gauge("postq_dead_letters", &[], "dead letters of all topics that nobody has dealt with");
const HELD: Metric = gauge(
    "postq_held",
    &[],
    "those among them that may or may not be out, and wait for a person; of the first 1,000",
);
const BLOCKED: Metric = gauge(
    "postq_blocked",
    &["platform", "reason"],
    "accounts, and whole apps, that stand still: paused, rate_limit, credits, needs_attention or budget",
);
const LIMIT: Metric = gauge(
    "postq_rate_limit_remaining",
    &["platform", "scope"],
    "calls left, as the platform told this node: the app's, and the fewest of any account",
);
const EXPIRES: Metric = gauge(
    "postq_token_expires_seconds",
    &["platform"],
    "until the first access token of an account ends, of those whose end is known and that nothing renews; negative after it; one that should have been renewed counts once it has ended",
);
const CONNECTIONS: Metric = gauge(
    "postq_store_connections",
    &["pool", "state"],
    "connections of this node to the store: in_use and idle, and calls that are waiting for one",
);
const CONNECTIONS_MOST: Metric =
    gauge("postq_store_connections_max", &["pool"], "connections that there may be");
const SPENT: Metric = gauge(
    "postq_spent_this_month",
    &["platform", "kind"],
    "what calls of this month have cost by the list of prices, in its currency; only where there is one",
);
const BUDGET: Metric =
    gauge("postq_budget", &[], "what may be spent in a month; only where that is set");
const STREAMS: Metric = gauge("postq_event_streams", &[], "clients of /api/events");

/// Everything that is told of this moment.
pub const GAUGES: [Metric; 21] = [
    BUILD,
    READY,
    DEGRADED,
    LOOP_SUCCESS,
    LOOP_EVERY,
    SERVICE,
    STORE,
    STORE_SECONDS,
    DEPTH,
    OLDEST,
    BESIDE,
    DEAD,
    HELD,
    BLOCKED,
    LIMIT,
    EXPIRES,
    CONNECTIONS,
    CONNECTIONS_MOST,
    SPENT,
    BUDGET,
    STREAMS,
];

/// All of them, now.
pub(crate) async fn now(app: &Shared) -> String {
    let counting = tokio::time::timeout(PATIENCE, count(app));
    let (ready, counted) = tokio::join!(health::ready(app), counting);
    let mut page = Page::default();
    page.put(&BUILD, [(vec![app.web.settings.version], 1.0)]);
    page.put_one(&READY, is(ready.status != Condition::NotReady));
    page.put_one(&DEGRADED, is(ready.status == Condition::Degraded));
    of_the_node(app, &mut page);
    let counted = counted.ok().and_then(Result::ok);
    page.put_one(&STORE, is(counted.is_some()));
    if let Some(counted) = counted {
        of_the_store(app, &counted, &mut page);
    }
    page.finish()
}

/// What this process knows by itself.
fn of_the_node(app: &Shared, page: &mut Page) {
    let loops = app.web.engine.health().loops();
    let last = |at: Option<DateTime<Utc>>| at.map_or(0.0, |at| millis(at.timestamp_millis()));
    page.put(&LOOP_SUCCESS, loops.iter().map(|(name, l)| (vec![name], last(l.last_success))));
    page.put(&LOOP_EVERY, loops.iter().map(|(name, l)| (vec![name], l.every.as_secs_f64())));
    let services = app.web.services.iter();
    page.put(&SERVICE, services.map(|s| (vec![s.service()], is(s.state().is_closed()))));
    let left = app.web.engine.calls_left(app.web.clock.now());
    let of_scope = |scope| match scope {
        LimitScope::App => "app",
        LimitScope::Account => "account",
    };
    let left = left.iter();
    page.put(
        &LIMIT,
        left.map(|l| (vec![l.platform.as_str(), of_scope(l.scope)], f64::from(l.remaining))),
    );
    let pools = app.web.pools.as_ref().map(|pools| pools.pools()).unwrap_or_default();
    let used = pools.iter().flat_map(|pool| {
        [("in_use", pool.in_use), ("idle", pool.idle), ("waiting", pool.waiting)]
            .map(|(state, count)| (vec![pool.pool, state], number(count as u64)))
    });
    page.put(&CONNECTIONS, used);
    let most = pools.iter().map(|pool| (vec![pool.pool], number(pool.most as u64)));
    page.put(&CONNECTIONS_MOST, most);
    page.put_one(&STREAMS, number(app.hub.open() as u64));
}

/// What the store tells: the same on every node.
struct Counted {
    now: DateTime<Utc>,
    took: Duration,
    topics: Vec<(Topic, Tally)>,
    beside: Vec<(Topic, Depth)>,
    dead: u64,
    held: u64,
    blocks: Vec<Block>,
    /// When the first token ends, by platform.
    expires: BTreeMap<PlatformName, DateTime<Utc>>,
    spent: Vec<Spent>,
}

async fn count(app: &Shared) -> Result<Counted, StoreError> {
    let backend = app.web.engine.backend();
    let begun = Instant::now();
    let now = backend.jobs.now().await?;
    let took = begun.elapsed();
    let blocks = backend.blocks.blocks().await?;
    let (mut tallies, mut beside) = (Vec::new(), Vec::new());
    for topic in topics(app) {
        // A queue that does not answer shows as a service that is not used.
        if let Some(queue) = &backend.queue
            && let Ok(depth) = queue.depth(&topic).await
        {
            beside.push((topic.clone(), depth));
        }
        let tally = tally(app, &topic, &blocks, now).await?;
        tallies.push((topic, tally));
    }
    let dead = unresolved(app, None).await?;
    let held = if dead == 0 { 0 } else { held(app).await? };
    let expires = first_to_expire(app).await?;
    let spent = match app.web.engine.prices().is_empty() {
        true => Vec::new(),
        false => backend.metrics.spent(month(now)).await?,
    };
    Ok(Counted { now, took, topics: tallies, beside, dead, held, blocks, expires, spent })
}

async fn first_to_expire(
    app: &Shared,
) -> Result<BTreeMap<PlatformName, DateTime<Utc>>, StoreError> {
    let mut first = BTreeMap::new();
    let backend = app.web.engine.backend();
    let now = backend.jobs.now().await?;
    for account in backend.accounts.list(app.desk.tenant()).await? {
        if let Some(at) = account.token_expires_at {
            // It is renewed before its end: no news until then.
            if at > now && app.web.engine.tokens().renews(&account).await == Some(true) {
                continue;
            }
            let known = first.entry(account.platform).or_insert(at);
            *known = at.min(*known);
        }
    }
    Ok(first)
}

async fn held(app: &Shared) -> Result<u64, StoreError> {
    let states = vec![JobState::DeadLetter];
    let filter = JobFilter { states, unresolved: true, ..JobFilter::default() };
    let page = StorePage::first(MOST_HELD);
    let jobs = app.web.engine.backend().jobs.list(app.desk.tenant(), &filter, page).await?;
    let unknown = |reason| reason == Some(DeadReason::OutcomeUnknown);
    Ok(jobs.iter().filter(|job| unknown(job.dead_reason)).count() as u64)
}

fn of_the_store(app: &Shared, counted: &Counted, page: &mut Page) {
    page.put_one(&STORE_SECONDS, counted.took.as_secs_f64());
    let depth = counted.topics.iter().flat_map(|(topic, tally)| {
        [
            ("waiting", tally.waiting),
            ("active", tally.active),
            ("completed", tally.completed),
            ("failed", tally.failed),
            ("delayed", tally.delayed),
        ]
        .map(|(state, count)| (vec![topic.as_str(), state], number(count)))
    });
    page.put(&DEPTH, depth);
    let since = |at: DateTime<Utc>| millis((counted.now - at).num_milliseconds().max(0));
    let oldest = counted.topics.iter();
    page.put(&OLDEST, oldest.map(|(topic, t)| (vec![topic.as_str()], t.oldest.map_or(0.0, since))));
    let beside = counted.beside.iter().flat_map(|(topic, depth)| {
        [("ready", depth.ready), ("delayed", depth.delayed), ("leased", depth.leased)]
            .map(|(state, count)| (vec![topic.as_str(), state], number(count)))
    });
    page.put(&BESIDE, beside);
    page.put_one(&DEAD, number(counted.dead));
    page.put_one(&HELD, number(counted.held));
    let expires = counted.expires.iter();
    let left = |at: &DateTime<Utc>| millis((*at - counted.now).num_milliseconds());
    page.put(&EXPIRES, expires.map(|(platform, at)| (vec![platform.as_str()], left(at))));
    let spent = counted.spent.iter();
    page.put(&SPENT, spent.map(|s| (vec![s.platform.as_str(), s.kind.as_str()], amount(s.micros))));
    if let Some(budget) = app.web.engine.prices().budget() {
        page.put_one(&BUDGET, amount(budget));
    }
    let blocked = blocked(app, &counted.blocks);
    page.put(&BLOCKED, blocked.into_iter().map(|((p, reason), n)| (vec![p, reason], number(n))));
}

/// Blocks by platform and reason. A lane of the user's own may have any name: it is one of the others.
fn blocked<'a>(app: &Shared, blocks: &'a [Block]) -> BTreeMap<(&'a str, &'static str), u64> {
    let mut blocked = BTreeMap::new();
    for block in blocks {
        let app_of = block.scope.split('/').next().unwrap_or_default();
        let known = app.web.engine.platforms().names().any(|name| name.as_str() == app_of);
        let platform = if known { app_of } else { "other" };
        *blocked.entry((platform, block.reason.as_str())).or_default() += 1;
    }
    blocked
}

fn is(so: bool) -> f64 {
    if so { 1.0 } else { 0.0 }
}

#[allow(clippy::cast_precision_loss, reason = "no count of ours comes near 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

/// Millionths as the whole: for a chart, no sum is made of it.
fn amount(micros: u64) -> f64 {
    number(micros) / 1_000_000.0
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of our time are below 2^53")]
fn millis(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}
