"""The health page's numbers for Prometheus, and what waits in the metadata database: of the whole installation.

Every web process gives the same ones. No series of a project, a rule or a person: their number would have no bound.
"""

import logging
import time
from collections.abc import Iterator

from django.apps import apps
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.db.models import Count, Min, QuerySet
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from heliograph.alerts.models import Delivery
from heliograph.clickhouse import client
from heliograph.conventions.models import Reapplication
from heliograph.dashboards.installation import Health, look
from heliograph.datasets.models import Experiment
from heliograph.gates.models.jobs import Job
from heliograph.ingest.exposition import gauge
from heliograph.query.installation import StoreState
from heliograph.rules.models import DiskState

log = logging.getLogger(__name__)

# Several scrapers and many web processes ask; the store is asked by each process once in so long.
KEPT_SECONDS = 20.0
# Of the nine seconds of a scrape: a store that hangs is one that is away.
STORE_SECONDS = 5.0
OTHER = "other"


class InstallationMetrics(Collector):
    """Asked by one thread at a time (`exposition`)."""

    def __init__(self) -> None:
        self._found: list[Metric] = []
        self._until = 0.0

    def collect(self) -> Iterator[Metric]:
        """Yield what was found lately, or look; Prometheus' own name."""
        if time.monotonic() >= self._until:
            self._found = list(found())
            self._until = time.monotonic() + KEPT_SECONDS
        yield from self._found


def found() -> Iterator[Metric]:
    """Ask everything; what does not answer has a 0 as its `up` and nothing else."""
    close_old_connections()
    try:
        with client.answered_within(STORE_SECONDS):
            health = look()
        waiting = [*_work(), *_deliveries(), *_disk_guard()]
    except DatabaseError:
        log.warning("/metrics: the metadata database does not answer", exc_info=True)
        yield from gauge("metadata_up", "Whether the metadata database answers.", 0)
        return
    finally:
        close_old_connections()
    yield from gauge("metadata_up", "Whether the metadata database answers.", 1)
    yield from gauge("broker_up", "Whether the broker of tasks answers.", int(health.queues is not None))
    yield from _tasks(health.queues or {})
    yield from gauge("data_disk_free_bytes", "Bytes free on the disk of the data folder.", health.free)
    yield from gauge("data_disk_bytes", "Bytes of the disk of the data folder.", health.total)
    yield from waiting
    yield from gauge("holds_failing", "Legal holds that fail again and again.", len(health.holds))
    yield from gauge("store_up", "Whether the store answers.", int(health.store is not None))
    if health.store is not None:
        yield from _evaluators(health)
        yield from _store(health.store)


def _tasks(queues: dict[str, int]) -> Iterator[Metric]:
    said = "Tasks that wait in the broker for a worker, by queue."
    family = GaugeMetricFamily("heliograph_tasks_waiting", said, labels=["queue"])
    for queue, count in queues.items():
        family.add_metric([queue], count)
    yield family


def _evaluators(health: Health) -> Iterator[Metric]:
    standings = [at for _, at in health.rules]
    lags = [at.lag_s or 0.0 for at in standings if not at.is_spent]
    failing = sum(bool(at.error) for at in standings)
    yield from gauge("evaluator_rules", "Rules that judge spans, as many as are looked at.", len(standings))
    yield from gauge(
        "evaluator_backlog_spans",
        "Spans that fit a rule and are not judged, of all rules; 100,000 of a rule at most.",
        sum(a.backlog for a in standings),
    )
    yield from gauge(
        "evaluator_lag_seconds",
        "The longest that a span waits to be judged, by rules with a budget left.",
        max(lags, default=0.0),
    )
    yield from gauge("evaluator_failing_rules", "Rules whose last turn ended in an error.", failing)


def _work() -> Iterator[Metric]:
    counts = GaugeMetricFamily("heliograph_jobs_waiting", "Jobs that are not done yet, by kind.", labels=["kind"])
    ages = GaugeMetricFamily("heliograph_jobs_oldest_seconds", "Age of the oldest of them, by kind.", labels=["kind"])
    for kind, rows in _jobs():
        counted = rows.order_by().aggregate(n=Count("pk"), since=Min("created_at"))
        age = (timezone.now() - counted["since"]).total_seconds() if counted["since"] else 0.0
        counts.add_metric([kind], counted["n"])
        ages.add_metric([kind], max(0.0, age))
    yield from (counts, ages)


