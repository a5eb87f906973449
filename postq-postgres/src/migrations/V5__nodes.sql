-- What asked for a schedule: its jobs carry it. The way back: V5__nodes.back.sql.
ALTER TABLE schedules ADD COLUMN correlation_id text;

-- What the nodes tell of themselves. `told` is JSON, kept as text.
CREATE TABLE nodes (
    id      uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL,
    told    text NOT NULL
);

-- What ended lately, whatever became of it.
CREATE INDEX ended_by_end ON ended (finished_at);
