//! Media, in an attempt to publish and ahead of it.

use postq_core::content::Part;
use postq_core::failure::{Failure, FailureClass, Outcome};
use postq_core::feed::{Deferral, Settle};
use postq_core::intent::{Intent, PlatformKey};
use postq_core::job::DeadReason;
use postq_core::platform::{Outgoing, PreparedMedia};
use postq_core::retry::RetryDecision;

use super::admit::usable;
use super::failure::dead;
use super::{End, Holding, Publish, exhausted, not_known_here};
use crate::engine::Shared;
use crate::media::ahead::Payload;
use crate::media::prepare::{Preparation, Unready};
use crate::media::stage::Made;
use crate::settle::Verdict;
use crate::tokens::Usable;
use crate::worker::Work;

impl Publish<'_> {
    /// What the platform knows a part's media by. Usually this was done long before.
    pub(super) async fn prepared(
        &self,
        index: u16,
        part: &Part,
    ) -> Result<Vec<PreparedMedia>, End> {
        if part.media.is_empty() || self.platform.media().is_none() {
            return Ok(Vec::new());
        }
        let preparation = self.preparation()?;
        let prepared = self.guarded(preparation.part(index, part, self.draft.options)).await?;
        match prepared {
            Ok(prepared) => Ok(prepared),
            Err(unready) => Err(ended(self.shared, self.work, &preparation, unready).await),
        }
    }

    /// What a part was built as, where the platform builds it ahead. So was this, usually. Where no media are kept
    /// nothing is built ahead: a part without any goes as it is.
    pub(super) async fn container(&self, part: Outgoing<'_>) -> Result<Option<String>, End> {
        let needs_none = self.shared.media.is_none() && part.media.is_empty();
        if self.platform.stage().is_none() || needs_none {
            return Ok(None);
        }
        let preparation = self.preparation()?;
        match self.guarded(preparation.container(part)).await? {
            Ok(container) => Ok(container),
            Err(unready) => Err(ended(self.shared, self.work, &preparation, unready).await),
        }
    }

    /// What was made for a part that is surely not out may be to blame: a container is built anew, and media are
    /// uploaded anew where the platform has forgotten them, or refuses the part: whoever sends that again does not
    /// meet the same files. Not where all that is wrong is the account or the hurry, nor where what it is refused as
    /// a copy of may be itself.
    pub(super) async fn forget_made(&self, failure: &Failure, part: &Part, intent: &Intent) {
        let is_to_blame = failure.outcome == Outcome::NotPublished
            && !failure.duplicate
            && !matches!(failure.class, FailureClass::Auth | FailureClass::RateLimit);
        let made = Made {
            container: intent.container.is_some(),
            media: !part.media.is_empty()
                && (failure.media_gone || failure.class == FailureClass::Content),
        };
        if is_to_blame
            && (made.container || made.media)
            && let Ok(preparation) = self.preparation()
            && let Err(failure) = preparation.forget(intent.part, made).await
        {
            tracing::debug!(%failure, "what was made is not forgotten");
        }
    }

    async fn guarded<T>(&self, step: impl Future<Output = T>) -> Result<T, End> {
        guarded(self.shared, self.work, self.holding, step).await
    }

    fn preparation(&self) -> Result<Preparation<'_>, End> {
        let Some(media) = &self.shared.media else {
            return Err(not_known_here(self.work, "where media are kept"));
        };
        let made = &self.work.job.made;
        Ok(Preparation {
            media,
            platform: self.platform,
            account: &self.account,
            who: &self.who,
            tenant: made.tenant_id,
            root: self.work.job.root,
            due: made.planned_at,
            time: self.work.time,
            limit: &self.holding.limit,
        })
    }
}

