"""For how long rows are kept: by project, signal and environment, said by owners, counted by the store itself."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from heliograph.accounts.models import Membership
from heliograph.clickhouse import client
from heliograph.ingest.commit import Committer
from heliograph.ingest.exports import Batch, Export, decode_by_rules
from heliograph.ingest.signals import SIGNALS
from heliograph.rules import project as project_rules
from heliograph.rules.models import RetentionRule
from tests.api.test_endpoints import Caller, caller, stranger  # noqa: F401  # fixtures
from tests.api.test_redaction import Person
from tests.projections import make_projections

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
DAY_NS = 86_400 * 10**9
TABLES = {"traces": "spans", "metrics": "metric_points", "logs": "log_records"}


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    project_rules.forget()
    yield
    project_rules.forget()


class Owner(Person):
    """An owner's browser."""

    def send(self, method: str, path: str = "", body: Any = None) -> Any:
        return getattr(self.client, method)(
            f"/api/v1/retention{path}{self.query}", body, content_type="application/json"
        )


def message(signal: str, environment: str, at_ns: int) -> bytes:
    """Return one item of a signal, sent from an environment."""
    request: Any
    if signal == "traces":
        request = ExportTraceServiceRequest()
        of_resource = request.resource_spans.add()
        of_resource.scope_spans.add().spans.add(
            trace_id=at_ns.to_bytes(16), span_id=at_ns.to_bytes(8), start_time_unix_nano=at_ns, name="call"
        )
    elif signal == "metrics":
        request = ExportMetricsServiceRequest()
        of_resource = request.resource_metrics.add()
        metric = of_resource.scope_metrics.add().metrics.add(name="queue", unit="1")
        metric.gauge.data_points.add(time_unix_nano=at_ns, as_double=1)
    else:
        request = ExportLogsServiceRequest()
        of_resource = request.resource_logs.add()
        of_resource.scope_logs.add().log_records.add(time_unix_nano=at_ns).body.string_value = environment
    if environment:
        key = of_resource.resource.attributes.add(key="deployment.environment.name")
        key.value.string_value = environment
    return bytes(request.SerializeToString())


def decoded(project_id: int, signal: str, environment: str, at_ns: int) -> Batch:
    body = message(signal, environment, at_ns)
    return decode_by_rules(Export(signal, project_id, 90, "protobuf", "", time.time_ns(), body))


def test_rows_are_kept_by_signal_and_environment_and_gone_in_their_time(
    caller: Caller,  # noqa: F811
    tmp_path: Path,
) -> None:
    owner = Owner(caller, Membership.Role.OWNER)
    for signal, environment, days in (
        ("traces", "staging", 2),
        ("traces", "production", 365),
        ("metrics", "", 7),
        ("logs", "", 30),
        ("logs", "production", 180),
    ):
        answer = owner.send("post", "/rules", {"signal": signal, "environment": environment, "days": days})
        assert answer.status_code == 201, answer.content
    project_id, now = caller.project.pk, time.time_ns()
    for signal, table in TABLES.items():
        # Three days old: staging's spans are over, and in one part with those of the others.
        batches = [
            decoded(project_id, signal, environment, now - 3 * DAY_NS + place)
            for place, environment in enumerate(("staging", "production", ""))
        ]
        committer = Committer(SIGNALS[signal], tmp_path)
        committer.store(batches)
        committer.close()
        rows = client.query(
            project_id,
            f"SELECT retention_days AS days FROM {table} WHERE project_id = %(project_id)s ORDER BY days",  # a constant
            tag="test",
        )
        wanted = {"traces": [2, 90, 365], "metrics": [7, 7, 7], "logs": [30, 30, 180]}[signal]
        assert [row["days"] for row in rows] in (wanted, wanted[1:])
    # The store's own merge takes the expired rows of a part, and leaves the others.
    [part] = client.execute_unscoped(
        "SELECT DISTINCT toString(toStartOfWeek(fromUnixTimestamp64Nano(%(at)s, 'UTC'), 1)) AS week",
        {"at": now - 3 * DAY_NS},
        tag="test",
    )
    make_projections("spans")
    client.execute_unscoped(f"OPTIMIZE TABLE spans PARTITION '{part['week']}' FINAL", tag="test")
    left = client.query(
        project_id,
        "SELECT environment FROM spans WHERE project_id = %(project_id)s ORDER BY environment",
        tag="test",
    )
    assert [row["environment"] for row in left] == ["", "production"]


def test_what_spans_share_is_kept_as_long_as_the_longest(caller: Caller) -> None:  # noqa: F811
    RetentionRule.objects.create(project=caller.project, signal="traces", environment="production", days=365)
    batch = decoded(caller.project.pk, "traces", "staging", time.time_ns())
    assert (batch.retention_days, batch.longest_days) == ([90], 365)
    # Older than the project keeps anything else, and still taken.
    old = decoded(caller.project.pk, "traces", "production", time.time_ns() - 100 * DAY_NS)
    assert (old.decoded.accepted, old.retention_days) == (1, [365])


def test_an_owner_says_how_long_and_nobody_else(caller: Caller, stranger: Caller) -> None:  # noqa: F811
    owner, editor = Owner(caller, Membership.Role.OWNER), Owner(caller, Membership.Role.EDITOR)
    body = {"signal": "traces", "environment": "", "days": 30}
    rule = owner.send("post", "/rules", body).json()
    assert caller.get("retention").json() == {"retention_days": 0, "effective_days": 90, "items": [rule]}
    assert owner.send("patch", "", {"retention_days": 14}).json()["effective_days"] == 14
    assert owner.send("patch", f"/rules/{rule['id']}", {"days": 5}).json()["days"] == 5
    again = owner.send("post", "/rules", body)
    assert (again.status_code, "change that one" in again.content.decode()) == (400, True)
    for days in (0, 3651):
        assert owner.send("post", "/rules", {"signal": "logs", "days": days}).status_code == 400
    refused = [
        editor.send("post", "/rules", body),
        editor.send("patch", "", {"retention_days": 1}),
        editor.send("delete", f"/rules/{rule['id']}"),
        caller.client.post("/api/v1/retention/rules", body, content_type="application/json"),
    ]
    assert [answer.status_code for answer in refused] == [403] * 4
    # Of another organisation: as if the rule were not there.
    other = Owner(stranger, Membership.Role.OWNER)
    assert other.send("delete", f"/rules/{rule['id']}").status_code == 404
    assert stranger.get("retention").json()["items"] == []
    assert owner.send("delete", f"/rules/{rule['id']}").status_code == 204
    assert not RetentionRule.objects.exists()
