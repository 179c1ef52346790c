-- Long texts, each stored once a project: a system prompt, a tool's result or a turn that every later call of an agent
-- sends again. A span holds a reference in its place (collectors/contents.py). Written before the spans that refer to
-- it; written again under the same key it replaces itself, and the later expiry stays.
CREATE TABLE IF NOT EXISTS contents
(
    project_id UInt32,
    -- 32 hexadecimal digits, keyed by the project.
    hash String CODEC(ZSTD(1)),
    text String CODEC(ZSTD(3)),
    -- The day from which no span refers to it any more: that of its longest-lived one, rounded up to a Monday, so that
    -- a text that is used every day is written once a week and not once a day.
    expires_on Date,

    INDEX words lower(text) TYPE tokenbf_v1(65536, 3, 0) GRANULARITY 8
)
ENGINE = ReplacingMergeTree(expires_on)
ORDER BY (project_id, hash)
TTL expires_on
-- Texts are read by hash, a few at a time: a granule is 128 of them, about 256 KB.
SETTINGS index_granularity = 128;

ALTER TABLE spans
    -- The texts in `contents` that a span refers to: i (of its input), o (of its output) or x (of anything else), then
    -- the hash.
    ADD COLUMN IF NOT EXISTS contents Array(String) CODEC(ZSTD(1)),
    -- Original sizes of what `truncated` names, in the same order: bytes of a text, entries of a list.
    ADD COLUMN IF NOT EXISTS truncated_sizes Array(UInt64) CODEC(ZSTD(1)),
    ADD INDEX IF NOT EXISTS contents_used contents TYPE bloom_filter(0.01) GRANULARITY 1;
