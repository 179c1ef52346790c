-- Verdicts of evaluators and people. `score_id` is the key of idempotence: writing it again replaces the verdict.
CREATE TABLE IF NOT EXISTS scores
(
    project_id UInt32,
    score_id String,
    -- What is judged: a span, a whole trace (span_id = ''), a session (trace_id = ''), a row of a data set.
    trace_id String,
    span_id String,
    session_id String,
    dataset_item_id String,
    -- Time of what is judged, so that a score stands on a chart where its answer stands.
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    name LowCardinality(String),
    -- NULL = unscored; label and explanation say why.
    value Nullable(Float64),
    label LowCardinality(String),
    explanation String CODEC(ZSTD(3)),
    -- JSON: sentences, evidence, ...
    details String CODEC(ZSTD(3)),
    -- evaluator human api
    source LowCardinality(String),
    evaluator LowCardinality(String),
    evaluator_revision LowCardinality(String),
    -- JSON
    evaluator_arguments String CODEC(ZSTD(1)),
    author String,
    -- Copied from the span, so that scores are grouped without a join.
    service LowCardinality(String),
    release LowCardinality(String),
    model LowCardinality(String),
    updated_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    retention_days UInt16,
    INDEX trace_filter trace_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(updated_at)
PARTITION BY toStartOfWeek(time, 1)
ORDER BY (project_id, name, toStartOfHour(time), trace_id, span_id, score_id)
TTL toDateTime(time) + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1;
