-- Takes back V8__connecting.sql: everything that it made, with all data.
DROP TABLE connecting;
