-- What came of every export. Collectors count in their process and insert a page of sums every few seconds, each once
-- by its token. `what` and `reason` are a few dozen words of ours, so a key has a few rows a minute.
CREATE TABLE IF NOT EXISTS ingest_ledger
(
    project_id UInt32,
    -- 0 for a request without a key.
    key_id UInt32,
    signal LowCardinality(String),
    minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    -- requests bytes refused accepted rejected duplicates sampled redacted spooled replayed stored dead revived
    what LowCardinality(String),
    reason LowCardinality(String),
    n Int64 CODEC(ZSTD(1))
)
ENGINE = SummingMergeTree(n)
PARTITION BY toStartOfWeek(minute, 1)
ORDER BY (project_id, minute, key_id, signal, what, reason)
-- A quarter: what is counted by the month can be compared with the months before.
TTL minute + toIntervalDay(92)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Which key brought a span; 0 for none, or for a span older than this column.
ALTER TABLE spans ADD COLUMN IF NOT EXISTS key_id UInt32 DEFAULT 0 CODEC(ZSTD(1));

-- What is stored, by minute of storing, derived from the rows themselves in the same insert: so it is never wrong,
-- whatever dies.
CREATE TABLE IF NOT EXISTS ingest_stored_1m
(
    project_id UInt32,
    minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    key_id UInt32,
    service LowCardinality(String),
    spans SimpleAggregateFunction(sum, UInt64),
    -- Seconds from the span's end until it was stored; without unfinished spans and those of the future.
    lag AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64),
    -- Ended more than five seconds after they were stored: the sender's clock is ahead.
    future SimpleAggregateFunction(sum, UInt64),
    -- Ended more than an hour before: a clock that is behind, a sender that was offline, or a long outage of the store.
    late SimpleAggregateFunction(sum, UInt64),
    -- The largest of each, in seconds.
    ahead_max SimpleAggregateFunction(max, Float64),
    lag_max SimpleAggregateFunction(max, Float64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfWeek(minute, 1)
ORDER BY (project_id, minute, key_id, service)
TTL minute + toIntervalDay(92)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS ingest_stored_1m_from_spans TO ingest_stored_1m AS
SELECT
    project_id,
    toStartOfMinute(s.received_at) AS minute,
    key_id,
    service,
    count() AS spans,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(s.waited, s.ended AND s.waited >= 0) AS lag,
    countIf(s.ended AND s.waited < -5) AS future,
    countIf(s.ended AND s.waited > 3600) AS late,
    maxIf(-s.waited, s.ended AND s.waited < 0) AS ahead_max,
    maxIf(s.waited, s.ended AND s.waited >= 0) AS lag_max
FROM
(
    SELECT
        project_id,
        key_id,
        service,
        received_at,
        duration_ns IS NOT NULL AS ended,
        (toUnixTimestamp64Micro(received_at) - intDiv(toUnixTimestamp64Nano(start_time) + ifNull(duration_ns, 0), 1000)) / 1e6
            AS waited
    FROM spans
) AS s
GROUP BY project_id, minute, key_id, service;
