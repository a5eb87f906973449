//! The command line.

mod post;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use postq_core::id::{JobId, PublicationId, ScheduleId, TokenId, WebhookId};
use postq_core::machine::JobState;
use postq_core::platform::PlatformName;
use postq_core::token::Scope;
use postq_core::webhook::EventKind;
use secrecy::{ExposeSecret, SecretString};

pub(crate) use self::post::{Fit, NewPost, Post, PostCommand, Time};

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
    /// Asks a running daemon instead of this machine's store: `https://postq.example.com` [default:
    /// POSTQ_SERVER]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The token to ask it with; others on this machine can read a command line, so better set
    /// POSTQ_TOKEN
    #[arg(long, global = true, value_name = "TOKEN")]
    pub(crate) token: Option<SecretString>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The settings that stand in the command line.
    pub(crate) fn settings(&self) -> BTreeMap<&'static str, String> {
        let mut settings = BTreeMap::new();
        if let Some(folder) = &self.data_dir {
            settings.insert("data_dir", folder.display().to_string());
        }
        settings.extend(self.server.clone().map(|server| ("server", server)));
        let token = self.token.as_ref().map(|token| token.expose_secret().to_owned());
        settings.extend(token.map(|token| ("token", token)));
        if let Command::Serve(serve) = &self.command {
            settings.extend(serve.roles.clone().map(|roles| ("roles", roles)));
            settings.extend(serve.topics.clone().map(|topics| ("topics", topics)));
        }
        settings
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Loads content calendars and publishes them until they are done
    Run(Run),
    /// Publishes what is due, until it is stopped; serves the API (/api/docs) and the probes
    Serve(Serve),
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
    /// Shows what is out
    #[command(subcommand)]
    Publication(Publication),
    /// Shows what each platform can do: how long a text may be, what media it takes, what else it needs
    Platforms {
        /// This one alone, with all that can be said of it and its options
        #[arg(value_name = "PLATFORM")]
        platform: Option<PlatformName>,
    },
    /// Shows how posts do, at which hours they do well, and what calls have cost
    #[command(subcommand)]
    Analytics(Analytics),
    /// Shows and sets the times of the week at which an account likes to publish
    #[command(subcommand)]
    Slot(Slot),
    /// Shows the nodes that share a store
    #[command(subcommand)]
    Node(Node),
    /// Shows when a rule runs, before anything is planned by it
    Preview(Box<Preview>),
    /// Makes, lists and revokes tokens of the API
    #[command(subcommand)]
    Token(Token),
    /// Shows which keys seal what is secret, and replaces one
    #[command(subcommand)]
    Vault(Vault),
    /// Tells endpoints over HTTP of what happens; shows what they were told
    #[command(subcommand)]
    Webhook(Webhook),
    /// Adds, lists and removes pictures and videos that posts name
    #[command(subcommand)]
    Media(Media),
    /// Tells a person, to see whether notices arrive
    #[command(subcommand)]
    Notify(Notify),
    /// Brings the schema of the database to this program's version
    Migrate(Migrate),
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
pub(crate) struct Serve {
    /// What this node does: planner, worker, web [default: all three, or POSTQ_ROLES]
    #[arg(long, value_name = "ROLES")]
    pub(crate) roles: Option<String>,
    /// What its workers work on, and how many at once: publish:8,notify:2 [default: POSTQ_TOPICS]
    #[arg(long, value_name = "TOPICS")]
    pub(crate) topics: Option<String>,
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
pub(crate) struct Migrate {
    /// Takes the schema in Postgres back to this version, 0 being none: what later ones made is gone,
    /// with all data in it; no node may be running
    #[arg(long, value_name = "VERSION")]
    pub(crate) back_to: Option<u32>,
}

/// A rule, and which of its occurrences are shown.
#[derive(Debug, Args)]
#[group(id = "rule", required = true, multiple = true, args = ["cron", "rrule", "every", "at", "jsonl"])]
pub(crate) struct Preview {
    /// A cron expression: "0 9 * * 1-5", with --tz
    #[arg(long, value_name = "EXPRESSION", conflicts_with_all = ["rrule", "every", "at", "jsonl"])]
    pub(crate) cron: Option<String>,
    /// Lines of RFC 5545: "DTSTART;TZID=Europe/Berlin:20260308T090000\nRRULE:FREQ=WEEKLY"
    #[arg(long, value_name = "LINES", conflicts_with_all = ["every", "at", "jsonl"])]
    pub(crate) rrule: Option<String>,
    /// Again and again: 90m, 1d; from --at, or from --after
    #[arg(long, value_name = "DURATION", conflicts_with = "jsonl")]
    pub(crate) every: Option<String>,
    /// Once, or the first time: 2026-03-08T09:00Z, 2026-03-08T09:00 with --tz, or +5m
    #[arg(long, value_name = "TIME", conflicts_with = "jsonl")]
    pub(crate) at: Option<String>,
    /// The zone of the rule and of local times: Europe/Berlin
    #[arg(long, value_name = "ZONE", conflicts_with = "jsonl")]
    pub(crate) tz: Option<String>,
    /// Those after this, which is not shown itself [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "jsonl")]
    pub(crate) after: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 10, conflicts_with = "jsonl")]
    pub(crate) count: usize,
    /// Says the rule in words
    #[arg(long, conflicts_with = "jsonl")]
    pub(crate) explain: bool,
    /// Reads rules from standard input and answers each, in JSON lines
    #[arg(long)]
    pub(crate) jsonl: bool,
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
    /// The newest first
    #[arg(long)]
    pub(crate) newest: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Schedule {
    /// Lists schedules, oldest first
    List(Paging),
    /// Shows one, with its jobs
    Show {
        /// Its id, as `postqd schedule list` shows it
        #[arg(value_parser = id::<ScheduleId>)]
        id: ScheduleId,
    },
    /// Leaves out one occurrence that is to come
    Skip {
        /// Its id, as `postqd schedule list` shows it
        #[arg(value_parser = id::<ScheduleId>)]
        id: ScheduleId,
        /// Which one: 2026-03-08T09:00 in the schedule's zone, or 2026-03-08T09:00Z
        #[arg(long, value_name = "TIME")]
        at: String,
    },
    /// Gives one occurrence that is to come another text or time; the others stay
    EditOne {
        /// Its id, as `postqd schedule list` shows it
        #[arg(value_parser = id::<ScheduleId>)]
        id: ScheduleId,
        /// Which one: 2026-03-08T09:00 in the schedule's zone, or 2026-03-08T09:00Z
        #[arg(long, value_name = "TIME")]
        at: String,
        /// What it says instead; - reads standard input
        #[arg(long, required_unless_present = "to")]
        text: Option<String>,
        /// When it goes out instead
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
    },
    /// Leaves out what comes before a time; enable ends that
    Pause {
        /// Its id, as `postqd schedule list` shows it
        #[arg(value_parser = id::<ScheduleId>)]
        id: ScheduleId,
        /// It goes on with the first occurrence from then on
        #[arg(long, value_name = "TIME")]
        until: String,
    },
    /// Switches one on: it goes on from now
    Enable {
        /// Its id, as `postqd schedule list` shows it
        #[arg(value_parser = id::<ScheduleId>)]
        id: ScheduleId,
    },
    /// Switches one off and takes back what it had planned
    Disable {
        /// Its id, as `postqd schedule list` shows it
        #[arg(value_parser = id::<ScheduleId>)]
        id: ScheduleId,
    },
    /// Takes one away; its post stays
    Remove {
        /// Its id, as `postqd schedule list` shows it
        #[arg(value_parser = id::<ScheduleId>)]
        id: ScheduleId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Connects an account, or gives a known one new credentials
    Add {
        /// The platform, as x or bluesky, or dry_run: `postqd platforms` lists them
        platform: PlatformName,
        /// What you call it
        #[arg(long)]
        name: String,
        /// Reads its access token from standard input
        #[arg(long)]
        access_token_stdin: bool,
        /// When that token ends: 2026-12-24T17:00Z, or +60d; `/metrics` tells how long that is
        #[arg(long, value_name = "TIME", requires = "access_token_stdin")]
        token_expires: Option<String>,
        /// Whose it is, on Bluesky: alice.bsky.social
        #[arg(long, requires = "app_password_stdin", conflicts_with = "access_token_stdin")]
        handle: Option<String>,
        /// Reads from standard input the app password that was made for postq; it is kept nowhere
        #[arg(long, requires = "handle")]
        app_password_stdin: bool,
        /// What happens to a post whose outcome nobody can tell
        #[arg(long, value_enum)]
        on_unknown: Option<OnUnknown>,
    },
    /// Connects an account at its platform, in a browser: it stays connected
    ///
    /// Shows what is asked for and where to agree, and waits for you to come back. What had an access token
    /// alone can be connected again under its name.
    Connect {
        /// The platform, as reddit: `postqd platforms` lists them
        platform: PlatformName,
        /// What you call it
        #[arg(long)]
        name: String,
        /// Which, where you have several there: its id or its name, as that of a Facebook Page
        #[arg(long)]
        identity: Option<String>,
        /// The browser is on another machine: takes the address that it ends at from standard input
        #[arg(long)]
        paste: bool,
    },
    /// Lists accounts and what holds them back
    List,
    /// Shows one, and what holds it back
    Show {
        /// Its name, as `postqd account list` shows it
        name: String,
    },
    /// Holds back the posts of an account
    Pause {
        /// Its name, as `postqd account list` shows it
        name: String,
        /// Why, for whoever looks later
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Lets an account go on
    Resume {
        /// Its name, as `postqd account list` shows it
        name: String,
    },
    /// Shows how fast may be published, and how much of that is left now
    Limits {
        /// Of this account and its platform's app; of everything if left out
        name: Option<String>,
    },
    /// Takes an account and its credentials away; what it published stays
    Remove {
        /// Its name, as `postqd account list` shows it
        name: String,
    },
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
        /// Its id, as `postqd job list` shows it
        #[arg(value_parser = id::<JobId>)]
        id: JobId,
    },
    /// Takes a waiting one back
    Cancel {
        /// Its id, as `postqd job list` shows it
        #[arg(value_parser = id::<JobId>)]
        id: JobId,
        /// Why, for its history
        #[arg(long, default_value = "cancelled by a person")]
        reason: String,
    },
    /// Makes a waiting one due now
    Retry {
        /// Its id, as `postqd job list` shows it
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
        /// Its id, as `postqd dead list` shows it
        #[arg(value_parser = id::<JobId>)]
        id: JobId,
    },
    /// Tries again; looks on the platform before it sends
    Replay {
        /// Its id, as `postqd dead list` shows it
        #[arg(value_parser = id::<JobId>)]
        id: JobId,
        /// Sends without looking, under a new key: it may be out twice
        #[arg(long)]
        send_again: bool,
    },
    /// Counts them by cause and account
    Causes,
    /// Tries all of them again but those whose outcome is unknown
    ReplayAll {
        /// Those of this account
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        /// Those given up for this reason: content, auth, attempts_exhausted, ...
        #[arg(long)]
        reason: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Says what became of it
    Resolve {
        /// Its id, as `postqd dead list` shows it
        #[arg(value_parser = id::<JobId>)]
        id: JobId,
        #[command(flatten)]
        how: Fate,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Publication {
    /// Lists what is out, oldest first
    List(Paging),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Analytics {
    /// Shows what an account came to in a span of days
    Summary {
        /// Its name
        account: String,
        /// From this day on, by UTC [default: 30 days before --until]
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// Up to this day, which is not shown itself [default: tomorrow]
        #[arg(long, value_name = "DAY")]
        until: Option<String>,
    },
    /// Shows how a publication has done since it came out
    Publication {
        /// Its id, as `postqd publication list` shows it
        #[arg(value_parser = id::<PublicationId>)]
        id: PublicationId,
    },
    /// Compares publications as they were at one age
    Compare {
        /// Their ids, as `postqd publication list` shows them; up to 20
        #[arg(required = true, value_parser = id::<PublicationId>)]
        ids: Vec<PublicationId>,
        /// So long after they came out: 24h [default: as long as all of them were counted]
        #[arg(long)]
        age: Option<String>,
    },
    /// Shows at which hours of the local week an account's posts did well, and how sure that is
    BestTimes {
        /// Its name
        account: String,
        /// The zone whose clocks the hours are read from: Europe/Berlin
        #[arg(long)]
        tz: String,
    },
    /// Shows what calls to platforms have cost, and what is left of the budget
    Spending {
        /// The month: 2026-11 [default: this one]
        #[arg(long)]
        month: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Slot {
    /// Shows the slots of an account, and the next ones that are free
    List {
        /// Its name
        account: String,
    },
    /// Replaces them; posts that are in slots stay where they are
    Set {
        /// Its name
        account: String,
        /// The slots, each such as "weekdays 09:00 and 17:30 Europe/Berlin"; days are daily, weekdays,
        /// weekends, or names as mon,thu
        #[arg(required = true)]
        slots: Vec<String>,
    },
    /// Takes them all away
    Clear {
        /// Its name
        account: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// Lists the nodes that share the store, and how each is doing
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Makes one and shows it, this once
    Create {
        /// What it allows: read, write (posts, schedules, jobs) or admin (accounts and tokens, too)
        #[arg(long)]
        scope: Scope,
        /// What you call it
        #[arg(long, default_value = "unnamed")]
        name: String,
    },
    /// Lists them, revoked ones too
    List,
    /// Ends one, for good
    Revoke {
        /// Its id, as `postqd token list` shows it
        #[arg(value_parser = id::<TokenId>)]
        id: TokenId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Vault {
    /// Counts what is sealed by key, and names what no key opens
    Status,
    /// Seals with the key in force what is sealed with those of POSTQ_ENCRYPTION_KEYS_OLD; may be
    /// interrupted at any time and run again, also while `postqd serve` runs
    Rotate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Media {
    /// Adds files and shows what posts name them by: `media:9f86...`
    Add {
        /// The files: JPEG, PNG, GIF, WebP, MP4 or MOV, told by their content
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What it shows, for those who cannot see it
        #[arg(long)]
        alt: Option<String>,
    },
    /// Lists files, oldest first
    List {
        #[command(flatten)]
        paging: Paging,
    },
    /// Takes a file away that no post names
    Remove {
        /// Which, as `postqd media list` shows it: media:9f86...
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Webhook {
    /// Adds an endpoint and shows the secret that signs its requests, this once
    Add {
        /// Where requests go: `https://hooks.example.com/postq`
        url: String,
        /// What it is told of, as job.dead; may be given several times [default: everything]
        #[arg(long = "event", value_name = "EVENT")]
        events: Vec<EventKind>,
    },
    /// Lists endpoints; never their secrets
    List,
    /// Shows one
    Show {
        /// Its id, as `postqd webhook list` shows it
        #[arg(value_parser = id::<WebhookId>)]
        id: WebhookId,
    },
    /// Gives one another URL, or other events
    Edit {
        /// Its id, as `postqd webhook list` shows it
        #[arg(value_parser = id::<WebhookId>)]
        id: WebhookId,
        /// Where requests go
        #[arg(long)]
        url: Option<String>,
        /// What it is told of instead; may be given several times
        #[arg(long = "event", value_name = "EVENT", conflicts_with = "all_events")]
        events: Vec<EventKind>,
        /// Tells it of everything
        #[arg(long)]
        all_events: bool,
    },
    /// Gives one a new secret and shows it, this once; the old one signs beside it for 24 h
    Rotate {
        /// Its id, as `postqd webhook list` shows it
        #[arg(value_parser = id::<WebhookId>)]
        id: WebhookId,
    },
    /// Takes one away; what waits for it is not delivered
    Remove {
        /// Its id, as `postqd webhook list` shows it
        #[arg(value_parser = id::<WebhookId>)]
        id: WebhookId,
    },
    /// Tells one nothing more, until it is resumed
    Pause {
        /// Its id, as `postqd webhook list` shows it
        #[arg(value_parser = id::<WebhookId>)]
        id: WebhookId,
        /// Why, for whoever looks later
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Tells one again, beginning with what waited
    Resume {
        /// Its id, as `postqd webhook list` shows it
        #[arg(value_parser = id::<WebhookId>)]
        id: WebhookId,
    },
    /// Lists what one was told, oldest first
    Deliveries {
        /// Its id, as `postqd webhook list` shows it
        #[arg(value_parser = id::<WebhookId>)]
        id: WebhookId,
        #[command(flatten)]
        paging: Paging,
    },
    /// Sends a delivery again, as the same event
    Resend {
        /// Its id, as `postqd webhook list` shows it
        #[arg(value_parser = id::<WebhookId>)]
        id: WebhookId,
        /// Which one, as the list of deliveries shows it
        #[arg(value_parser = id::<JobId>)]
        delivery: JobId,
    },
    /// Sends one a ping now, and tells what it answered
    Test {
        /// Its id, as `postqd webhook list` shows it
        #[arg(value_parser = id::<WebhookId>)]
        id: WebhookId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Notify {
    /// Sends one notice through each channel that is set, and shows what came of it
    Test,
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
    fn every_argument_says_what_it_is() {
        fn walk(command: &clap::Command, path: &str) {
            for argument in command.get_arguments() {
                let id = argument.get_id();
                assert!(argument.get_help().is_some(), "{path}: {id} says nothing of itself");
            }
            for inner in command.get_subcommands() {
                assert!(inner.get_about().is_some(), "{path} {}", inner.get_name());
                walk(inner, &format!("{path} {}", inner.get_name()));
            }
        }
        walk(&Cli::command(), "postqd");
    }

    #[test]
    fn a_post_is_a_text_or_a_command() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["postqd"], args].concat());

        assert!(parse(&["post", "hello", "--account", "a"]).is_ok());
        assert!(parse(&["post", "list"]).is_ok());
        assert!(parse(&["post", "edit", "k", "--text", "x"]).is_ok());
        assert!(parse(&["post", "edit", "k", "--cron", "@daily", "--count", "3"]).is_ok());
        assert!(parse(&["post", "edit", "k", "--at", "+1h", "--count", "3"]).is_err(), "no rule");
        assert!(parse(&["post", "edit", "k", "--cron", "@daily", "--every", "1d"]).is_err());
        let id = "0191e0f0-0000-7000-8000-000000000000";
        assert!(parse(&["schedule", "skip", id, "--at", "+1h"]).is_ok());
        assert!(parse(&["schedule", "edit-one", id, "--at", "+1h"]).is_err(), "nothing to change");
        assert!(parse(&["post", "edit", "k", "--rrule", "x", "--until", "+1d"]).is_err());
        assert!(parse(&["post", "hello"]).is_err(), "an account is needed");
        assert!(parse(&["post", "--account", "a"]).is_err(), "a text is needed");
        let error = parse(&["job", "show", "launch"]).unwrap_err().to_string();
        assert!(error.contains("expected an id"), "{error}");
        assert!(parse(&["dead", "resolve", "0191e0f0-0000-7000-8000-000000000000"]).is_err());
    }
}
