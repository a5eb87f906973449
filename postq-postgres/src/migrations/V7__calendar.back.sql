-- Takes back V7__calendar.sql.
DROP INDEX job_by_time, published_by_time, schedules_repeating;
