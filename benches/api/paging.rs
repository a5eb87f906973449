//! A page in the middle of a list, against its first one.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::client::{Connection, Request};
use crate::fill::Filled;
use crate::server::Server;

/// The page that is compared with the first one.
const FAR: usize = 1_000;

const ROUNDS: usize = 60;

/// Asks for both in turns, and prints the medians.
pub(crate) async fn compare(server: &Server, filled: &Filled) {
    println!("page 1 and page {FAR}:");
    let lists = [
        ("/api/posts", &filled.posts),
        ("/api/jobs", &filled.jobs),
        ("/api/schedules", &filled.schedules),
        ("/api/dead-letters", &filled.dead_letters),
    ];
    for (path, ids) in lists {
        list(server, path, ids).await;
    }
}

async fn list(server: &Server, path: &str, ids: &[Uuid]) {
    // As many on a page as makes so many pages, 50 at most.
    let limit = (ids.len() / (FAR + 1)).clamp(1, 50);
    let Some(cursor) = ids.get((FAR - 1) * limit - 1).filter(|_| ids.len() > FAR * limit) else {
        println!("  {path:<20} has no {FAR} pages");
        return;
    };
    let first = Request::get(format!("{path}?limit={limit}"));
    let far = Request::get(format!("{path}?limit={limit}&cursor={cursor}"));
    let mut connection = Connection::open(&server.target).await.expect("a connection");
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (request, times) in [&first, &far].into_iter().zip(&mut times) {
            let before = Instant::now();
            let status = connection.ask(&server.target, request).await.expect("an answer");
            times.push(before.elapsed());
            assert_eq!(status, 200, "{}", connection.answer());
            let next = ids[if std::ptr::eq(request, &far) { FAR * limit } else { limit } - 1];
            assert!(connection.answer().contains(&format!("\"next\":\"{next}\"")), "a full page");
        }
    }
    let [first, far] = times.map(median);
    println!(
        "  {path:<20} {limit:>2} on a page   page 1 {:>6.2} ms   page {FAR} {:>6.2} ms   x {:.2}",
        first.as_secs_f64() * 1_000.0,
        far.as_secs_f64() * 1_000.0,
        far.as_secs_f64() / first.as_secs_f64()
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
