//! Posts.

use async_trait::async_trait;

use crate::content::{Content, Post, PostTally};
use crate::error::{ErrorKind, StoreError};
use crate::id::{JobId, PostId, TenantId};
use crate::job::Resolution;
use crate::machine::JobState;
use crate::memory::MemoryBackend;
use crate::memory::state::State;
use crate::schedule::Timing;
use crate::store::{Edited, Page, PostStore};

#[async_trait]
impl PostStore for MemoryBackend {
    async fn insert(&self, posts: &[Post]) -> Result<(), StoreError> {
        let mut state = self.lock();
        let new: Vec<_> = posts.iter().filter(|post| !state.posts.contains_key(&post.id)).collect();
        for (n, post) in new.iter().enumerate() {
            let twin = |other: &Post| {
                other.id != post.id
                    && other.tenant_id == post.tenant_id
                    && other.key.is_some()
                    && other.key == post.key
            };
            if state.posts.values().any(twin) || new[..n].iter().any(|other| twin(other)) {
                let key = post.key.as_deref().unwrap_or_default();
                let action = format!("insert a post: the key \"{key}\" belongs to another one");
                return Err(StoreError::new(ErrorKind::Conflict, action));
            }
        }
        for post in &new {
            state.ensure_media(post.tenant_id, &post.content)?;
        }
        for post in new {
            state.posts.entry(post.id).or_insert_with(|| post.clone());
        }
        Ok(())
    }

    async fn load(&self, ids: &[PostId]) -> Result<Vec<Post>, StoreError> {
        let state = self.lock();
        Ok(ids.iter().filter_map(|id| state.posts.get(id).cloned()).collect())
    }

    async fn with_keys(&self, tenant: TenantId, keys: &[String]) -> Result<Vec<Post>, StoreError> {
        let state = self.lock();
        let wanted = |post: &&Post| {
            post.tenant_id == tenant && post.key.as_ref().is_some_and(|key| keys.contains(key))
        };
        Ok(state.posts.values().filter(wanted).cloned().collect())
    }

    async fn list(
        &self,
        tenant: TenantId,
        page: Page,
    ) -> Result<Vec<(Post, PostTally)>, StoreError> {
        let state = self.lock();
        let of_tenant = state.posts.values().filter(|post| post.tenant_id == tenant);
        let posts = page.of(of_tenant, |post| post.id.as_uuid());
        Ok(posts.into_iter().map(|post| (post.clone(), tally(&state, post.id))).collect())
    }

    async fn edit(
        &self,
        id: PostId,
        revision: u32,
        content: &Content,
    ) -> Result<Edited, StoreError> {
        let mut state = self.lock();
        let Some(post) = state.posts.get(&id) else { return Ok(Edited::Gone) };
        if post.revision != revision {
            return Ok(Edited::Changed { revision: post.revision });
        }
        let jobs = state.live_jobs_of_post(id);
        if jobs.iter().any(|job| state.is_frozen(&state.jobs[job].job)) {
            return Ok(Edited::AlreadyPublishing);
        }
        state.ensure_media(post.tenant_id, content)?;
        let Some(post) = state.posts.get_mut(&id) else { return Ok(Edited::Gone) };
        post.content = content.clone();
        post.revision += 1;
        Ok(Edited::Applied { revision: post.revision })
    }

    async fn remove(&self, id: PostId) -> Result<Edited, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        let Some(post) = state.posts.get(&id) else { return Ok(Edited::Gone) };
        let revision = post.revision;
        let jobs = state.live_jobs_of_post(id);
        if !state.can_withdraw(&jobs) {
            return Ok(Edited::AlreadyPublishing);
        }
        state.withdraw(&jobs, now, "the post was removed");
        state.schedules.retain(|_, schedule| schedule.post_id != id);
        state.posts.remove(&id);
        drop(state);
        self.changed();
        Ok(Edited::Applied { revision })
    }
}

impl State {
    fn live_jobs_of_post(&self, post: PostId) -> Vec<JobId> {
        let jobs = self.jobs.values().map(|row| &row.job);
        let live = jobs.filter(|job| job.made.post_id == Some(post) && !job.state.is_terminal());
        live.map(|job| job.id()).collect()
    }
}

fn tally(state: &State, id: PostId) -> PostTally {
    let mut tally = PostTally::default();
    for schedule in state.schedules.values().filter(|schedule| schedule.post_id == id) {
        tally.schedules += u32::from(schedule.timing != Timing::Unset);
        if schedule.enabled && schedule.next_run_at.is_some() {
            tally.live_schedules += 1;
        }
    }
    for job in state.jobs.values().map(|row| &row.job).filter(|job| job.made.post_id == Some(id)) {
        match job.state {
            JobState::Succeeded => tally.succeeded += 1,
            JobState::DeadLetter if job.resolution.is_none() => tally.dead += 1,
            JobState::DeadLetter if job.resolution == Some(Resolution::MarkedPublished) => {
                tally.succeeded += 1;
            }
            JobState::DeadLetter | JobState::Cancelled => {}
            JobState::Planned | JobState::Enqueued | JobState::Running | JobState::Failed => {
                tally.waiting += 1;
            }
        }
    }
    tally
}
