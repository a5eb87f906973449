//! What is said of a post.

use std::num::NonZeroU32;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::Paging;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct Post {
    #[command(subcommand)]
    pub(crate) command: Option<PostCommand>,
    #[command(flatten)]
    pub(crate) new: NewPost,
}

impl Post {
    /// Whether a post is written, or changed.
    pub(crate) fn writes(&self) -> bool {
        matches!(self.command, None | Some(PostCommand::Edit(_)))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum PostCommand {
    /// Lists posts, oldest first
    List(Paging),
    /// Shows one, with its schedules and jobs
    Show {
        /// Its id or key
        post: String,
    },
    /// Gives a post another text, other options, another time, zone or priority
    Edit(Box<EditPost>),
    /// Calls a post off: what is out stays
    Cancel {
        /// Its id or key
        post: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewPost {
    /// What it says; a line --- divides the parts of a thread; - reads standard input
    #[arg(required = true, allow_hyphen_values = false)]
    pub(crate) text: Option<String>,
    /// To this account; may be given several times
    #[arg(long = "account", value_name = "NAME", required = true)]
    pub(crate) accounts: Vec<String>,
    /// A picture or video: a file, media:ID of one that was added, or a URL; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) media: Vec<String>,
    /// What it shows, for those who cannot see it: one for each --media, in their order
    #[arg(long, value_name = "TEXT", requires = "media")]
    pub(crate) alt: Vec<String>,
    #[command(flatten)]
    pub(crate) time: Time,
    /// What else a platform wants to know, as reddit.subreddit=rust; `postqd platforms reddit` tells what there is;
    /// may be given several times
    #[arg(long = "option", value_name = "PLATFORM.NAME=VALUE")]
    pub(crate) options: Vec<String>,
    /// Another text for one platform, as x="Short."; with the same media; may be given several times
    #[arg(long = "variant", value_name = "PLATFORM=TEXT")]
    pub(crate) variants: Vec<String>,
    /// What is done with a text that is too long for a platform; without this it is refused
    #[arg(long, value_enum)]
    pub(crate) fit: Option<Fit>,
    /// A stable key: the same post is not taken in twice
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Higher goes first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i16,
    /// Does not wait until it is out: `postqd serve` publishes it
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Shows what each platform would get and refuse, and when; takes nothing in
    #[arg(long)]
    pub(crate) preview: bool,
}

/// What changes of a post.
#[derive(Debug, Args)]
pub(crate) struct EditPost {
    /// Its id or key
    pub(crate) post: String,
    /// The new text; - reads standard input
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// Another option, as reddit.subreddit=rust; without a value it is taken away; the others stay
    #[arg(long = "option", value_name = "PLATFORM.NAME=VALUE")]
    pub(crate) options: Vec<String>,
    /// Another text for one platform, as x="Short."; without a text it is taken away; the others stay
    #[arg(long = "variant", value_name = "PLATFORM=TEXT")]
    pub(crate) variants: Vec<String>,
    /// What is done where the text is too long for a platform; what was made to fit before is made so again
    #[arg(long, value_enum)]
    pub(crate) fit: Option<Fit>,
    #[command(flatten)]
    pub(crate) time: Time,
    /// Higher goes first
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) priority: Option<i16>,
}

/// What is done with a text that is too long.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Fit {
    /// Its end is left out
    Shorten,
    /// It is split to a thread, where the platform has such
    Thread,
}

impl Fit {
    /// As the API and calendars have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Shorten => "shorten",
            Self::Thread => "thread",
        }
    }
}

/// When a post goes out.
#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("repeats").args(["every", "cron"])))]
pub(crate) struct Time {
    /// Once, or the first time: 2026-03-08T09:00Z, 2026-03-08T09:00 with --tz, or +5m; or next-slot (of the
    /// account), or best (an hour that does well, with --tz)
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Again and again: 90m, 1d; from --at
    #[arg(long, value_name = "DURATION")]
    pub(crate) every: Option<String>,
    /// By a cron expression: "0 9 * * 1-5", with --tz; not before --at
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) cron: Option<String>,
    /// By lines of RFC 5545: "DTSTART;TZID=Europe/Berlin:20260308T090000\nRRULE:FREQ=WEEKLY;COUNT=5"
    #[arg(long, value_name = "LINES", conflicts_with_all = ["at", "every", "cron", "count", "until"])]
    pub(crate) rrule: Option<String>,
    /// So many times in all
    #[arg(long, requires = "repeats", value_parser = count)]
    pub(crate) count: Option<NonZeroU32>,
    /// Not after this
    #[arg(long, value_name = "TIME", requires = "repeats")]
    pub(crate) until: Option<String>,
    /// The zone of rules and local times: Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
}

fn count(text: &str) -> Result<NonZeroU32, &'static str> {
    text.parse().map_err(|_| "expected a whole number from 1")
}
