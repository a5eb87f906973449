-- Endpoints that webhooks are delivered to. `events` is a JSON list; empty for everything. The `old_`
-- columns hold a secret that was replaced and signs until `old_until`.
CREATE TABLE webhooks (
    id          BLOB PRIMARY KEY NOT NULL,
    tenant_id   BLOB NOT NULL,
    url         TEXT NOT NULL,
    key_id      TEXT NOT NULL,
    sealed      BLOB NOT NULL,
    old_key_id  TEXT,
    old_sealed  BLOB,
    old_until   INTEGER,
    events      TEXT NOT NULL,
    paused_at   INTEGER,
    paused_why  TEXT,
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

-- The deliveries to an endpoint: other jobs cost nothing here.
CREATE INDEX jobs_by_webhook_lane ON jobs (lane, id) WHERE topic = 'webhook';
