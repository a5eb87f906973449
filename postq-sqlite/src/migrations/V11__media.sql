-- Files that were added, each under the SHA-256 of its content. `facts` is JSON.
CREATE TABLE media_files (
    tenant_id  BLOB NOT NULL,
    id         BLOB NOT NULL,
    entry      BLOB NOT NULL,
    bytes      INTEGER NOT NULL,
    facts      TEXT NOT NULL,
    name       TEXT,
    alt        TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX media_files_by_content ON media_files (id);
CREATE INDEX media_files_by_entry ON media_files (tenant_id, entry);
CREATE INDEX media_files_by_age ON media_files (created_at);

-- Which posts name which files. Kept by triggers, so that whatever changes a post keeps it true; a post
-- that names none costs one look for a word in its text.
CREATE TABLE media_uses (
    post_id   BLOB NOT NULL,
    tenant_id BLOB NOT NULL,
    media_id  BLOB NOT NULL,
    PRIMARY KEY (post_id, media_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX media_uses_by_file ON media_uses (tenant_id, media_id);

CREATE TRIGGER media_named AFTER INSERT ON posts
WHEN new.has_media AND instr(new.content, '"media:') > 0
BEGIN
    INSERT OR IGNORE INTO media_uses (post_id, tenant_id, media_id)
    SELECT new.id, new.tenant_id, unhex(substr(value, 7)) FROM json_tree(new.content)
    WHERE json_tree.key = 'source' AND type = 'text' AND value GLOB 'media:*'
        AND unhex(substr(value, 7)) IS NOT NULL;
END;

CREATE TRIGGER media_named_anew AFTER UPDATE OF content ON posts
WHEN old.content <> new.content
BEGIN
    DELETE FROM media_uses WHERE post_id = old.id;
    INSERT OR IGNORE INTO media_uses (post_id, tenant_id, media_id)
    SELECT new.id, new.tenant_id, unhex(substr(value, 7)) FROM json_tree(new.content)
    WHERE instr(new.content, '"media:') > 0
        AND json_tree.key = 'source' AND type = 'text' AND value GLOB 'media:*'
        AND unhex(substr(value, 7)) IS NOT NULL;
END;

CREATE TRIGGER media_not_named AFTER DELETE ON posts
WHEN old.has_media
BEGIN
    DELETE FROM media_uses WHERE post_id = old.id;
END;

-- Content that is being taken away, and since when: meanwhile no file or upload of it is written down.
CREATE TABLE media_claims (
    id    BLOB PRIMARY KEY,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far uploads are, one for each file of each part that a publish job brings out. `state` is the
-- adapter's, `ready` the platform's answer; both are JSON.
CREATE TABLE media_uploads (
    root       BLOB NOT NULL,
    part       INTEGER NOT NULL,
    place      INTEGER NOT NULL,
    source     TEXT NOT NULL,
    alt        TEXT,
    media_id   BLOB NOT NULL,
    original   BLOB NOT NULL,
    state      TEXT,
    ready      TEXT,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (root, part, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX media_uploads_by_content ON media_uploads (media_id);
CREATE INDEX media_uploads_by_original ON media_uploads (original);
CREATE INDEX media_uploads_by_age ON media_uploads (updated_at);
