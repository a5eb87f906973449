-- Each topic keeps so many of its ended jobs.
DROP INDEX jobs_ended;
DROP INDEX jobs_resolved;
CREATE INDEX jobs_ended ON jobs (topic, finished_at, id) WHERE state IN ('succeeded', 'cancelled');
CREATE INDEX jobs_resolved ON jobs (topic, finished_at, id) WHERE resolution IS NOT NULL;

-- What is kept of jobs that are cleaned up. `story` is JSON.
CREATE TABLE job_history (
    job_id      BLOB NOT NULL PRIMARY KEY,
    tenant_id   BLOB NOT NULL,
    finished_at INTEGER NOT NULL,
    story       TEXT NOT NULL
) STRICT;
CREATE INDEX job_history_by_time ON job_history (finished_at);
