//! A fixed number of requests a second, whatever becomes of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postq::core::clock::{Clock, SystemClock};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::client::{Connection, Request};
use crate::fill::Filled;
use crate::server::Server;

/// After the last request was sent, what is not answered within this is a fault.
const PATIENCE: Duration = Duration::from_secs(30);

/// From handing a post in to its moment.
pub(crate) const AHEAD: Duration = Duration::from_secs(2);

/// Items on a page, as a dashboard asks for them.
const PAGE: usize = 50;

/// What is asked for, and how often in 100 requests.
const MIX: [(&str, usize); 13] = [
    ("GET /api/posts", 12),
    ("GET /api/posts/{id}", 20),
    ("POST /api/posts", 5),
    ("GET /api/schedules", 7),
    ("GET /api/schedules/{id}/occurrences", 8),
    ("GET /api/jobs", 8),
    ("GET /api/jobs?state=succeeded", 4),
    ("GET /api/jobs?account=", 3),
    ("GET /api/jobs/{id}", 16),
    ("GET /api/jobs/{id}/status", 8),
    ("GET /api/dead-letters", 5),
    ("GET /api/posts/scheduler/stats", 2),
    ("GET /api/queue/health", 2),
];

/// How long each request took, by route.
pub(crate) struct Figures {
    times: BTreeMap<&'static str, Vec<Duration>>,
    length: Duration,
}

/// Sends so many requests a second for so long.
pub(crate) async fn run(server: &Server, filled: &Filled, rate: u32, length: Duration) -> Figures {
    let wheel = wheel();
    let count = (length.as_secs_f64() * f64::from(rate)) as u32;
    let idle: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let mut running = JoinSet::new();
    let begin = Instant::now() + Duration::from_millis(50);
    for n in 0..count {
        let moment = begin + Duration::from_secs(1) * n / rate;
        let route = wheel[n as usize % wheel.len()];
        let request = request(route, n as usize, filled);
        sleep_until(moment).await;
        let (idle, target) = (Arc::clone(&idle), Arc::clone(&server.target));
        running.spawn(async move {
            let kept = idle.lock().expect("nothing panics with it").pop();
            let mut connection = match kept {
                Some(connection) => connection,
                None => Connection::open(&target).await.expect("a connection"),
            };
            let status = connection.ask(&target, &request).await.expect("an answer");
            let took = moment.elapsed();
            assert!((200..300).contains(&status), "{}: {}", request.line, connection.answer());
            idle.lock().expect("nothing panics with it").push(connection);
            (route, took)
        });
    }
    let mut figures = Figures { times: BTreeMap::new(), length };
    let answered = async {
        while let Some(done) = running.join_next().await {
            let (route, took) = done.expect("a good answer");
            figures.times.entry(route).or_default().push(took);
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("every request is answered");
    figures
}

/// The routes in the order in which they are asked for, each as often as it should be and spread out.
fn wheel() -> Vec<&'static str> {
    let all: Vec<_> = MIX.iter().flat_map(|(route, times)| vec![*route; *times]).collect();
    assert_eq!(all.len(), 100, "the mix is in percent");
    // 37 and 100 have no common factor: every place once.
    (0..all.len()).map(|n| all[n * 37 % all.len()]).collect()
}

/// The n-th request: things and pages all over the store, the same in every run.
fn request(route: &'static str, n: usize, filled: &Filled) -> Request {
    let any = |ids: &[Uuid]| ids[n * 7_919 % ids.len()];
    // A cursor at any place but for the last page.
    let page = |ids: &[Uuid]| {
        let cursor = ids[n * 7_919 % ids.len().saturating_sub(PAGE).max(1)];
        format!("limit={PAGE}&cursor={cursor}")
    };
    let account = &filled.accounts[n % filled.accounts.len()];
    let path = match route {
        "POST /api/posts" => return post(account),
        "GET /api/posts" => format!("/api/posts?{}", page(&filled.posts)),
        "GET /api/posts/{id}" => format!("/api/posts/{}", any(&filled.posts)),
        "GET /api/schedules" => format!("/api/schedules?{}", page(&filled.schedules)),
        "GET /api/schedules/{id}/occurrences" => {
            format!("/api/schedules/{}/occurrences", any(&filled.repeating))
        }
        "GET /api/jobs" => format!("/api/jobs?{}", page(&filled.jobs)),
        "GET /api/jobs?state=succeeded" => {
            format!("/api/jobs?state=succeeded&{}", page(&filled.jobs))
        }
        "GET /api/jobs?account=" => format!("/api/jobs?account={account}&limit={PAGE}"),
        "GET /api/jobs/{id}" => format!("/api/jobs/{}", any(&filled.jobs)),
        "GET /api/jobs/{id}/status" => format!("/api/jobs/{}/status", any(&filled.jobs)),
        "GET /api/dead-letters" => format!("/api/dead-letters?{}", page(&filled.dead_letters)),
        whole => whole.strip_prefix("GET ").expect("all others are asked as they stand").to_owned(),
    };
    Request::get(path)
}

/// A new post of this account.
fn post(account: &str) -> Request {
    let at = (SystemClock.now() + AHEAD).to_rfc3339();
    let body = serde_json::json!({
        "text": format!("hello at {at}"),
        "accounts": [account],
        "schedule": {"kind": "one_shot", "at": at},
    });
    Request {
        line: "POST /api/posts".to_owned(),
        body: Some((Uuid::new_v4().to_string(), body.to_string())),
    }
}

impl Figures {
    /// Posts that were handed in.
    pub(crate) fn made(&self) -> usize {
        self.times.get("POST /api/posts").map_or(0, Vec::len)
    }

    pub(crate) fn print(&self, what: &str, rate: u32, used: Duration) {
        let share = used.as_secs_f64() / self.length.as_secs_f64() * 100.0;
        println!("{what}: {rate} requests/s; the server takes {share:.0} % of a core");
        let mut all: Vec<Duration> = Vec::new();
        for (route, _) in MIX {
            let times = self.times.get(route).cloned().unwrap_or_default();
            all.extend(&times);
            print_row(route, times);
        }
        print_row("all", all);
    }
}

fn print_row(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else { return };
    let part = |share: f64| times[((times.len() as f64 * share) as usize).min(last)];
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!(
        "  {what:<38} {:>6}   p50 {:>7.2} ms   p99 {:>7.2} ms   max {:>7.2} ms",
        times.len(),
        ms(part(0.5)),
        ms(part(0.99)),
        ms(times[last])
    );
}
