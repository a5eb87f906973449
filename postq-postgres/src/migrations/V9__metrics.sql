-- Metrics: whether a publication could be seen, what only its owner is told, and when it is polled next: the
-- epoch until somebody plans it, NULL in the end. The way back: V9__metrics.back.sql.
ALTER TABLE metrics_snapshots RENAME COLUMN counts TO public;
ALTER TABLE metrics_snapshots
    ADD COLUMN private text NOT NULL DEFAULT '{}',
    ADD COLUMN state text NOT NULL DEFAULT 'shown';

ALTER TABLE published_posts ADD COLUMN poll_at timestamptz DEFAULT '1970-01-01 00:00:00+00';
CREATE INDEX published_polls ON published_posts (poll_at, account_id) WHERE poll_at IS NOT NULL;
CREATE INDEX published_polls_of_account ON published_posts (account_id, poll_at, id)
    WHERE poll_at IS NOT NULL;

-- What follows from the snapshots, written with them: the latest counts of each publication, totals by
-- account and day (of UTC; publications themselves under the name ''), and a number that changes with an
-- account's metrics.
CREATE TABLE metrics_latest (
    publication_id uuid PRIMARY KEY,
    account_id     uuid NOT NULL,
    published_at   timestamptz NOT NULL,
    at             timestamptz NOT NULL,
    state          text NOT NULL,
    public         text NOT NULL,
    private        text NOT NULL
);
CREATE INDEX metrics_latest_by_time ON metrics_latest (account_id, published_at, publication_id);

CREATE TABLE metrics_days (
    account_id uuid NOT NULL,
    day        date NOT NULL,
    name       text COLLATE "C" NOT NULL,
    made       bigint NOT NULL,
    gained     bigint NOT NULL,
    PRIMARY KEY (account_id, day, name)
);

CREATE TABLE metrics_versions (
    account_id uuid PRIMARY KEY,
    version    bigint NOT NULL
);

-- The times of the week at which an account likes to publish, and which schedule has taken one.
CREATE TABLE slot_rules (
    account_id uuid PRIMARY KEY,
    rules      text NOT NULL
);

CREATE TABLE slots (
    account_id  uuid NOT NULL,
    at          timestamptz NOT NULL,
    schedule_id uuid NOT NULL,
    taken_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, at)
);
CREATE INDEX slots_by_schedule ON slots (schedule_id);

-- What calls to platforms have cost, by month (its first day), in millionths of the currency.
CREATE TABLE spending (
    month    date NOT NULL,
    platform text COLLATE "C" NOT NULL,
    kind     text COLLATE "C" NOT NULL,
    calls    bigint NOT NULL,
    micros   bigint NOT NULL,
    PRIMARY KEY (month, platform, kind)
);
