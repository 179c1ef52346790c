"""Spans: what is kept, what is refused and why, whatever the encoding."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collectors.otlp.columns import SPAN_COLUMNS
from collectors.otlp.errors import Malformed
from collectors.otlp.limits import Limits
from collectors.otlp.traces import decode
from tests.collectors.build import NOW, SECOND, START, TRACE, as_json, decode_spans, request, row_of, rows, span

pytestmark = pytest.mark.usefixtures("decoder")

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.response.finish_reasons": ["stop"],
    "a.list": [1, 2.5, True, "x", {"deep": [b"\x00\x01"]}],
    "a.float": 0.5,
    "a.flag": False,
}


def decode_json(body: object) -> list[dict]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return rows(decode(text, content_type="json", limits=Limits(), now_ns=NOW).columns)


def json_span(**fields: object) -> dict:
    """A request in OTLP/JSON with one span."""
    given = {
        "traceId": TRACE.hex(),
        "spanId": "00f067aa0ba902b7",
        "name": "a span",
        "startTimeUnixNano": str(START),
        "endTimeUnixNano": str(START + SECOND),
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [{**given, **fields}]}]}]}


def test_an_empty_body_is_an_empty_request() -> None:
    for content_type in ("protobuf", "json"):
        decoded = decode(b"", content_type=content_type, limits=Limits(), now_ns=NOW)
        assert (decoded.accepted, sum(decoded.rejected.values())) == (0, 0)
        assert list(decoded.columns) == list(SPAN_COLUMNS)
        assert rows(decoded.columns) == []


def test_protobuf_and_json_of_one_request_give_equal_columns() -> None:
    event = (START + 5, "exception", {"exception.type": "ValueError", "exception.message": "née"})
    with_link = span(CHAT, span_id=2, parent=1, events=[event], kind=Span.SPAN_KIND_CLIENT)
    with_link.links.add(trace_id=TRACE, span_id=b"12345678")
    with_link.status.code = 2
    made = request(span(CHAT), with_link, resource={"service.name": "shop", "process.pid": 7, "host.name": "alice"})
    as_protobuf = decode(made.SerializeToString(), content_type="protobuf", limits=Limits(), now_ns=NOW)
    as_text = decode(as_json(made), content_type="json", limits=Limits(), now_ns=NOW)
    assert as_protobuf == as_text
    assert as_protobuf.accepted == 2


def test_one_malformed_span_does_not_fail_its_neighbours() -> None:
    decoded = decode_spans(span(span_id=1), span(trace_id=bytes(16)), span(span_id=3))
    assert decoded.accepted == 2
    assert decoded.rejected == {"invalid trace id: must be 16 bytes, not all zero": 1}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"trace_id": b"short"}, "invalid trace id"),
        ({"trace_id": b""}, "invalid trace id"),
        ({"span_id": bytes(8)}, "invalid span id"),
        ({"span_id": b"123456789"}, "invalid span id"),
        ({"start_time_unix_nano": 0}, "start time missing or too old"),
        ({"start_time_unix_nano": 1_790_000_000}, "start time missing or too old"),
        ({"start_time_unix_nano": 2**64 - 1}, "start time in the future"),
    ],
)
def test_a_span_is_refused_with_a_reason(bad: dict, reason: str) -> None:
    made = span()
    for name, value in bad.items():
        setattr(made, name, value)
    decoded = decode_spans(made, span(span_id=9))
    assert decoded.accepted == 1
    ((said, count),) = decoded.rejected.items()
    assert (said.startswith(reason), count) == (True, 1)


def test_spans_beyond_the_cap_are_refused() -> None:
    decoded = decode_spans(*(span(span_id=each) for each in range(1, 6)), limits=Limits(max_spans=3))
    assert (decoded.accepted, sum(decoded.rejected.values())) == (3, 2)


def test_refused_spans_count_towards_the_cap() -> None:
    decoded = decode_spans(*(span(trace_id=b"") for _ in range(5)), span(), limits=Limits(max_spans=3))
    assert (decoded.accepted, sorted(decoded.rejected.values())) == (0, [3, 3])


def test_more_resources_or_scopes_than_the_cap_on_spans_are_malformed() -> None:
    resources, scopes = ExportTraceServiceRequest(), ExportTraceServiceRequest()
    only = scopes.resource_spans.add()
    for _ in range(4):
        resources.resource_spans.add()
        only.scope_spans.add()
    for made in (resources, scopes):
        with pytest.raises(Malformed, match="more than 3 resources or scopes"):
            decode(made.SerializeToString(), content_type="protobuf", limits=Limits(max_spans=3), now_ns=NOW)


def test_a_body_of_empty_resources_reads_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ExportTraceServiceRequest()
    for _ in range(1_000):
        made.resource_spans.add().scope_spans.add()
    monkeypatch.setattr("collectors.otlp.traces.read_resource", None)
    decoded = decode(made.SerializeToString(), content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert decoded.accepted == 0


def test_the_age_limit_keeps_an_insert_within_a_hundred_weekly_partitions() -> None:
    assert Limits().max_age + Limits().max_ahead < timedelta(weeks=99)


def test_a_body_that_is_no_request_is_malformed_and_says_what_to_do() -> None:
    with pytest.raises(Malformed, match="looks like JSON: send it as application/json"):
        decode(b'{"resourceSpans": []}', content_type="protobuf", limits=Limits(), now_ns=NOW)
    for body in (b"{", b"[]", b'"text"', b'{"resourceSpans": {}}', b"\xff\xfe", b"[" * 100_000):
        with pytest.raises(Malformed, match="OTLP/JSON"):
            decode(body, content_type="json", limits=Limits(), now_ns=NOW)


def test_json_ids_are_hex_in_either_case() -> None:
    (row,) = decode_json(json_span(traceId=TRACE.hex().upper(), parentSpanId="00F067AA0BA902B8"))
    assert (row["trace_id"], row["parent_span_id"]) == (TRACE.hex(), "00f067aa0ba902b8")


def test_json_integers_may_be_strings_and_enums_names_or_numbers() -> None:
    by_number = json_span(kind=3, status={"code": 2}, startTimeUnixNano=START)
    by_name = json_span(kind="SPAN_KIND_CLIENT", status={"code": "STATUS_CODE_ERROR"})
    assert decode_json(by_number) == decode_json(by_name)
    (row,) = decode_json(by_name)
    assert (row["span_kind"], row["status"], row["start_time"]) == ("client", "error", START)


def test_json_fields_that_nobody_knows_are_ignored() -> None:
    (row,) = decode_json({**json_span(somethingNew={"a": [1]}), "alsoNew": 1})
    assert row["name"] == "a span"


def test_json_null_is_absent() -> None:
    assert decode_json(json_span(attributes=None, parentSpanId=None))[0]["parent_span_id"] == ""


def test_a_json_span_with_a_value_of_the_wrong_type_is_refused_alone() -> None:
    body = json_span()
    spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans += [{**spans[0], "name": 5}, {**spans[0], "startTimeUnixNano": "soon"}, 7, {**spans[0], "spanId": "xyz"}]
    decoded = decode(json.dumps(body).encode(), content_type="json", limits=Limits(), now_ns=NOW)
    assert decoded.accepted == 1
    assert sorted(decoded.rejected.values()) == [1, 3]


def test_a_json_value_nested_without_end_costs_its_span_only() -> None:
    deep: dict = {"stringValue": "x"}
    for _ in range(150):
        deep = {"arrayValue": {"values": [deep]}}
    body = json_span(attributes=[{"key": "a", "value": deep}])
    assert decode_json(body) == []


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    body = (
        b'{"resourceSpans":[{"scopeSpans":[{"spans":['
        + json.dumps(
            json_span(
                name="\ud800 name", attributes=[{"key": "gen_ai.input.messages", "value": {"stringValue": '"\\ud800"'}}]
            )["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        ).encode()
        + b"]}]}]}"
    )
    (row,) = decode_json(body)
    assert row["name"] == "? name"
    row["input"].encode()


def test_a_span_that_has_not_ended_has_no_duration() -> None:
    assert row_of({}, end_time_unix_nano=0)["duration_ns"] is None


def test_an_end_before_the_start_is_a_clock_set_back_and_takes_no_time() -> None:
    assert row_of({}, end_time_unix_nano=START - SECOND)["duration_ns"] == 0


def test_a_span_whose_parent_is_not_in_the_request_is_an_entry() -> None:
    decoded = decode_spans(
        span(span_id=1), span(span_id=2, parent=1), span(span_id=3, parent=99), span(span_id=4, parent=4)
    )
    assert [row["is_entry"] for row in rows(decoded.columns)] == [True, False, True, True]


def test_an_attribute_over_the_cap_is_cut_and_named() -> None:
    limits = replace(Limits(), max_attribute_bytes=100)
    made = span({"short": "é" * 50, "long": "é" * 51, "list": ["x" * 200]})
    (row,) = rows(decode_spans(made, limits=limits).columns)
    assert row["attributes"]["short"] == "é" * 50
    assert row["attributes"]["long"] == "é" * 50
    assert len(row["attributes"]["list"]) == 100
    assert row["truncated"] == ["long", "list"]


def test_too_many_attributes_events_and_links_are_cut_and_named() -> None:
    limits = replace(Limits(), max_attributes=2, max_events=2, max_links=2)
    made = span({str(each): each for each in range(5)}, events=[(START, "e", {})] * 5)
    for _ in range(5):
        made.links.add(trace_id=TRACE, span_id=b"12345678")
    (row,) = rows(decode_spans(made, limits=limits).columns)
    assert (len(row["attributes"]), len(row["events.name"]), len(row["links.span_id"])) == (2, 2, 2)
    assert sorted(row["truncated"]) == ["attributes", "events", "links"]


def test_a_mapped_attribute_is_kept_as_it_came() -> None:
    row = row_of(CHAT)
    assert row["attributes"]["gen_ai.usage.input_tokens"] == "100"
    assert row["attributes"]["gen_ai.response.finish_reasons"] == '["stop"]'
    assert row["attributes"]["a.list"] == '[1,2.5,true,"x",{"deep":["AAE="]}]'
    assert (row["attributes"]["a.float"], row["attributes"]["a.flag"]) == ("0.5", "false")


def test_a_number_that_json_cannot_hold_becomes_text() -> None:
    assert row_of({"x": [float("nan"), 1.0]})["attributes"]["x"] == '["nan",1.0]'


def test_the_resource_says_where_a_span_comes_from() -> None:
    resource = {
        "service.name": "shop",
        "service.version": "1.2",
        "deployment.environment": "prod",
        "host.name": "alice",
        "host.id": "h-1",
        "process.pid": 4242,
        "service.instance.id": "i-1",
        "hw.id": "GPU-1234",
    }
    body = request(span(), resource=resource).SerializeToString()
    (row,) = rows(decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW).columns)
    assert (row["service"], row["release"], row["environment"]) == ("shop", "1.2", "prod")
    assert (row["host"], row["host_id"], row["process_id"], row["service_instance_id"]) == ("alice", "h-1", 4242, "i-1")
    assert row["gpu_uuids"] == ["GPU-1234"]


def test_a_span_without_genai_meaning_has_no_dialect() -> None:
    row = row_of({"http.request.method": "GET", "server.address": "db", "server.port": 5432, "session.id": "s"})
    assert (row["kind"], row["dialect"], row["usage_counted"]) == ("other", "", False)
    assert (row["server_address"], row["server_port"], row["session_id"]) == ("db", 5432, "s")


def test_an_exception_event_explains_an_error() -> None:
    event = (START + 1, "exception", {"exception.type": "TimeoutError", "exception.message": "too slow"})
    failed = span(events=[event])
    failed.status.code = 2
    (row,) = rows(decode_spans(failed).columns)
    assert (row["status"], row["error_type"], row["status_message"]) == ("error", "TimeoutError", "too slow")


def test_an_exception_that_was_handled_is_no_error() -> None:
    row = row_of({}, events=[(START + 1, "exception", {"exception.type": "TimeoutError"})])
    assert (row["status"], row["error_type"]) == ("unset", "")


def test_an_error_type_without_a_status_is_an_error() -> None:
    assert row_of({"error.type": "<class 'openai.RateLimitError'>"})["error_type"] == "openai.RateLimitError"
    assert row_of({"error.type": "timeout"})["status"] == "error"


def test_events_with_an_absurd_time_happen_at_the_start() -> None:
    row = row_of({}, events=[(0, "a", {}), (2**64 - 1, "b", {}), (START + 5, "c", {})])
    assert row["events.time"] == [START, START, START + 5]
