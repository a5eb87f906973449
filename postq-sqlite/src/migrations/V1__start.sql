-- Times are microseconds since the epoch (UTC), ids the 16 bytes of a UUID, words those of the Rust
-- types. "posq" tells this file from other programs' databases.
PRAGMA application_id = 0x706f7371;

-- What the file knows of itself: the boot that its leases belong to.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE posts (
    id         BLOB NOT NULL PRIMARY KEY,
    tenant_id  BLOB NOT NULL,
    key        TEXT,
    content    TEXT NOT NULL,
    has_media  INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (tenant_id, key)
) STRICT;
CREATE INDEX posts_by_tenant ON posts (tenant_id, id);

CREATE TABLE accounts (
    id         BLOB NOT NULL PRIMARY KEY,
    tenant_id  BLOB NOT NULL,
    name       TEXT NOT NULL,
    platform   TEXT NOT NULL,
    remote_id  TEXT,
    on_unknown TEXT NOT NULL,
    key_id     TEXT,
    sealed     BLOB,
    created_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;

CREATE TABLE blocks (
    scope      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    until      INTEGER,
    note       TEXT NOT NULL,
    PRIMARY KEY (scope, reason)
) STRICT, WITHOUT ROWID;

-- `early` is 1 for posts with media, which are planned earlier: a copy of `posts.has_media`.
CREATE TABLE schedules (
    id          BLOB NOT NULL PRIMARY KEY,
    tenant_id   BLOB NOT NULL,
    post_id     BLOB NOT NULL,
    accounts    TEXT NOT NULL,
    timing      TEXT NOT NULL,
    tz          TEXT,
    tzdb        TEXT,
    priority    INTEGER NOT NULL,
    misfire     TEXT NOT NULL,
    grace       INTEGER NOT NULL,
    enabled     INTEGER NOT NULL,
    problem     TEXT,
    next_run_at INTEGER,
    last_run_at INTEGER,
    revision    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    early       INTEGER NOT NULL
) STRICT;
CREATE INDEX schedules_by_tenant ON schedules (tenant_id, id);
CREATE INDEX schedules_by_post ON schedules (post_id);
CREATE INDEX schedules_due ON schedules (early, next_run_at)
    WHERE enabled = 1 AND next_run_at IS NOT NULL;

-- The lanes of each topic, with what a claim needs to choose among them: how many of its jobs run,
-- the first of its due jobs (`head_*`), when the next one becomes due, and the end of its block.
-- `free` marks the one row of a topic that holds the jobs without a lane: neither width nor blocks
-- apply to it. The head columns are a cache, refreshed with every change.
CREATE TABLE lanes (
    id              INTEGER PRIMARY KEY,
    topic           TEXT NOT NULL,
    free            INTEGER NOT NULL,
    name            TEXT NOT NULL,
    running         INTEGER NOT NULL DEFAULT 0,
    head            BLOB,
    head_rank       INTEGER,
    head_planned_at INTEGER,
    head_run_at     INTEGER,
    next_run_at     INTEGER,
    blocked_until   INTEGER,
    UNIQUE (topic, free, name)
) STRICT;
CREATE INDEX lanes_by_name ON lanes (name) WHERE free = 0;
CREATE INDEX lanes_heads ON lanes (topic, head_rank, head_planned_at, head)
    WHERE head IS NOT NULL AND blocked_until IS NULL;
CREATE INDEX lanes_next ON lanes (topic, next_run_at)
    WHERE next_run_at IS NOT NULL AND blocked_until IS NULL;
CREATE INDEX lanes_blocked ON lanes (topic, blocked_until)
    WHERE blocked_until IS NOT NULL;

-- A claimable job (`enqueued` or `failed`) is in exactly one of these two. It enters `later` when
-- it is not due yet and moves to `due` once, by the first claim that could take it; so neither a
-- long future nor a long row of waiting jobs is ever walked through. `rank` is minus the priority.
CREATE TABLE due (
    lane_id     INTEGER NOT NULL,
    rank        INTEGER NOT NULL,
    planned_at  INTEGER NOT NULL,
    job_id      BLOB NOT NULL,
    run_at      INTEGER NOT NULL,
    schedule_id BLOB,
    PRIMARY KEY (lane_id, rank, planned_at, job_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE later (
    lane_id     INTEGER NOT NULL,
    run_at      INTEGER NOT NULL,
    job_id      BLOB NOT NULL,
    rank        INTEGER NOT NULL,
    planned_at  INTEGER NOT NULL,
    schedule_id BLOB,
    PRIMARY KEY (lane_id, run_at, job_id)
) STRICT, WITHOUT ROWID;

-- Running jobs. `ends_at` is in milliseconds since boot, so that no step of the wall clock moves it.
CREATE TABLE leases (
    job_id  BLOB NOT NULL PRIMARY KEY,
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX leases_by_end ON leases (ends_at);

CREATE TABLE jobs (
    id             BLOB NOT NULL PRIMARY KEY,
    tenant_id      BLOB NOT NULL,
    kind           TEXT NOT NULL,
    topic          TEXT NOT NULL,
    lane           TEXT,
    priority       INTEGER NOT NULL,
    planned_at     INTEGER NOT NULL,
    max_attempts   INTEGER NOT NULL,
    dedupe_key     TEXT UNIQUE,
    schedule_id    BLOB,
    post_id        BLOB,
    account_id     BLOB,
    correlation_id TEXT NOT NULL,
    payload        TEXT NOT NULL,
    root           BLOB NOT NULL,
    replay_of      BLOB UNIQUE,
    lane_id        INTEGER NOT NULL,
    state          TEXT NOT NULL,
    fence          INTEGER NOT NULL,
    attempt        INTEGER NOT NULL,
    run_at         INTEGER NOT NULL,
    slot           INTEGER,
    reason         TEXT,
    dead_reason    TEXT,
    resolution     TEXT,
    node           BLOB,
    enqueued_at    INTEGER,
    started_at     INTEGER,
    finished_at    INTEGER,
    settled        BLOB,
    events         INTEGER NOT NULL
) STRICT;
CREATE INDEX jobs_by_state ON jobs (tenant_id, state, id);
CREATE INDEX jobs_by_post ON jobs (post_id) WHERE post_id IS NOT NULL;
CREATE INDEX jobs_by_schedule ON jobs (schedule_id) WHERE schedule_id IS NOT NULL;
CREATE INDEX jobs_by_account ON jobs (account_id, id) WHERE account_id IS NOT NULL;
CREATE INDEX jobs_by_root ON jobs (root) WHERE replay_of IS NOT NULL;
CREATE INDEX jobs_planned ON jobs (id) WHERE state = 'planned';
CREATE INDEX jobs_ended ON jobs (finished_at, id) WHERE state IN ('succeeded', 'cancelled');
CREATE INDEX jobs_resolved ON jobs (finished_at, id) WHERE resolution IS NOT NULL;

CREATE TABLE job_events (
    job_id     BLOB NOT NULL,
    seq        INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    from_state TEXT,
    to_state   TEXT NOT NULL,
    fence      INTEGER NOT NULL,
    node       BLOB,
    reason     TEXT,
    PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;

-- What was sent and what is out, per part of a line of replays: the last intent, how it stands, and
-- the receipt (`remote_id` and on). A row with a receipt is kept for good.
CREATE TABLE evidence (
    root         BLOB NOT NULL,
    part         INTEGER NOT NULL,
    account_id   BLOB,
    job_id       BLOB,
    fence        INTEGER,
    key          TEXT,
    text         TEXT,
    reply_to     TEXT,
    container    TEXT,
    revision     INTEGER,
    made_at      INTEGER,
    state        TEXT NOT NULL,
    looks        INTEGER NOT NULL DEFAULT 0,
    absent_looks INTEGER NOT NULL DEFAULT 0,
    duplicate    INTEGER NOT NULL DEFAULT 0,
    remote_id    TEXT,
    url          TEXT,
    published_at INTEGER,
    dry_run      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (root, part)
) STRICT;
CREATE INDEX evidence_by_remote_id ON evidence (account_id, remote_id)
    WHERE remote_id IS NOT NULL;
CREATE INDEX evidence_open ON evidence (account_id) WHERE state = 'open' AND remote_id IS NULL;
CREATE INDEX evidence_by_time ON evidence (account_id, published_at)
    WHERE remote_id IS NOT NULL;

CREATE TABLE published_posts (
    id           BLOB NOT NULL PRIMARY KEY,
    tenant_id    BLOB NOT NULL,
    job_id       BLOB NOT NULL UNIQUE,
    post_id      BLOB NOT NULL,
    account_id   BLOB NOT NULL,
    dedupe_key   TEXT UNIQUE,
    remote_id    TEXT NOT NULL,
    url          TEXT,
    published_at INTEGER NOT NULL,
    parts        TEXT NOT NULL,
    UNIQUE (account_id, remote_id)
) STRICT;
CREATE INDEX published_by_tenant ON published_posts (tenant_id, id);
CREATE INDEX published_by_post ON published_posts (post_id);

CREATE TABLE metrics_snapshots (
    publication_id BLOB NOT NULL,
    at             INTEGER NOT NULL,
    counts         TEXT NOT NULL,
    PRIMARY KEY (publication_id, at)
) STRICT, WITHOUT ROWID;

-- The queue, for compositions that want one beside the store. A leased job's `leased_until` is in
-- milliseconds since boot, as in `leases`.
CREATE TABLE queue (
    topic        TEXT NOT NULL,
    job_id       BLOB NOT NULL,
    lane         TEXT,
    rank         INTEGER NOT NULL,
    run_at       INTEGER NOT NULL,
    fence        INTEGER NOT NULL DEFAULT 0,
    leased_until INTEGER,
    PRIMARY KEY (topic, job_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_order ON queue (topic, rank, run_at, job_id);
CREATE INDEX queue_times ON queue (topic, run_at);

CREATE TABLE dedupe_locks (
    key   TEXT NOT NULL PRIMARY KEY,
    token TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX dedupe_locks_by_end ON dedupe_locks (until);

CREATE TABLE buckets (
    key       TEXT NOT NULL PRIMARY KEY,
    tat       INTEGER NOT NULL,
    remaining INTEGER,
    resets_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
