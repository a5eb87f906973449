//! What a user may set: one table, one file, one environment. Nothing else reads the environment.
//!
//! The environment wins over `postqd.toml`, which wins over the defaults. A name in the file that is
//! not in the table is an error.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::bail;
use postq_calendar::{duration, near};
use postq_core::store::Retention;
use postq_engine::TopicWorkers;
use postq_engine::prices::Prices;
use secrecy::SecretString;
use serde::Serialize;
use toml::de::{DeTable, DeValue};

mod media;
mod outward;
mod platforms;
mod prices;
mod roles;
mod servers;
mod settings;

pub(crate) use self::media::MediaConfig;
pub(crate) use self::outward::Outward;
pub(crate) use self::platforms::PlatformsConfig;
pub(crate) use self::roles::Roles;
pub(crate) use self::servers::{Kept, Servers};
pub(crate) use self::settings::named;
use self::settings::{SETTINGS, Setting};

/// The file that is read where none is named.
pub(crate) const FILE: &str = "postqd.toml";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// Nobody set it.
    Default,
    /// A file, and the line in it.
    File(String),
    /// The environment.
    Environment,
    /// An option of the command.
    Option,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => f.write_str(place),
            Self::Environment => f.write_str("environment"),
            Self::Option => f.write_str("option"),
        }
    }
}

/// A value that is in force.
#[derive(Clone, Debug)]
struct Value {
    text: String,
    source: Source,
}

/// A setting as `postqd config` shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InForce {
    /// Its name in the file.
    pub(crate) key: &'static str,
    /// Its name in the environment.
    pub(crate) env: &'static str,
    /// Its value; masked if it is a secret, none if it is not set.
    pub(crate) value: Option<String>,
    /// Where that came from.
    pub(crate) source: Source,
    /// What it does.
    pub(crate) doc: &'static str,
}

/// Everything that is set.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) requests_per_second: NonZeroU32,
    pub(crate) kept: Kept,
    pub(crate) roles: Roles,
    pub(crate) topics: Vec<TopicWorkers>,
    pub(crate) outward: Outward,
    pub(crate) encryption_key: Option<SecretString>,
    pub(crate) encryption_keys_old: Vec<SecretString>,
    pub(crate) dry_run: bool,
    pub(crate) platforms: PlatformsConfig,
    pub(crate) prices: Prices,
    pub(crate) min_interval: Duration,
    pub(crate) misfire_grace: Duration,
    pub(crate) look_ahead: Duration,
    pub(crate) prepare_ahead: Duration,
    pub(crate) lease: Duration,
    pub(crate) max_attempts: NonZeroU32,
    pub(crate) time_limit: Duration,
    pub(crate) grace_period: Duration,
    pub(crate) retention: Retention,
    pub(crate) media: MediaConfig,
    pub(crate) metrics_open: bool,
    pub(crate) otlp_endpoint: Option<String>,
    /// None where nobody set it: each command has a fitting one.
    pub(crate) log_level: Option<String>,
    pub(crate) production: bool,
    /// The daemon that is asked; none where the commands work on the store themselves.
    pub(crate) server: Option<String>,
    pub(crate) token: Option<SecretString>,
    in_force: Vec<InForce>,
}

