-- Which accounts are, or were, which identity of a platform. Kept by triggers, so that whatever changes an
-- account keeps it true; and for good: what a removed account has published is its identity's still.
CREATE TABLE identities (
    platform   TEXT NOT NULL,
    remote_id  TEXT NOT NULL,
    account_id BLOB NOT NULL,
    PRIMARY KEY (platform, remote_id, account_id)
) STRICT, WITHOUT ROWID;

INSERT INTO identities (platform, remote_id, account_id)
SELECT platform, remote_id, id FROM accounts WHERE remote_id IS NOT NULL;

CREATE TRIGGER identity_known AFTER INSERT ON accounts
WHEN new.remote_id IS NOT NULL
BEGIN
    INSERT OR IGNORE INTO identities (platform, remote_id, account_id)
    VALUES (new.platform, new.remote_id, new.id);
END;

CREATE TRIGGER identity_known_later AFTER UPDATE OF remote_id ON accounts
WHEN new.remote_id IS NOT NULL AND new.remote_id IS NOT old.remote_id
BEGIN
    INSERT OR IGNORE INTO identities (platform, remote_id, account_id)
    VALUES (new.platform, new.remote_id, new.id);
END;
