-- Projections of the rollup are made by merges and no longer by inserts, so that further ones cost an insert nothing
-- (docs/adr/0077). Parts that are not merged yet are read as they are, and they are small. A server that has no such
-- settings goes on making them with each insert.
-- where known: materialize_projections_on_merge
ALTER TABLE span_rollups_1m
    MODIFY SETTING materialize_projections_on_insert = 0, materialize_projections_on_merge = 1;

-- Quarters of an hour by model and by service, as 0065 by kind: what charts and tables of one of them read.
ALTER TABLE span_rollups_1m ADD PROJECTION IF NOT EXISTS quarters_of_models
(
    SELECT
        project_id, toStartOfFifteenMinutes(minute), is_root, kind, provider, model, adapter,
        sum(spans), sum(errors), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(reasoning_tokens),
        sum(cost), sum(unpriced_count), sum(unseen_spans), sum(unseen_input_tokens), sum(unseen_output_tokens),
        sum(unseen_cost),
        quantilesTDigestMergeState(0.5, 0.95, 0.99)(duration),
        quantilesTDigestMergeState(0.5, 0.95, 0.99)(ttft),
        quantilesTDigestMergeState(0.5, 0.95, 0.99)(tpot)
    GROUP BY project_id, toStartOfFifteenMinutes(minute), is_root, kind, provider, model, adapter
);

ALTER TABLE span_rollups_1m ADD PROJECTION IF NOT EXISTS quarters_of_services
(
    SELECT
        project_id, toStartOfFifteenMinutes(minute), is_root, kind, service,
        sum(spans), sum(errors), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(reasoning_tokens),
        sum(cost), sum(unpriced_count), sum(unseen_spans), sum(unseen_input_tokens), sum(unseen_output_tokens),
        sum(unseen_cost),
        quantilesTDigestMergeState(0.5, 0.95, 0.99)(duration),
        quantilesTDigestMergeState(0.5, 0.95, 0.99)(ttft),
        quantilesTDigestMergeState(0.5, 0.95, 0.99)(tpot)
    GROUP BY project_id, toStartOfFifteenMinutes(minute), is_root, kind, service
);

-- dangerous: gives each part of what is stored these sums, in the background; its columns stay as they are.
ALTER TABLE span_rollups_1m
    MATERIALIZE PROJECTION quarters_of_models,
    MATERIALIZE PROJECTION quarters_of_services
SETTINGS mutations_sync = 0;