impl Config {
    /// Reads the file (if there is one, or one is named) and the environment; the command's options win
    /// over both.
    pub(crate) fn load(
        file: Option<&Path>,
        options: &BTreeMap<&'static str, String>,
    ) -> anyhow::Result<Self> {
        let path = file.unwrap_or(Path::new(FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => bail!("cannot read the configuration \"{}\": {error}", path.display()),
        };
        let name = path.display().to_string();
        Self::of(text.as_deref().map(|text| (name.as_str(), text)), from_environment, options)
    }

    /// The same from parts.
    fn of(
        file: Option<(&str, &str)>,
        environment: impl Fn(&str) -> anyhow::Result<Option<String>>,
        options: &BTreeMap<&'static str, String>,
    ) -> anyhow::Result<Self> {
        let mut values = file.map_or(Ok(BTreeMap::new()), |(name, text)| in_file(name, text))?;
        for setting in SETTINGS {
            if let Some(text) = environment(setting.env)? {
                values.insert(setting.key, Value { text, source: Source::Environment });
            }
            if let Some(text) = options.get(setting.key) {
                values.insert(setting.key, Value { text: text.clone(), source: Source::Option });
            }
        }
        Self::typed(&Values(values))
    }

    fn typed(values: &Values) -> anyhow::Result<Self> {
        Ok(Self {
            data_dir: values.text("data_dir").into(),
            listen: values.parse("listen", "an address and a port as 127.0.0.1:8484")?,
            allowed_hosts: values.list("allowed_hosts"),
            allowed_origins: values.list("allowed_origins"),
            requests_per_second: values.parse("requests_per_second", "a whole number from 1")?,
            kept: values.kept()?,
            roles: values.roles()?,
            topics: values.topics()?,
            outward: values.outward()?,
            encryption_key: values.secret("encryption_key"),
            encryption_keys_old: values.secrets("encryption_keys_old")?,
            dry_run: values.switch("dry_run")?,
            platforms: values.platforms()?,
            prices: values.prices()?,
            min_interval: values.duration("min_interval")?,
            misfire_grace: values.duration("misfire_grace")?,
            look_ahead: values.duration("look_ahead")?,
            prepare_ahead: values.duration("prepare_ahead")?,
            lease: values.duration("lease")?,
            max_attempts: values.parse("max_attempts", "a whole number from 1")?,
            time_limit: values.duration("time_limit")?,
            grace_period: values.duration("grace_period")?,
            retention: values.retention()?,
            media: values.media()?,
            metrics_open: values.switch("metrics_open")?,
            otlp_endpoint: values.set("otlp_endpoint").map(|value| value.text.clone()),
            log_level: values.set("log_level").map(|value| value.text.clone()),
            production: values.text("environment") == "production",
            server: values.set("server").map(|value| value.text.clone()),
            token: values.secret("token"),
            in_force: values.in_force(),
        })
    }

    /// What is in force and where it came from, secrets masked.
    pub(crate) fn in_force(&self) -> &[InForce] {
        &self.in_force
    }

    /// Where the value of a setting came from.
    pub(crate) fn source(&self, key: &str) -> Source {
        let setting = self.in_force.iter().find(|setting| setting.key == key);
        setting.map_or(Source::Default, |setting| setting.source.clone())
    }
}

/// Keys that only open: each is tried by its id alone.
const MOST_KEYS: usize = 16;

/// What was set, by key.
struct Values(BTreeMap<&'static str, Value>);

impl Values {
    /// What somebody set; an empty text is nothing.
    fn set(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.text.is_empty())
    }

    fn text(&self, key: &str) -> &str {
        self.set(key).map_or_else(|| default_of(key), |value| value.text.as_str())
    }

    fn secret(&self, key: &str) -> Option<SecretString> {
        self.set(key).map(|value| value.text.clone().into())
    }

    /// What stands between commas.
    fn secrets(&self, key: &str) -> anyhow::Result<Vec<SecretString>> {
        let all: Vec<SecretString> = self.list(key).into_iter().map(SecretString::from).collect();
        match all.len() {
            0..=MOST_KEYS => Ok(all),
            n => Err(self.wrong(key, format!("there are {n}, expected at most {MOST_KEYS}"))),
        }
    }

    fn wrong(&self, key: &str, why: impl fmt::Display) -> anyhow::Error {
        let source = self.set(key).map_or(Source::Default, |value| value.source.clone());
        let env = SETTINGS.iter().find(|s| s.key == key).map_or("", |setting| setting.env);
        match source {
            Source::Environment => anyhow::anyhow!("{env} (environment): {why}"),
            source => anyhow::anyhow!("{key} ({source}; in the environment {env}): {why}"),
        }
    }

    fn parse<T: FromStr>(&self, key: &str, expected: &str) -> anyhow::Result<T> {
        let text = self.text(key);
        let parsed = text.parse();
        parsed.map_err(|_| self.wrong(key, format!("\"{text}\" cannot be; expected {expected}")))
    }

    /// What stands between commas.
    fn list(&self, key: &str) -> Vec<String> {
        let items = self.text(key).split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn duration(&self, key: &str) -> anyhow::Result<Duration> {
        duration::parse(self.text(key)).map_err(|error| self.wrong(key, error))
    }

    fn switch(&self, key: &str) -> anyhow::Result<bool> {
        match self.text(key).to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(true),
            "false" | "off" | "no" | "0" => Ok(false),
            other => Err(self.wrong(key, format!("\"{other}\" cannot be; expected on or off"))),
        }
    }

    fn retention(&self) -> anyhow::Result<Retention> {
        Ok(Retention {
            ended: self.duration("keep_ended")?,
            keep: self.parse("keep_last", "a whole number")?,
            resolved: self.duration("keep_resolved")?,
            keep_resolved: self.parse("keep_last_resolved", "a whole number")?,
            history: self.duration("keep_history")?,
        })
    }

    fn in_force(&self) -> Vec<InForce> {
        let show = |setting: &Setting| {
            let text = self.text(setting.key);
            let masked = if setting.secret { "********" } else { text };
            InForce {
                key: setting.key,
                env: setting.env,
                value: (!text.is_empty()).then(|| masked.to_owned()),
                source: self.set(setting.key).map_or(Source::Default, |v| v.source.clone()),
                doc: setting.doc,
            }
        };
        SETTINGS.iter().map(show).collect()
    }
}

fn default_of(key: &str) -> &'static str {
    SETTINGS.iter().find(|setting| setting.key == key).map_or("", |setting| setting.default)
}

