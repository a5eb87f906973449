//! What ties a request to its log lines, its jobs and its answer: one id, the caller's or a new one.

use axum::extract::{MatchedPath, Request};
use axum::http::header::{HeaderName, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use postq_core::job::CorrelationId;
use tracing::Instrument;
use uuid::Uuid;

/// The header by which it comes and goes.
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Where it is taken from besides: the trace that the request is part of.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longer ones are replaced.
const LONGEST: usize = 128;

pub(crate) async fn layer(mut request: Request, next: Next) -> Response {
    let id =
        read(request.headers()).unwrap_or_else(|| CorrelationId::new(Uuid::now_v7().to_string()));
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let span = tracing::info_span!(
        "request",
        method = %request.method(),
        route = route.as_deref(),
        correlation_id = %id,
    );
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    request.extensions_mut().insert(id.clone());
    async move {
        let mut answer = next.run(request).await;
        let status = answer.status().as_u16();
        let made = answer.headers().get(LOCATION).and_then(|made| made.to_str().ok());
        // What changes something is worth a line by itself: it leads from the id to what was made.
        match changes {
            true => tracing::info!(status, made, "answered"),
            false => tracing::debug!(status, "answered"),
        }
        let value = HeaderValue::from_str(id.as_str()).expect("it is plain ASCII");
        answer.headers_mut().insert(CORRELATION_ID, value);
        answer
    }
    .instrument(span)
    .await
}

/// The caller's id, if it has one that may stand in logs and headers: its own, or that of its trace.
fn read(headers: &HeaderMap) -> Option<CorrelationId> {
    let only = |name| {
        let mut all = headers.get_all(name).iter();
        all.next().filter(|_| all.next().is_none()).and_then(|value| value.to_str().ok())
    };
    let own = only(CORRELATION_ID).filter(|id| fits(id));
    own.or_else(|| trace_id(only(TRACEPARENT)?)).map(CorrelationId::new)
}

fn fits(id: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=@".contains(c);
    (1..=LONGEST).contains(&id.len()) && id.chars().all(good)
}

/// The trace of a `traceparent`: `version-trace-parent-flags`, in lower-case hex
/// (<https://www.w3.org/TR/trace-context/>).
fn trace_id(header: &str) -> Option<&str> {
    let mut parts = header.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length: usize| {
        let digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        text.len() == length && text.chars().all(digit)
    };
    let is_set = |id: &str| id.chars().any(|digit| digit != '0');
    // Later versions may append parts; the first one has none.
    let whole = version != "00" || parts.next().is_none();
    let good = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16);
    (good && hex(flags, 2) && whole && is_set(trace) && is_set(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn read_of(headers: &[(HeaderName, &str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        read(&map).map(|id| id.to_string())
    }

    #[test]
    fn the_callers_own_id_goes_before_its_trace() {
        let trace = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let own = (CORRELATION_ID, "order-17/a@b:2");

        assert_eq!(read_of(&[own.clone(), (TRACEPARENT, &trace)]).as_deref(), Some(own.1));
        assert_eq!(read_of(&[(TRACEPARENT, &trace)]).as_deref(), Some(TRACE));
        let bad = (CORRELATION_ID, "a b");
        assert_eq!(read_of(&[bad, (TRACEPARENT, &trace)]).as_deref(), Some(TRACE));
        assert_eq!(read_of(&[]), None);
    }

    #[test]
    fn an_id_that_could_mislead_is_not_taken() {
        let long = "a".repeat(LONGEST + 1);
        for bad in ["", " ", "a b", "a\tb", "<b>", "\"", "a%0ab", "\u{e9}", &long] {
            assert_eq!(read_of(&[(CORRELATION_ID, bad)]), None, "{bad:?}");
        }
        assert_eq!(read_of(&[(CORRELATION_ID, "a"), (CORRELATION_ID, "b")]), None);
        assert!(read_of(&[(CORRELATION_ID, &long[1..])]).is_some());
    }

    #[test]
    fn a_trace_parent_that_is_none_is_not_taken() {
        let later = format!("cc-{TRACE}-00f067aa0ba902b7-01-what-comes-later");
        assert!(read_of(&[(TRACEPARENT, &later)]).is_some());
        for bad in [
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            TRACE.to_owned(),
        ] {
            assert_eq!(read_of(&[(TRACEPARENT, &bad)]), None, "{bad}");
        }
    }
}
