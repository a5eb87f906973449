-- Takes back V1__start.sql: everything that it made, with all data.
DROP VIEW media, job_events, jobs;
DROP TABLE posts, accounts, blocks, schedules, lanes, job, planned, later, due, running, ended,
    old_trails, evidence, published_posts, metrics_snapshots, queue, dedupe_locks, buckets;
DROP SEQUENCE queue_fence;
