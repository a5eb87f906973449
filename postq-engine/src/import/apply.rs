//! Making it so.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use postq_core::content::PostState;
use postq_core::error::ErrorKind;
use postq_core::id::{PostId, ScheduleId};
use postq_core::store::ScheduleEdit;

use crate::desk::{CHUNK, Checked, Desk, DeskError, Problem, Refused};

use super::cells::{OPTIONS, Place, VARIANTS};
use super::compare::Change;
use super::plan::{Action, FileProblem, Load, Plan, PlannedRow, Step};
use super::row::Row;

/// Other processes that load the same rows at the same moment are met so often: each time all rows
/// that they took in are known.
const ROUNDS: usize = 10;

/// A row that is to be written, and what it will be known as.
type New = (LoadedRow, Load);

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
        let mut loaded = Loaded::default();
        let (mut rows, mut checked) = (plan.rows, plan.checked);
        for _ in 0..ROUNDS {
            let beaten = self.apply(rows, &checked, &mut loaded).await?;
            if beaten.is_empty() {
                loaded.rows.sort_by(|a, b| a.place.cmp(&b.place));
                return Ok(loaded);
            }
            // By now these rows are known, and stay or change as such.
            let again = self.plan_rows(beaten, Vec::new()).await?;
            ensure_good(&again.problems)?;
            (rows, checked) = (again.rows, again.checked);
        }
        Err(DeskError::Changed("what the files are about".to_owned()))
    }

    /// Makes rows so; answers those that another process took in first.
    async fn apply(
        &self,
        rows: Vec<PlannedRow>,
        checked: &Checked,
        loaded: &mut Loaded,
    ) -> Result<Vec<Row>, DeskError> {
        let mut new: Vec<New> = Vec::new();
        for PlannedRow { place, key, action, step } in rows {
            let (post, schedules, action) = match step {
                Step::Load(load) => {
                    let (post, schedules) = (load.entry.post.id, vec![load.entry.schedule.id]);
                    let row = LoadedRow { place, key, action, post, schedules };
                    new.push((row, *load));
                    continue;
                }
                Step::Change(change) => {
                    let (post, schedules) = (change.post, vec![change.schedule]);
                    (post, schedules, self.apply_change(*change, action, checked).await?)
                }
                Step::Nothing(post, schedules) => (post, schedules, action),
            };
            loaded.rows.push(LoadedRow { place, key, action, post, schedules });
        }
        let accounts = new.iter_mut().flat_map(|(_, load)| &mut load.entry.schedule.accounts);
        self.make_accounts(&checked.directory, accounts).await?;
        let mut beaten = Vec::new();
        while !new.is_empty() {
            let rest = new.split_off(new.len().min(CHUNK));
            let portion = std::mem::replace(&mut new, rest);
            let written = self.load(portion, &mut beaten).await?;
            loaded.rows.extend(written.into_iter().map(|(row, _)| row));
        }
        Ok(beaten)
    }

    /// Writes one portion of new rows, without those that another process took in since they were
    /// planned.
    async fn load(&self, mut rows: Vec<New>, beaten: &mut Vec<Row>) -> Result<Vec<New>, DeskError> {
        for (_, load) in &rows {
            if let Some(content) = &load.content {
                self.edit_content(load.entry.post.id, content).await?;
            }
        }
        // Each time round there is at least one row less.
        loop {
            let Err(error) = self.write(rows.iter().map(|(_, load)| &load.entry)).await else {
                return Ok(rows);
            };
            let taken = match error.kind() {
                ErrorKind::Conflict => self.taken(&rows).await?,
                _ => BTreeSet::new(),
            };
            if taken.is_empty() {
                return Err(error.into());
            }
            let is_ours = |(_, load): &New| !taken.contains(&load.entry.post.id);
            let (ours, theirs): (Vec<New>, Vec<New>) = rows.into_iter().partition(is_ours);
            beaten.extend(theirs.into_iter().map(|(_, load)| load.row));
            rows = ours;
        }
    }

    /// Those of our posts whose keys have become other posts' keys.
    async fn taken(&self, rows: &[New]) -> Result<BTreeSet<PostId>, DeskError> {
        let ours = rows.iter().filter(|(_, load)| !load.entry.post_exists);
        let ours: BTreeMap<&str, PostId> = ours
            .filter_map(|(_, load)| Some((load.entry.post.key.as_deref()?, load.entry.post.id)))
            .collect();
        let keys: Vec<String> = ours.keys().map(|key| (*key).to_owned()).collect();
        let theirs = self.backend().posts.with_keys(self.tenant(), &keys).await?;
        let taken = theirs.iter().filter_map(|post| ours.get(post.key.as_deref()?)).copied();
        Ok(taken.collect())
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
        if change.edit != ScheduleEdit::default() {
            self.change(change.schedule, &change.edit).await?;
        }
        if let Some(content) = &change.content {
            self.edit_content(change.post, content).await?;
        }
        Ok(())
    }
}

/// A row that was good, and is not any more in the light of what another process loaded meanwhile.
fn ensure_good(problems: &[FileProblem]) -> Result<(), Refused> {
    if problems.is_empty() {
        return Ok(());
    }
    let told = problems.iter().map(|problem| {
        let message = format!("{} ({})", problem.message, problem.place);
        match &problem.field {
            Some(Cow::Borrowed(field)) => Problem::new(field, message),
            Some(Cow::Owned(path)) => of_path(path, message),
            None => Problem::new("key", message),
        }
    });
    Err(Refused { problems: told.collect() })
}

/// One about `options.reddit.subreddit`, or `variants.x`.
fn of_path(path: &str, message: String) -> Problem {
    let (field, of) = path.split_once('.').unwrap_or((path, ""));
    let field = if field == VARIANTS { VARIANTS } else { OPTIONS };
    Problem { of: Some(of.to_owned()), ..Problem::new(field, message) }
}

impl Plan {
    /// The same without what is bad; answers what that was.
    pub fn skip_bad(&mut self) -> Vec<FileProblem> {
        std::mem::take(&mut self.problems)
    }
}
