"""Metric points: each type's numbers, series, origin."""

import math
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from collectors.otlp import metrics
from collectors.otlp.columns import METRIC_COLUMNS
from collectors.otlp.errors import Malformed
from collectors.otlp.limits import Limits
from collectors.otlp.metrics import DecodedMetrics, decode
from tests.collectors.build import NOW, SECOND, as_json, pairs, rows

AT = NOW - SECOND


def metric(kind: str, point: dict[str, Any], attributes: dict[str, Any] | None = None, **head: Any) -> Metric:
    made = Metric(name="hw.gpu.utilization", unit="1")
    data = getattr(made, kind)
    for name, value in head.items():
        setattr(data, name, value)
    added = data.data_points.add(time_unix_nano=AT, **point)
    added.attributes.extend(pairs(attributes or {}))
    return made


def request(*metrics: Metric, resource: dict[str, Any] | None = None) -> ExportMetricsServiceRequest:
    made = ExportMetricsServiceRequest()
    resource_metrics = made.resource_metrics.add()
    resource_metrics.resource.attributes.extend(pairs(resource or {"host.name": "alice"}))
    resource_metrics.scope_metrics.add().metrics.extend(metrics)
    return made


def decoded(*metrics: Metric, **kwargs: Any) -> DecodedMetrics:
    body = request(*metrics, **kwargs).SerializeToString()
    return decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW)


def row(*metrics: Metric, **kwargs: Any) -> dict[str, Any]:
    (only,) = rows(decoded(*metrics, **kwargs).columns)
    return only


def test_a_gauge_has_a_value() -> None:
    got = row(metric("gauge", {"as_double": 0.5}))
    assert (got["metric"], got["unit"], got["type"], got["value"]) == ("hw.gpu.utilization", "1", "gauge", 0.5)
    assert (got["temporality"], got["is_monotonic"], got["start_time"]) == ("", False, AT)
    assert row(metric("gauge", {"as_int": 7}))["value"] == 7.0


def test_a_sum_says_how_it_adds_up() -> None:
    got = row(
        metric("sum", {"as_int": 7, "start_time_unix_nano": AT - 5}, aggregation_temporality=1, is_monotonic=True)
    )
    assert (got["type"], got["temporality"], got["is_monotonic"], got["value"]) == ("sum", "delta", True, 7.0)
    assert got["start_time"] == AT - 5


def test_a_point_without_a_value_is_null_and_not_zero() -> None:
    assert row(metric("gauge", {"flags": 1, "as_double": 0.0}))["value"] is None
    assert row(metric("gauge", {}))["value"] is None
    assert row(metric("gauge", {"as_double": math.nan}))["value"] is None


def test_a_histogram_keeps_its_buckets_and_what_was_stated() -> None:
    point = {"count": 3, "sum": 1.5, "explicit_bounds": [0.1, 1.0], "bucket_counts": [1, 1, 1], "max": 1.2}
    got = row(metric("histogram", point, aggregation_temporality=2))
    assert (got["count"], got["sum"], got["min"], got["max"], got["value"]) == (3, 1.5, None, 1.2, None)
    assert (got["bounds"], got["bucket_counts"], got["temporality"]) == ([0.1, 1.0], [1, 1, 1], "cumulative")


def test_an_exponential_histogram_keeps_scale_and_offsets() -> None:
    made = metric("exponential_histogram", {"count": 5, "sum": 9.0, "scale": 3, "zero_count": 1})
    point = made.exponential_histogram.data_points[0]
    point.positive.offset = -2
    point.positive.bucket_counts.extend([1, 2])
    point.negative.bucket_counts.extend([1])
    got = row(made)
    assert (got["scale"], got["zero_count"], got["positive_offset"], got["positive_counts"]) == (3, 1, -2, [1, 2])
    assert (got["negative_offset"], got["negative_counts"], got["bounds"]) == (0, [1], [])


