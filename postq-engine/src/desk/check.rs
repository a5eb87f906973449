//! Checking what is handed in, before anything is written.

use chrono::{DateTime, Utc};

use postq_calendar::{near, zone};
use postq_core::account::Account;
use postq_core::content::{Content, Part, Post};
use postq_core::id::{AccountId, PostId, ScheduleId};
use postq_core::options;
use postq_core::platform::{PlatformName, Violation, violations};
use postq_core::schedule::Schedule;

use super::daily::MakesWay;
use super::error::VARIANTS;
use super::fitting::{Fitted, Notice};
use super::meaning::Meant;
use super::media::{Named, source_problem};
use super::{Desk, DeskError, Directory, Problem, Refused, Submission};

/// Longest text of a post with all its parts, in bytes.
pub(crate) const MOST_TEXT: usize = 64 * 1_024;

/// Most parts of a thread.
const MOST_PARTS: usize = 100;

/// Longest key, in characters.
const MOST_KEY: usize = 200;

/// What may be taken in, and what not.
#[derive(Debug)]
pub struct Checked {
    /// One answer per submission, in order.
    pub entries: Vec<Result<Entry, Refused>>,
    pub(crate) directory: Directory,
    pub(crate) named: Named,
    pub(crate) now: DateTime<Utc>,
}

/// A submission that was found good: a post and its schedule, ready to be written.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(crate) post: Post,
    pub(crate) schedule: Schedule,
    /// The post is in the store already and lacks nothing but its schedule.
    pub(crate) post_exists: bool,
    /// What was done to make it fit.
    pub(crate) notices: Vec<Notice>,
    first: DateTime<Utc>,
}

impl Entry {
    /// Its first occurrence.
    pub fn first(&self) -> DateTime<Utc> {
        self.first
    }

    /// What will be written of its schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }
}

impl Desk {
    /// Checks submissions and writes nothing.
    pub async fn check(&self, submissions: &[Submission]) -> Result<Checked, DeskError> {
        self.check_in_place(submissions, &|_| false).await
    }

    /// The same, for what is planned in the place of something else.
    pub(super) async fn check_in_place(
        &self,
        submissions: &[Submission],
        makes_way: MakesWay<'_>,
    ) -> Result<Checked, DeskError> {
        let named = self.named(submissions.iter().map(|s| &s.content)).await?;
        let mut checked = self.check_with(submissions, named).await?;
        self.ensure_days(&mut checked, makes_way).await?;
        Ok(checked)
    }

    /// The same whatever their days hold, with what is known of the files that they name, and perhaps others.
    pub(crate) async fn check_with(
        &self,
        submissions: &[Submission],
        named: Named,
    ) -> Result<Checked, DeskError> {
        let now = self.backend.jobs.now().await?;
        let mut directory = self.directory(now).await?;
        let check = |s| self.check_one(&mut directory, &named, s, now);
        let mut entries: Vec<Result<Entry, Refused>> = submissions.iter().map(check).collect();
        self.ask_platforms(&mut entries, &directory, now).await;
        Ok(Checked { entries, directory, named, now })
    }

    pub(crate) async fn directory(&self, now: DateTime<Utc>) -> Result<Directory, DeskError> {
        let accounts = self.backend.accounts.list(self.tenant()).await?;
        Ok(Directory::new(accounts, self.tenant(), now))
    }

    fn check_one(
        &self,
        directory: &mut Directory,
        named: &Named,
        submission: &Submission,
        now: DateTime<Utc>,
    ) -> Result<Entry, Refused> {
        let mut problems = content_problems(&submission.content);
        problems.extend(named.missing(&submission.content));
        problems.extend(submission.key.as_deref().and_then(key_problem));
        let accounts = accounts_of(directory, &submission.accounts, &mut problems);
        problems.extend(self.stray(&submission.content, &accounts));
        problems.extend(unmeant(&submission.content, &accounts));
        let Fitted { content, notices, unfit } =
            self.fitted(&submission.content, submission.fitting, &accounts);
        problems.extend(unfit);
        problems.extend(self.violations(&content, &accounts, named));
        if submission.fitting.is_none() {
            self.offer_to_fit(&content, &accounts, &mut problems);
        }
        let tz = submission.tz.as_deref().map(zone::check).transpose();
        let tz = tz.unwrap_or_else(|error| {
            problems.push(Problem::new("tz", error.to_string()));
            None
        });
        match self.meant(&submission.when, tz.as_deref(), &accounts, now) {
            Ok(meant) if problems.is_empty() => {
                Ok(Entry { notices, ..self.entry(submission, content, &accounts, meant, now) })
            }
            Ok(_) => Err(Refused { problems }),
            Err(problem) => {
                problems.push(problem);
                Err(Refused { problems })
            }
        }
    }

