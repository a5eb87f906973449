//! The table of everything that can be set.

/// One thing that can be set.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its name in the file.
    pub(crate) key: &'static str,
    /// Its name in the environment.
    pub(crate) env: &'static str,
    /// What it is where nobody sets it; empty for nothing.
    pub(crate) default: &'static str,
    /// Whether it is never shown.
    pub(crate) secret: bool,
    /// What it does.
    pub(crate) doc: &'static str,
}

const fn setting(
    key: &'static str,
    env: &'static str,
    default: &'static str,
    doc: &'static str,
) -> Setting {
    Setting { key, env, default, secret: false, doc }
}

const fn secret(key: &'static str, env: &'static str, doc: &'static str) -> Setting {
    Setting { key, env, default: "", secret: true, doc }
}

/// Every setting.
#[rustfmt::skip]
pub(crate) const SETTINGS: &[Setting] = &[
    setting("data_dir", "POSTQ_DATA_DIR", "./postq-data", "the folder of the database and the key file"),
    setting("listen", "POSTQ_LISTEN", "127.0.0.1:8484", "where `postqd serve` answers; beyond loopback it needs a token: `postqd token create`"),
    setting("allowed_hosts", "POSTQ_ALLOWED_HOSTS", "", "host names by which the API may be asked besides localhost and addresses, with commas between"),
    setting("allowed_origins", "POSTQ_ALLOWED_ORIGINS", "", "origins whose pages may use the API, as https://app.example.com, with commas between"),
    setting("requests_per_second", "POSTQ_REQUESTS_PER_SECOND", "50", "requests to the API that one token may make; twice as many at once"),
    setting("metrics_open", "POSTQ_METRICS_OPEN", "off", "on: /metrics needs no token wherever it is asked from; else it needs one but from this host itself"),
    secret("encryption_key", "POSTQ_ENCRYPTION_KEY", "seals the accounts' credentials: 32 bytes in hex or base64; without it the file `key` in the data folder"),
    secret("encryption_keys_old", "POSTQ_ENCRYPTION_KEYS_OLD", "keys that seal nothing more and still open, with commas between; `postqd vault rotate` makes them needless"),
    secret("database_url", "DATABASE_URL", "Postgres, shared by any number of nodes: postgres://user:password@host:5432/database; without it a SQLite file in the data folder"),
    setting("pg_schema", "POSTQ_PG_SCHEMA", "postq", "the schema in Postgres that everything is kept in"),
    setting("pg_connections", "POSTQ_PG_CONNECTIONS", "10", "connections to Postgres for the work; three more renew, wake and listen"),
    setting("pg_pooler", "POSTQ_PG_POOLER", "off", "on: database_url leads to a pooler in transaction mode (PgBouncer)"),
    secret("pg_listen_url", "POSTQ_PG_LISTEN_URL", "Postgres itself, where database_url is a pooler: there it listens for wake-ups"),
    setting("migrate", "POSTQ_MIGRATE", "on", "off: the schema in Postgres is brought up to date only by `postqd migrate`"),
    secret("redis_url", "REDIS_URL", "Redis beside Postgres: redis://user:password@host:6379/0, with TLS rediss://; its nodes take queue, lock and limits from it"),
    setting("redis_host", "REDIS_HOST", "", "the same in parts: the host"),
    setting("redis_port", "REDIS_PORT", "6379", "its port"),
    setting("redis_username", "REDIS_USERNAME", "", "the user; without one, the server's default"),
    secret("redis_password", "REDIS_PASSWORD", "the password"),
    setting("redis_db", "REDIS_DB", "0", "the number of the database"),
    setting("redis_tls", "REDIS_TLS", "off", "on: with TLS"),
    setting("redis_cluster", "POSTQ_REDIS_CLUSTER", "off", "on: Redis is a cluster"),
    setting("redis_prefix", "POSTQ_REDIS_PREFIX", "postq", "what all keys in Redis begin with"),
    setting("use_pg_queue", "USE_PG_QUEUE", "off", "on: the queue stays in Postgres although Redis is there"),
    setting("roles", "POSTQ_ROLES", "planner,worker,web", "what `postqd serve` does here; without web it answers probes alone"),
    setting("topics", "POSTQ_TOPICS", "", "what workers work on here, and how many at once, as publish:8,notify:2; without it publish with concurrency, media, notify, webhook, token and metrics"),
    setting("dry_run", "DRY_RUN", "false", "true: every account is a dry run, nothing is sent"),
    setting("x_api_base_url", "X_API_BASE_URL", "https://api.x.com/2", "where X's API is"),
    setting("x_api_tier", "X_API_TIER", "free", "what the app has paid for: free, basic, pro or enterprise"),
    setting("x_tweet_fields", "X_TWEET_FIELDS", "auto", "what posts are asked for: auto, tweet or post (by which names), and public_metrics, non_public_metrics or organic_metrics (which counts; the first two without any), with commas between"),
    setting("x_client_id", "X_CLIENT_ID", "", "the id of the app at X through which accounts are connected and their tokens renewed"),
    secret("x_client_secret", "X_CLIENT_SECRET", "its secret, if it is a confidential client"),
    setting("x_redirect_uri", "X_REDIRECT_URI", "", "where X sends people back to, as it is set for the app: this server's address and /api/accounts/callback/x"),
    setting("x_authorize_url", "X_AUTHORIZE_URL", "https://x.com/i/oauth2/authorize", "where people agree"),
    setting("prices", "POSTQ_PRICES", "", "what calls cost where a platform bills by the call, as x:publish=0.015,x:publish_link=0.20,x:read=0.001,currency=USD"),
    setting("budget", "POSTQ_BUDGET", "", "how much of it may be spent in a month; needs prices"),
    setting("budget_stops", "POSTQ_BUDGET_STOPS", "reading", "what stops when the budget is used up: reading (of metrics; posts go on) or everything"),
    setting("settle_time", "POSTQ_SETTLE_TIME", "5m", "how long after a call its post may still become visible; less than 5m only for a base URL on loopback"),
    setting("rate_limit", "POSTQ_RATE_LIMIT", "on", "off: no limits are kept; only for a base URL on loopback"),
    setting("min_interval", "POSTQ_MIN_INTERVAL", "60s", "a repeating post may not come more often"),
    setting("misfire_grace", "POSTQ_MISFIRE_GRACE", "5m", "a post that is late by at most this is not missed"),
    setting("look_ahead", "POSTQ_LOOK_AHEAD", "60s", "occurrences become jobs so long before they are due"),
    setting("prepare_ahead", "POSTQ_PREPARE_AHEAD", "60m", "the same for posts with media"),
    setting("send_timeout", "POSTQ_SEND_TIMEOUT", "30s", "the longest that one call to a platform may take"),
    setting("lease", "POSTQ_LEASE", "60s", "a job whose worker is gone goes to another one after so long"),
    setting("concurrency", "POSTQ_CONCURRENCY", "512", "attempts to publish that run at once"),
    setting("max_attempts", "POSTQ_MAX_ATTEMPTS", "5", "attempts allowed to a job"),
    setting("time_limit", "POSTQ_TIME_LIMIT", "300s", "an attempt is given up after so long"),
    setting("grace_period", "POSTQ_GRACE_PERIOD", "35s", "on shutdown, running attempts have so long to finish"),
    setting("keep_ended", "POSTQ_KEEP_ENDED", "24h", "ended jobs are kept so long"),
    setting("keep_last", "POSTQ_KEEP_LAST", "100", "and of each topic so many, whatever their age"),
    setting("keep_resolved", "POSTQ_KEEP_RESOLVED", "7d", "resolved dead letters are kept so long; unresolved ones always"),
    setting("keep_last_resolved", "POSTQ_KEEP_LAST_RESOLVED", "50", "and of each topic so many, whatever their age"),
    setting("keep_history", "POSTQ_KEEP_HISTORY", "90d", "the history of a job is kept so long from its end on; 0s: only with the job"),
    setting("media_keep", "POSTQ_MEDIA_KEEP", "30d", "a picture or video that no post names is kept so long"),
    setting("media_keep_place", "POSTQ_MEDIA_KEEP_PLACE", "off", "on: what tells where a picture or video was taken stays in what is published"),
    setting("media_bucket", "POSTQ_MEDIA_BUCKET", "", "the S3 bucket that media are kept in, where several nodes share a store; without it the folder `media` in the data folder"),
    setting("media_bucket_region", "POSTQ_MEDIA_BUCKET_REGION", "", "its region; us-east-1 without one"),
    setting("media_bucket_endpoint", "POSTQ_MEDIA_BUCKET_ENDPOINT", "", "the address of an S3 server that is not Amazon's, as https://s3.example.com"),
    setting("media_bucket_prefix", "POSTQ_MEDIA_BUCKET_PREFIX", "", "what all names in the bucket begin with"),
    setting("media_bucket_key_id", "POSTQ_MEDIA_BUCKET_KEY_ID", "", "the id of the key to the bucket"),
    secret("media_bucket_key", "POSTQ_MEDIA_BUCKET_KEY", "the key to the bucket"),
    setting("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "", "where traces go, by OTLP over HTTP, as http://127.0.0.1:4318; only in a build with the feature otel"),
    setting("log_level", "LOG_LEVEL", "info", "error, warn, info, debug or trace, or a list as postq_engine=debug,info"),
    setting("public_url", "POSTQ_PUBLIC_URL", "", "the address by which people reach this postq, as https://postq.example.com: notices link below it, and platforms that fetch pictures and videos themselves find them there"),
    secret("notify_webhook_url", "POSTQ_NOTIFY_WEBHOOK_URL", "notices are posted there as JSON"),
    secret("notify_webhook_secret", "POSTQ_NOTIFY_WEBHOOK_SECRET", "and signed with this, as Standard Webhooks are: whsec_ and 24 to 64 bytes in base64"),
    secret("notify_slack_url", "POSTQ_NOTIFY_SLACK_URL", "notices are posted to this incoming webhook of Slack, Mattermost or another that takes the same"),
    secret("smtp_url", "POSTQ_SMTP_URL", "notices are mailed by this server: smtps://user:password@host:465 with TLS, smtp://user:password@host:587 with STARTTLS"),
    setting("notify_from", "POSTQ_NOTIFY_FROM", "", "whom the mails are from, as postq <postq@example.com>"),
    setting("notify_to", "POSTQ_NOTIFY_TO", "", "to whom they go, with commas between"),
    setting("outbound_allow", "POSTQ_OUTBOUND_ALLOW", "", "what is called although it is not on the open internet, where a URL that somebody gave leads to it: names, addresses, ranges, as hooks.lan, chat.lan:8065, 10.1.0.0/16"),
    secret("x_webhook_secret", "X_WEBHOOK_SECRET", "the consumer secret of the app at X, which signs what X sends to /api/incoming/x; without it nothing is taken there"),
    setting("server", "POSTQ_SERVER", "", "the daemon that the commands ask instead of this machine's store, as https://postq.example.com"),
    secret("token", "POSTQ_TOKEN", "the token that the commands ask it with, of `postqd token create`"),
    setting("environment", "ENVIRONMENT", "development", "production: logs are JSON"),
];
