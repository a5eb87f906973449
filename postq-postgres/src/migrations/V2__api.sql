-- The way back: V2__api.back.sql.

-- Who may use the API: the secret of a token is kept as a hash alone.
CREATE TABLE tokens (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    name       text NOT NULL,
    scope      text NOT NULL,
    hash       bytea NOT NULL,
    created_at timestamptz NOT NULL,
    used_at    timestamptz,
    revoked_at timestamptz
);
CREATE INDEX tokens_by_tenant ON tokens (tenant_id, id);

-- Requests that were made under a key, and what was answered. `begun_by` tells which call does the
-- request, for one whose answer was lost.
CREATE TABLE idempotency_keys (
    key          text COLLATE "C" PRIMARY KEY,
    fingerprint  bytea NOT NULL,
    id           uuid NOT NULL,
    begun_by     uuid NOT NULL,
    leased_until timestamptz NOT NULL,
    kept_until   timestamptz NOT NULL,
    status       integer,
    headers      text,
    body         bytea
);
CREATE INDEX idempotency_keys_by_end ON idempotency_keys (kept_until);

-- Which limiter all nodes use: one row. `number` rises with every switch.
CREATE TABLE limiter_mode (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    number   bigint NOT NULL,
    source   text NOT NULL,
    since    timestamptz NOT NULL
);
INSERT INTO limiter_mode (number, source, since) VALUES (0, 'fast', clock_timestamp());
