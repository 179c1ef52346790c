-- What a fleet of GPUs is and how it is, so that a page of a thousand reads a row a GPU and minute instead of a row a
-- second and metric. Filled from what is stored from now on.

-- One row a GPU and week: what it is, from when to when it was seen.
CREATE TABLE IF NOT EXISTS gpu_devices
(
    project_id UInt32,
    host LowCardinality(String),
    gpu_uuid LowCardinality(String),
    week DateTime('UTC'),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    name SimpleAggregateFunction(anyLast, String),
    gpu_index SimpleAggregateFunction(anyLast, String),
    parent SimpleAggregateFunction(anyLast, String),
    mig_profile SimpleAggregateFunction(anyLast, String),
    resource SimpleAggregateFunction(anyLast, Map(String, String)),
    retention_days SimpleAggregateFunction(max, UInt16)
)
ENGINE = AggregatingMergeTree
PARTITION BY week
ORDER BY (project_id, host, gpu_uuid, week)
TTL week + toIntervalDay(7 + retention_days)
SETTINGS ttl_only_drop_parts = 1, index_granularity = 1024;

CREATE MATERIALIZED VIEW IF NOT EXISTS gpu_devices_from_points TO gpu_devices AS
SELECT
    project_id,
    host,
    gpu_uuid,
    toDateTime(toStartOfWeek(p.time, 1), 'UTC') AS week,
    min(p.time) AS first_seen,
    max(p.time) AS last_seen,
    anyLast(p.resource['hw.name']) AS name,
    anyLast(p.resource['gpu.index']) AS gpu_index,
    anyLast(p.resource['hw.parent']) AS parent,
    anyLast(p.resource['gpu.mig.profile']) AS mig_profile,
    anyLast(p.resource::Map(String, String)) AS resource,
    max(p.retention_days) AS retention_days
FROM metric_points AS p
WHERE p.metric IN ('hw.gpu.utilization', 'hw.gpu.memory.usage') AND p.gpu_uuid != ''
GROUP BY project_id, host, gpu_uuid, week;

-- One row a GPU and minute. `counters` are the last values of counters, as `energy` (joules), `throttle:<reason>`
-- (seconds) and `error:<type>`; `states` are 1 where the GPU was in that state in the minute, as `failed` and `stuck`.
CREATE TABLE IF NOT EXISTS gpu_rollups_1m
(
    project_id UInt32,
    minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    host LowCardinality(String),
    gpu_uuid LowCardinality(String),
    utilization_sum SimpleAggregateFunction(sum, Float64),
    utilization_count SimpleAggregateFunction(sum, UInt64),
    power_sum SimpleAggregateFunction(sum, Float64),
    power_count SimpleAggregateFunction(sum, UInt64),
    power_limit SimpleAggregateFunction(max, Nullable(Float64)),
    memory_used SimpleAggregateFunction(max, Nullable(Float64)),
    memory_limit SimpleAggregateFunction(max, Nullable(Float64)),
    temperature SimpleAggregateFunction(max, Nullable(Float64)),
    counters SimpleAggregateFunction(maxMap, Map(String, Float64)),
    states SimpleAggregateFunction(maxMap, Map(String, Float64)),
    retention_days SimpleAggregateFunction(max, UInt16)
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfWeek(minute, 1)
ORDER BY (project_id, minute, host, gpu_uuid)
TTL minute + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1;

-- It stands behind the rollup of all metrics, whose blocks hold a row a series and minute: few of what the points were.
CREATE MATERIALIZED VIEW IF NOT EXISTS gpu_rollups_1m_from_rollups TO gpu_rollups_1m AS
SELECT
    project_id,
    minute,
    host,
    gpu_uuid,
    sumIf(v, metric = 'hw.gpu.utilization') AS utilization_sum,
    countIf(metric = 'hw.gpu.utilization') AS utilization_count,
    sumIf(v, metric = 'hw.power') AS power_sum,
    countIf(metric = 'hw.power') AS power_count,
    max(if(metric = 'gpu.power.limit', v, NULL)) AS power_limit,
    max(if(metric = 'hw.gpu.memory.usage', v, NULL)) AS memory_used,
    max(if(metric = 'hw.gpu.memory.limit', v, NULL)) AS memory_limit,
    max(if(metric = 'hw.temperature', v, NULL)) AS temperature,
    maxMap(if(counter = '', map(), map(counter, v))) AS counters,
    maxMap(if(state = '', map(), map(state, v))) AS states,
    max(retention) AS retention_days
FROM
(
    SELECT
        project_id, minute, host, gpu_uuid, metric,
        assumeNotNull(if(metric IN ('hw.power', 'hw.gpu.utilization'), finalizeAggregation(r.last), r.max)) AS v,
        multiIf(metric = 'gpu.throttle.time', concat('throttle:', r.attributes['gpu.throttle.reason']),
            metric = 'hw.errors', concat('error:', r.attributes['error.type']),
            metric = 'hw.energy', 'energy', '') AS counter,
        multiIf(metric = 'hw.status', r.attributes['hw.state'], metric = 'gpu.agent.stuck', 'stuck', '') AS state,
        r.retention_days AS retention
    FROM metric_rollups_1m AS r
    WHERE gpu_uuid != '' AND metric IN ('hw.gpu.utilization', 'hw.power', 'gpu.power.limit', 'hw.gpu.memory.usage',
            'hw.gpu.memory.limit', 'hw.temperature', 'hw.energy', 'gpu.throttle.time', 'hw.errors', 'hw.status', 'gpu.agent.stuck')
        AND (metric != 'hw.gpu.utilization' OR r.attributes['hw.gpu.task'] IN ('', 'general'))
        AND (metric != 'hw.temperature' OR r.attributes['hw.sensor_location'] IN ('', 'gpu'))
)
GROUP BY project_id, minute, host, gpu_uuid;

-- What happened to GPUs, beside the log records among which they came: a mark on a chart must not cost a search of logs.
CREATE TABLE IF NOT EXISTS gpu_events
(
    project_id UInt32,
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    host LowCardinality(String),
    gpu_uuid LowCardinality(String),
    event_name LowCardinality(String),
    record_id UInt64,
    body String CODEC(ZSTD(1)),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    retention_days UInt16
)
ENGINE = ReplacingMergeTree
PARTITION BY toStartOfWeek(time, 1)
ORDER BY (project_id, time, gpu_uuid, record_id)
TTL toDateTime(time) + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS gpu_events_from_logs TO gpu_events AS
SELECT project_id, time, host, gpu_uuid, event_name, record_id, body, attributes, retention_days
FROM log_records
WHERE startsWith(event_name, 'gpu.');
