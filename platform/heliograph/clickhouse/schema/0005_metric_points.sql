-- One row a data point. A point is identified by its series and time, so a retried export replaces itself.
CREATE TABLE IF NOT EXISTS metric_points
(
    project_id UInt32,
    metric LowCardinality(String),
    -- Hash of resource and attributes: one series.
    series UInt64 CODEC(ZSTD(1)),
    time DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    start_time DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    -- gauge sum histogram exponential_histogram summary
    type LowCardinality(String),
    unit LowCardinality(String),
    -- '' delta cumulative
    temporality LowCardinality(String),
    is_monotonic Bool,
    service LowCardinality(String),
    host LowCardinality(String),
    -- hw.id of a GPU: what a trace is joined by.
    gpu_uuid LowCardinality(String),
    -- The value of a gauge or sum; NULL for histograms.
    value Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    count UInt64 CODEC(ZSTD(1)),
    sum Nullable(Float64) CODEC(ZSTD(1)),
    min Nullable(Float64) CODEC(ZSTD(1)),
    max Nullable(Float64) CODEC(ZSTD(1)),
    -- Histogram: bounds (n) and counts (n + 1). Exponential: counts with `scale` and offsets. Summary: quantiles and values.
    bounds Array(Float64) CODEC(ZSTD(1)),
    bucket_counts Array(UInt64) CODEC(ZSTD(1)),
    scale Nullable(Int32),
    zero_count UInt64,
    positive_offset Int32,
    positive_counts Array(UInt64),
    negative_offset Int32,
    negative_counts Array(UInt64),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    resource Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    received_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    retention_days UInt16
)
ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toStartOfWeek(time, 1)
ORDER BY (project_id, metric, host, gpu_uuid, series, time)
TTL toDateTime(time) + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1;

-- Shapes that a repeated point does not change: first, last, min, max. Means come from the points themselves.
CREATE TABLE IF NOT EXISTS metric_rollups_1m
(
    project_id UInt32,
    metric LowCardinality(String),
    host LowCardinality(String),
    gpu_uuid LowCardinality(String),
    series UInt64,
    minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    service SimpleAggregateFunction(anyLast, LowCardinality(String)),
    unit SimpleAggregateFunction(anyLast, LowCardinality(String)),
    attributes SimpleAggregateFunction(anyLast, Map(String, String)),
    first AggregateFunction(argMin, Nullable(Float64), DateTime64(9, 'UTC')),
    last AggregateFunction(argMax, Nullable(Float64), DateTime64(9, 'UTC')),
    min SimpleAggregateFunction(min, Nullable(Float64)),
    max SimpleAggregateFunction(max, Nullable(Float64)),
    retention_days SimpleAggregateFunction(max, UInt16)
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfWeek(minute, 1)
ORDER BY (project_id, metric, host, gpu_uuid, series, minute)
TTL minute + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS metric_rollups_1m_from_points TO metric_rollups_1m AS
SELECT
    project_id,
    metric,
    host,
    gpu_uuid,
    series,
    toStartOfMinute(p.time) AS minute,
    anyLast(p.service) AS service,
    anyLast(p.unit) AS unit,
    anyLast(p.attributes::Map(String, String)) AS attributes,
    argMinState(p.value, p.time) AS first,
    argMaxState(p.value, p.time) AS last,
    min(p.value) AS min,
    max(p.value) AS max,
    max(p.retention_days) AS retention_days
FROM metric_points AS p
WHERE p.value IS NOT NULL
GROUP BY project_id, metric, host, gpu_uuid, series, minute;
