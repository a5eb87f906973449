-- Runs in one transaction with `search_path` set to the schema. The way back: V1__start.back.sql.
--
-- A job has one immutable row in `job` and one row in the table of its phase: `planned`, `later` (not due
-- yet), `due`, `running`, `ended`. A transition moves the second one; none is updated in place, so that
-- the hot tables stay narrow and small, whatever the backlog and the history. `trail` is the job's
-- history: JSON arrays [microseconds since 1970, from, to, fence, node, reason], comma-separated; it moves
-- along. The logical tables `jobs`, `job_events` and `media` are views. `content`, `timing`, `misfire`,
-- `payload`, `parts` and `counts` are JSON, kept as text: it comes back to the character.

CREATE TABLE posts (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    key        text COLLATE "C",
    content    text NOT NULL,
    has_media  boolean NOT NULL,
    revision   bigint NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (tenant_id, key)
);
CREATE INDEX posts_by_tenant ON posts (tenant_id, id);

CREATE TABLE accounts (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    name       text COLLATE "C" NOT NULL,
    platform   text NOT NULL,
    remote_id  text,
    on_unknown text NOT NULL,
    key_id     text,
    sealed     bytea,
    created_at timestamptz NOT NULL,
    UNIQUE (tenant_id, name)
);

-- After the end of an app's block that its platform had asked for, one job goes first (`asking`), and the
-- others wait for it until `asking_until`.
CREATE TABLE blocks (
    scope        text COLLATE "C" NOT NULL,
    reason       text NOT NULL,
    until        timestamptz,
    note         text NOT NULL,
    asking       uuid,
    asking_until timestamptz,
    PRIMARY KEY (scope, reason)
);
CREATE INDEX blocks_to_ask ON blocks (until)
    WHERE right(scope, 1) = '/' AND reason IN ('rate_limit', 'credits');
CREATE INDEX blocks_asking ON blocks (asking) WHERE asking IS NOT NULL;

-- `early` is true for posts with media, which are planned earlier: a copy of `posts.has_media`. Durations
-- are microseconds.
CREATE TABLE schedules (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    post_id     uuid NOT NULL,
    accounts    uuid[] NOT NULL,
    timing      text NOT NULL,
    tz          text,
    tzdb        text,
    priority    smallint NOT NULL,
    misfire     text NOT NULL,
    grace       bigint NOT NULL,
    enabled     boolean NOT NULL,
    problem     text,
    next_run_at timestamptz,
    last_run_at timestamptz,
    revision    bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    early       boolean NOT NULL
);
CREATE INDEX schedules_by_tenant ON schedules (tenant_id, id);
CREATE INDEX schedules_by_post ON schedules (post_id);
CREATE INDEX schedules_by_account ON schedules USING gin (accounts)
    WHERE enabled AND next_run_at IS NOT NULL;
CREATE INDEX schedules_due ON schedules (next_run_at) WHERE enabled AND NOT early;
CREATE INDEX schedules_due_early ON schedules (next_run_at) WHERE enabled AND early;

-- The lanes of each topic, with what a claim needs to choose among them: how many of its jobs run, the
-- first of its due jobs (`head_*`), and the end of its block. Whoever changes what waits in a lane locks
-- its row and computes the head again. `free` marks the one row of a topic for the jobs without a lane:
-- it only lends its id and is never locked.
CREATE TABLE lanes (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic           text COLLATE "C" NOT NULL,
    free            boolean NOT NULL,
    name            text COLLATE "C" NOT NULL,
    running         integer NOT NULL DEFAULT 0,
    head            uuid,
    head_rank       integer,
    head_planned_at timestamptz,
    head_run_at     timestamptz,
    blocked_until   timestamptz,
    UNIQUE (topic, free, name)
) WITH (fillfactor = 50);
CREATE INDEX lanes_by_name ON lanes (name) WHERE NOT free;
CREATE INDEX lanes_heads ON lanes (topic, head_rank, head_planned_at, head)
    WHERE head IS NOT NULL AND blocked_until IS NULL;
CREATE INDEX lanes_blocked ON lanes (topic, blocked_until) WHERE blocked_until IS NOT NULL;

