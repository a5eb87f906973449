-- After the end of an app's block that its platform had asked for, one job goes first: which, and
-- until when the others wait for it.
ALTER TABLE blocks ADD COLUMN asking BLOB;
ALTER TABLE blocks ADD COLUMN asking_until INTEGER;
