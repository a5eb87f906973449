-- Takes back V2__api.sql: everything that it made, with all data.
DROP TABLE tokens, idempotency_keys, limiter_mode;
