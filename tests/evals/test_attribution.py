"""GPU use is shared out from OTLP in the store: each request once, everything added up, again and again the same."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collectors.otlp import metrics, traces
from collectors.otlp.limits import Limits
from heliograph.accounts.models import AttributionPolicy, Project
from heliograph.clickhouse import client
from heliograph.evals import attribution as job
from heliograph.query import attribution, attribution_totals, attribution_windows, placement
from heliograph.query import traces as traces_query
from heliograph.query.attribution import Attribution, Price
from heliograph.query.filters import TimeRange, to_ns
from tests.collectors.build import pairs, request, span

pytestmark = pytest.mark.usefixtures("store")
SECOND = 10**9
START = (datetime.now(UTC) - timedelta(minutes=40)).replace(second=0, microsecond=0)
HOUR = TimeRange(START - timedelta(minutes=5), START + timedelta(minutes=10))
CLIENT, SERVER, LATE = 1, 2, 3
H100 = "NVIDIA H100 80GB HBM3"


def at(seconds: float) -> int:
    return to_ns(START) + round(seconds * SECOND)


def store(project_id: int, table: str, columns: dict[str, list[Any]]) -> None:
    rows = len(next(iter(columns.values())))
    client.insert(table, {"project_id": [project_id] * rows, "retention_days": [90] * rows, **columns})


def send_spans(project_id: int, resource: dict[str, Any], *spans: Any) -> None:
    body = request(*spans, resource=resource).SerializeToString()
    decoded = traces.decode(body, content_type="protobuf", limits=Limits(), now_ns=to_ns(datetime.now(UTC)))
    assert decoded.accepted == len(spans)
    store(project_id, "spans", decoded.columns)


def send_gpu(project_id: int, minutes: int = 3, watts: float = 300.0) -> None:
    """What the agent sends of one GPU: its energy each second, and each ten seconds the worker of process 100."""
    export = ExportMetricsServiceRequest()
    resource = export.resource_metrics.add()
    identity = {"host.name": "node-1", "hw.id": "GPU-0", "gpu.index": 0, "hw.type": "gpu", "hw.name": H100}
    resource.resource.attributes.extend(pairs(identity))
    scope = resource.scope_metrics.add()
    energy = scope.metrics.add(name="hw.energy", unit="J").sum
    energy.is_monotonic, energy.aggregation_temporality = True, 2
    info = scope.metrics.add(name="gpu.process.info", unit="1").gauge
    worker = {
        "process.pid": 101,
        "process.creation.time": (START - timedelta(hours=1)).isoformat(),
        "gpu.process.parent_pids": "100",
        "gpu.process.listen": "0.0.0.0:8000",
        "gpu.process.addresses": "10.0.0.5",
    }
    for second in range(60 * minutes + 1):
        energy.data_points.add(time_unix_nano=at(second), start_time_unix_nano=at(-60), as_double=watts * second)
        if second % 10 == 0:
            info.data_points.add(time_unix_nano=at(second), as_int=1).attributes.extend(pairs(worker))
    body = export.SerializeToString()
    decoded = metrics.decode(body, content_type="protobuf", limits=Limits(), now_ns=to_ns(datetime.now(UTC)))
    store(project_id, "metric_points", decoded.columns)


def times(start: float, seconds: float) -> dict[str, int]:
    return {"start_time_unix_nano": at(start), "end_time_unix_nano": at(start + seconds)}


def send_request(project_id: int) -> None:
    """A client's span that names user and tenant, and the engine's below it, which names neither."""
    call = span(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "my-llama",
            "server.address": "llm.default.svc",
            "server.port": 8000,
            "user.id": "ada",
            "tenant.id": "acme",
        },
        span_id=CLIENT,
        kind=3,
        **times(9.9, 20.2),
    )
    served = span(
        {
            "gen_ai.latency.time_in_queue": 1.0,
            "gen_ai.latency.time_in_model_prefill": 1.0,
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 50,
        },
        span_id=SERVER,
        parent=CLIENT,
        name="llm_request",
        kind=2,
        **times(10, 20),
    )
    send_spans(project_id, {"service.name": "shop", "host.name": "web-1", "process.pid": 7}, call)
    send_spans(project_id, {"service.name": "vllm", "host.name": "node-1", "process.pid": 100}, served)


@pytest.fixture
def world(project: Project) -> Project:
    send_gpu(project.pk)
    send_request(project.pk)
    return project


def run(project: Project, later: float = 0) -> job.Pass:
    """Run passes until the backlog of a first start is worked off; returns the last that had something to do."""
    now = datetime.now(UTC) + timedelta(seconds=later)
    done = job.attribute(project, now)
    while done.minutes == job.MAX_MINUTES:
        done = job.attribute(project, now)
    return done


def by(project: Project, dimension: str, *prices: Price) -> Attribution:
    return attribution.by_dimension(project.pk, HOUR, dimension, prices)


def test_a_request_seen_by_client_and_engine_counts_once_for_the_clients_user_and_tenant(world: Project) -> None:
    run(world)
    for dimension, key in (("user", "ada"), ("tenant", "acme"), ("model", "my-llama"), ("gpu", "GPU-0")):
        (group,) = by(world, dimension).groups
        assert group.gpu is not None
        # It waited for a second in the queue, and had the GPU for nineteen.
        assert (group.key, group.gpu.requests) == (key, 1)
        assert group.gpu.gpu_seconds == pytest.approx(19)
        assert group.gpu.joules == pytest.approx(19 * 300)
        assert (group.api_calls, group.api_unpriced) == (0, 0)


def test_requests_and_idle_add_up_to_the_counter(world: Project) -> None:
    run(world)
    found = by(world, "user")
    assert found.counter_joules == pytest.approx(180 * 300)
    assert found.total.joules == pytest.approx(found.counter_joules)
    assert found.idle.joules == pytest.approx((180 - 19) * 300)
    assert found.weights == ("prefill 4 : decode 1 per second",)


def test_a_span_of_either_side_finds_its_request(world: Project) -> None:
    run(world)
    trace_id = placement.client.query(
        world.pk, "SELECT any(trace_id) AS id FROM spans WHERE project_id = %(project_id)s", tag="test"
    )[0]["id"]
    for number in (CLIENT, SERVER):
        span_id = number.to_bytes(8, "big").hex()
        placed = placement.of_span(world.pk, trace_id, span_id)
        assert placed is not None
        assert (placed.strength, [gpu.uuid for gpu in placed.gpus]) == ("pid", ["GPU-0"])
        cost = attribution.of_span(world.pk, trace_id, span_id, at(9.9), at(30.1))
        assert cost is not None
        assert cost.cost.joules == pytest.approx(19 * 300)
        assert attribution.of_span(world.pk + 1, trace_id, span_id, at(9.9), at(30.1)) is None
    assert len(placement.of_trace(world.pk, trace_id)) == 2
    assert placement.of_span(world.pk + 1, trace_id, span_id) is None


def test_sharing_out_again_counts_nothing_twice(world: Project) -> None:
    run(world)
    before = by(world, "user")
    start_s = int(START.timestamp())
    attribution_windows.attribute(world.pk, start_s, 3, retention_days=90, tenant_key="tenant.id")
    assert by(world, "user") == before


def test_shares_without_their_windows_row_are_not_read(world: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run(world)
    before = by(world, "user")
    insert = client.insert

    def dies(table: str, columns: Any, **options: Any) -> None:
        if table == "attribution_windows":
            raise ConnectionError("the worker was killed here")
        insert(table, columns, **options)

    with monkeypatch.context() as patch:
        patch.setattr(client, "insert", dies)
        with pytest.raises(ConnectionError):
            attribution_windows.attribute(
                world.pk, int(START.timestamp()), 3, retention_days=90, tenant_key="tenant.id"
            )
    assert by(world, "user") == before


def test_a_late_span_opens_its_minutes_again(world: Project) -> None:
    run(world)
    late = span(
        {"gen_ai.latency.time_in_queue": 0.5, "gen_ai.latency.time_in_model_prefill": 0.5, "user.id": "bob"},
        span_id=LATE,
        name="llm_request",
        kind=2,
        trace_id=b"\x02" * 16,
        **times(100, 10.5),
    )
    send_spans(world.pk, {"service.name": "vllm", "host.name": "node-1", "process.pid": 100}, late)
    assert run(world, later=60).reopened >= 1
    found = by(world, "user")
    assert {group.key: round(group.gpu.gpu_seconds, 6) for group in found.groups if group.gpu} == {"ada": 19, "bob": 10}
    assert found.total.joules == pytest.approx(180 * 300)


def test_a_price_holds_from_its_time_on_and_what_has_none_is_counted(world: Project) -> None:
    run(world)
    assert by(world, "user").groups[0].gpu.usd is None  # type: ignore[union-attr]
    price = Price(valid_from=START, usd_per_gpu_hour=Decimal("3.6"), usd_per_kwh=Decimal("0.2"), pue=Decimal("1.5"))
    cost = by(world, "user", price).groups[0].gpu
    assert cost is not None
    assert cost.usd == pytest.approx(Decimal("0.019") + Decimal(5700) / 3_600_000 * Decimal("0.3"))
    assert cost.unpriced_gpu_seconds == 0
    later = by(world, "user", Price(valid_from=START + timedelta(minutes=1), usd_per_gpu_hour=Decimal(1)))
    assert later.groups[0].gpu is not None
    assert (later.groups[0].gpu.usd, later.groups[0].gpu.unpriced_gpu_seconds) == (None, pytest.approx(19))
    assert later.total.unpriced_gpu_seconds == pytest.approx(60)


def test_a_price_of_the_gpus_model_goes_before_one_for_every_model(world: Project) -> None:
    run(world)
    general = Price(valid_from=START - timedelta(days=1), usd_per_gpu_hour=Decimal("3.6"))
    own = Price(valid_from=START - timedelta(days=2), usd_per_gpu_hour=Decimal("7.2"), gpu_name=H100)
    other = Price(valid_from=START, usd_per_gpu_hour=Decimal(100), gpu_name="NVIDIA L4")
    expected = {(general,): "0.019", (general, own): "0.038", (other,): None, (general, other): "0.019"}
    for prices, usd in expected.items():
        cost = by(world, "user", *prices).groups[0].gpu
        assert cost is not None
        assert cost.usd == (None if usd is None else pytest.approx(Decimal(usd)))


def test_a_traces_cost_and_the_cost_over_time_are_the_requests_and_not_the_idle_time(world: Project) -> None:
    run(world)
    price = Price(valid_from=START - timedelta(days=1), usd_per_gpu_hour=Decimal("3.6"))
    trace_id = placement.client.query(
        world.pk, "SELECT any(trace_id) AS id FROM spans WHERE project_id = %(project_id)s", tag="test"
    )[0]["id"]
    (row,) = traces_query.summaries(world.pk, [trace_id]).values()
    (cost,) = attribution_totals.of_traces(world.pk, [row], [price]).values()
    assert (cost.usd, cost.requests) == (pytest.approx(Decimal("0.019")), 1)
    assert attribution_totals.of_traces(world.pk + 1, [row], [price]) == {}
    for narrowed in ({}, {"model": ("my-llama",)}, {"service": ("vllm",)}):
        found = attribution_totals.over_time(world.pk, HOUR, [price], 60, **narrowed)
        assert {(start - int(START.timestamp())): round(cost.gpu_seconds, 3) for start, cost in found.items()} == {
            0: 19
        }
        assert sum(each.usd or 0 for each in found.values()) == pytest.approx(Decimal("0.019"))
        assert attribution_totals.over_time(world.pk + 1, HOUR, [price], 60, **narrowed) == {}
    assert attribution_totals.over_time(world.pk, HOUR, [price], 60, model=("another",)) == {}


def test_a_projects_own_weights_are_used_and_kept_with_the_minutes(world: Project) -> None:
    AttributionPolicy.objects.create(project=world, prefill=1, decode=1, per="second")
    run(world)
    assert by(world, "user").weights == ("prefill 1 : decode 1 per second",)


def test_a_call_that_is_joined_to_no_gpu_is_counted_with_its_reason_and_gets_nothing(project: Project) -> None:
    send_gpu(project.pk)
    lost = span({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}, kind=2, **times(10, 5))
    send_spans(project.pk, {"service.name": "vllm", "host.name": "node-1"}, lost)
    run(project)
    found = by(project, "user")
    assert found.unplaced == {"host only": 1}
    assert found.idle.gpu_seconds == pytest.approx(180)


def test_another_project_sees_and_shares_out_nothing(world: Project) -> None:
    run(world)
    other = Project.objects.create(
        id=world.pk + 1_000_000, organization=world.organization, name="Other", slug=f"other-{world.pk}"
    )
    assert not attribution_windows.has_gpus(other.pk)
    assert run(other) == job.Pass()
    found = by(other, "user")
    assert (found.groups, found.counter_joules, found.unplaced) == ((), None, {})
    assert placement.places(other.pk, "a" * 32) == []
    assert placement.processes(other.pk, at(0), at(60)) == []