def test_a_summary_is_quantiles_and_then_their_values() -> None:
    made = metric("summary", {"count": 4, "sum": 2.0})
    for quantile, value in ((0.5, 0.2), (0.99, 0.9), (1.0, math.nan)):
        made.summary.data_points[0].quantile_values.add(quantile=quantile, value=value)
    got = row(made)
    assert (got["type"], got["count"], got["bounds"]) == ("summary", 4, [0.5, 0.99, 0.2, 0.9])


@pytest.mark.parametrize(
    ("kind", "point", "reason"),
    [
        ("histogram", {"explicit_bounds": [1.0], "bucket_counts": [1]}, "buckets do not fit"),
        ("histogram", {"explicit_bounds": [2.0, 1.0], "bucket_counts": [1, 1, 1]}, "do not rise"),
        ("histogram", {"explicit_bounds": [math.nan], "bucket_counts": [1, 1]}, "do not rise"),
        ("histogram", {"bucket_counts": [0] * 5_000}, "more than"),
    ],
)
def test_a_point_that_means_nothing_is_refused_alone(kind: str, point: dict[str, Any], reason: str) -> None:
    got = decoded(metric(kind, point), metric("gauge", {"as_int": 1}))
    assert got.accepted == 1
    assert reason in next(iter(got.rejected))


@pytest.mark.parametrize("at", [0, 5, NOW + 10**18, 2**64 - 1])
def test_a_point_out_of_time_is_refused(at: int) -> None:
    made = metric("gauge", {"as_int": 1})
    made.gauge.data_points[0].time_unix_nano = at
    got = decoded(made)
    assert (got.accepted, sum(got.rejected.values())) == (0, 1)


def test_the_series_is_the_set_of_attributes_whatever_their_order() -> None:
    series = [
        row(metric("gauge", {"as_int": 1}, attributes))["series"]
        for attributes in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "1", "b": "3"}, {"a": "1"})
    ]
    assert series[0] == series[1]
    assert len(set(series)) == 3
    assert row(metric("gauge", {"as_int": 1}), resource={"host.name": "bob"})["series"] not in series


def test_the_series_is_the_same_in_every_process() -> None:
    assert row(metric("gauge", {"as_int": 1}, {"a": "1"}))["series"] == 18_412_763_304_075_376_575


def test_series_of_earlier_requests_are_those_of_their_own_resource_and_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [metric("gauge", {"as_int": 1}, {"a": "12345"}), metric("gauge", {"as_int": 1})]
    asked = [
        request(*points, resource=resource).SerializeToString()
        for resource in ({"host.name": "alice"}, {"host.name": "bob"}, {"hw.id": "GPU-1"})
    ]
    caps = (Limits(), Limits(max_attribute_bytes=4))

    def read() -> list[DecodedMetrics]:
        return [decode(body, content_type="protobuf", limits=limits, now_ns=NOW) for limits in caps for body in asked]

    monkeypatch.setattr(metrics, "_KNOWN", metrics._KnownSeries())
    first = read()
    assert read() == first
    # Of bob's, the one without attributes is the same under both caps.
    assert len({series for each in first for series in each.columns["series"]}) == 11
    assert [each.columns["host"][0] for each in first[:3]] == ["alice", "bob", ""]


