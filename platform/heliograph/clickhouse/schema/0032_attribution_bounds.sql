-- GPU-seconds are an estimate as joules are: what they would be under other weights (docs/attribution.md).
ALTER TABLE attributions
    ADD COLUMN IF NOT EXISTS gpu_seconds_low Float64 DEFAULT gpu_seconds,
    ADD COLUMN IF NOT EXISTS gpu_seconds_high Float64 DEFAULT gpu_seconds;

ALTER TABLE attribution_windows
    ADD COLUMN IF NOT EXISTS request_seconds_low Nullable(Float64) DEFAULT request_seconds,
    ADD COLUMN IF NOT EXISTS request_seconds_high Nullable(Float64) DEFAULT request_seconds;
