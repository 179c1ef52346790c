"""The packed encoding against OpenTelemetry's own messages."""

import math

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from gpu_agent import metrics as m
from gpu_agent.otlp import Encoder, Stamped, StampedEvent
from gpu_agent.provider import Entity, Event, Point
from tests.gpu_agent.support import plain

TEXT = st.text(max_size=300)
ATTRIBUTES = st.lists(st.tuples(TEXT, TEXT | st.integers(-(2**63), 2**63 - 1)), max_size=6).map(tuple)
VALUES = st.floats(allow_nan=False) | st.integers(-(2**63) + 1, 2**63 - 1)
POINTS = st.lists(st.tuples(st.sampled_from([m.POWER, m.ENERGY, m.MEMORY_USAGE]), VALUES, ATTRIBUTES), max_size=30)
GPU = Entity("GPU-0", {"hw.id": "GPU-0", "gpu.index": 0})


def decoded(samples):
    request, count = Encoder({"host.name": "h"}, 7).metrics(samples)
    found = []
    for resource in ExportMetricsServiceRequest.FromString(request.SerializeToString()).resource_metrics:
        assert plain(resource.resource.attributes)["host.name"] == "h"
        for metric in resource.scope_metrics[0].metrics:
            data = metric.gauge if metric.HasField("gauge") else metric.sum
            for point in data.data_points:
                value = getattr(point, point.WhichOneof("value"))
                pairs = tuple(
                    (pair.key, getattr(pair.value, pair.value.WhichOneof("value"))) for pair in point.attributes
                )
                found.append((metric.name, value, pairs, point.time_unix_nano, point.start_time_unix_nano))
    assert count == len(found)
    return found


@given(POINTS, st.integers(1, 2**63))
def test_every_point_comes_back_as_it_went_in(points, time_ns):
    sample = Stamped(time_ns, [Point(GPU, metric, value, attributes) for metric, value, attributes in points])
    expected = [
        (metric.name, value, attributes, time_ns, 0 if metric.kind is m.GAUGE else 7)
        for metric, value, attributes in points
    ]
    found = decoded([sample])
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    assert [type(value) for _name, value, *_ in sorted(found, key=repr)] == [
        type(value) for _name, value, *_ in sorted(expected, key=repr)
    ]


def test_a_counter_beyond_64_bits_goes_as_a_double():
    (found,) = decoded([Stamped(1, [Point(GPU, m.IO, 2**70)])])
    assert isinstance(found[1], float)
    assert math.isclose(found[1], 2.0**70)


def test_the_points_of_a_series_stay_in_order():
    samples = [
        Stamped(second, [Point(GPU, m.POWER, float(second)), Point(GPU, m.ENERGY, second)]) for second in range(1, 6)
    ]
    found = [value for name, value, *_ in decoded(samples) if name == "hw.power"]
    assert found == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_each_gpu_has_one_resource():
    other = Entity("GPU-1", {"hw.id": "GPU-1"})
    samples = [Stamped(second, [Point(gpu, m.POWER, 1.0)]) for second in (1, 2) for gpu in (GPU, other)]
    request, _count = Encoder({}, 1).metrics(samples)
    assert [plain(each.resource.attributes)["hw.id"] for each in request.resource_metrics] == ["GPU-0", "GPU-1"]


def test_an_event_is_a_log_record_with_its_severity():
    event = Event(GPU, m.XID, "XID 79", (("gpu.xid", 79),))
    request, count = Encoder({"host.name": "h"}, 1).logs([StampedEvent(5, event)])
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    assert count == 1
    assert (record.event_name, record.severity_text, record.body.string_value) == ("gpu.xid", "ERROR", "XID 79")
    assert plain(record.attributes) == {"gpu.xid": 79}
    assert plain(request.resource_logs[0].resource.attributes)["hw.id"] == "GPU-0"
