-- When an account's access token ends, where that is known. The way back: V6__token_expiry.back.sql.
ALTER TABLE accounts ADD COLUMN token_expires_at timestamptz;
