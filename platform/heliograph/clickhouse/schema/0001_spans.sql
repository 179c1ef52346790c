-- One row a span, stored once: the writer drops a span whose (trace_id, span_id) is there already, so that the
-- materialized views below may count without de-duplicating.
--
-- Order: time first, so that the latest of a project are read without a scan; the trace inside the minute, so that
-- a trace whose minutes are known (`traces.minutes`) costs a granule or two a minute at any size.
CREATE TABLE IF NOT EXISTS spans
(
    project_id UInt32,
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    parent_span_id String CODEC(ZSTD(1)),
    trace_state String CODEC(ZSTD(1)),
    -- No parent, or a parent outside the request that brought the span: where a list may show the trace.
    is_entry Bool,
    start_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    -- NULL while the span has not ended.
    duration_ns Nullable(UInt64) CODEC(ZSTD(1)),
    -- Set by the server when the row is stored: evaluators move their watermark along it.
    received_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),

    service LowCardinality(String),
    environment LowCardinality(String),
    release LowCardinality(String),
    host LowCardinality(String),
    host_id LowCardinality(String),
    process_id Nullable(UInt32),
    service_instance_id String CODEC(ZSTD(1)),
    server_address LowCardinality(String),
    server_port Nullable(UInt16),
    scope_name LowCardinality(String),
    scope_version LowCardinality(String),

    name LowCardinality(String),
    -- agent chain llm embedding retriever reranker tool guardrail evaluator prompt other
    kind LowCardinality(String),
    -- OpenTelemetry's: internal server client producer consumer unspecified
    span_kind LowCardinality(String),
    -- unset ok error
    status LowCardinality(String),
    status_message String CODEC(ZSTD(1)),
    error_type LowCardinality(String),
    -- The convention that named the fields: otel_genai, openinference, ... or '' for a span without GenAI meaning.
    dialect LowCardinality(String),
    operation LowCardinality(String),

    provider LowCardinality(String),
    model_requested LowCardinality(String),
    -- As answered, else as asked.
    model LowCardinality(String),
    model_family LowCardinality(String),
    model_variant LowCardinality(String),
    model_params_b Nullable(Float32),
    model_active_params_b Nullable(Float32),
    model_quantization LowCardinality(String),
    model_bits Nullable(Float32),
    model_format LowCardinality(String),
    adapter LowCardinality(String),

    -- Input includes cache reads and writes, output includes reasoning, whatever the sender's convention was.
    input_tokens Nullable(UInt32) CODEC(ZSTD(1)),
    output_tokens Nullable(UInt32) CODEC(ZSTD(1)),
    cache_read_tokens Nullable(UInt32) CODEC(ZSTD(1)),
    cache_write_tokens Nullable(UInt32) CODEC(ZSTD(1)),
    reasoning_tokens Nullable(UInt32) CODEC(ZSTD(1)),
    -- False on spans that repeat their children's usage (agents, outer wrappers): sums take true ones only.
    usage_counted Bool,
    -- USD at the price of the span's time; NULL where no price is known (cost_note says why).
    input_cost Nullable(Decimal(18, 12)) CODEC(ZSTD(1)),
    output_cost Nullable(Decimal(18, 12)) CODEC(ZSTD(1)),
    cache_read_cost Nullable(Decimal(18, 12)) CODEC(ZSTD(1)),
    cache_write_cost Nullable(Decimal(18, 12)) CODEC(ZSTD(1)),
    cost Nullable(Decimal(18, 12)) CODEC(ZSTD(1)),
    -- What the sender itself reported, kept beside the computed one.
    reported_cost Nullable(Decimal(18, 12)) CODEC(ZSTD(1)),
    cost_source LowCardinality(String),
    cost_note LowCardinality(String),
    ttft_ns Nullable(UInt64) CODEC(ZSTD(1)),
    queue_ns Nullable(UInt64) CODEC(ZSTD(1)),
    prefill_ns Nullable(UInt64) CODEC(ZSTD(1)),
    decode_ns Nullable(UInt64) CODEC(ZSTD(1)),
    finish_reason LowCardinality(String),
    response_id String CODEC(ZSTD(1)),

    session_id String CODEC(ZSTD(1)),
    user_id String CODEC(ZSTD(1)),
    tags Array(LowCardinality(String)),
    prompt_name LowCardinality(String),
    prompt_version LowCardinality(String),
    tool_name LowCardinality(String),
    gpu_uuids Array(LowCardinality(String)),

    -- JSON messages [{"role", "parts": [{"type", ...}], "finish_reason"?}] or, without roles, plain text.
    input String CODEC(ZSTD(3)),
    output String CODEC(ZSTD(3)),
    -- JSON [{"id"?, "content", "score"?, "metadata"?}] of a retriever or reranker.
    documents String CODEC(ZSTD(3)),
    -- The first 200 characters as text, for lists.
    input_preview String CODEC(ZSTD(1)),
    output_preview String CODEC(ZSTD(1)),
    -- Fields and attribute keys that were cut at a cap.
    truncated Array(LowCardinality(String)),

    -- Everything as it came; a value that is no string is JSON.
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(3)),
    resource Map(LowCardinality(String), String) CODEC(ZSTD(3)),
    events Nested
    (
        time DateTime64(9, 'UTC'),
        name LowCardinality(String),
        attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    links Nested
    (
        trace_id String,
        span_id String,
        attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),

    retention_days UInt16,

    INDEX received_at_range received_at TYPE minmax GRANULARITY 1,
    INDEX session_filter session_id TYPE bloom_filter(0.01) GRANULARITY 2,
    INDEX user_filter user_id TYPE bloom_filter(0.01) GRANULARITY 2,
    -- Wide enough not to saturate on a granule of prose: a rare word then reads the granules that hold it.
    INDEX input_words lower(input) TYPE tokenbf_v1(65536, 3, 0) GRANULARITY 1,
    INDEX output_words lower(output) TYPE tokenbf_v1(65536, 3, 0) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toStartOfWeek(start_time, 1)
ORDER BY (project_id, toStartOfMinute(start_time), trace_id, span_id)
TTL toDateTime(start_time) + toIntervalDay(retention_days)
-- The window: an insert that is sent again after an unknown outcome carries the same token and adds only what is missing.
SETTINGS
    index_granularity = 4096,
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 1000,
    -- One file for all columns while a part is small: an insert then writes 3 files instead of 250.
    min_bytes_for_wide_part = 134217728;
