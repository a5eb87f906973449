//! Postgres, and what runs beside it.

use postq_core::error::chain;
use postq_postgres::PgStore;
use postq_redis::Redis;

use super::Finding;
use crate::config::Servers;

/// What can be told of the servers, and whether there is a schema to look into. That Redis is away stops
/// nothing: never more than a warning.
pub(super) async fn servers(servers: &Servers) -> (Vec<Finding>, bool) {
    let (mut findings, is_there) = postgres(&servers.postgres).await;
    if let Some(config) = &servers.redis {
        findings.extend(redis(config).await);
    }
    (findings, is_there)
}

async fn postgres(config: &postq_postgres::Config) -> (Vec<Finding>, bool) {
    let health = match PgStore::check(config).await {
        Ok(health) => health,
        Err(error) => {
            let told = format!("DATABASE_URL: {}", chain(&error));
            return (vec![Finding::broken("postgres", told)], false);
        }
    };
    let told = format!(
        "{}: schema \"{}\" {} of {}, {} of {} connections taken",
        health.version,
        config.schema,
        health.schema_version.unwrap_or(0),
        health.our_version,
        health.others,
        health.most_connections
    );
    let is_current = health.schema_version == Some(health.our_version);
    let mut findings = vec![match is_current || config.migrate {
        true => Finding::ok("postgres", told),
        false => Finding::broken("postgres", format!("{told}; postqd migrate")),
    }];
    let warnings = health.warnings.into_iter();
    findings.extend(warnings.map(|warning| Finding::warning("postgres", warning)));
    (findings, is_current)
}

async fn redis(config: &postq_redis::Config) -> Vec<Finding> {
    let health = match Redis::new(config.clone()) {
        Ok(redis) => redis.check().await,
        Err(error) => return vec![Finding::broken("redis", format!("REDIS_URL: {error}"))],
    };
    match health {
        Ok(health) if health.warnings.is_empty() => vec![Finding::ok("redis", health.version)],
        Ok(health) => {
            let warning = |told| Finding::warning("redis", format!("{}: {told}", health.version));
            health.warnings.into_iter().map(warning).collect()
        }
        Err(error) => {
            let told = format!("REDIS_URL: {}; Postgres is used meanwhile", chain(&error));
            vec![Finding::warning("redis", told)]
        }
    }
}