def _jobs() -> "Iterator[tuple[str, QuerySet[Experiment] | QuerySet[Reapplication] | QuerySet[Job]]]":
    yield "experiment", Experiment.objects.filter(status__in=Experiment.OPEN, kind=Experiment.Kind.ENDPOINT)
    yield "reapplication", Reapplication.objects.filter(status__in=Reapplication.OPEN)
    for model in apps.get_models():
        if issubclass(model, Job):
            is_open = (Job.Status.QUEUED, Job.Status.RUNNING)
            yield str(model._meta.model_name), model._default_manager.filter(status__in=is_open)


def _deliveries() -> Iterator[Metric]:
    waiting = Delivery.objects.filter(status=Delivery.Status.WAITING, channel__is_paused=False)
    said = "Messages of alerts to channels that are not paused, by where they stand."
    family = GaugeMetricFamily("heliograph_deliveries", said, labels=["status"])
    family.add_metric(["waiting"], waiting.count())
    family.add_metric(["dead"], Delivery.objects.filter(status=Delivery.Status.DEAD, channel__is_paused=False).count())
    yield family
    oldest = waiting.aggregate(since=Min("created_at"))["since"]
    age = max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0
    yield from gauge("deliveries_oldest_seconds", "Age of the oldest message that waits.", age)


def _disk_guard() -> Iterator[Metric]:
    state = DiskState.objects.filter(pk=1).first() or DiskState()
    level = list(DiskState.Level).index(DiskState.Level(state.level))
    yield from gauge(
        "disk_guard_level", "0 room enough, 1 filling, 2 new traces are sampled, 3 weeks are dropped.", level
    )
    yield from gauge("disk_guard_used_ratio", "The fuller of the store's disk and its budget, 1 is full.", state.share)
    looked, dropped = (at.timestamp() if at else None for at in (state.checked_at, state.dropped_at))
    yield from gauge("disk_guard_looked_timestamp_seconds", "When the disk guard looked last.", looked)
    yield from gauge("disk_guard_dropped_timestamp_seconds", "When the disk guard dropped weeks last.", dropped)


def _store(store: StoreState) -> Iterator[Metric]:
    known = set(client.tables())
    names = {
        "bytes": "Bytes on disk",
        "rows": "Rows",
        "parts": "Active parts",
        "most_parts": "Most parts of a partition",
    }
    for name, said in names.items():
        family = GaugeMetricFamily(f"heliograph_store_{name}", f"{said} of the store's tables.", labels=["table"])
        of_table: dict[str, int] = {}
        for table in store.tables:
            # What is none of ours, such as the server's own inner tables, is one series.
            key, value = table.name if table.name in known else OTHER, getattr(table, name)
            before = of_table.get(key, 0)
            of_table[key] = max(before, value) if name == "most_parts" else before + value
        for key, value in of_table.items():
            family.add_metric([key], value)
        yield family
    for name, said in {"free": "Bytes free", "total": "Bytes in all"}.items():
        family = GaugeMetricFamily(
            f"heliograph_store_disk_{name}_bytes", f"{said} of the store's disks.", labels=["disk"]
        )
        for disk in store.disks:
            if not disk.is_bucket:
                family.add_metric([disk.name], getattr(disk, name))
        yield family
    family = GaugeMetricFamily("heliograph_store_disk_used_bytes", "Bytes of the tables on a disk.", labels=["disk"])
    for disk in store.disks:
        family.add_metric([disk.name], disk.used)
    yield family
    yield from gauge(
        "store_stuck_mutations", "Mutations that fail, or go on for over a quarter of an hour.", store.mutations
    )
    yield from gauge("store_running_queries", "Questions that run now, twenty at most.", len(store.running))
    longest = max((each.seconds for each in store.running), default=0.0)
    yield from gauge("store_longest_query_seconds", "Since when the longest of them runs.", longest)
    slowest = None if store.slow is None else max((each.worst for each in store.slow), default=0.0)
    yield from gauge(
        "store_slowest_query_seconds", "The slowest question of the last hour, by the server's own log.", slowest
    )
    last = store.last_span.timestamp() if store.last_span else None
    yield from gauge("store_last_span_timestamp_seconds", "When the store took a span last, within a day.", last)
