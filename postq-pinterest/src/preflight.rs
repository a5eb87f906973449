//! [`Preflight`] for Pinterest: names the boards and sections that there are.

use std::time::Duration;

use async_trait::async_trait;
use postq_core::content::Draft;
use postq_core::failure::Failure;
use postq_core::id::AccountId;
use postq_core::options::PostOptions;
use postq_core::platform::{Identity, Preflight, Violation};

use crate::boards::{Unplaced, Wanted};
use crate::client::{Caller, Pinterest, Texts};

/// The longest that asking ahead of time may take; shorter where `send_timeout` is.
const PREFLIGHT: Duration = Duration::from_secs(5);

#[async_trait]
impl Preflight for Pinterest {
    async fn check<'a>(&self, who: &Identity, draft: Draft<'a>) -> Result<Vec<Violation>, Failure> {
        let caller = self.caller(who, Texts::default())?.within(PREFLIGHT);
        match self.ensure_there(&caller, who.account, draft.options).await {
            Ok(()) => Ok(Vec::new()),
            Err(Unplaced::Wrong(message)) => Ok(vec![Violation { part: 0, message }]),
            Err(Unplaced::Failed(failure)) => Err(failure),
        }
    }
}

impl Pinterest {
    /// Looks for the board and the section, whether they are named or given by id.
    async fn ensure_there(
        &self,
        caller: &Caller<'_>,
        account: AccountId,
        options: &PostOptions,
    ) -> Result<(), Unplaced> {
        // What is missing is told by whoever asks for the options.
        let Some(text) = options.text("board").map(str::trim) else { return Ok(()) };
        let board = self.find(caller, account, Wanted { what: "board", text, of: None }).await?;
        if let Some(text) = options.text("section").map(str::trim) {
            let wanted = Wanted { what: "section", text, of: Some(&board) };
            self.find(caller, account, wanted).await?;
        }
        Ok(())
    }
}
