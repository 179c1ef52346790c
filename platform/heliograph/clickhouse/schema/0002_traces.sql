-- One summary row a trace, kept up as spans arrive in any order; read with `-Merge` and GROUP BY trace_id.
CREATE TABLE IF NOT EXISTS traces
(
    project_id UInt32,
    trace_id String CODEC(ZSTD(1)),
    start_time SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    end_time SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    -- A list shows a trace at its latest entry span, so that it appears once on whichever page.
    latest_entry SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    -- Which minutes of `spans` hold this trace: reading it touches no others.
    minutes SimpleAggregateFunction(groupUniqArrayArray, Array(DateTime('UTC'))),
    has_root SimpleAggregateFunction(max, UInt8),
    span_count SimpleAggregateFunction(sum, UInt64),
    error_count SimpleAggregateFunction(sum, UInt64),
    llm_count SimpleAggregateFunction(sum, UInt64),
    -- Of the root, else of the earliest span seen.
    name AggregateFunction(argMin, String, Tuple(UInt8, DateTime64(9, 'UTC'))),
    service AggregateFunction(argMin, String, Tuple(UInt8, DateTime64(9, 'UTC'))),
    environment AggregateFunction(argMin, String, Tuple(UInt8, DateTime64(9, 'UTC'))),
    release AggregateFunction(argMin, String, Tuple(UInt8, DateTime64(9, 'UTC'))),
    kind AggregateFunction(argMin, String, Tuple(UInt8, DateTime64(9, 'UTC'))),
    status AggregateFunction(argMin, String, Tuple(UInt8, DateTime64(9, 'UTC'))),
    -- Of the earliest span that carries text, the root first.
    input_preview AggregateFunction(argMin, String, Tuple(UInt8, DateTime64(9, 'UTC'))),
    -- Of the root, else of the latest span that carries text: an agent's answer comes last.
    output_preview AggregateFunction(argMax, String, Tuple(UInt8, DateTime64(9, 'UTC'))),
    session_id SimpleAggregateFunction(max, String),
    user_id SimpleAggregateFunction(max, String),
    models SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    tags SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    hosts SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    gpu_uuids SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    input_tokens SimpleAggregateFunction(sum, UInt64),
    output_tokens SimpleAggregateFunction(sum, UInt64),
    cache_read_tokens SimpleAggregateFunction(sum, UInt64),
    cost SimpleAggregateFunction(sum, Decimal(38, 12)),
    -- Spans whose usage counts and whose price is unknown: a cost beside a number above 0 here is a lower bound.
    unpriced_count SimpleAggregateFunction(sum, UInt64),
    ttft_ns SimpleAggregateFunction(min, Nullable(UInt64)),
    retention_days SimpleAggregateFunction(max, UInt16)
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, trace_id)
-- By the start of its latest span: an end can be absurd.
TTL arrayMax(minutes) + toIntervalDay(retention_days)
-- The window: an insert that is sent again after an unknown outcome carries the same token and adds only what is missing.
-- A page of a list reads single traces, so granules are small.
SETTINGS index_granularity = 256, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS traces_from_spans TO traces AS
SELECT
    project_id,
    trace_id,
    min(s.start_time) AS start_time,
    -- Capped where DateTime64(9) ends, in 2262: one absurd duration must not fail the insert of all its neighbours.
    max(s.start_time + toIntervalNanosecond(least(
        ifNull(s.duration_ns, 0),
        toUInt64(9223372036854775807 - greatest(toUnixTimestamp64Nano(s.start_time), 0))
    ))) AS end_time,
    maxIf(s.start_time, s.is_entry) AS latest_entry,
    groupUniqArray(toStartOfMinute(s.start_time)) AS minutes,
    max(s.parent_span_id = '') AS has_root,
    count() AS span_count,
    countIf(s.status = 'error') AS error_count,
    countIf(s.kind = 'llm') AS llm_count,
    argMinState(toString(s.name), (toUInt8(s.parent_span_id != ''), s.start_time)) AS name,
    argMinState(toString(s.service), (toUInt8(s.parent_span_id != ''), s.start_time)) AS service,
    argMinState(toString(s.environment), (toUInt8(s.parent_span_id != ''), s.start_time)) AS environment,
    argMinState(toString(s.release), (toUInt8(s.parent_span_id != ''), s.start_time)) AS release,
    argMinState(toString(s.kind), (toUInt8(s.parent_span_id != ''), s.start_time)) AS kind,
    argMinState(toString(s.status), (toUInt8(s.parent_span_id != ''), s.start_time)) AS status,
    argMinState(s.input_preview, (multiIf(s.input_preview = '', 2, s.parent_span_id = '', 0, 1)::UInt8, s.start_time)) AS input_preview,
    argMaxState(s.output_preview, (multiIf(s.output_preview = '', 0, s.parent_span_id = '', 2, 1)::UInt8, s.start_time)) AS output_preview,
    max(s.session_id) AS session_id,
    max(s.user_id) AS user_id,
    groupUniqArrayIf(toString(s.model), s.model != '') AS models,
    groupUniqArrayArray(s.tags::Array(String)) AS tags,
    groupUniqArrayIf(toString(s.host), s.host != '') AS hosts,
    groupUniqArrayArray(s.gpu_uuids::Array(String)) AS gpu_uuids,
    sumIf(toUInt64(ifNull(s.input_tokens, 0)), s.usage_counted) AS input_tokens,
    sumIf(toUInt64(ifNull(s.output_tokens, 0)), s.usage_counted) AS output_tokens,
    sumIf(toUInt64(ifNull(s.cache_read_tokens, 0)), s.usage_counted) AS cache_read_tokens,
    sumIf(ifNull(s.cost, 0)::Decimal(38, 12), s.usage_counted) AS cost,
    countIf(s.usage_counted AND s.cost IS NULL AND (s.input_tokens > 0 OR s.output_tokens > 0)) AS unpriced_count,
    min(s.ttft_ns) AS ttft_ns,
    max(s.retention_days) AS retention_days
FROM spans AS s
GROUP BY project_id, trace_id;
