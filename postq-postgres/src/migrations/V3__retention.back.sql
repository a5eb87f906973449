-- Takes back V3__retention.sql.
DROP INDEX ended_by_time, ended_resolved;
ALTER TABLE ended DROP COLUMN topic;
CREATE INDEX ended_by_time ON ended (finished_at, job_id) WHERE state <> 'dead_letter';
CREATE INDEX ended_resolved ON ended (finished_at, job_id) WHERE resolution IS NOT NULL;
DROP TABLE job_history;
