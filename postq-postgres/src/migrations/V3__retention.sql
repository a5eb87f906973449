-- Each topic keeps so many of its ended jobs: `topic` is a copy of the job's. The way back:
-- V3__retention.back.sql.
ALTER TABLE ended ADD COLUMN topic text COLLATE "C";
UPDATE ended e SET topic = j.topic FROM job j WHERE j.id = e.job_id;
-- A row whose job is gone is only there to be removed.
UPDATE ended SET topic = '' WHERE topic IS NULL;
ALTER TABLE ended ALTER COLUMN topic SET NOT NULL;
DROP INDEX ended_by_time, ended_resolved;
CREATE INDEX ended_by_time ON ended (topic, finished_at, job_id) WHERE state <> 'dead_letter';
CREATE INDEX ended_resolved ON ended (topic, finished_at, job_id) WHERE resolution IS NOT NULL;

-- What is kept of jobs that are cleaned up. `story` is JSON, kept as text.
CREATE TABLE job_history (
    job_id      uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    finished_at timestamptz NOT NULL,
    story       text NOT NULL
);
CREATE INDEX job_history_by_time ON job_history (finished_at);
