"""Applying a project's mapping rules to spans that are stored already, beside the ingest and without losing a span."""
