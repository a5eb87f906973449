//! The desk: where posts and schedules come in, are checked, changed and shown.
//!
//! | what | where |
//! |---|---|
//! | [`Desk::submit`], [`Desk::check`], [`Desk::commit`] | new posts |
//! | [`Desk::submit_as`], [`Desk::draft_as`], [`Desk::schedule_as`] | the same, under an id of the caller's |
//! | [`Desk::execute`] | publishing now |
//! | [`Desk::preview`], [`Desk::preview_of`], [`Desk::upcoming`] | what would happen |
//! | [`Desk::edit_seen`], [`Desk::alter`] | changes to what was looked at |
//! | [`Desk::edit_content`], [`Desk::amend`], [`Desk::switch`], [`Desk::cancel`] | changes |
//! | [`Desk::skip`], [`Desk::edit_occurrence`], [`Desk::pause_until`] | exceptions to a schedule |
//! | [`Desk::resume`], [`Desk::reconnected`] | letting an account go on |
//! | [`Desk::find_post`], [`Desk::list_posts`] | what there is |
//! | [`Desk::slots`], [`Desk::set_slots`], [`Desk::free_slots`] | when an account likes to publish |
//! | [`Desk::agenda`] | what lies in a span of time |
//!
//! Nothing is sent from here: a post that comes in is a row in a store, and an engine does the rest.

mod agenda;
mod alter;
mod change;
mod check;
mod commit;
mod cost;
mod daily;
mod directory;
mod draft;
mod error;
mod exception;
mod find;
mod fitting;
mod meaning;
mod media;
mod now;
mod preflight;
mod preview;
mod resume;
mod slot;
mod submission;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use postq_core::backend::Backend;
use postq_core::id::TenantId;
use postq_core::job::CorrelationId;
use postq_core::media::MediaId;
use postq_core::schedule::{Resolver, Schedule};

use crate::media::Media;
use crate::platforms::Platforms;
use crate::prices::Prices;
use crate::tokens::Tokens;

pub use self::agenda::{Agenda, AgendaEntry, AgendaItem, Moves};
pub use self::alter::Alteration;
pub(crate) use self::change::local_in;
pub use self::check::{Checked, Entry};
pub(crate) use self::check::{first_schedule, newly_unmeant};
pub(crate) use self::commit::CHUNK;
pub use self::cost::{Cost, MonthCost};
pub(crate) use self::daily::after;
pub(crate) use self::directory::Directory;
pub use self::error::{DeskError, Problem, Refused};
pub use self::find::{PostLine, Standing};
pub(crate) use self::fitting::Fitted;
pub use self::fitting::Notice;
pub(crate) use self::media::Named;
pub use self::now::Executed;
pub use self::preview::{PlatformPreview, Preview};
pub use self::slot::read_slots;
pub use self::submission::{Amendment, Submission, Submitted, When};

/// What a user may set of a desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeskSettings {
    /// A repeating post may not come more often than this, whatever kind of rule it has: no two of the
    /// first occurrences may be closer. Defaults to 60 s. Looked at when a schedule is made or gets
    /// another rule. Where all accounts are dry runs a second is enough: nothing is sent.
    pub min_interval: Duration,
    /// Late by at most this is not missed. Defaults to 5 minutes.
    pub grace: Duration,
    /// Whose posts these are. Defaults to [`TenantId::DEFAULT`].
    pub tenant: TenantId,
}

impl Default for DeskSettings {
    fn default() -> Self {
        Self {
            min_interval: Duration::from_secs(60),
            grace: Schedule::GRACE,
            tenant: TenantId::DEFAULT,
        }
    }
}

/// Takes posts in, checks them against their platforms, and changes what is not yet out. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct Desk {
    backend: Backend,
    platforms: Platforms,
    resolver: Arc<dyn Resolver>,
    settings: DeskSettings,
    prices: Arc<Prices>,
    correlation: Option<CorrelationId>,
    tokens: Option<Tokens>,
    /// What checks the files that posts name; nothing is said of them without it.
    media: Option<Media>,
    /// Files that are added before a post with them is stored.
    expected: Arc<BTreeSet<MediaId>>,
}

impl Desk {
    /// A desk with the default settings.
    pub fn new(backend: Backend, platforms: Platforms, resolver: Arc<dyn Resolver>) -> Self {
        let (settings, prices) = (DeskSettings::default(), Arc::default());
        Self {
            backend,
            platforms,
            resolver,
            settings,
            prices,
            correlation: None,
            media: None,
            expected: Arc::default(),
            tokens: None,
        }
    }

    /// The same, asking platforms for their own rules with these accounts' credentials.
    #[must_use]
    pub(crate) fn with_tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// The same with other settings.
    #[must_use]
    pub fn with_settings(mut self, settings: DeskSettings) -> Self {
        self.settings = settings;
        self
    }

    /// The same where calls have prices.
    #[must_use]
    pub fn with_prices(mut self, prices: Arc<Prices>) -> Self {
        self.prices = prices;
        self
    }

    /// The same, for what this id stands for: the jobs that it makes carry it, and so do those of the
    /// schedules that it makes, for as long as they go on.
    #[must_use]
    pub fn correlated(mut self, id: CorrelationId) -> Self {
        self.correlation = Some(id);
        self
    }

    /// What it keeps things in.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The platforms that posts go to.
    pub(crate) fn platforms(&self) -> &Platforms {
        &self.platforms
    }

    /// Whose posts these are.
    pub fn tenant(&self) -> TenantId {
        self.settings.tenant
    }
}
