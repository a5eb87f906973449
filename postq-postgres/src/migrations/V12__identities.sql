-- Which accounts are, or were, which identity of a platform. Kept by triggers, so that whatever changes an
-- account keeps it true; and for good: what a removed account has published is its identity's still. The way
-- back: V12__identities.back.sql.
CREATE TABLE identities (
    platform   text NOT NULL,
    remote_id  text NOT NULL,
    account_id uuid NOT NULL,
    PRIMARY KEY (platform, remote_id, account_id)
);

CREATE FUNCTION note_identity() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO identities (platform, remote_id, account_id)
    VALUES (NEW.platform, NEW.remote_id, NEW.id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER identity_known AFTER INSERT ON accounts
    FOR EACH ROW WHEN (NEW.remote_id IS NOT NULL) EXECUTE FUNCTION note_identity();
CREATE TRIGGER identity_known_later AFTER UPDATE OF remote_id ON accounts
    FOR EACH ROW WHEN (NEW.remote_id IS NOT NULL AND NEW.remote_id IS DISTINCT FROM OLD.remote_id)
    EXECUTE FUNCTION note_identity();

-- After the triggers, which wait for whoever is changing an account: nobody is missed.
INSERT INTO identities (platform, remote_id, account_id)
SELECT platform, remote_id, id FROM accounts WHERE remote_id IS NOT NULL ON CONFLICT DO NOTHING;
