"""Heliograph's own telemetry: every instrument and every attribute name, in one file.

docs/metrics.md lists them for people, and a test keeps the two equal. Names follow OpenTelemetry's rules: dots,
units in the unit, durations in seconds.
"""

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import CardinalityLimits, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, ProcessCollector

from heliograph import env

_meter = metrics.get_meter("heliograph")

# --- Attributes --------------------------------------------------------------------------------------------------
SIGNAL = "heliograph.signal"  # traces metrics logs
OUTCOME = "heliograph.outcome"  # stored spooled empty refused, at an edge forwarded
REASON = "heliograph.reason"  # why a request was refused, an item rejected or a body set aside
QUESTION = "heliograph.question"  # the tag of a question to the store

# --- Ingest ------------------------------------------------------------------------------------------------------
ingest_requests = _meter.create_counter(
    "heliograph.ingest.requests", unit="{request}", description="Export requests by signal and outcome."
)
ingest_refused = _meter.create_counter(
    "heliograph.ingest.refused", unit="{request}", description="Export requests refused as a whole, by reason."
)
ingest_accepted = _meter.create_counter(
    "heliograph.ingest.accepted", unit="{item}", description="Spans, data points and log records accepted."
)
ingest_rejected = _meter.create_counter(
    "heliograph.ingest.rejected", unit="{item}", description="Items refused inside accepted requests, by reason."
)
ingest_sampled = _meter.create_counter(
    "heliograph.ingest.sampled", unit="{item}", description="Items left out by a head sampling rule."
)
ingest_redacted = _meter.create_counter(
    "heliograph.ingest.redacted", unit="{item}", description="Items of which a redaction rule blanked something."
)
ingest_duplicates = _meter.create_counter(
    "heliograph.ingest.duplicates", unit="{item}", description="Spans that were stored already and were dropped."
)
ingest_refused_by_views = _meter.create_counter(
    "heliograph.ingest.refused_by_views", unit="{item}", description="Spans that are stored and that a view refused."
)
ingest_spooled = _meter.create_counter(
    "heliograph.ingest.spooled", unit="{request}", description="Requests kept on disk while the store was away."
)
ingest_replayed = _meter.create_counter(
    "heliograph.ingest.replayed", unit="{request}", description="Spooled requests that reached the store."
)
ingest_dead_letters = _meter.create_counter(
    "heliograph.ingest.dead_letters", unit="{request}", description="Requests kept as dead letters, by reason."
)
ingest_blobs = _meter.create_counter(
    "heliograph.ingest.blobs", unit="{blob}", description="Images, sounds and files cut out of spans and kept apart."
)
ingest_commit_duration = _meter.create_histogram(
    "heliograph.ingest.commit.duration",
    unit="s",
    description="Time of one group commit, look-up of duplicates included.",
    explicit_bucket_boundaries_advisory=[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
)
ingest_commit_rows = _meter.create_histogram(
    "heliograph.ingest.commit.rows",
    unit="{row}",
    description="Rows of one group commit.",
    explicit_bucket_boundaries_advisory=[1, 10, 100, 300, 1_000, 3_000, 10_000, 30_000],
)


# --- Store -------------------------------------------------------------------------------------------------------
store_query_duration = _meter.create_histogram(
    "heliograph.store.query.duration",
    unit="s",
    description="Time of one question to the store, as this process waited for it.",
    explicit_bucket_boundaries_advisory=[0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
)
store_slow_queries = _meter.create_counter(
    "heliograph.store.slow_queries", unit="{query}", description="Questions to the store that took over a second."
)
store_failed_queries = _meter.create_counter(
    "heliograph.store.failed_queries", unit="{query}", description="Questions to the store that ended in an error."
)

# What /metrics of this process answers of the instruments above, and of the process itself.
REGISTRY = CollectorRegistry()
# Names are ours and values few: the tags of all questions, the reasons of all refusals. Beyond it, one series for all.
MOST_SERIES = 500


# Without it, each name of a host that anybody asks by is a series.
_OF_REQUESTS = View(
    instrument_name="http.server.*", attribute_keys={"http.request.method", "http.response.status_code"}
)


def configure(service: str, *own: MetricReader) -> None:
    """Show this process's metrics on /metrics, and export them where OTEL_EXPORTER_OTLP_ENDPOINT points.

    The exporter reads OpenTelemetry's own OTEL_* variables; ..._METRICS_ENDPOINT does too.
    """
    limits = CardinalityLimits({Counter: MOST_SERIES, Histogram: MOST_SERIES})
    readers: list[MetricReader] = [
        PrometheusMetricReader(scope_info_enabled=False, registry=REGISTRY, cardinality_limits=limits),
        *own,
    ]
    if env.text("OTEL_EXPORTER_OTLP_ENDPOINT") or env.text("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    ProcessCollector(registry=REGISTRY)
    metrics.set_meter_provider(
        MeterProvider(
            readers, resource=Resource.create({"service.name": f"heliograph-{service}"}), views=[_OF_REQUESTS]
        )
    )
