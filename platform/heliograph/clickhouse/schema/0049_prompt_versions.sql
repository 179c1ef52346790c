-- What each version of a prompt cost and how fast it was, an hour a row: of the spans that name it.
CREATE TABLE IF NOT EXISTS prompt_versions_1h
(
    project_id UInt32,
    hour DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    prompt_name LowCardinality(String),
    prompt_version LowCardinality(String),
    calls SimpleAggregateFunction(sum, UInt64),
    errors SimpleAggregateFunction(sum, UInt64),
    duration AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Nullable(UInt64)),
    ttft AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Nullable(UInt64)),
    input_tokens SimpleAggregateFunction(sum, UInt64),
    output_tokens SimpleAggregateFunction(sum, UInt64),
    cost SimpleAggregateFunction(sum, Decimal(38, 12)),
    unpriced_count SimpleAggregateFunction(sum, UInt64),
    models SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    retention_days SimpleAggregateFunction(max, UInt16)
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfWeek(hour, 1)
ORDER BY (project_id, hour, prompt_name, prompt_version)
TTL hour + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS prompt_versions_1h_from_spans TO prompt_versions_1h AS
SELECT
    project_id,
    toStartOfHour(s.start_time) AS hour,
    prompt_name,
    prompt_version,
    count() AS calls,
    countIf(s.status = 'error') AS errors,
    quantilesTDigestState(0.5, 0.95, 0.99)(s.duration_ns) AS duration,
    quantilesTDigestState(0.5, 0.95, 0.99)(s.ttft_ns) AS ttft,
    sumIf(toUInt64(ifNull(s.input_tokens, 0)), s.usage_counted) AS input_tokens,
    sumIf(toUInt64(ifNull(s.output_tokens, 0)), s.usage_counted) AS output_tokens,
    sumIf(ifNull(s.cost, 0)::Decimal(38, 12), s.usage_counted) AS cost,
    countIf(s.usage_counted AND s.cost IS NULL AND (s.input_tokens > 0 OR s.output_tokens > 0)) AS unpriced_count,
    groupUniqArrayIf(toString(s.model), s.model != '') AS models,
    min(s.start_time) AS first_seen,
    max(s.start_time) AS last_seen,
    max(s.retention_days) AS retention_days
FROM spans AS s
WHERE s.prompt_name != ''
GROUP BY project_id, hour, prompt_name, prompt_version;
