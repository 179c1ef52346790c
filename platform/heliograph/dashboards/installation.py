"""The health page: how this installation is, for those who run it; docs/runbook.md says what to do."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from kombu import Connection
from kombu.exceptions import OperationalError

from heliograph.clickhouse.errors import StoreError
from heliograph.dashboards.access import personal_page, reader_of
from heliograph.evals.models import EvaluationRule
from heliograph.evals.online.report import Standing, standing
from heliograph.holds.models import Hold
from heliograph.ingest.spool_state import SpoolState, state_of
from heliograph.query.installation import MANY_PARTS, StoreState, store_state

BROKER_SECONDS = 3
# Of the rules that judge: a page of more would be read by nobody.
MAX_RULES = 50
MAX_HOLDS = 50
# Merges need room for the parts that they write beside those that they read.
LITTLE_DISK, TOO_LITTLE_DISK = 0.2, 0.1
# A worker looks each half minute; a backlog this old does not shrink by itself.
OLD_BACKLOG_SECONDS = 900
# Replay begins within seconds of the store's return.
OLD_SPOOL_SECONDS = 60
LONG_QUEUE = 1_000


@dataclass(frozen=True, slots=True)
class Concern:
    """What is wrong, by the name of its section in docs/runbook.md."""

    section: str
    said: str


@dataclass(frozen=True, slots=True)
class Health:
    """All that the page shows; `store` and `queues` are None where they do not answer."""

    store: StoreState | None
    failure: str
    spool: SpoolState
    queues: dict[str, int] | None
    rules: list[tuple[EvaluationRule, Standing]]
    holds: list[Hold]
    free: int
    total: int


@personal_page
def show(request: HttpRequest) -> HttpResponse:
    """Show the page to administrators of the installation; to others there is none."""
    if not reader_of(request).is_superuser:
        raise Http404("Only administrators of the installation see its health.")
    health = look()
    context = {"health": health, "warnings": list(warnings(health)), "now": datetime.now(UTC)}
    return render(request, "dashboards/installation.html", context)


def look() -> Health:
    """Ask everything; what does not answer is None, and the rest is told."""
    store, failure = None, ""
    rules: list[tuple[EvaluationRule, Standing]] = []
    try:
        store = store_state()
        enabled = EvaluationRule.objects.filter(enabled=True).select_related("project")
        rules = [(rule, standing(rule)) for rule in enabled.order_by("project__name", "name")[:MAX_RULES]]
    except StoreError as error:
        failure = error.user_text
    usage = shutil.disk_usage(settings.DATA_DIR)
    spool = state_of(settings.SPOOL_DIR, settings.SPOOL_MAX_BYTES)
    holds = list(Hold.failing().select_related("project")[:MAX_HOLDS])
    return Health(store, failure, spool, _queues(), rules, holds, usage.free, usage.total)


def warnings(health: Health) -> Iterator[Concern]:
    """Yield what somebody should look at now."""
    if health.store is None:
        yield Concern("store-away", health.failure)
    yield from _of_the_broker(health.queues)
    if (health.spool.oldest_s or 0) > OLD_SPOOL_SECONDS:
        yield Concern("spool", f"Telemetry waits in the spool since {health.spool.oldest_s:,.0f} s.")
    yield from _disk("the data folder", health.free, health.total)
    for rule, at in health.rules:
        if at.error:
            yield Concern("evaluator-failing", f"Rule “{rule.name}” of {rule.project.name} fails: {at.error[:200]}")
        elif (at.lag_s or 0) > OLD_BACKLOG_SECONDS and not at.is_spent:
            count = f"{at.backlog:,} spans or more" if at.has_more else f"{at.backlog:,} spans"
            yield Concern("evaluator-backlog", f"Rule “{rule.name}” of {rule.project.name}: {count} wait.")
    for hold in health.holds:
        yield Concern("hold-failing", f"Hold {hold.pk} of {hold.project.name} fails: {hold.error[:200]}")
    if health.store is not None:
        yield from _of_the_store(health.store)


def _of_the_broker(queues: dict[str, int] | None) -> Iterator[Concern]:
    if queues is None:
        yield Concern("broker-away", "The broker of tasks does not answer.")
        return
    for queue, count in queues.items():
        if count > LONG_QUEUE:
            yield Concern("long-queue", f"{count:,} tasks wait for a worker of the queue {queue}.")


def _of_the_store(store: StoreState) -> Iterator[Concern]:
    for table in store.tables:
        if table.most_parts > MANY_PARTS:
            yield Concern("many-parts", f"{table.name} has {table.most_parts:,} parts in one partition.")
    if store.mutations:
        yield Concern("mutations", f"{store.mutations:,} mutations fail, or do not end.")
    for disk in store.disks:
        yield from _disk(f"the store's disk {disk.name}", disk.free, disk.total)


def _disk(name: str, free: int, total: int) -> Iterator[Concern]:
    if total and free < total * LITTLE_DISK:
        how = "nearly full" if free < total * TOO_LITTLE_DISK else "filling up"
        yield Concern("disk", f"The disk of {name} is {how}: {free / total * 100:.0f} % free.")


def _queues() -> dict[str, int] | None:
    """Return how many tasks wait in each queue; None where the broker does not answer."""
    options = getattr(settings, "CELERY_BROKER_TRANSPORT_OPTIONS", {})
    try:
        with Connection(
            settings.CELERY_BROKER_URL, connect_timeout=BROKER_SECONDS, transport_options=options
        ) as broker:
            broker.ensure_connection(max_retries=0, timeout=BROKER_SECONDS)
            # Kombu types it by less than what every transport's channel has.
            channel: Any = broker.default_channel
            names = [queue.name for queue in settings.CELERY_TASK_QUEUES]
            # As workers declare them: RabbitMQ refuses one queue of two kinds.
            declared = (channel.queue_declare(name, durable=True, auto_delete=False) for name in names)
            return {name: int(each.message_count) for name, each in zip(names, declared, strict=True)}
    except (OperationalError, OSError):
        return None
