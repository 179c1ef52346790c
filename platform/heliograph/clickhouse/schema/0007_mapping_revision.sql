-- The revision of the project's own mapping rules by which a span's fields were filled; 0 is the built-in table alone.
-- The writer adds it; attributes stay as they came, so that what filled each field is worked out when it is asked.
ALTER TABLE spans ADD COLUMN IF NOT EXISTS mapping_revision UInt32 CODEC(T64, ZSTD(1));
