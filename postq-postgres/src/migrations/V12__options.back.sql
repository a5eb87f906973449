-- Takes back V12__options.sql.
ALTER TABLE evidence DROP COLUMN options;
