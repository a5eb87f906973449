-- Metrics: whether a publication could be seen, what only its owner is told, and when it is polled next: 0
-- until somebody plans it, NULL in the end.
ALTER TABLE metrics_snapshots RENAME COLUMN counts TO public;
ALTER TABLE metrics_snapshots ADD COLUMN private TEXT NOT NULL DEFAULT '{}';
ALTER TABLE metrics_snapshots ADD COLUMN state TEXT NOT NULL DEFAULT 'shown';

ALTER TABLE published_posts ADD COLUMN poll_at INTEGER DEFAULT 0;
CREATE INDEX published_polls ON published_posts (poll_at, account_id) WHERE poll_at IS NOT NULL;
CREATE INDEX published_polls_of_account ON published_posts (account_id, poll_at, id)
    WHERE poll_at IS NOT NULL;

-- What follows from the snapshots, written with them: the latest counts of each publication, totals by
-- account and day (of UTC, counted from 1970; publications themselves under the name ''), and a number
-- that changes with an account's metrics.
CREATE TABLE metrics_latest (
    publication_id BLOB NOT NULL PRIMARY KEY,
    account_id     BLOB NOT NULL,
    published_at   INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    state          TEXT NOT NULL,
    public         TEXT NOT NULL,
    private        TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX metrics_latest_by_time ON metrics_latest (account_id, published_at, publication_id);

CREATE TABLE metrics_days (
    account_id BLOB NOT NULL,
    day        INTEGER NOT NULL,
    name       TEXT NOT NULL,
    made       INTEGER NOT NULL,
    gained     INTEGER NOT NULL,
    PRIMARY KEY (account_id, day, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE metrics_versions (
    account_id BLOB NOT NULL PRIMARY KEY,
    version    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The times of the week at which an account likes to publish, and which schedule has taken one.
CREATE TABLE slot_rules (
    account_id BLOB NOT NULL PRIMARY KEY,
    rules      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE slots (
    account_id  BLOB NOT NULL,
    at          INTEGER NOT NULL,
    schedule_id BLOB NOT NULL,
    taken_at    INTEGER NOT NULL,
    PRIMARY KEY (account_id, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX slots_by_schedule ON slots (schedule_id);

-- What calls to platforms have cost, by month (the number of its first day), in millionths of the currency.
CREATE TABLE spending (
    month    INTEGER NOT NULL,
    platform TEXT NOT NULL,
    kind     TEXT NOT NULL,
    calls    INTEGER NOT NULL,
    micros   INTEGER NOT NULL,
    PRIMARY KEY (month, platform, kind)
) STRICT, WITHOUT ROWID;
