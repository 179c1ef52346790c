"""A collector at the edge, with no database and no store: the centre's answers, its absence, and kill -9 of either."""

import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.faults.conftest import start_what_is_missing
from tests.faults.load import PROTOBUF, Load
from tests.faults.once import is_balanced, is_once
from tests.ingest.books import books, limit
from tests.ingest.senders import trace_request
from tests.ingest.stack import ADDRESS, ROOT, Process, Stack, Tenant, eventually

# Nobody listens there: a process that asked a database or a store would fail.
NOBODY = "127.0.0.1:9"


@dataclass
class EdgeProcess:
    """A collector at the edge of a stack, with a data folder of its own."""

    stack: Stack
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    http: str = ""
    grpc: str = ""

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        ports = ["--http-port", "0", "--grpc-port", "0"]
        environment = self.stack.environment | {
            "HELIOGRAPH_DATA_DIR": str(self.folder),
            "HELIOGRAPH_FORWARD_TO": self.stack.web_http,
            "HELIOGRAPH_CLICKHOUSE_URL": f"clickhouse://nobody:x@{NOBODY}/nothing",
            "DATABASE_URL": f"postgresql://nobody:x@{NOBODY}/nothing",
            **self.settings,
        }
        log = self.folder / f"edge-{time.time_ns()}.log"
        self.process = Process([sys.executable, "-m", "heliograph.ingest", *ports], environment, log)
        self.process.start()
        self.grpc = self.process.wait_for(r"OTLP/gRPC on (\S+)")[1]
        self.http = self.process.wait_for(ADDRESS)[1]

    @property
    def web_http(self) -> str:
        return self.http

    def spooled(self) -> list[Path]:
        return [path for path in (self.folder / "spool" / "edge").glob("*/*.spool") if path.parent.name != "refused"]

    def refused(self) -> list[str]:
        folder = self.folder / "spool" / "edge" / "refused"
        return [json.loads(path.read_bytes())["reason"] for path in folder.glob("*.json")]

    def state(self) -> dict[str, object]:
        state = httpx.get(f"{self.http}/readyz").json()
        assert isinstance(state, dict)
        return state

    def post(self, tenant: Tenant, body: bytes, kind: str = "traces", **headers: str) -> httpx.Response:
        return httpx.post(
            f"{self.http}/v1/{kind}", content=body, headers=tenant.headers | PROTOBUF | headers, timeout=180
        )


@pytest.fixture
def edge(stack: Stack, tmp_path: Path) -> Iterator[EdgeProcess]:
    edge = EdgeProcess(stack, tmp_path / "edge")
    edge.start()
    yield edge
    edge.process.stop()


def in_centre(stack: Stack, code: str) -> None:
    """Change the centre's metadata, as its pages do."""
    code = f"import django; django.setup()\nfrom heliograph.accounts.models import ApiKey, Project\n{code}"
    subprocess.run([sys.executable, "-c", code], check=True, env=stack.environment, cwd=ROOT)


def test_the_senders_of_an_edge_hear_what_the_centre_says(stack: Stack, edge: EdgeProcess, tenant: Tenant) -> None:
    body = trace_request(5).SerializeToString()
    assert edge.post(tenant, gzip.compress(body), **{"content-encoding": "gzip"}).status_code == 200
    assert edge.post(tenant, body).status_code == 200
    assert stack.counts(tenant) == (5, 5, 5)

    malformed = edge.post(tenant, b"\xff\xff")
    assert (malformed.status_code, b"Malformed" in malformed.content) == (400, True)
    old = edge.post(tenant, trace_request(2, start_ns=10**18).SerializeToString())
    partial = ExportTraceServiceResponse.FromString(old.content).partial_success
    assert (old.status_code, partial.rejected_spans) == (200, 2)
    unknown = edge.post(Tenant(0, "hg_" + "x" * 43), body)
    assert (unknown.status_code, b"Unknown, revoked" in unknown.content) == (401, True)
    assert edge.post(Tenant(0, ""), body).status_code == 401
    # Counted where the project is: the malformed one too.
    eventually(lambda: books(stack, tenant)["requests"] == 4)
    assert not (edge.folder / "heliograph.sqlite3").exists()
    assert edge.spooled() == []


def test_what_an_opentelemetry_collector_sends_passes_an_edge(stack: Stack, edge: EdgeProcess, tenant: Tenant) -> None:
    other = next(stack.tenants)
    request = trace_request(3)
    for _ in range(3):  # resources of several services in one batch
        request.MergeFrom(trace_request(3))
    with grpc.insecure_channel(edge.grpc, compression=grpc.Compression.Gzip) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        metadata = [("authorization", f"Bearer {tenant.key}")]
        answer = export(request.SerializeToString(), metadata=metadata, timeout=180)
        assert ExportTraceServiceResponse.FromString(answer) == ExportTraceServiceResponse()
        stack.web.stop()
        # A retry of the same batch, and another key's that the edge has not seen: UNAVAILABLE is what is retried.
        export(request.SerializeToString(), metadata=metadata, timeout=180)
        with pytest.raises(grpc.RpcError) as refused:
            export(request.SerializeToString(), metadata=[("authorization", f"Bearer {other.key}")], timeout=180)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert edge.state()["centre"] == "away"
    restart_centre(stack)
    eventually(lambda: not edge.spooled())
    assert (stack.counts(tenant), stack.counts(other)) == ((12, 12, 12), (0, 0, 0))
    # Acknowledged twice, stored once: the centre counts what waited at an edge as it counts any retry.
    eventually(lambda: books(stack, tenant)["accepted"] == 24)
    found = books(stack, tenant)
    assert (found["stored"], found["duplicates"], is_balanced(found)) == (12, 12, True)


