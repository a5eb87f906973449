-- The way back: V4__webhooks.back.sql.

-- Endpoints that webhooks are delivered to. `events` is a JSON list, kept as text; empty for everything.
-- The `old_` columns hold a secret that was replaced and signs until `old_until`.
CREATE TABLE webhooks (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    url        text NOT NULL,
    key_id     text NOT NULL,
    sealed     bytea NOT NULL,
    old_key_id text,
    old_sealed bytea,
    old_until  timestamptz,
    events     text NOT NULL,
    paused_at  timestamptz,
    paused_why text,
    version    bigint NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX webhooks_by_tenant ON webhooks (tenant_id, id);

-- The deliveries to an endpoint: other jobs cost nothing here.
CREATE INDEX job_by_webhook_lane ON job (lane, id) WHERE topic = 'webhook';
