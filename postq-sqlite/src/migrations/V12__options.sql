-- What else a platform was told of what was sent, as JSON.
ALTER TABLE evidence ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
