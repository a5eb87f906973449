//! Gathering: what many callers settle at the same time goes into one transaction. A worker's attempts
//! end one by one, and a commit costs the same for one as for hundreds.

use std::sync::{Mutex, MutexGuard, PoisonError};

use postq_core::error::{ErrorKind, StoreError, chain};
use postq_core::feed::Settlement;
use postq_core::job::Applied;
use tokio::sync::oneshot;

use crate::settle;
use crate::store::PgStore;
use crate::tx::write;

/// Settlements in one transaction. A call that brings as many goes alone.
const MOST: usize = 512;

/// Transactions at once: while one waits for its commit, another one works.
const AT_ONCE: usize = 2;

/// Calls that wait to be settled.
#[derive(Debug, Default)]
pub(crate) struct Gather(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    calls: Vec<Call>,
    running: usize,
}

/// What one caller wants settled.
#[derive(Debug)]
struct Call {
    settlements: Vec<Settlement>,
    answer: oneshot::Sender<Result<Vec<Applied>, StoreError>>,
}

impl Gather {
    /// Takes the call in; true if somebody has to begin settling.
    fn put(&self, call: Call) -> bool {
        let mut waiting = self.waiting();
        waiting.calls.push(call);
        let begins = waiting.running < AT_ONCE;
        waiting.running += usize::from(begins);
        begins
    }

    /// The calls of the next transaction; none ends the turn of whoever asks.
    fn next(&self) -> Vec<Call> {
        let mut waiting = self.waiting();
        let mut settlements = 0;
        // The first one always fits: larger calls go alone.
        let fits = waiting.calls.iter().take_while(|call| {
            settlements += call.settlements.len();
            settlements <= MOST
        });
        let fits = fits.count();
        if fits == 0 {
            waiting.running -= 1;
        }
        waiting.calls.drain(..fits).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PgStore {
    /// Settles together with what others settle at the same time.
    pub(crate) async fn settle_gathered(
        &self,
        settlements: &[Settlement],
    ) -> Result<Vec<Applied>, StoreError> {
        if settlements.len() >= MOST {
            return self.settle_at_once(settlements).await;
        }
        let (answer, answered) = oneshot::channel();
        if self.gather().put(Call { settlements: settlements.to_vec(), answer }) {
            // In a task of its own: whoever began may go away, and the others still wait. It ends with
            // the calls that are there; each of its statements has a time limit.
            tokio::spawn(settle_all(self.clone()));
        }
        match answered.await {
            Ok(answer) => answer,
            // The runtime is shutting down.
            Err(_) => Err(StoreError::new(ErrorKind::Unavailable, "settle jobs: cut off")),
        }
    }

    async fn settle_at_once(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError> {
        let answers = write!(self, "settle jobs", |tx| settle::settle(&tx, settlements))?;
        let open = settlements.iter().zip(&answers).filter(|(_, answer)| answer.is_none());
        let open: Vec<&Settlement> = open.map(|(one, _)| one).collect();
        let mut rest = Vec::new();
        if !open.is_empty() {
            rest = write!(self, "settle jobs", |tx| settle::carefully(&tx, &open))?;
        }
        let mut rest = rest.into_iter();
        let answer =
            |answer: Option<Applied>| answer.or_else(|| rest.next()).unwrap_or(Applied::Gone);
        Ok(answers.into_iter().map(answer).collect())
    }
}

/// Settles what waits until nothing does.
async fn settle_all(store: PgStore) {
    let mut turn = Turn { gather: store.gather(), is_over: false };
    loop {
        let calls = turn.gather.next();
        if calls.is_empty() {
            turn.is_over = true;
            return;
        }
        settle_calls(&store, calls).await;
    }
}

/// The turn of a task. One that is cut off gives its place back: the next call begins anew.
struct Turn<'a> {
    gather: &'a Gather,
    is_over: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.gather.waiting().running -= 1;
        }
    }
}

async fn settle_calls(store: &PgStore, calls: Vec<Call>) {
    let all: Vec<Settlement> =
        calls.iter().flat_map(|call| call.settlements.iter().cloned()).collect();
    match store.settle_at_once(&all).await {
        Ok(answers) => {
            let mut answers = answers.into_iter();
            for call in calls {
                let own = answers.by_ref().take(call.settlements.len()).collect();
                // Whoever has gone away needs no answer.
                let _ = call.answer.send(Ok(own));
            }
        }
        // The server is away: alone it would be no better.
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            for call in calls {
                let same = StoreError::new(error.kind(), chain(&error));
                let _ = call.answer.send(Err(same));
            }
        }
        // One of them is the reason: it must not hold back the others.
        Err(_) => {
            for call in calls {
                let answer = store.settle_at_once(&call.settlements).await;
                let _ = call.answer.send(answer);
            }
        }
    }
}
