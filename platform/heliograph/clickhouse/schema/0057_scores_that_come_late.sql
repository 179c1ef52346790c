-- When a verdict of a person or a program was stored. `updated_at` decides between its versions and is the time at which
-- it was given, which may be long before where the store was away meanwhile; and what was judged may be months old. So who
-- reads along what is new reads along this, and the index finds it in whatever week it stands. 1970 for evaluators'
-- verdicts, which come soon after their answers, and for rows of before this: no default, as an expression would be
-- computed anew for those at every reading.
ALTER TABLE scores ADD COLUMN IF NOT EXISTS stored_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1));
ALTER TABLE scores ADD INDEX IF NOT EXISTS stored_at_range stored_at TYPE minmax GRANULARITY 1;