fn from_environment(name: &str) -> anyhow::Result<Option<String>> {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads it")]
    match std::env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => bail!("{name} (environment) is not UTF-8"),
    }
}

fn in_file(name: &str, text: &str) -> anyhow::Result<BTreeMap<&'static str, Value>> {
    let line = |byte: usize| 1 + text.bytes().take(byte).filter(|b| *b == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let at = line(error.span().map_or(0, |span| span.start));
        anyhow::anyhow!("{name}:{at}: no TOML: {}", error.message())
    })?;
    let mut values = BTreeMap::new();
    for (key, value) in table.get_ref() {
        let place = format!("{name}:{}", line(key.span().start));
        let written = key.get_ref().as_ref();
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == written) else {
            let hint = near::hint(written, SETTINGS.iter().map(|setting| setting.key));
            bail!("{place}: unknown key \"{written}\"{hint}; postqd config lists all");
        };
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Boolean(on) => on.to_string(),
            other => {
                bail!("{place}: {written}: expected a text, this is of type {}", other.type_str())
            }
        };
        values.insert(setting.key, Value { text, source: Source::File(place) });
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn load(file: &str, environment: &[(&str, &str)]) -> anyhow::Result<Config> {
        let find = |name: &str| {
            let found = environment.iter().find(|(key, _)| *key == name);
            Ok(found.map(|(_, text)| (*text).to_owned()))
        };
        Config::of(Some(("postqd.toml", file)), find, &BTreeMap::new())
    }

    pub(super) fn refused(file: &str, environment: &[(&str, &str)]) -> String {
        format!("{:#}", load(file, environment).unwrap_err())
    }

    #[test]
    fn the_defaults_are_good() {
        let config = load("", &[]).unwrap();

        assert_eq!(config.listen.to_string(), "127.0.0.1:8484");
        assert_eq!(config.min_interval, Duration::from_secs(60));
        assert_eq!(config.prepare_ahead, Duration::from_secs(3_600));
        assert!(!config.dry_run && !config.production);
        assert!(config.in_force().iter().all(|setting| setting.source == Source::Default));
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = "lease = \"90s\"\nconcurrency = 8\ndry_run = true\n";

        let config = load(file, &[("POSTQ_LEASE", "2m"), ("LOG_LEVEL", "")]).unwrap();

        assert_eq!(config.lease, Duration::from_secs(120));
        assert_eq!(config.topics[0].at_once, 8);
        assert!(config.dry_run);
        let source = |key| {
            let setting = config.in_force().iter().find(|setting| setting.key == key).unwrap();
            setting.source.to_string()
        };
        assert_eq!(source("lease"), "environment");
        assert_eq!(source("concurrency"), "postqd.toml:2");
        assert_eq!(source("log_level"), "default");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("leese = \"90s\"", "postqd.toml:1: unknown key \"leese\"; did you mean \"lease\"?"),
            ("\nlease = [1]", "postqd.toml:2: lease: expected a text, this is of type array"),
            (
                "\nlease = 90",
                "lease (postqd.toml:2; in the environment POSTQ_LEASE): \"90\" has a number without a unit",
            ),
            ("lease = ", "postqd.toml:1: no TOML"),
            ("concurrency = \"many\"", "expected a whole number"),
            ("rate_limit = \"maybe\"", "expected on or off"),
            ("x_api_tier = \"gold\"", "expected free, basic, pro or enterprise"),
            ("listen = \"8484\"", "expected an address and a port"),
        ];
        for (file, expected) in cases {
            let error = refused(file, &[]);
            assert!(error.contains(expected), "{file}: {error}");
        }
    }

    #[test]
    fn secrets_are_masked() {
        let config = load("", &[("POSTQ_ENCRYPTION_KEY", "0123")]).unwrap();

        let shown = serde_json::to_string(config.in_force()).unwrap();

        assert!(shown.contains("********") && !shown.contains("0123"), "{shown}");
        assert!(!format!("{config:?}").contains("0123"));
    }

    #[test]
    fn names_are_unique() {
        for (i, setting) in SETTINGS.iter().enumerate() {
            let twice = |other: &Setting| other.key == setting.key || other.env == setting.env;
            assert!(!SETTINGS[i + 1..].iter().any(twice), "{}", setting.key);
        }
    }
}
