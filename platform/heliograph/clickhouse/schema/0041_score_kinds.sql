-- What a score says: a number, a label alone (a category that somebody chose), or nothing, where no verdict was possible
-- and the label says why. Of rows from before this, a label that came without a number from anybody but an evaluator of
-- our own is a category.
ALTER TABLE scores ADD COLUMN IF NOT EXISTS kind LowCardinality(String)
    DEFAULT multiIf(value IS NOT NULL, 'number', label != '' AND source != 'evaluator', 'label', 'unscored');
