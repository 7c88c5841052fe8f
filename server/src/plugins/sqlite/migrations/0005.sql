-- Where the bytes of a stored file are: KIND:NAME, of the attempt that filled its slot. NULL: disk, under the
-- file's own name.
ALTER TABLE file ADD COLUMN blob TEXT;
