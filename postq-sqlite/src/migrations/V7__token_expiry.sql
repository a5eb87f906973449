-- When an account's access token ends, where that is known.
ALTER TABLE accounts ADD COLUMN token_expires_at INTEGER;
