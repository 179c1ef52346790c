"""A collector that takes traffic, a project here that reads the same store, and a receiver that checks signatures."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from django.conf import settings as django_settings
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pytest_django import Settings
from standardwebhooks import Webhook

from heliograph.accounts.models import Organization, Project
from heliograph.accounts.secrets import encrypt
from heliograph.alerts import deliver, tell
from heliograph.alerts.evaluate import evaluate
from heliograph.alerts.models import Channel, Rule
from heliograph.alerts.transports.post import as_body
from heliograph.alerts.transports.webhook.fields import new_secret
from heliograph.clickhouse.client import close_connections
from tests.ingest.conftest import stack as stack  # noqa: PLC0414  # the fixture
from tests.ingest.stack import Stack, Tenant, eventually
from tests.net.servers import Handler, Server, serving
from tests.query.rows import plain

__all__ = ["stack"]


@dataclass(frozen=True)
class Burst:
    """Requests of one minute."""

    minute: float
    spans: int = 10
    errors: int = 0
    seconds: float = 0.1
    service: str = "shop"


@dataclass
class World:
    """A project, its sender, and a clock that a test moves."""

    project: Project
    stack: Stack
    tenant: Tenant
    start: datetime
    sent: int = 0

    def at(self, minutes: float) -> datetime:
        return self.start + timedelta(minutes=minutes)

    def send(self, *bursts: "Burst") -> None:
        """Send root spans in one request over OTLP/HTTP."""
        request = ExportTraceServiceRequest()
        for burst in bursts:
            resource = request.resource_spans.add()
            resource.resource.attributes.add(key="service.name").value.string_value = burst.service
            scope = resource.scope_spans.add()
            begun = int(self.at(burst.minute + 0.1).timestamp() * 1e9)
            for number in range(burst.spans):
                span = scope.spans.add(
                    trace_id=secrets.token_bytes(16),
                    span_id=secrets.token_bytes(8),
                    name="answer",
                    start_time_unix_nano=begun + number * 1_000_000,
                    end_time_unix_nano=begun + number * 1_000_000 + int(burst.seconds * 1e9),
                )
                if number < burst.errors:
                    span.status.code = span.status.STATUS_CODE_ERROR
        self.post("traces", request)

    def spans_counted(self) -> int:
        """How many of its spans the store has in the numbers that rules read."""
        [row] = plain(self.project.pk, "SELECT sum(spans) AS counted FROM span_rollups_1m WHERE {mine}")
        return int(row["counted"])

    def post(self, signal: str, message: Message) -> None:
        """Send a request of one signal over OTLP/HTTP."""
        headers = self.tenant.headers | {"content-type": "application/x-protobuf"}
        answer = httpx.post(
            f"{self.stack.http}/v1/{signal}", content=message.SerializeToString(), headers=headers, timeout=180
        )
        assert answer.status_code == 200, answer.text
        if isinstance(message, ExportTraceServiceRequest):
            # A store that is slow for some seconds is answered for by the spool: what it holds is judged when it is
            # replayed, and rules that a test's clock judges before would miss it.
            self.sent += sum(len(scope.spans) for each in message.resource_spans for scope in each.scope_spans)
            eventually(lambda: self.spans_counted() >= self.sent, 60)

    def pass_minutes(self, first: int, last: int, **tick: Any) -> list[tuple[int, int]]:
        """Evaluate and tell each minute as the tasks do; return (minute, messages written) where some were."""
        told = []
        for minute in range(first, last + 1):
            now = self.at(minute) + timedelta(seconds=django_settings.ALERT_SETTLE_SECONDS)
            evaluate(self.project, now)
            written = tell.tell(self.project, now)
            if written:
                told.append((minute, written))
            deliver.deliver_due(lambda now=now: now, **tick)
        return told


@pytest.fixture
def world(stack: Stack, db: None, settings: Settings) -> Iterator[World]:
    """A project that exists in the collector's database and in this process's, on the collector's store."""
    tenant = next(stack.tenants)
    close_connections()
    settings.CLICKHOUSE_URL = stack.environment["HELIOGRAPH_CLICKHOUSE_URL"]
    settings.OUTGOING_NETWORKS = ["127.0.0.0/8"]
    organization = Organization.objects.create(name="Acme")
    project = Project.objects.create(id=tenant.id, organization=organization, name="Shop", slug=f"shop-{tenant.id}")
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)
    start -= timedelta(minutes=start.minute % 30)  # on the grid of every rule
    yield World(project, stack, tenant, start)
    close_connections()


class Receiver:
    """A service that takes webhooks: it trusts what the library verifies, and counts a message once by its id."""

    def __init__(self, server: Server, secret: str) -> None:
        self.server, self.secret = server, secret

    @property
    def messages(self) -> dict[str, dict[str, Any]]:
        """What arrived, by id. Raises for a signature that is wrong."""
        return {
            headers["webhook-id"]: Webhook(self.secret).verify(body, headers)
            for _, headers, body in self.server.requests
        }

    @property
    def told(self) -> list[tuple[str, list[dict[str, str]]]]:
        """The alerts' messages in the order of their arrival: type and labels."""
        return [
            (message["type"], [alert["labels"] for alert in message["data"]["alerts"]])
            for message in self.messages.values()
        ]


@pytest.fixture
def answers() -> list[Callable[[Handler], None]]:
    """How the receiver answers: by the last of these."""
    return [lambda handler: handler.say(204)]


@pytest.fixture
def receiver(answers: list[Callable[[Handler], None]]) -> Iterator[Receiver]:
    def answer(handler: Handler) -> None:
        answers[-1](handler)  # the last one at that time: a test may append

    with serving(answer) as server:
        yield Receiver(server, new_secret())


@pytest.fixture
def channel(world: World, receiver: Receiver) -> Channel:
    """The receiver as a channel of the world's project."""
    return webhook(world.project, receiver)


def webhook(project: Project, receiver: Receiver, name: str = "hook") -> Channel:
    secret = encrypt(as_body({"signing_secret": receiver.secret}).decode())
    return Channel.objects.create(
        project=project, name=name, kind="webhook", settings={"url": f"{receiver.server.url}/hook"}, secret=secret
    )


def rule(channel: Channel, kind: str, condition: dict[str, Any], **fields: Any) -> Rule:
    """A rule that fires and ends at once, but for what is given."""
    usual = {"name": f"{kind} rule", "measure": "latency_p95", "window": 5, "hold": 0, "recover": 0, "repeat": 0}
    found = Rule.objects.create(project=channel.project, kind=kind, condition=condition, **(usual | fields))
    found.channels.add(channel)
    return found
