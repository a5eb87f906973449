//! Which servers everything is kept in.

use postq_redis::Server;
use secrecy::ExposeSecret;

use super::Values;

/// Where everything durable is kept.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// In a SQLite file in the data folder.
    InFile,
    /// On servers, shared by any number of nodes.
    OnServers(Box<Servers>),
}

/// Postgres, and what runs beside it.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) postgres: postq_postgres::Config,
    pub(crate) redis: Option<postq_redis::Config>,
    /// Whether the queue stays in Postgres although Redis is there.
    pub(crate) use_pg_queue: bool,
}

/// What says where Redis is.
const REDIS: [&str; 2] = ["redis_url", "redis_host"];

impl Values {
    pub(super) fn kept(&self) -> anyhow::Result<Kept> {
        let redis = self.redis()?;
        let Some(url) = self.secret("database_url") else {
            if redis.is_some() {
                let key = REDIS.into_iter().find(|key| self.set(key).is_some());
                let why = "Redis runs beside Postgres, which is not set; set DATABASE_URL as well, or \
                           unset this";
                return Err(self.wrong(key.unwrap_or(REDIS[0]), why));
            }
            return Ok(Kept::InFile);
        };
        let mut postgres = postq_postgres::Config::new(url.expose_secret());
        self.text("pg_schema").clone_into(&mut postgres.schema);
        postgres.connections = self.parse("pg_connections", "a whole number from 1")?;
        postgres.pooler = self.switch("pg_pooler")?;
        postgres.listen_url = self.secret("pg_listen_url");
        postgres.migrate = self.switch("migrate")?;
        let use_pg_queue = self.switch("use_pg_queue")?;
        Ok(Kept::OnServers(Box::new(Servers { postgres, redis, use_pg_queue })))
    }

    fn redis(&self) -> anyhow::Result<Option<postq_redis::Config>> {
        let mut config = match (self.secret("redis_url"), self.set("redis_host")) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(self.wrong("redis_host", "redis_url (REDIS_URL) is set too; unset one"));
            }
            (Some(url), None) => postq_redis::Config::new(url.expose_secret()),
            (None, Some(host)) => postq_redis::Config::at(&Server {
                port: self.parse("redis_port", "a port as 6379")?,
                username: self.set("redis_username").map(|value| value.text.clone()),
                password: self.secret("redis_password"),
                database: self.parse("redis_db", "a whole number from 0")?,
                tls: self.switch("redis_tls")?,
                ..Server::new(host.text.as_str())
            }),
        };
        config.cluster = self.switch("redis_cluster")?;
        self.text("redis_prefix").clone_into(&mut config.prefix);
        Ok(Some(config))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    const POSTGRES: (&str, &str) = ("DATABASE_URL", "postgres://u:hunter2@h/d");

    fn servers(environment: &[(&str, &str)]) -> Servers {
        match load("", environment).unwrap().kept {
            Kept::OnServers(servers) => *servers,
            Kept::InFile => panic!("expected servers"),
        }
    }

    #[test]
    fn without_servers_it_is_a_file() {
        assert!(matches!(load("", &[]).unwrap().kept, Kept::InFile));
    }

    #[test]
    fn postgres_alone_and_with_redis() {
        let alone = servers(&[POSTGRES, ("POSTQ_PG_SCHEMA", "mine"), ("POSTQ_MIGRATE", "false")]);
        assert!(alone.redis.is_none() && !alone.postgres.migrate);
        assert_eq!(alone.postgres.schema, "mine");

        let both = servers(&[POSTGRES, ("REDIS_URL", "redis://h"), ("USE_PG_QUEUE", "true")]);
        assert!(both.redis.is_some() && both.use_pg_queue);
    }

    #[test]
    fn redis_in_parts() {
        let parts = [
            POSTGRES,
            ("REDIS_HOST", "cache.example"),
            ("REDIS_PORT", "6380"),
            ("REDIS_PASSWORD", "p@ss"),
            ("REDIS_DB", "3"),
            ("REDIS_TLS", "true"),
        ];
        let redis = servers(&parts).redis.unwrap();

        assert_eq!(redis.url.expose_secret(), "rediss://:p%40ss@cache.example:6380/3");
    }

    #[test]
    fn what_cannot_be_is_named_and_no_password_shown() {
        for (environment, expected) in [
            (
                vec![("REDIS_URL", "redis://:hunter2@h")],
                "REDIS_URL (environment): Redis runs beside",
            ),
            (vec![("REDIS_HOST", "h")], "REDIS_HOST (environment): Redis runs beside Postgres"),
            (
                vec![POSTGRES, ("REDIS_URL", "redis://:hunter2@h"), ("REDIS_HOST", "h")],
                "REDIS_HOST (environment): redis_url (REDIS_URL) is set too",
            ),
            (vec![POSTGRES, ("POSTQ_PG_CONNECTIONS", "0x")], "POSTQ_PG_CONNECTIONS"),
            (
                vec![POSTGRES, ("REDIS_HOST", "h"), ("REDIS_PORT", "66000")],
                "REDIS_PORT (environment): \"66000\" cannot be; expected a port",
            ),
        ] {
            let error = refused("", &environment);
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
