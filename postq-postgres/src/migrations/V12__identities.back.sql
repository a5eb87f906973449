-- Takes back V12__identities.sql.
DROP TRIGGER identity_known ON accounts;
DROP TRIGGER identity_known_later ON accounts;
DROP FUNCTION note_identity();
DROP TABLE identities;
