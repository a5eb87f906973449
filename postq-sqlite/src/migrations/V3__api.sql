-- Who may use the API: the secret of a token is kept as a hash alone.
CREATE TABLE tokens (
    id          BLOB PRIMARY KEY NOT NULL,
    tenant_id   BLOB NOT NULL,
    name        TEXT NOT NULL,
    scope       TEXT NOT NULL,
    hash        BLOB NOT NULL,
    created_at  INTEGER NOT NULL,
    used_at     INTEGER,
    revoked_at  INTEGER
) STRICT, WITHOUT ROWID;

-- Requests that were made under a key, and what was answered.
CREATE TABLE idempotency_keys (
    key           TEXT PRIMARY KEY NOT NULL,
    fingerprint   BLOB NOT NULL,
    id            BLOB NOT NULL,
    leased_until  INTEGER NOT NULL,
    kept_until    INTEGER NOT NULL,
    status        INTEGER,
    headers       TEXT,
    body          BLOB
) STRICT;

CREATE INDEX idempotency_keys_by_end ON idempotency_keys (kept_until);
