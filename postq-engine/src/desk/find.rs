//! What there is, and where it stands.

use std::collections::BTreeMap;

use postq_core::content::{Post, PostState, PostTally};
use postq_core::id::{PostId, ScheduleId};
use postq_core::job::{Job, Resolution};
use postq_core::machine::JobState;
use postq_core::schedule::Schedule;
use postq_core::store::{JobFilter, Page};

use super::{Desk, DeskError};

/// Ids in one query, and rows in one page.
const PAGE: usize = 500;

/// Most jobs of schedules that are looked at to tell where they stand.
const MOST_JOBS: usize = 200_000;

/// A post and where it stands.
#[derive(Clone, Debug)]
pub struct PostLine {
    /// The post.
    pub post: Post,
    /// Where it stands.
    pub state: PostState,
    /// Its schedules.
    pub schedules: Vec<Schedule>,
}

/// Where a schedule stands: told from its jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Jobs that have not ended.
    pub waiting: u32,
    /// Jobs that succeeded, and dead letters that a person says are out.
    pub succeeded: u32,
    /// Dead letters that nobody has resolved.
    pub dead: u32,
    /// Jobs that were taken back or missed.
    pub cancelled: u32,
}

impl Standing {
    /// Whether nothing of the schedule is still to come.
    pub fn is_over(&self, schedule: &Schedule) -> bool {
        self.waiting == 0 && schedule.next_run_at.is_none()
    }

    /// The state of a post that has this schedule alone.
    pub fn state(&self, schedule: &Schedule) -> PostState {
        let live = u32::from(schedule.enabled && schedule.next_run_at.is_some());
        PostTally {
            schedules: 1,
            live_schedules: live,
            waiting: self.waiting,
            succeeded: self.succeeded,
            dead: self.dead,
        }
        .state()
    }

    fn count(&mut self, job: &Job) {
        match job.state {
            JobState::Succeeded => self.succeeded += 1,
            JobState::DeadLetter if job.resolution.is_none() => self.dead += 1,
            JobState::DeadLetter if job.resolution == Some(Resolution::MarkedPublished) => {
                self.succeeded += 1;
            }
            JobState::DeadLetter => {}
            JobState::Cancelled => self.cancelled += 1,
            JobState::Planned | JobState::Enqueued | JobState::Running | JobState::Failed => {
                self.waiting += 1;
            }
        }
    }
}

impl Desk {
    /// The post with this id or calendar key.
    pub async fn find_post(&self, name: &str) -> Result<Post, DeskError> {
        let found = match name.parse::<PostId>() {
            Ok(id) => self.backend.posts.load(&[id]).await?,
            Err(_) => self.backend.posts.with_keys(self.tenant(), &[name.to_owned()]).await?,
        };
        let own = found.into_iter().find(|post| post.tenant_id == self.tenant());
        own.ok_or_else(|| {
            DeskError::NotFound(format!("post \"{name}\"; postqd post list shows what there is"))
        })
    }

    /// The schedule with this id.
    pub async fn find_schedule(&self, id: ScheduleId) -> Result<Schedule, DeskError> {
        let found = self.backend.schedules.load(&[id]).await?;
        let own = found.into_iter().find(|schedule| schedule.tenant_id == self.tenant());
        own.ok_or_else(|| {
            DeskError::NotFound(format!("schedule {id}; postqd schedule list shows what there is"))
        })
    }

    /// A page of posts with their states and schedules.
    pub async fn list_posts(&self, page: Page) -> Result<Vec<PostLine>, DeskError> {
        let posts = self.backend.posts.list(self.tenant(), page).await?;
        let ids: Vec<PostId> = posts.iter().map(|(post, _)| post.id).collect();
        let mut schedules = self.schedules_of(&ids).await?;
        let line = |(post, tally): (Post, PostTally)| PostLine {
            state: tally.state(),
            schedules: schedules.remove(&post.id).unwrap_or_default(),
            post,
        };
        Ok(posts.into_iter().map(line).collect())
    }

    /// The schedules of posts, oldest first.
    pub(crate) async fn schedules_of(
        &self,
        posts: &[PostId],
    ) -> Result<BTreeMap<PostId, Vec<Schedule>>, DeskError> {
        let mut found: BTreeMap<PostId, Vec<Schedule>> = BTreeMap::new();
        for ids in posts.chunks(PAGE) {
            for schedule in self.backend.schedules.of_posts(ids).await? {
                found.entry(schedule.post_id).or_default().push(schedule);
            }
        }
        for schedules in found.values_mut() {
            schedules.sort_by_key(|schedule| schedule.id);
        }
        Ok(found)
    }

    /// Where schedules stand; those without jobs stand at nothing.
    pub async fn standings(
        &self,
        schedules: &[ScheduleId],
    ) -> Result<BTreeMap<ScheduleId, Standing>, DeskError> {
        let mut found: BTreeMap<ScheduleId, Standing> = BTreeMap::new();
        for ids in schedules.chunks(PAGE) {
            let filter = JobFilter { schedules: Some(ids.to_vec()), ..JobFilter::default() };
            let mut page = Page::first(PAGE);
            for _ in 0..MOST_JOBS / PAGE {
                let jobs = self.backend.jobs.list(self.tenant(), &filter, page).await?;
                for (job, schedule) in jobs.iter().filter_map(|j| Some((j, j.made.schedule_id?))) {
                    found.entry(schedule).or_default().count(job);
                }
                match jobs.last().filter(|_| jobs.len() >= page.limit) {
                    Some(last) => page.after = Some(last.id().as_uuid()),
                    None => break,
                }
            }
        }
        Ok(found)
    }
}
