-- dangerous: of codecs alone: parts that are stored stay as they are, and those that are written or merged from here on
-- have the new one.
-- Compressing texts at level 3 was a third of what storing a span cost, and again of each merge: level 1 takes half the
-- time for a twentieth more bytes.
ALTER TABLE spans
    MODIFY COLUMN input CODEC(ZSTD(1)),
    MODIFY COLUMN output CODEC(ZSTD(1)),
    MODIFY COLUMN documents CODEC(ZSTD(1)),
    MODIFY COLUMN tools CODEC(ZSTD(1)),
    MODIFY COLUMN attributes CODEC(ZSTD(1)),
    MODIFY COLUMN resource CODEC(ZSTD(1));

ALTER TABLE contents MODIFY COLUMN text CODEC(ZSTD(1));

ALTER TABLE log_records
    MODIFY COLUMN body CODEC(ZSTD(1)),
    MODIFY COLUMN attributes CODEC(ZSTD(1)),
    MODIFY COLUMN resource CODEC(ZSTD(1));
