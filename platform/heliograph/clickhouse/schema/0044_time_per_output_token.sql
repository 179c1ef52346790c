-- Time per output token after the first, in ns, beside the other quantiles of a minute; rows of before have none.
ALTER TABLE span_rollups_1m
    ADD COLUMN IF NOT EXISTS tpot AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Nullable(Float64));
ALTER TABLE span_rollups_removed
    ADD COLUMN IF NOT EXISTS tpot AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Nullable(Float64));

-- As in 0042, with what is new.
ALTER TABLE span_rollups_1m_from_spans MODIFY QUERY
SELECT
    project_id,
    toStartOfMinute(s.start_time) AS minute,
    s.parent_span_id = '' AS is_root,
    kind,
    service,
    environment,
    release,
    provider,
    model,
    adapter,
    operation,
    count() AS spans,
    countIf(s.status = 'error') AS errors,
    quantilesTDigestState(0.5, 0.95, 0.99)(s.duration_ns) AS duration,
    quantilesTDigestState(0.5, 0.95, 0.99)(s.ttft_ns) AS ttft,
    sumIf(toUInt64(ifNull(s.input_tokens, 0)), s.usage_counted) AS input_tokens,
    sumIf(toUInt64(ifNull(s.output_tokens, 0)), s.usage_counted) AS output_tokens,
    sumIf(toUInt64(ifNull(s.cache_read_tokens, 0)), s.usage_counted) AS cache_read_tokens,
    sumIf(toUInt64(ifNull(s.reasoning_tokens, 0)), s.usage_counted) AS reasoning_tokens,
    sumIf(ifNull(s.cost, 0)::Decimal(38, 12), s.usage_counted) AS cost,
    countIf(s.usage_counted AND s.cost IS NULL AND (s.input_tokens > 0 OR s.output_tokens > 0)) AS unpriced_count,
    max(s.retention_days) AS retention_days,
    sum(s.adjusted_count - 1) AS unseen_spans,
    sumIf(ifNull(s.input_tokens, 0) * (s.adjusted_count - 1), s.usage_counted) AS unseen_input_tokens,
    sumIf(ifNull(s.output_tokens, 0) * (s.adjusted_count - 1), s.usage_counted) AS unseen_output_tokens,
    sumIf(toFloat64(ifNull(s.cost, 0)) * (s.adjusted_count - 1), s.usage_counted) AS unseen_cost,
    quantilesTDigestState(0.5, 0.95, 0.99)(if(
        s.usage_counted AND s.output_tokens > 1 AND s.duration_ns >= s.ttft_ns,
        (s.duration_ns - s.ttft_ns) / (s.output_tokens - 1),
        NULL
    )::Nullable(Float64)) AS tpot
FROM spans AS s
GROUP BY project_id, minute, is_root, kind, service, environment, release, provider, model, adapter, operation;