/// Runs a `media.prepare` job: brings the media of a post to its platform before the post is due.
pub(super) async fn prepare(
    shared: &Shared,
    work: &Work,
    holding: &Holding<'_>,
) -> Result<Verdict, End> {
    let Some(media) = &shared.media else {
        return Err(not_known_here(work, "where media are kept"));
    };
    if work.job.attempt > work.job.made.max_attempts {
        return Err(exhausted(shared, work));
    }
    let payload = Payload::of(&work.job)
        .map_err(|failure| dead(shared, work, failure, DeadReason::Content))?;
    let nothing_to_do = || Ok(Verdict::plain(Settle::Succeeded(None)));
    let Some(account) = work.account.as_deref() else { return nothing_to_do() };
    let Some(platform) = shared.platforms.get(&account.platform) else {
        return Err(not_known_here(work, &format!("platform \"{}\"", account.platform)));
    };
    let load = shared.backend.posts.load(std::slice::from_ref(&payload.post));
    let found = shared.bounded("load the post", load).await;
    let posts = match found {
        Ok(posts) => posts,
        Err(error) => {
            let why = postq_core::error::chain(&error);
            let failure = Failure::not_published(FailureClass::Internal, why);
            return Err(shared.retry_handled(work, failure, None));
        }
    };
    // Removed or called off meanwhile: nobody waits for it.
    let Some(post) = posts.first() else { return nothing_to_do() };
    let Usable { account, who } = usable(shared, work, account, holding).await?;
    let preparation = Preparation {
        media,
        platform,
        account: &account,
        who: &who,
        tenant: work.job.made.tenant_id,
        root: payload.root,
        due: payload.due,
        time: work.time,
        limit: &holding.limit,
    };
    let draft = post.content.draft_for(&account.platform);
    for (index, part) in (0_u16..).zip(draft.parts) {
        let prepared =
            match guarded(shared, work, holding, preparation.part(index, part, draft.options))
                .await?
            {
                Ok(prepared) => prepared,
                Err(unready) => return Err(ended(shared, work, &preparation, unready).await),
            };
        // What answers another part is built when that one is out.
        if index > 0 {
            continue;
        }
        let first = Outgoing {
            part: index,
            of: u16::try_from(draft.parts.len()).unwrap_or(u16::MAX),
            text: &part.text,
            options: draft.options,
            media: &part.media,
            prepared: &prepared,
            container: None,
            reply_to: None,
            thread: None,
            key: &PlatformKey::derive(payload.root, index),
        };
        if let Err(unready) = guarded(shared, work, holding, preparation.container(first)).await? {
            return Err(ended(shared, work, &preparation, unready).await);
        }
    }
    tracing::info!("media prepared");
    nothing_to_do()
}

/// Lets go when the lease is lost; and in time before the node ends, so that a large file that is on its way is
/// nobody's attempt. Each step is written down.
async fn guarded<T>(
    shared: &Shared,
    work: &Work,
    holding: &Holding<'_>,
    step: impl Future<Output = T>,
) -> Result<T, End> {
    let ends = async {
        holding.shutdown.cancelled().await;
        tokio::time::sleep(shared.settings.grace_period / 2).await;
    };
    tokio::select! {
        biased;
        () = holding.kept.lost.cancelled() => Err(End::Lost),
        done = step => Ok(done),
        () = ends => {
            let back = Settle::Deferred(work.time.now(), Deferral::Shutdown);
            Err(Verdict::new(back, "the node shut down").into())
        }
    }
}

async fn ended(
    shared: &Shared,
    work: &Work,
    preparation: &Preparation<'_>,
    unready: Unready,
) -> End {
    let failure = match unready {
        Unready::Later(at, why) => {
            return Verdict::new(Settle::Deferred(at, Deferral::Again), why).into();
        }
        Unready::Failed(failure) => failure,
    };
    let end = match failure.class {
        FailureClass::Content => dead(shared, work, failure, DeadReason::Content),
        FailureClass::Auth => {
            let account = preparation.account;
            shared.needs_attention(work, account, &failure, Deferral::Wait).await
        }
        _ => shared.retry_handled(work, failure, None),
    };
    if is_given_up(&end)
        && let Err(failure) = preparation.begin_anew().await
    {
        tracing::debug!(%failure, "what is half made is not forgotten");
    }
    end
}

fn is_given_up(end: &End) -> bool {
    let End::Settle(verdict) = end else { return false };
    matches!(verdict.settle, Settle::Failed(_, RetryDecision::GiveUp(_)))
}
