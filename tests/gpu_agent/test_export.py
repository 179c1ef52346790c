"""Sending: nothing is lost while the server asks for patience, what is dropped is counted, the oldest first."""

import email.utils
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)

from gpu_agent import host, metrics
from gpu_agent.export import MAX_RETRY_AFTER_S, METRICS_PATH, Exporter, HttpSender, parse_retry_after
from gpu_agent.otlp import Encoder, Stamped
from gpu_agent.provider import Entity, Point
from tests.gpu_agent.support import until


def request(number: int, points: int = 1) -> tuple[bytes, int]:
    encoder = Encoder({"host.name": "test"}, 1)
    gpu = Entity("GPU-0", {"hw.id": "GPU-0"})
    message, count = encoder.metrics([Stamped(number, [Point(gpu, metrics.POWER, float(number))] * points)])
    return message.SerializeToString(), count


def test_a_busy_server_gets_every_point_once_and_in_order_after_the_pause_it_asked_for(otlp):
    otlp.answers[:] = [(429, {"Retry-After": "2"}), (503, {"Retry-After": "0"})]
    exporter = Exporter(HttpSender(otlp.endpoint, {}))
    exporter.start()
    for number in range(3):
        exporter.submit(METRICS_PATH, *request(number))
    until(lambda: len(otlp.points()) == 3)
    assert [point.value for point in otlp.points()] == [0, 1, 2]
    assert otlp.arrivals[1] - otlp.arrivals[0] >= 2.0
    assert exporter.close(1)
    assert not exporter.dropped


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_passing_failure_is_tried_again(otlp, status):
    otlp.answers[:] = [(status, {"Retry-After": "0"})]
    exporter = Exporter(HttpSender(otlp.endpoint, {}))
    exporter.start()
    exporter.submit(METRICS_PATH, *request(1))
    until(otlp.points)
    assert exporter.close(1)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500])
def test_a_refused_body_is_dropped_and_counted_and_the_next_goes_out(otlp, status):
    otlp.answers[:] = [(status, {})]
    exporter = Exporter(HttpSender(otlp.endpoint, {}))
    exporter.start()
    exporter.submit(METRICS_PATH, *request(1, points=4))
    exporter.submit(METRICS_PATH, *request(2))
    until(otlp.points)
    assert exporter.close(1)
    assert exporter.dropped == {"refused": 4}
    assert exporter.sent == 1


def test_a_partial_success_counts_what_the_server_left_out(otlp):
    partial = ExportMetricsPartialSuccess(rejected_data_points=3, error_message="too old")
    otlp.answer_body = ExportMetricsServiceResponse(partial_success=partial).SerializeToString()
    exporter = Exporter(HttpSender(otlp.endpoint, {}))
    exporter.start()
    exporter.submit(METRICS_PATH, *request(1, points=5))
    assert exporter.close(5)
    assert exporter.dropped == {"rejected": 3}
    assert exporter.sent == 2


def test_a_full_queue_drops_the_oldest_and_counts_them(otlp):
    exporter = Exporter(HttpSender(otlp.endpoint, {}), max_queue_bytes=1000)  # its thread is not running yet
    for number in range(20):
        exporter.submit(METRICS_PATH, *request(number, points=2))
    exporter.start()
    assert exporter.close(10)
    values = [point.value for point in otlp.points()]
    assert values[-1] == 19
    assert len(values) + exporter.dropped["queue_full"] == 40
    assert values == sorted(values)
    assert exporter.dropped["queue_full"] > 0


def test_at_exit_a_silent_server_costs_a_bounded_time_and_the_rest_is_counted():
    exporter = Exporter(HttpSender("http://127.0.0.1:9", {}))  # the discard port: nobody listens
    exporter.start()
    for number in range(3):
        exporter.submit(METRICS_PATH, *request(number))
    began = time.monotonic()
    assert not exporter.close(0.5)
    assert time.monotonic() - began < 30
    assert exporter.dropped == {"exit": 3}


def test_a_connection_that_the_server_closed_is_opened_again_without_a_pause(otlp, caplog):
    otlp.answers[:] = [(200, {"Connection": "close"}), (200, {"Connection": "close"})]
    exporter = Exporter(HttpSender(otlp.endpoint, {}))
    exporter.start()
    for number in range(3):
        exporter.submit(METRICS_PATH, *request(number))
        until(lambda number=number: len(otlp.points()) == number + 1)
    assert "next try" not in caplog.text
    assert exporter.close(1)


def test_key_and_headers_come_from_the_environment():
    environment = {
        "OTEL_EXPORTER_OTLP_HEADERS": "x-scope=a%20b, authorization=Bearer%20old",
        "HELIOGRAPH_API_KEY": "hg_1",
    }
    assert host.headers(environment, None) == {"x-scope": "a b", "Authorization": "Bearer hg_1"}
    assert host.headers(environment, "hg_2")["Authorization"] == "Bearer hg_2"
    assert host.headers({"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x"}, None) == {
        "authorization": "Bearer x"
    }
    assert host.endpoint({}, None) == "http://localhost:4318"
    assert host.endpoint({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, "http://b") == "http://b"


def test_the_key_travels_as_a_bearer_token(otlp):
    exporter = Exporter(HttpSender(otlp.endpoint + "/base/", {"Authorization": "Bearer hg_1"}))
    exporter.start()
    exporter.submit(METRICS_PATH, *request(1))
    assert exporter.close(5)
    assert otlp.headers[0]["Authorization"] == "Bearer hg_1"
    assert otlp.headers[0]["Content-Type"] == "application/x-protobuf"
    assert otlp.headers[0]["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("endpoint", ["ftp://a", "localhost:4318", "http://", "http://a:port", ""])
def test_an_address_that_cannot_be_reached_is_refused_at_the_start(endpoint):
    with pytest.raises(ValueError, match=r"address|[Pp]ort"):
        HttpSender(endpoint, {})


@pytest.mark.parametrize("key", ["line\nbreak", "k\u00f6nig", "a\x00b"])
def test_a_key_that_http_cannot_carry_is_refused_at_the_start_and_not_shown(key):
    with pytest.raises(ValueError, match="Authorization") as error:
        HttpSender("http://127.0.0.1", {"Authorization": f"Bearer {key}"})
    assert key not in str(error.value)


def test_retry_after_is_seconds_or_a_date_within_bounds():
    now = 1_700_000_000.0
    assert parse_retry_after("7", now) == 7
    assert parse_retry_after(email.utils.formatdate(now + 20, usegmt=True), now) == pytest.approx(20)
    assert parse_retry_after("999999", now) == MAX_RETRY_AFTER_S
    assert parse_retry_after(None, now) is None
    assert parse_retry_after("soon", now) is None


@given(st.text(max_size=60))
def test_no_retry_after_breaks_the_parser(text):
    found = parse_retry_after(text, 1_700_000_000.0)
    assert found is None or 0 <= found <= MAX_RETRY_AFTER_S


@given(st.text(max_size=200))
def test_no_list_of_pairs_breaks_the_parser(text):
    assert all(key for key in host.key_values(text))
