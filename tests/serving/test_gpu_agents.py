"""Other GPU agents' points stand a second time as our agent says them, by the GPU's UUID."""

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collectors.gpu_agents import AGENT
from gpu_agent.metrics import BY_NAME, Kind
from heliograph.query import gpu
from heliograph.query.traces import get_trace
from tests.query.rows import at, llm, new_trace_id, span, store_spans
from tests.serving.scrapes import decoded, page, request_of, store

UUID = "GPU-11111111-2222-3333-4444-555555555555"
# One GPU under load, as every agent is made to report it.
EXPECTED = {
    ("hw.gpu.utilization", "general"): 0.91,
    ("gpu.memory_controller.utilization", ""): 0.4,
    ("hw.gpu.memory.usage", ""): 71_680.0 * 2**20,
    ("hw.power", ""): 625.7,
    ("hw.temperature", "gpu"): 64.0,
    ("gpu.clock.frequency", "sm"): 1.98e9,
}


def otlp(scope: str, points: list[tuple[str, str, float, dict[str, str]]]) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    into = request.resource_metrics.add().scope_metrics.add()
    into.scope.name = scope
    for name, unit, value, attributes in points:
        metric = into.metrics.add(name=name, unit=unit)
        point = metric.gauge.data_points.add(time_unix_nano=at(10), as_double=value)
        for key, text in attributes.items():
            point.attributes.add(key=key).value.string_value = text
    return request


def l9gpu() -> ExportMetricsServiceRequest:
    """l9gpu 0.2.3, by its table of names, units and attributes."""
    own = {"gpu.uuid": UUID, "gpu.index": "0"}
    nvlink = {"gpu.interconnect.type": "nvlink", "gpu.interconnect.direction": "transmit"}
    return otlp(
        "l9gpu-meter",
        [
            ("gpu.utilization", "1", 0.91, own | {"gpu.task.type": "compute"}),
            ("gpu.memory.utilization", "1", 0.4, own | {"gpu.task.type": "memory_controller"}),
            ("gpu.memory.used", "By", 71_680.0 * 2**20, own),
            ("gpu.power.draw", "W", 625.7, own),
            ("gpu.temperature", "Cel", 64.0, own | {"gpu.temperature.sensor": "edge"}),
            ("gpu.clock.frequency", "MHz", 1_980.0, own | {"gpu.clock.type": "sm"}),
            ("gpu.energy.consumption", "mJ", 1_500_000.0, own),
            ("gpu.xid.errors", "{error}", 12.0, own),
            ("gpu.interconnect.throughput", "By/s", 1e15, own | nvlink),
        ],
    )


def openlit() -> ExportMetricsServiceRequest:
    """OpenLIT's collector, whose memory utilisation is the controller's."""
    own = {"hw.id": UUID, "hw.type": "gpu"}
    return otlp(
        "openlit-gpu-collector",
        [
            ("hw.gpu.utilization", "1", 0.91, own | {"hw.gpu.task": "general"}),
            ("hw.gpu.memory.utilization", "1", 0.4, own),
            ("hw.gpu.memory.usage", "By", 71_680.0 * 2**20, own),
            ("hw.gpu.power.draw", "W", 625.7, own),
            ("hw.gpu.temperature", "Cel", 64.0, own),
            ("hw.gpu.energy.consumed", "J", 1_500.0, own),
        ],
    )


REQUESTS = {
    "dcgm-exporter": lambda: request_of(page("dcgm-exporter-4.5.3"), 10),
    "dcgm-exporter, renamed fields": lambda: request_of(page("dcgm-exporter-renamed"), 10),
    "nvidia_gpu_exporter": lambda: request_of(page("nvidia_gpu_exporter-1.14"), 10),
    "l9gpu": l9gpu,
    "openlit": openlit,
}


def ours(request: ExportMetricsServiceRequest) -> dict[tuple[str, str], dict]:
    """The rows under our names, by name and detail."""
    found = {}
    for row in decoded(request):
        if row["metric"] in BY_NAME:
            detail = " ".join(row["attributes"][key] for key in gpu.DETAILS if key in row["attributes"])
            found[row["metric"], detail] = row
    return found


