-- Which model, with which fingerprint of its provider's system, answered what was asked for: a row an hour for each, so
-- that a change is found without reading spans. Failed calls are left out, whose answer names no model. Times only, no
-- counts: a span whose mapping is applied again passes here again.
CREATE TABLE IF NOT EXISTS served_models
(
    project_id UInt32,
    hour DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    service LowCardinality(String),
    model_requested LowCardinality(String),
    model LowCardinality(String),
    fingerprint String CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    retention_days SimpleAggregateFunction(max, UInt16)
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfWeek(hour, 1)
ORDER BY (project_id, hour, service, model_requested, model, fingerprint)
TTL hour + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS served_models_from_spans TO served_models AS
SELECT
    project_id,
    toStartOfHour(s.start_time) AS hour,
    service,
    model_requested,
    model,
    -- OpenTelemetry's newest and older names, LangSmith's, LiteLLM's.
    multiIf(
        s.attributes['openai.response.system_fingerprint'] != '', s.attributes['openai.response.system_fingerprint'],
        s.attributes['gen_ai.openai.response.system_fingerprint'] != '', s.attributes['gen_ai.openai.response.system_fingerprint'],
        s.attributes['gen_ai.response.system_fingerprint'] != '', s.attributes['gen_ai.response.system_fingerprint'],
        s.attributes['llm.openai.system_fingerprint']
    ) AS fingerprint,
    min(s.start_time) AS first_seen,
    max(s.start_time) AS last_seen,
    max(s.retention_days) AS retention_days
FROM spans AS s
WHERE s.kind IN ('llm', 'embedding', 'reranker') AND s.model_requested != '' AND s.model != '' AND s.status != 'error'
GROUP BY project_id, hour, service, model_requested, model, fingerprint;
