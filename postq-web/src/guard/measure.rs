//! How many requests there are, and how long they take.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{counter, histogram};
use tokio::time::Instant;

use crate::metrics::{REQUEST_SECONDS, REQUESTS};

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    // A path of nobody's and a method that there is not are the caller's words: they could be any.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "none".to_owned());
    let method = match request.method().as_str() {
        "GET" | "HEAD" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let answer = next.run(request).await;
    let status = answer.status().as_u16().to_string();
    let labels = [("method", method.to_owned()), ("route", route.clone()), ("status", status)];
    counter!(REQUESTS.name, &labels).increment(1);
    histogram!(REQUEST_SECONDS.name, "method" => method, "route" => route)
        .record(begun.elapsed().as_secs_f64());
    answer
}
