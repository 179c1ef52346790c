"""A scripted day in the store, as its agent, engines and callers send it, shared out: played once for all."""

import gzip
import itertools
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.test import Client
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from collectors.otlp import logs, metrics, traces
from collectors.otlp.limits import Limits
from gpu_agent.export import METRICS_PATH
from heliograph.accounts.models import ApiKey, Organization, Project
from heliograph.clickhouse import client
from heliograph.demo import day_engines, day_gpus
from heliograph.demo.day import Day
from heliograph.query import attribution_windows
from heliograph.query.filters import TimeRange, from_ns, to_ns
from tests.dashboards.conftest import Signed, plain_static_names, signed_in

__all__ = ["Signed", "plain_static_names", "signed_in"]
MINUTES = 20
TRACES_AT_ONCE = 200


@dataclass(frozen=True)
class Played:
    """A day and the project that it was sent to."""

    day: Day
    project_id: int

    @property
    def span(self) -> TimeRange:
        return TimeRange(from_ns(self.day.start_ns), from_ns(self.day.end_ns))

    @property
    def query(self) -> str:
        return urlencode({"from": self.span.start.isoformat(), "to": self.span.end.isoformat()})

    @property
    def api_range(self) -> dict[str, str]:
        return {"start": self.span.start.isoformat(), "end": self.span.end.isoformat()}


def store_otlp(project_id: int, decode: object, table: str, message: bytes) -> None:
    found = decode.decode(message, content_type="protobuf", limits=Limits(), now_ns=to_ns(datetime.now(UTC)))  # type: ignore[attr-defined]  # one of three modules with the same function
    assert not found.rejected
    count = len(next(iter(found.columns.values())))
    client.insert(table, {"project_id": [project_id] * count, "retention_days": [90] * count, **found.columns})


def play(project_id: int, day: Day) -> None:
    for body in day_gpus.play(day, export_s=300):
        is_metrics = body.path == METRICS_PATH
        module, table = (metrics, "metric_points") if is_metrics else (logs, "log_records")
        store_otlp(project_id, module, table, gzip.decompress(body.data))
    for request in day_engines.metrics(day, every_s=30):
        store_otlp(project_id, metrics, "metric_points", request.SerializeToString())
    stream = day_engines.spans(day)
    while batch := list(itertools.islice(stream, TRACES_AT_ONCE)):
        message = encode_spans([span for trace in batch for span in trace])
        store_otlp(project_id, traces, "spans", message.SerializeToString())


@pytest.fixture(scope="session")
def played(store: str) -> Played:
    """The day, played into a project of its own and shared out by the attribution's own function."""
    start = (datetime.now(UTC) - timedelta(hours=2)).replace(second=0, microsecond=0)
    found = Played(Day(to_ns(start), 60 * MINUTES, seed=7), secrets.randbelow(2**30) + 2**30)
    play(found.project_id, found.day)
    attribution_windows.attribute(
        found.project_id, found.day.start_ns // 10**9, MINUTES, retention_days=90, tenant_key="tenant.id"
    )
    return found


@pytest.fixture
def project(db: None, played: Played) -> Project:
    """The project that the day was played into."""
    organization = Organization.objects.create(name="Acme")
    return Project.objects.create(id=played.project_id, organization=organization, name="Day", slug="day")


@pytest.fixture
def other(db: None, project_id: int) -> Project:
    """A project of somebody else, without a GPU."""
    organization = Organization.objects.create(name="Globex")
    return Project.objects.create(id=project_id, organization=organization, name="Else", slug="else")


@pytest.fixture
def reader(project: Project, signed_in: Signed) -> Client:
    """The browser of a member of the day's project."""
    return signed_in(organization=project.organization)


@pytest.fixture
def api(project: Project) -> Client:
    """A program with the day's key."""
    return Client(headers={"x-api-key": ApiKey.issue(project, "day")[1]})
