-- The way back: V8__connecting.back.sql.

-- Accounts that are just being connected: what is kept while a person is at the platform. `state` is a
-- hash; `sealed` holds the verifier.
CREATE TABLE connecting (
    state      bytea PRIMARY KEY,
    account_id uuid NOT NULL,
    key_id     text NOT NULL,
    sealed     bytea NOT NULL,
    kept_until timestamptz NOT NULL
);