@pytest.mark.parametrize("most", [1, 3, 5])
def test_no_more_series_are_known_than_may_be(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    known = metrics._KnownSeries()
    monkeypatch.setattr(metrics, "_KNOWN", known)
    monkeypatch.setattr(metrics, "_MAX_KNOWN_SERIES", most)
    monkeypatch.setattr(metrics, "_MAX_KNOWN_BYTES", 100)
    for number in range(20):
        # Every other one is too long to be kept.
        point = metric("gauge", {"as_int": 1}, {"a": str(number), "b": "x" * 100 * (number % 2)})
        assert row(point, resource={"host.name": f"host-{number // 4}"})["attributes"]["a"] == str(number)
    kept = [text for of_base in known._of.values() for series in of_base for text in series]
    assert len(kept) <= 2 * most
    assert not any(b"xxx" in text for text in kept)


def test_attributes_without_bytes_are_not_kept_for_later_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    known = metrics._KnownSeries()
    monkeypatch.setattr(metrics, "_KNOWN", known)
    point = metric("gauge", {"as_int": 1})
    for _ in range(100_000):
        point.gauge.data_points[0].attributes.add()
    assert row(point)["attributes"] == {"": ""}
    assert row(metric("gauge", {"as_int": 1}, {"a": "1"}))["attributes"] == {"a": "1"}
    assert [len(texts) for of_base in known._of.values() for texts in of_base] == [1]


def test_a_sender_of_long_scope_names_makes_nobody_elses_series_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    known = metrics._KnownSeries()
    monkeypatch.setattr(metrics, "_KNOWN", known)
    monkeypatch.setattr(metrics, "_MAX_KNOWN_SERIES", 5)
    row(metric("gauge", {"as_int": 1}, {"a": "1"}))
    kept = {base: dict(of_base) for base, of_base in known._of.items()}
    made = request(*(metric("gauge", {"as_int": 1}, {"b": str(number)}) for number in range(20)))
    made.resource_metrics[0].scope_metrics[0].scope.name = "s" * 1_000
    decode(made.SerializeToString(), content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert kept
    assert known._of == kept


def test_a_gpu_is_named_by_the_resource_or_the_point() -> None:
    plain = metric("gauge", {"as_int": 1})
    by_point = metric("gauge", {"as_int": 1}, {"hw.id": "GPU-2"})
    by_dcgm = metric("gauge", {"as_int": 1}, {"UUID": "GPU-3", "Hostname": "carol"})
    assert row(plain, resource={"hw.id": "GPU-1", "host.name": "alice"})["gpu_uuid"] == "GPU-1"
    assert row(by_point, resource={"hw.id": "GPU-1"})["gpu_uuid"] == "GPU-2"
    got = row(by_dcgm, resource={"service.name": "dcgm"})
    assert (got["gpu_uuid"], got["host"]) == ("GPU-3", "carol")
    assert row(metric("gauge", {"as_int": 1}, {"hw.id": "disk0"}))["gpu_uuid"] == ""
    assert row(plain, resource={"hw.id": "ee0f1b2c", "hw.type": "gpu"})["gpu_uuid"] == "ee0f1b2c"


def test_protobuf_and_json_of_one_request_give_equal_columns() -> None:
    made = request(
        metric("gauge", {"as_double": 0.5}, {"hw.id": "GPU-1"}),
        metric("sum", {"as_int": 2**60}, aggregation_temporality=2, is_monotonic=True),
        metric("histogram", {"count": 2, "sum": 1.0, "explicit_bounds": [1.0], "bucket_counts": [1, 1]}),
    )
    as_protobuf = decode(made.SerializeToString(), content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert as_protobuf == decode(as_json(made), content_type="json", limits=Limits(), now_ns=NOW)
    assert as_protobuf.accepted == 3


def test_points_beyond_the_cap_are_refused() -> None:
    body = request(*(metric("gauge", {"as_int": each}) for each in range(5))).SerializeToString()
    got = decode(body, content_type="protobuf", limits=Limits(max_metric_points=3), now_ns=NOW)
    assert (got.accepted, sum(got.rejected.values())) == (3, 2)


def test_empty_and_malformed_bodies() -> None:
    for content_type in ("protobuf", "json"):
        empty = decode(b"", content_type=content_type, limits=Limits(), now_ns=NOW)
        assert list(empty.columns) == list(METRIC_COLUMNS)
        with pytest.raises(Malformed):
            decode(b"\xff\xff", content_type=content_type, limits=Limits(), now_ns=NOW)
