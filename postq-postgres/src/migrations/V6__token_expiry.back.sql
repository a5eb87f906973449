-- Takes back V6__token_expiry.sql.
ALTER TABLE accounts DROP COLUMN token_expires_at;
