-- Every dashboard number per minute, so that a dashboard's cost grows with time and variety, not with traffic.
CREATE TABLE IF NOT EXISTS span_rollups_1m
(
    project_id UInt32,
    minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    is_root Bool,
    kind LowCardinality(String),
    service LowCardinality(String),
    environment LowCardinality(String),
    release LowCardinality(String),
    provider LowCardinality(String),
    model LowCardinality(String),
    adapter LowCardinality(String),
    operation LowCardinality(String),
    spans SimpleAggregateFunction(sum, UInt64),
    errors SimpleAggregateFunction(sum, UInt64),
    duration AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Nullable(UInt64)),
    ttft AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Nullable(UInt64)),
    input_tokens SimpleAggregateFunction(sum, UInt64),
    output_tokens SimpleAggregateFunction(sum, UInt64),
    cache_read_tokens SimpleAggregateFunction(sum, UInt64),
    reasoning_tokens SimpleAggregateFunction(sum, UInt64),
    cost SimpleAggregateFunction(sum, Decimal(38, 12)),
    unpriced_count SimpleAggregateFunction(sum, UInt64),
    retention_days SimpleAggregateFunction(max, UInt16)
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfWeek(minute, 1)
ORDER BY (project_id, minute, is_root, kind, service, environment, release, provider, model, adapter, operation)
TTL minute + toIntervalDay(retention_days)
-- The window: an insert that is sent again after an unknown outcome carries the same token and adds only what is missing.
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS span_rollups_1m_from_spans TO span_rollups_1m AS
SELECT
    project_id,
    toStartOfMinute(s.start_time) AS minute,
    s.parent_span_id = '' AS is_root,
    kind,
    service,
    environment,
    release,
    provider,
    model,
    adapter,
    operation,
    count() AS spans,
    countIf(s.status = 'error') AS errors,
    quantilesTDigestState(0.5, 0.95, 0.99)(s.duration_ns) AS duration,
    quantilesTDigestState(0.5, 0.95, 0.99)(s.ttft_ns) AS ttft,
    sumIf(toUInt64(ifNull(s.input_tokens, 0)), s.usage_counted) AS input_tokens,
    sumIf(toUInt64(ifNull(s.output_tokens, 0)), s.usage_counted) AS output_tokens,
    sumIf(toUInt64(ifNull(s.cache_read_tokens, 0)), s.usage_counted) AS cache_read_tokens,
    sumIf(toUInt64(ifNull(s.reasoning_tokens, 0)), s.usage_counted) AS reasoning_tokens,
    sumIf(ifNull(s.cost, 0)::Decimal(38, 12), s.usage_counted) AS cost,
    countIf(s.usage_counted AND s.cost IS NULL AND (s.input_tokens > 0 OR s.output_tokens > 0)) AS unpriced_count,
    max(s.retention_days) AS retention_days
FROM spans AS s
GROUP BY project_id, minute, is_root, kind, service, environment, release, provider, model, adapter, operation;
