-- dangerous: the rows inserted below are of times alone, so that inserting them twice changes nothing.
-- Who was served: sessions and users, as spans name them. Which traces are whose, by id, and when each was seen, by hour:
-- so a list of the latest reads the latest hours, and one session reads its own traces. Times only, no sums: tokens and
-- costs stand in `traces`, also where only the root names the session and its calls do not.
CREATE TABLE IF NOT EXISTS subject_traces
(
    project_id UInt32,
    -- session user
    kind LowCardinality(String),
    id String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    retention_days SimpleAggregateFunction(max, UInt16)
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, kind, id, trace_id)
TTL toDateTime(last_seen) + toIntervalDay(retention_days)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS subject_hours
(
    project_id UInt32,
    kind LowCardinality(String),
    hour DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    id String CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    retention_days SimpleAggregateFunction(max, UInt16),
    INDEX id_filter id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfWeek(hour, 1)
ORDER BY (project_id, kind, hour, id)
TTL hour + toIntervalDay(retention_days)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS subject_traces_from_spans TO subject_traces AS
SELECT
    project_id,
    subject.1 AS kind,
    subject.2 AS id,
    trace_id,
    min(s.start_time) AS first_seen,
    max(s.start_time) AS last_seen,
    max(s.retention_days) AS retention_days
FROM spans AS s
ARRAY JOIN [('session', s.session_id), ('user', s.user_id)] AS subject
WHERE subject.2 != ''
GROUP BY project_id, kind, id, trace_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS subject_hours_from_spans TO subject_hours AS
SELECT
    project_id,
    subject.1 AS kind,
    toStartOfHour(s.start_time) AS hour,
    subject.2 AS id,
    min(s.start_time) AS first_seen,
    max(s.start_time) AS last_seen,
    max(s.retention_days) AS retention_days
FROM spans AS s
ARRAY JOIN [('session', s.session_id), ('user', s.user_id)] AS subject
WHERE subject.2 != ''
GROUP BY project_id, kind, hour, id;

INSERT INTO subject_traces (project_id, kind, id, trace_id, first_seen, last_seen, retention_days)
SELECT project_id, subject.1, subject.2, trace_id, min(start_time), max(start_time), max(retention_days)
FROM spans
ARRAY JOIN [('session', session_id), ('user', user_id)] AS subject
WHERE subject.2 != ''
GROUP BY project_id, subject.1, subject.2, trace_id;

INSERT INTO subject_hours (project_id, kind, hour, id, first_seen, last_seen, retention_days)
SELECT project_id, subject.1, toStartOfHour(start_time), subject.2, min(start_time), max(start_time), max(retention_days)
FROM spans
ARRAY JOIN [('session', session_id), ('user', user_id)] AS subject
WHERE subject.2 != ''
GROUP BY project_id, subject.1, toStartOfHour(start_time), subject.2;
