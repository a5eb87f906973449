-- What asked for a schedule: its jobs carry it.
ALTER TABLE schedules ADD COLUMN correlation_id TEXT;

-- What the nodes on this file tell of themselves. `told` is JSON.
CREATE TABLE nodes (
    id      BLOB NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL,
    told    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- With all that counting looks at, so that it reads no row.
DROP INDEX jobs_by_state;
CREATE INDEX jobs_by_state ON jobs (tenant_id, state, id, topic, resolution);

-- What ended lately, whatever became of it.
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;
