-- Takes back V5__nodes.sql.
DROP INDEX ended_by_end;
DROP TABLE nodes;
ALTER TABLE schedules DROP COLUMN correlation_id;
