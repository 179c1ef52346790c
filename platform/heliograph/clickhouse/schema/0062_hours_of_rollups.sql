-- The sums of an hour beside those of its minutes, which a question for the whole of a range reads instead: a day has
-- 24 of them, and a digest of an hour's latencies is a tenth of its minutes' in a busy project. A projection and no
-- table of its own: the store itself keeps it true to the minutes, where these expire, are deleted or derived again, and
-- reads the minutes where a part has none of it yet. A column that is added to the rollup is not in it: then this
-- projection is dropped and made anew under another name.
ALTER TABLE span_rollups_1m
    MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild';

ALTER TABLE span_rollups_1m ADD PROJECTION IF NOT EXISTS hours
(
    SELECT
        project_id, toStartOfHour(minute), is_root, kind, service, environment, release, provider, model, adapter,
        operation,
        sum(spans), sum(errors), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(reasoning_tokens),
        sum(cost), sum(unpriced_count), sum(unseen_spans), sum(unseen_input_tokens), sum(unseen_output_tokens),
        sum(unseen_cost),
        quantilesTDigestMergeState(0.5, 0.95, 0.99)(duration),
        quantilesTDigestMergeState(0.5, 0.95, 0.99)(ttft),
        quantilesTDigestMergeState(0.5, 0.95, 0.99)(tpot)
    GROUP BY
        project_id, toStartOfHour(minute), is_root, kind, service, environment, release, provider, model, adapter,
        operation
);

-- dangerous: gives each part of what is stored the sums of its hours, in the background; its columns stay as they are.
ALTER TABLE span_rollups_1m MATERIALIZE PROJECTION hours;
