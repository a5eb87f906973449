-- Takes back V10__media.sql.
DROP TRIGGER media_named ON posts;
DROP TRIGGER media_named_anew ON posts;
DROP TRIGGER media_not_named ON posts;
DROP FUNCTION note_media_uses();
DROP TABLE media_files, media_uses, media_claims, media_uploads;
