-- Accounts that are just being connected: what is kept while a person is at the platform. `state` is a
-- hash; `sealed` holds the verifier.
CREATE TABLE connecting (
    state      BLOB PRIMARY KEY NOT NULL,
    account_id BLOB NOT NULL,
    key_id     TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    kept_until INTEGER NOT NULL
) STRICT;
