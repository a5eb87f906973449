//! What a server is like: asked at start, told in words.

use std::collections::BTreeMap;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Client, FromRedisValue, cmd};
use postq_core::error::{ErrorKind, StoreError};

use crate::connect::{servers, times};
use crate::error::Fault;
use crate::server::Redis;

/// The oldest version that has all that is used here.
const OLDEST: (u32, u32) = (6, 2);

/// What a server keeps when it crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing (`appendonly no`, no `save`).
    Volatile,
    /// What its last snapshot had (`appendonly no`, some `save`).
    Snapshots,
    /// All but about the last second (`appendonly yes`).
    Second,
    /// Everything it has acknowledged (`appendfsync always`).
    Everything,
    /// It does not tell.
    Unknown,
}

/// What a server is like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisHealth {
    /// `Redis 7.0.15`, `Valkey 8.1.0`; `unknown` if it does not tell.
    pub version: String,
    /// What it keeps when it crashes. Whatever it is, no post is lost: the store has them.
    pub durability: Durability,
    /// What it does when its memory is full (`maxmemory-policy`); `unknown` if it does not tell.
    pub eviction: String,
    /// What a person should change, in words that name the setting.
    pub warnings: Vec<String>,
}

impl Redis {
    /// Asks the server what it is like. An error if it cannot be used: it is away, refuses the log-in, is
    /// older than 6.2 or a read-only replica.
    pub async fn check(&self) -> Result<RedisHealth, StoreError> {
        let bound = self.patience() + self.config().response_timeout;
        let check = tokio::time::timeout(bound, self.ask_for_facts());
        let facts = check.await.unwrap_or(Err(Fault::NoAnswer(bound)));
        facts.and_then(|facts| facts.judge()).map_err(|fault| fault.during("check the server"))
    }

    async fn ask_for_facts(&self) -> Result<Facts, Fault> {
        let mut failed = None;
        for server in servers(self.config())? {
            let client = Client::open(server)?;
            let times = times(self.config());
            match client.get_multiplexed_async_connection_with_config(&times).await {
                Ok(mut link) => return Facts::ask(&mut link, self.config().cluster).await,
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or_else(
            || Fault::Refused(ErrorKind::Invalid, "REDIS_URL names no server".to_owned()),
            Fault::Redis,
        ))
    }
}

/// What the server tells.
#[derive(Debug, Default)]
struct Facts {
    /// The lines of `INFO`; empty if it may not be asked.
    info: BTreeMap<String, String>,
    /// `CONFIG GET save`, where that is allowed.
    save: Option<String>,
    /// `CONFIG GET appendfsync`, where that is allowed.
    fsync: Option<String>,
    cluster: bool,
}

impl Facts {
    async fn ask(link: &mut MultiplexedConnection, cluster: bool) -> Result<Self, Fault> {
        let info: Option<String> = allowed(link, &["INFO"]).await?;
        let lines = info.as_deref().unwrap_or_default().lines();
        let pairs = lines.filter_map(|line| line.trim().split_once(':'));
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let info = pairs.map(own).collect();
        let save = setting(link, "save").await?;
        let fsync = setting(link, "appendfsync").await?;
        Ok(Self { info, save, fsync, cluster })
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.info.get(key).map(String::as_str)
    }

    fn judge(&self) -> Result<RedisHealth, Fault> {
        let version = self.version()?;
        self.refuse_a_replica()?;
        self.refuse_the_wrong_mode()?;
        let mut warnings = Vec::new();
        if version.is_none() {
            warnings.push(
                "the server does not tell its version (INFO is not allowed); it must be Redis 6.2 or \
                 newer, or Valkey"
                    .to_owned(),
            );
        }
        let durability = self.durability();
        if let Some(warning) = warning_of(durability) {
            warnings.push(warning.to_owned());
        }
        let eviction = self.get("maxmemory_policy").unwrap_or("unknown").to_owned();
        warnings.extend(self.warning_of_eviction(&eviction));
        let version = version.unwrap_or_else(|| "unknown".to_owned());
        Ok(RedisHealth { version, durability, eviction, warnings })
    }

    fn version(&self) -> Result<Option<String>, Fault> {
        if let Some(version) = self.get("valkey_version") {
            return Ok(Some(format!("Valkey {version}")));
        }
        let Some(version) = self.get("redis_version") else { return Ok(None) };
        let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if found < OLDEST {
            let what = format!("the server is Redis {version}, expected 6.2 or newer; upgrade it");
            return Err(Fault::Refused(ErrorKind::Invalid, what));
        }
        Ok(Some(format!("Redis {version}")))
    }

    fn refuse_a_replica(&self) -> Result<(), Fault> {
        let is_replica = matches!(self.get("role"), Some("slave" | "replica"));
        if is_replica && self.get("slave_read_only") != Some("0") && !self.cluster {
            let primary = match (self.get("master_host"), self.get("master_port")) {
                (Some(host), Some(port)) => format!(" ({host}:{port})"),
                _ => String::new(),
            };
            let what = format!(
                "the server is a read-only replica; name its primary{primary} in REDIS_URL"
            );
            return Err(Fault::Refused(ErrorKind::Unavailable, what));
        }
        Ok(())
    }

    fn refuse_the_wrong_mode(&self) -> Result<(), Fault> {
        let what = match (self.get("cluster_enabled"), self.cluster) {
            (Some("1"), false) => "the server belongs to a cluster; set POSTQ_REDIS_CLUSTER=true",
            (Some("0"), true) => "the server belongs to no cluster; unset POSTQ_REDIS_CLUSTER",
            _ => return Ok(()),
        };
        Err(Fault::Refused(ErrorKind::Invalid, what.to_owned()))
    }