    fn entry(
        &self,
        submission: &Submission,
        content: Content,
        accounts: &[Account],
        meant: Meant,
        now: DateTime<Utc>,
    ) -> Entry {
        let Meant { timing, tz, first } = meant;
        let mut post = Post::new(content, now);
        post.tenant_id = self.tenant();
        post.key.clone_from(&submission.key);
        let mut schedule =
            Schedule::new(post.id, accounts.iter().map(|a| a.id).collect(), timing, now);
        schedule.id = first_schedule(post.id);
        schedule.tenant_id = self.tenant();
        schedule.tzdb = tz.is_some().then(|| zone::tzdb_version().to_owned());
        schedule.tz = tz;
        schedule.priority = submission.priority;
        schedule.misfire = submission.misfire;
        schedule.grace = self.settings.grace;
        schedule.correlation_id.clone_from(&self.correlation);
        schedule.next_run_at = Some(first);
        Entry { post, schedule, post_exists: false, notices: Vec::new(), first }
    }

    /// What the platforms of these accounts would refuse, each platform once.
    pub(super) fn violations(
        &self,
        content: &Content,
        accounts: &[Account],
        named: &Named,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut seen = Vec::new();
        for account in accounts {
            if seen.contains(&&account.platform) {
                continue;
            }
            seen.push(&account.platform);
            let Some(platform) = self.platforms.get(&account.platform) else {
                problems.push(self.no_platform(account));
                continue;
            };
            let draft = content.draft_for(&account.platform);
            let problem = |field| {
                move |told: Violation| violation_problem(field, account, draft.parts.len(), &told)
            };
            let found = violations(&**platform, draft);
            // Told where it is written, which is only asked where something is wrong.
            let has_own = !found.is_empty()
                && content.variants.contains_key(&account.platform)
                && !self.made_to_fit(content).contains_key(&account.platform);
            let text = if has_own { VARIANTS } else { "text" };
            problems.extend(found.into_iter().map(problem(text)));
            let media = named.violations(&**platform, draft);
            problems.extend(media.into_iter().map(problem("media")));
        }
        problems
    }

    /// What is wrong with the texts and options for platforms that none of the accounts is on.
    pub(super) fn stray(&self, content: &Content, accounts: &[Account]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let unknown = content.variants.keys().filter(|name| self.platforms.get(name).is_none());
        problems.extend(unknown.map(|name| Problem::of_variant(name, self.unknown_platform(name))));
        for (name, values) in content.options.iter().filter(|(name, _)| !is_on(accounts, name)) {
            let Some(platform) = self.platforms.get(name) else {
                problems.push(Problem::of_options(name, self.unknown_platform(name)));
                continue;
            };
            for message in values.malformed(platform.options()) {
                problems.push(match options::told(&message) {
                    Some((option, message)) => Problem::of_option(name, option, message),
                    None => Problem::of_options(name, message),
                });
            }
        }
        problems
    }

    pub(crate) fn unknown_platform(&self, name: &PlatformName) -> String {
        let known: Vec<&str> = self.platforms.names().map(PlatformName::as_str).collect();
        let hint = near::hint(name.as_str(), known.iter().copied());
        format!("unknown platform \"{name}\"{hint}; there is {}", known.join(", "))
    }

    fn no_platform(&self, account: &Account) -> Problem {
        let known: Vec<_> = self.platforms.names().map(|name| name.as_str()).collect();
        Problem::new(
            "accounts",
            format!(
                "account \"{}\" is on platform \"{}\", which is not set up here; there is {}",
                account.name,
                account.platform,
                known.join(", ")
            ),
        )
    }
}

/// What an account's platform says, as a problem of the post.
pub(super) fn violation_problem(
    field: &'static str,
    account: &Account,
    parts: usize,
    violation: &Violation,
) -> Problem {
    if let Some((option, message)) = options::told(&violation.message) {
        return Problem::of_option(&account.platform, option, message);
    }
    let place = match parts {
        1 => String::new(),
        parts => format!("part {} of {parts}, ", violation.part + 1),
    };
    let name = &account.platform;
    match field {
        VARIANTS => Problem::of_variant(name, format!("{place}{}", violation.message)),
        _ => Problem::new(field, format!("{place}{name}: {}", violation.message)),
    }
}

/// The id of the schedule that a post comes in with: the post's own. Whoever completes a post that was
/// cut off before its schedule was written writes the same one; two of them would publish it twice.
pub(crate) fn first_schedule(post: PostId) -> ScheduleId {
    ScheduleId::from_uuid(post.as_uuid())
}

