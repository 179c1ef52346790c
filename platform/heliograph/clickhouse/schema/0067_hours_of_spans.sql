-- Sums of an hour's spans by user, by model and by version of a prompt: what the costs, one model and one prompt ask of
-- every model call of a range. Made by merges (0066); parts that are not merged yet are read span by span, by the same
-- questions. Deleting spans makes them anew for the parts that it touches.
-- where known: materialize_projections_on_merge
ALTER TABLE spans MODIFY SETTING materialize_projections_on_insert = 0, materialize_projections_on_merge = 1;
ALTER TABLE spans MODIFY SETTING lightweight_mutation_projection_mode = 'rebuild';

ALTER TABLE spans ADD PROJECTION IF NOT EXISTS hours_of_users
(
    SELECT
        project_id, toStartOfHour(start_time), user_id,
        sumIf(cost, kind IN ('llm', 'embedding', 'reranker') AND usage_counted AND (input_tokens > 0 OR output_tokens > 0)),
        countIf(kind IN ('llm', 'embedding', 'reranker') AND usage_counted AND (input_tokens > 0 OR output_tokens > 0)),
        countIf(kind IN ('llm', 'embedding', 'reranker') AND usage_counted AND (input_tokens > 0 OR output_tokens > 0)
            AND isNull(cost))
    GROUP BY project_id, toStartOfHour(start_time), user_id
);

ALTER TABLE spans ADD PROJECTION IF NOT EXISTS hours_of_models
(
    SELECT
        project_id, toStartOfHour(start_time), kind, service, model, model_requested, adapter,
        count(), min(start_time), max(start_time),
        sumIf(cost, kind IN ('llm', 'embedding', 'reranker') AND usage_counted AND (input_tokens > 0 OR output_tokens > 0)),
        countIf(kind IN ('llm', 'embedding', 'reranker') AND usage_counted AND (input_tokens > 0 OR output_tokens > 0)),
        countIf(kind IN ('llm', 'embedding', 'reranker') AND usage_counted AND (input_tokens > 0 OR output_tokens > 0)
            AND isNull(cost))
    GROUP BY project_id, toStartOfHour(start_time), kind, service, model, model_requested, adapter
);

-- The prompt before the hour, so that one prompt's rows lie together. Of each call a hash, and one of its trace: by
-- these scores are found, which name a span, or a trace as a whole.
ALTER TABLE spans ADD PROJECTION IF NOT EXISTS hours_of_prompts
(
    SELECT
        project_id, prompt_name, prompt_version, toStartOfHour(start_time),
        groupArrayIf(cityHash64(trace_id, span_id), prompt_name != ''),
        groupUniqArrayIf(cityHash64(trace_id), prompt_name != '')
    GROUP BY project_id, prompt_name, prompt_version, toStartOfHour(start_time)
);

-- dangerous: gives each part of what is stored these sums, in the background; its columns stay as they are.
ALTER TABLE spans
    MATERIALIZE PROJECTION hours_of_users,
    MATERIALIZE PROJECTION hours_of_models,
    MATERIALIZE PROJECTION hours_of_prompts
SETTINGS mutations_sync = 0;

-- A page of one person's traces reads granules of 256 rows all over the table, and of each column a block was unpacked
-- that held 30 of them. Smaller ones make that half the work, a reading of all of them an eighth more, and take 1 % more
-- disk. For parts from now on.
ALTER TABLE traces MODIFY SETTING min_compress_block_size = 16384, max_compress_block_size = 65536;
