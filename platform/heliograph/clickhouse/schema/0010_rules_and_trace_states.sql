-- Which redaction rules changed what of a span, such as "e-mail: input"; empty for a span that came as it is stored.
ALTER TABLE spans ADD COLUMN IF NOT EXISTS redacted Array(LowCardinality(String));
-- For how many spans this one stands where a head sampling rule kept it: 1 / rate.
ALTER TABLE spans ADD COLUMN IF NOT EXISTS adjusted_count Float64 DEFAULT 1 CODEC(ZSTD(1));

-- Whether a trace is complete: a root that ended, no span open, no parent missing, nothing new for a while. Beside
-- `traces` and not in it: a trace from before this file has no row here, and is not called incomplete for it.
CREATE TABLE IF NOT EXISTS trace_states
(
    project_id UInt32,
    trace_id String CODEC(ZSTD(1)),
    -- Of the store's clock, as `spans.received_at`.
    last_received SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    span_count SimpleAggregateFunction(sum, UInt64),
    root_ended SimpleAggregateFunction(max, UInt8),
    open_count SimpleAggregateFunction(sum, UInt64),
    -- Hashes of the spans, and of those parents that did not come in the same request; of a large trace the first 512,
    -- and then missing parents are not looked for.
    ids SimpleAggregateFunction(groupUniqArrayArray(512), Array(UInt32)),
    parents SimpleAggregateFunction(groupUniqArrayArray(512), Array(UInt32)),
    -- Tail sampling removed its spans at this time, 1970 where it did not, and why.
    removed_at SimpleAggregateFunction(max, DateTime('UTC')),
    removed_why SimpleAggregateFunction(max, String),
    start_time SimpleAggregateFunction(max, DateTime('UTC')),
    retention_days SimpleAggregateFunction(max, UInt16)
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, trace_id)
TTL start_time + toIntervalDay(retention_days)
SETTINGS index_granularity = 256, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS trace_states_from_spans TO trace_states AS
SELECT
    project_id,
    trace_id,
    max(s.received_at) AS last_received,
    count() AS span_count,
    max(s.parent_span_id = '' AND s.duration_ns IS NOT NULL) AS root_ended,
    countIf(s.duration_ns IS NULL) AS open_count,
    groupUniqArray(512)(toUInt32(cityHash64(s.span_id))) AS ids,
    groupUniqArrayIf(512)(toUInt32(cityHash64(s.parent_span_id)), s.is_entry AND s.parent_span_id != '') AS parents,
    toDateTime(max(s.start_time), 'UTC') AS start_time,
    max(s.retention_days) AS retention_days
FROM spans AS s
GROUP BY project_id, trace_id;
