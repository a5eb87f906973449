//! Metrics: what platforms count of what is out, when they are asked for it, and what is kept.
//!
//! A publication is followed from the moment it is out: at first its polls are not planned, then it has
//! the time of its next one, and in the end none. What a poll brings is a [`Snapshot`]. Beside the
//! snapshots a store keeps two things that follow from them, written with them: the latest counts of each
//! publication, and totals by account and day. [`follows`] says how.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{AddAssign, Range};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::id::{AccountId, PostId, PublicationId, TenantId};
use crate::job::Applied;
use crate::platform::Counts;
use crate::price::Spent;

/// Whether a publication could be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// The platform shows it.
    #[default]
    Shown,
    /// It is there, and the platform shows it to nobody, or not to us.
    Hidden,
    /// It is gone.
    Deleted,
}

impl Visibility {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Hidden => "hidden",
            Self::Deleted => "deleted",
        }
    }
}

/// The metrics of a publication at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The publication.
    pub publication_id: PublicationId,
    /// The moment.
    pub at: DateTime<Utc>,
    /// Whether it could be seen.
    pub state: Visibility,
    /// What everybody may see, by the platform's names (`like_count`, …).
    pub public: Counts,
    /// What the platform tells only whose post it is.
    pub private: Counts,
}

impl Snapshot {
    /// One of a publication that is shown, with what everybody may see.
    pub fn shown(publication_id: PublicationId, at: DateTime<Utc>, public: Counts) -> Self {
        Self { publication_id, at, state: Visibility::Shown, public, private: Counts::new() }
    }

    /// All counts; of two with one name the public one.
    pub fn counts(&self) -> Counts {
        let both = self.private.iter().chain(&self.public);
        both.map(|(name, count)| (name.clone(), *count)).collect()
    }
}

/// A publication as its metrics are followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// The publication.
    pub id: PublicationId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The account.
    pub account_id: AccountId,
    /// The post.
    pub post_id: PostId,
    /// The platform's id of it.
    pub remote_id: String,
    /// Where people see it.
    pub url: Option<String>,
    /// When it came out.
    pub published_at: DateTime<Utc>,
    /// When its metrics are polled next: [`Followed::UNPLANNED`] until somebody says, none in the end.
    pub poll_at: Option<DateTime<Utc>>,
    /// What was counted last: what a later snapshot did not bring is as it was before.
    pub latest: Option<Snapshot>,
}

impl Followed {
    /// The time of a poll that nobody has planned yet.
    pub const UNPLANNED: DateTime<Utc> = DateTime::UNIX_EPOCH;
}

/// An account that has polls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DuePolls {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The account.
    pub account_id: AccountId,
    /// The time of the earliest.
    pub earliest: DateTime<Utc>,
}

/// What became of a poll, or of its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The publication.
    pub publication_id: PublicationId,
    /// The time that the poll had when it was found: if it is another one by now, nothing changes.
    pub poll_at: DateTime<Utc>,
    /// What was counted; none if nothing was.
    pub snapshot: Option<Snapshot>,
    /// The time of the next poll; none ends them.
    pub next: Option<DateTime<Utc>>,
    /// What calls it stands for, where they are counted.
    pub spent: Vec<Spent>,
}

/// What an account came to on one day, by UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayTotals {
    /// The day.
    pub day: NaiveDate,
    /// Publications that came out on it and have metrics.
    pub publications: u64,
    /// What these have been counted to by now.
    pub made: BTreeMap<String, i64>,
    /// What was counted more on this day than before, whenever the publication came out: a count may
    /// fall.
    pub gained: BTreeMap<String, i64>,
}

