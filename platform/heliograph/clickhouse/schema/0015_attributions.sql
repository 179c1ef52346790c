-- Which process held which GPU, and from when to when: what a span is joined to its GPU by. One row a series of
-- gpu.process.info, so that a process that opens another socket is another row (a slowly changing dimension), and
-- finding the processes of a moment reads rows by the process, not by the sample.
CREATE TABLE IF NOT EXISTS gpu_processes
(
    project_id UInt32,
    host LowCardinality(String),
    gpu_uuid LowCardinality(String),
    series UInt64,
    -- A process that runs for months has a row a week, so that old weeks can be dropped whole.
    week DateTime('UTC'),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    attributes SimpleAggregateFunction(anyLast, Map(String, String)),
    host_id SimpleAggregateFunction(anyLast, String),
    gpu_index SimpleAggregateFunction(anyLast, String),
    gpu_name SimpleAggregateFunction(anyLast, String),
    retention_days SimpleAggregateFunction(max, UInt16)
)
ENGINE = AggregatingMergeTree
PARTITION BY week
ORDER BY (project_id, host, gpu_uuid, series, week)
TTL week + toIntervalDay(7 + retention_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000, index_granularity = 1024;

CREATE MATERIALIZED VIEW IF NOT EXISTS gpu_processes_from_points TO gpu_processes AS
SELECT
    project_id,
    host,
    gpu_uuid,
    series,
    toDateTime(toStartOfWeek(p.time, 1), 'UTC') AS week,
    min(p.time) AS first_seen,
    max(p.time) AS last_seen,
    anyLast(p.attributes::Map(String, String)) AS attributes,
    anyLast(p.resource['host.id']) AS host_id,
    anyLast(p.resource['gpu.index']) AS gpu_index,
    anyLast(p.resource['hw.name']) AS gpu_name,
    max(p.retention_days) AS retention_days
FROM metric_points AS p
WHERE p.metric = 'gpu.process.info' AND p.gpu_uuid != ''
GROUP BY project_id, host, gpu_uuid, series, week;

-- What one request cost of one GPU in one minute, by the rule in docs/attribution.md. The row without a span is what
-- no known request used. Rows count only with a row of the same version in attribution_windows, which is written after
-- them: a worker that dies in between leaves nothing that anybody reads.
CREATE TABLE IF NOT EXISTS attributions
(
    project_id UInt32,
    minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    gpu_uuid LowCardinality(String),
    version UInt64,
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    -- The span and the model calls above it that speak of the same request, as a client's does.
    span_ids Array(String) CODEC(ZSTD(1)),
    host LowCardinality(String),
    -- How the span was joined to the GPU: uuid pid socket container, '' for the row without a span.
    strength LowCardinality(String),
    service LowCardinality(String),
    model LowCardinality(String),
    adapter LowCardinality(String),
    user_id String CODEC(ZSTD(1)),
    tenant LowCardinality(String),
    gpu_seconds Float64,
    -- NULL where the GPU reported no energy counter in this time; the bounds are those of docs/attribution.md.
    joules Nullable(Float64),
    joules_low Nullable(Float64),
    joules_high Nullable(Float64),
    -- Seconds of the GPU-seconds whose energy is not known.
    unmetered_seconds Float64,
    retention_days UInt16
)
ENGINE = MergeTree
PARTITION BY toStartOfWeek(minute, 1)
ORDER BY (project_id, minute, gpu_uuid, version, trace_id, span_id)
TTL minute + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- One row a GPU and minute that was shared out: the highest version is the one that counts.
CREATE TABLE IF NOT EXISTS attribution_windows
(
    project_id UInt32,
    minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    gpu_uuid LowCardinality(String),
    version UInt64,
    -- What the counter rose by in this minute; requests and the rest add up to it.
    joules Nullable(Float64),
    covered_seconds Float64,
    requests UInt32,
    weights LowCardinality(String),
    retention_days UInt16
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toStartOfWeek(minute, 1)
ORDER BY (project_id, minute, gpu_uuid)
TTL minute + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1;

-- Spans of one minute that are model calls and were joined to no GPU, by the reason.
CREATE TABLE IF NOT EXISTS attribution_unplaced
(
    project_id UInt32,
    minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    reason LowCardinality(String),
    spans UInt32,
    version UInt64,
    retention_days UInt16
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toStartOfWeek(minute, 1)
ORDER BY (project_id, minute, reason)
TTL minute + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1;
