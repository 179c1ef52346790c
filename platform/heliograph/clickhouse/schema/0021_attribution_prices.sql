-- Prices are per model of GPU, so each share names its own: `hw.name` as the agent gave it, '' where it did not.
-- A list of traces asks for the shares of fifty traces at a time, which the index finds inside their minutes.
ALTER TABLE attributions
    ADD COLUMN IF NOT EXISTS gpu_name LowCardinality(String),
    ADD INDEX IF NOT EXISTS trace_filter trace_id TYPE bloom_filter(0.01) GRANULARITY 1;

-- What the requests of a minute used together: a chart over a month then reads a row a GPU and minute.
-- NULL in minutes from before this file.
ALTER TABLE attribution_windows
    ADD COLUMN IF NOT EXISTS gpu_name LowCardinality(String),
    ADD COLUMN IF NOT EXISTS request_seconds Nullable(Float64),
    ADD COLUMN IF NOT EXISTS request_joules Nullable(Float64),
    ADD COLUMN IF NOT EXISTS request_joules_low Nullable(Float64),
    ADD COLUMN IF NOT EXISTS request_joules_high Nullable(Float64),
    ADD COLUMN IF NOT EXISTS request_unmetered_seconds Nullable(Float64);
