-- The sums of a quarter of an hour by kind alone, beside those of the hour in 0062: a chart of all traffic of a day has a
-- point for each quarter, and merged the digests of every combination that a minute had. A day of these is some hundred
-- rows, whatever the traffic and its variety.
ALTER TABLE span_rollups_1m ADD PROJECTION IF NOT EXISTS quarters_of_kinds
(
    SELECT
        project_id, toStartOfFifteenMinutes(minute), is_root, kind,
        sum(spans), sum(errors), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(reasoning_tokens),
        sum(cost), sum(unpriced_count), sum(unseen_spans), sum(unseen_input_tokens), sum(unseen_output_tokens),
        sum(unseen_cost),
        quantilesTDigestMergeState(0.5, 0.95, 0.99)(duration),
        quantilesTDigestMergeState(0.5, 0.95, 0.99)(ttft),
        quantilesTDigestMergeState(0.5, 0.95, 0.99)(tpot)
    GROUP BY project_id, toStartOfFifteenMinutes(minute), is_root, kind
);

-- dangerous: gives each part of what is stored the sums of its quarters, in the background; its columns stay as they are.
ALTER TABLE span_rollups_1m MATERIALIZE PROJECTION quarters_of_kinds;
