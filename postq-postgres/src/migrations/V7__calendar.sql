-- What lies in a span of time: jobs by when they were planned for, publications by when they came out,
-- and the schedules that come more than once, whose occurrences go on from their next one. What a
-- schedule is stands first in its rule. The way back: V7__calendar.back.sql.
CREATE INDEX job_by_time ON job (tenant_id, planned_at, id) WHERE kind = 'publish';
CREATE INDEX published_by_time ON published_posts (tenant_id, published_at, id);
CREATE INDEX schedules_repeating ON schedules (next_run_at)
    WHERE enabled AND left(timing, 18) <> '{"kind":"one_shot"';