-- What a job was made from. `lane_id`, `priority` and `planned_at` find its row in `due`.
CREATE TABLE job (
    id             uuid PRIMARY KEY,
    tenant_id      uuid NOT NULL,
    kind           text NOT NULL,
    topic          text COLLATE "C" NOT NULL,
    lane           text COLLATE "C",
    lane_id        bigint NOT NULL,
    priority       smallint NOT NULL,
    planned_at     timestamptz NOT NULL,
    max_attempts   bigint NOT NULL,
    dedupe_key     text COLLATE "C",
    schedule_id    uuid,
    post_id        uuid,
    account_id     uuid,
    correlation_id text NOT NULL,
    payload        text,
    root           uuid NOT NULL,
    replay_of      uuid
);
CREATE UNIQUE INDEX job_dedupe_key ON job (dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX job_by_schedule ON job (schedule_id) WHERE schedule_id IS NOT NULL;
CREATE INDEX job_by_post ON job (post_id) WHERE post_id IS NOT NULL;
CREATE INDEX job_by_account ON job (account_id, id) WHERE account_id IS NOT NULL;
CREATE INDEX job_by_root ON job (root) WHERE replay_of IS NOT NULL;

CREATE TABLE planned (
    job_id      uuid PRIMARY KEY,
    run_at      timestamptz NOT NULL,
    schedule_id uuid,
    trail       text NOT NULL
);

-- The waiting jobs: `enqueued` or `failed`. `rank` is minus the priority. One that becomes due moves from
-- `later` to `due` once, so that a claim never walks through the future. Neither's rows are ever updated in
-- place, so claims may take them by where they are (`ctid`).
CREATE TABLE later (
    job_id      uuid PRIMARY KEY,
    topic       text COLLATE "C" NOT NULL,
    run_at      timestamptz NOT NULL,
    lane_id     bigint NOT NULL,
    rank        integer NOT NULL,
    planned_at  timestamptz NOT NULL,
    schedule_id uuid,
    state       text NOT NULL,
    fence       bigint NOT NULL,
    attempt     bigint NOT NULL,
    slot        timestamptz,
    reason      text,
    enqueued_at timestamptz,
    started_at  timestamptz,
    settled     bytea,
    trail       text NOT NULL
);
CREATE INDEX later_by_time ON later (topic, run_at, job_id);
CREATE INDEX later_failed ON later (job_id) WHERE state = 'failed';

CREATE TABLE due (
    lane_id     bigint NOT NULL,
    rank        integer NOT NULL,
    planned_at  timestamptz NOT NULL,
    job_id      uuid NOT NULL,
    run_at      timestamptz NOT NULL,
    schedule_id uuid,
    state       text NOT NULL,
    fence       bigint NOT NULL,
    attempt     bigint NOT NULL,
    slot        timestamptz,
    reason      text,
    enqueued_at timestamptz,
    started_at  timestamptz,
    settled     bytea,
    trail       text NOT NULL,
    PRIMARY KEY (lane_id, rank, planned_at, job_id)
);

-- Leases are renewed in place: no index on their end, so that a renewal touches none; the table is as
-- small as what runs. `claim` tells which call took the job, for one whose answer was lost.
CREATE TABLE running (
    job_id      uuid PRIMARY KEY,
    lane_id     bigint NOT NULL,
    run_at      timestamptz NOT NULL,
    fence       bigint NOT NULL,
    attempt     bigint NOT NULL,
    slot        timestamptz,
    reason      text,
    enqueued_at timestamptz,
    started_at  timestamptz NOT NULL,
    node        uuid NOT NULL,
    lease_until timestamptz NOT NULL,
    claim       uuid NOT NULL,
    trail       text NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE ended (
    job_id      uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    state       text NOT NULL,
    run_at      timestamptz NOT NULL,
    fence       bigint NOT NULL,
    attempt     bigint NOT NULL,
    slot        timestamptz,
    reason      text,
    dead_reason text,
    resolution  text,
    replayed_by uuid,
    enqueued_at timestamptz,
    started_at  timestamptz,
    finished_at timestamptz NOT NULL,
    settled     bytea,
    trail       text NOT NULL
);
CREATE INDEX ended_by_state ON ended (tenant_id, state, job_id);
CREATE INDEX ended_by_time ON ended (finished_at, job_id) WHERE state <> 'dead_letter';
CREATE INDEX ended_resolved ON ended (finished_at, job_id) WHERE resolution IS NOT NULL;

-- What no longer fits into a trail, oldest first.
CREATE TABLE old_trails (
    job_id uuid NOT NULL,
    n      bigint GENERATED ALWAYS AS IDENTITY,
    trail  text NOT NULL,
    PRIMARY KEY (job_id, n)
);

CREATE VIEW jobs AS
    SELECT j.id, j.tenant_id, j.kind, j.topic, j.lane, j.lane_id, j.priority, j.planned_at,
           j.max_attempts, j.dedupe_key, j.schedule_id, j.post_id, j.account_id, j.correlation_id,
           j.payload, j.root, j.replay_of, 'planned'::text AS phase, 'planned'::text AS state,
           0::bigint AS fence, 0::bigint AS attempt, p.run_at, NULL::timestamptz AS slot,
           NULL::text AS reason, NULL::text AS dead_reason, NULL::text AS resolution,
           NULL::uuid AS replayed_by, NULL::uuid AS node, NULL::timestamptz AS enqueued_at,
           NULL::timestamptz AS started_at, NULL::timestamptz AS finished_at, NULL::bytea AS settled,
           p.trail
    FROM job j JOIN planned p ON p.job_id = j.id
    UNION ALL
    SELECT j.id, j.tenant_id, j.kind, j.topic, j.lane, j.lane_id, j.priority, j.planned_at,
           j.max_attempts, j.dedupe_key, j.schedule_id, j.post_id, j.account_id, j.correlation_id,
           j.payload, j.root, j.replay_of, 'later', w.state, w.fence, w.attempt, w.run_at, w.slot,
           w.reason, NULL, NULL, NULL, NULL, w.enqueued_at, w.started_at, NULL, w.settled, w.trail
    FROM job j JOIN later w ON w.job_id = j.id
    UNION ALL
    SELECT j.id, j.tenant_id, j.kind, j.topic, j.lane, j.lane_id, j.priority, j.planned_at,
           j.max_attempts, j.dedupe_key, j.schedule_id, j.post_id, j.account_id, j.correlation_id,
           j.payload, j.root, j.replay_of, 'due', d.state, d.fence, d.attempt, d.run_at, d.slot,
           d.reason, NULL, NULL, NULL, NULL, d.enqueued_at, d.started_at, NULL, d.settled, d.trail
    FROM job j JOIN due d ON d.lane_id = j.lane_id AND d.rank = -(j.priority::integer)
        AND d.planned_at = j.planned_at AND d.job_id = j.id
    UNION ALL
    SELECT j.id, j.tenant_id, j.kind, j.topic, j.lane, j.lane_id, j.priority, j.planned_at,
           j.max_attempts, j.dedupe_key, j.schedule_id, j.post_id, j.account_id, j.correlation_id,
           j.payload, j.root, j.replay_of, 'running', 'running', r.fence, r.attempt, r.run_at, r.slot,
           r.reason, NULL, NULL, NULL, r.node, r.enqueued_at, r.started_at, NULL, NULL, r.trail
    FROM job j JOIN running r ON r.job_id = j.id
    UNION ALL
    SELECT j.id, j.tenant_id, j.kind, j.topic, j.lane, j.lane_id, j.priority, j.planned_at,
           j.max_attempts, j.dedupe_key, j.schedule_id, j.post_id, j.account_id, j.correlation_id,
           j.payload, j.root, j.replay_of, 'ended', e.state, e.fence, e.attempt, e.run_at, e.slot,
           e.reason, e.dead_reason, e.resolution, e.replayed_by, NULL, e.enqueued_at, e.started_at,
           e.finished_at, e.settled, e.trail
    FROM job j JOIN ended e ON e.job_id = j.id;

CREATE VIEW job_events AS
    SELECT job_id, row_number() OVER (PARTITION BY job_id ORDER BY n, place) AS seq,
           timestamptz 'epoch' + (event ->> 0)::bigint * interval '1 microsecond' AS at,
           event ->> 1 AS from_state, event ->> 2 AS to_state, (event ->> 3)::bigint AS fence,
           (event ->> 4)::uuid AS node, event ->> 5 AS reason
    FROM (SELECT job_id, n, trail FROM old_trails
          UNION ALL SELECT id, 9223372036854775807, trail FROM jobs) AS trails
    CROSS JOIN LATERAL json_array_elements(('[' || trail || ']')::json)
        WITH ORDINALITY AS events (event, place);

-- What was sent and what is out, per part of a line of replays: the last intent, how it stands, and the
-- receipt (`remote_id` and on). A row with a receipt is kept for good.
CREATE TABLE evidence (
    root         uuid NOT NULL,
    part         integer NOT NULL,
    account_id   uuid,
    job_id       uuid,
    fence        bigint,
    key          text,
    text         text,
    reply_to     text,
    container    text,
    revision     bigint,
    made_at      timestamptz,
    state        text NOT NULL,
    looks        bigint NOT NULL DEFAULT 0,
    absent_looks bigint NOT NULL DEFAULT 0,
    duplicate    boolean NOT NULL DEFAULT false,
    remote_id    text COLLATE "C",
    url          text,
    published_at timestamptz,
    dry_run      boolean NOT NULL DEFAULT false,
    PRIMARY KEY (root, part)
);
CREATE INDEX evidence_by_remote_id ON evidence (account_id, remote_id) WHERE remote_id IS NOT NULL;
CREATE INDEX evidence_open ON evidence (account_id) WHERE state = 'open' AND remote_id IS NULL;
CREATE INDEX evidence_by_time ON evidence (account_id, published_at) WHERE remote_id IS NOT NULL;

CREATE TABLE published_posts (
    id           uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL,
    job_id       uuid NOT NULL UNIQUE,
    post_id      uuid NOT NULL,
    account_id   uuid NOT NULL,
    dedupe_key   text COLLATE "C" UNIQUE,
    remote_id    text COLLATE "C" NOT NULL,
    url          text,
    published_at timestamptz NOT NULL,
    parts        text NOT NULL,
    UNIQUE (account_id, remote_id)
);
CREATE INDEX published_by_tenant ON published_posts (tenant_id, id);
CREATE INDEX published_by_post ON published_posts (post_id);

CREATE TABLE metrics_snapshots (
    publication_id uuid NOT NULL,
    at             timestamptz NOT NULL,
    counts         text NOT NULL,
    PRIMARY KEY (publication_id, at)
);

-- The media that posts name; `variant` is the platform whose own parts they are in.
CREATE VIEW media AS
    SELECT p.id AS post_id, v.variant, part.n - 1 AS part, item.n - 1 AS place,
           item.media ->> 'source' AS source, item.media ->> 'alt' AS alt
    FROM posts p
    CROSS JOIN LATERAL (
        SELECT NULL::text AS variant, p.content::json -> 'parts' AS parts
        UNION ALL SELECT key, value FROM json_each(p.content::json -> 'variants')) AS v
    CROSS JOIN LATERAL json_array_elements(v.parts) WITH ORDINALITY AS part (body, n)
    CROSS JOIN LATERAL json_array_elements(part.body -> 'media') WITH ORDINALITY AS item (media, n)
    WHERE p.has_media;

-- The queue, for compositions that want one beside the store. `free_at` is when a job can be given out:
-- its `run_at`, or the end of its lease; then it becomes `ready`, once.
CREATE TABLE queue (
    topic   text COLLATE "C" NOT NULL,
    job_id  uuid NOT NULL,
    lane    text COLLATE "C",
    rank    integer NOT NULL,
    run_at  timestamptz NOT NULL,
    ready   boolean NOT NULL,
    leased  boolean NOT NULL,
    free_at timestamptz NOT NULL,
    fence   bigint NOT NULL,
    PRIMARY KEY (topic, job_id)
);
CREATE INDEX queue_ready ON queue (topic, rank, run_at, job_id) WHERE ready;
CREATE INDEX queue_waiting ON queue (topic, free_at) WHERE NOT ready;
CREATE SEQUENCE queue_fence;

CREATE TABLE dedupe_locks (
    key   text COLLATE "C" PRIMARY KEY,
    token text NOT NULL,
    until timestamptz NOT NULL
);
CREATE INDEX dedupe_locks_by_end ON dedupe_locks (until);

CREATE TABLE buckets (
    key       text COLLATE "C" PRIMARY KEY,
    tat       timestamptz NOT NULL,
    remaining bigint,
    resets_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What is deleted as fast as it is inserted must be vacuumed by count, not by share.
ALTER TABLE planned SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
ALTER TABLE later SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
ALTER TABLE due SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE running SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE lanes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE queue SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