def restart_centre(stack: Stack) -> None:
    """Start the web process on the port that it had: its address is the centre's."""
    port = stack.web_http.rpartition(":")[2]
    stack.web = stack.run("web", ["-m", "heliograph.asgi", "--port", port])
    stack.wait_for_addresses()


def test_what_was_acknowledged_is_stored_once_where_edge_and_centre_are_killed_and_away(
    stack: Stack, edge: EdgeProcess, tenant: Tenant
) -> None:
    load = Load(edge, tenant)  # type: ignore[arg-type]  # it asks for addresses and the spool
    load.start()
    load.progress()
    edge.process.stop(signal.SIGKILL)
    edge.start()
    load.progress()
    stack.web.stop(signal.SIGKILL)
    load.progress(10)
    assert edge.spooled()
    # Which keys are good is known to the next process too.
    edge.process.stop(signal.SIGKILL)
    edge.start()
    load.progress()
    restart_centre(stack)
    time.sleep(1)  # in the middle of the replay, or after it
    edge.process.stop(signal.SIGKILL)
    edge.start()
    load.progress()
    sent = load.finish()
    is_once(stack, tenant, sent)
    assert edge.refused() == []


def test_an_answer_that_is_lost_on_the_way_costs_no_row_twice(stack: Stack, edge: EdgeProcess, tenant: Tenant) -> None:
    assert edge.post(tenant, trace_request(1).SerializeToString()).status_code == 200
    request = ExportLogsServiceRequest()
    # Without a time of its own it takes that of its arrival: the edge's, both times.
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "timeless"
    stack.web.interrupt(signal.SIGSTOP)
    try:
        assert edge.post(tenant, request.SerializeToString(), "logs").status_code == 200
        assert len(edge.spooled()) == 1
    finally:
        stack.web.interrupt(signal.SIGCONT)
    eventually(lambda: not edge.spooled())
    count = "SELECT count() FROM log_records FINAL WHERE project_id = %(project)s"
    assert stack.query(count, project=tenant.id) == [(1,)]


def test_a_revoked_key_stops_and_holds_up_nobody_else(stack: Stack, edge: EdgeProcess, tenant: Tenant) -> None:
    other = next(stack.tenants)
    body = trace_request(2).SerializeToString()
    assert {edge.post(each, body).status_code for each in (tenant, other)} == {200}
    stack.web.stop()
    late, others = trace_request(3).SerializeToString(), trace_request(4).SerializeToString()
    assert (edge.post(tenant, late).status_code, edge.post(other, others).status_code) == (200, 200)
    in_centre(stack, f"Project.objects.get(pk={tenant.id}).api_keys.get().revoke()")
    restart_centre(stack)
    eventually(lambda: not edge.spooled())
    assert stack.counts(tenant) == (2, 2, 2)
    assert stack.counts(other) == (6, 6, 6)
    # What was acknowledged and then refused is kept for a person, and the key itself is no longer on the disk.
    [reason] = edge.refused()
    assert reason.startswith("Unknown, revoked or expired API key")
    assert not list((edge.folder / "spool" / "edge").glob("*/key"))
    assert edge.post(tenant, body).status_code == 401
    stack.web.stop()
    assert edge.post(tenant, body).status_code == 503
    restart_centre(stack)


def test_a_key_is_trusted_no_longer_than_said_while_the_centre_is_away(
    stack: Stack, edge: EdgeProcess, tenant: Tenant
) -> None:
    edge.process.stop()
    edge.settings["HELIOGRAPH_FORWARD_TRUST_SECONDS"] = "0"
    edge.start()
    body = trace_request(1).SerializeToString()
    assert edge.post(tenant, body).status_code == 200
    stack.web.stop()
    assert edge.post(tenant, body).status_code == 503
    restart_centre(stack)


def test_a_key_at_its_limit_waits_alone_and_each_span_counts_once(
    stack: Stack, edge: EdgeProcess, tenant: Tenant
) -> None:
    other = next(stack.tenants)
    limit(stack, tenant, max_spans_per_minute=60)
    assert {edge.post(each, trace_request(1).SerializeToString()).status_code for each in (tenant, other)} == {200}
    stack.web.stop()
    for _ in range(3):
        assert edge.post(tenant, trace_request(21).SerializeToString()).status_code == 200
        assert edge.post(other, trace_request(21).SerializeToString()).status_code == 200
    restart_centre(stack)
    eventually(lambda: stack.counts(other) == (64, 64, 64))
    eventually(lambda: stack.counts(tenant) == (64, 64, 64), 60)
    assert edge.refused() == []


def test_two_edges_do_not_share_a_folder(edge: EdgeProcess) -> None:
    second = Process(edge.process.command, edge.process.environment, edge.folder / "second.log")
    second.start()
    assert second.popen is not None
    assert second.popen.wait(60) != 0
    assert "belongs to another edge collector" in second.log.read_text()


def test_no_key_fills_the_disk_for_the_others(stack: Stack, edge: EdgeProcess, tenant: Tenant) -> None:
    other = next(stack.tenants)
    edge.process.stop()
    edge.settings["HELIOGRAPH_SPOOL_MAX_BYTES"] = str(2**20)
    edge.start()
    assert {edge.post(each, trace_request(1).SerializeToString()).status_code for each in (tenant, other)} == {200}
    stack.web.stop()
    body = trace_request(1_000).SerializeToString()
    answers = [edge.post(tenant, body).status_code for _ in range(12)]
    assert (answers[0], answers[-1]) == (200, 503)
    assert edge.post(other, trace_request(10).SerializeToString()).status_code == 200
    start_what_is_missing(stack)
