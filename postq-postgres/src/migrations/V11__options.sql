-- What else a platform was told of what was sent, as JSON. The way back: V11__options.back.sql.
ALTER TABLE evidence ADD COLUMN options text NOT NULL DEFAULT '{}';
