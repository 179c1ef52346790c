"""OTLP requests to columns: pure functions from bytes, one module a signal."""
