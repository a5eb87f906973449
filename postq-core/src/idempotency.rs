//! Idempotency keys: a request that is made again gets the answer that it had.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::StoreError;
use crate::job::Applied;

/// A request that is made under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// The key, with whoever made it up before it: two of them may choose the same.
    pub key: String,
    /// A hash of the request: the same key is for the same request.
    pub fingerprint: [u8; 32],
    /// An id for what the request makes, if it is new. Whoever takes the request over later gets this
    /// one, so that it makes the same thing and not another one.
    pub id: Uuid,
    /// Whoever begins has so long to answer. After it, the request may be begun again.
    pub lease: Duration,
    /// The key is kept for so long.
    pub keep: Duration,
}

/// An answer, as it is given again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// The status of HTTP.
    pub status: u16,
    /// The headers that belong to it.
    pub headers: Vec<(String, String)>,
    /// The body; without anything that is shown only once.
    pub body: Vec<u8>,
}

/// What came of beginning a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Begun {
    /// It is the caller's to do, and what it makes has this id.
    Do(Uuid),
    /// Somebody does it right now.
    Running,
    /// It was answered.
    Answered(KeptAnswer),
    /// The key belongs to another request.
    Other,
}

/// Keeps idempotency keys and the answers to them.
///
/// # Contract
///
/// 1. A request is the one's to do who began it first; until it is answered, or the lease has ended,
///    it is `Running`, however many begin at once.  (`one_of_many_begins`)
/// 2. Once answered it has this answer, and another request under its key has none.
///    (`the_same_request_has_the_same_answer`, `another_request_is_refused`)
/// 3. What is abandoned is begun again after its lease, with the id that was given out first.
///    (`an_abandoned_request_keeps_its_id`)
/// 4. `abandon` ends the lease now.  (`a_request_can_be_given_back`)
/// 5. The first answer stays.  (`the_first_answer_stays`)
/// 6. A key is forgotten when its time is over.  (`a_key_is_forgotten`)
///
/// Each rule is a public test in `conformance::idempotency`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait IdempotencyStore: fmt::Debug + Send + Sync + 'static {
    /// Begins a request, or says what became of it.
    async fn begin(&self, request: &KeyedRequest) -> Result<Begun, StoreError>;

    /// Keeps the answer; `Stale` if there is one, `Gone` if nobody has begun.
    async fn answer(&self, key: &str, answer: &KeptAnswer) -> Result<Applied, StoreError>;

    /// Gives the request back without an answer: the next to begin does it.
    async fn abandon(&self, key: &str) -> Result<Applied, StoreError>;
}

const _OBJECT_SAFE: fn(&dyn IdempotencyStore) = |_| {};