pub(super) fn accounts_of(
    directory: &mut Directory,
    names: &[String],
    problems: &mut Vec<Problem>,
) -> Vec<Account> {
    let mut found: Vec<Account> = Vec::with_capacity(names.len());
    if names.is_empty() {
        problems.push(Problem::new("accounts", "is empty; expected at least one account"));
    }
    for name in names {
        match directory.find_or_make(name) {
            Ok(account) if found.iter().any(|other| other.id == account.id) => {
                problems.push(Problem::new("accounts", format!("names \"{name}\" twice")));
            }
            Ok(account) => found.push(account.clone()),
            Err(why) => problems.push(Problem::new("accounts", why)),
        }
    }
    found
}

/// Whether one of them is on this platform.
fn is_on(accounts: &[Account], platform: &PlatformName) -> bool {
    accounts.iter().any(|account| account.platform == *platform)
}

/// A content without the options and texts for platforms that none of these accounts is on.
pub(super) fn without_unmeant(mut content: Content, accounts: &[Account]) -> Content {
    content.options.retain(|name, _| is_on(accounts, name));
    content.variants.retain(|name, _| is_on(accounts, name));
    content
}

/// Options and texts for platforms that none of these accounts is on: whoever wrote them meant another account.
pub(super) fn unmeant(content: &Content, accounts: &[Account]) -> Vec<Problem> {
    if accounts.is_empty() {
        return Vec::new();
    }
    let why = |name: &PlatformName, what: &str| {
        format!("none of the accounts is on {name}; add one, or leave {what} out")
    };
    let options = content.options.iter().filter(|(_, values)| !values.is_empty());
    let options = options.filter(|(name, _)| !is_on(accounts, name));
    let options = options.map(|(name, _)| Problem::of_options(name, why(name, "the options")));
    let variants = content.variants.keys().filter(|name| !is_on(accounts, name));
    let variants = variants.map(|name| Problem::of_variant(name, why(name, "its text")));
    options.chain(variants).collect()
}

/// The same without what is of platforms that `known` has something of already.
pub(crate) fn newly_unmeant(
    content: &Content,
    known: &Content,
    accounts: &[Account],
) -> Vec<Problem> {
    let mut new = content.clone();
    new.options.retain(|name, _| !known.options.contains_key(name));
    new.variants.retain(|name, _| !known.variants.contains_key(name));
    unmeant(&new, accounts)
}

/// What is wrong with how much text there is.
fn size_problems(parts: &[Part]) -> impl Iterator<Item = String> {
    let (count, bytes) = (parts.len(), parts.iter().map(|part| part.text.len()).sum::<usize>());
    let problems = [
        (count == 0).then(|| "is empty".to_owned()),
        (bytes > MOST_TEXT).then(|| format!("has {bytes} bytes, at most {MOST_TEXT}")),
        (count > MOST_PARTS).then(|| format!("has {count} parts, at most {MOST_PARTS}")),
    ];
    problems.into_iter().flatten()
}

/// What no platform takes.
pub(super) fn content_problems(content: &Content) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(size_problems(&content.parts).map(|message| Problem::new("text", message)));
    for (name, parts) in &content.variants {
        problems.extend(size_problems(parts).map(|message| Problem::of_variant(name, message)));
    }
    let named = content.variants.values().chain([&content.parts]).flatten().flat_map(|p| &p.media);
    problems.extend(named.filter_map(source_problem));
    // Some platforms take a title or a link alone, as Reddit; the others say that there is no text.
    let has_options = content.options.values().any(|values| !values.is_empty());
    let may_be_empty = content.parts.len() == 1 && has_options;
    let empty = |part: &Part| !may_be_empty && part.text.trim().is_empty() && part.media.is_empty();
    for (i, _) in content.parts.iter().enumerate().filter(|(_, part)| empty(part)) {
        problems.push(Problem::new("text", format!("part {} is empty", i + 1)));
    }
    problems
}

pub(super) fn key_problem(key: &str) -> Option<Problem> {
    let problem = |why: String| Some(Problem::new("key", why));
    match key.chars().count() {
        0 => problem("is empty".to_owned()),
        n if n > MOST_KEY => problem(format!("has {n} characters, at most {MOST_KEY}")),
        _ if key.chars().any(char::is_control) => {
            problem("has a control character; expected printable ones".to_owned())
        }
        _ if key.parse::<AccountId>().is_ok() => {
            problem(format!("\"{key}\" looks like an id; choose another key"))
        }
        _ => None,
    }
}
