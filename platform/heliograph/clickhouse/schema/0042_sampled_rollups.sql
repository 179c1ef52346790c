-- For how much more traffic the stored spans stand, where it was sampled before it came here or when it did: sums of
-- what `adjusted_count` says beyond the span itself. Beside the counts and not in them: those stay whole numbers of
-- what is stored, and rows from before this file say 0.
ALTER TABLE span_rollups_1m
    ADD COLUMN IF NOT EXISTS unseen_spans SimpleAggregateFunction(sum, Float64),
    ADD COLUMN IF NOT EXISTS unseen_input_tokens SimpleAggregateFunction(sum, Float64),
    ADD COLUMN IF NOT EXISTS unseen_output_tokens SimpleAggregateFunction(sum, Float64),
    ADD COLUMN IF NOT EXISTS unseen_cost SimpleAggregateFunction(sum, Float64);

-- In the same order, since rows are copied from it as they are.
ALTER TABLE span_rollups_removed
    ADD COLUMN IF NOT EXISTS unseen_spans SimpleAggregateFunction(sum, Float64),
    ADD COLUMN IF NOT EXISTS unseen_input_tokens SimpleAggregateFunction(sum, Float64),
    ADD COLUMN IF NOT EXISTS unseen_output_tokens SimpleAggregateFunction(sum, Float64),
    ADD COLUMN IF NOT EXISTS unseen_cost SimpleAggregateFunction(sum, Float64);

-- As in 0003, with what is new. No insert goes by without a view meanwhile, as it would between a drop and a create.
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
    sumIf(toFloat64(ifNull(s.cost, 0)) * (s.adjusted_count - 1), s.usage_counted) AS unseen_cost
FROM spans AS s
GROUP BY project_id, minute, is_root, kind, service, environment, release, provider, model, adapter, operation;
