-- Measurements that stand for a point, with the span that each was taken in: how a histogram's bucket leads to a trace.
ALTER TABLE metric_points
    ADD COLUMN IF NOT EXISTS `exemplars.time` Array(DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `exemplars.value` Array(Float64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `exemplars.trace_id` Array(String) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `exemplars.span_id` Array(String) CODEC(ZSTD(1));
