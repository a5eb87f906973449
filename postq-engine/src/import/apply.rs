//! Making it so.

use std::collections::BTreeSet;

use serde::Serialize;

use postq_core::content::PostState;
use postq_core::id::{PostId, ScheduleId};

use crate::desk::{Checked, Desk, DeskError, Entry};

use super::cells::Place;
use super::compare::Change;
use super::plan::{Action, Plan, Step};

/// A row of the files and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct LoadedRow {
    /// Where it is written.
    pub place: Place,
    /// Its key.
    pub key: Option<String>,
    /// What became of it.
    #[serde(flatten)]
    pub action: Action,
    /// Its post.
    pub post: PostId,
    /// Its schedules.
    pub schedules: Vec<ScheduleId>,
}

/// What is loaded now of some files, by this call or an earlier one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Loaded {
    /// The good rows, in the order of the files.
    pub rows: Vec<LoadedRow>,
}

impl Loaded {
    /// The schedules of all rows: what a run of these files is about.
    pub fn schedules(&self) -> BTreeSet<ScheduleId> {
        self.rows.iter().flat_map(|row| row.schedules.iter().copied()).collect()
    }
}

impl Desk {
    /// Loads what a plan has found good. A row that is being published by now stays as it is and says
    /// so. Cut off in the middle, it goes on where it stopped when the same files come again.
    ///
    /// # Errors
    ///
    /// [`DeskError::BadRows`] if the plan has problems: [`Plan::skip_bad`] leaves the bad rows out.
    pub async fn apply_import(&self, plan: Plan) -> Result<Loaded, DeskError> {
        if !plan.problems.is_empty() {
            return Err(DeskError::BadRows(plan.problems.len()));
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut loaded = Loaded::default();
        for row in plan.rows {
            let (post, schedule, action) = match row.step {
                Step::Load(entry, content) => {
                    if let Some(content) = content {
                        self.edit_content(entry.post.id, &content).await?;
                    }
                    let ids = (entry.post.id, vec![entry.schedule.id]);
                    entries.push(*entry);
                    (ids.0, ids.1, row.action)
                }
                Step::Change(change) => {
                    let (post, schedule) = (change.post, vec![change.schedule]);
                    (post, schedule, self.apply_change(*change, row.action, &plan.checked).await?)
                }
                Step::Nothing(post, schedules) => (post, schedules, row.action),
            };
            let (place, key) = (row.place, row.key);
            loaded.rows.push(LoadedRow { place, key, action, post, schedules: schedule });
        }
        self.commit(&plan.checked, entries).await?;
        Ok(loaded)
    }

    async fn apply_change(
        &self,
        mut change: Change,
        action: Action,
        checked: &Checked,
    ) -> Result<Action, DeskError> {
        let accounts = change.edit.accounts.iter_mut().flatten();
        self.make_accounts(&checked.directory, accounts).await?;
        match self.change_both(&change).await {
            Ok(()) => Ok(action),
            Err(error @ DeskError::AlreadyPublishing(_)) => {
                Ok(Action::Keep { state: PostState::Scheduled, note: Some(error.to_string()) })
            }
            Err(error) => Err(error),
        }
    }

    async fn change_both(&self, change: &Change) -> Result<(), DeskError> {
        if change.edit.timing.is_some() || change.edit.accounts.is_some() {
            self.change(change.schedule, &change.edit).await?;
        }
        if let Some(content) = &change.content {
            self.edit_content(change.post, content).await?;
        }
        Ok(())
    }
}

impl Plan {
    /// The same without what is bad; answers what that was.
    pub fn skip_bad(&mut self) -> Vec<super::FileProblem> {
        std::mem::take(&mut self.problems)
    }
}
