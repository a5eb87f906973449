//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use postq_core::id::{JobId, ScheduleId};
use postq_core::machine::JobState;
use postq_core::platform::PlatformName;

/// Publishes social posts on time, once, and never loses one
#[derive(Debug, Parser)]
#[command(name = "postqd", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// The configuration file [default: postqd.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of the database [default: ./postq-data, or POSTQ_DATA_DIR]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Prints JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Loads content calendars and publishes them until they are done
    Run(Run),
    /// Publishes what is due, until it is stopped; answers /healthz and /readyz
    Serve,
    /// Shows what loading content calendars would do; with --apply does it
    Import(Import),
    /// Publishes a post now, or schedules it; lists, edits and calls off posts
    Post(Box<Post>),
    /// Shows and changes schedules
    #[command(subcommand)]
    Schedule(Schedule),
    /// Connects, lists, pauses and removes accounts
    #[command(subcommand)]
    Account(Account),
    /// Shows jobs and changes what waits
    #[command(subcommand)]
    Job(Job),
    /// Shows what gave up, and decides what becomes of it
    #[command(subcommand)]
    Dead(Dead),
    /// Shows every setting in force and where it came from
    Config,
    /// Says what is wrong and the command that mends it
    Doctor,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Content calendars: .csv, .toml or .json
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Ends then, whatever is left: 2026-03-08T09:00Z, or +1h
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    pub(crate) until: Option<String>,
    /// Goes on for ever with posts that repeat without an end
    #[arg(long)]
    pub(crate) follow: bool,
    /// Loads the good rows of a file with bad ones
    #[arg(long)]
    pub(crate) skip_bad: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Content calendars: .csv, .toml or .json
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Loads them
    #[arg(long)]
    pub(crate) apply: bool,
    /// Loads the good rows of a file with bad ones
    #[arg(long)]
    pub(crate) skip_bad: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct Post {
    #[command(subcommand)]
    pub(crate) command: Option<PostCommand>,
    #[command(flatten)]
    pub(crate) new: NewPost,
}

#[derive(Debug, Args)]
pub(crate) struct NewPost {
    /// What it says; a line --- divides the parts of a thread; - reads standard input
    #[arg(required = true, allow_hyphen_values = false)]
    pub(crate) text: Option<String>,
    /// To this account; may be given several times
    #[arg(long = "account", value_name = "NAME", required = true)]
    pub(crate) accounts: Vec<String>,
    #[command(flatten)]
    pub(crate) time: Time,
    /// A stable key: the same post is not taken in twice
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Higher goes first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i16,
    /// Does not wait until it is out: `postqd serve` publishes it
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// When a post goes out.
#[derive(Debug, Args)]
pub(crate) struct Time {
    /// Once, or the first time: 2026-03-08T09:00Z, 2026-03-08T09:00 with --tz, or +5m
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Again and again: 90m, 1d
    #[arg(long, value_name = "DURATION")]
    pub(crate) every: Option<String>,
    /// So many times in all
    #[arg(long, requires = "every")]
    pub(crate) count: Option<NonZeroU32>,
    /// Not after this
    #[arg(long, value_name = "TIME", requires = "every")]
    pub(crate) until: Option<String>,
    /// The zone of local times: Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PostCommand {
    /// Lists posts, oldest first
    List(Paging),
    /// Gives a post another text or time
    Edit {
        /// Its id or key
        post: String,
        /// The new text; - reads standard input
        #[arg(long)]
        text: Option<String>,
        #[command(flatten)]
        time: Time,
    },
    /// Calls a post off: what is out stays
    Cancel {
        /// Its id or key
        post: String,
    },
}

/// Which part of a list is shown.
#[derive(Clone, Debug, Args)]
pub(crate) struct Paging {
    /// At most so many
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// Those after this id
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Schedule {
    /// Lists schedules, oldest first
    List(Paging),
    /// Shows one, with its jobs
    Show {
        #[arg(value_parser = id::<ScheduleId>)]
        id: ScheduleId,
    },
    /// Switches one on: it goes on from now
    Enable {
        #[arg(value_parser = id::<ScheduleId>)]
        id: ScheduleId,
    },
    /// Switches one off and takes back what it had planned
    Disable {
        #[arg(value_parser = id::<ScheduleId>)]
        id: ScheduleId,
    },
    /// Takes one away; its post stays
    Remove {
        #[arg(value_parser = id::<ScheduleId>)]
        id: ScheduleId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Connects an account, or gives a known one new credentials
    Add {
        /// x or dry_run
        platform: PlatformName,
        /// What you call it
        #[arg(long)]
        name: String,
        /// Reads its access token from standard input
        #[arg(long)]
        access_token_stdin: bool,
        /// What happens to a post whose outcome nobody can tell
        #[arg(long, value_enum)]
        on_unknown: Option<OnUnknown>,
    },
    /// Lists accounts and what holds them back
    List,
    /// Holds back the posts of an account
    Pause {
        name: String,
        /// Why, for whoever looks later
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Lets an account go on
    Resume { name: String },
    /// Takes an account and its credentials away; what it published stays
    Remove { name: String },
}

/// What happens to a post whose outcome nobody can tell.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OnUnknown {
    /// It waits for a person
    Hold,
    /// It is sent again, at the risk of being out twice
    Resend,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// Lists jobs, oldest first
    List {
        /// In this state; may be given several times
        #[arg(long = "state")]
        states: Vec<JobState>,
        /// Of this account
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        /// Of this topic
        #[arg(long)]
        topic: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows one with its history
    Show {
        #[arg(value_parser = id::<JobId>)]
        id: JobId,
    },
    /// Takes a waiting one back
    Cancel {
        #[arg(value_parser = id::<JobId>)]
        id: JobId,
        /// Why, for its history
        #[arg(long, default_value = "cancelled by a person")]
        reason: String,
    },
    /// Makes a waiting one due now
    Retry {
        #[arg(value_parser = id::<JobId>)]
        id: JobId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// Lists what gave up and nobody has dealt with
    List {
        /// What was dealt with, too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows one with its history
    Show {
        #[arg(value_parser = id::<JobId>)]
        id: JobId,
    },
    /// Tries again; looks on the platform before it sends
    Replay {
        #[arg(value_parser = id::<JobId>)]
        id: JobId,
        /// Sends without looking, under a new key: it may be out twice
        #[arg(long)]
        send_again: bool,
    },
    /// Says what became of it
    Resolve {
        #[arg(value_parser = id::<JobId>)]
        id: JobId,
        #[command(flatten)]
        how: Fate,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Fate {
    /// It is out after all
    #[arg(long)]
    pub(crate) published: bool,
    /// Nobody wants it any more
    #[arg(long)]
    pub(crate) discard: bool,
}

fn id<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "expected an id, as the list command beside this one shows them")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_post_is_a_text_or_a_command() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["postqd"], args].concat());

        assert!(parse(&["post", "hello", "--account", "a"]).is_ok());
        assert!(parse(&["post", "list"]).is_ok());
        assert!(parse(&["post", "edit", "k", "--text", "x"]).is_ok());
        assert!(parse(&["post", "hello"]).is_err(), "an account is needed");
        assert!(parse(&["post", "--account", "a"]).is_err(), "a text is needed");
        let error = parse(&["job", "show", "launch"]).unwrap_err().to_string();
        assert!(error.contains("expected an id"), "{error}");
        assert!(parse(&["dead", "resolve", "0191e0f0-0000-7000-8000-000000000000"]).is_err());
    }
}
