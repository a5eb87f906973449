-- What else a platform was told of what was sent, and what it knows its media by, as JSON.
ALTER TABLE evidence ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
ALTER TABLE evidence ADD COLUMN media TEXT NOT NULL DEFAULT '[]';