    fn durability(&self) -> Durability {
        match (self.get("aof_enabled"), self.fsync.as_deref(), self.save.as_deref()) {
            (Some("1"), Some("always"), _) => Durability::Everything,
            (Some("1"), _, _) => Durability::Second,
            (Some("0"), _, Some("")) => Durability::Volatile,
            (Some("0"), _, Some(_)) => Durability::Snapshots,
            _ => Durability::Unknown,
        }
    }

    fn warning_of_eviction(&self, policy: &str) -> Option<String> {
        let takes_any = policy.starts_with("allkeys");
        let takes_some = policy.starts_with("volatile");
        let limit = self.get("maxmemory").filter(|limit| *limit != "0");
        let what = if takes_any {
            "any key, the queue's as well: what is lost is pushed again by a sweep, seconds later"
        } else if takes_some {
            "locks and the limiter's buckets: posts may be sent faster than a platform allows"
        } else {
            return None;
        };
        let now = match limit {
            Some(_) => "its memory is limited",
            None => "its memory has no limit yet",
        };
        Some(format!(
            "maxmemory-policy is {policy} and {now}; full, the server throws away {what}; set \
             maxmemory-policy to noeviction"
        ))
    }
}

fn warning_of(durability: Durability) -> Option<&'static str> {
    match durability {
        Durability::Volatile => Some(
            "the server keeps nothing over a restart (appendonly no, no save): the queue is filled again \
             from the store, and the limiter's buckets are lost; set appendonly to yes",
        ),
        Durability::Snapshots => Some(
            "the server goes back to its last snapshot at a restart (appendonly no): the queue is filled \
             again from the store, and the limiter forgets what it gave since; set appendonly to yes",
        ),
        Durability::Unknown => Some(
            "the server does not tell whether it keeps its data over a restart (CONFIG GET is not \
             allowed); appendonly should be yes",
        ),
        Durability::Second | Durability::Everything => None,
    }
}

/// A setting, where it may be read.
async fn setting(link: &mut MultiplexedConnection, name: &str) -> Result<Option<String>, Fault> {
    let found: Option<Vec<String>> = allowed(link, &["CONFIG", "GET", name]).await?;
    Ok(found.and_then(|pair| pair.into_iter().nth(1)))
}

/// The answer, or nothing where the command is not allowed or not known (managed servers hide some).
async fn allowed<T: FromRedisValue>(
    link: &mut MultiplexedConnection,
    words: &[&str],
) -> Result<Option<T>, Fault> {
    let mut ask = cmd(words[0]);
    ask.arg(&words[1..]);
    match ask.query_async(link).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if matches!(error.code(), Some("NOPERM" | "ERR")) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(lines: &[(&str, &str)], save: Option<&str>) -> Facts {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut info: BTreeMap<_, _> =
            [("redis_version", "7.2.4"), ("role", "master"), ("aof_enabled", "1")]
                .iter()
                .map(own)
                .collect();
        info.extend(lines.iter().map(own));
        Facts { info, save: save.map(str::to_owned), ..Facts::default() }
    }

    fn refusal(lines: &[(&str, &str)]) -> String {
        let fault = facts(lines, None).judge().expect_err("it is refused");
        postq_core::error::chain(&fault.during("check"))
    }

    #[test]
    fn an_old_server_is_refused() {
        for version in ["6.0.16", "5.0.14", "2.8", "x"] {
            let told = refusal(&[("redis_version", version)]);
            assert!(told.contains(version) && told.contains("6.2"), "{told}");
        }
        let new = facts(&[("redis_version", "6.2.0")], None).judge().unwrap();
        assert_eq!(new.version, "Redis 6.2.0");
        let valkey = facts(&[("valkey_version", "8.1.0")], None).judge().unwrap();
        assert_eq!(valkey.version, "Valkey 8.1.0");
    }

    #[test]
    fn a_replica_is_refused_and_its_primary_named() {
        let lines = [("role", "slave"), ("master_host", "db1"), ("master_port", "6380")];

        assert!(refusal(&lines).contains("name its primary (db1:6380) in REDIS_URL"));
    }

    #[test]
    fn the_wrong_mode_is_refused() {
        assert!(refusal(&[("cluster_enabled", "1")]).contains("POSTQ_REDIS_CLUSTER=true"));
    }

    #[test]
    fn each_warning_names_the_setting() {
        for (facts, durability, word) in [
            (facts(&[], None), Durability::Second, None),
            (
                facts(&[("aof_enabled", "0")], Some("")),
                Durability::Volatile,
                Some("appendonly to yes"),
            ),
            (
                facts(&[("aof_enabled", "0")], Some("3600 1")),
                Durability::Snapshots,
                Some("appendonly to yes"),
            ),
            (facts(&[("aof_enabled", "0")], None), Durability::Unknown, Some("CONFIG GET")),
            (
                facts(&[("maxmemory_policy", "allkeys-lru")], None),
                Durability::Second,
                Some("set maxmemory-policy to noeviction"),
            ),
            (
                facts(&[("maxmemory_policy", "volatile-ttl"), ("maxmemory", "100")], None),
                Durability::Second,
                Some("its memory is limited"),
            ),
        ] {
            let health = facts.judge().unwrap();
            assert_eq!(health.durability, durability);
            assert_eq!(health.warnings.len(), usize::from(word.is_some()), "{health:?}");
            assert!(word.is_none_or(|word| health.warnings[0].contains(word)), "{health:?}");
        }
    }

    #[test]
    fn a_server_that_tells_nothing_is_used_with_a_warning() {
        let health = Facts::default().judge().unwrap();

        assert_eq!((health.version.as_str(), health.durability), ("unknown", Durability::Unknown));
        assert_eq!(health.warnings.len(), 2);
    }
}
