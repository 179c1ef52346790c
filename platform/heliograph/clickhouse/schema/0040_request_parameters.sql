-- What a call asked for beside its model and messages, by OpenTelemetry's names (temperature, max_tokens, seed, ...), and
-- what the server says of itself (system_fingerprint, service_tier). Texts, since a seed has more digits than a double
-- and stop sequences are a list; the numbers among them read back with toFloat64OrNull.
ALTER TABLE spans
    ADD COLUMN IF NOT EXISTS request Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS response Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    -- The tools that the model could call, JSON [{"name", "description"?, "parameters"?, "type"?}].
    ADD COLUMN IF NOT EXISTS tools String CODEC(ZSTD(3)),
    -- Parts of input_tokens and output_tokens, where a sender counts them apart: audio_input, image_output, ...
    ADD COLUMN IF NOT EXISTS modality_tokens Map(LowCardinality(String), UInt32) CODEC(ZSTD(1));
