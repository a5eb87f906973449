-- What lies in a span of time: jobs by when they were planned for, publications by when they came out,
-- and the schedules that come more than once, whose occurrences go on from their next one. What a
-- schedule is stands first in its rule.
CREATE INDEX jobs_by_time ON jobs (tenant_id, planned_at, id) WHERE kind = 'publish';
CREATE INDEX published_by_time ON published_posts (tenant_id, published_at, id);
CREATE INDEX schedules_repeating ON schedules (next_run_at)
    WHERE enabled = 1 AND next_run_at IS NOT NULL AND substr(timing, 1, 18) <> '{"kind":"one_shot"';
