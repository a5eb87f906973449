-- Takes back V9__metrics.sql.
DROP TABLE metrics_latest, metrics_days, metrics_versions, slot_rules, slots, spending;
DROP INDEX published_polls, published_polls_of_account;
ALTER TABLE published_posts DROP COLUMN poll_at;
ALTER TABLE metrics_snapshots DROP COLUMN private, DROP COLUMN state;
ALTER TABLE metrics_snapshots RENAME COLUMN public TO counts;