/// Keeps metrics.
///
/// # Contract
///
/// 1. One snapshot per publication and moment: the same again changes nothing, and none is kept of a
///    publication that is not there.  (`a_snapshot_is_kept_once`)
/// 2. They come back oldest first.  (`snapshots_come_oldest_first`)
/// 3. What is out is unplanned until a reading gives it a time; then it is due from that time on, until
///    its polls end.  (`what_is_out_is_followed`)
/// 4. A reading applies if the poll still has the time that was seen, with its snapshot; else it is
///    [`Applied::Stale`] and changes nothing. However many bring the same, one applies.
///    (`one_of_many_reads_a_poll`)
/// 5. Totals follow the snapshots as [`follows`] says.  (`totals_follow_the_snapshots`)
/// 6. A snapshot older than the latest is in the series and changes nothing else.
///    (`a_late_snapshot_changes_no_total`)
/// 7. What is no longer shown keeps what it was counted to.  (`what_is_gone_keeps_its_counts`)
/// 8. Accounts are apart, and the publications of one come newest first.  (`accounts_have_their_own`)
/// 9. What readings that apply have spent is added up by month, platform and kind, and what others have is
///    not.  (`what_is_spent_adds_up`)
/// 10. `version` changes with whatever changes an account's totals, series or latest counts, and with
///     nothing else.  (`a_version_rises_with_what_is_counted`)
///
/// Each rule is a public test in `conformance::store::metrics`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait MetricsStore: fmt::Debug + Send + Sync + 'static {
    /// Adds snapshots.
    async fn insert(&self, snapshots: &[Snapshot]) -> Result<(), StoreError>;

    /// The snapshots of a publication.
    async fn of(&self, publication: PublicationId) -> Result<Vec<Snapshot>, StoreError>;

    /// These publications, in any order; those that are not there are left out.
    async fn find(&self, ids: &[PublicationId]) -> Result<Vec<Followed>, StoreError>;

    /// Up to `limit` publications of an account that came out in the span and have metrics, newest
    /// first.
    async fn of_account(
        &self,
        account: AccountId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Followed>, StoreError>;

    /// Up to `limit` publications whose polls nobody has planned yet.
    async fn unplanned(&self, limit: usize) -> Result<Vec<Followed>, StoreError>;

    /// Up to `limit` accounts that have polls due by `until`, each with its earliest.
    async fn due(&self, until: DateTime<Utc>, limit: usize) -> Result<Vec<DuePolls>, StoreError>;

    /// Up to `limit` publications of an account whose polls are due by `until`, the earliest first.
    async fn polls(
        &self,
        account: AccountId,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Followed>, StoreError>;

    /// Writes down what became of polls; one answer per reading, in order.
    async fn record(&self, readings: &[Reading]) -> Result<Vec<Applied>, StoreError>;

    /// What has been spent in a month, which is named by its first day; by platform and kind, in this
    /// order.
    async fn spent(&self, month: NaiveDate) -> Result<Vec<Spent>, StoreError>;

    /// The days from `from` up to `until`, which is not among them, on which there is something to
    /// tell, in order.
    async fn totals(
        &self,
        account: AccountId,
        days: &Range<NaiveDate>,
    ) -> Result<Vec<DayTotals>, StoreError>;

    /// A number that changes with the account's metrics: 0 while there are none.
    async fn version(&self, account: AccountId) -> Result<u64, StoreError>;
}

const _OBJECT_SAFE: fn(&dyn MetricsStore) = |_| {};

/// Where a total is added to: a day, and a name; the publications themselves are counted under
/// [`PUBLICATIONS`].
pub type TotalKey = (NaiveDate, String);

/// The name under which publications are counted: no platform has an empty one.
pub const PUBLICATIONS: &str = "";

/// What is added to a total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// To what the publications of that day have been counted to.
    pub made: i64,
    /// To what was counted more on that day.
    pub gained: i64,
}

impl AddAssign for Added {
    fn add_assign(&mut self, other: Self) {
        self.made = self.made.saturating_add(other.made);
        self.gained = self.gained.saturating_add(other.gained);
    }
}

/// What follows from a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follows {
    /// What is the latest from now on.
    pub latest: Snapshot,
    /// What is added to the account's totals.
    pub added: BTreeMap<TotalKey, Added>,
}

