CREATE TABLE IF NOT EXISTS log_records
(
    project_id UInt32,
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    observed_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    -- Hash of the whole record: a retried export replaces itself.
    record_id UInt64,
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    severity_number UInt8,
    severity_text LowCardinality(String),
    event_name LowCardinality(String),
    body String CODEC(ZSTD(3)),
    service LowCardinality(String),
    host LowCardinality(String),
    gpu_uuid LowCardinality(String),
    scope_name LowCardinality(String),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(3)),
    resource Map(LowCardinality(String), String) CODEC(ZSTD(3)),
    received_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    retention_days UInt16,
    INDEX trace_filter trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX body_words lower(body) TYPE tokenbf_v1(8192, 3, 0) GRANULARITY 2
)
ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toStartOfWeek(time, 1)
ORDER BY (project_id, toStartOfMinute(time), service, time, record_id)
TTL toDateTime(time) + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1;
