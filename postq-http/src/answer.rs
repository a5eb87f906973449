//! One call and its whole answer.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;

use crate::no_answer::NoAnswer;

/// The most that is kept of a promised time, so that the answer to the caller is not later than was promised.
const MOST_MARGIN: Duration = Duration::from_millis(500);

/// A whole answer, read to a bound. Shows nothing of what it says: that may be a grant.
#[derive(Clone)]
pub struct Answer {
    /// Redirects too: they are not followed.
    pub status: StatusCode,
    /// As they came.
    pub headers: HeaderMap,
    /// Empty if it was larger than the bound.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (status, bytes) = (self.status, self.body.len());
        f.debug_struct("Answer")
            .field("status", &status)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// The body as JSON of a shape, if it has it.
    pub fn read<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body of a success as JSON of a shape.
    pub fn success<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        self.read().filter(|_| self.status.is_success())
    }
}

/// What is left of a promised time for the calls themselves: a twentieth less, at most half a second less.
pub fn within(promised: Duration) -> Duration {
    promised - (promised / 20).min(MOST_MARGIN)
}

/// Makes one call, once: within this time, connecting and the whole answer included, and with an answer of at
/// most so many bytes. The request must be of a [`client`](crate::client()).
///
/// An answer that is larger has an empty body: it is an answer all the same, and its status counts.
///
/// # Errors
///
/// That there is no answer. With no time left nothing is sent.
pub async fn ask(
    platform: &str,
    request: RequestBuilder,
    most: usize,
    within: Duration,
) -> Result<Answer, NoAnswer> {
    if within.is_zero() {
        return Err(NoAnswer::no_time(platform));
    }
    let sent = request.timeout(within).send().await;
    let mut response = sent.map_err(|error| NoAnswer::before_answer(platform, error))?;
    let cut = |error| NoAnswer::within_answer(platform, error);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(cut)? {
        if body.len() + chunk.len() > most {
            body = Vec::new();
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), headers: response.headers().clone(), body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_does_not_show_what_it_says() {
        let body = br#"{"access_token":"hunter2"}"#.to_vec();
        let answer = Answer { status: StatusCode::OK, headers: HeaderMap::new(), body };

        assert_eq!(format!("{answer:?}"), "Answer { status: 200, bytes: 26, .. }");
    }

    #[test]
    fn only_a_success_is_read_as_one() {
        let answer = |status| Answer { status, headers: HeaderMap::new(), body: b"[1]".to_vec() };

        let (good, bad) = (answer(StatusCode::CREATED), answer(StatusCode::BAD_REQUEST));
        assert_eq!(good.success::<Vec<u8>>(), Some(vec![1]));
        assert_eq!((bad.success::<Vec<u8>>(), bad.read::<Vec<u8>>()), (None, Some(vec![1])));
        assert_eq!(good.read::<String>(), None);
    }

    #[test]
    fn a_margin_is_a_twentieth_and_at_most_half_a_second() {
        assert_eq!(within(Duration::from_secs(2)), Duration::from_millis(1_900));
        assert_eq!(within(Duration::from_secs(30)), Duration::from_millis(29_500));
        assert_eq!(within(Duration::ZERO), Duration::ZERO);
    }
}
