-- Re-applying rules looks for spans of older revisions: granules that hold none are skipped.
ALTER TABLE spans ADD INDEX IF NOT EXISTS mapping_revision_range mapping_revision TYPE minmax GRANULARITY 1;
