-- Takes back V4__webhooks.sql: everything that it made, with all data.
DROP INDEX job_by_webhook_lane;
DROP TABLE webhooks;