/// What follows from a snapshot of something that came out then and had this as its latest; nothing if
/// that is as new.
///
/// A count that the snapshot does not bring stays as it was. The difference to before goes to the day on
/// which it was published (`made`) and to the day of the snapshot (`gained`).
pub fn follows(
    published_at: DateTime<Utc>,
    before: Option<&Snapshot>,
    snapshot: &Snapshot,
) -> Option<Follows> {
    if before.is_some_and(|before| before.at >= snapshot.at) {
        return None;
    }
    let mut latest = snapshot.clone();
    if let Some(before) = before {
        for (name, count) in &before.public {
            latest.public.entry(name.clone()).or_insert(*count);
        }
        for (name, count) in &before.private {
            latest.private.entry(name.clone()).or_insert(*count);
        }
    }
    let (out, read) = (published_at.date_naive(), snapshot.at.date_naive());
    let mut added: BTreeMap<TotalKey, Added> = BTreeMap::new();
    let mut add = |day, name: &str, made, gained| {
        *added.entry((day, name.to_owned())).or_default() += Added { made, gained };
    };
    if before.is_none() {
        add(out, PUBLICATIONS, 1, 0);
    }
    let known = before.map(Snapshot::counts).unwrap_or_default();
    for (name, count) in latest.counts() {
        let difference = number(count) - number(known.get(&name).copied().unwrap_or_default());
        if difference != 0 && name != PUBLICATIONS {
            add(out, &name, difference, 0);
            add(read, &name, 0, difference);
        }
    }
    Some(Follows { latest, added })
}

/// Adds up rows of totals, in order of their days.
pub fn by_day(rows: impl IntoIterator<Item = (TotalKey, Added)>) -> Vec<DayTotals> {
    let mut days: BTreeMap<NaiveDate, DayTotals> = BTreeMap::new();
    for ((day, name), added) in rows {
        let totals = days.entry(day).or_insert_with(|| DayTotals {
            day,
            publications: 0,
            made: BTreeMap::new(),
            gained: BTreeMap::new(),
        });
        if name == PUBLICATIONS {
            totals.publications += added.made.unsigned_abs();
            continue;
        }
        for (total, more) in [(&mut totals.made, added.made), (&mut totals.gained, added.gained)] {
            if more != 0 {
                *total.entry(name.clone()).or_default() += more;
            }
        }
    }
    days.into_values().collect()
}

/// A count with a sign, and with so much room that sums of millions are no matter.
fn number(count: u64) -> i64 {
    const MOST: i64 = 1 << 40;
    i64::try_from(count).map_or(MOST, |count| count.min(MOST))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    #[test]
    fn what_a_snapshot_does_not_bring_stays() {
        let id = PublicationId::new();
        let first = Snapshot {
            private: counts(&[("clicks", 4)]),
            ..Snapshot::shown(id, at(1), counts(&[("likes", 3)]))
        };
        let gone =
            Snapshot { state: Visibility::Deleted, ..Snapshot::shown(id, at(30), Counts::new()) };

        let follows = follows(at(0), Some(&first), &gone).expect("it is newer");

        assert_eq!(follows.latest.counts(), counts(&[("likes", 3), ("clicks", 4)]));
        assert_eq!((follows.latest.state, follows.latest.at), (Visibility::Deleted, at(30)));
        assert!(follows.added.is_empty());
    }

    #[test]
    fn a_difference_goes_to_both_days() {
        let id = PublicationId::new();
        let of = |hours, likes| Snapshot::shown(id, at(hours), counts(&[("likes", likes)]));
        let first = follows(at(0), None, &of(1, 5)).expect("the first");
        let second = follows(at(0), Some(&first.latest), &of(25, 3)).expect("newer");

        let days = by_day(first.added.into_iter().chain(second.added));

        let likes = |count| BTreeMap::from([("likes".to_owned(), count)]);
        assert_eq!(days.len(), 2);
        assert_eq!(
            (days[0].publications, &days[0].made, &days[0].gained),
            (1, &likes(3), &likes(5))
        );
        assert_eq!((days[1].publications, &days[1].made), (0, &BTreeMap::new()));
        assert_eq!(days[1].gained, likes(-2), "a count may fall");
        assert_eq!(follows(at(0), Some(&of(25, 3)), &of(25, 9)), None, "not newer");
    }
}