@pytest.mark.parametrize("agent", REQUESTS)
def test_every_agent_s_gpu_is_described_in_our_names_and_units(agent: str) -> None:
    found = ours(REQUESTS[agent]())
    expected = {key: value for key, value in EXPECTED.items() if agent != "openlit" or key[0] != "gpu.clock.frequency"}
    assert {key: found[key]["value"] for key in expected} == pytest.approx(expected)
    for (name, _), row in found.items():
        assert row["gpu_uuid"] == UUID
        assert row["unit"] == BY_NAME[name].unit
        assert row["type"] == ("sum" if BY_NAME[name].kind is Kind.COUNTER else "gauge")


@pytest.mark.parametrize("agent", ["dcgm-exporter", "l9gpu", "openlit"])
def test_energy_becomes_a_counter_in_joules(agent: str) -> None:
    row = ours(REQUESTS[agent]())["hw.energy", ""]
    assert (row["value"], row["is_monotonic"], row["temporality"]) == (1_500.0, True, "cumulative")


@pytest.mark.parametrize("agent", REQUESTS)
def test_their_own_points_are_kept_under_names_that_do_not_mislead(agent: str) -> None:
    rows = decoded(REQUESTS[agent]())
    theirs = [row for row in rows if AGENT not in row["attributes"]]
    sent = sum(
        len(metric.gauge.data_points) + len(metric.sum.data_points)
        for metric in REQUESTS[agent]().resource_metrics[0].scope_metrics[0].metrics
    )
    assert len(theirs) == sent
    misleading = {"hw.gpu.memory.utilization", "gpu.xid.errors", "gpu.clock.frequency"}
    assert not misleading & {row["metric"] for row in theirs}


def test_a_sensor_that_is_not_there_is_no_temperature() -> None:
    assert b"9223372036854775794" in page("dcgm-exporter-4.5.3")
    assert ("hw.temperature", "memory") not in ours(REQUESTS["dcgm-exporter"]())


@pytest.mark.parametrize("agent", ["l9gpu", "dcgm-exporter"])
def test_counts_that_are_none_are_not_taken_over(agent: str) -> None:
    found = {name for name, _ in ours(REQUESTS[agent]())}
    assert not {"gpu.xid.errors", "gpu.nvlink.throughput", "gpu.nvlink.io"} & found


@pytest.mark.parametrize("host", ["Hostname", "hostname"])
def test_dcgm_s_host_is_read_from_either_spelling(host: str) -> None:
    name = "dcgm-exporter-4.5.3" if host == "Hostname" else "dcgm-exporter-renamed"
    assert host.encode() in page(name)
    assert {row["host"] for row in decoded(request_of(page(name), 10))} == {"node-1"}


def test_our_own_agent_s_points_are_left_alone() -> None:
    request = otlp("gpu_agent", [("hw.gpu.memory.utilization", "1", 0.9, {"hw.id": UUID})])
    [row] = decoded(request)
    assert (row["metric"], row["value"]) == ("hw.gpu.memory.utilization", 0.9)


@pytest.mark.parametrize("agent", REQUESTS)
def test_a_trace_s_strip_is_drawn_from_any_agent(store: str, project_id: int, agent: str) -> None:
    trace_id = new_trace_id()
    store_spans(project_id, span(trace_id, 5, gpu_uuids=[UUID]), llm(trace_id, 5, gpu_uuids=[UUID]))
    store_points(project_id, agent)
    trace = get_trace(project_id, trace_id)
    assert trace is not None
    found = gpu.of_trace(project_id, trace.summary)
    assert found.join == "gpu_uuid"
    [one] = found.gpus
    power = one.of("hw.power")
    assert power is not None
    assert (power.unit, power.points[0][1]) == ("W", 625.7)


def store_points(project_id: int, agent: str) -> None:
    store(project_id, REQUESTS[agent]())
