-- Takes back V11__options.sql.
ALTER TABLE evidence DROP COLUMN media;
ALTER TABLE evidence DROP COLUMN options;
