-- What else a platform was told of what was sent, and what it knows its media by, as JSON. The way back:
-- V11__options.back.sql.
ALTER TABLE evidence ADD COLUMN options text NOT NULL DEFAULT '{}';
ALTER TABLE evidence ADD COLUMN media text NOT NULL DEFAULT '[]';
