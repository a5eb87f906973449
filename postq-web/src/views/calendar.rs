//! What lies in a span of time.

use chrono::{DateTime, Utc};
use postq_core::machine::JobState;
use postq_engine::desk::{Agenda, AgendaEntry, AgendaItem, Moves};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::views::job;
use crate::views::post::gist;

/// The most characters of a text that an item shows.
const MOST_TEXT: usize = 140;

/// What lies in a span of time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CalendarView {
    /// In order of time.
    items: Vec<CalendarItem>,
    /// There is more than one answer shows: what is missing is the latest. Ask for a shorter span.
    is_cut: bool,
}

/// A post at a moment: one item per job, or one for all accounts of what is not planned yet.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CalendarItem {
    /// When it is meant to come out.
    at: DateTime<Utc>,
    /// `planned`, `enqueued`, `running`, `failed`, `succeeded`, `cancelled` or `dead_letter` as of the job;
    /// `held` for a dead letter whose outcome is unknown, `missed` for what the misfire policy left out. A
    /// dead letter that somebody dealt with is `succeeded` or `cancelled`.
    #[schema(example = "planned")]
    state: &'static str,
    /// How the post begins; empty where it was taken away.
    text: String,
    /// The zone of its schedule.
    tz: Option<String>,
    /// Whether it can be given another time now: by a `PATCH` of its schedule, or where `occurrence` is set
    /// by the schedule's `edit-occurrence`.
    movable: bool,
    /// What `edit-occurrence` takes as `at` to move it.
    occurrence: Option<DateTime<Utc>>,
    post_id: Uuid,
    schedule_id: Option<Uuid>,
    /// Null where it is not planned yet.
    job_id: Option<Uuid>,
    accounts: Vec<Uuid>,
}

impl From<Agenda> for CalendarView {
    fn from(agenda: Agenda) -> Self {
        let Agenda { items, posts, schedules, is_cut } = agenda;
        let show = |item: AgendaItem| CalendarItem {
            at: item.at,
            state: standing(&item.what),
            text: posts.get(&item.post).map(|post| gist(post, MOST_TEXT)).unwrap_or_default(),
            tz: item.schedule.and_then(|id| schedules.get(&id)?.tz.clone()),
            movable: item.moves.is_some(),
            occurrence: (item.moves == Some(Moves::Occurrence)).then_some(item.at),
            post_id: item.post.as_uuid(),
            schedule_id: item.schedule.map(|id| id.as_uuid()),
            job_id: match &item.what {
                AgendaEntry::ToCome => None,
                AgendaEntry::Job(job) => Some(job.id().as_uuid()),
                AgendaEntry::Out(job) => Some(job.as_uuid()),
            },
            accounts: item.accounts.iter().map(|id| id.as_uuid()).collect(),
        };
        Self { items: items.into_iter().map(show).collect(), is_cut }
    }
}

fn standing(what: &AgendaEntry) -> &'static str {
    match what {
        AgendaEntry::ToCome => JobState::Planned.as_str(),
        AgendaEntry::Job(job) => job::standing(job),
        AgendaEntry::Out(_) => JobState::Succeeded.as_str(),
    }
}
