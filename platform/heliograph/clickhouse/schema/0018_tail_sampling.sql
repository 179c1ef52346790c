-- What tail sampling decided of a trace beside `removed_at`: kept at this time, 1970 where it did not, and which rule
-- wanted it. So a trace that gets more spans later is not decided, or counted, a second time.
ALTER TABLE trace_states ADD COLUMN IF NOT EXISTS kept_at SimpleAggregateFunction(max, DateTime('UTC'));
ALTER TABLE trace_states ADD COLUMN IF NOT EXISTS kept_why SimpleAggregateFunction(max, String);

-- What spans that tail sampling removed had added to span_rollups_1m, and add to it still: where a minute is derived
-- from its spans again, this is added. Whoever changes the one table changes the other; a test compares.
CREATE TABLE IF NOT EXISTS span_rollups_removed AS span_rollups_1m;
