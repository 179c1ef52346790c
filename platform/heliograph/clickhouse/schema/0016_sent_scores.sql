-- Scores that came with telemetry and name the answer that they judge by its response id alone, before its span came:
-- they wait here until it does. Written again under its key, a row takes the place of the earlier one.
CREATE TABLE IF NOT EXISTS pending_scores
(
    project_id UInt32,
    response_id String CODEC(ZSTD(1)),
    score_id String CODEC(ZSTD(1)),
    name LowCardinality(String),
    time DateTime64(9, 'UTC'),
    value Nullable(Float64),
    label LowCardinality(String),
    explanation String CODEC(ZSTD(3)),
    details String CODEC(ZSTD(3)),
    source LowCardinality(String),
    evaluator LowCardinality(String),
    -- Its span has come, and the score is among `scores`.
    is_found Bool,
    updated_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    retention_days UInt16
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (project_id, response_id, score_id)
TTL toDateTime(time) + toIntervalDay(retention_days);

-- A score is matched to the answer that it names: granules without its response id are skipped.
ALTER TABLE spans ADD INDEX IF NOT EXISTS response_filter response_id TYPE bloom_filter(0.01) GRANULARITY 2;
