-- Takes back V11__options.sql.
ALTER TABLE evidence DROP COLUMN options;
