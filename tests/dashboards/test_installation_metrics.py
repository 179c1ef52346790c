"""The installation on /metrics: every part, without one that is away, and as docs/metrics.md lists it."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from prometheus_client.core import Metric
from pytest_django import Settings

from heliograph.accounts.models import Project
from heliograph.alerts.models import Channel, Delivery
from heliograph.dashboards import installation_metrics
from heliograph.dashboards.installation_metrics import InstallationMetrics, found
from heliograph.exports.models import Export
from heliograph.ingest.exposition import spool_metrics
from heliograph.ingest.spool_state import SpoolState
from heliograph.rules.models import DiskState
from tests.query.rows import new_trace_id, span, store_spans

DOCS = (Path(__file__).resolve().parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(?P<name>heliograph_[a-z_]+)` \| (?P<labels>.*?) \| (?P<meaning>.*) \|$", re.MULTILINE)


def values(families: list[Metric]) -> dict[str, float]:
    return {
        each.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for each in families
        for sample in each.samples
    }


def test_every_part_tells_how_it_is(store: str, project: Project) -> None:
    store_spans(project.pk, span(new_trace_id(), 1))
    channel = Channel.objects.create(project=project, name="hook", kind="webhook")
    now = timezone.now()
    for status in (Delivery.Status.WAITING, Delivery.Status.DEAD, Delivery.Status.DEAD, Delivery.Status.DELIVERED):
        old = now - timedelta(hours=1)
        Delivery.objects.create(project=project, channel=channel, payload={"type": "x"}, status=status, created_at=old)
    Export.objects.create(project=project, start=now, end=now)
    Export.objects.create(project=project, start=now, end=now, status=Export.Status.DONE)
    DiskState.objects.create(pk=1, level=DiskState.Level.SAMPLE, share=0.91, checked_at=now)
    got = values(list(found()))
    assert (got["heliograph_store_up"], got["heliograph_metadata_up"], got["heliograph_broker_up"]) == (1, 1, 1)
    assert (got["heliograph_deliveries[waiting]"], got["heliograph_deliveries[dead]"]) == (1, 2)
    assert got["heliograph_deliveries_oldest_seconds"] >= 3_600
    assert got["heliograph_jobs_waiting[export]"] == 1
    assert (got["heliograph_disk_guard_level"], got["heliograph_disk_guard_used_ratio"]) == (2, 0.91)
    assert got["heliograph_store_rows[spans]"] >= 1
    assert got["heliograph_store_bytes[spans]"] > 0
    assert got["heliograph_store_most_parts[spans]"] >= 1
    assert got["heliograph_store_last_span_timestamp_seconds"] > 1e9
    assert got["heliograph_evaluator_rules"] >= 0


def test_a_store_and_a_broker_that_are_away_are_said_and_nothing_is_guessed(
    store: str, project: Project, settings: Settings
) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    settings.CLICKHOUSE_URL = "clickhouse://heliograph:x@127.0.0.1:1/heliograph"
    got = values(list(found()))
    assert (got["heliograph_store_up"], got["heliograph_broker_up"], got["heliograph_metadata_up"]) == (0, 0, 1)
    assert not [
        name for name in got if name.startswith(("heliograph_store_rows", "heliograph_tasks", "heliograph_eval"))
    ]
    assert got["heliograph_deliveries[waiting]"] == 0


def test_impatient_scrapers_do_not_ask_the_store_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(installation_metrics, "found", lambda: looks.append(1) or [])
    monkeypatch.setattr(installation_metrics, "KEPT_SECONDS", 3_600.0)
    collector = InstallationMetrics()
    for _ in range(3):
        list(collector.collect())
    assert looks == [1]


def test_every_number_is_documented_with_its_labels_and_meaning(store: str, project: Project) -> None:
    families = [*found(), *spool_metrics(SpoolState(0, 0, 1, None))]
    told = {each.name: (each.documentation, {key for s in each.samples for key in s.labels}) for each in families}
    written = {
        row["name"]: (row["meaning"], set(re.findall(r"`([a-z]+)`", row["labels"]))) for row in ROW.finditer(DOCS)
    }
    # Not known yet in a store of a test's: a log of queries, a disk guard that looked, a week that it dropped, a span.
    only_sometimes = {
        "heliograph_store_slowest_query_seconds",
        "heliograph_disk_guard_looked_timestamp_seconds",
        "heliograph_disk_guard_dropped_timestamp_seconds",
        "heliograph_store_last_span_timestamp_seconds",
    }
    assert {name: written[name] for name in told if name in written} == told
    assert set(written) - set(told) <= only_sometimes
    assert only_sometimes <= set(written)
