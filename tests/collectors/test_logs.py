"""Log records: times, events, identity."""

from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collectors.otlp.columns import LOG_COLUMNS
from collectors.otlp.errors import Malformed
from collectors.otlp.limits import Limits
from collectors.otlp.logs import decode
from tests.collectors.build import NOW, SECOND, TRACE, any_value, as_json, pairs, rows

AT = NOW - SECOND


def request(*records: LogRecord, resource: dict[str, Any] | None = None) -> ExportLogsServiceRequest:
    made = ExportLogsServiceRequest()
    resource_logs = made.resource_logs.add()
    resource_logs.resource.attributes.extend(pairs(resource or {"service.name": "shop", "host.name": "alice"}))
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name = "scope"
    scope_logs.log_records.extend(records)
    return made


def record(body: Any = "a line", attributes: dict[str, Any] | None = None, **fields: Any) -> LogRecord:
    made = LogRecord(**{"time_unix_nano": AT, **fields})
    made.body.CopyFrom(any_value(body))
    made.attributes.extend(pairs(attributes or {}))
    return made


def row(made: LogRecord, limits: Limits | None = None) -> dict[str, Any]:
    body = request(made).SerializeToString()
    (only,) = rows(decode(body, content_type="protobuf", limits=limits or Limits(), now_ns=NOW).columns)
    return only


def test_a_record_and_where_it_comes_from() -> None:
    got = row(record(severity_number=17, severity_text="ERROR", trace_id=TRACE, span_id=b"12345678"))
    assert (got["body"], got["severity_number"], got["severity_text"]) == ("a line", 17, "ERROR")
    assert (got["trace_id"], got["span_id"]) == (TRACE.hex(), b"12345678".hex())
    assert (got["service"], got["host"], got["scope_name"], got["time"]) == ("shop", "alice", "scope", AT)


def test_a_structured_body_is_json() -> None:
    assert row(record({"index": 0, "message": {"content": "née"}}))["body"] == '{"index":0,"message":{"content":"née"}}'


def test_the_event_name_is_a_field_or_either_attribute() -> None:
    assert row(record(event_name="a"))["event_name"] == "a"
    assert row(record(attributes={"event.name": "b"}))["event_name"] == "b"
    assert row(record(attributes={"event_name": "c"}))["event_name"] == "c"
    assert row(record(attributes={"event.name": "b"}, event_name="a"))["event_name"] == "a"


def test_a_record_without_a_time_takes_the_time_it_was_observed_else_now() -> None:
    assert row(record(time_unix_nano=0, observed_time_unix_nano=AT - 5))["time"] == AT - 5
    assert row(record(time_unix_nano=0))["time"] == NOW


@pytest.mark.parametrize("at", [5, NOW + 10**18, 2**64 - 1])
def test_a_record_out_of_time_is_refused_alone(at: int) -> None:
    body = request(record(time_unix_nano=at), record()).SerializeToString()
    got = decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert (got.accepted, sum(got.rejected.values())) == (1, 1)


def test_ids_that_are_none_are_empty() -> None:
    got = row(record(trace_id=bytes(16), span_id=b"short"))
    assert (got["trace_id"], got["span_id"]) == ("", "")


def test_a_retried_record_keeps_its_id_and_another_has_another() -> None:
    assert row(record())["record_id"] == row(record())["record_id"]
    assert row(record())["record_id"] != row(record("another line"))["record_id"]


def test_a_body_over_the_cap_is_cut_and_named() -> None:
    got = row(record("x" * 200, {"a": "y" * 200}), replace(Limits(), max_attribute_bytes=100))
    assert (got["body"], got["attributes"]["a"]) == ("x" * 100, "y" * 100)
    assert got["attributes"]["heliograph.truncated"] == "a,body"


def test_protobuf_and_json_of_one_request_give_equal_columns() -> None:
    made = request(record({"a": [1, "x"]}, {"k": 1.5}, trace_id=TRACE, span_id=b"12345678", severity_number=9))
    as_protobuf = decode(made.SerializeToString(), content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert as_protobuf == decode(as_json(made), content_type="json", limits=Limits(), now_ns=NOW)


def test_records_beyond_the_cap_are_refused() -> None:
    body = request(*(record(str(each)) for each in range(5))).SerializeToString()
    got = decode(body, content_type="protobuf", limits=Limits(max_log_records=3), now_ns=NOW)
    assert (got.accepted, sum(got.rejected.values())) == (3, 2)


def test_empty_and_malformed_bodies() -> None:
    for content_type in ("protobuf", "json"):
        empty = decode(b"", content_type=content_type, limits=Limits(), now_ns=NOW)
        assert list(empty.columns) == list(LOG_COLUMNS)
        with pytest.raises(Malformed):
            decode(b"\xff\xff", content_type=content_type, limits=Limits(), now_ns=NOW)
