"""Pages of metrics as Prometheus and OpenMetrics write them, read and turned into OTLP metrics."""
