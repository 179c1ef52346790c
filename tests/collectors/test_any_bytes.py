"""Whatever bytes arrive: columns of equal length, or Malformed; never another exception."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.otlp import logs, metrics, traces
from collectors.otlp.errors import Malformed
from collectors.otlp.limits import Limits
from collectors.semconv.dialects import DIALECTS
from collectors.semconv.messages import message_of, messages_of
from tests.collectors.build import NOW, START, TRACE, as_json, decode_spans, request, rows, span
from tests.collectors.tables import misfits

pytestmark = pytest.mark.usefixtures("decoder")

TABLES = {"traces": "0001_spans.sql", "metrics": "0005_metric_points.sql", "logs": "0006_log_records.sql"}
DECODERS = {"traces": traces, "metrics": metrics, "logs": logs}
RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.bin"))
RECORDED_AT = 1_795_500_000_000_000_000
UNHURRIED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
KNOWN_KEYS = sorted(
    {
        source if isinstance(source, str) else source.key
        for dialect in DIALECTS
        for sources in dialect.fields.values()
        for source in sources
    }
    | {
        f"{prefix}.{rest}"
        for dialect in DIALECTS
        for prefix in dialect.flat
        for rest in ("0", "1.message.content", "1.a.0")
    }
)

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=20)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
MESSAGE_KEYS = [
    *("role", "content", "parts", "type", "text", "tool_calls", "function", "name", "arguments", "message", "id"),
    *("messages", "choices", "input", "prompt", "system", "image_url", "source", "data", "kwargs", "lc"),
    *("tool_call_id", "response", "toolCallId", "functionCall"),
]
MESSAGE_WORDS = ["text", "assistant", "tool_call", "image", "user", "tool", "human", "function_call", 1]
message_like = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(MESSAGE_KEYS), inner | st.sampled_from(MESSAGE_WORDS), max_size=5)
    ),
    max_leaves=14,
)


def decode(signal: str, body: bytes, content_type: str, now_ns: int = NOW) -> list[dict[str, Any]]:
    """Rows of a body; none where it is malformed."""
    try:
        decoded = DECODERS[signal].decode(body, content_type=content_type, limits=Limits(), now_ns=now_ns)
    except Malformed:
        return []
    found = rows(decoded.columns)
    assert len(found) == decoded.accepted
    for row in found:
        assert not misfits(TABLES[signal], row)
    return found


@pytest.mark.parametrize("signal", DECODERS)
@pytest.mark.parametrize("content_type", ["protobuf", "json"])
@UNHURRIED
@given(body=st.binary(max_size=300))
def test_any_bytes(signal: str, content_type: str, body: bytes) -> None:
    decode(signal, body, content_type)


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.name)
@UNHURRIED
@given(data=st.data())
def test_a_recorded_body_with_some_bytes_changed(file: Path, data: st.DataObject) -> None:
    body = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        body = body[: data.draw(st.integers(0, len(body)))]
    decode(file.name.split(".")[1], bytes(body), "protobuf", RECORDED_AT)


@pytest.mark.parametrize("signal", DECODERS)
@UNHURRIED
@given(value=trees)
def test_any_json(signal: str, value: Any) -> None:
    decode(signal, json.dumps(value).encode(), "json")
    top = {"traces": "resourceSpans", "metrics": "resourceMetrics", "logs": "resourceLogs"}[signal]
    decode(signal, json.dumps({top: value}).encode(), "json")
    decode(signal, json.dumps({top: [value]}).encode(), "json")


@UNHURRIED
@given(
    name=st.sampled_from(["traceId", "name", "kind", "startTimeUnixNano", "attributes", "events", "status"]),
    value=trees,
)
def test_any_value_in_a_json_span_costs_that_span_only(name: str, value: Any) -> None:
    good = {"traceId": TRACE.hex(), "spanId": "00f067aa0ba902b7", "startTimeUnixNano": str(START), "name": "good"}
    bad = {**good, "spanId": "00f067aa0ba902b8", name: value}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [bad, good]}]}]}).encode()
    assert "00f067aa0ba902b7" in {row["span_id"] for row in decode("traces", body, "json")}


@UNHURRIED
@given(attributes=st.dictionaries(st.sampled_from(KNOWN_KEYS), trees | trees.map(json.dumps), max_size=12))
def test_any_value_of_any_known_key(attributes: dict[str, Any]) -> None:
    made = span(attributes, events=[(START + 1, "gen_ai.client.inference.operation.details", attributes)])
    decoded = decode_spans(made)
    (row,) = rows(decoded.columns)
    assert not misfits(TABLES["traces"], row)
    for column in ("input", "output", "documents"):
        if row[column][:2] == "[{" and row[column] not in attributes.values():
            json.loads(row[column])
    assert as_json(request(made))


@UNHURRIED
@given(value=message_like)
def test_any_value_as_messages(value: Any) -> None:
    for messages in (messages_of(value, "user"), messages_of(json.dumps(value), "user"), [message_of(value, "user")]):
        for message in messages or []:
            assert isinstance(message["role"], str)
            assert all(isinstance(part["type"], str) for part in message["parts"])
