-- Files that were added, each under the SHA-256 of its content; `facts` is JSON. Which posts name which of
-- them: kept by triggers, so that whatever changes a post keeps it true; a post without media costs nothing.
-- What content is being taken away, and since when: meanwhile no file or upload of it is written down.
-- And how far uploads are, one for each file of each part that a publish job brings out; `state` is the
-- adapter's, `ready` the platform's answer. The way back: V10__media.back.sql.
CREATE TABLE media_files (
    tenant_id  uuid NOT NULL,
    id         bytea NOT NULL,
    entry      uuid NOT NULL,
    bytes      bigint NOT NULL,
    facts      text NOT NULL,
    name       text,
    alt        text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX media_files_by_content ON media_files (id);
CREATE INDEX media_files_by_entry ON media_files (tenant_id, entry);
CREATE INDEX media_files_by_age ON media_files (created_at);

CREATE TABLE media_uses (
    post_id   uuid NOT NULL,
    tenant_id uuid NOT NULL,
    media_id  bytea NOT NULL,
    PRIMARY KEY (post_id, media_id)
);
CREATE INDEX media_uses_by_file ON media_uses (tenant_id, media_id);

CREATE FUNCTION note_media_uses() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM media_uses WHERE post_id = OLD.id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO media_uses (post_id, tenant_id, media_id)
        SELECT DISTINCT NEW.id, NEW.tenant_id, decode(substr(m.source, 7), 'hex')
        FROM media m WHERE m.post_id = NEW.id AND m.source ~ '^media:[0-9a-f]{64}$';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER media_named AFTER INSERT ON posts
    FOR EACH ROW WHEN (NEW.has_media) EXECUTE FUNCTION note_media_uses();
CREATE TRIGGER media_named_anew AFTER UPDATE OF content ON posts
    FOR EACH ROW WHEN (OLD.has_media OR NEW.has_media) EXECUTE FUNCTION note_media_uses();
CREATE TRIGGER media_not_named AFTER DELETE ON posts
    FOR EACH ROW WHEN (OLD.has_media) EXECUTE FUNCTION note_media_uses();

CREATE TABLE media_claims (
    id    bytea PRIMARY KEY,
    since timestamptz NOT NULL
);

CREATE TABLE media_uploads (
    root       uuid NOT NULL,
    part       bigint NOT NULL,
    place      bigint NOT NULL,
    source     text NOT NULL,
    alt        text,
    media_id   bytea NOT NULL,
    original   bytea NOT NULL,
    state      text,
    ready      text,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (root, part, place)
);
CREATE INDEX media_uploads_by_content ON media_uploads (media_id);
CREATE INDEX media_uploads_by_original ON media_uploads (original);
CREATE INDEX media_uploads_by_age ON media_uploads (updated_at);
